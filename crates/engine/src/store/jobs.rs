//! Jobs that others may have to stop: documents in processing, re-indexes.

use crate::error::PipelineError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The jobs of this server.
#[derive(Default)]
pub(crate) struct Jobs {
    /// Documents in processing, by document.
    pub ingesting: JobRegistry,
    /// Collections that are re-indexed, by collection.
    pub reindexing: JobRegistry,
    /// Documents that a re-index processes again, by document.
    pub reprocessing: JobRegistry,
}

/// Jobs of one kind, by the identifier of their object.
#[derive(Default)]
pub struct JobRegistry(Arc<Mutex<Begun>>);

#[derive(Default)]
struct Begun {
    jobs: HashMap<String, Entry>,
    /// How many were begun.
    number: u64,
}

struct Entry {
    number: u64,
    cancel: CancellationToken,
    ended: CancellationToken,
    writes: TaskTracker,
}

/// A job that runs. It has ended when this is dropped, also by a panic.
pub struct RunningJob {
    /// Cancelled when it is to stop.
    pub cancel: CancellationToken,
    /// What it is writing. That goes on when the job is stopped, and is over when [`JobRegistry::stop`] returns.
    pub writes: TaskTracker,
    jobs: Arc<Mutex<Begun>>,
    id: String,
    number: u64,
    ended: CancellationToken,
}

impl JobRegistry {
    /// Registers a job about `id` that begins, to be stopped by `cancel`.
    pub fn begin(&self, id: &str, cancel: CancellationToken) -> RunningJob {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.number += 1;
        let (number, ended, writes) = (begun.number, CancellationToken::new(), TaskTracker::new());
        let entry = Entry {
            number,
            cancel: cancel.clone(),
            ended: ended.clone(),
            writes: writes.clone(),
        };
        begun.jobs.insert(id.to_owned(), entry);
        RunningJob {
            cancel,
            writes,
            jobs: self.0.clone(),
            id: id.to_owned(),
            number,
            ended,
        }
    }

    fn get(&self, id: &str) -> Option<(CancellationToken, CancellationToken, TaskTracker)> {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = begun.jobs.get(id)?;
        Some((entry.cancel.clone(), entry.ended.clone(), entry.writes.clone()))
    }

    /// Returns whether there is a job about `id`.
    pub fn has(&self, id: &str) -> bool {
        self.get(id).is_some()
    }

    /// Returns what the job about `id` is writing. That goes on when the job is stopped, and is over when [`stop`](Self::stop) returns.
    pub fn writes(&self, id: &str) -> TaskTracker {
        self.get(id).map(|(_, _, writes)| writes).unwrap_or_default()
    }

    /// Stops the job about `id`, if there is one, and waits until it has ended, with all that it was writing.
    pub async fn stop(&self, id: &str) {
        if let Some((cancel, ended, writes)) = self.get(id) {
            cancel.cancel();
            ended.cancelled().await;
            writes.close();
            writes.wait().await;
        }
    }

    /// Waits until the job about `id` has ended, if there is one.
    pub async fn ended(&self, id: &str) {
        if let Some((_, ended, _)) = self.get(id) {
            ended.cancelled().await;
        }
    }
}

impl RunningJob {
    /// Writes something, to the end also if the job is stopped. Whoever stops it waits for that.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PipelineError>> + Send + 'static,
    ) -> Result<T, PipelineError> {
        self.writes.spawn(work.in_current_span()).await?
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        let mut begun = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.jobs.get(&self.id).is_some_and(|entry| entry.number == self.number) {
            begun.jobs.remove(&self.id);
        }
        drop(begun);
        self.ended.cancel();
    }
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
