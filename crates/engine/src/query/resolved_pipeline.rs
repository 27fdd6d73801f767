//! The pipelines of collections as queries use them: over the models and plugins that are installed.

use crate::error::PipelineError;
use crate::query::query_pipeline::{Analyzer, CitationWriter, PassageScorer, QueryPipeline, QueryPipelines};
use crate::spec::Pipeline;
use crate::spec::pipelines::{Pipelines, Resolved};
use crate::spec::policy::{Citing, FailurePolicy};
use async_trait::async_trait;
use ibid_embed::{EmbedError, Reranker};
use ibid_generate::{Request, Sink};
use ibid_index::{Bm25, CollectionKey};
use ibid_plugin_host::{Host, Plan, PluginError, Source};
use ibid_protocol::{GeneratorInfo, Warning};
use ibid_types::document::Attrs;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// A resolved pipeline, and what runs its plugins.
struct ResolvedPipeline {
    resolved: Arc<Resolved>,
    host: Host,
}

#[async_trait]
impl QueryPipelines for Pipelines {
    async fn find(&self, collection: &str) -> Result<Arc<dyn QueryPipeline>, PipelineError> {
        Ok(Arc::new(ResolvedPipeline {
            resolved: self.resolved(collection).await?,
            host: self.host.clone(),
        }))
    }
}

#[async_trait]
impl QueryPipeline for ResolvedPipeline {
    fn collection_id(&self) -> &str {
        &self.resolved.collection_id
    }

    fn collection(&self) -> &str {
        &self.resolved.collection
    }

    fn generation(&self) -> u32 {
        self.resolved.generation
    }

    fn key(&self) -> &CollectionKey {
        &self.resolved.key
    }

    fn settings(&self) -> &Pipeline {
        &self.resolved.pipeline
    }

    fn bm25(&self) -> &Bm25 {
        &self.resolved.bm25
    }

    fn public_lock(&self) -> Option<Value> {
        self.resolved.lock.to_public()
    }

    fn generator(&self) -> GeneratorInfo {
        self.resolved.generator.info()
    }

    fn is_language_model(&self) -> bool {
        self.resolved.generator.is_language_model()
    }

    fn analyzer_name(&self) -> String {
        let analyzer = self.resolved.analyzer.plugin.manifest();
        format!("{}@{}", analyzer.name, analyzer.version)
    }

    fn analyzer_policy(&self) -> FailurePolicy {
        self.resolved.analyzer.failure_policy()
    }

    async fn analyze(&self, analyzer: Analyzer, question: &str, attrs: &Attrs) -> Result<Plan, PluginError> {
        let chosen = &self.resolved.analyzer;
        let stage = match (analyzer, chosen.fallback.as_deref()) {
            (Analyzer::Fallback, Some(fallback)) => fallback,
            (Analyzer::Fallback, None) | (Analyzer::Chosen, _) => chosen,
        };
        self.host
            .analyze(&stage.plugin, &stage.config, question, attrs, &stage.budget)
            .await
    }

    async fn embed_questions(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, PipelineError> {
        Ok(self.resolved.embedder.embed_queries(texts).await?)
    }

    fn reranker(&self) -> Option<Result<&dyn PassageScorer, EmbedError>> {
        self.resolved.reranker.as_ref().map(|reranker| match reranker {
            Ok(reranker) => Ok(reranker as &dyn PassageScorer),
            Err(error) => Err(error.clone()),
        })
    }

    async fn generate(&self, request: Request, sink: Sink) -> Result<(GeneratorInfo, Vec<Warning>), PipelineError> {
        self.resolved.generator.generate(request, sink).await
    }

    async fn start_citations(&self) -> Result<Box<dyn CitationWriter>, PluginError> {
        Ok(Box::new(Citing::start(&self.host, &self.resolved.formatter).await?))
    }
}

#[async_trait]
impl PassageScorer for Reranker {
    async fn score(&self, question: &str, passages: Vec<String>) -> Result<Vec<f32>, EmbedError> {
        Self::score(self, question, passages).await
    }
}

#[async_trait]
impl CitationWriter for Citing {
    async fn mark(&mut self, cited: &[Source]) -> Result<String, PluginError> {
        Self::mark(self, cited).await
    }

    async fn entry(&mut self, cited: &Source) -> Result<String, PluginError> {
        Self::entry(self, cited).await
    }

    async fn finish(&mut self, cited: &[Source]) -> Result<String, PluginError> {
        Self::finish(self, cited).await
    }

    fn finished(self: Box<Self>) -> (Vec<Warning>, Duration) {
        Self::finished(*self)
    }
}
