//! From a pipeline to what runs it: plugins by digest, the stemmer, the budgets.

use crate::error::PipelineError;
use crate::spec::checks::{check_config, check_grants, check_model, check_skip};
use crate::spec::generator::GeneratorStage;
use crate::spec::{Lock, LockedModel, LockedPlugin, LockedReranker, OnFailure, Pipeline, PluginChoice};
use crate::store::Store;
use crate::store::leases::Lease;
use ibid_catalog::{Collection, DocumentRecord};
use ibid_embed::{EmbedError, Model, ModelInfo, Models, Reranker};
use ibid_generate::Llm;
use ibid_index::{Bm25, CollectionKey};
use ibid_plugin_host::{Budget, Host, Kind, Plugin, Registry};
use ibid_protocol::ApiError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// A plugin that a stage runs, with its configuration and budget.
#[derive(Clone)]
pub struct Stage {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Its configuration, as JSON text.
    pub config: String,
    /// Its budget.
    pub budget: Budget,
    /// What to do when it fails.
    pub on_failure: OnFailure,
    /// What to go on with, where it falls back.
    pub fallback: Option<Arc<Stage>>,
}

impl Stage {
    /// A plugin in its default configuration, whose failure is final.
    pub(crate) fn of(plugin: Arc<Plugin>, pipeline: &Pipeline) -> Self {
        Self {
            budget: budget(plugin.kind(), pipeline),
            plugin,
            config: "{}".to_owned(),
            on_failure: OnFailure::Fail,
            fallback: None,
        }
    }
}

/// A collection's pipeline, ready to run.
pub struct Resolved {
    /// The collection's identifier.
    pub collection_id: String,
    /// The generation of the collection that it searches, or makes.
    pub generation: u32,
    /// The collection's revision that it is of.
    pub(crate) revision: u64,
    /// The generation, as the index knows it.
    pub key: CollectionKey,
    /// Keeps the generation from being removed.
    pub(crate) _lease: Option<Arc<Lease>>,
    /// The collection's name.
    pub collection: String,
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Cuts documents into chunks.
    pub chunker: Stage,
    /// Makes dense vectors.
    pub embedder: Model,
    /// Understands questions.
    pub analyzer: Stage,
    /// Orders passages, where the pipeline names one: or why it cannot.
    pub reranker: Option<Result<Reranker, EmbedError>>,
    /// Makes answers.
    pub generator: GeneratorStage,
    /// Writes citations.
    pub formatter: Stage,
    /// Makes sparse vectors.
    pub bm25: Bm25,
    /// What all of it resolved to.
    pub lock: Lock,
}

/// The models, plugins and language models that are installed, and the pipelines that run on them.
pub(crate) struct Pipelines {
    pub store: Arc<Store>,
    /// The embedding models and rerankers.
    pub models: Models,
    /// Runs plugins.
    pub host: Host,
    /// The plugins.
    pub registry: Registry,
    /// The language models.
    pub llm: Llm,
    /// What follows when a language model gives no answer, where a pipeline does not say.
    pub llm_on_failure: OnFailure,
    /// One permit: to change what is installed, or a pipeline that was checked against it.
    pub changes: Arc<Semaphore>,
    /// The pipelines of collections that are in use.
    pub cache: Mutex<Resolutions>,
}

impl Pipelines {
    /// The pipeline of a live collection.
    pub(crate) async fn resolved(&self, collection: &str) -> Result<Arc<Resolved>, PipelineError> {
        loop {
            let found = self.store.catalog.collection(collection).await?;
            match self.resolve_collection(&found) {
                // It was re-indexed between the two: it is of a later generation by now.
                Err(PipelineError::Moved) => {}
                other => return other,
            }
        }
    }

    /// The pipeline of a collection. It is kept while the collection is as it was.
    pub(crate) fn resolve_collection(&self, collection: &Collection) -> Result<Arc<Resolved>, PipelineError> {
        let installed = {
            let pipelines = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = pipelines.resolved.get(&collection.id)
                && known.revision == collection.revision
            {
                return Ok(known.clone());
            }
            pipelines.installed
        };
        let pipeline = Pipeline::parse(collection.pipeline.clone())?;
        let key = CollectionKey::of_generation(&collection.id, collection.generation)?;
        let lease = self.store.leases.take(&key).ok_or(PipelineError::Moved)?;
        let resolved = Resolved {
            key,
            generation: collection.generation,
            revision: collection.revision,
            _lease: Some(lease),
            // A collection whose reranker is gone still answers, as its passages were found.
            ..self.resolve_stored(&collection.id, &collection.name, pipeline)?
        };
        check_model(collection, &resolved.lock.model)?;
        let resolved = Arc::new(resolved);
        if matches!(resolved.reranker, Some(Err(_))) {
            // It may be there the next time.
            return Ok(resolved);
        }
        let mut pipelines = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // What was installed meanwhile may be another plugin than was found: this is good for one use.
        let newer = |known: &Arc<Resolved>| known.revision > collection.revision;
        if pipelines.installed == installed && !pipelines.resolved.get(&collection.id).is_some_and(newer) {
            pipelines.resolved.insert(collection.id.clone(), resolved.clone());
        }
        Ok(resolved)
    }

    /// Checks a pipeline against what is installed, naming the key that is wrong.
    pub(crate) fn resolve(&self, collection_id: &str, collection: &str, pipeline: Pipeline) -> Result<Resolved, PipelineError> {
        let resolved = self.resolve_stored(collection_id, collection, pipeline)?;
        match &resolved.reranker {
            Some(Err(error)) => Err(ApiError::validation("pipeline.reranker.model", error.to_string()).into()),
            _ => Ok(resolved),
        }
    }

    /// The same of a pipeline that was checked when it was put in place; what an answer can do without may be missing.
    pub(crate) fn resolve_stored(&self, collection_id: &str, collection: &str, mut pipeline: Pipeline) -> Result<Resolved, PipelineError> {
        let choice = &pipeline.embedder;
        let embedder = self.models.find(&choice.model, choice.precision).map_err(|error| match error {
            EmbedError::ModelUnknown { .. } | EmbedError::WrongKind { .. } => {
                ApiError::validation("pipeline.embedder.model", error.to_string())
            }
            other => PipelineError::from(other).to_api_error("embedder"),
        })?;
        let model = embedder.info();
        pipeline.embedder.model.clone_from(&model.name);
        let chunker = self.stage(Kind::Chunker, "pipeline.chunker", &pipeline.chunker, &pipeline)?;
        let analyzer = self.stage(Kind::Analyzer, "pipeline.analyzer", &pipeline.analyzer, &pipeline)?;
        let formatter = self.stage(Kind::Formatter, "pipeline.citations", &pipeline.citations, &pipeline)?;
        for (media_type, extractor) in &pipeline.extractors {
            self.stage(
                Kind::Extractor,
                &format!("pipeline.extractors.{media_type}"),
                &extractor.choice(),
                &pipeline,
            )?;
        }
        let bm25 = Bm25::new(&pipeline.retrieval.language)
            .map_err(|error| ApiError::validation("pipeline.retrieval.language", error.to_string()))?;
        let reranker = pipeline
            .reranker
            .as_ref()
            .map(|choice| self.models.find_reranker(&choice.model, choice.precision));
        let generator = self.generator_stage(&pipeline.generator, &embedder)?;
        let plugins = [("chunker", &chunker), ("analyzer", &analyzer), ("citations", &formatter)]
            .into_iter()
            .map(|(stage, Stage { plugin, .. })| (stage.to_owned(), locked(plugin)))
            .collect();
        let lock = Lock {
            plugins,
            model: locked_model(model),
            reranker: reranker.as_ref().and_then(|reranker| reranker.as_ref().ok()).map(locked_reranker),
            generator: generator.locked.clone(),
            pipeline: pipeline.clone(),
        };
        Ok(Resolved {
            collection_id: collection_id.to_owned(),
            generation: 0,
            revision: 0,
            key: CollectionKey::of_generation(collection_id, 0)?,
            _lease: None,
            collection: collection.to_owned(),
            pipeline,
            chunker,
            embedder,
            analyzer,
            reranker,
            generator,
            formatter,
            bm25,
            lock,
        })
    }

    /// The extractor for a media type: the pipeline's own choice, else the installed one.
    pub(crate) fn extractor(&self, pipeline: &Pipeline, media_type: &str) -> Result<Stage, PipelineError> {
        match pipeline.extractors.get(media_type) {
            Some(extractor) => self.stage(
                Kind::Extractor,
                &format!("pipeline.extractors.{media_type}"),
                &extractor.choice(),
                pipeline,
            ),
            None => {
                let plugin = self
                    .registry
                    .extractor_for(media_type)
                    .ok_or_else(|| self.unsupported(media_type))?;
                Ok(Stage::of(plugin, pipeline))
            }
        }
    }

    /// The pipeline of a collection for one upload that asks for other chunks. A chunker says in its
    /// schema which of its settings they mean: by `"x-upload-field": "chunk_size"` (or
    /// `"chunk_overlap"`) on the setting, whose unit is the chunker's own.
    pub(crate) fn lock_for_upload(
        &self,
        resolved: &Resolved,
        chunk_size: Option<u64>,
        chunk_overlap: Option<u64>,
    ) -> Result<Lock, ApiError> {
        let mut lock = resolved.lock.clone();
        let plugin = &resolved.chunker.plugin;
        for (field, given) in [("chunk_size", chunk_size), ("chunk_overlap", chunk_overlap)] {
            let Some(given) = given else { continue };
            let settings = plugin.manifest().config_schema.get("properties").and_then(Value::as_object);
            let meant = settings.and_then(|settings| {
                let mut settings = settings.iter();
                settings.find(|(_, schema)| schema.get("x-upload-field").and_then(Value::as_str) == Some(field))
            });
            let Some((setting, _)) = meant else {
                let name = &plugin.manifest().name;
                return Err(ApiError::validation(
                    field,
                    format!("means nothing to this collection's chunker, `{name}`"),
                ));
            };
            let config = &mut lock.pipeline.chunker.config;
            match config.as_object_mut() {
                Some(config) => config.insert(setting.clone(), given.into()),
                None => {
                    return Err(ApiError::validation(
                        field,
                        "cannot be set: the chunker's configuration is no object",
                    ));
                }
            };
            if let Err(error) = check_config(plugin, "pipeline.chunker.config", config) {
                let issue = error.details.get("issue").and_then(Value::as_str).unwrap_or("is out of range");
                return Err(ApiError::validation(field, issue));
            }
        }
        Ok(lock)
    }

    /// The chunker of a document: its lock's, which differs from the collection's where the upload
    /// asked for other chunks.
    pub(crate) fn chunker_of(&self, document: &DocumentRecord, resolved: &Resolved) -> Result<Stage, PipelineError> {
        match serde_json::from_value::<Lock>(document.lock.clone()) {
            Ok(lock) if lock.pipeline.chunker != resolved.pipeline.chunker => {
                self.stage(Kind::Chunker, "pipeline.chunker", &lock.pipeline.chunker, &lock.pipeline)
            }
            _ => Ok(resolved.chunker.clone()),
        }
    }

    /// Forgets what a collection's pipeline resolved to: who has read the old one and not yet resolved it must not keep it.
    pub(crate) fn forget(&self, collection_id: &str) {
        let mut pipelines = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines.installed += 1;
        pipelines.resolved.remove(collection_id);
    }

    /// Has every pipeline be resolved anew, with what is installed now.
    pub(crate) fn forget_all(&self) {
        let mut pipelines = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        pipelines.installed += 1;
        pipelines.resolved.clear();
    }

    /// Drops what the pipeline of a deleted collection resolved to.
    pub(crate) fn drop_resolved(&self, collection_id: &str) {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .resolved
            .remove(collection_id);
    }

    fn unsupported(&self, media_type: &str) -> ApiError {
        let mut known: Vec<String> = self
            .registry
            .list()
            .iter()
            .flat_map(|plugin| plugin.manifest().media_types.clone())
            .collect();
        known.sort();
        known.dedup();
        let known = known.join(", ");
        ApiError::new(
            ibid_protocol::ErrorCode::UnsupportedMediaType,
            format!("no extractor is installed for {media_type}; files of these types can be read: {known}"),
        )
        .with("content_type", media_type)
    }

    fn stage(&self, kind: Kind, key: &str, choice: &PluginChoice, pipeline: &Pipeline) -> Result<Stage, PipelineError> {
        let plugin = self
            .registry
            .resolve(kind, &choice.plugin)
            .map_err(|error| ApiError::validation(&format!("{key}.plugin"), error.to_string()))?;
        check_config(&plugin, &format!("{key}.config"), &choice.config)?;
        check_grants(&plugin, key, &choice.grants)?;
        let fallback = match choice.on_failure {
            OnFailure::Fail => None,
            OnFailure::Skip => {
                check_skip(kind, key)?;
                None
            }
            OnFailure::Fallback => Some(Arc::new(Stage::of(self.shipped(kind, key, &plugin)?, pipeline))),
        };
        Ok(Stage {
            config: choice.config.to_string(),
            budget: budget(kind, pipeline),
            on_failure: choice.on_failure,
            fallback,
            plugin,
        })
    }

    /// What ships for a stage, to go on with when `plugin` fails.
    fn shipped(&self, kind: Kind, key: &str, plugin: &Plugin) -> Result<Arc<Plugin>, PipelineError> {
        let own = Pipeline::default();
        let found = match kind {
            Kind::Chunker => self.registry.resolve(kind, &own.chunker.plugin).ok(),
            Kind::Analyzer => self.registry.resolve(kind, &own.analyzer.plugin).ok(),
            Kind::Formatter => self.registry.resolve(kind, &own.citations.plugin).ok(),
            // The key ends in the media type.
            Kind::Extractor => self
                .registry
                .extractor_for(key.trim_start_matches("pipeline.extractors."))
                .or_else(|| self.registry.extractor_for("text/plain")),
        };
        match found {
            Some(found) if found.digest() != plugin.digest() => Ok(found),
            _ => {
                let name = &plugin.manifest().name;
                let issue = format!("there is nothing to fall back to from `{name}`: it is what ships for this stage");
                Err(ApiError::validation(&format!("{key}.on_failure"), issue).into())
            }
        }
    }
}

/// How a model stands in a lock.
fn locked_model(model: &ModelInfo) -> LockedModel {
    LockedModel {
        name: model.name.clone(),
        sha256: model.model_sha256.clone(),
        dimension: model.dimension,
    }
}

/// How a reranker stands in a lock.
fn locked_reranker(reranker: &Reranker) -> LockedReranker {
    let info = reranker.info();
    LockedReranker {
        name: info.name.clone(),
        sha256: info.model_sha256.clone(),
    }
}

/// How a plugin stands in a lock.
pub(crate) fn locked(plugin: &Plugin) -> LockedPlugin {
    let manifest = plugin.manifest();
    LockedPlugin {
        name: manifest.name.clone(),
        version: manifest.version.to_string(),
        digest: plugin.digest().to_owned(),
    }
}

fn budget(kind: Kind, pipeline: &Pipeline) -> Budget {
    let mut budget = Budget::of(kind);
    if let Some(memory) = pipeline.limits.memory_mb {
        budget.memory_bytes = u64::from(memory) * 1024 * 1024;
    }
    if let Some(deadline) = pipeline.limits.deadline_ms {
        budget.deadline = Duration::from_millis(deadline);
    }
    if let Some(output) = pipeline.limits.output_mb {
        budget.output_bytes = output as usize * 1024 * 1024;
    }
    if let Some(calls) = pipeline.limits.host_calls {
        budget.host_calls = calls;
    }
    if let Some(elements) = pipeline.limits.table_elements {
        budget.table_elements = elements as usize;
    }
    budget
}

/// Pipelines in use.
#[derive(Default)]
pub struct Resolutions {
    /// By the collection's identifier.
    pub resolved: BTreeMap<String, Arc<Resolved>>,
    /// How often what is installed has changed.
    pub installed: u64,
}
