//! What runs beside requests: publishing events, watching the disk and the Qdrant server, repairing at start, backups, and health.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod health;
pub(crate) mod load;
pub(crate) mod observe;
pub(crate) mod reconcile;
pub(crate) mod restore;

use crate::error::PipelineError;
use crate::ingest::Ingest;
use crate::ingest::reindex::Reindexer;
use crate::ingest::reports::UploadReports;
use crate::ingest::uploads::Uploads;
use crate::lifecycle::Lifecycle;
use crate::manage::collections::Collections;
use crate::manage::documents::Documents;
use crate::manage::placement::Placement;
use crate::peers::Peers;
use crate::retry::Backoff;
use crate::spec::pipelines::Pipelines;
use crate::store::Store;
use crate::store::announcements::wire;
use ibid_catalog::Event;
use ibid_types::IndexBackend;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events that are read from the log at a time.
const PAGE: u32 = 100;
/// How often the disk is checked: a system call that takes microseconds.
const CHECK_DISK: Duration = Duration::from_secs(1);
/// Pauses between tries of a Qdrant server that is away.
const RETRY_REMOTE: Duration = Duration::from_millis(500);
const RETRY_REMOTE_AT_MOST: Duration = Duration::from_secs(10);
/// The shortest time between two `collection_stats` events of a collection.
const PUBLISH_STATISTICS_EVERY: Duration = Duration::from_secs(1);

/// Keeps the durable state consistent and subscribers informed, in the background.
pub(crate) struct Upkeep {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub pipelines: Arc<Pipelines>,
    pub collections: Arc<Collections>,
    pub documents: Arc<Documents>,
    pub placement: Arc<Placement>,
    pub ingest: Arc<Ingest>,
    pub reindexer: Arc<Reindexer>,
    pub uploads: Arc<Uploads>,
    pub reports: Arc<UploadReports>,
    pub lifecycle: Lifecycle,
}

impl Upkeep {
    /// Starts the background tasks; `last` is the number of the newest event that needs no publishing.
    pub fn start(self: &Arc<Self>, last: u64) {
        let tasks = &self.lifecycle.tasks;
        tasks.spawn(self.clone().publish_events(last));
        tasks.spawn(self.clone().publish_statistics());
        tasks.spawn(self.clone().watch_disk());
        if self.store.index.has_remote() {
            tasks.spawn(self.clone().watch_remote());
        }
        tasks.spawn(self.uploads.clone().expire());
        tasks.spawn(self.clone().unload_models());
    }

    /// Returns the number of the newest event in the catalog's log.
    pub async fn newest_event(&self) -> Result<u64, PipelineError> {
        Ok(self.store.catalog.events_since(u64::MAX, None, 1).await?.last_seq)
    }

    /// Tells events as they come, those after the number `last`; runs until the engine stops.
    pub(crate) async fn publish_events(self: Arc<Self>, mut last: u64) {
        loop {
            tokio::select! {
                () = self.lifecycle.stopping.cancelled() => return,
                () = self.store.announcements.notified() => {}
            }
            while let Some((seq, event)) = self.store.announcements.take() {
                if seq <= last {
                    // It was found in the log.
                    continue;
                }
                match event {
                    Some(event) => {
                        if seq > last + 1 {
                            self.publish_between(last, seq).await;
                        }
                        self.store.events.publish_collection(wire(event));
                    }
                    None => self.publish_between(last, seq.saturating_add(1)).await,
                }
                last = seq;
            }
        }
    }

    /// Tells what the log has between two numbers.
    async fn publish_between(&self, mut after: u64, before: u64) {
        loop {
            let page = match self.store.catalog.events_since(after, None, PAGE).await {
                Ok(replay) => replay.events,
                Err(error) => return tracing::warn!(%error, "events were not told, since the log cannot be read"),
            };
            let whole = page.len() < PAGE as usize;
            for event in page {
                after = event.seq;
                if after >= before {
                    return;
                }
                self.learn(&event);
                self.store.events.publish_collection(wire(event));
            }
            if whole {
                return;
            }
        }
    }

    /// Takes note of what may have happened at another server.
    fn learn(&self, event: &Event) {
        if self.peers.is_shared() {
            self.store.visibility.changed();
            if event.kind == "collection_deleted" {
                self.collections.forget_collection(&event.collection_id);
            }
        }
    }

    /// Looks after the disk, for as long as the engine runs. When it is well again, deletions that it broke off are finished; whoever
    /// waits for it goes on.
    pub(crate) async fn watch_disk(self: Arc<Self>) {
        loop {
            if !self.lifecycle.sleep(CHECK_DISK).await {
                return;
            }
            if self.store.disk.disk_error().is_none() {
                let _ = self.store.disk.check(0).await;
                continue;
            }
            if self.store.disk.try_recover().await.is_err() {
                continue;
            }
            if let Err(error) = self.finish_deletions(IndexBackend::Embedded).await {
                if self.store.disk.explains(&error).await.is_some() {
                    continue;
                }
                tracing::error!(%error, "deletions that a full disk broke off are not finished: the next start does it");
            }
            tracing::info!("the disk can be written again");
            self.store.disk.recovered();
            self.store.statistics.wake();
        }
    }

    /// Looks after the Qdrant server, for as long as the engine runs: waits while it is away, and when it is back mends what was
    /// left undone, before anyone who waits for it goes on.
    pub(crate) async fn watch_remote(self: Arc<Self>) {
        let mut away = self.store.index.away();
        let (mut is_away, mut backoff) = (
            false,
            Backoff::new(self.lifecycle.clock.clone(), RETRY_REMOTE, RETRY_REMOTE_AT_MOST),
        );
        loop {
            let back = async {
                self.store.index.at(IndexBackend::Qdrant)?.health().await?;
                self.mend(IndexBackend::Qdrant).await
            };
            let outcome = tokio::select! {
                () = self.lifecycle.stopping.cancelled() => return,
                outcome = back => outcome,
            };
            match outcome {
                Err(PipelineError::Index(error)) if error.is_outage() => {
                    if !is_away {
                        tracing::warn!(error = error.detail(), "the Qdrant server cannot be used; waiting for it");
                        is_away = true;
                    }
                    tokio::select! {
                        () = self.lifecycle.stopping.cancelled() => return,
                        () = backoff.wait() => {}
                    }
                    continue;
                }
                Err(error) => tracing::error!(%error, "what is in the Qdrant server was not wholly compared with the catalog"),
                Ok(()) if is_away => tracing::info!("the Qdrant server is back"),
                Ok(()) => {}
            }
            is_away = false;
            backoff.reset();
            self.store.index.set_away(false);
            tokio::select! {
                () = self.lifecycle.stopping.cancelled() => return,
                gone = away.wait_for(|away| *away) => if gone.is_err() { return },
            }
            // A server that answers and yet fails now and then is not to be compared with the catalog all the time.
            if !self.lifecycle.sleep(RETRY_REMOTE).await {
                return;
            }
        }
    }

    /// Unloads models that nobody uses.
    pub(crate) async fn unload_models(self: Arc<Self>) {
        let pause = (self.pipelines.models.unload_after() / 4).clamp(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            if !self.lifecycle.sleep(pause).await {
                return;
            }
            for model in self.pipelines.models.unload_unused(Instant::now()) {
                tracing::info!(model, "a model is unloaded: nobody has used it for long");
            }
        }
    }

    /// Tells changed statistics, each collection's at most once a second.
    pub(crate) async fn publish_statistics(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.lifecycle.stopping.cancelled() => return,
                () = self.store.statistics.notified() => {}
            }
            let changed = self.store.statistics.take();
            for collection_id in changed {
                if let Err(error) = self.store.publish_statistics_of(&collection_id).await {
                    tracing::warn!(collection_id, %error, "statistics were not told");
                    if self.store.disk.explains(&error).await.is_some() {
                        // They are when it is well again.
                        self.store.statistics.put_back(collection_id);
                    }
                }
            }
            if !self.lifecycle.sleep(PUBLISH_STATISTICS_EVERY).await {
                return;
            }
        }
    }
}
