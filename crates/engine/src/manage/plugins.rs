//! Installed plugins: shown, installed, replaced and removed while the server runs.
//!
//! A pipeline that is in use holds its plugins until its last call has ended; the next call finds the new ones. Changes
//! come one at a time.

use crate::error::PipelineError;
use crate::peers::Peers;
use crate::spec::pipelines::Pipelines;
use crate::spec::pipelines::Resolved;
use crate::spec::{Lock, Pipeline};
use crate::store::Store;
use crate::timestamp;
use crate::tuning::Tuned;
use ibid_catalog::{Collection, NewEvent};
use ibid_plugin_host::{GuestLine, MAX_COMPONENT_BYTES, Plugin, PluginError, PluginStore, Stats, StoreError, digest_of};
use ibid_protocol::{
    ApiError, ErrorCode, PluginInfo, PluginInstalled, PluginList, PluginLogDropped, PluginLogLine, PluginRemoved, PluginStats,
    QuarantineInfo,
};
use ibid_system::disk::DiskError;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{self, error::RecvError};

/// How long a change waits for the one before it. Compiling a large component takes seconds.
const WAIT: Duration = Duration::from_secs(60);

/// The right to change what is installed. Taken before a component is received, so that one at a time is in memory.
pub struct PluginChange(#[allow(dead_code)] OwnedSemaphorePermit);

/// What a plugin writes to the log, as it comes.
pub struct PluginLog {
    name: String,
    lines: broadcast::Receiver<GuestLine>,
}

/// What comes next of a plugin's log.
#[derive(Debug, Clone, PartialEq)]
pub enum PluginLogEvent {
    /// A line.
    Line(PluginLogLine),
    /// Lines came faster than they were read.
    Dropped(PluginLogDropped),
}

impl PluginLog {
    /// Waits for what comes next; `None` when the server's plugins are gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<PluginLogEvent> {
        loop {
            match self.lines.recv().await {
                Ok(line) if line.plugin.name == self.name => {
                    return Some(PluginLogEvent::Line(PluginLogLine {
                        version: line.plugin.version.to_string(),
                        level: line.level,
                        message: line.message,
                        timestamp: timestamp::text(line.at.into()),
                    }));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(lines)) => return Some(PluginLogEvent::Dropped(PluginLogDropped { lines })),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Shows, installs and removes plugins.
pub(crate) struct Plugins {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub pipelines: Arc<Pipelines>,
    pub tuned: Arc<Tuned>,
    /// The installed components on disk.
    pub components: PluginStore,
    /// Digests of the installed plugins; the others ship with Ibid.
    pub installed: Mutex<BTreeSet<String>>,
    /// Digests of the only plugins that may run; empty allows all.
    pub allowed: Vec<String>,
}

impl Plugins {
    /// Follows the log of a plugin, in all its versions.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if there is none of this name.
    pub fn plugin_log(&self, name: &str) -> Result<PluginLog, ApiError> {
        if !self.pipelines.registry.list().iter().any(|plugin| plugin.manifest().name == name) {
            return Err(no_plugin(name));
        }
        Ok(PluginLog {
            name: name.to_owned(),
            lines: self.pipelines.host.log_lines(),
        })
    }

    /// Every installed plugin.
    pub async fn plugins(&self) -> Result<PluginList, ApiError> {
        let used = self.used_plugins().await.map_err(|error| error.to_api_error(""))?;
        let plugins = self
            .pipelines
            .registry
            .list()
            .iter()
            .map(|plugin| self.plugin_info(plugin, &used))
            .collect();
        Ok(PluginList { plugins })
    }

    /// All versions of a plugin.
    pub async fn plugin(&self, name: &str) -> Result<PluginList, ApiError> {
        let mut list = self.plugins().await?;
        list.plugins.retain(|plugin| plugin.name == name);
        if list.plugins.is_empty() {
            return Err(no_plugin(name));
        }
        Ok(list)
    }

    /// Waits for the right to change what is installed.
    ///
    /// # Errors
    /// Where this server takes no plugins over the network, or another change takes too long.
    pub async fn plugin_change(&self) -> Result<PluginChange, ApiError> {
        if !self.tuned.plugin_install() {
            let message = "This server installs no plugins over the network: its setting plugins.install is false.";
            return Err(ApiError::new(ErrorCode::AuthorizationFailed, message));
        }
        let busy = || {
            ApiError::new(
                ErrorCode::ServiceUnavailable,
                "another plugin is being installed: try again in a moment",
            )
        };
        match tokio::time::timeout(WAIT, self.pipelines.changes.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(PluginChange(permit)),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// Installs a component. `true`: it is new here. Pipelines that its name and version fit take it up at once.
    ///
    /// # Errors
    /// `CONFLICT` if another plugin has its name and version, unless `replace`; `PLUGIN_ERROR` if it cannot be used.
    pub async fn install_plugin(
        self: &Arc<Self>,
        change: PluginChange,
        bytes: Vec<u8>,
        replace: bool,
    ) -> Result<(PluginInstalled, bool), ApiError> {
        let digest = digest_of(&bytes);
        self.check_allowed(&digest)?;
        let known = |digest: &str| self.pipelines.registry.list().into_iter().find(|plugin| plugin.digest() == digest);
        if let Some(present) = known(&digest) {
            let plugin = self.info_of(&present).await?;
            let installed = PluginInstalled {
                plugin,
                replaced: None,
                moved: Vec::new(),
            };
            return Ok((installed, false));
        }
        let host = self.pipelines.host.clone();
        let loading = tokio::task::spawn_blocking(move || host.load(&bytes).map(|plugin| (plugin, bytes)));
        let (plugin, bytes) = loading
            .await
            .map_err(|error| PipelineError::from(error).to_api_error(""))?
            .map_err(refused)?;
        let manifest = plugin.manifest();
        let same = self
            .pipelines
            .registry
            .list()
            .into_iter()
            .find(|other| other.manifest().name == manifest.name && other.manifest().version == manifest.version);
        if let Some(same) = same.as_ref().filter(|_| !replace) {
            let message = format!(
                "`{}` {} is installed already with other bytes: give this one another version, or install it with replace=true.",
                manifest.name, manifest.version
            );
            let error = ApiError::new(ErrorCode::Conflict, message);
            return Err(error.with("installed", same.digest()).with("offered", plugin.digest()));
        }
        let before = self.resolutions().await.map_err(|error| error.to_api_error(""))?;
        let store = self.components.clone();
        let stored = tokio::task::spawn_blocking(move || store.put(&bytes).map(|()| bytes)).await;
        let bytes = stored
            .map_err(|error| PipelineError::from(error).to_api_error(""))?
            .map_err(not_stored)?;
        let replaced = same.map(|same| same.digest().to_owned());
        // First with the others: a plugin that only this server had would go again.
        self.peers
            .share_plugin(Some((&digest, &bytes)), replaced.as_deref())
            .await
            .map_err(|error| error.to_api_error(""))?;
        self.installed().insert(digest.clone());
        self.pipelines.registry.insert(plugin.clone());
        if let Some(old) = &replaced
            && self.installed().remove(old)
        {
            self.pipelines.registry.remove(old);
            self.unstore(old.clone()).await;
        }
        let (moved, _) = self.adopt(before).await.map_err(|error| error.to_api_error(""))?;
        tracing::info!(plugin = %plugin.reference(), digest, ?moved, "plugin installed");
        drop(change);
        let installed = PluginInstalled {
            plugin: self.info_of(&plugin).await?,
            replaced,
            moved,
        };
        Ok((installed, true))
    }

    /// Removes an installed plugin, of several versions the one that is named.
    ///
    /// # Errors
    /// `CONFLICT` if it ships with Ibid, if several versions are installed and none is named, or if a pipeline needs
    /// it, unless `force`.
    pub async fn remove_plugin(
        self: &Arc<Self>,
        change: PluginChange,
        name: &str,
        version: Option<&str>,
        force: bool,
    ) -> Result<PluginRemoved, ApiError> {
        let versions: Vec<Arc<Plugin>> = self
            .pipelines
            .registry
            .list()
            .into_iter()
            .filter(|plugin| plugin.manifest().name == name)
            .filter(|plugin| version.is_none_or(|version| plugin.manifest().version.to_string() == version))
            .collect();
        if versions.is_empty() {
            return Err(no_plugin(name));
        }
        let mut installed = versions.into_iter().filter(|plugin| self.installed().contains(plugin.digest()));
        let conflict = |message: String| ApiError::new(ErrorCode::Conflict, message);
        let plugin = match (installed.next(), installed.next()) {
            (None, _) => return Err(conflict(format!("`{name}` ships with Ibid and stays."))),
            (Some(_), Some(_)) => {
                return Err(conflict(format!(
                    "Several versions of `{name}` are installed: say which one by `version`."
                )));
            }
            (Some(plugin), None) => plugin,
        };
        let before = self.resolutions().await.map_err(|error| error.to_api_error(""))?;
        self.pipelines.registry.remove(plugin.digest());
        let needed = self.unresolved(&before);
        if !needed.is_empty() && !force {
            self.pipelines.registry.insert(plugin.clone());
            let message = format!(
                "Pipelines need `{name}` {}: {}. Change them first, or remove it with force=true.",
                plugin.manifest().version,
                needed.join(", ")
            );
            return Err(conflict(message).with("collections", needed));
        }
        self.peers
            .share_plugin(None, Some(plugin.digest()))
            .await
            .map_err(|error| error.to_api_error(""))?;
        self.installed().remove(plugin.digest());
        self.unstore(plugin.digest().to_owned()).await;
        let (moved, broken) = self.adopt(before).await.map_err(|error| error.to_api_error(""))?;
        tracing::info!(plugin = %plugin.reference(), digest = plugin.digest(), ?moved, ?broken, "plugin removed");
        crate::upkeep::observe::plugin_removed(&plugin.reference());
        drop(change);
        Ok(PluginRemoved {
            name: name.to_owned(),
            version: plugin.manifest().version.to_string(),
            digest: plugin.digest().to_owned(),
            moved,
            broken,
        })
    }

    /// Whether the operator lets this component run.
    fn check_allowed(&self, digest: &str) -> Result<(), ApiError> {
        let allowed = &self.allowed;
        if allowed.is_empty() || allowed.iter().any(|allowed| allowed == digest) {
            return Ok(());
        }
        let message = "This plugin is not on the operator's list: its digest has to be added to the setting plugins.allow.";
        Err(ApiError::new(ErrorCode::AuthorizationFailed, message).with("digest", digest))
    }

    /// Installs a component that another server installed. What is wrong with it is logged: it is left out.
    pub(crate) async fn take_component(&self, bytes: Vec<u8>) -> Result<(), PipelineError> {
        if let Err(refused) = self.check_allowed(&digest_of(&bytes)) {
            tracing::warn!(error = %refused, "a plugin of another server was left out");
            return Ok(());
        }
        let (host, store) = (self.pipelines.host.clone(), self.components.clone());
        let loading = tokio::task::spawn_blocking(move || {
            let plugin = host.load(&bytes).map_err(|error| error.to_string())?;
            store.put(&bytes).map_err(|error| error.to_string())?;
            Ok::<_, String>(plugin)
        });
        match loading.await? {
            Ok(plugin) => {
                tracing::info!(plugin = %plugin.reference(), "plugin installed, as at another server");
                self.installed().insert(plugin.digest().to_owned());
                self.pipelines.registry.insert(plugin);
            }
            Err(error) => tracing::error!(error, "a plugin of another server was left out"),
        }
        Ok(())
    }

    /// Removes a component that another server removed.
    pub(crate) async fn drop_component(&self, digest: &str) {
        tracing::info!(digest, "plugin removed, as at another server");
        self.pipelines.registry.remove(digest);
        self.installed().remove(digest);
        self.unstore(digest.to_owned()).await;
    }

    async fn unstore(&self, digest: String) {
        let store = self.components.clone();
        let name = digest.clone();
        match tokio::task::spawn_blocking(move || store.remove(&digest)).await {
            Ok(Ok(())) => {}
            // It is out of service; at the next start it would be back, and can be removed again.
            Ok(Err(error)) => tracing::error!(digest = name, %error, "a removed plugin's file stays"),
            Err(error) => tracing::error!(digest = name, %error, "a removed plugin's file stays"),
        }
    }

    pub(crate) fn installed(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeSet<String>> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each collection's pipeline resolves to; those that do not are left out.
    async fn resolutions(&self) -> Result<Vec<(Collection, Lock)>, PipelineError> {
        let collections = self.store.catalog.collections().await?;
        Ok(collections
            .into_iter()
            .filter_map(|collection| {
                let lock = self.resolve_afresh(&collection).ok()?.lock;
                Some((collection, lock))
            })
            .collect())
    }

    fn resolve_afresh(&self, collection: &Collection) -> Result<Resolved, PipelineError> {
        let pipeline = Pipeline::parse(collection.pipeline.clone())?;
        self.pipelines.resolve_stored(&collection.id, &collection.name, pipeline)
    }

    /// The collections of `before` whose pipelines do not resolve any more.
    fn unresolved(&self, before: &[(Collection, Lock)]) -> Vec<String> {
        let broken = before.iter().filter(|(collection, _)| self.resolve_afresh(collection).is_err());
        broken.map(|(collection, _)| collection.name.clone()).collect()
    }

    /// Has every pipeline take up what is installed now, and tells of those that changed. Returns the names of these,
    /// and of those that cannot run.
    async fn adopt(&self, before: Vec<(Collection, Lock)>) -> Result<(Vec<String>, Vec<String>), PipelineError> {
        self.pipelines.forget_all();
        let (mut moved, mut broken) = (Vec::new(), Vec::new());
        for (collection, lock) in before {
            let Ok(resolved) = self.resolve_afresh(&collection) else {
                broken.push(collection.name);
                continue;
            };
            if resolved.lock.plugins == lock.plugins {
                continue;
            }
            let changed = NewEvent::new(
                "pipeline_changed",
                json!({ "timestamp": timestamp::now(), "plugins": resolved.lock.plugins }),
            );
            let lock = serde_json::to_value(&resolved.lock).unwrap_or_default();
            if let Some(event) = self
                .store
                .catalog
                .set_pipeline(&collection.id, &collection.pipeline, &lock, changed)
                .await?
            {
                self.store.publish(event);
            }
            moved.push(collection.name);
        }
        Ok((moved, broken))
    }

    /// Names of collections, by the digests of the plugins that their pipelines run.
    async fn used_plugins(&self) -> Result<BTreeMap<String, Vec<String>>, PipelineError> {
        let mut used: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (collection, lock) in self.resolutions().await? {
            for plugin in lock.plugins.into_values() {
                used.entry(plugin.digest).or_default().push(collection.name.clone());
            }
        }
        Ok(used)
    }

    async fn info_of(&self, plugin: &Plugin) -> Result<PluginInfo, ApiError> {
        let used = self.used_plugins().await.map_err(|error| error.to_api_error(""))?;
        Ok(self.plugin_info(plugin, &used))
    }

    fn plugin_info(&self, plugin: &Plugin, used: &BTreeMap<String, Vec<String>>) -> PluginInfo {
        let manifest = plugin.manifest();
        let quarantine = plugin.quarantine();
        let source = if self.installed().contains(plugin.digest()) {
            "installed"
        } else {
            "shipped"
        };
        PluginInfo {
            name: manifest.name.clone(),
            version: manifest.version.to_string(),
            kind: manifest.kind.name().to_owned(),
            digest: plugin.digest().to_owned(),
            size: plugin.size(),
            description: manifest.description.clone(),
            license: manifest.license.clone(),
            media_types: manifest.media_types.clone(),
            config_schema: manifest.config_schema.clone(),
            imports: plugin.contract().imports.iter().map(ToString::to_string).collect(),
            grants: plugin.contract().wanted_grants().map(str::to_owned).collect(),
            source: source.to_owned(),
            state: if quarantine.is_some() { "quarantined" } else { "ready" }.to_owned(),
            quarantine: quarantine.map(|quarantine| QuarantineInfo {
                remaining: quarantine.remaining.as_secs_f64(),
                times: quarantine.times,
                reason: quarantine.because,
            }),
            stats: Some(stats(plugin.stats())),
            used_by: used.get(plugin.digest()).cloned().unwrap_or_default(),
        }
    }
}

/// Largest component that [`Engine::install_plugin`] takes, in bytes.
pub const MAX_PLUGIN_BYTES: usize = MAX_COMPONENT_BYTES;

fn stats(stats: Stats) -> PluginStats {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    PluginStats {
        calls: stats.calls,
        errors: stats.errors,
        faults: stats.faults,
        p50_ms: ms(stats.p50),
        p99_ms: ms(stats.p99),
        max_ms: ms(stats.max),
        peak_memory_bytes: stats.peak_memory_bytes,
    }
}

pub(crate) fn no_plugin(name: &str) -> ApiError {
    let message = format!("There is no plugin `{name}` of that version. GET /plugins lists them.");
    ApiError::new(ErrorCode::ResourceNotFound, message).with("plugin", name)
}

fn refused(error: PluginError) -> ApiError {
    ApiError::new(ErrorCode::PluginError, error.to_string()).with("reason", error.reason.name())
}

fn not_stored(error: StoreError) -> ApiError {
    tracing::error!(%error, "a plugin was not stored");
    if let StoreError::Io { cause, .. } = &error
        && let Some(trouble) = DiskError::of(cause)
    {
        return PipelineError::from(trouble).to_api_error("");
    }
    ApiError::new(
        ErrorCode::InternalError,
        "the plugin could not be stored; the server's log says why",
    )
}
