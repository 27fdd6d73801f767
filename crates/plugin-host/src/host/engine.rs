//! The plugin host: one engine, its pool of instances, and the permits to use them.

use super::super::error::{PluginError, Reason};
use super::super::manifest::Kind;
use super::bindings::{analyzer, extractor, formatter, import};
use super::cache::Cache;
use super::imports;
use super::log::GuestLine;
use super::plugin::StateChange;
use super::settings::HostSettings;
use super::state::{MAX_TABLE_ELEMENTS, State};
use super::ticker::Ticker;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, OptLevel, PoolingAllocationConfig};

/// The most core instances of one component. A plugin in Rust has 3 core instances, 1 memory and 2 tables; one that brings an interpreter
/// of linked libraries has dozens of instances.
const INSTANCES_PER_COMPONENT: u32 = 64;
/// State changes that a slow listener may lag behind.
const CHANGES_KEPT: usize = 64;
/// Lines of plugins' logs that a slow follower may lag behind.
const LINES_KEPT: usize = 1_024;
const TABLES_PER_COMPONENT: u32 = 8;
/// The guest's stack in its thread's stack; blocking threads have 2 MiB.
const STACK_BYTES: usize = 1 << 20;
/// The host's bookkeeping of one instance: wasmtime's own default, written out to make it visible.
const INSTANCE_BYTES: usize = 1 << 20;

/// Compiles plugins and runs their calls. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Host {
    pub(super) shared: Arc<Shared>,
}

pub struct Shared {
    pub engine: Engine,
    pub settings: HostSettings,
    pub cache: Option<Cache>,
    pub ticker: Ticker,
    pub changes: broadcast::Sender<StateChange>,
    pub log: broadcast::Sender<GuestLine>,
    linkers: [Linker<State>; 4],
    documents: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Host {
    /// Makes the engine, reserves addresses for its pool and starts the ticker's thread.
    ///
    /// # Errors
    /// [`Reason::Host`], if the settings do not fit the machine or the cache cannot be opened.
    pub fn new(settings: HostSettings) -> Result<Host, PluginError> {
        let failed = |what: &str, error: String| PluginError::of_file(Reason::Host(format!("{what}: {error}")));
        let engine =
            Engine::new(&config(&settings)).map_err(|error| failed("the WebAssembly engine does not start", format!("{error:#}")))?;
        let cache = settings
            .cache_dir
            .as_deref()
            .map(|dir| Cache::open(dir, &engine).map_err(|error| failed(&format!("the plugin cache {}", dir.display()), error.to_string())))
            .transpose()?;
        let linkers = linkers(&engine).map_err(|error| failed("the plugin contract", format!("{error:#}")))?;
        let ticker = Ticker::start(engine.clone(), settings.tick).map_err(|error| failed("the plugin ticker", error.to_string()))?;
        let lane = |size: usize| Arc::new(Semaphore::new(size.clamp(1, Semaphore::MAX_PERMITS)));
        let (documents, questions, answers) = (
            lane(settings.max_documents),
            lane(settings.max_questions),
            lane(settings.max_answers),
        );
        let shared = Shared {
            engine,
            settings,
            cache,
            ticker,
            changes: broadcast::Sender::new(CHANGES_KEPT),
            log: broadcast::Sender::new(LINES_KEPT),
            linkers,
            documents,
            questions,
            answers,
        };
        Ok(Host { shared: Arc::new(shared) })
    }

    /// Notifies of plugins that are quarantined and that recover, from now on. A receiver that falls behind by more than 64 misses the
    /// oldest.
    pub fn state_changes(&self) -> broadcast::Receiver<StateChange> {
        self.shared.changes.subscribe()
    }

    /// Returns the lines that plugins log, from now on, whatever the log's level. A receiver that falls behind by more than 1,024 lines
    /// misses the oldest.
    pub fn log_lines(&self) -> broadcast::Receiver<GuestLine> {
        self.shared.log.subscribe()
    }
}

impl Shared {
    /// Returns the imports of a kind's guests.
    pub fn linker(&self, kind: Kind) -> &Linker<State> {
        let [extractor, chunker, analyzer, formatter] = &self.linkers;
        match kind {
            Kind::Extractor => extractor,
            Kind::Chunker => chunker,
            Kind::Analyzer => analyzer,
            Kind::Formatter => formatter,
        }
    }

    /// Waits for an instance of the pool. Each kind has its own share, so that long extractions never delay a question.
    pub async fn admit(&self, kind: Kind) -> Result<OwnedSemaphorePermit, Reason> {
        let (lane, wait) = match kind {
            Kind::Extractor | Kind::Chunker => (&self.documents, None),
            Kind::Analyzer => (&self.questions, Some(self.settings.max_wait)),
            Kind::Formatter => (&self.answers, Some(self.settings.max_wait)),
        };
        let permit = lane.clone().acquire_owned();
        let permit = match wait {
            None => permit.await,
            Some(wait) => tokio::time::timeout(wait, permit).await.map_err(|_| Reason::Busy(wait))?,
        };
        permit.map_err(|_| Reason::Busy(Duration::ZERO))
    }
}

fn config(settings: &HostSettings) -> Config {
    let sizes = [settings.max_documents, settings.max_questions, settings.max_answers];
    let instances = sizes.iter().map(|size| (*size).max(1)).fold(0_usize, usize::saturating_add);
    let instances = u32::try_from(instances).unwrap_or(u32::MAX);

    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(INSTANCES_PER_COMPONENT))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
        .max_core_instances_per_component(INSTANCES_PER_COMPONENT)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_memory_size(settings.max_memory_bytes)
        .table_elements(MAX_TABLE_ELEMENTS)
        // Memory returns to the system when a call ends, and slots of plugins that have not run for a while are reused before new ones.
        .linear_memory_keep_resident(0)
        .max_unused_warm_slots(16);

    let mut config = Config::new();
    config
        .allocation_strategy(pool)
        .epoch_interruption(true)
        .consume_fuel(settings.meter_fuel)
        .max_wasm_stack(STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        // The same bytes give the same result on every machine, except for the bits of a NaN, which no plugin needs: making them equal too
        // would cost a PDF's extraction 9 %.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false);
    config
}

/// Makes one linker for each kind, in the order of [`Kind::ALL`]. There is no WASI: other imports are refused.
fn linkers(engine: &Engine) -> wasmtime::Result<[Linker<State>; 4]> {
    type Itself = HasSelf<State>;
    let [mut first, mut second, mut third, mut fourth] = std::array::from_fn(|_| Linker::new(engine));
    extractor::ExtractorPlugin::add_to_linker::<_, Itself>(&mut first, |state| state)?;
    imports::add_document(&mut second)?;
    import::types::add_to_linker::<_, Itself>(&mut second, |state| state)?;
    import::log::add_to_linker::<_, Itself>(&mut second, |state| state)?;
    import::embed::add_to_linker::<_, Itself>(&mut second, |state| state)?;
    analyzer::AnalyzerPlugin::add_to_linker::<_, Itself>(&mut third, |state| state)?;
    formatter::CitationPlugin::add_to_linker::<_, Itself>(&mut fourth, |state| state)?;
    Ok([first, second, third, fourth])
}
