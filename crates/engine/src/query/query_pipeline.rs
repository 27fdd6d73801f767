//! What a query asks of a collection's pipeline: the seam between the flow of a query on one side, and models and plugins on the other.

use crate::error::PipelineError;
use crate::spec::Pipeline;
use crate::spec::policy::FailurePolicy;
use async_trait::async_trait;
use ibid_embed::EmbedError;
use ibid_generate::{Request, Sink};
use ibid_index::{Bm25, CollectionKey};
use ibid_plugin_host::{Plan, PluginError, Source};
use ibid_protocol::{GeneratorInfo, Warning};
use ibid_types::document::Attrs;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Finds the pipelines of collections.
#[async_trait]
pub(crate) trait QueryPipelines: Send + Sync {
    /// Returns the pipeline of a collection, by its name.
    ///
    /// # Errors
    /// `COLLECTION_NOT_FOUND`; a pipeline that does not fit what is installed.
    async fn find(&self, collection: &str) -> Result<Arc<dyn QueryPipeline>, PipelineError>;
}

/// Which analyzer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Analyzer {
    /// The one that the pipeline names.
    Chosen,
    /// The one that it falls back to.
    Fallback,
}

/// A collection's pipeline, as queries use it. It stays as it is while a query runs.
#[async_trait]
pub(crate) trait QueryPipeline: Send + Sync {
    /// Returns the collection's identifier.
    fn collection_id(&self) -> &str;

    /// Returns the collection's name.
    fn collection(&self) -> &str;

    /// Returns the generation of the collection that is searched.
    fn generation(&self) -> u32;

    /// Returns the generation, as the index knows it.
    fn key(&self) -> &CollectionKey;

    /// Returns the pipeline as it was written.
    fn settings(&self) -> &Pipeline;

    /// Returns what makes sparse vectors.
    fn bm25(&self) -> &Bm25;

    /// Returns what the pipeline resolved to, as each answer shows it.
    fn public_lock(&self) -> Option<Value>;

    /// Returns what is known of the generator before it has written anything.
    fn generator(&self) -> GeneratorInfo;

    /// Returns whether a language model writes the answers: it understands a passage the better, the more of it there is.
    fn is_language_model(&self) -> bool;

    /// Returns the analyzer's `name@version`.
    fn analyzer_name(&self) -> String;

    /// Returns what follows when the analyzer fails.
    fn analyzer_policy(&self) -> FailurePolicy;

    /// Asks an analyzer.
    async fn analyze(&self, analyzer: Analyzer, question: &str, attrs: &Attrs) -> Result<Plan, PluginError>;

    /// Returns the dense vectors of questions, in their order.
    async fn embed_questions(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, PipelineError>;

    /// Returns what orders passages, where the pipeline names one: or why it cannot.
    fn reranker(&self) -> Option<Result<&dyn PassageScorer, EmbedError>>;

    /// Writes the answer to `sink`; returns who wrote it, and warnings. Dropping the future stops the generator.
    async fn generate(&self, request: Request, sink: Sink) -> Result<(GeneratorInfo, Vec<Warning>), PipelineError>;

    /// Starts the citation formatter for one answer.
    async fn start_citations(&self) -> Result<Box<dyn CitationWriter>, PluginError>;
}

/// Scores passages by reading each together with the question.
#[async_trait]
pub(crate) trait PassageScorer: Send + Sync {
    /// Returns a score in [0,1] for each passage.
    async fn score(&self, question: &str, passages: Vec<String>) -> Result<Vec<f32>, EmbedError>;
}

/// Writes the citations of one answer. What it returns is empty where the pipeline goes on without a formatter that failed.
#[async_trait]
pub(crate) trait CitationWriter: Send + Sync {
    /// Returns the marker that follows a statement.
    async fn mark(&mut self, cited: &[Source]) -> Result<String, PluginError>;

    /// Returns a citation's text.
    async fn entry(&mut self, cited: &Source) -> Result<String, PluginError>;

    /// Returns the text that follows the answer.
    async fn finish(&mut self, cited: &[Source]) -> Result<String, PluginError>;

    /// Returns the warnings, and the time that the formatter took.
    fn finished(self: Box<Self>) -> (Vec<Warning>, Duration);
}
