//! Re-indexing: the next generation of a collection is made beside the one that queries see, document by document, each step
//! recorded; then one transaction of the catalog puts it in its place.
//!
//! Whatever ends it before that, a failure, a person or a crash, leaves the old generation as it was. What is left of a generation that
//! nobody sees is removed afterwards, also at the next start.

mod progress;
mod reprocess;

pub(crate) use progress::{ended, info};

use super::processor::{Processor, Processors};
use super::steps::Steps;
use crate::error::PipelineError;
use crate::lifecycle::Lifecycle;
use crate::manage::documents::Documents;
use crate::peers::Peers;
use crate::query::profile_cache::ProfileCache;
use crate::retry::Retry;
use crate::spec::reindex_scope::ReindexScope;
use crate::store::Store;
use crate::store::jobs::Jobs;
use crate::timestamp;
use crate::tuning::Tuned;
use ibid_catalog::{Collection, NewEvent, NewReindex, Reindex, ReindexStatus, ReindexedState, Swap};
use ibid_index::{CollectionKey, IndexError, Schema, VectorIndex};
use ibid_protocol::{ApiError, ErrorCode};
use progress::{ProgressPace, progress_of};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// A re-index at work.
struct Run<'a> {
    reindex: &'a Reindex,
    /// What it makes documents with.
    target: Arc<dyn Processor>,
    /// Decides when its progress is published.
    pace: ProgressPace,
}

/// How a re-index ended.
enum End {
    /// Queries see what it made; the generation before is left.
    Swapped { before: u32, changed_texts: bool },
    /// It was ended elsewhere, or its collection is gone.
    Gone,
}

/// Re-indexes collections in the background.
pub(crate) struct Reindexer {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub processors: Arc<dyn Processors>,
    pub profiles: Arc<ProfileCache>,
    pub steps: Arc<Steps>,
    pub jobs: Arc<Jobs>,
    pub documents: Arc<Documents>,
    pub tuned: Arc<Tuned>,
    pub lifecycle: Lifecycle,
    /// Percent of the time that re-indexing may work, 1 to 100.
    pub percent: u32,
    /// One permit: for the document that is reprocessed.
    pub permit: Semaphore,
}

impl Reindexer {
    /// Begins to re-index a collection in the background.
    pub(crate) async fn begin(self: &Arc<Self>, collection: &Collection, new: NewReindex) -> Result<Reindex, PipelineError> {
        let event = json!({ "timestamp": timestamp::now(), "redo": new.scope });
        let event = NewEvent::new("reindex_started", event);
        // A move copies one generation: neither begins while the other goes on.
        let _right = self.store.placing.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        if self.store.catalog.collection_by_id(&collection.id).await?.moving_to.is_some() {
            let message = format!(
                "`{}` is being moved to another index: GET /collections/{0}/index tells how far that is",
                collection.name
            );
            return Err(ApiError::new(ErrorCode::Conflict, message).into());
        }
        let (reindex, event) = self.store.catalog.begin_reindex(&collection.id, &new, event).await?;
        self.store.publish(event);
        self.resume(reindex.clone());
        Ok(reindex)
    }

    /// Goes on with a re-index that runs, in the background.
    pub(crate) fn resume(self: &Arc<Self>, reindex: Reindex) {
        let reindexer = self.clone();
        let work = self
            .jobs
            .reindexing
            .begin(&reindex.collection_id, self.lifecycle.stopping.child_token());
        let span = tracing::error_span!("reindex", collection_id = reindex.collection_id, generation = reindex.generation);
        self.lifecycle.tasks.spawn(
            async move {
                reindexer.run_reindex(reindex, &work.cancel).await;
                drop(work);
            }
            .instrument(span),
        );
    }

    async fn run_reindex(self: &Arc<Self>, reindex: Reindex, cancel: &CancellationToken) {
        tracing::info!(scope = reindex.scope, "re-indexing");
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            outcome = self.make_with_retries(&reindex) => Some(outcome),
        };
        let (status, error) = match outcome {
            None if self.lifecycle.stopping.is_cancelled() => return tracing::info!("parked: goes on at the next start"),
            Some(Ok(End::Gone)) => return,
            Some(Ok(End::Swapped { before, changed_texts })) => {
                tracing::info!("re-indexed");
                return self.remove_in_background(&reindex.collection_id, before, changed_texts);
            }
            None => (ReindexStatus::Cancelled, None),
            Some(Err(error)) => (ReindexStatus::Failed, Some(error.to_api_error("reindex"))),
        };
        if let Err(error) = self.end_without_swap(&reindex, status, error).await {
            // It still counts as running, and goes on at the next start.
            tracing::error!(%error, "the end of a re-index was not recorded");
        }
    }

    pub(crate) async fn end_without_swap(
        self: &Arc<Self>,
        reindex: &Reindex,
        status: ReindexStatus,
        error: Option<ApiError>,
    ) -> Result<(), PipelineError> {
        let failure = error.as_ref().map(|error| (error.code.name(), error.message.as_str()));
        if let Some((code, message)) = failure {
            tracing::warn!(code, message, "a re-index failed: the collection is as it was");
        }
        let mut last = self
            .store
            .catalog
            .reindex(&reindex.collection_id)
            .await?
            .unwrap_or_else(|| reindex.clone());
        last.error = failure.map(|(code, message)| (code.to_owned(), message.to_owned()));
        let event = ended(&last, status);
        if let Some(event) = self.store.catalog.end_reindex(reindex, status, failure, event).await? {
            self.store.publish(event);
            self.remove_in_background(&reindex.collection_id, reindex.generation, true);
        }
        Ok(())
    }

    /// Makes a generation, waiting for a server that is away: that is nothing that the documents did.
    async fn make_with_retries(&self, reindex: &Reindex) -> Result<End, PipelineError> {
        let mut retry = Retry::new(self.lifecycle.clock.clone());
        loop {
            self.store.disk.wait_until_writable().await;
            self.store.wait_for_index(&reindex.collection_id).await?;
            match self.make_generation(reindex).await {
                Ok(end) => return Ok(end),
                Err(error) => retry.after_outage(error, &self.store.disk).await?,
            };
        }
    }

    async fn make_generation(&self, reindex: &Reindex) -> Result<End, PipelineError> {
        let collection = self.store.catalog.collection_by_id(&reindex.collection_id).await?;
        let target = self.processors.of_reindex(&collection, reindex)?;
        self.make_index_of(&*target).await?;
        let lock = json!(target.lock());
        if lock != reindex.lock {
            // Another plugin is installed since it was begun: what it has made is of the old one.
            tracing::info!("beginning anew, since what is installed has changed");
            self.store.index.drop_collection(target.key()).await?;
            self.make_index_of(&*target).await?;
            self.store
                .catalog
                .set_reindex_lock(&collection.id, reindex.generation, &lock)
                .await?;
        }
        self.check_generation(reindex, &*target).await?;
        let mut run = Run {
            reindex,
            target,
            pace: ProgressPace::default(),
        };
        loop {
            let (mut after, mut found) = (None, false);
            while let Some(document) = self
                .store
                .catalog
                .next_to_reprocess(&collection.id, reindex.generation, after.as_deref())
                .await?
            {
                found = true;
                self.reprocess(&document, &mut run).await?;
                let generation = reindex.generation;
                self.documents.end_if_deleted(&document, generation, generation).await;
                after = Some(document.id);
            }
            // Documents may have come meanwhile: until a look finds none, and the transaction agrees.
            if found || !self.check_generation(reindex, &*run.target).await? {
                continue;
            }
            match self.swap(&run, &collection).await? {
                Some(end) => return Ok(end),
                None => continue,
            }
        }
    }

    async fn make_index_of(&self, target: &dyn Processor) -> Result<(), PipelineError> {
        let dimension = u32::try_from(target.lock().model.dimension).unwrap_or(u32::MAX);
        let schema = Schema { dimension };
        match self.store.index.create_collection(target.key(), &schema).await {
            Err(IndexError::Corrupt { .. } | IndexError::SchemaMismatch { .. }) => {
                // Nobody sees it yet, and the documents are there.
                self.store.index.drop_collection(target.key()).await?;
                Ok(self.store.index.create_collection(target.key(), &schema).await?)
            }
            other => Ok(other?),
        }
    }

    /// Makes catalog and index of a generation in the making agree; tells whether they did.
    async fn check_generation(&self, reindex: &Reindex, target: &dyn Processor) -> Result<bool, PipelineError> {
        let indexed = self.store.index.documents(target.key()).await?;
        let mut known = HashSet::new();
        let mut agreed = true;
        for (document, state, chunks) in self.store.catalog.reindexed_counts(&reindex.collection_id).await? {
            let there = indexed.get(&document).copied().unwrap_or(0);
            let whole = match state {
                ReindexedState::Ready => there == u64::from(chunks),
                // More may have come than was recorded; those are replaced.
                ReindexedState::Begun | ReindexedState::Extracted | ReindexedState::Chunked => there >= u64::from(chunks),
            };
            if !whole {
                tracing::warn!(document, "making a document again whose new vectors are not all there");
                self.store.index.delete_document(target.key(), &document).await?;
                self.store.catalog.forget_reindexed(&document, reindex.generation).await?;
                agreed = false;
            }
            known.insert(document);
        }
        for stray in indexed.keys().filter(|document| !known.contains(*document)) {
            self.store.index.delete_document(target.key(), stray).await?;
        }
        Ok(agreed)
    }

    /// Puts the new generation in place of the old one; `None` if there are documents that it does not have yet.
    async fn swap(&self, run: &Run<'_>, collection: &Collection) -> Result<Option<End>, PipelineError> {
        let reindex = run.reindex;
        self.store.index.flush(run.target.key()).await?;
        let Some(mut last) = self.store.catalog.reindex(&collection.id).await? else {
            return Ok(Some(End::Gone));
        };
        last.status = ReindexStatus::Success;
        last.counts.documents_total = last.counts.documents_done;
        let mut events = Vec::new();
        let (pipeline, lock) = (json!(run.target.pipeline()), json!(run.target.lock()));
        if pipeline != collection.pipeline || lock != collection.lock {
            let data = json!({ "timestamp": timestamp::now(), "plugins": run.target.lock().plugins, "pipeline": pipeline });
            events.push(NewEvent::new("pipeline_changed", data));
        }
        events.push(NewEvent::new("reindex_complete", progress_of(&last)));
        match self
            .store
            .catalog
            .swap_generation(&collection.id, reindex.generation, events)
            .await?
        {
            Swap::NotReady => Ok(None),
            Swap::Ended => Ok(Some(End::Gone)),
            Swap::Done(events) => {
                // The next question reads the catalog, and finds the new generation.
                self.processors.forget(&collection.id);
                self.profiles.forget(&collection.id);
                events.into_iter().for_each(|event| self.store.publish(event));
                self.store.statistics_changed(&collection.id);
                let changed_texts = ReindexScope::parse(&reindex.scope) == Some(ReindexScope::Extract);
                Ok(Some(End::Swapped {
                    before: collection.generation,
                    changed_texts,
                }))
            }
        }
    }

    /// Removes a generation that is not to be seen again, in the background.
    fn remove_in_background(self: &Arc<Self>, collection_id: &str, generation: u32, texts: bool) {
        let (reindexer, id) = (self.clone(), collection_id.to_owned());
        let removal = async move {
            tokio::select! {
                // The next start removes it.
                () = reindexer.lifecycle.stopping.cancelled() => {}
                removed = reindexer.remove_generation(&id, generation, texts) => {
                    if let Err(error) = removed {
                        tracing::warn!(collection_id = id, generation, %error, "a generation was not removed: the next start does it");
                    }
                }
            }
        };
        self.lifecycle.tasks.spawn(removal.in_current_span());
    }

    async fn remove_generation(&self, collection_id: &str, generation: u32, texts: bool) -> Result<(), PipelineError> {
        let key = CollectionKey::of_generation(collection_id, generation)?;
        // A query has read what it needs of the index after its retrieval, each stage of which has its time.
        let most = self.tuned.query_timeout().saturating_mul(4);
        tokio::join!(self.store.leases.retire(&key, most), self.peers.wait_for_queries(most));
        // A backup that is being made reads the generation that its copy of the catalog names.
        let _no_backup = self.store.backing_up.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        self.store.index.drop_collection(&key).await?;
        while self.store.catalog.sweep_generations(collection_id).await? > 0 {}
        if texts {
            self.store.remove_unneeded_texts().await?;
        }
        tracing::info!(collection_id, generation, "removed a generation that nobody sees any more");
        Ok(())
    }

    /// Goes on with every re-index that runs, and removes what is left of those that ended.
    pub(crate) async fn resume_all(self: &Arc<Self>) -> Result<(), PipelineError> {
        for collection in self.store.catalog.collections().await? {
            while self.store.catalog.sweep_generations(&collection.id).await? > 0 {}
        }
        // Of several servers each goes on with those that it claims.
        if !self.peers.is_shared() {
            for reindex in self.store.catalog.running_reindexes().await? {
                self.resume(reindex);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "reindex_tests/mod.rs"]
mod tests;
