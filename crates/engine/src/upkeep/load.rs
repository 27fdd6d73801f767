//! What can be watched of the engine while it works: how many queries there are and how long they take, whether plugins run, and
//! when one is quarantined.

use super::health::Monitor;
use crate::spec::Pipeline;
use crate::upkeep::health::ServiceHealth;
use ibid_plugin_host::{QuarantineChange, Reason};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::{self, error::RecvError};

/// Seconds that are looked back on.
const WINDOW: usize = 60;
/// A plugin that takes longer for one word does not work.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much is asked, over the last minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Queries that were begun.
    pub queries_per_minute: u64,
    /// Mean of the seconds that queries took that were completed; 0 if none was.
    pub average_response_time: f64,
}

/// Counts queries by seconds. Time is passed in, so that tests need not wait.
pub(crate) struct QueryMeter {
    start: Instant,
    seconds: Mutex<[Second; WINDOW]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    /// Which one, from the start.
    number: u64,
    begun: u64,
    completed: u64,
    time: Duration,
}

impl Default for QueryMeter {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            seconds: Mutex::new([Second::default(); WINDOW]),
        }
    }
}

impl QueryMeter {
    fn at(&self, now: Instant, count: impl FnOnce(&mut Second)) {
        let number = now.saturating_duration_since(self.start).as_secs();
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(second) = seconds.get_mut((number % WINDOW as u64) as usize) else {
            return;
        };
        if second.number != number {
            *second = Second {
                number,
                ..Second::default()
            };
        }
        count(second);
    }

    /// A query began.
    pub fn begun(&self, now: Instant) {
        self.at(now, |second| second.begun += 1);
    }

    /// A query was completed after `time`.
    pub fn completed(&self, now: Instant, time: Duration) {
        self.at(now, |second| {
            second.completed += 1;
            second.time += time;
        });
    }

    /// The last minute.
    pub fn load(&self, now: Instant) -> Load {
        let number = now.saturating_duration_since(self.start).as_secs();
        let seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = seconds.iter().filter(|second| second.number + WINDOW as u64 > number);
        let (begun, completed, time) = recent.fold((0, 0, Duration::ZERO), |(begun, completed, time), second| {
            (begun + second.begun, completed + second.completed, time + second.time)
        });
        Load {
            queries_per_minute: begun,
            average_response_time: if completed == 0 {
                0.0
            } else {
                time.as_secs_f64() / completed as f64
            },
        }
    }
}

/// A plugin that is not called any more, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// `name@version`.
    pub plugin: String,
    /// Its last fault.
    pub because: String,
    /// Seconds until it is tried again.
    pub retry_after: u64,
}

/// Tells when the state of a plugin changes.
pub struct PluginChanges(broadcast::Receiver<ibid_plugin_host::StateChange>);

impl PluginChanges {
    /// Waits for the next change: a quarantine, or `None` for a recovery, or changes that this reader was too slow for. Never comes
    /// back once the engine is gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Quarantined> {
        match self.0.recv().await {
            Ok(change) if change.change == QuarantineChange::Quarantined => change.quarantine.map(|quarantine| Quarantined {
                plugin: format!("{}@{}", change.plugin.name, change.plugin.version),
                because: quarantine.because,
                retry_after: quarantine.remaining.as_secs_f64().ceil() as u64,
            }),
            Ok(_) | Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Monitor {
    /// How much is asked.
    pub fn load(&self) -> Load {
        self.queries.meter.load(Instant::now())
    }

    /// When plugins are quarantined and recover, from now on.
    pub fn plugin_state_changes(&self) -> PluginChanges {
        PluginChanges(self.pipelines.host.state_changes())
    }

    /// Runs a plugin, the default analyzer, over one word. `degraded` while a plugin is quarantined.
    pub async fn plugin_runtime(&self) -> ServiceHealth {
        let start = Instant::now();
        let call = async {
            let resolved = self
                .pipelines
                .resolve("check", "check", Pipeline::default())
                .map_err(|error| error.to_api_error("").message)?;
            let stage = &resolved.analyzer;
            match self
                .pipelines
                .host
                .analyze(&stage.plugin, &stage.config, "health", &Vec::new(), &stage.budget)
                .await
            {
                Ok(_) => Ok(()),
                // It is told below.
                Err(error) if matches!(error.reason, Reason::Quarantined { .. }) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        };
        let failed = match tokio::time::timeout(PATIENCE, call).await {
            Ok(Ok(())) => None,
            Ok(Err(message)) => Some(message),
            Err(_) => Some("does not answer".to_owned()),
        };
        let response_time = start.elapsed().as_secs_f64() * 1e3;
        let quarantined: Vec<String> = self
            .pipelines
            .registry
            .list()
            .iter()
            .filter(|plugin| plugin.quarantine().is_some())
            .map(|plugin| plugin.reference().to_string())
            .collect();
        let (status, message) = match failed {
            Some(message) => ("unhealthy", Some(message)),
            None if quarantined.is_empty() => ("healthy", None),
            None => ("degraded", Some(format!("quarantined: {}", quarantined.join(", ")))),
        };
        ServiceHealth {
            status: status.to_owned(),
            response_time,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_is_counted_and_no_more() {
        let meter = QueryMeter::default();
        let at = |seconds: u64| meter.start + Duration::from_secs(seconds);
        assert_eq!(
            meter.load(at(0)),
            Load {
                queries_per_minute: 0,
                average_response_time: 0.0
            }
        );
        for second in 0..100 {
            meter.begun(at(second));
            meter.begun(at(second));
            meter.completed(at(second), Duration::from_millis(if second < 70 { 9_000 } else { 500 }));
        }
        let load = meter.load(at(99));
        assert_eq!(load.queries_per_minute, 120);
        assert!(
            (load.average_response_time - (30.0 * 9.0 + 30.0 * 0.5) / 60.0).abs() < 1e-9,
            "{load:?}"
        );
        // A minute in which nothing is asked.
        assert_eq!(meter.load(at(158)).queries_per_minute, 2);
        assert_eq!(meter.load(at(159)).queries_per_minute, 0);
        assert_eq!(meter.load(at(10_000)).average_response_time, 0.0);
    }
}
