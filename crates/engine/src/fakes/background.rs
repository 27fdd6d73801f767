//! Ingest and re-indexing that only note what they are given.

use crate::error::PipelineError;
use crate::ingest::Job;
use crate::ingest::uploads::seams::IngestQueue;
use crate::upkeep::unfinished::UnfinishedWork;
use async_trait::async_trait;
use ibid_catalog::DocumentRecord;
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps what it is given, and does none of it.
#[derive(Default)]
pub(crate) struct FakeWork {
    jobs: Mutex<Vec<Job>>,
    resumed: Mutex<Vec<(String, Option<String>)>>,
    reindexes: Mutex<u32>,
}

impl FakeWork {
    /// Takes the documents whose processing was started.
    pub fn take_jobs(&self) -> Vec<Job> {
        std::mem::take(&mut self.jobs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the documents that were resumed, each with its upload.
    pub fn resumed(&self) -> Vec<(String, Option<String>)> {
        self.resumed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how often re-indexes were resumed.
    pub fn reindexes(&self) -> u32 {
        *self.reindexes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IngestQueue for FakeWork {
    fn start(self: Arc<Self>, job: Job) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push(job);
    }
}

#[async_trait]
impl UnfinishedWork for FakeWork {
    fn resume_document(&self, document: DocumentRecord, upload_id: Option<String>) {
        self.resumed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((document.id, upload_id));
    }

    async fn resume_reindexes(&self) -> Result<(), PipelineError> {
        *self.reindexes.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Ok(())
    }
}
