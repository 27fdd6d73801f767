//! What of the engine can change while it runs.

use crate::settings::EngineSettings;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
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
    /// Permits for queries that there are, or will be when those in flight have ended.
    query_permits: Mutex<usize>,
    plugin_install: AtomicBool,
}

impl Tuned {
    /// As the engine starts.
    pub fn new(settings: &EngineSettings) -> Self {
        Self {
            query_timeout_ms: AtomicU64::new(millis(settings.query_timeout)),
            query_permits: Mutex::new(settings.max_concurrent_queries.max(1)),
            plugin_install: AtomicBool::new(settings.plugin_install),
        }
    }

    /// Whether plugins may be installed and removed over the network.
    pub fn plugin_install(&self) -> bool {
        self.plugin_install.load(Ordering::Relaxed)
    }

    /// Takes other settings, and returns how many queries could run at once before.
    pub(crate) fn set(&self, tuning: Tuning) -> usize {
        self.query_timeout_ms.store(millis(tuning.query_timeout), Ordering::Relaxed);
        self.plugin_install.store(tuning.plugin_install, Ordering::Relaxed);
        let wanted = tuning.max_concurrent_queries.max(1);
        std::mem::replace(&mut *self.query_permits.lock().unwrap_or_else(PoisonError::into_inner), wanted)
    }

    /// How long any stage of a query may take.
    pub(crate) fn query_timeout(&self) -> Duration {
        Duration::from_millis(self.query_timeout_ms.load(Ordering::Relaxed))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
