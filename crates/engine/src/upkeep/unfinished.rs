//! What upkeep asks of ingest and re-indexing, as a trait, and how the real ones answer.

use crate::error::PipelineError;
use crate::ingest::Ingest;
use crate::ingest::reindex::Reindexer;
use async_trait::async_trait;
use ibid_catalog::DocumentRecord;
use std::sync::Arc;

/// Continues work that a stop, a crash or an outage interrupted.
#[async_trait]
pub(crate) trait UnfinishedWork: Send + Sync {
    /// Continues the processing of a document, in the background. `upload_id` is its upload, where that is still open.
    fn resume_document(&self, document: DocumentRecord, upload_id: Option<String>);

    /// Continues every re-index that is running, in the background.
    async fn resume_reindexes(&self) -> Result<(), PipelineError>;
}

/// The ingest and the re-indexing of this server.
pub(crate) struct BackgroundWork {
    /// Processes documents.
    pub ingest: Arc<Ingest>,
    /// Re-indexes collections.
    pub reindexer: Arc<Reindexer>,
}

#[async_trait]
impl UnfinishedWork for BackgroundWork {
    fn resume_document(&self, document: DocumentRecord, upload_id: Option<String>) {
        self.ingest.resume(document, upload_id);
    }

    async fn resume_reindexes(&self) -> Result<(), PipelineError> {
        self.reindexer.resume_all().await
    }
}
