//! The pipeline of a collection as queries use it, without models and plugins.

use super::faults::Faults;
use super::store::TestStore;
use crate::error::PipelineError;
use crate::query::query_pipeline::{Analyzer, CitationWriter, PassageScorer, QueryPipeline, QueryPipelines};
use crate::spec::policy::FailurePolicy;
use crate::spec::{OnFailure, Pipeline};
use crate::tuning::{Tuned, Tuning};
use async_trait::async_trait;
use ibid_catalog::{Chunk, Collection, Creation, Extracted, NewDocument, NewEvent};
use ibid_embed::EmbedError;
use ibid_generate::{GenerateError, Piece, Quotation, Request, Sink};
use ibid_index::{Bm25, CollectionKey, Payload, Point, SparseVector, VectorIndex};
use ibid_plugin_host::{Plan, PluginError, PluginRef, Reason, Search, Source};
use ibid_protocol::{ApiError, GeneratorInfo, Warning};
use ibid_types::document::{Attrs, Document, Span};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Returns settings whose stages may take `query_timeout`.
pub(crate) fn tuned(query_timeout: Duration) -> Arc<Tuned> {
    let tuned = Tuned::default();
    tuned.set(Tuning {
        query_timeout,
        max_concurrent_queries: 1,
        plugin_install: false,
    });
    Arc::new(tuned)
}

/// What the generator of a [`FakePipeline`] does, step by step.
#[derive(Clone)]
pub(crate) enum Step {
    /// Writes a text.
    Text(&'static str),
    /// Cites the first bytes of a passage.
    Cite(usize, u32),
    /// Fails.
    Fail,
}

/// A pipeline whose every part does what the test says. Its calls are logged, and may be held, by `faults`; a planned fault of
/// `analyze`, `fallback`, `score` or `finish` is a failure of the plugin or model.
pub(crate) struct FakePipeline {
    pub collection_id: String,
    pub collection: String,
    pub key: CollectionKey,
    pub settings: Pipeline,
    pub bm25: Bm25,
    pub language_model: bool,
    pub policy: FailurePolicy,
    pub plan: Plan,
    /// The vector of every question.
    pub vector: Vec<f32>,
    /// The scores of the reranker, if there is one.
    pub scores: Option<Result<Vec<f32>, EmbedError>>,
    pub steps: Vec<Step>,
    pub faults: Arc<Faults>,
    /// The requests that the generator got.
    pub requests: Mutex<Vec<Request>>,
}

impl FakePipeline {
    /// A pipeline that answers `Found it.`, with a citation of the first passage's first four bytes.
    pub fn new(collection_id: &str, collection: &str) -> Self {
        Self {
            collection_id: collection_id.to_owned(),
            collection: collection.to_owned(),
            key: CollectionKey::of_generation(collection_id, 0).expect("a key"),
            settings: Pipeline::default(),
            bm25: Bm25::new("english").expect("a stemmer"),
            language_model: false,
            policy: FailurePolicy {
                on_failure: OnFailure::Fail,
                has_fallback: false,
            },
            plan: Plan {
                searches: Vec::new(),
                attrs: vec![("intent".to_owned(), "definition".to_owned())],
            },
            vector: vec![1.0, 0.0, 0.0, 0.0],
            scores: None,
            steps: vec![Step::Text("Found"), Step::Text(" it."), Step::Cite(0, 4)],
            faults: Arc::default(),
            requests: Mutex::default(),
        }
    }

    async fn call(&self, method: &'static str, argument: &str) -> Result<(), PluginError> {
        match self.faults.call(method, argument).await {
            None => Ok(()),
            Some(_) => Err(broken()),
        }
    }
}

/// Returns the failure of a plugin.
pub(crate) fn broken() -> PluginError {
    PluginError {
        plugin: None::<Arc<PluginRef>>,
        reason: Reason::Trap("planned".to_owned()),
    }
}

/// Returns a search of an analyzer.
pub(crate) fn search_for(text: &str) -> Search {
    Search {
        text: text.to_owned(),
        weight: 1.0,
        filter: None,
        limit: None,
    }
}

/// The pipelines of the collections that a test has.
#[derive(Default)]
pub(crate) struct FakePipelines {
    pub pipelines: Mutex<Vec<Arc<FakePipeline>>>,
    pub faults: Faults,
}

#[async_trait]
impl QueryPipelines for FakePipelines {
    async fn find(&self, collection: &str) -> Result<Arc<dyn QueryPipeline>, PipelineError> {
        self.faults.call("find", collection).await;
        let pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        match pipelines.iter().find(|pipeline| pipeline.collection == collection) {
            Some(pipeline) => Ok(pipeline.clone()),
            None => Err(ApiError::collection_not_found(collection).into()),
        }
    }
}

#[async_trait]
impl QueryPipeline for FakePipeline {
    fn collection_id(&self) -> &str {
        &self.collection_id
    }

    fn collection(&self) -> &str {
        &self.collection
    }

    fn generation(&self) -> u32 {
        0
    }

    fn key(&self) -> &CollectionKey {
        &self.key
    }

    fn settings(&self) -> &Pipeline {
        &self.settings
    }

    fn bm25(&self) -> &Bm25 {
        &self.bm25
    }

    fn public_lock(&self) -> Option<Value> {
        Some(json!({ "model": "fake" }))
    }

    fn generator(&self) -> GeneratorInfo {
        GeneratorInfo {
            kind: "fake".to_owned(),
            ..GeneratorInfo::default()
        }
    }

    fn is_language_model(&self) -> bool {
        self.language_model
    }

    fn analyzer_name(&self) -> String {
        "fake@1.0.0".to_owned()
    }

    fn analyzer_policy(&self) -> FailurePolicy {
        self.policy
    }

    async fn analyze(&self, analyzer: Analyzer, question: &str, attrs: &Attrs) -> Result<Plan, PluginError> {
        let attrs: Vec<String> = attrs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let argument = format!("{question} {}", attrs.join(" "));
        match analyzer {
            Analyzer::Chosen => self.call("analyze", &argument).await?,
            Analyzer::Fallback => self.call("fallback", &argument).await?,
        }
        Ok(Plan {
            searches: self.plan.searches.clone(),
            attrs: self.plan.attrs.clone(),
        })
    }

    async fn embed_questions(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, PipelineError> {
        self.call("embed", &texts.join("|")).await?;
        Ok(texts.iter().map(|_| self.vector.clone()).collect())
    }

    fn reranker(&self) -> Option<Result<&dyn PassageScorer, EmbedError>> {
        match &self.scores {
            Some(Ok(_)) => Some(Ok(self)),
            Some(Err(error)) => Some(Err(error.clone())),
            None => None,
        }
    }

    async fn generate(&self, request: Request, sink: Sink) -> Result<(GeneratorInfo, Vec<Warning>), PipelineError> {
        self.faults.call("generate", &request.question).await;
        let passages = request.passages.clone();
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        for step in &self.steps {
            match step {
                Step::Text(text) => {
                    self.faults.call("say", text).await;
                    sink.write(Piece::Text((*text).to_owned())).await?;
                }
                Step::Cite(passage, length) => {
                    let start = passages.get(*passage).map_or(0, |passage| passage.at.start);
                    let quotation = Quotation {
                        passage: *passage,
                        at: Span::new(start, start + length),
                        confidence: 0.5,
                    };
                    sink.write(Piece::Support(vec![quotation])).await?;
                }
                Step::Fail => return Err(GenerateError::Embed(EmbedError::Closed).into()),
            }
        }
        Ok((self.generator(), Vec::new()))
    }

    async fn start_citations(&self) -> Result<Box<dyn CitationWriter>, PluginError> {
        self.call("start_citations", "").await?;
        Ok(Box::new(FakeCitations(self.faults.clone())))
    }
}

#[async_trait]
impl PassageScorer for FakePipeline {
    async fn score(&self, question: &str, passages: Vec<String>) -> Result<Vec<f32>, EmbedError> {
        match self.faults.call("score", format!("{question} {}", passages.len())).await {
            Some(_) => Err(EmbedError::Closed),
            None => self.scores.clone().unwrap_or_else(|| Ok(Vec::new())),
        }
    }
}

/// Marks `[1]`, `[2]`, ...
struct FakeCitations(Arc<Faults>);

#[async_trait]
impl CitationWriter for FakeCitations {
    async fn mark(&mut self, cited: &[Source]) -> Result<String, PluginError> {
        Ok(cited.iter().map(|source| format!("[{}]", source.citation_id)).collect())
    }

    async fn entry(&mut self, cited: &Source) -> Result<String, PluginError> {
        Ok(format!("{}: {}", cited.citation_id, cited.name))
    }

    async fn finish(&mut self, _cited: &[Source]) -> Result<String, PluginError> {
        match self.0.call("finish", "").await {
            None => Ok(String::new()),
            Some(_) => Err(broken()),
        }
    }

    fn finished(self: Box<Self>) -> (Vec<Warning>, Duration) {
        (Vec::new(), Duration::ZERO)
    }
}

/// Adds a live document whose text is these chunks, one after the other; a question's vector finds each of them with its score.
pub(crate) async fn add_document(test: &TestStore, collection: &Collection, filename: &str, chunks: &[(&str, f32)]) -> String {
    let text: String = chunks.iter().map(|(text, _)| *text).collect();
    let new = NewDocument {
        collection_id: collection.id.clone(),
        upload_id: None,
        filename: filename.to_owned(),
        content_type: "text/plain".to_owned(),
        file_size: text.len() as u64,
        sha256: filename
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .chain(["0".repeat(64)])
            .collect::<String>()[..64]
            .to_owned(),
        user_metadata: serde_json::Map::new(),
        lock: json!({}),
        revision: collection.revision,
    };
    let catalog = &test.store.catalog;
    let id = match catalog.create_document(new).await.expect("a document") {
        Creation::Created(document) => document.id,
        Creation::Duplicate(_) => panic!("the collection has a document of this name"),
    };
    let extracted = Extracted {
        text_bytes: text.len() as u64,
        text_chars: text.chars().count() as u64,
        lock: json!({}),
        ..Extracted::default()
    };
    let document = Document {
        text,
        units: Vec::new(),
        pages: Vec::new(),
        attrs: Vec::new(),
    };
    test.store.files.write_document(&id, Arc::new(document)).await.expect("a text");
    assert!(catalog.set_extracted(&id, &extracted).await.expect("extracted"));
    let (mut made, mut points, mut start) = (Vec::new(), Vec::new(), 0);
    for (index, (text, score)) in (0..).zip(chunks) {
        let end = start + u32::try_from(text.len()).expect("a short text");
        made.push(Chunk {
            index,
            at: Span::new(start, end),
            char_start: u64::from(start),
            char_end: u64::from(end),
            page: None,
            section: Vec::new(),
            context: Vec::new(),
            attrs: Vec::new(),
        });
        points.push(Point {
            document_id: id.clone(),
            chunk_index: index,
            dense: vec![*score, 0.0, 0.0, 0.0],
            sparse: SparseVector::default(),
            payload: Payload::default(),
        });
        start = end;
    }
    assert!(catalog.set_chunked(&id, &made).await.expect("chunked"));
    let key = CollectionKey::of_generation(&collection.id, collection.generation).expect("a key");
    test.store.index.upsert(&key, points).await.expect("indexed");
    assert!(catalog.set_progress(&id, made.len() as u32).await.expect("progress"));
    assert!(catalog.set_embedded(&id).await.expect("embedded"));
    assert!(catalog.set_indexed(&id).await.expect("indexed"));
    let event = NewEvent::new("document_added", json!({}));
    assert!(catalog.set_live(&id, 1.0, event).await.expect("live").is_some());
    id
}
