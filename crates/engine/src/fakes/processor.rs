//! A processor of documents that needs neither a model nor plugins: lines for chunks, hashes for vectors.

use super::faults::{Fault, Faults};
use super::store::DIMENSION;
use crate::error::PipelineError;
use crate::ingest::processor::{Chunker, EmbedProgress, ExtractProgress, Original, Processor, Processors, locate};
use crate::spec::reindex_scope::ReindexScope;
use crate::spec::{Lock, LockedGenerator, LockedModel, LockedPlugin, Pipeline};
use crate::store::Store;
use async_trait::async_trait;
use ibid_catalog::{Chunk, Collection, DocumentRecord, Reindex};
use ibid_index::{CollectionKey, IndexError, Outage, SparseVector};
use ibid_plugin_host::Piece;
use ibid_protocol::{ApiError, ErrorCode, Warning};
use ibid_system::disk::DiskError;
use ibid_types::document::{Document, Span};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a test may change of the processors.
#[derive(Clone)]
pub(crate) struct FakeSettings {
    /// What pipelines resolve to, but for the pipeline itself.
    pub lock: Lock,
    /// What of each document a re-index has to make again.
    pub scope: ReindexScope,
    /// The sentence that a chunker's or an extractor's fallback is reported with; absent: neither failed.
    pub warning: Option<String>,
    /// How often a collection's processor is refused because it was re-indexed.
    pub moved: u32,
    /// Code points of the longest line that a chunk takes; longer lines are cut.
    pub line: usize,
}

/// Finds [`FakeProcessor`]s. They fail where their [`Faults`] say so: an outage, a full disk, or, for `Damaged`, for good.
pub(crate) struct FakeProcessors {
    store: Arc<Store>,
    /// The calls, and the failures planned for them.
    pub faults: Arc<Faults>,
    /// What was forgotten.
    pub forgotten: Mutex<Vec<String>>,
    settings: Mutex<FakeSettings>,
}

struct FakeProcessor {
    store: Arc<Store>,
    faults: Arc<Faults>,
    settings: FakeSettings,
    key: CollectionKey,
}

/// Returns a lock of a model of this name.
pub(crate) fn lock(model: &str) -> Lock {
    Lock {
        plugins: BTreeMap::from([("chunker".to_owned(), plugin("lines"))]),
        model: LockedModel {
            name: model.to_owned(),
            sha256: model.to_owned(),
            dimension: DIMENSION as usize,
        },
        reranker: None,
        generator: LockedGenerator::default(),
        pipeline: Pipeline::default(),
    }
}

fn plugin(name: &str) -> LockedPlugin {
    LockedPlugin {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        digest: format!("sha256:{name}"),
    }
}

/// Returns the vector that a model makes of a text.
pub(crate) fn vector_of(model: &str, text: &str) -> Vec<f32> {
    let hash = hash(&format!("{model} {text}"));
    hash.to_le_bytes()
        .iter()
        .take(DIMENSION as usize)
        .map(|byte| f32::from(*byte))
        .collect()
}

/// Returns the weighted words of a text.
pub(crate) fn terms_of(text: &str) -> SparseVector {
    SparseVector {
        indices: vec![hash(text)],
        values: vec![1.0],
    }
}

fn hash(text: &str) -> u32 {
    text.bytes()
        .fold(2_166_136_261, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

fn warning(stage: &str, message: String) -> Warning {
    Warning {
        stage: stage.to_owned(),
        plugin: "broken@1.0.0".to_owned(),
        code: "PLUGIN_ERROR".to_owned(),
        reason: "trap".to_owned(),
        message,
        policy: "fallback".to_owned(),
    }
}

impl FakeProcessors {
    /// Processors over a store, of the model `one`.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            faults: Arc::default(),
            forgotten: Mutex::default(),
            settings: Mutex::new(FakeSettings {
                lock: lock("one"),
                scope: ReindexScope::Nothing,
                warning: None,
                moved: 0,
                line: 1_000,
            }),
        }
    }

    /// Returns the settings, to be changed; processors that are in use keep the old ones.
    pub fn settings(&self) -> MutexGuard<'_, FakeSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn processor(&self, collection_id: &str, generation: u32, pipeline: Pipeline) -> Result<Arc<dyn Processor>, PipelineError> {
        let mut settings = self.settings().clone();
        settings.lock.pipeline = pipeline;
        Ok(Arc::new(FakeProcessor {
            store: self.store.clone(),
            faults: self.faults.clone(),
            settings,
            key: CollectionKey::of_generation(collection_id, generation)?,
        }))
    }
}

impl Processors for FakeProcessors {
    fn of_collection(&self, collection: &Collection) -> Result<Arc<dyn Processor>, PipelineError> {
        {
            let mut settings = self.settings();
            if settings.moved > 0 {
                settings.moved -= 1;
                return Err(PipelineError::Moved);
            }
        }
        let pipeline = Pipeline::parse(collection.pipeline.clone())?;
        self.processor(&collection.id, collection.generation, pipeline)
    }

    fn of_reindex(&self, collection: &Collection, reindex: &Reindex) -> Result<Arc<dyn Processor>, PipelineError> {
        let pipeline = Pipeline::parse(reindex.pipeline.clone())?;
        self.processor(&collection.id, reindex.generation, pipeline)
    }

    fn forget(&self, collection_id: &str) {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        forgotten.push(collection_id.to_owned());
    }
}

impl FakeProcessor {
    async fn call(&self, method: &'static str, argument: impl std::fmt::Display) -> Result<(), PipelineError> {
        match self.faults.call(method, argument).await {
            None => Ok(()),
            Some(Fault::Outage) => Err(IndexError::Unavailable {
                outage: Outage::Unreachable,
                cause: "planned".into(),
            }
            .into()),
            Some(Fault::DiskFull) => Err(DiskError::Full.into()),
            Some(Fault::Damaged) => Err(ApiError::new(ErrorCode::ProcessingError, "planned").into()),
        }
    }
}

#[async_trait]
impl Processor for FakeProcessor {
    fn key(&self) -> &CollectionKey {
        &self.key
    }

    fn pipeline(&self) -> &Pipeline {
        &self.settings.lock.pipeline
    }

    fn lock(&self) -> &Lock {
        &self.settings.lock
    }

    async fn extract(&self, document: &DocumentRecord, progress: ExtractProgress) -> Result<Original, PipelineError> {
        self.call("extract", &document.filename).await?;
        progress(0.5);
        let mut text = String::new();
        let mut file = self.store.files.open(&document.sha256).await?;
        file.read_to_string(&mut text).expect("a file of text");
        let extracted = Document {
            text,
            units: Vec::new(),
            pages: Vec::new(),
            attrs: vec![("title".to_owned(), format!("Title of {}", document.filename))],
        };
        let failed = self.settings.warning.clone().map(|message| warning("extractors", message));
        Original::new(&document.filename, extracted, plugin("text"), failed)
    }

    async fn chunk(
        &self,
        record: &DocumentRecord,
        text_id: &str,
        chunker: Chunker,
    ) -> Result<(Vec<Chunk>, Option<Warning>), PipelineError> {
        self.call("chunk", format!("{} {chunker:?}", record.filename)).await?;
        let document = self.store.files.read_document(text_id).await?;
        let mut pieces = Vec::new();
        let mut start = 0;
        for line in document.text.split_inclusive('\n') {
            let end = start + line.len();
            let mut from = start;
            while from < end {
                let to = end.min(from + self.settings.line);
                if document.text.get(from..to).is_some_and(|part| !part.trim().is_empty()) {
                    pieces.push(Piece {
                        at: Span::new(from as u32, to as u32),
                        context: Vec::new(),
                        attrs: Vec::new(),
                    });
                }
                from = to;
            }
            start = end;
        }
        let failed = self.settings.warning.clone().map(|message| warning("chunker", message));
        Ok((locate(&document, pieces), failed))
    }

    async fn embed(&self, texts: Vec<String>, progress: EmbedProgress) -> Result<Vec<Vec<f32>>, PipelineError> {
        self.call("embed", texts.len()).await?;
        (1..=texts.len()).for_each(progress);
        let model = &self.settings.lock.model.name;
        Ok(texts.iter().map(|text| vector_of(model, text)).collect())
    }

    async fn terms(&self, texts: Vec<String>) -> Result<Vec<SparseVector>, PipelineError> {
        self.call("terms", texts.len()).await?;
        Ok(texts.iter().map(|text| terms_of(text)).collect())
    }

    fn scope_of(&self, _document: &DocumentRecord, at_least: ReindexScope) -> ReindexScope {
        self.settings.scope.max(at_least)
    }
}
