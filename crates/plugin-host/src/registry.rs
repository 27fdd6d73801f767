//! Installed plugins, found by name and version, digest or media type.

use super::error::{PluginError, Reason};
use super::host::{Host, MAX_COMPONENT_BYTES, Plugin};
use super::manifest::Kind;
use semver::VersionReq;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Plugins by name, and for each name the newest version first. Shared by reference; reading never blocks for long.
#[derive(Default)]
pub struct Registry {
    plugins: RwLock<BTreeMap<String, Vec<Arc<Plugin>>>>,
}

/// A file in a plugin directory that could not be loaded.
#[derive(Debug)]
pub struct LoadFailure {
    /// The file.
    pub path: PathBuf,
    /// The error.
    pub error: PluginError,
}

impl Registry {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a plugin. One of the same name and version but with other bytes stays reachable by its digest only; the same bytes again change
    /// nothing.
    pub fn insert(&self, plugin: Arc<Plugin>) {
        let mut plugins = self.plugins.write().unwrap_or_else(PoisonError::into_inner);
        let versions = plugins.entry(plugin.manifest().name.clone()).or_default();
        versions.retain(|present| present.digest() != plugin.digest());
        let newer = versions.partition_point(|present| present.manifest().version > plugin.manifest().version);
        versions.insert(newer, plugin);
    }

    /// Removes a plugin. Calls that use it go on to their end.
    pub fn remove(&self, digest: &str) -> Option<Arc<Plugin>> {
        let mut plugins = self.plugins.write().unwrap_or_else(PoisonError::into_inner);
        let (name, at) = plugins.iter().find_map(|(name, versions)| {
            let at = versions.iter().position(|plugin| plugin.digest() == digest)?;
            Some((name.clone(), at))
        })?;
        let versions = plugins.get_mut(&name)?;
        let removed = versions.remove(at);
        if versions.is_empty() {
            plugins.remove(&name);
        }
        Some(removed)
    }

    /// Finds a plugin by `name`, `name@VERSIONS` (in cargo's syntax, such as `^1` or `=1.2.3`) or `name@sha256:DIGEST`; of several versions
    /// the newest.
    ///
    /// # Errors
    /// [`Reason::NotFound`], which lists what is installed.
    pub fn resolve(&self, kind: Kind, wanted: &str) -> Result<Arc<Plugin>, PluginError> {
        let not_found = |message: String| PluginError::of_file(Reason::NotFound(message));
        let (name, versions) = match wanted.split_once('@') {
            Some((name, versions)) => (name, Some(versions)),
            None => (wanted, None),
        };
        let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        let Some(present) = plugins.get(name) else {
            let others: Vec<&str> = plugins
                .iter()
                .filter(|(_, versions)| versions.iter().any(|plugin| plugin.kind() == kind))
                .map(|(name, _)| name.as_str())
                .collect();
            let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
            return Err(not_found(format!("there is no {kind} `{name}` here; installed: {others}")));
        };
        let found = match versions {
            None => present.iter().find(|plugin| plugin.kind() == kind),
            Some(digest) if digest.starts_with("sha256:") => {
                present.iter().find(|plugin| plugin.kind() == kind && plugin.digest() == digest)
            }
            Some(versions) => {
                let request = VersionReq::parse(versions).map_err(|error| {
                    not_found(format!(
                        "`{versions}` in `{wanted}` is neither versions nor a sha256 digest: {error}"
                    ))
                })?;
                present
                    .iter()
                    .find(|plugin| plugin.kind() == kind && request.matches(&plugin.manifest().version))
            }
        };
        found.cloned().ok_or_else(|| {
            let there: Vec<String> = present
                .iter()
                .map(|plugin| format!("{} ({}, {})", plugin.manifest().version, plugin.kind(), plugin.digest()))
                .collect();
            not_found(format!(
                "there is no {kind} `{wanted}` here; of `{name}` there is {}",
                there.join(", ")
            ))
        })
    }

    /// Returns all plugins, by name, the newest version of each first.
    pub fn list(&self) -> Vec<Arc<Plugin>> {
        let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        plugins.values().flatten().cloned().collect()
    }

    /// Returns the extractor for a media type: one for this type comes before one for its whole family (`text/*`), then by name; the newest
    /// version. Parameters (`; charset=...`) are ignored.
    pub fn extractor_for(&self, media_type: &str) -> Option<Arc<Plugin>> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let family = format!("{}/*", essence.split('/').next().unwrap_or_default());
        let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        let takes = |wanted: &str| {
            plugins
                .values()
                .filter_map(|versions| versions.first())
                .find(|plugin| plugin.kind() == Kind::Extractor && plugin.manifest().media_types.iter().any(|t| t == wanted))
                .cloned()
        };
        takes(&essence).or_else(|| takes(&family))
    }

    /// Loads every `*.wasm` file of a directory, in the order of their names. A file that cannot be loaded does not prevent the others.
    /// Blocks while components are compiled.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn load_dir(&self, host: &Host, dir: &Path) -> Result<Vec<LoadFailure>, PluginError> {
        let unreadable = |error: std::io::Error| PluginError::of_file(Reason::Host(format!("{}: {error}", dir.display())));
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.extension().is_some_and(|extension| extension == "wasm") && !hidden {
                paths.push(path);
            }
        }
        paths.sort();
        let mut failures = Vec::new();
        for path in paths {
            match read(&path).and_then(|bytes| host.load(&bytes)) {
                Ok(plugin) => self.insert(plugin),
                Err(error) => failures.push(LoadFailure { path, error }),
            }
        }
        Ok(failures)
    }
}

/// Reads a component, at most one byte past the limit, so that a huge file needs no memory.
fn read(path: &Path) -> Result<Vec<u8>, PluginError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_COMPONENT_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| PluginError::of_file(Reason::Host(format!("{}: {error}", path.display()))))?;
    Ok(bytes)
}
