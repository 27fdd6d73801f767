//! What of the server can change while it runs.

use super::context::Shared;
use super::limits::LimitSettings;
use super::monitor::AlertLevels;
use super::settings::ServerSettings;
use std::sync::atomic::Ordering;

/// Settings of the server that can change while it runs; see [`ServerSettings`] for each.
#[derive(Debug, Clone)]
pub struct ServerTuning {
    /// What each client may ask. Of it, `proxies` and `tracked_clients` stay as they were at the start.
    pub limits: LimitSettings,
    /// What is worth an alert.
    pub alerts: AlertLevels,
    /// Queries in flight on one WebSocket connection; at least 1.
    pub max_queries_per_connection: usize,
    /// Answered requests that are logged in a second; at least 1.
    pub access_lines_per_second: u32,
}

impl From<&ServerSettings> for ServerTuning {
    fn from(settings: &ServerSettings) -> Self {
        Self {
            limits: settings.limits.clone(),
            alerts: settings.alerts,
            max_queries_per_connection: settings.max_queries_per_connection,
            access_lines_per_second: settings.access_lines_per_second,
        }
    }
}

impl Shared {
    /// Takes other settings, for whatever begins from now on.
    pub fn tune(&self, tuning: &ServerTuning) {
        self.limits.set(&tuning.limits);
        self.monitor.set_levels(tuning.alerts);
        self.queries_per_connection
            .store(tuning.max_queries_per_connection.max(1), Ordering::Relaxed);
        self.access_log.set_per_second(tuning.access_lines_per_second);
    }
}
