//! A loaded plugin.

use super::super::error::{PluginError, PluginRef, Reason};
use super::super::inspect::{Contract, inspect};
use super::super::manifest::{Kind, Manifest};
use super::super::store::digest_of;
use super::bindings::{analyzer, chunker, extractor, formatter};
use super::engine::Host;
use super::log::LogGate;
use super::quarantine::{Breaker, Quarantine, QuarantineChange};
use super::state::State;
use super::stats::{Counters, Stats};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use wasmtime::component::Component;

/// The largest component, in bytes. A plugin in JavaScript (12 MB) or Python (18 MB) includes its interpreter.
pub const MAX_COMPONENT_BYTES: usize = 64 << 20;

/// A component that is compiled and linked, ready to be instantiated for each call.
pub struct Plugin {
    manifest: Manifest,
    reference: Arc<PluginRef>,
    digest: String,
    contract: Contract,
    bytes: u64,
    pub(super) pre: Pre,
    pub(super) counters: Arc<Counters>,
    pub(super) breaker: Arc<Mutex<Breaker>>,
    pub(super) log: Arc<LogGate>,
}

/// A plugin was quarantined, or has recovered.
#[derive(Debug, Clone)]
pub struct StateChange {
    /// The plugin.
    pub plugin: Arc<PluginRef>,
    /// Its digest, since two plugins may have the same name and version.
    pub digest: String,
    /// The change.
    pub change: QuarantineChange,
    /// The quarantine since then, if any.
    pub quarantine: Option<Quarantine>,
}

/// The pre-linked component, by kind.
#[derive(Clone)]
pub enum Pre {
    Extractor(extractor::ExtractorPluginPre<State>),
    Chunker(chunker::SemanticChunkerPluginPre<State>),
    Analyzer(analyzer::AnalyzerPluginPre<State>),
    Formatter(formatter::CitationPluginPre<State>),
}

impl Plugin {
    /// Returns the plugin's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns its kind.
    pub fn kind(&self) -> Kind {
        self.manifest.kind
    }

    /// Returns `sha256:` and the hexadecimal digest of the component's bytes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the interfaces that it imports and exports.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Returns the size of the component in bytes.
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// Returns name, version and kind, as errors and the log carry them.
    pub fn reference(&self) -> Arc<PluginRef> {
        self.reference.clone()
    }

    /// Returns the statistics of its calls since it was loaded.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// Returns its quarantine, if it is quarantined.
    pub fn quarantine(&self) -> Option<Quarantine> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner).state(Instant::now())
    }

    /// Makes an error of this plugin.
    pub fn error(&self, reason: Reason) -> PluginError {
        PluginError {
            plugin: Some(self.reference()),
            reason,
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("manifest", &self.manifest)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

fn reference(manifest: &Manifest) -> Arc<PluginRef> {
    let Manifest { name, version, kind, .. } = manifest;
    Arc::new(PluginRef {
        name: name.clone(),
        version: version.clone(),
        kind: *kind,
    })
}

impl Host {
    /// Loads a plugin: reads its manifest, checks its imports and exports, and compiles it or takes its code from the cache. Blocks;
    /// compiling a large component takes seconds.
    ///
    /// # Errors
    /// [`Reason::Refused`], which says what does not fit.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let refused = |why: String| PluginError::of_file(Reason::Refused(why));
        if bytes.len() > MAX_COMPONENT_BYTES {
            return Err(refused(format!("it is larger than {} MiB", MAX_COMPONENT_BYTES >> 20)));
        }
        let manifest = Manifest::of_component(bytes).map_err(|error| refused(error.to_string()))?;
        let reference = reference(&manifest);
        let refused = |why: String| PluginError {
            plugin: Some(reference.clone()),
            reason: Reason::Refused(why),
        };
        let contract = inspect(bytes).map_err(refused)?;
        contract.check(manifest.kind).map_err(refused)?;
        let digest = digest_of(bytes);
        let component = self
            .compile(&digest, bytes)
            .map_err(|error| refused(format!("it does not compile: {error:#}")))?;
        let pre = self
            .link(manifest.kind, &component)
            .map_err(|error| refused(format!("it was built against another state of the contract: {error:#}")))?;
        tracing::info!(plugin = %reference, digest, "plugin loaded");
        let bytes = bytes.len() as u64;
        Ok(Arc::new(Plugin {
            manifest,
            reference,
            digest,
            contract,
            bytes,
            pre,
            counters: Arc::default(),
            breaker: Arc::default(),
            log: Arc::new(LogGate::new(self.shared.log.clone())),
        }))
    }

    fn compile(&self, digest: &str, bytes: &[u8]) -> wasmtime::Result<Component> {
        let shared = &self.shared;
        if let Some(component) = shared.cache.as_ref().and_then(|cache| cache.get(&shared.engine, digest)) {
            return Ok(component);
        }
        let component = Component::from_binary(&shared.engine, bytes)?;
        if let Some(cache) = &shared.cache {
            cache.put(digest, &component);
        }
        Ok(component)
    }

    fn link(&self, kind: Kind, component: &Component) -> wasmtime::Result<Pre> {
        let pre = self.shared.linker(kind).instantiate_pre(component)?;
        Ok(match kind {
            Kind::Extractor => Pre::Extractor(extractor::ExtractorPluginPre::new(pre)?),
            Kind::Chunker => Pre::Chunker(chunker::SemanticChunkerPluginPre::new(pre)?),
            Kind::Analyzer => Pre::Analyzer(analyzer::AnalyzerPluginPre::new(pre)?),
            Kind::Formatter => Pre::Formatter(formatter::CitationPluginPre::new(pre)?),
        })
    }
}
