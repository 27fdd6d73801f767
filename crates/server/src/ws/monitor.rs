//! `/ws/monitor`: how the machine and the server are.

use super::events::{Feed, Teller, tell, written};
use super::outbox::Outbox;
use crate::monitor::{Monitor, Notice, Watch, Watching};
use ibid_protocol::{ApiError, MonitorEvent, MonitorType, parse};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Milliseconds between metrics.
const INTERVAL: std::ops::RangeInclusive<u64> = 250..=60_000;
const DEFAULT_INTERVAL: u64 = 2_000;

/// What a client wants to know of.
#[derive(Debug, Default, Deserialize)]
pub(super) struct MonitorFilter {
    interval: Option<u64>,
    /// Separated by commas.
    types: Option<String>,
}

/// A subscription, before its socket is open.
pub(super) struct MonitorEvents {
    told: Told,
    standing: Vec<Arc<Notice>>,
    live: tokio::sync::broadcast::Receiver<Arc<Notice>>,
}

/// What one peer is told.
struct Told {
    interval: Duration,
    types: Vec<MonitorType>,
    /// When it was told metrics the last time.
    last: Option<Instant>,
    _watching: Watching,
}

impl MonitorEvents {
    /// From now on nothing is missed.
    pub fn subscribe(filter: MonitorFilter, monitor: &Arc<Monitor>) -> Result<Self, ApiError> {
        let interval = filter.interval.unwrap_or(DEFAULT_INTERVAL);
        if !INTERVAL.contains(&interval) {
            let issue = format!("must be {} to {} milliseconds", INTERVAL.start(), INTERVAL.end());
            return Err(ApiError::validation("interval", issue));
        }
        let interval = Duration::from_millis(interval);
        let all = vec![MonitorType::SystemMetrics, MonitorType::ServiceStatus, MonitorType::ErrorAlert];
        let types = filter.types.as_deref().map_or(Ok(all), types)?;
        let Watch { standing, live, watching } = monitor.watch(interval);
        let told = Told {
            interval,
            types,
            last: None,
            _watching: watching,
        };
        Ok(Self { told, standing, live })
    }

    /// Starts to tell.
    pub fn tell(self, outbox: Outbox) -> Teller {
        let Self {
            mut told,
            mut standing,
            live,
        } = self;
        standing.retain(|notice| told.wants(notice));
        Teller {
            telling: tell(outbox.clone(), told, 0, standing, live),
            outbox,
        }
    }
}

fn types(text: &str) -> Result<Vec<MonitorType>, ApiError> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            parse(Value::String(name.to_owned()))
                .map_err(|_| ApiError::validation("types", "must be of `system_metrics`, `service_status` and `error_alert`"))
        })
        .collect()
}

impl Feed for Told {
    type Event = Notice;

    fn wants(&mut self, notice: &Notice) -> bool {
        if !self.types.contains(&notice.message.event.kind()) {
            return false;
        }
        if !matches!(notice.message.event, MonitorEvent::SystemMetrics(_)) {
            return true;
        }
        // Of metrics that are measured more often for others the nearest to its time is taken.
        let due = self
            .last
            .is_none_or(|last| notice.at.saturating_duration_since(last) + notice.period / 2 >= self.interval);
        if due {
            self.last = Some(notice.at);
        }
        due
    }

    fn replaces(newer: &Notice, older: &Notice) -> bool {
        match (&newer.message.event, &older.message.event) {
            (MonitorEvent::SystemMetrics(_), MonitorEvent::SystemMetrics(_)) => true,
            (MonitorEvent::ServiceStatus(newer), MonitorEvent::ServiceStatus(older)) => newer.service == older.service,
            _ => false,
        }
    }

    fn text(&mut self, notice: &Notice) -> Vec<u8> {
        written(&notice.message)
    }
}
