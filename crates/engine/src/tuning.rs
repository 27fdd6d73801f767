//! What of the engine can change while it runs.

use super::engine::Engine;
use super::settings::EngineSettings;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Settings that can change while the engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Longest time for any stage of a query.
    pub query_timeout: Duration,
    /// Queries that run at once; others wait. At least 1.
    pub max_concurrent_queries: usize,
    /// Whether plugins may be installed and removed over the network.
    pub plugin_install: bool,
}

/// Their present values.
#[derive(Debug)]
pub struct Tuned {
    query_timeout_ms: AtomicU64,
    /// Places for queries that there are, or will be when those in flight have ended.
    places: Mutex<usize>,
    plugin_install: AtomicBool,
}

impl Tuned {
    /// As the engine starts.
    pub fn new(settings: &EngineSettings) -> Self {
        Self {
            query_timeout_ms: AtomicU64::new(millis(settings.query_timeout)),
            places: Mutex::new(settings.max_concurrent_queries.max(1)),
            plugin_install: AtomicBool::new(settings.plugin_install),
        }
    }

    /// Whether plugins may be installed and removed over the network.
    pub fn plugin_install(&self) -> bool {
        self.plugin_install.load(Ordering::Relaxed)
    }
}

impl Engine {
    /// Takes other settings, for whatever begins from now on.
    pub fn tune(self: &Arc<Self>, tuning: Tuning) {
        self.tuning.query_timeout_ms.store(millis(tuning.query_timeout), Ordering::Relaxed);
        self.tuning.plugin_install.store(tuning.plugin_install, Ordering::Relaxed);
        let wanted = tuning.max_concurrent_queries.max(1);
        let had = std::mem::replace(&mut *self.tuning.places.lock().unwrap_or_else(PoisonError::into_inner), wanted);
        if wanted > had {
            self.queries.add_permits(wanted - had);
        } else if let Ok(fewer @ 1..) = u32::try_from(had - wanted) {
            // Places in use go when their queries have ended.
            let engine = self.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    () = engine.stopping.cancelled() => {}
                    taken = engine.queries.acquire_many(fewer) => {
                        if let Ok(taken) = taken {
                            taken.forget();
                        }
                    }
                }
            });
        }
    }

    /// How long any stage of a query may take.
    pub(super) fn query_timeout(&self) -> Duration {
        Duration::from_millis(self.tuning.query_timeout_ms.load(Ordering::Relaxed))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
