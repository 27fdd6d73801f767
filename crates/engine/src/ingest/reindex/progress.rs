//! The progress of a re-index, as clients and subscribers see it.

use super::{Reindexer, Run};
use crate::error::PipelineError;
use crate::timestamp;
use ibid_catalog::{CatalogError, NewEvent, Reindex, ReindexStatus};
use ibid_protocol::ReindexInfo;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Progress is published this often at most, and for every hundredth: the log of events is bounded.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
const PUBLISH_STEP: f64 = 0.01;

/// Decides when the progress of a re-index is published.
#[derive(Debug, Default)]
pub(super) struct ProgressPace {
    /// When progress was published last, and which.
    published: Option<(Instant, f64)>,
}

impl ProgressPace {
    /// Returns whether it is too soon after the last time.
    pub fn is_soon(&self, now: Instant) -> bool {
        self.published
            .is_some_and(|(at, _)| now.saturating_duration_since(at) < PUBLISH_EVERY)
    }

    /// Returns whether `progress` is to be published, and takes note that it is.
    pub fn admit(&mut self, now: Instant, progress: f64) -> bool {
        if self.is_soon(now) || self.published.is_some_and(|(_, last)| progress < last + PUBLISH_STEP) {
            return false;
        }
        self.published = Some((now, progress));
        true
    }
}

impl Reindexer {
    /// Publishes how far a re-index is, if that is due.
    pub(super) async fn publish_progress(&self, run: &mut Run<'_>) -> Result<(), PipelineError> {
        if run.pace.is_soon(Instant::now()) {
            return Ok(());
        }
        let Some(now) = self.store.catalog.reindex(&run.reindex.collection_id).await? else {
            return Ok(());
        };
        if !run.pace.admit(Instant::now(), progress(&now)) {
            return Ok(());
        }
        let event = NewEvent::new("reindex_progress", progress_of(&now));
        match self.store.catalog.append_event(&run.reindex.collection_id, event).await {
            Ok(event) => self.store.publish(event),
            Err(CatalogError::CollectionNotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Returns the share of the documents that are made, 0 to 1.
fn progress(reindex: &Reindex) -> f64 {
    match (reindex.status, reindex.counts.documents_total) {
        (ReindexStatus::Success, _) => 1.0,
        (_, 0) => 0.0,
        (_, total) => (reindex.counts.documents_done as f64 / total as f64).min(1.0),
    }
}

/// Returns a re-index as clients see it.
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

/// Returns the event for the end of a re-index that changed nothing.
pub(crate) fn ended(reindex: &Reindex, status: ReindexStatus) -> NewEvent {
    let last = Reindex { status, ..reindex.clone() };
    NewEvent::new("reindex_complete", progress_of(&last))
}

/// Returns the `data` of its events.
pub(super) fn progress_of(reindex: &Reindex) -> Value {
    let mut data = json!(info(reindex));
    if let Some(data) = data.as_object_mut() {
        data.remove("ended_at");
        data.insert("timestamp".to_owned(), json!(timestamp::now()));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_published_once_a_second_and_for_every_hundredth() {
        let (start, second) = (Instant::now(), PUBLISH_EVERY);
        let mut pace = ProgressPace::default();
        assert!(pace.admit(start, 0.0), "the first");
        assert!(!pace.admit(start + second / 2, 0.5), "too soon");
        assert!(!pace.admit(start + second, 0.005), "too little");
        assert!(pace.admit(start + second, 0.01));
        assert!(pace.is_soon(start + second * 3 / 2));
        assert!(!pace.is_soon(start + second * 2));
    }
}
