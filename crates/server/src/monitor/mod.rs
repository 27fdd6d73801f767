//! What operators watch: the machine, the services, and what is wrong with them.
//!
//! Everything is measured once for all who watch, and only while somebody does. Knows the engine and the number of
//! connections, and nothing of sockets.

mod alerts;
mod machine;

use alerts::{Crossing, Threshold};
use ibid_engine::{Engine, ServiceHealth};
use ibid_protocol::{ErrorAlert, MonitorEvent, MonitorMessage, ServiceStatus, SystemMetrics};
use ibid_settings::settings;
use machine::{BETWEEN_LOOKS, Machine};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

/// Events that a reader may be behind before it misses some.
const RING: usize = 256;
/// How often services are checked.
const CHECK: Duration = Duration::from_secs(5);
/// How often the status of a service is told that does not change.
const TELL_STATUS: Duration = Duration::from_secs(15);
/// A status that is told every 15 s is told at the third check, however late or early that is.
const ON_TIME: Duration = Duration::from_secs(2);
/// How long the CPU must be busy to be worth an alert: ingest makes it busy for seconds.
const BUSY: Duration = Duration::from_secs(60);

settings! {
    /// From when on an alert is sent to `/ws/monitor`: section `monitor`.
    #[derive(Copy, PartialEq, Eq)]
    pub struct AlertLevels {
        keys {
            /// /ws/monitor tells an alert when the machine's cores have been as busy as this for a minute.
            "monitor.cpu_alert_percent" [range(1, 100), live()] => cpu_percent: u32 = 95,
            /// /ws/monitor tells an alert when as much of the machine's memory is in use.
            "monitor.memory_alert_percent" [range(1, 100), live()] => memory_percent: u32 = 90,
            /// /ws/monitor tells an alert when queries take as long on average.
            "monitor.response_alert_seconds" [range(1, 3600), live()] => response_seconds: u32 = 10,
        }
    }
}

/// What is told, and how far apart metrics are at present.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Notice {
    pub message: MonitorMessage,
    /// Of `system_metrics`: the time between two of them.
    pub period: Duration,
    /// When it was made.
    pub at: Instant,
}

/// Watches for whoever subscribes.
pub(super) struct Monitor {
    engine: Arc<Engine>,
    /// Of connections; `most` when there is none.
    places: Arc<Semaphore>,
    most: usize,
    levels: Mutex<AlertLevels>,
    ring: broadcast::Sender<Arc<Notice>>,
    state: Mutex<State>,
    /// The shortest interval may be another one.
    interval_changed: Notify,
}

#[derive(Default)]
struct State {
    /// Who watches, and how often each wants metrics.
    watchers: BTreeMap<u64, Duration>,
    next_watcher: u64,
    /// What new watchers are told first: the newest status of each service, and alerts that still hold.
    standing: BTreeMap<String, Arc<Notice>>,
    work: Vec<AbortOnDropHandle<()>>,
}

/// Somebody watches, until this is dropped.
pub(super) struct Watching {
    monitor: Weak<Monitor>,
    number: u64,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(monitor) = self.monitor.upgrade() {
            let mut state = monitor.state();
            state.watchers.remove(&self.number);
            if state.watchers.is_empty() {
                // What is known grows old from now on.
                state.standing.clear();
                state.work.clear();
            }
            drop(state);
            monitor.interval_changed.notify_one();
        }
    }
}

/// A view of what is told: what holds now, and what follows.
pub(super) struct Watch {
    pub standing: Vec<Arc<Notice>>,
    pub live: broadcast::Receiver<Arc<Notice>>,
    pub watching: Watching,
}

impl Monitor {
    /// Watches `engine`, and the connections that take the permits of `places`, of which there are `most`.
    pub fn new(engine: Arc<Engine>, places: Arc<Semaphore>, most: usize, levels: AlertLevels) -> Arc<Self> {
        Arc::new(Self {
            engine,
            places,
            most,
            levels: Mutex::new(levels),
            ring: broadcast::Sender::new(RING),
            state: Mutex::default(),
            interval_changed: Notify::new(),
        })
    }

    /// Begins to watch; metrics come at least every `interval`.
    pub fn watch(self: &Arc<Self>, interval: Duration) -> Watch {
        let mut state = self.state();
        let number = state.next_watcher;
        state.next_watcher += 1;
        state.watchers.insert(number, interval);
        if state.work.is_empty() {
            state.work = vec![
                AbortOnDropHandle::new(tokio::spawn(self.clone().measure())),
                AbortOnDropHandle::new(tokio::spawn(self.clone().check())),
            ];
        }
        let watch = Watch {
            standing: state.standing.values().cloned().collect(),
            live: self.ring.subscribe(),
            watching: Watching {
                monitor: Arc::downgrade(self),
                number,
            },
        };
        drop(state);
        self.interval_changed.notify_one();
        watch
    }

    /// Other levels from the next look on. An alert of the old ones ends.
    pub fn set_levels(&self, levels: AlertLevels) {
        *self.levels.lock().unwrap_or_else(PoisonError::into_inner) = levels;
    }

    fn levels(&self) -> AlertLevels {
        *self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shortest interval that anybody wants.
    fn period(&self) -> Duration {
        let state = self.state();
        state.watchers.values().min().copied().unwrap_or(CHECK).max(BETWEEN_LOOKS)
    }

    /// Tells `event`, also to later watchers if it has a `standing` name.
    fn tell(&self, event: MonitorEvent, period: Duration, standing: Option<String>) {
        let notice = Arc::new(Notice {
            message: MonitorMessage {
                timestamp: super::http::now(),
                event,
            },
            period,
            at: Instant::now(),
        });
        // Under the lock, so that a new watcher finds it standing or hears it, and not both.
        let mut state = self.state();
        if let Some(name) = standing {
            state.standing.insert(name, notice.clone());
        }
        // An error only says that nobody listens.
        let _ = self.ring.send(notice);
        drop(state);
    }

    fn alert(&self, name: &str, severity: &str, service: &str, message: String, details: Value) {
        tracing::warn!(service, severity, message, "alert");
        let alert = ErrorAlert {
            severity: severity.to_owned(),
            service: service.to_owned(),
            message,
            details,
        };
        self.tell(MonitorEvent::ErrorAlert(alert), Duration::ZERO, Some(format!("alert {name}")));
    }

    fn all_clear(&self, name: &str) {
        self.state().standing.remove(&format!("alert {name}"));
    }

    /// Tells metrics, for as long as anybody watches.
    async fn measure(self: Arc<Self>) {
        let Ok(mut machine) = Machine::new().await else { return };
        let mut gauges = Gauges::new(self.levels());
        let mut last = Instant::now();
        let mut next = last + BETWEEN_LOOKS;
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.interval_changed.notified() => {
                    next = next.min(last + self.period()).max(last + BETWEEN_LOOKS);
                    continue;
                }
            }
            let period = self.period();
            last = Instant::now();
            // Not later than it should be, but after a stall not all at once.
            next = (next + period).max(last + BETWEEN_LOOKS);
            let Ok((same, usage)) = machine.look().await else { return };
            machine = same;
            let load = self.engine.load();
            let metrics = SystemMetrics {
                cpu_usage: usage.cpu,
                memory_usage: usage.memory,
                active_connections: self.most.saturating_sub(self.places.available_permits()) as u64,
                queries_per_minute: load.queries_per_minute,
                average_response_time: load.average_response_time,
            };
            let levels = self.levels();
            if gauges.levels != levels {
                gauges.end(&self);
                gauges = Gauges::new(levels);
            }
            gauges.take(&self, &metrics);
            self.tell(MonitorEvent::SystemMetrics(metrics), period, None);
        }
    }

    /// Tells how the services are, for as long as anybody watches.
    async fn check(self: Arc<Self>) {
        let mut changes = self.engine.plugin_state_changes();
        let mut told: BTreeMap<&str, (String, Instant)> = BTreeMap::new();
        // The protocol has no status for these, which are worth an alert all the same.
        let mut stores: BTreeMap<&str, String> = BTreeMap::new();
        let mut disk_is_well = true;
        loop {
            let next = Instant::now() + CHECK;
            let (files, catalog) = tokio::join!(self.engine.file_store(), self.engine.catalog_health());
            for (store, health) in [("file_store", files), ("catalog", catalog)] {
                let before = stores.insert(store, health.status.clone());
                if before.as_deref() != Some(&health.status) {
                    self.judge(store, before.as_deref(), &health);
                }
            }
            let (services, storage) = self.look_at_services().await;
            self.judge_disk(&storage, &mut disk_is_well);
            for (service, health) in services {
                let before = told.get(service);
                let changed = before.is_none_or(|(status, _)| *status != health.status);
                if changed {
                    self.judge(service, before.map(|(status, _)| status.as_str()), &health);
                }
                if changed || before.is_some_and(|(_, at)| at.elapsed() + ON_TIME >= TELL_STATUS) {
                    told.insert(service, (health.status.clone(), Instant::now()));
                    let status = ServiceStatus {
                        service: service.to_owned(),
                        status: health.status,
                        response_time: health.response_time,
                        last_check: super::http::now(),
                        message: health.message,
                    };
                    self.tell(
                        MonitorEvent::ServiceStatus(status),
                        Duration::ZERO,
                        Some(format!("service {service}")),
                    );
                }
            }
            tokio::select! {
                () = sleep_until(next) => {}
                change = changes.next() => {
                    if let Some(quarantined) = change {
                        let message = format!("{} is quarantined: {}", quarantined.plugin, quarantined.because);
                        let details = json!({
                            "plugin": quarantined.plugin,
                            "reason": quarantined.because,
                            "retry_after": quarantined.retry_after,
                        });
                        self.alert(&format!("plugin {}", quarantined.plugin), "warning", "plugin_runtime", message, details);
                    }
                }
            }
        }
    }

    /// The services, and the disk that they write to.
    async fn look_at_services(&self) -> ([(&'static str, ServiceHealth); 4], ServiceHealth) {
        let (health, plugins) = tokio::join!(self.engine.health(), self.engine.plugin_runtime());
        let services = health.services;
        let told = [
            ("vector_database", services.vector_db),
            ("embedding_service", services.embedding_service),
            ("llm_service", services.llm_service),
            ("plugin_runtime", plugins),
        ];
        (told, services.storage)
    }

    /// A disk that cannot be written is worth an alert, of the server as a whole; one that can be again ends it.
    fn judge_disk(&self, storage: &ServiceHealth, was_well: &mut bool) {
        const NAME: &str = "storage";
        let well = storage.status == "healthy";
        if well == std::mem::replace(was_well, well) {
            return;
        }
        if well {
            return self.all_clear(NAME);
        }
        let message = storage.message.clone().unwrap_or_else(|| "the disk does not answer".to_owned());
        let details = json!({ "storage": storage.status });
        self.alert(NAME, "critical", "system", message, details);
    }

    /// A service that is down is worth an alert; one that is up again ends it.
    fn judge(&self, service: &str, before: Option<&str>, health: &ServiceHealth) {
        let name = format!("service {service}");
        if health.status == "unhealthy" {
            let what = health.message.as_deref().unwrap_or("does not work");
            let details = json!({ "status": health.status, "before": before });
            self.alert(&name, "critical", service, format!("The service is down: {what}"), details);
        } else {
            self.all_clear(&name);
        }
        if service == "plugin_runtime" && health.status == "healthy" {
            self.state().standing.retain(|name, _| !name.starts_with("alert plugin "));
        }
    }
}

/// The numbers that have thresholds.
struct Gauges {
    levels: AlertLevels,
    cpu: Threshold,
    memory: Threshold,
    response: Threshold,
}

impl Gauges {
    fn new(levels: AlertLevels) -> Self {
        Self {
            levels,
            cpu: Threshold::new(levels.cpu_percent.into(), 0.9, BUSY),
            memory: Threshold::new(levels.memory_percent.into(), 0.95, Duration::ZERO),
            response: Threshold::new(levels.response_seconds.into(), 0.8, Duration::ZERO),
        }
    }

    /// Ends the alerts that hold.
    fn end(&self, monitor: &Monitor) {
        for name in ["cpu_usage", "memory_usage", "average_response_time"] {
            monitor.all_clear(name);
        }
    }

    fn take(&mut self, monitor: &Monitor, metrics: &SystemMetrics) {
        let now = std::time::Instant::now();
        let numbers = [
            (&mut self.cpu, "cpu_usage", metrics.cpu_usage, "High CPU usage detected"),
            (&mut self.memory, "memory_usage", metrics.memory_usage, "High memory usage detected"),
            (
                &mut self.response,
                "average_response_time",
                metrics.average_response_time,
                "Queries take long",
            ),
        ];
        for (threshold, name, value, message) in numbers {
            match threshold.take(value, now) {
                Some(Crossing::Raised) => {
                    let details = json!({ name: value, "threshold": threshold.limit() });
                    monitor.alert(name, "warning", "system", message.to_owned(), details);
                }
                Some(Crossing::Cleared) => monitor.all_clear(name),
                None => {}
            }
        }
    }
}
