//! What uploads ask of the pipelines and of ingest, as traits, and how the real ones answer.

use crate::error::PipelineError;
use crate::ingest::{Ingest, Job};
use crate::spec::pipelines::Pipelines;
use ibid_catalog::Collection;
use serde_json::Value;
use std::sync::Arc;

/// Makes the locks of new documents.
pub(crate) trait DocumentLocks: Send + Sync {
    /// Returns the lock of a document of this type that is uploaded to a collection, with chunks of another size where the upload asks for them.
    ///
    /// # Errors
    /// No extractor reads the type, the chunk size means nothing to the chunker, or the collection's pipeline does not run.
    fn lock_for_upload(
        &self,
        collection: &Collection,
        content_type: &str,
        chunk_size: Option<u64>,
        chunk_overlap: Option<u64>,
    ) -> Result<Value, PipelineError>;
}

/// Takes documents whose bytes are complete.
pub(crate) trait IngestQueue: Send + Sync {
    /// Starts to process a document, in the background.
    fn start(self: Arc<Self>, job: Job);
}

impl DocumentLocks for Pipelines {
    fn lock_for_upload(
        &self,
        collection: &Collection,
        content_type: &str,
        chunk_size: Option<u64>,
        chunk_overlap: Option<u64>,
    ) -> Result<Value, PipelineError> {
        let resolved = self.resolve_collection(collection)?;
        self.extractor(&resolved.pipeline, content_type)?;
        let lock = Self::lock_for_upload(self, &resolved, chunk_size, chunk_overlap)?;
        Ok(serde_json::to_value(&lock).unwrap_or_default())
    }
}

impl IngestQueue for Ingest {
    fn start(self: Arc<Self>, job: Job) {
        Self::start(&self, job);
    }
}
