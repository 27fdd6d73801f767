//! Re-indexing: the next generation of a collection is made beside the one that queries see, document by document, each step
//! recorded; then one transaction of the catalog puts it in its place.
//!
//! Whatever ends it before that, a failure, a person or a crash, leaves the old generation as it was. What is left of a generation that
//! nobody sees is removed afterwards, also at the next start.

use super::steps::Steps;
use crate::error::PipelineError;
use crate::ingest::{MAX_ATTEMPTS, WINDOW, named, payload, readable_name, terms, timed};
use crate::lifecycle::Lifecycle;
use crate::manage::documents::Documents;
use crate::peers::Peers;
use crate::query::profile_cache::ProfileCache;
use crate::retry::Retry;
use crate::spec::pipelines::Pipelines;
use crate::spec::pipelines::Resolved;
use crate::spec::reindex_scope::{ReindexScope, with_extractor};
use crate::spec::{Lock, LockedPlugin, Pipeline};
use crate::store::Store;
use crate::store::jobs::Jobs;
use crate::store::leases::text_id;
use crate::timestamp;
use crate::tuning::Tuned;
use ibid_catalog::{
    CatalogError, Chunk, Collection, DocumentRecord, NewEvent, NewReindex, Reindex, ReindexStatus, ReindexedDocument, ReindexedState, Swap,
};
use ibid_index::{CollectionKey, IndexError, Point, Schema, VectorIndex};
use ibid_protocol::{ApiError, ErrorCode, ReindexInfo};
use ibid_telemetry::Stage as MeasuredStage;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Progress is told this often at most, and for every hundredth: the log of events is bounded.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
const PUBLISH_STEP: f64 = 0.01;
/// The key of a document's metadata that tells of a chunker that failed.
const CHUNKER_WARNING: &str = "warning.chunker";
/// The longest pause that the others are given at once.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A re-index at work.
struct Run<'a> {
    reindex: &'a Reindex,
    /// What it makes documents with.
    target: Arc<Resolved>,
    /// When progress was told last, and which.
    published: Option<(Instant, f64)>,
}

/// How a re-index ended.
enum End {
    /// Queries see what it made; the generation before is left.
    Swapped { before: u32, changed_texts: bool },
    /// It was ended elsewhere, or its collection is gone.
    Gone,
}

/// The hash of a text as the embedder reads it.
type TextHash = [u8; 32];

/// Re-indexes collections in the background.
pub(crate) struct Reindexer {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub pipelines: Arc<Pipelines>,
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
        let engine = self.clone();
        let work = self
            .jobs
            .reindexing
            .begin(&reindex.collection_id, self.lifecycle.stopping.child_token());
        let span = tracing::error_span!("reindex", collection_id = reindex.collection_id, generation = reindex.generation);
        self.lifecycle.tasks.spawn(
            async move {
                engine.run_reindex(reindex, &work.cancel).await;
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
    async fn make_with_retries(self: &Arc<Self>, reindex: &Reindex) -> Result<End, PipelineError> {
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

    async fn make_generation(self: &Arc<Self>, reindex: &Reindex) -> Result<End, PipelineError> {
        let collection = self.store.catalog.collection_by_id(&reindex.collection_id).await?;
        let target = Arc::new(self.target(&collection, reindex)?);
        self.make_index_of(&target).await?;
        let lock = json!(target.lock);
        if lock != reindex.lock {
            // Another plugin is installed since it was begun: what it has made is of the old one.
            tracing::info!("beginning anew, since what is installed has changed");
            self.store.index.drop_collection(&target.key).await?;
            self.make_index_of(&target).await?;
            self.store
                .catalog
                .set_reindex_lock(&collection.id, reindex.generation, &lock)
                .await?;
        }
        self.check_generation(reindex, &target).await?;
        let mut run = Run {
            reindex,
            target,
            published: None,
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
            if found || !self.check_generation(reindex, &run.target).await? {
                continue;
            }
            match self.swap(&run, &collection).await? {
                Some(end) => return Ok(end),
                None => continue,
            }
        }
    }

    /// The pipeline that a re-index makes documents with.
    fn target(&self, collection: &Collection, reindex: &Reindex) -> Result<Resolved, PipelineError> {
        let pipeline = Pipeline::parse(reindex.pipeline.clone())?;
        let resolved = self.pipelines.resolve_stored(&collection.id, &collection.name, pipeline)?;
        Ok(Resolved {
            key: CollectionKey::of_generation(&collection.id, reindex.generation)?,
            generation: reindex.generation,
            ..resolved
        })
    }

    async fn make_index_of(&self, target: &Resolved) -> Result<(), PipelineError> {
        let dimension = u32::try_from(target.lock.model.dimension).unwrap_or(u32::MAX);
        let schema = Schema { dimension };
        match self.store.index.create_collection(&target.key, &schema).await {
            Err(IndexError::Corrupt { .. } | IndexError::SchemaMismatch { .. }) => {
                // Nobody sees it yet, and the documents are there.
                self.store.index.drop_collection(&target.key).await?;
                Ok(self.store.index.create_collection(&target.key, &schema).await?)
            }
            other => Ok(other?),
        }
    }

    /// Makes catalog and index of a generation in the making agree; tells whether they did.
    async fn check_generation(&self, reindex: &Reindex, target: &Resolved) -> Result<bool, PipelineError> {
        let indexed = self.store.index.documents(&target.key).await?;
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
                self.store.index.delete_document(&target.key, &document).await?;
                self.store.catalog.forget_reindexed(&document, reindex.generation).await?;
                agreed = false;
            }
            known.insert(document);
        }
        for stray in indexed.keys().filter(|document| !known.contains(*document)) {
            self.store.index.delete_document(&target.key, stray).await?;
        }
        Ok(agreed)
    }

    /// Puts the new generation in place of the old one; `None` if there are documents that it does not have yet.
    async fn swap(self: &Arc<Self>, run: &Run<'_>, collection: &Collection) -> Result<Option<End>, PipelineError> {
        let reindex = run.reindex;
        self.store.index.flush(&run.target.key).await?;
        let Some(mut last) = self.store.catalog.reindex(&collection.id).await? else {
            return Ok(Some(End::Gone));
        };
        last.status = ReindexStatus::Success;
        last.counts.documents_total = last.counts.documents_done;
        let mut events = Vec::new();
        let (pipeline, lock) = (json!(run.target.pipeline), json!(run.target.lock));
        if pipeline != collection.pipeline || lock != collection.lock {
            let data = json!({ "timestamp": timestamp::now(), "plugins": run.target.lock.plugins, "pipeline": pipeline });
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
                self.pipelines.forget(&collection.id);
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

    /// Makes one document for the new generation.
    async fn reprocess(self: &Arc<Self>, document: &DocumentRecord, run: &mut Run<'_>) -> Result<(), PipelineError> {
        // One at a time, of all collections.
        let _place = self.permit.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        // Registered before the catalog is asked whether it is live: who deletes it finds either this, or nothing that will come.
        let work = self.jobs.reprocessing.begin(&document.id, self.lifecycle.stopping.child_token());
        let target = run.target.clone();
        let scope = self.scope_of(document, &target, ReindexScope::parse(&run.reindex.at_least).unwrap_or_default());
        let extractor = document.lock.pointer("/plugins/extractor").cloned();
        let extractor = extractor.and_then(|extractor| serde_json::from_value::<LockedPlugin>(extractor).ok());
        let lock = with_extractor(&json!(target.lock), extractor.as_ref());
        let mut new = ReindexedDocument::begin(document, target.generation, lock);
        if scope == ReindexScope::Extract {
            new.text_generation = target.generation;
        }
        let Some(mut reindexed) = self.store.catalog.begin_reprocess(&new).await? else {
            return Ok(());
        };
        if reindexed.attempts > MAX_ATTEMPTS {
            let message = format!("given up after {MAX_ATTEMPTS} attempts that did not end; the server's log may say why");
            let error = ApiError::new(ErrorCode::ProcessingError, message);
            return Err(of_document(error.into(), document));
        }
        let mut retry = Retry::new(self.lifecycle.clock.clone());
        loop {
            let error = match self.run_steps(document, scope, &mut reindexed, run, &work.cancel).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if self.whole_waits(&error).await {
                // The whole re-index waits, and this is no attempt that failed.
                return Err(error);
            }
            if let Err(error) = retry.after_transient(error).await {
                return Err(of_document(error, document));
            }
        }
    }

    /// Whether a whole re-index waits after a failure: for a server that is away, or for a disk.
    async fn whole_waits(&self, error: &PipelineError) -> bool {
        error.is_outage() || self.store.disk.explains(error).await.is_some()
    }

    /// Does step after step until the document is ready, or stopped because it is deleted.
    async fn run_steps(
        self: &Arc<Self>,
        document: &DocumentRecord,
        scope: ReindexScope,
        reindexed: &mut ReindexedDocument,
        run: &mut Run<'_>,
        cancel: &CancellationToken,
    ) -> Result<(), PipelineError> {
        let target = run.target.clone();
        let text = text_id(&document.id, reindexed.text_generation);
        loop {
            if cancel.is_cancelled() {
                return Ok(());
            }
            let start = Instant::now();
            // Not in the catalog yet: a try that fails must not have moved.
            let mut next = reindexed.clone();
            let chunks = match reindexed.state {
                ReindexedState::Begun if scope == ReindexScope::Extract => {
                    let original = self.steps.read_original(document, &target.pipeline, |_| {}).await?;
                    next.lock = with_extractor(&next.lock, Some(&original.extractor));
                    next.metadata = original.metadata;
                    next.pages = original.pages;
                    next.text_bytes = original.document.text.len() as u64;
                    next.text_chars = original.text_chars;
                    self.store.disk.admit(original.document.text.len() as u64).await?;
                    self.store.files.write_document(&text, Arc::new(original.document)).await?;
                    next.state = ReindexedState::Extracted;
                    None
                }
                ReindexedState::Begun | ReindexedState::Extracted => {
                    let chunks = match scope {
                        ReindexScope::Nothing | ReindexScope::Embed => self.all_chunks(document).await?,
                        ReindexScope::Chunk | ReindexScope::Extract => {
                            let (chunks, warning) = self
                                .steps
                                .cut(document, &text, &target.chunker, &target.embedder.embedder().await?)
                                .await?;
                            next.metadata.remove(CHUNKER_WARNING);
                            next.metadata
                                .extend(warning.map(|warning| (CHUNKER_WARNING.to_owned(), warning.message)));
                            chunks
                        }
                    };
                    next.chunks_total = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
                    next.state = ReindexedState::Chunked;
                    Some(chunks)
                }
                ReindexedState::Chunked => {
                    if !self.embed_anew(document, reindexed, run, cancel).await? {
                        return Ok(());
                    }
                    next = reindexed.clone();
                    next.state = ReindexedState::Ready;
                    None
                }
                ReindexedState::Ready => return self.publish_progress(run).await,
            };
            if !self.store.catalog.save_reindexed(&next, chunks.as_deref()).await? {
                return Ok(());
            }
            *reindexed = next;
            if reindexed.state != ReindexedState::Ready {
                self.leave_room(start.elapsed()).await;
            }
        }
    }

    /// Puts a document's chunks into the new index: those whose text was embedded before by the same model with their old vectors.
    /// False if it was stopped.
    async fn embed_anew(
        self: &Arc<Self>,
        document: &DocumentRecord,
        reindexed: &mut ReindexedDocument,
        run: &mut Run<'_>,
        cancel: &CancellationToken,
    ) -> Result<bool, PipelineError> {
        let target = run.target.clone();
        let old_key = CollectionKey::of_generation(&document.collection_id, document.generation)?;
        let known = match serde_json::from_value::<Lock>(document.lock.clone()) {
            Ok(old) if old.model == target.lock.model => self.known_texts(document).await?,
            _ => HashMap::new(),
        };
        let mut shown = document.clone();
        shown.metadata.clone_from(&reindexed.metadata);
        let payload = payload(&shown);
        let name = readable_name(&document.filename);
        let text = text_id(&document.id, reindexed.text_generation);
        let embedder = target.embedder.embedder().await?;
        while reindexed.chunks_indexed < reindexed.chunks_total {
            let start = Instant::now();
            let chunks = self
                .store
                .catalog
                .chunks(&document.id, target.generation, reindexed.chunks_indexed, WINDOW)
                .await?;
            if chunks.is_empty() {
                return Ok(false);
            }
            let texts = self.steps.texts_to_embed(&text, &chunks).await?;
            let old: Vec<Option<u32>> = texts.iter().map(|text| known.get(&hash(text)).copied()).collect();
            let mut vectors = self.old_vectors(&old_key, &document.id, &old).await?;
            let missing: Vec<usize> = (0..texts.len()).filter(|n| vectors.get(*n).is_none_or(Option::is_none)).collect();
            let to_embed: Vec<String> = missing
                .iter()
                .filter_map(|n| texts.get(*n))
                .map(|text| named(&name, text))
                .collect();
            let reused = chunks.len() - missing.len();
            if !to_embed.is_empty() {
                let embedding = timed(MeasuredStage::Embed, embedder.embed_texts(to_embed, |_| {}));
                let embedded = tokio::select! {
                    biased;
                    () = cancel.cancelled() => return Ok(false),
                    embedded = embedding => embedded?,
                };
                for (n, vector) in missing.into_iter().zip(embedded) {
                    if let Some(place) = vectors.get_mut(n) {
                        *place = Some(vector);
                    }
                }
            }
            let terms = terms(&target, texts).await?;
            let points = chunks
                .iter()
                .zip(vectors)
                .zip(terms)
                .filter_map(|((chunk, dense), sparse)| {
                    Some(Point {
                        document_id: document.id.clone(),
                        chunk_index: chunk.index,
                        dense: dense?,
                        sparse,
                        payload: payload.clone(),
                    })
                })
                .collect();
            let indexing = async {
                self.store.index.upsert(&target.key, points).await?;
                self.store.index.flush(&target.key).await
            };
            timed(MeasuredStage::Index, indexing).await?;
            reindexed.chunks_indexed = reindexed.chunks_indexed.saturating_add(chunks.len() as u32);
            reindexed.chunks_reused = reindexed.chunks_reused.saturating_add(reused as u32);
            if cancel.is_cancelled() || !self.store.catalog.save_reindexed(reindexed, None).await? {
                return Ok(false);
            }
            self.publish_progress(run).await?;
            self.leave_room(start.elapsed()).await;
        }
        Ok(true)
    }

    /// A document's chunks, all of them.
    async fn all_chunks(&self, document: &DocumentRecord) -> Result<Vec<Chunk>, PipelineError> {
        let mut all = Vec::new();
        loop {
            let from = u32::try_from(all.len()).unwrap_or(u32::MAX);
            let part = self.store.catalog.chunks(&document.id, document.generation, from, 1_000).await?;
            if part.is_empty() {
                return Ok(all);
            }
            all.extend(part);
        }
    }

    /// Which chunk of the old generation has the vector of a text.
    async fn known_texts(&self, document: &DocumentRecord) -> Result<HashMap<TextHash, u32>, PipelineError> {
        let mut known = HashMap::new();
        let text = text_id(&document.id, document.text_generation);
        let mut from = 0;
        loop {
            let chunks = self.store.catalog.chunks(&document.id, document.generation, from, WINDOW).await?;
            if chunks.is_empty() {
                return Ok(known);
            }
            from = from.saturating_add(chunks.len() as u32);
            let texts = self.steps.texts_to_embed(&text, &chunks).await?;
            known.extend(texts.iter().zip(&chunks).map(|(text, chunk)| (hash(text), chunk.index)));
        }
    }

    /// The vectors of old chunks, in the order asked for; none for a chunk that is not there.
    async fn old_vectors(
        &self,
        key: &CollectionKey,
        document_id: &str,
        wanted: &[Option<u32>],
    ) -> Result<Vec<Option<Vec<f32>>>, PipelineError> {
        let mut indices: Vec<u32> = wanted.iter().flatten().copied().collect();
        indices.sort_unstable();
        indices.dedup();
        let mut found: HashMap<u32, Vec<f32>> = HashMap::with_capacity(indices.len());
        // One call for each run of neighbours.
        for run in indices.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let vectors = self.store.index.vectors(key, document_id, *first..last.saturating_add(1)).await?;
            found.extend((*first..).zip(vectors).filter_map(|(index, vector)| Some((index, vector?))));
        }
        Ok(wanted.iter().map(|index| found.get(index.as_ref()?).cloned()).collect())
    }

    /// What of a document has to be made again, to be as `target` makes it.
    pub(crate) fn scope_of(&self, document: &DocumentRecord, target: &Resolved, at_least: ReindexScope) -> ReindexScope {
        let Ok(old) = serde_json::from_value::<Lock>(document.lock.clone()) else {
            // Nothing is known of how it was made.
            return ReindexScope::Extract;
        };
        let extractor = self.pipelines.extractor(&target.pipeline, &document.content_type).ok();
        let extractor = extractor.as_ref().map(|stage| (stage.plugin.digest(), stage.config.as_str()));
        let needed = ReindexScope::of_document(&old, &target.lock, &document.content_type, &target.chunker.plugin, extractor);
        needed.max(at_least)
    }

    /// Leaves the embedder and the disk to uploads and questions, for as long as the settings say after so much work.
    async fn leave_room(&self, worked: Duration) {
        let percent = self.percent.clamp(1, 100);
        let pause = worked.saturating_mul(100 - percent) / percent;
        self.lifecycle.clock.sleep(pause.min(MAX_PAUSE)).await;
    }

    async fn publish_progress(&self, run: &mut Run<'_>) -> Result<(), PipelineError> {
        if run.published.is_some_and(|(at, _)| at.elapsed() < PUBLISH_EVERY) {
            return Ok(());
        }
        let Some(now) = self.store.catalog.reindex(&run.reindex.collection_id).await? else {
            return Ok(());
        };
        let progress = progress(&now);
        if run.published.is_some_and(|(_, published)| progress < published + PUBLISH_STEP) {
            return Ok(());
        }
        run.published = Some((Instant::now(), progress));
        let event = NewEvent::new("reindex_progress", progress_of(&now));
        match self.store.catalog.append_event(&run.reindex.collection_id, event).await {
            Ok(event) => self.store.publish(event),
            Err(CatalogError::CollectionNotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Removes a generation that is not to be seen again, in the background.
    fn remove_in_background(self: &Arc<Self>, collection_id: &str, generation: u32, texts: bool) {
        let (engine, id) = (self.clone(), collection_id.to_owned());
        let removal = async move {
            tokio::select! {
                // The next start removes it.
                () = engine.lifecycle.stopping.cancelled() => {}
                removed = engine.remove_generation(&id, generation, texts) => {
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

/// The hash of what the embedder reads of a chunk, without the document's name, which stays the same.
fn hash(text: &str) -> TextHash {
    Sha256::digest(text.as_bytes()).into()
}

/// A failure with the document that it is about.
fn of_document(error: PipelineError, document: &DocumentRecord) -> PipelineError {
    let failure = error.to_api_error("reindex");
    let message = format!("`{}`: {}", document.filename, failure.message);
    ApiError { message, ..failure }.with("document_id", document.id.as_str()).into()
}

/// Share of the documents that are made, 0 to 1.
fn progress(reindex: &Reindex) -> f64 {
    match (reindex.status, reindex.counts.documents_total) {
        (ReindexStatus::Success, _) => 1.0,
        (_, 0) => 0.0,
        (_, total) => (reindex.counts.documents_done as f64 / total as f64).min(1.0),
    }
}

/// A re-index as it is shown.
pub(crate) fn info(reindex: &Reindex) -> ReindexInfo {
    ReindexInfo {
        status: reindex.status.as_str().to_owned(),
        redo: reindex.scope.clone(),
        progress: progress(reindex),
        documents_total: reindex.counts.documents_total,
        documents_done: reindex.counts.documents_done,
        chunks_done: reindex.counts.chunks_done,
        chunks_reused: reindex.counts.chunks_reused,
        error: reindex
            .error
            .as_ref()
            .map(|(code, message)| json!({ "code": code, "message": message })),
        started_at: timestamp::text(reindex.started_at),
        ended_at: (reindex.status != ReindexStatus::Running).then(|| timestamp::text(reindex.updated_at)),
    }
}

/// The event that tells how a re-index ended that changed nothing.
pub(crate) fn ended(reindex: &Reindex, status: ReindexStatus) -> NewEvent {
    let last = Reindex { status, ..reindex.clone() };
    NewEvent::new("reindex_complete", progress_of(&last))
}

/// `data` of its events.
fn progress_of(reindex: &Reindex) -> Value {
    let mut data = json!(info(reindex));
    if let Some(data) = data.as_object_mut() {
        data.remove("ended_at");
        data.insert("timestamp".to_owned(), json!(timestamp::now()));
    }
    data
}
