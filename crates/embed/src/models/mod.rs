//! The installed models, and which of them are loaded. Each is loaded once, for all users.
//!
//! A model is loaded when it is first used, on a thread of its own; others that need it meanwhile wait for the same load. The default model
//! is loaded from the start and stays. Others are unloaded when they were unused for long, or when another model needs the memory.

mod installed;
#[cfg(test)]
mod tests;

use installed::bytes;
pub use installed::{InstalledModel, installed};

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    EmbedError, Embedder, EmbedderSettings, EmbedderStats, ModelInfo, ModelKind, Precision, Reranker, Runtime, model::is_plain,
    session::Processor, stats::Counters,
};

/// How many models are loaded, and for how long.
#[derive(Clone, Debug)]
pub struct ModelsSettings {
    /// The most models that are loaded at a time, including the default one; at least 1. The same model in two precisions counts twice.
    pub most: usize,
    /// How long a model other than the default one stays loaded while it is unused.
    pub unload_after: Duration,
    /// The settings of each model's embedder. Its precision applies where a pipeline names none.
    pub embedder: EmbedderSettings,
}

/// The installed models. A cheap handle: clones share what is loaded.
#[derive(Clone)]
pub struct Models {
    shared: Arc<Shared>,
}

/// A loaded model in a precision. A model that replaced another one of the same name has another key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    kind: ModelKind,
    precision: Precision,
    model_sha256: String,
}

impl Key {
    fn of(info: &ModelInfo, precision: Precision) -> Self {
        Self {
            name: info.name.clone(),
            kind: info.kind,
            precision,
            model_sha256: info.model_sha256.clone(),
        }
    }
}

/// A model that is loaded, or will be.
type Loaded = watch::Receiver<Option<Result<Embedder, EmbedError>>>;

struct Shared {
    runtime: Runtime,
    directory: PathBuf,
    settings: ModelsSettings,
    default: Embedder,
    default_key: Key,
    /// The counters of embedding models.
    counters: Arc<Counters>,
    /// The counters of rerankers.
    pairs: Arc<Counters>,
    /// All loaded models but the default one; `None` once closed.
    slots: Mutex<Option<BTreeMap<Key, Slot>>>,
}

struct Slot {
    loaded: Loaded,
    /// When it was last requested, or seen in use.
    used: Instant,
}

impl Slot {
    /// Returns whether it is loaded and no other code holds it. New handles are made under the same lock.
    fn is_idle(&self) -> bool {
        matches!(&*self.loaded.borrow(), Some(Ok(embedder)) if embedder.is_idle())
    }
}

/// An installed model in one precision, which is loaded when it is used. A cheap handle.
#[derive(Clone)]
pub struct Model {
    models: Models,
    key: Key,
    info: Arc<ModelInfo>,
}

impl Models {
    /// Opens the models in `directory`, and loads the one called `default` (or at that whole path). Blocks for up to a few seconds.
    ///
    /// # Errors
    /// As [`Embedder::open`], of the default model; [`EmbedError::WrongKind`] if that is a reranker.
    pub fn open(runtime: Runtime, directory: &Path, default: &str, settings: ModelsSettings) -> Result<Self, EmbedError> {
        let counters = Arc::new(Counters::default());
        let embedder = Embedder::open_counted(&runtime, &directory.join(default), settings.embedder.clone(), Arc::clone(&counters))?;
        if embedder.info().kind != ModelKind::Embedding {
            return Err(wrong_kind(embedder.info(), ModelKind::Embedding));
        }
        let key = Key::of(embedder.info(), embedder.placement().precision);
        Ok(Self {
            shared: Arc::new(Shared {
                runtime,
                directory: directory.to_owned(),
                settings,
                default: embedder,
                default_key: key,
                counters,
                pairs: Arc::default(),
                slots: Mutex::new(Some(BTreeMap::new())),
            }),
        })
    }

    /// Returns the default model, which is always loaded.
    #[must_use]
    pub fn default_embedder(&self) -> &Embedder {
        &self.shared.default
    }

    /// Returns the embedding model of that name, or the default one for an empty name; in a precision, or in that of the settings. Reads
    /// its description, a small file, and loads nothing.
    ///
    /// # Errors
    /// [`EmbedError::ModelUnknown`], [`EmbedError::WrongKind`] for a reranker, or a description that cannot be used.
    pub fn find(&self, name: &str, precision: Option<Precision>) -> Result<Model, EmbedError> {
        let shared = &self.shared;
        let info = if name.is_empty() || name == shared.default_key.name {
            shared.default.info().clone()
        } else {
            self.describe(name, ModelKind::Embedding)?
        };
        Ok(self.handle(info, precision))
    }

    /// Returns the reranker of that name, in a precision or in that of the settings. Reads its description, a small file, and loads
    /// nothing.
    ///
    /// # Errors
    /// [`EmbedError::ModelUnknown`], [`EmbedError::WrongKind`] for an embedding model, or a description that cannot be used.
    pub fn find_reranker(&self, name: &str, precision: Option<Precision>) -> Result<Reranker, EmbedError> {
        let default = self.shared.default.info();
        if name == default.name {
            return Err(wrong_kind(default, ModelKind::Reranker));
        }
        let info = self.describe(name, ModelKind::Reranker)?;
        Ok(Reranker(self.handle(info, precision)))
    }

    fn handle(&self, info: ModelInfo, precision: Option<Precision>) -> Model {
        let shared = &self.shared;
        let precision = precision
            .filter(|precision| *precision != Precision::Auto)
            .unwrap_or(shared.settings.embedder.precision);
        // Precisions that compute the same are loaded once.
        let processor = match shared.default.placement().device.as_str() {
            "cpu" => Processor::Cpu,
            _ => Processor::Cuda(0),
        };
        let precision = match precision.on(processor) {
            Precision::Int8 if info.ready.is_some() => Precision::Fp32,
            precision => precision,
        };
        Model {
            models: self.clone(),
            key: Key::of(&info, precision),
            info: Arc::new(info),
        }
    }

    fn describe(&self, name: &str, kind: ModelKind) -> Result<ModelInfo, EmbedError> {
        let unknown = || EmbedError::ModelUnknown {
            name: name.chars().take(100).collect(),
            kind,
        };
        // Clients write pipelines: a name must be a directory in this one, and no other path.
        if !is_plain(name) {
            return Err(unknown());
        }
        match ModelInfo::read(&self.shared.directory.join(name)) {
            Ok(info) if info.kind != kind => Err(EmbedError::WrongKind {
                name: name.to_owned(),
                found: info.kind,
                wanted: kind,
            }),
            Ok(info) => Ok(ModelInfo {
                name: name.to_owned(),
                ..info
            }),
            Err(EmbedError::FileMissing { .. }) => Err(unknown()),
            Err(other) => Err(other),
        }
    }

    /// Returns the installed models by name, the default one first. Skips directories without a model. Blocks.
    #[must_use]
    pub fn installed(&self) -> Vec<InstalledModel> {
        let mut loaded: BTreeMap<String, Vec<Precision>> = BTreeMap::new();
        for (name, precision) in self.loaded() {
            loaded.entry(name).or_default().push(precision);
        }
        let default = self.shared.default.info();
        let mut models = installed(&self.shared.directory);
        models.retain(|model| model.info.name != default.name);
        models.insert(
            0,
            InstalledModel {
                info: default.clone(),
                bytes: bytes(self.shared.default.directory(), default),
                default: true,
                loaded: Vec::new(),
            },
        );
        for model in &mut models {
            model.loaded = loaded.remove(&model.info.name).unwrap_or_default();
        }
        models
    }

    /// Returns the models that are loaded or being loaded: their names, with their precisions.
    #[must_use]
    pub fn loaded(&self) -> Vec<(String, Precision)> {
        let slots = self.slots();
        let others = slots.iter().flat_map(BTreeMap::keys).cloned();
        let all = [self.shared.default_key.clone()].into_iter().chain(others);
        all.map(|key| (key.name, key.precision)).collect()
    }

    /// Returns the totals of all embedding models so far, and the current length of their queues.
    #[must_use]
    pub fn stats(&self) -> EmbedderStats {
        let mut embedders = self.loaded_of(ModelKind::Embedding);
        embedders.push(self.shared.default.clone());
        Self::sum(&embedders, &self.shared.counters)
    }

    /// Returns the same of all rerankers, whose texts are pairs.
    #[must_use]
    pub fn reranker_stats(&self) -> EmbedderStats {
        Self::sum(&self.loaded_of(ModelKind::Reranker), &self.shared.pairs)
    }

    /// Returns all loaded models but the default one.
    fn loaded_of(&self, kind: ModelKind) -> Vec<Embedder> {
        let slots = self.slots();
        let of_kind = slots.iter().flatten().filter(|(key, _)| key.kind == kind);
        let loaded = of_kind.filter_map(|(_, slot)| slot.loaded.borrow().clone()?.ok());
        loaded.collect()
    }

    fn sum(embedders: &[Embedder], counters: &Counters) -> EmbedderStats {
        let queued: Vec<EmbedderStats> = embedders.iter().map(Embedder::stats).collect();
        let queries = queued.iter().map(|stats| stats.queued_queries).sum();
        let documents = queued.iter().map(|stats| stats.queued_documents).sum();
        counters.read(queries, documents)
    }

    /// Unloads the models that were unused for [`ModelsSettings::unload_after`] before `now`, and returns their names. Call it
    /// periodically: each call notes which models are in use.
    pub fn unload_unused(&self, now: Instant) -> Vec<String> {
        let mut unloaded = Vec::new();
        let after = self.shared.settings.unload_after;
        if let Some(slots) = self.slots().as_mut() {
            slots.retain(|key, slot| {
                if !slot.is_idle() {
                    slot.used = slot.used.max(now);
                }
                let stays = now.saturating_duration_since(slot.used) < after;
                if !stays {
                    unloaded.push(key.name.clone());
                }
                stays
            });
        }
        unloaded
    }

    /// Returns how long an unused model stays loaded.
    #[must_use]
    pub fn unload_after(&self) -> Duration {
        self.shared.settings.unload_after
    }

    /// Drops what waits, and returns when all threads have ended. From then on, nothing is loaded.
    pub async fn close(&self) {
        let slots = self.slots().take().unwrap_or_default();
        self.shared.default.close().await;
        for (_, mut slot) in slots {
            // A model that is still being loaded is closed as soon as it is there.
            let loaded = slot.loaded.wait_for(Option::is_some).await.ok().and_then(|loaded| loaded.clone());
            if let Some(Ok(embedder)) = loaded {
                embedder.close().await;
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, Option<BTreeMap<Key, Slot>>> {
        self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the loaded model. Dropping the future does not stop the load, since others may wait for it.
    async fn load(&self, key: &Key, now: Instant) -> Result<Embedder, EmbedError> {
        if *key == self.shared.default_key {
            return Ok(self.shared.default.clone());
        }
        let mut loaded = {
            let mut slots = self.slots();
            let slots = slots.as_mut().ok_or(EmbedError::Closed)?;
            if let Some(slot) = slots.get_mut(key) {
                slot.used = slot.used.max(now);
                // Held from here on, so that it is not unloaded before it is used.
                if let Some(Ok(embedder)) = &*slot.loaded.borrow() {
                    return Ok(embedder.clone());
                }
                slot.loaded.clone()
            } else {
                self.make_room(slots)?;
                let (sender, loaded) = watch::channel(None);
                let slot = Slot {
                    loaded: loaded.clone(),
                    used: now,
                };
                slots.insert(key.clone(), slot);
                tokio::spawn(self.clone().load_into(key.clone(), sender));
                loaded
            }
        };
        match loaded.wait_for(Option::is_some).await {
            Ok(loaded) => loaded.clone().unwrap_or(Err(EmbedError::Closed)),
            Err(_) => Err(EmbedError::Closed),
        }
    }

    /// Unloads the least recently used model that is idle, if as many as allowed are loaded.
    fn make_room(&self, slots: &mut BTreeMap<Key, Slot>) -> Result<(), EmbedError> {
        let most = self.shared.settings.most.max(1);
        if slots.len() + 1 < most {
            return Ok(());
        }
        let idle = slots.iter().filter(|(_, slot)| slot.is_idle());
        let oldest = idle.min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone());
        let Some(oldest) = oldest else {
            return Err(EmbedError::TooManyModels { most });
        };
        tracing::info!(model = oldest.name, "a model is unloaded, since another one needs its memory");
        slots.remove(&oldest);
        Ok(())
    }

    async fn load_into(self, key: Key, sender: watch::Sender<Option<Result<Embedder, EmbedError>>>) {
        let shared = Arc::clone(&self.shared);
        let (name, precision) = (key.name.clone(), key.precision);
        let counters = match key.kind {
            ModelKind::Embedding => Arc::clone(&shared.counters),
            ModelKind::Reranker => Arc::clone(&shared.pairs),
        };
        let opened = tokio::task::spawn_blocking(move || {
            let settings = EmbedderSettings {
                precision,
                ..shared.settings.embedder.clone()
            };
            Embedder::open_counted(&shared.runtime, &shared.directory.join(name), settings, counters)
        });
        let opened = opened.await.unwrap_or_else(|error| Err(EmbedError::compute(error)));
        match &opened {
            Ok(embedder) => {
                let (model, placement) = (&key.name, embedder.placement());
                tracing::info!(
                    model,
                    device = placement.device,
                    precision = placement.precision.name(),
                    "a model is loaded"
                );
            }
            Err(error) => {
                tracing::warn!(model = key.name, %error, "a model could not be loaded");
                // The next request tries again.
                if let Some(slots) = self.slots().as_mut() {
                    slots.remove(&key);
                }
            }
        }
        // All that waited may be gone.
        let _ = sender.send(Some(opened));
    }
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models")
            .field("directory", &self.shared.directory)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Returns its description.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Returns the precision that it runs in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.key.precision
    }

    /// Returns the loaded model, loading it if necessary. It stays loaded at least as long as the handle.
    ///
    /// # Errors
    /// As [`Embedder::open`]; [`EmbedError::TooManyModels`] while as many others are in use; [`EmbedError::ModelChanged`] if another model
    /// has replaced it since it was found.
    pub async fn embedder(&self) -> Result<Embedder, EmbedError> {
        let embedder = self.models.load(&self.key, Instant::now()).await?;
        let (found, loaded) = (&self.info, embedder.info());
        if (&found.model_sha256, found.dimension) != (&loaded.model_sha256, loaded.dimension) {
            return Err(EmbedError::ModelChanged {
                name: found.name.clone(),
                expected: found.model_sha256.clone(),
                found: loaded.model_sha256.clone(),
            });
        }
        Ok(embedder)
    }

    /// Embeds queries as [`Embedder::embed_queries`] does, loading the model if necessary.
    ///
    /// # Errors
    /// As [`Self::embedder`] and [`Embedder::embed_query`].
    pub async fn embed_queries(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embedder().await?.embed_queries(texts).await
    }

    /// Embeds passages as [`Embedder::embed_passages`] does, loading the model if necessary.
    ///
    /// # Errors
    /// As [`Self::embedder`] and [`Embedder::embed_query`].
    pub async fn embed_passages(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embedder().await?.embed_passages(texts).await
    }
}

fn wrong_kind(info: &ModelInfo, wanted: ModelKind) -> EmbedError {
    EmbedError::WrongKind {
        name: info.name.clone(),
        found: info.kind,
        wanted,
    }
}
