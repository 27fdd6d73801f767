//! What runs beside requests: publishing events, watching the disk and the Qdrant server, repairing at start, backups, and health.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod health;
pub(crate) mod load;
pub(crate) mod models;
pub(crate) mod observe;
pub(crate) mod reconcile;
pub(crate) mod restore;
pub(crate) mod unfinished;

use crate::error::PipelineError;
use crate::ingest::reports::UploadReports;
use crate::ingest::uploads::Uploads;
use crate::lifecycle::Lifecycle;
use crate::manage::collections::Collections;
use crate::manage::documents::Documents;
use crate::manage::pipeline_checker::PipelineChecker;
use crate::manage::placement::Placement;
use crate::peers::Peers;
use crate::retry::Backoff;
use crate::store::Store;
use crate::store::announcements::wire;
use ibid_catalog::Event;
use ibid_types::IndexBackend;
use std::sync::Arc;
use std::time::Duration;
use unfinished::UnfinishedWork;

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
    /// What checks pipelines.
    pub pipelines: Arc<dyn PipelineChecker>,
    pub collections: Arc<Collections>,
    pub documents: Arc<Documents>,
    pub placement: Arc<Placement>,
    /// Documents and re-indexes that were interrupted.
    pub unfinished: Arc<dyn UnfinishedWork>,
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
    }

    /// Returns the number of the newest event in the catalog's log.
    pub async fn newest_event(&self) -> Result<u64, PipelineError> {
        Ok(self.store.catalog.events_since(u64::MAX, None, 1).await?.last_seq)
    }

    /// Publishes events as they are recorded, those after number `last`. Runs until the engine stops.
    pub(crate) async fn publish_events(self: Arc<Self>, mut last: u64) {
        loop {
            tokio::select! {
                () = self.lifecycle.stopping.cancelled() => return,
                () = self.store.announcements.notified() => {}
            }
            while let Some((seq, event)) = self.store.announcements.take() {
                if seq <= last {
                    // It was read from the log before.
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

    /// Publishes the events that the log has between two numbers.
    async fn publish_between(&self, mut after: u64, before: u64) {
        loop {
            let page = match self.store.catalog.events_since(after, None, PAGE).await {
                Ok(replay) => replay.events,
                Err(error) => return tracing::warn!(%error, "events were not published, because the log cannot be read"),
            };
            let whole = page.len() < PAGE as usize;
            for event in page {
                after = event.seq;
                if after >= before {
                    return;
                }
                self.invalidate(&event);
                self.store.events.publish_collection(wire(event));
            }
            if whole {
                return;
            }
        }
    }

    /// Drops what is cached of what another server may have changed.
    fn invalidate(&self, event: &Event) {
        if self.peers.is_shared() {
            self.store.visibility.changed();
            if event.kind == "collection_deleted" {
                self.collections.forget_collection(&event.collection_id);
            }
        }
    }

    /// Checks the disk until the engine stops. When it is writable again, finishes the deletions that it interrupted, then wakes whoever waits
    /// for the disk.
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
                tracing::error!(%error, "deletions that a full disk interrupted are not finished: the next start finishes them");
            }
            tracing::info!("the disk is writable again");
            self.store.disk.recovered();
            self.store.statistics.wake();
        }
    }

    /// Watches the Qdrant server until the engine stops. When it is back, repairs what is in it before anyone who waits for it goes on.
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
                        tracing::warn!(error = error.detail(), "the Qdrant server is unavailable; waiting for it");
                        is_away = true;
                    }
                    tokio::select! {
                        () = self.lifecycle.stopping.cancelled() => return,
                        () = backoff.wait() => {}
                    }
                    continue;
                }
                Err(error) => tracing::error!(%error, "the collections in the Qdrant server were not all compared with the catalog"),
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
            // A server that fails now and then must not be compared with the catalog all the time.
            if !self.lifecycle.sleep(RETRY_REMOTE).await {
                return;
            }
        }
    }

    /// Publishes changed statistics, at most once a second for each collection.
    pub(crate) async fn publish_statistics(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.lifecycle.stopping.cancelled() => return,
                () = self.store.statistics.notified() => {}
            }
            let changed = self.store.statistics.take();
            for collection_id in changed {
                if let Err(error) = self.store.publish_statistics_of(&collection_id).await {
                    tracing::warn!(collection_id, %error, "statistics were not published");
                    if self.store.disk.explains(&error).await.is_some() {
                        // They are published when the disk is writable again.
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

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
