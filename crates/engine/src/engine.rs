//! The engine: everything that answers and ingests, started and stopped as one.
//!
//! Knows the order of the stages and nothing of HTTP. The stages never call one another.

use super::announce::Announcements;
use super::cluster::{Cluster, SharedExclusion};
use super::disk::Disk;
use super::error::PipelineError;
use super::generation::Leases;
use super::placement::Moves;
use super::profiles::KnownProfiles;
use super::reception::Receptions;
use super::reporter::Pace;
use super::resolve::{Pipelines, Stage};
use super::spec::{OnFailure, Pipeline};
use super::tuning::Tuned;
use super::visibility::Visibility;
use super::watch::QueryMeter;
use super::work::Works;
use crate::events::Events;
use ibid_catalog::{Catalog, PostgresOptions, SqlCatalog, SqliteOptions};
use ibid_embed::{Embedder, EmbedderSettings, Models, ModelsSettings, Precision, Runtime, RuntimeChoice};
use ibid_files::{Exclusion, FileStore, LocalExclusion, StoreOptions};
use ibid_generate::Llm;
use ibid_generate::llm::{LlmError, LlmHealth, LlmSettings, Refusal};
use ibid_index::{EmbeddedIndex, EmbeddedOptions, PlacedIndex, RemoteIndex, RemoteOptions, VectorIndex};
use ibid_plugin_host::{Host, HostSettings, PluginStore, Provided, Registry, TextEmbedder, TokenCounter};
use ibid_protocol::ApiError;
use ibid_system::space::{Space, Trouble};
use ibid_types::IndexBackend;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

/// How the engine is set up.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Where all that is uploaded lives.
    pub data_dir: PathBuf,
    /// Where `lib/`, `models/` and `plugins/` are.
    pub share_dir: PathBuf,
    /// Collection that is meant where none is named.
    pub default_collection: String,
    /// The database of the catalog that this server shares with others; absent: a file in `data_dir`.
    pub catalog: Option<PostgresOptions>,
    /// Name of the embedding model of pipelines that name none: a directory under `models/`.
    pub model: String,
    /// Which ONNX Runtime is loaded, and the processor that runs the model.
    pub runtime: RuntimeChoice,
    /// The numbers that models compute in where a pipeline does not say.
    pub precision: Precision,
    /// Embedding models that are loaded at a time, the default one among them.
    pub max_models: usize,
    /// How long another one than the default stays loaded when nobody uses it.
    pub unload_models_after: Duration,
    /// Threads that embed; 0 takes one for each core.
    pub embedder_threads: usize,
    /// Texts that may wait for the embedder, for questions and for documents each.
    pub embedder_queue: usize,
    /// Largest file, in bytes.
    pub max_upload_bytes: u64,
    /// Bytes that are to stay free on the disk of the data directory; 0 for none.
    pub disk_reserve_bytes: u64,
    /// Documents that are processed at once.
    pub max_documents_in_flight: usize,
    /// Percent of the time that re-indexing may work, 1 to 100; the rest is left to uploads and questions.
    pub reindex_percent: u32,
    /// Uploads that may be received, or wait to be processed, at once.
    pub max_open_uploads: usize,
    /// Events of collections that are kept for those who ask for what they missed.
    pub kept_events: u64,
    /// Resumable uploads that may wait for their bytes, suspended ones among them.
    pub max_resumable_uploads: usize,
    /// How long a suspended upload waits to be resumed before its bytes are dropped.
    pub resumable_expiry: Duration,
    /// Queries that run at once; others wait.
    pub max_concurrent_queries: usize,
    /// Queries that wait; one more is refused.
    pub max_waiting_queries: usize,
    /// Longest time for any stage of a query.
    pub query_timeout: Duration,
    /// Language models.
    pub llm: LlmSettings,
    /// What follows when one gives no answer, where a pipeline does not say: `Fail` or `Fallback`.
    pub llm_on_failure: OnFailure,
    /// Where new collections are kept.
    pub default_place: IndexBackend,
    /// Where files and texts are kept.
    pub files: StoreOptions,
    /// The Qdrant server that may keep collections.
    pub qdrant: Option<RemoteOptions>,
    /// Whether plugins may be installed and removed over the network.
    pub plugin_install: bool,
    /// Digests (`sha256:...`) of the only plugins that may run; empty lets all.
    pub allowed_plugins: Vec<String>,
}

impl EngineSettings {
    /// Defaults for a data directory and a share directory.
    pub fn new(data_dir: impl Into<PathBuf>, share_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            share_dir: share_dir.into(),
            default_collection: "documents".to_owned(),
            catalog: None,
            model: "all-MiniLM-L6-v2".to_owned(),
            runtime: RuntimeChoice::default(),
            precision: Precision::default(),
            // Some 100 MB each for small models.
            max_models: 4,
            unload_models_after: Duration::from_secs(900),
            embedder_threads: 0,
            // About four documents' windows, so that the embedder never starves between them.
            embedder_queue: 1_024,
            max_upload_bytes: 512 * 1024 * 1024,
            disk_reserve_bytes: 512 * 1024 * 1024,
            // One document's extraction overlaps another's embedding; more would only hold memory.
            max_documents_in_flight: 4,
            // Uploads and questions have the embedder for themselves half of the time.
            reindex_percent: 50,
            max_open_uploads: 1_000,
            kept_events: 10_000,
            max_resumable_uploads: 1_000,
            resumable_expiry: Duration::from_secs(24 * 3600),
            max_concurrent_queries: 64,
            max_waiting_queries: 1_024,
            query_timeout: Duration::from_secs(60),
            llm: LlmSettings::default(),
            llm_on_failure: OnFailure::Fail,
            default_place: IndexBackend::Embedded,
            files: StoreOptions::default(),
            qdrant: None,
            plugin_install: true,
            allowed_plugins: Vec::new(),
        }
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The embedder.
    #[error(transparent)]
    Embed(#[from] ibid_embed::EmbedError),
    /// The plugin host.
    #[error(transparent)]
    Plugin(#[from] ibid_plugin_host::PluginError),
    /// The store of installed plugins.
    #[error("installed plugins cannot be read: {0}")]
    PluginStore(#[from] ibid_plugin_host::StoreError),
    /// The language model's settings.
    #[error("the setting `llm.{}` {}", .0.key, .0.issue)]
    Llm(Refusal),
    /// The disk of the data directory.
    #[error("the data directory {directory} cannot be written: {trouble}. Or choose another one with --data-dir DIR")]
    Disk {
        /// Where it is.
        directory: String,
        /// What is the matter.
        trouble: Trouble,
    },
    /// The catalog.
    #[error("the catalog in {directory} cannot be opened: {cause}")]
    Catalog {
        /// Where it is.
        directory: String,
        /// Why it cannot be opened.
        #[source]
        cause: ibid_catalog::CatalogError,
    },
    /// The catalog that servers share.
    #[error("{0}. `catalog.url` says where the catalog of several servers is")]
    SharedCatalog(ibid_catalog::CatalogError),
    /// Servers that share a catalog have to share the index.
    #[error("servers that share a catalog (`catalog.url`) keep vectors in a Qdrant server: set `qdrant.url`")]
    NoSharedIndex,
    /// Servers that share a catalog have to share the files.
    #[error("servers that share a catalog (`catalog.url`) keep files in an object store: set `files.store` to s3, and section `files.s3`")]
    NoSharedFiles,
    /// The other servers.
    #[error("this server cannot join those that share its catalog: {0}")]
    Join(ApiError),
    /// New collections are to be kept in a Qdrant server, and there is none.
    #[error("`index.default` is qdrant, and `qdrant.url` does not say where the server is: set it, or leave index.default as it is")]
    NoQdrant,
    /// The vector index.
    #[error("the vector index cannot be opened: {}", .0.detail())]
    Index(#[from] ibid_index::IndexError),
    /// The file store.
    #[error("the file store in {place} cannot be opened: {cause}")]
    Files {
        /// Where it is.
        place: String,
        /// Why it cannot be opened.
        #[source]
        cause: ibid_files::FileError,
    },
    /// The default pipeline does not fit what is installed.
    #[error("the default pipeline cannot run: {0}. `ibid doctor` says what is missing")]
    Pipeline(ApiError),
    /// What was unfinished at the last stop cannot be taken up.
    #[error("unfinished work cannot be taken up: {0}")]
    Resume(ApiError),
    /// A worker thread failed.
    #[error("a worker thread failed: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

/// Whether the parts work.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// Of the server.
    pub version: String,
    /// By part.
    pub services: Services,
}

/// The parts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Services {
    /// The vector index.
    pub vector_db: ServiceHealth,
    /// The embedder.
    pub embedding_service: ServiceHealth,
    /// What makes answers.
    pub llm_service: ServiceHealth,
    /// The disk of the data directory: `degraded` while it cannot be written, or its reserve is not free.
    pub storage: ServiceHealth,
}

/// Whether a part works.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServiceHealth {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// Milliseconds that it took to answer.
    pub response_time: f64,
    /// More, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The engine. Held as `Arc<Engine>`.
pub struct Engine {
    pub(super) settings: EngineSettings,
    /// What can change while it runs.
    pub(super) tuning: Tuned,
    /// When it was started.
    pub(super) started: Instant,
    pub(super) catalog: Arc<dyn Catalog>,
    /// The servers that share the catalog, if it is not this one's alone.
    pub(super) cluster: Option<Cluster>,
    pub(super) files: Arc<dyn FileStore>,
    pub(super) index: Arc<PlacedIndex>,
    /// The disk of the data directory.
    pub(super) disk: Disk,
    /// The one place for decisions of which copy of a collection counts.
    pub(super) placing: Semaphore,
    /// Collections that move.
    pub(super) moves: Moves,
    /// The embedding models.
    pub(super) models: Models,
    pub(super) plugin_host: Host,
    pub(super) plugins: Registry,
    pub(super) plugin_store: PluginStore,
    /// Digests of the plugins in the store.
    pub(super) installed_plugins: Mutex<BTreeSet<String>>,
    /// The one place for changes of what is installed.
    pub(super) plugin_changes: Arc<Semaphore>,
    /// The language models that may be asked.
    pub(super) llm: Llm,
    pub(super) events: Arc<Events>,
    /// What happened to collections and has not been told.
    pub(super) announcements: Announcements,
    pub(super) visibility: Visibility,
    /// What the collections' documents are called.
    pub(super) profiles: KnownProfiles,
    pub(super) pipelines: Pipelines,
    /// Places for queries.
    pub(super) queries: Semaphore,
    /// Places for queries that wait.
    pub(super) query_queue: Semaphore,
    /// Places for documents in processing.
    pub(super) ingests: Arc<Semaphore>,
    /// The one place for a backup.
    pub(super) backups: Arc<Semaphore>,
    /// Places for uploads, from their first byte to their end.
    pub(super) open_uploads: Arc<Semaphore>,
    /// Uploads whose bytes are still coming.
    pub(super) receptions: Receptions,
    /// Documents in processing.
    pub(super) in_process: Works,
    /// Collections that are re-indexed.
    pub(super) reindexing: Works,
    /// Documents that are made anew by a re-index.
    pub(super) remaking: Works,
    /// The one place for a document that is made anew.
    pub(super) remakes: Semaphore,
    /// Who uses which generations of collections.
    pub(super) leases: Leases,
    /// How fast uploads are processed.
    pub(super) pace: Pace,
    /// How much is asked.
    pub(super) meter: QueryMeter,
    /// Collections whose statistics changed and have not been told.
    pub(super) changed: Mutex<BTreeSet<String>>,
    pub(super) changed_notify: Notify,
    /// Cancelled when the engine stops.
    pub(super) stopping: CancellationToken,
    /// Everything that runs.
    pub(super) tasks: TaskTracker,
}

/// The collection's embedder, as chunkers are given it.
struct ForChunkers(Embedder);

/// How often a chunker that waits for the embedder is asked whether anyone still waits for it.
const PROCEED_EVERY: Duration = Duration::from_millis(5);

impl TextEmbedder for ForChunkers {
    fn embed(&self, texts: Vec<String>, proceed: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>, String> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let work = self.0.embed_texts(texts, |_| {});
            tokio::pin!(work);
            loop {
                match tokio::time::timeout(PROCEED_EVERY, &mut work).await {
                    Ok(vectors) => return vectors.map_err(|error| error.to_string()),
                    Err(_) if proceed() => {}
                    Err(_) => return Err("nobody waits for it any more".to_owned()),
                }
            }
        })
    }
}

struct ModelTokens(Embedder);

impl TokenCounter for ModelTokens {
    fn count(&self, text: &str) -> u32 {
        u32::try_from(self.0.count_tokens(text)).unwrap_or(u32::MAX)
    }
}

impl Engine {
    /// Opens everything, and takes up what was unfinished.
    pub async fn start(mut settings: EngineSettings) -> Result<Arc<Self>, StartError> {
        let llm = Llm::new(settings.llm.clone()).map_err(StartError::Llm)?;
        if llm.is_default() && settings.llm.first_token_timeout >= settings.query_timeout {
            tracing::warn!("llm.first_token_timeout_seconds is not below query.timeout_seconds: queries end before it");
        }
        let remote = settings.qdrant.clone().map(RemoteIndex::new).transpose()?;
        if remote.is_none() && settings.default_place == IndexBackend::Qdrant {
            return Err(StartError::NoQdrant);
        }
        if settings.catalog.is_some() {
            if remote.is_none() {
                return Err(StartError::NoSharedIndex);
            }
            if matches!(settings.files, StoreOptions::Directory) {
                return Err(StartError::NoSharedFiles);
            }
            settings.default_place = IndexBackend::Qdrant;
        }
        let share = settings.share_dir.clone();
        let data = settings.data_dir.clone();
        let space = Space::new(&data, settings.disk_reserve_bytes);
        // A disk that is short of room serves; one that cannot be written at all does not open.
        let least = tokio::task::spawn_blocking({
            let space = space.clone();
            move || space.try_least()
        });
        least.await?.map_err(|trouble| StartError::Disk {
            directory: data.display().to_string(),
            trouble,
        })?;
        let (model, threads, queue) = (settings.model.clone(), settings.embedder_threads, settings.embedder_queue);
        let (most, unload_after) = (settings.max_models, settings.unload_models_after);
        let cache = data.join("cache");
        // The model and the plugins load side by side; both are blocking work.
        let models = tokio::task::spawn_blocking({
            let share = share.clone();
            let (choice, precision) = (settings.runtime.clone(), settings.precision);
            move || {
                let runtime = Runtime::find(&share, &choice)?;
                let mut embedder = EmbedderSettings {
                    queue,
                    device: choice.device,
                    precision,
                    ..EmbedderSettings::default()
                };
                if threads > 0 {
                    embedder.threads = threads;
                }
                let version = runtime.version().to_owned();
                let settings = ModelsSettings {
                    most,
                    unload_after,
                    embedder,
                };
                let models = Models::open(runtime, &share.join("models"), &model, settings)?;
                let embedder = models.default_embedder();
                let (model, placement) = (&embedder.info().name, embedder.placement());
                let (device, precision) = (&placement.device, placement.precision.name());
                tracing::info!(model, device, precision, runtime = version, "the embedder is ready");
                Ok::<_, ibid_embed::EmbedError>(models)
            }
        });
        let (allowed, store) = (settings.allowed_plugins.clone(), data.join("plugins"));
        let plugins = tokio::task::spawn_blocking(move || {
            let host = Host::new(HostSettings {
                cache_dir: Some(cache),
                ..HostSettings::default()
            })?;
            let registry = Registry::new();
            let directory = share.join("plugins");
            for failure in registry.load_dir(&host, &directory)? {
                tracing::error!(file = %failure.path.display(), error = %failure.error, "a plugin was left out");
            }
            // After those that ship, so that an installed one of the same version is taken.
            let store = PluginStore::open(&store)?;
            let mut installed = BTreeSet::new();
            for component in store.read_all()? {
                let loaded = component.map_err(|error| error.to_string());
                match loaded.and_then(|bytes| host.load(&bytes).map_err(|error| error.to_string())) {
                    Ok(plugin) => {
                        installed.insert(plugin.digest().to_owned());
                        registry.insert(plugin);
                    }
                    Err(error) => tracing::error!(error, "an installed plugin was left out"),
                }
            }
            for plugin in registry.list() {
                if !allowed.is_empty() && !allowed.iter().any(|allowed| allowed == plugin.digest()) {
                    let digest = plugin.digest();
                    tracing::warn!(plugin = %plugin.reference(), digest, "a plugin that plugins.allow does not list was left out");
                    registry.remove(digest);
                }
            }
            Ok::<_, StartError>((host, registry, store, installed))
        });
        let catalog_options = SqliteOptions {
            max_events: settings.kept_events,
            ..SqliteOptions::default()
        };
        let catalog = match &settings.catalog {
            None => SqlCatalog::sqlite(&data.join("catalog"), catalog_options)
                .await
                .map_err(|cause| StartError::Catalog {
                    directory: data.display().to_string(),
                    cause,
                })?,
            Some(options) => {
                let options = PostgresOptions {
                    max_events: settings.kept_events,
                    ..options.clone()
                };
                SqlCatalog::postgres(&options).await.map_err(StartError::SharedCatalog)?
            }
        };
        let (cluster, events) = match catalog.shared() {
            None => (None, Events::default()),
            Some(shared) => {
                let (told, outbox) = Cluster::outbox();
                (Some(Cluster::new(shared, outbox)), Events::with_others(told))
            }
        };
        let exclusion: Arc<dyn Exclusion> = match catalog.shared() {
            None => Arc::new(LocalExclusion::default()),
            Some(shared) => Arc::new(SharedExclusion(shared)),
        };
        let files = settings.files.open(&data, exclusion).await;
        let files = files.map_err(|cause| StartError::Files {
            place: match &settings.files {
                StoreOptions::Directory => data.display().to_string(),
                elsewhere => elsewhere.to_string(),
            },
            cause,
        })?;
        let index = tokio::task::spawn_blocking({
            let directory = data.join("index");
            let space_of_index = space.clone();
            move || {
                super::backup::sweep(&data);
                let options = EmbeddedOptions {
                    reserve_bytes: space_of_index.reserve(),
                    ..EmbeddedOptions::default()
                };
                EmbeddedIndex::open(&directory, options)
            }
        })
        .await??;
        let models = models.await??;
        let (plugin_host, plugins, plugin_store, installed) = plugins.await??;

        let index = match &cluster {
            None => PlacedIndex::new(index, remote),
            Some(_) => PlacedIndex::new(index, remote).with_others(),
        };
        let engine = Arc::new(Self {
            catalog: Arc::new(catalog),
            files,
            cluster,
            index: Arc::new(index),
            disk: Disk::new(space),
            placing: Semaphore::new(1),
            moves: Moves::default(),
            llm,
            models,
            plugin_host,
            plugins,
            plugin_store,
            installed_plugins: Mutex::new(installed),
            plugin_changes: Arc::new(Semaphore::new(1)),
            events: Arc::new(events),
            announcements: Announcements::default(),
            visibility: Visibility::default(),
            profiles: KnownProfiles::default(),
            pipelines: Pipelines::default(),
            queries: Semaphore::new(settings.max_concurrent_queries.max(1)),
            query_queue: Semaphore::new(settings.max_waiting_queries),
            ingests: Arc::new(Semaphore::new(settings.max_documents_in_flight.max(1))),
            open_uploads: Arc::new(Semaphore::new(settings.max_open_uploads.max(1))),
            backups: Arc::new(Semaphore::new(1)),
            receptions: Receptions::default(),
            in_process: Works::default(),
            reindexing: Works::default(),
            remaking: Works::default(),
            remakes: Semaphore::new(1),
            leases: Leases::default(),
            pace: Pace::default(),
            meter: QueryMeter::default(),
            changed: Mutex::default(),
            changed_notify: Notify::new(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            tuning: Tuned::new(&settings),
            started: Instant::now(),
            settings,
        });
        // A server that could not answer the simplest question should say so now.
        engine
            .resolve("check", "check", Pipeline::default())
            .map_err(|error| StartError::Pipeline(error.told("")))?;
        // Before anything is looked at: what happens from now on at other servers is heard.
        let last = engine.newest_event().await.map_err(|error| StartError::Resume(error.told("")))?;
        engine
            .join(&engine.settings.data_dir.clone())
            .await
            .map_err(|error| StartError::Join(error.told("")))?;
        engine
            .take_up()
            .await
            .map_err(|error: PipelineError| StartError::Resume(error.told("")))?;
        engine.tasks.spawn(engine.clone().announce(last));
        engine.tasks.spawn(engine.clone().tell_statistics());
        engine.tasks.spawn(engine.clone().watch_disk());
        if engine.index.has_remote() {
            engine.tasks.spawn(engine.clone().watch_remote());
        }
        engine.tasks.spawn(engine.clone().expire_receptions());
        engine.tasks.spawn(engine.clone().unload_models());
        Ok(engine)
    }

    async fn newest_event(&self) -> Result<u64, PipelineError> {
        Ok(self.catalog.events_since(u64::MAX, None, 1).await?.last_seq)
    }

    /// The collection that is meant where a client says `named`.
    pub fn collection_or_default<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        named.unwrap_or(&self.settings.default_collection)
    }

    /// Stops queries, parks documents at their last step, and makes everything durable. Does
    /// nothing the second time.
    pub async fn shutdown(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.leave().await;
        self.models.close().await;
        if let Err(error) = self.index.close().await {
            tracing::error!(error = error.detail(), "the index was not closed cleanly");
        }
        self.catalog.close().await;
    }

    /// The collection that is meant where none is named.
    pub fn default_collection(&self) -> &str {
        &self.settings.default_collection
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// What a chunker is given beside the document: the collection's embedder.
    pub(super) fn provided(stage: &Stage, embedder: &Embedder) -> Provided {
        let granted: Option<Arc<dyn TextEmbedder>> = match stage.plugin.contract().wanted_grants().next() {
            // A stage is only made where all that its plugin wants is granted.
            Some(_) => Some(Arc::new(ForChunkers(embedder.clone()))),
            None => None,
        };
        Provided {
            tokens: Arc::new(ModelTokens(embedder.clone())),
            embedder: granted,
        }
    }

    /// Asks the file store something real. The report of health has no part for it: it shows in the status of the whole.
    pub async fn file_store(&self) -> ServiceHealth {
        let start = Instant::now();
        match tokio::time::timeout(HEALTH_TIMEOUT, self.files.check()).await {
            Ok(Ok(())) => healthy(start.elapsed()),
            Ok(Err(error)) => unhealthy(error.to_string()),
            Err(_) => unhealthy("does not answer"),
        }
    }

    /// Asks the catalog something. As with the file store, it shows in the status of the whole.
    pub async fn catalog_health(&self) -> ServiceHealth {
        let start = Instant::now();
        match tokio::time::timeout(HEALTH_TIMEOUT, self.catalog.check()).await {
            Ok(Ok(())) => healthy(start.elapsed()),
            Ok(Err(error)) => unhealthy(error.to_string()),
            Err(_) => unhealthy("does not answer"),
        }
    }

    /// Asks every part something real.
    pub async fn health(&self) -> Health {
        let vector_db = match tokio::time::timeout(HEALTH_TIMEOUT, self.index.health()).await {
            Ok(Ok(time)) => healthy(time),
            Ok(Err(error)) => unhealthy(error.to_string()),
            Err(_) => unhealthy("does not answer"),
        };
        let start = std::time::Instant::now();
        let embedding_service = match tokio::time::timeout(HEALTH_TIMEOUT, self.models.default_embedder().embed_query("health")).await {
            Ok(Ok(_)) => healthy(start.elapsed()),
            Ok(Err(error)) => unhealthy(error.to_string()),
            Err(_) => unhealthy("does not answer"),
        };
        let llm_service = match self.llm.health().await {
            Some(health) => llm_health(health),
            // The extractive generator is part of this process: it works if the embedder does.
            None => ServiceHealth {
                message: Some("built-in extractive generator".to_owned()),
                ..embedding_service.clone()
            },
        };
        let services = Services {
            vector_db,
            embedding_service,
            llm_service,
            storage: self.storage_health().await,
        };
        let (files, catalog) = tokio::join!(self.file_store(), self.catalog_health());
        let well = [&services.vector_db, &services.embedding_service, &files, &catalog]
            .iter()
            .all(|service| service.status == "healthy");
        // Without a language model there are still documents, searches and extractive answers; on a full disk all that is there already.
        let all = [&services.llm_service, &services.storage]
            .iter()
            .all(|service| service.status == "healthy");
        let status = match (well, all) {
            (false, _) => "unhealthy",
            (true, true) => "healthy",
            (true, false) => "degraded",
        };
        Health {
            status: status.to_owned(),
            timestamp: super::timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            services,
        }
    }

    /// Tries to write. What is there already can be read meanwhile.
    async fn storage_health(&self) -> ServiceHealth {
        let start = Instant::now();
        match tokio::time::timeout(HEALTH_TIMEOUT, self.disk.health()).await {
            Ok(Ok(())) => healthy(start.elapsed()),
            Ok(Err(trouble)) => ServiceHealth {
                status: "degraded".to_owned(),
                message: Some(trouble.to_string()),
                ..healthy(start.elapsed())
            },
            Err(_) => unhealthy("does not answer"),
        }
    }

    /// Unloads models that nobody uses.
    async fn unload_models(self: Arc<Self>) {
        let pause = (self.models.unload_after() / 4).clamp(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            for model in self.models.unload_unused(Instant::now()) {
                tracing::info!(model, "a model is unloaded: nobody has used it for long");
            }
        }
    }

    /// Notes that a collection's statistics changed: subscribers are told within a second.
    pub(super) fn statistics_changed(&self, collection_id: &str) {
        self.changed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(collection_id.to_owned());
        self.changed_notify.notify_one();
    }

    /// Tells changed statistics, each collection's at most once a second.
    async fn tell_statistics(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = self.changed_notify.notified() => {}
            }
            let changed = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
            for collection_id in changed {
                if let Err(error) = self.tell_statistics_of(&collection_id).await {
                    tracing::warn!(collection_id, %error, "statistics were not told");
                    if self.disk.explains(&error).await.is_some() {
                        // They are when it is well again.
                        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(collection_id);
                    }
                }
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}

/// A part that takes longer is down, for whoever waits on it.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

fn healthy(time: Duration) -> ServiceHealth {
    ServiceHealth {
        status: "healthy".to_owned(),
        response_time: time.as_secs_f64() * 1e3,
        message: None,
    }
}

/// What is told of the language model's server; its address is not.
fn llm_health(health: LlmHealth) -> ServiceHealth {
    match health.answered {
        Ok(time) if health.lists_model => healthy(time),
        Ok(time) => ServiceHealth {
            status: "degraded".to_owned(),
            message: Some("the language model's server does not list the model of llm.model".to_owned()),
            ..healthy(time)
        },
        Err(reason) => unhealthy(LlmError::from(reason).to_string()),
    }
}

fn unhealthy(message: impl Into<String>) -> ServiceHealth {
    ServiceHealth {
        status: "unhealthy".to_owned(),
        response_time: 0.0,
        message: Some(message.into()),
    }
}
