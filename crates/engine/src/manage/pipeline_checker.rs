//! What collections ask of the pipelines, as a trait, and how the real ones answer.

use crate::error::PipelineError;
use crate::spec::Pipeline;
use crate::spec::pipelines::Pipelines;
use crate::store::unwritable;
use ibid_catalog::Collection;
use serde_json::Value;

/// A pipeline that runs on what is installed.
pub(crate) struct CheckedPipeline {
    /// The pipeline as the catalog keeps it, with the names of its models written out.
    pub pipeline: Value,
    /// The exact plugins and models that it resolved to.
    pub lock: Value,
}

/// Checks pipelines against the models and plugins that are installed.
pub(crate) trait PipelineChecker: Send + Sync {
    /// Checks the pipeline of a new collection.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, which names the key that is wrong.
    fn check(&self, collection: &str, pipeline: Pipeline) -> Result<CheckedPipeline, PipelineError>;

    /// Checks that a collection's pipeline still runs.
    ///
    /// # Errors
    /// A model or a plugin is missing, or is another one under the same name.
    fn check_collection(&self, collection: &Collection) -> Result<(), PipelineError>;

    /// Returns the dimension of the default model, for collections whose lock does not say one.
    fn default_dimension(&self) -> usize;

    /// Forgets what the pipeline of a deleted collection resolved to.
    fn forget_deleted(&self, collection_id: &str);
}

impl PipelineChecker for Pipelines {
    fn check(&self, collection: &str, pipeline: Pipeline) -> Result<CheckedPipeline, PipelineError> {
        let resolved = self.resolve("unnamed", collection, pipeline)?;
        Ok(CheckedPipeline {
            pipeline: serde_json::to_value(&resolved.pipeline).map_err(unwritable)?,
            lock: serde_json::to_value(&resolved.lock).map_err(unwritable)?,
        })
    }

    fn check_collection(&self, collection: &Collection) -> Result<(), PipelineError> {
        self.resolve_collection(collection).map(|_| ())
    }

    fn default_dimension(&self) -> usize {
        self.models.default_embedder().info().dimension
    }

    fn forget_deleted(&self, collection_id: &str) {
        self.drop_resolved(collection_id);
    }
}
