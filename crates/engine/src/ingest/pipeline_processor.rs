//! The processor of documents that runs the models and plugins of a collection's pipeline.

use crate::error::PipelineError;
use crate::ingest::processor::{Chunker, EmbedProgress, ExtractProgress, Original, Processor, Processors, locate};
use crate::spec::chunker_imports::chunker_imports;
use crate::spec::pipelines::{Pipelines, Resolved, Stage, locked};
use crate::spec::policy::Rescue;
use crate::spec::reindex_scope::ReindexScope;
use crate::spec::{Lock, Pipeline};
use crate::store::Store;
use async_trait::async_trait;
use ibid_catalog::{Chunk, Collection, DocumentRecord, Reindex};
use ibid_index::{CollectionKey, SparseVector};
use ibid_plugin_host::{Blob, FileBlob};
use ibid_protocol::{ApiError, ErrorCode, Warning};
use ibid_types::document::Span;
use std::sync::Arc;

/// Finds processors among the pipelines.
pub(crate) struct PipelineProcessors {
    pub store: Arc<Store>,
    pub pipelines: Arc<Pipelines>,
}

impl PipelineProcessors {
    fn of(&self, resolved: Arc<Resolved>) -> Arc<dyn Processor> {
        Arc::new(PipelineProcessor {
            store: self.store.clone(),
            pipelines: self.pipelines.clone(),
            resolved,
        })
    }
}

impl Processors for PipelineProcessors {
    fn of_collection(&self, collection: &Collection) -> Result<Arc<dyn Processor>, PipelineError> {
        Ok(self.of(self.pipelines.resolve_collection(collection)?))
    }

    fn of_reindex(&self, collection: &Collection, reindex: &Reindex) -> Result<Arc<dyn Processor>, PipelineError> {
        let pipeline = Pipeline::parse(reindex.pipeline.clone())?;
        let resolved = self.pipelines.resolve_stored(&collection.id, &collection.name, pipeline)?;
        Ok(self.of(Arc::new(Resolved {
            key: CollectionKey::of_generation(&collection.id, reindex.generation)?,
            generation: reindex.generation,
            ..resolved
        })))
    }

    fn forget(&self, collection_id: &str) {
        self.pipelines.forget(collection_id);
    }
}

/// Runs a pipeline.
struct PipelineProcessor {
    store: Arc<Store>,
    pipelines: Arc<Pipelines>,
    resolved: Arc<Resolved>,
}

#[async_trait]
impl Processor for PipelineProcessor {
    fn key(&self) -> &CollectionKey {
        &self.resolved.key
    }

    fn pipeline(&self) -> &Pipeline {
        &self.resolved.pipeline
    }

    fn lock(&self) -> &Lock {
        &self.resolved.lock
    }

    async fn extract(&self, document: &DocumentRecord, progress: ExtractProgress) -> Result<Original, PipelineError> {
        let stage = self.pipelines.extractor(&self.resolved.pipeline, &document.content_type)?;
        let source: Arc<dyn Blob> = Arc::new(FileBlob::new(self.store.files.open(&document.sha256).await?).map_err(unreadable)?);
        let read = async |stage: &Stage| {
            let progress = progress.clone();
            self.pipelines
                .host
                .extract(&stage.plugin, &stage.config, source.clone(), &stage.budget, move |done| {
                    progress(f64::from(done))
                })
                .await
        };
        let (extracted, extractor, warning) = match read(&stage).await {
            Ok(extracted) => (extracted, &stage, None),
            Err(error) => match stage.rescue("extractors", error)? {
                (Rescue::Fallback(stage), warning) => (read(stage).await?, stage, Some(warning)),
                // A pipeline that would skip the extractor is not admitted.
                (Rescue::Skip, warning) => return Err(ApiError::new(ErrorCode::PluginError, warning.message).into()),
            },
        };
        Original::new(&document.filename, extracted, locked(&extractor.plugin), warning)
    }

    async fn chunk(
        &self,
        record: &DocumentRecord,
        text_id: &str,
        chunker: Chunker,
    ) -> Result<(Vec<Chunk>, Option<Warning>), PipelineError> {
        let stage = match chunker {
            Chunker::OfDocument => self.pipelines.chunker_of(record, &self.resolved)?,
            Chunker::OfPipeline => self.resolved.chunker.clone(),
        };
        let embedder = self.resolved.embedder.embedder().await?;
        let mut document = self.store.files.read_document(text_id).await?;
        // What a chunker may want to know of the file, beside what the file says of itself.
        document.attrs.push(("filename".to_owned(), record.filename.clone()));
        document.attrs.push(("media-type".to_owned(), record.content_type.clone()));
        let document = Arc::new(document);
        let whole = Span::new(0, u32::try_from(document.text.len()).unwrap_or(u32::MAX));
        let cut = async |stage: &Stage| {
            let imports = chunker_imports(stage, &embedder);
            let host = &self.pipelines.host;
            host.chunk(&stage.plugin, &stage.config, &document, whole, imports, &stage.budget)
                .await
        };
        let (pieces, warning) = match cut(&stage).await {
            Ok(pieces) => (pieces, None),
            Err(error) => match stage.rescue("chunker", error)? {
                (Rescue::Fallback(stage), warning) => (cut(stage).await?, Some(warning)),
                // A pipeline that would skip the chunker is not admitted.
                (Rescue::Skip, warning) => return Err(ApiError::new(ErrorCode::PluginError, warning.message).into()),
            },
        };
        let chunks = tokio::task::spawn_blocking(move || locate(&document, pieces)).await?;
        Ok((chunks, warning))
    }

    async fn embed(&self, texts: Vec<String>, progress: EmbedProgress) -> Result<Vec<Vec<f32>>, PipelineError> {
        Ok(self.resolved.embedder.embedder().await?.embed_texts(texts, progress).await?)
    }

    async fn terms(&self, texts: Vec<String>) -> Result<Vec<SparseVector>, PipelineError> {
        let resolved = self.resolved.clone();
        Ok(tokio::task::spawn_blocking(move || texts.iter().map(|text| resolved.bm25.document(text)).collect()).await?)
    }

    fn scope_of(&self, document: &DocumentRecord, at_least: ReindexScope) -> ReindexScope {
        self.pipelines.scope_of(document, &self.resolved, at_least)
    }
}

fn unreadable(error: std::io::Error) -> PipelineError {
    tracing::error!(%error, "a stored file cannot be read");
    ApiError::new(ErrorCode::InternalError, "the stored file cannot be read").into()
}
