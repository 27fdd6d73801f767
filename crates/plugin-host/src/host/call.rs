//! Runs one call on a blocking thread: makes the store, enforces the budget, and converts errors.

use super::super::error::{PluginError, PluginRef, Reason};
use super::super::manifest::Kind;
use super::Budget;
use super::bindings::import::types::Failure;
use super::engine::{Host, Shared};
use super::log::{Log, LogGate};
use super::plugin::{Plugin, Pre, StateChange};
use super::quarantine::{Breaker, Quarantine};
use super::state::{Clock, Offered, State, Stop};
use super::stats::Counters;
use ibid_telemetry::catalogue;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::{Store, Trap, UpdateDeadline};

/// The bytes that one host call may copy beyond the plugin's output: spans, handles, list headers.
const HOSTCALL_SLACK_BYTES: usize = 1 << 20;

/// Why a call failed.
pub enum CallError {
    /// A trap, or a guest that violates the calling convention.
    Wasm(wasmtime::Error),
    /// Another reason.
    Reason(Reason),
}

impl From<wasmtime::Error> for CallError {
    fn from(error: wasmtime::Error) -> Self {
        CallError::Wasm(error)
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        CallError::Reason(failure.into())
    }
}

impl From<Reason> for CallError {
    fn from(reason: Reason) -> Self {
        CallError::Reason(reason)
    }
}

/// Stops the guest when the future of its call is dropped.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a blocking thread needs to run calls of one plugin, and their permit for the pool. The permit is held until the guest has really
/// ended, even if its caller goes away.
pub struct Runner {
    shared: Arc<Shared>,
    plugin: Arc<PluginRef>,
    pre: Pre,
    digest: String,
    counters: Arc<Counters>,
    breaker: Arc<Mutex<Breaker>>,
    log: Arc<LogGate>,
    budget: Budget,
    _permit: OwnedSemaphorePermit,
}

/// Checks a configuration as far as the contract does: that it is a JSON object.
pub fn check_config(config: &str) -> Result<(), Reason> {
    match serde_json::from_str::<serde_json::Value>(config) {
        Ok(serde_json::Value::Object(_)) => Ok(()),
        Ok(_) => Err(Reason::Config("it is not a JSON object".into())),
        Err(error) => Err(Reason::Config(format!("it is not JSON: {error}"))),
    }
}

impl Runner {
    /// Waits for a permit of the pool.
    pub async fn admit(host: &Host, plugin: &Plugin, budget: &Budget) -> Result<Runner, PluginError> {
        let shared = host.shared.clone();
        if budget.fuel.is_some() && !shared.settings.meter_fuel {
            return Err(plugin.error(Reason::Config("its budget limits fuel, which this server does not meter".into())));
        }
        let may_begin = || {
            let mut breaker = plugin.breaker.lock().unwrap_or_else(PoisonError::into_inner);
            breaker.admit(Instant::now()).map_err(|reason| plugin.error(reason))
        };
        may_begin()?;
        let permit = shared.admit(plugin.kind()).await.map_err(|reason| plugin.error(reason))?;
        Ok(Runner {
            shared,
            plugin: plugin.reference(),
            pre: plugin.pre.clone(),
            digest: plugin.digest().to_owned(),
            counters: plugin.counters.clone(),
            breaker: plugin.breaker.clone(),
            log: plugin.log.clone(),
            budget: budget.clone(),
            _permit: permit,
        })
    }

    pub fn pre(&self) -> &Pre {
        &self.pre
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Makes the error of a call to the wrong kind of plugin.
    pub fn is_not(&self, wanted: Kind) -> PluginError {
        self.error(Reason::Refused(format!("it was asked to be {}", wanted.with_article())))
    }

    pub fn error(&self, reason: Reason) -> PluginError {
        PluginError {
            plugin: Some(self.plugin.clone()),
            reason,
        }
    }

    /// Runs `work` on a blocking thread and waits for it. Dropping the future stops the guest at its next check of the clock.
    pub async fn run<T, W>(&self, work: W) -> Result<T, PluginError>
    where
        T: Send + 'static,
        W: FnOnce(Arc<AtomicBool>) -> Result<T, PluginError> + Send + 'static,
    {
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(cancelled.clone());
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(cancelled))).await;
        // A panic here is a bug of the server (in a token counter, for example), and fails this call alone.
        done.unwrap_or_else(|error| Err(self.error(Reason::Host(format!("the call panicked: {error}")))))
    }

    /// Returns a store for one instance. It is made on the thread that runs it, so that its deadline starts late enough.
    pub fn store(&self, offered: Offered, cancelled: Arc<AtomicBool>) -> Store<State> {
        let budget = &self.budget;
        let memory = budget.memory_bytes.min(self.shared.settings.max_memory_bytes as u64);
        let clock = Clock::start(budget.deadline, cancelled);
        let log = Log::new(self.plugin.clone(), self.log.clone(), budget.log_lines);
        let state = State::new(log, budget, memory, clock, offered);
        let mut store = Store::new(&self.shared.engine, state);
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|context| {
            context.data().clock.check()?;
            Ok(UpdateDeadline::Continue(1))
        });
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(budget.output_bytes.saturating_add(HOSTCALL_SLACK_BYTES));
        store
    }

    /// Runs guest code of a store, converts its error, and counts the call.
    pub fn guest<T>(
        &self,
        store: &mut Store<State>,
        work: impl FnOnce(&mut Store<State>) -> Result<T, CallError>,
    ) -> Result<T, PluginError> {
        if self.shared.settings.meter_fuel {
            let fuel = store.set_fuel(self.budget.fuel.unwrap_or(u64::MAX));
            fuel.map_err(|error| self.error(Reason::Host(error.to_string())))?;
        }
        let started = Instant::now();
        let result = {
            let _running = self.shared.ticker.run();
            work(store)
        };
        let took = started.elapsed();
        let judged = match result {
            Ok(value) => Ok(value),
            Err(CallError::Reason(reason)) => Err((reason, None)),
            Err(CallError::Wasm(error)) => match self.judge(store.data(), &error) {
                Some(reason) => Err((reason, Some(error))),
                // The caller has gone.
                None => return Err(self.error(Reason::Host("the call was cancelled".into()))),
            },
        };
        let memory = store.data().memory.peak();
        let reason = judged.as_ref().err().map(|(reason, _)| reason);
        self.counters.record(took, memory, reason);
        self.measure(took, reason);
        self.watch(reason.filter(|reason| reason.is_plugins_fault()));
        judged.map_err(|(reason, error)| {
            let (plugin, kind) = (&self.plugin, reason.name());
            match error {
                // The backtrace is in the error's debug form, and helps the author only.
                Some(error) => tracing::warn!(%plugin, reason = kind, ?took, "plugin call failed: {reason}\n{error:?}"),
                None => tracing::info!(%plugin, reason = kind, ?took, "plugin call failed: {reason}"),
            }
            self.error(reason)
        })
    }

    /// Records a call in the metrics.
    fn measure(&self, took: Duration, failed: Option<&Reason>) {
        let labels = || [self.plugin.name.clone(), self.plugin.kind.name().to_owned()];
        catalogue::PLUGIN_CALLS.with(labels()).increment(1);
        catalogue::PLUGIN_SECONDS.with(labels()).record(took.as_secs_f64());
        if let Some(reason) = failed {
            let [name, kind] = labels();
            catalogue::PLUGIN_FAILURES.with([name, kind, reason.name().to_owned()]).increment(1);
        }
    }

    /// Records in the quarantine how a call ended, and notifies listeners of a change.
    fn watch(&self, fault: Option<&Reason>) {
        let now = Instant::now();
        let (change, quarantine) = {
            let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
            (breaker.record(now, fault), breaker.state(now))
        };
        let Some(change) = change else { return };
        let plugin = &self.plugin;
        match &quarantine {
            Some(Quarantine { remaining, times, .. }) => tracing::error!(%plugin, ?remaining, times, "plugin quarantined"),
            None => tracing::info!(%plugin, "plugin has recovered"),
        }
        // An error only means that there are no listeners.
        let _ = self.shared.changes.send(StateChange {
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
            change,
            quarantine,
        });
    }

    /// Converts an error of the engine; `None` for a call that was cancelled.
    fn judge(&self, state: &State, error: &wasmtime::Error) -> Option<Reason> {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return Some(match stop {
                Stop::Cancelled => return None,
                Stop::Deadline => Reason::Deadline(self.budget.deadline),
                Stop::Limit(what) => Reason::Limit(what.clone()),
                Stop::Invalid(why) => Reason::InvalidResult(why.clone()),
                Stop::Host(why) => Reason::Host(why.clone()),
            });
        }
        if let Some(limit) = state.memory.denied() {
            return Some(Reason::Memory(limit));
        }
        Some(match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Reason::Fuel(self.budget.fuel.unwrap_or(u64::MAX)),
            Some(Trap::StackOverflow) => Reason::Trap("its calls nest too deeply".into()),
            Some(Trap::UnreachableCodeReached) => Reason::Trap(match state.log.last_error() {
                // Plugins log their panic message before they trap.
                Some(words) => words.to_owned(),
                None => "it trapped (most likely a panic) without a message in the log".into(),
            }),
            Some(trap) => Reason::Trap(trap.to_string().trim_start_matches("wasm trap: ").to_owned()),
            None => {
                let cause = error.root_cause().to_string();
                // wasmtime has no type for it; its message is the only sign.
                if cause.contains("fuel allocated for hostcalls") {
                    Reason::Limit(format!("more than {} bytes in one call", self.budget.output_bytes))
                } else {
                    Reason::Trap(cause)
                }
            }
        })
    }
}
