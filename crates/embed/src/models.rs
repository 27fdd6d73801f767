//! The installed models, and those of them that are loaded: each once, for all who use it.
//!
//! A model is loaded when it is first used, on a thread of its own; whoever asks meanwhile waits for the same one. The default model
//! is loaded from the start and stays. Others go when nobody has used them for long, or when their place is needed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    EmbedError, Embedder, EmbedderSettings, EmbedderStats, ModelInfo, ModelKind, Precision, Reranker, Runtime,
    model::{MODEL_FILE, TOKENIZER_FILE, is_plain},
    session::Place,
    stats::Counters,
};

/// How many models are loaded, and for how long.
#[derive(Clone, Debug)]
pub struct ModelsSettings {
    /// Models that are loaded at a time, the default one among them; at least 1. The same model in two precisions counts twice.
    pub most: usize,
    /// How long a model other than the default one stays loaded when nobody uses it.
    pub unload_after: Duration,
    /// How each of them uses the machine. Its precision is taken where a pipeline names none.
    pub embedder: EmbedderSettings,
}

/// A model in the models directory.
#[derive(Clone, Debug, PartialEq)]
pub struct InstalledModel {
    /// What it is. Its name is the directory's: what pipelines name.
    pub info: ModelInfo,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether pipelines that name no model take it.
    pub default: bool,
    /// The precisions that it is loaded in.
    pub loaded: Vec<Precision>,
}

/// The installed models. A cheap handle: clones share what is loaded.
#[derive(Clone)]
pub struct Models {
    shared: Arc<Shared>,
}

/// What is loaded: a model in a precision. One that was replaced under its name is another model.
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

/// A model that is there, or that its loader will put there.
type Loaded = watch::Receiver<Option<Result<Embedder, EmbedError>>>;

struct Shared {
    runtime: Runtime,
    directory: PathBuf,
    settings: ModelsSettings,
    default: Embedder,
    default_key: Key,
    /// Of embedding models.
    counters: Arc<Counters>,
    /// Of rerankers.
    pairs: Arc<Counters>,
    /// All but the default model; `None` once closed.
    slots: Mutex<Option<BTreeMap<Key, Slot>>>,
}

struct Slot {
    loaded: Loaded,
    /// When it was last asked for, or seen in use.
    used: Instant,
}

impl Slot {
    /// Whether it is loaded and nobody holds it. Who asks for it does so under the same lock.
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
    /// Loads ONNX Runtime's models of `directory`, and of them the one called `default` (or at that whole path). Blocks for up to a
    /// few seconds.
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

    /// The default model, which is always loaded.
    #[must_use]
    pub fn default_embedder(&self) -> &Embedder {
        &self.shared.default
    }

    /// The embedding model of that name, or the default one for an empty name; in a precision, or in that of the settings. Reads its
    /// description, a small file, and loads nothing.
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

    /// The reranker of that name, in a precision or in that of the settings. Reads its description, a small file, and loads nothing.
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
        // What comes out the same is loaded once.
        let place = match shared.default.placement().device.as_str() {
            "cpu" => Place::Cpu,
            _ => Place::Cuda(0),
        };
        let precision = match precision.on(place) {
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
        // Pipelines come from clients: they name directories in this one, and no other paths.
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

    /// The models that are installed, by name, the default one first. Directories that hold no model are left out. Blocks.
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

    /// What is loaded now, or being loaded: models by name, with their precisions.
    #[must_use]
    pub fn loaded(&self) -> Vec<(String, Precision)> {
        let slots = self.slots();
        let others = slots.iter().flat_map(BTreeMap::keys).cloned();
        let all = [self.shared.default_key.clone()].into_iter().chain(others);
        all.map(|key| (key.name, key.precision)).collect()
    }

    /// Totals of all embedding models so far, and what waits now for any of them.
    #[must_use]
    pub fn stats(&self) -> EmbedderStats {
        let mut embedders = self.loaded_of(ModelKind::Embedding);
        embedders.push(self.shared.default.clone());
        Self::sum(&embedders, &self.shared.counters)
    }

    /// The same of all rerankers: their texts are pairs.
    #[must_use]
    pub fn reranker_stats(&self) -> EmbedderStats {
        Self::sum(&self.loaded_of(ModelKind::Reranker), &self.shared.pairs)
    }

    /// All that are loaded but the default one.
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

    /// Unloads the models that nobody has used for [`ModelsSettings::unload_after`] before `now`, and returns their names. To be
    /// called now and then: a model in use is seen to be used then.
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

    /// How long a model stays that nobody uses.
    #[must_use]
    pub fn unload_after(&self) -> Duration {
        self.shared.settings.unload_after
    }

    /// Gives up what waits, and returns when all threads have ended. Nothing is loaded from then on.
    pub async fn close(&self) {
        let slots = self.slots().take().unwrap_or_default();
        self.shared.default.close().await;
        for (_, mut slot) in slots {
            // One that is still being loaded is closed as soon as it is there.
            let loaded = slot.loaded.wait_for(Option::is_some).await.ok().and_then(|loaded| loaded.clone());
            if let Some(Ok(embedder)) = loaded {
                embedder.close().await;
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, Option<BTreeMap<Key, Slot>>> {
        self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model, loaded. Who gives up waiting does not stop the loading: others may wait for it too.
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

    /// Unloads the model that was used longest ago and is not in use, if there are as many as there may be.
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
        tracing::info!(model = oldest.name, "a model is unloaded: another one needs its place");
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
                // The next one who asks tries again.
                if let Some(slots) = self.slots().as_mut() {
                    slots.remove(&key);
                }
            }
        }
        // Whoever waited may be gone.
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
    /// What it is.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The precision that it is run in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.key.precision
    }

    /// The model, loaded if it was not. It stays loaded at least as long as what is returned.
    ///
    /// # Errors
    /// As [`Embedder::open`]; [`EmbedError::TooManyModels`] while as many others are in use; [`EmbedError::ModelChanged`] when it was
    /// replaced by another one since it was found.
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

    /// As [`Embedder::embed_queries`], by the model, loaded if it was not.
    ///
    /// # Errors
    /// As [`Self::embedder`] and [`Embedder::embed_query`].
    pub async fn embed_queries(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embedder().await?.embed_queries(texts).await
    }

    /// As [`Embedder::embed_passages`], by the model, loaded if it was not.
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

/// The models in a models directory, by name. Directories that hold no model, or one that cannot be read, are left out. Blocks.
#[must_use]
pub fn installed(directory: &Path) -> Vec<InstalledModel> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let mut models: Vec<InstalledModel> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let info = ModelInfo {
                name,
                ..ModelInfo::read(&entry.path()).ok()?
            };
            Some(InstalledModel {
                bytes: bytes(&entry.path(), &info),
                info,
                default: false,
                loaded: Vec::new(),
            })
        })
        .collect();
    models.sort_by(|a, b| a.info.name.cmp(&b.info.name));
    models
}

fn bytes(directory: &Path, info: &ModelInfo) -> u64 {
    let external = info.ready.iter().flat_map(|ready| ready.external.keys().map(String::as_str));
    let files = [MODEL_FILE, TOKENIZER_FILE, ModelInfo::FILE].into_iter().chain(external);
    files.filter_map(|file| Some(fs::metadata(directory.join(file)).ok()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            convert::{self, Options, tests::Tiny},
            tests::{runtime, share},
        },
        *,
    };

    const DEFAULT: &str = "all-MiniLM-L6-v2";

    /// Models `one`, `two` and `three`, beside a copy of the description of the default one.
    fn models(most: usize) -> (tempfile::TempDir, Models) {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["one", "two", "three"] {
            install(directory.path(), name);
        }
        let default = share().join("models").join(DEFAULT);
        let settings = ModelsSettings {
            most,
            unload_after: Duration::from_secs(60),
            embedder: EmbedderSettings {
                threads: 1,
                ..EmbedderSettings::default()
            },
        };
        let models = Models::open(runtime(), directory.path(), &default.to_string_lossy(), settings).expect("run `make setup` first");
        (directory, models)
    }

    fn install(directory: &Path, name: &str) {
        convert::convert(Tiny::new("").path(), &directory.join(name), &Options::default()).expect("a model");
    }

    fn names(models: &Models) -> Vec<String> {
        models.loaded().into_iter().map(|(name, _)| name).collect()
    }

    async fn load(models: &Models, name: &str) -> Result<Embedder, EmbedError> {
        models.find(name, None).expect("installed").embedder().await
    }

    #[tokio::test]
    async fn who_asks_at_once_gets_the_same_model() {
        let (_directory, models) = models(2);
        assert_eq!(names(&models), [DEFAULT]);
        let asked = (0..8).map(|_| load(&models, "one"));
        let got: Vec<Embedder> = futures_util::future::try_join_all(asked).await.expect("a model");
        assert!(got.iter().all(|embedder| embedder.is_same(&got[0])));
        assert_eq!(names(&models), [DEFAULT, "one"]);
        // However the same thing is asked for.
        let found = models.find("one", Some(Precision::Fp32)).expect("installed");
        assert!(found.embedder().await.expect("a model").is_same(&got[0]));
        assert_eq!(got[0].embed_query("a b").await.expect("a vector").len(), 8);
        let texts = models.stats().texts;
        assert_eq!(texts, 1, "the totals are of all models");
    }

    #[tokio::test]
    async fn what_is_unused_for_long_is_unloaded_and_comes_back_when_it_is_asked_for() {
        let (_directory, models) = models(3);
        let held = load(&models, "one").await.expect("a model");
        load(&models, "two").await.expect("a model");
        let now = Instant::now();
        assert!(models.unload_unused(now + Duration::from_secs(30)).is_empty());
        assert_eq!(models.unload_unused(now + Duration::from_secs(61)), ["two"]);
        assert_eq!(names(&models), [DEFAULT, "one"], "what somebody holds stays");
        drop(held);
        assert!(
            models.unload_unused(now + Duration::from_secs(120)).is_empty(),
            "it was seen in use a minute ago"
        );
        assert_eq!(models.unload_unused(now + Duration::from_secs(122)), ["one"]);
        let again = load(&models, "one").await.expect("a model");
        assert_eq!(again.embed_query("a").await.expect("a vector").len(), 8);
        // The totals do not go back when a model goes.
        assert_eq!(models.stats().texts, 1);
    }

    #[tokio::test]
    async fn no_more_models_are_loaded_than_may_be() {
        let (_directory, models) = models(3);
        let one = load(&models, "one").await.expect("a model");
        let two = load(&models, "two").await.expect("a model");
        let error = load(&models, "three").await.expect_err("two others are in use");
        assert!(matches!(error, EmbedError::TooManyModels { most: 3 }), "{error}");
        assert!(error.recoverable() && error.to_string().contains("embedder.max_models"), "{error}");
        drop((one, two));
        load(&models, "two").await.expect("a model");
        load(&models, "three").await.expect("a model");
        assert_eq!(names(&models), [DEFAULT, "three", "two"], "the one used longest ago has gone");
    }

    #[tokio::test]
    async fn what_is_not_there_is_unknown_and_what_was_exchanged_is_noticed() {
        let (directory, models) = models(3);
        for name in ["four", "..", "one/../two", "/etc", "a\0b"] {
            let error = models.find(name, None).err().expect("no such model");
            assert!(matches!(error, EmbedError::ModelUnknown { .. }), "{name}: {error}");
        }
        let found = models.find("one", None).expect("installed");
        fs::write(directory.path().join("one").join(MODEL_FILE), "damaged").expect("written");
        let error = found.embedder().await.expect_err("a damaged model");
        assert!(matches!(error, EmbedError::ModelInvalid { .. }), "{error}");
        assert_eq!(names(&models), [DEFAULT], "what failed takes no place");
        let mut other = Tiny::new("");
        other.set_weight("embeddings.LayerNorm.bias", 0.5);
        convert::convert(other.path(), &directory.path().join("one"), &Options::default()).expect("a model");
        let error = found.embedder().await.expect_err("other weights");
        assert!(matches!(error, EmbedError::ModelChanged { .. }), "{error}");
        let held = load(&models, "one").await.expect("who finds it now gets what is there");
        other.set_weight("embeddings.LayerNorm.bias", 0.25);
        convert::convert(other.path(), &directory.path().join("one"), &Options::default()).expect("a model");
        let new = load(&models, "one").await.expect("also while another one of its name is in use");
        assert!(!new.is_same(&held));
    }

    #[tokio::test]
    async fn rerankers_are_loaded_as_they_are_used_and_are_no_embedding_models() {
        let (directory, models) = models(3);
        convert::convert(Tiny::reranker("bert").path(), &directory.path().join("judge"), &Options::default()).expect("a model");
        let told = |error: Option<EmbedError>| error.expect("refused").to_string();
        let error = told(models.find("judge", None).err());
        assert!(
            error.contains("`judge` is a reranker, not an embedding model") && error.contains("ibid model list"),
            "{error}"
        );
        for name in ["one", DEFAULT] {
            let error = told(models.find_reranker(name, None).err());
            assert!(
                error.contains(&format!("`{name}` is an embedding model, not a reranker")),
                "{error}"
            );
        }
        let error = told(models.find_reranker("../one", None).err());
        assert!(
            error.contains("no reranker `../one`") && error.contains("ibid model pull"),
            "{error}"
        );

        let judge = models.find_reranker("judge", None).expect("installed");
        assert_eq!(names(&models), [DEFAULT], "nothing is loaded before it is used");
        let passages: Vec<String> = ["b", "c d", "d"].map(str::to_owned).to_vec();
        let scores = judge.score("a", passages.clone()).await.expect("scores");
        assert!(
            scores.len() == 3 && scores.iter().all(|score| (0.0..=1.0).contains(score)),
            "{scores:?}"
        );
        assert_eq!(judge.score("a", passages).await.expect("scores"), scores);
        assert!(judge.score("a", Vec::new()).await.expect("nothing").is_empty());
        assert_eq!((models.reranker_stats().texts, models.stats().texts), (6, 0), "pairs are no texts");
        assert_eq!(names(&models), [DEFAULT, "judge"]);
        assert_eq!(models.unload_unused(Instant::now() + Duration::from_secs(61)), ["judge"]);
        assert_eq!(models.reranker_stats().texts, 6, "the totals do not go back");
    }

    #[tokio::test]
    async fn installed_models_are_listed_with_what_is_loaded() {
        let (directory, models) = models(2);
        fs::create_dir(directory.path().join("no-model")).expect("a directory");
        let _held = models
            .find("two", Some(Precision::Int8))
            .expect("installed")
            .embedder()
            .await
            .expect("a model");
        let listed = models.installed();
        let told: Vec<(&str, bool, &[Precision])> = listed
            .iter()
            .map(|model| (model.info.name.as_str(), model.default, model.loaded.as_slice()))
            .collect();
        let fp32: &[Precision] = &[models.default_embedder().placement().precision];
        let expected: [(&str, bool, &[Precision]); 4] = [
            (DEFAULT, true, fp32),
            ("one", false, &[]),
            ("three", false, &[]),
            ("two", false, &[Precision::Int8]),
        ];
        assert_eq!(told, expected);
        assert!(listed.iter().all(|model| model.bytes > 0));
        models.close().await;
        assert!(matches!(load(&models, "one").await, Err(EmbedError::Closed)));
    }
}
