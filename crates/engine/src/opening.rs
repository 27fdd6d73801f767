//! Opens what the engine needs: the models, the plugins, the catalog, the files and the index. Blocking work runs off the reactor.

use crate::peers::cluster::SharedExclusion;
use crate::settings::EngineSettings;
use crate::start_error::StartError;
use ibid_catalog::{Catalog, PostgresOptions, Shared, SqliteOptions};
use ibid_embed::{EmbedError, EmbedderSettings, Models, ModelsSettings, Runtime};
use ibid_files::{Exclusion, FileStore, LocalExclusion, StoreOptions};
use ibid_generate::Llm;
use ibid_index::{EmbeddedIndex, EmbeddedOptions, RemoteIndex, RoutedIndex};
use ibid_plugin_host::{Host, HostSettings, PluginStore, Registry};
use ibid_system::disk::DiskGuard;
use ibid_types::IndexBackend;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// The opened parts of an engine.
pub(crate) struct Opened {
    /// The settings, with what follows from others filled in.
    pub settings: EngineSettings,
    pub models: Models,
    pub llm: Llm,
    pub plugins: LoadedPlugins,
    pub catalog: Arc<Catalog>,
    /// The catalog's shared part, where servers share it.
    pub shared: Option<Arc<Shared>>,
    pub files: Arc<dyn FileStore>,
    pub index: Arc<RoutedIndex>,
    /// The disk of the data directory.
    pub disk: DiskGuard,
}

/// The plugins of a server.
pub(crate) struct LoadedPlugins {
    pub host: Host,
    pub registry: Registry,
    /// The installed components on disk.
    pub components: PluginStore,
    /// Digests of the installed plugins.
    pub installed: BTreeSet<String>,
}

/// Opens every part. The model and the plugins load side by side.
///
/// # Errors
/// Settings that contradict each other, or the first part that cannot be opened.
pub(crate) async fn open(mut settings: EngineSettings) -> Result<Opened, StartError> {
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
    let data = settings.data_dir.clone();
    let disk = DiskGuard::new(&data, settings.disk_reserve_bytes);
    // A disk that is short of room serves; one that cannot be written at all does not open.
    let writable = tokio::task::spawn_blocking({
        let disk = disk.clone();
        move || disk.try_least()
    });
    writable.await?.map_err(|error| StartError::Disk {
        directory: data.display().to_string(),
        error,
    })?;
    let models = tokio::task::spawn_blocking({
        let settings = settings.clone();
        move || open_models(&settings)
    });
    let plugins = tokio::task::spawn_blocking({
        let settings = settings.clone();
        move || load_plugins(&settings)
    });
    let catalog = open_catalog(&settings).await?;
    let shared = catalog.shared();
    let exclusion: Arc<dyn Exclusion> = match &shared {
        None => Arc::new(LocalExclusion::default()),
        Some(shared) => Arc::new(SharedExclusion(shared.clone())),
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
        let reserve_bytes = disk.reserve();
        move || open_index(&data, reserve_bytes)
    });
    let index = RoutedIndex::new(index.await??, remote);
    Ok(Opened {
        models: models.await??,
        llm,
        plugins: plugins.await??,
        catalog: Arc::new(catalog),
        files,
        index: Arc::new(match &shared {
            None => index,
            Some(_) => index.with_others(),
        }),
        shared,
        disk,
        settings,
    })
}

fn open_models(settings: &EngineSettings) -> Result<Models, EmbedError> {
    let runtime = Runtime::find(&settings.share_dir, &settings.runtime)?;
    let mut embedder = EmbedderSettings {
        queue: settings.embedder_queue,
        device: settings.runtime.device,
        precision: settings.precision,
        ..EmbedderSettings::default()
    };
    if settings.embedder_threads > 0 {
        embedder.threads = settings.embedder_threads;
    }
    let version = runtime.version().to_owned();
    let options = ModelsSettings {
        most: settings.max_models,
        unload_after: settings.unload_models_after,
        embedder,
    };
    let models = Models::open(runtime, &settings.share_dir.join("models"), &settings.model, options)?;
    let embedder = models.default_embedder();
    let (model, placement) = (&embedder.info().name, embedder.placement());
    let (device, precision) = (&placement.device, placement.precision.name());
    tracing::info!(model, device, precision, runtime = version, "the embedder is ready");
    Ok(models)
}

fn load_plugins(settings: &EngineSettings) -> Result<LoadedPlugins, StartError> {
    let host = Host::new(HostSettings {
        cache_dir: Some(settings.data_dir.join("cache")),
        ..HostSettings::default()
    })?;
    let registry = Registry::new();
    for failure in registry.load_dir(&host, &settings.share_dir.join("plugins"))? {
        tracing::error!(file = %failure.path.display(), error = %failure.error, "a plugin was left out");
    }
    // After those that ship, so that an installed one of the same version is taken.
    let components = PluginStore::open(&settings.data_dir.join("plugins"))?;
    let mut installed = BTreeSet::new();
    for component in components.read_all()? {
        let loaded = component.map_err(|error| error.to_string());
        match loaded.and_then(|bytes| host.load(&bytes).map_err(|error| error.to_string())) {
            Ok(plugin) => {
                installed.insert(plugin.digest().to_owned());
                registry.insert(plugin);
            }
            Err(error) => tracing::error!(error, "an installed plugin was left out"),
        }
    }
    let allowed = &settings.allowed_plugins;
    for plugin in registry.list() {
        if !allowed.is_empty() && !allowed.iter().any(|allowed| allowed == plugin.digest()) {
            let digest = plugin.digest();
            tracing::warn!(plugin = %plugin.reference(), digest, "a plugin that plugins.allow does not list was left out");
            registry.remove(digest);
        }
    }
    Ok(LoadedPlugins {
        host,
        registry,
        components,
        installed,
    })
}

async fn open_catalog(settings: &EngineSettings) -> Result<Catalog, StartError> {
    match &settings.catalog {
        None => {
            let options = SqliteOptions {
                max_events: settings.kept_events,
                ..SqliteOptions::default()
            };
            let catalog = Catalog::sqlite(&settings.data_dir.join("catalog"), options).await;
            catalog.map_err(|cause| StartError::Catalog {
                directory: settings.data_dir.display().to_string(),
                cause,
            })
        }
        Some(options) => {
            let options = PostgresOptions {
                max_events: settings.kept_events,
                ..options.clone()
            };
            Catalog::postgres(&options).await.map_err(StartError::SharedCatalog)
        }
    }
}

fn open_index(data: &Path, reserve_bytes: u64) -> Result<EmbeddedIndex, ibid_index::IndexError> {
    crate::upkeep::backup::sweep(data);
    let options = EmbeddedOptions {
        reserve_bytes,
        ..EmbeddedOptions::default()
    };
    EmbeddedIndex::open(&data.join("index"), options)
}
