//! Settings that can change while the engine runs.

use crate::settings::EngineSettings;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// The present values of [`Tuning`], but for the number of queries, which the permits know.
#[derive(Debug, Default)]
pub struct Tuned {
    query_timeout_ms: AtomicU64,
    plugin_install: AtomicBool,
}

impl Tuned {
    /// Returns the values that the engine starts with.
    pub fn new(settings: &EngineSettings) -> Self {
        Self {
            query_timeout_ms: AtomicU64::new(millis(settings.query_timeout)),
            plugin_install: AtomicBool::new(settings.plugin_install),
        }
    }

    /// Returns whether plugins may be installed and removed over the network.
    pub fn plugin_install(&self) -> bool {
        self.plugin_install.load(Ordering::Relaxed)
    }

    /// Takes other settings, except for the number of queries that run at once.
    pub(crate) fn set(&self, tuning: Tuning) {
        self.query_timeout_ms.store(millis(tuning.query_timeout), Ordering::Relaxed);
        self.plugin_install.store(tuning.plugin_install, Ordering::Relaxed);
    }

    /// Returns how long any stage of a query may take.
    pub(crate) fn query_timeout(&self) -> Duration {
        Duration::from_millis(self.query_timeout_ms.load(Ordering::Relaxed))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
