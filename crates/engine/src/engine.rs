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
use super::resolve::Pipelines;
use super::settings::EngineSettings;
use super::spec::Pipeline;
use super::start_error::StartError;
use super::tuning::Tuned;
use super::visibility::Visibility;
use super::watch::QueryMeter;
use super::work::Works;
use crate::events::Events;
use ibid_catalog::{Catalog, PostgresOptions, SqlCatalog, SqliteOptions};
use ibid_embed::{EmbedderSettings, Models, ModelsSettings, Runtime};
use ibid_files::{Exclusion, FileStore, LocalExclusion, StoreOptions};
use ibid_generate::Llm;
use ibid_index::{EmbeddedIndex, EmbeddedOptions, RemoteIndex, RoutedIndex, VectorIndex};
use ibid_plugin_host::{Host, HostSettings, PluginStore, Registry};
use ibid_system::disk::DiskGuard;
use ibid_types::IndexBackend;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
    pub(super) index: Arc<RoutedIndex>,
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
        let space = DiskGuard::new(&data, settings.disk_reserve_bytes);
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
            None => RoutedIndex::new(index, remote),
            Some(_) => RoutedIndex::new(index, remote).with_others(),
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
            .map_err(|error| StartError::Pipeline(error.to_api_error("")))?;
        // Before anything is looked at: what happens from now on at other servers is heard.
        let last = engine
            .newest_event()
            .await
            .map_err(|error| StartError::Resume(error.to_api_error("")))?;
        engine
            .join(&engine.settings.data_dir.clone())
            .await
            .map_err(|error| StartError::Join(error.to_api_error("")))?;
        engine
            .take_up()
            .await
            .map_err(|error: PipelineError| StartError::Resume(error.to_api_error("")))?;
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
