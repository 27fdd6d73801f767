//! The log of guests: limited, tagged with the plugin, and sent to followers.

use super::super::error::PluginRef;
use super::bindings::cut;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::broadcast;

/// The longest line of a guest's log, in bytes.
const MAX_LOG_BYTES: usize = 2_000;
/// The most lines of one plugin per minute, in all its calls together. Each call has a limit of its own as well.
const LINES_PER_MINUTE: u32 = 2_000;
const MINUTE: Duration = Duration::from_secs(60);

/// A line that a plugin logged.
#[derive(Debug, Clone)]
pub struct GuestLine {
    /// The plugin.
    pub plugin: Arc<PluginRef>,
    /// When it was logged.
    pub at: SystemTime,
    /// `error`, `warn`, `info` or `debug`.
    pub level: &'static str,
    /// The message: one line of printable characters.
    pub message: String,
}

/// The log state that all calls of a plugin share.
#[derive(Debug)]
pub struct LogGate {
    followers: broadcast::Sender<GuestLine>,
    minute: Mutex<Minute>,
}

#[derive(Debug)]
struct Minute {
    began: Instant,
    lines: u32,
    dropped: u64,
}

impl LogGate {
    pub fn new(followers: broadcast::Sender<GuestLine>) -> Self {
        let minute = Minute {
            began: Instant::now(),
            lines: 0,
            dropped: 0,
        };
        Self {
            followers,
            minute: Mutex::new(minute),
        }
    }

    /// Returns whether a line may be logged now, and how many were dropped in a minute that has ended since.
    fn pass(&self, now: Instant) -> (bool, u64) {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = 0;
        if now.saturating_duration_since(minute.began) >= MINUTE {
            dropped = minute.dropped;
            *minute = Minute {
                began: now,
                lines: 0,
                dropped: 0,
            };
        }
        let passes = minute.lines < LINES_PER_MINUTE;
        if passes {
            minute.lines += 1;
        } else {
            minute.dropped = minute.dropped.saturating_add(1);
        }
        (passes, dropped)
    }
}

/// The log of one call, which limits the number and the length of lines.
#[derive(Debug)]
pub struct Log {
    plugin: Arc<PluginRef>,
    gate: Arc<LogGate>,
    left: u32,
    dropped: u64,
    last_error: Option<String>,
}

impl Log {
    pub fn new(plugin: Arc<PluginRef>, gate: Arc<LogGate>, lines: u32) -> Self {
        Self {
            plugin,
            gate,
            left: lines,
            dropped: 0,
            last_error: None,
        }
    }

    /// Returns the last line that it logged as an error: often the reason why it traps.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    pub fn write(&mut self, level: &str, message: String) {
        // A guest must not be able to forge lines of the server's log.
        let message = cut(message, MAX_LOG_BYTES).replace(char::is_control, " ");
        if level == "error" {
            self.last_error = Some(message.clone());
        }
        let plugin = &self.plugin;
        let Some(left) = self.left.checked_sub(1) else {
            self.dropped = self.dropped.saturating_add(1);
            return;
        };
        self.left = left;
        let (passes, dropped) = self.gate.pass(Instant::now());
        if dropped > 0 {
            tracing::warn!(target: "ibid_plugin_host::guest", %plugin, dropped, "log lines past {LINES_PER_MINUTE} in a minute were dropped");
        }
        if !passes {
            return;
        }
        let level = match level {
            "error" => {
                tracing::error!(target: "ibid_plugin_host::guest", %plugin, "{message}");
                "error"
            }
            "warn" => {
                tracing::warn!(target: "ibid_plugin_host::guest", %plugin, "{message}");
                "warn"
            }
            "debug" => {
                tracing::debug!(target: "ibid_plugin_host::guest", %plugin, "{message}");
                "debug"
            }
            _ => {
                tracing::info!(target: "ibid_plugin_host::guest", %plugin, "{message}");
                "info"
            }
        };
        if self.gate.followers.receiver_count() > 0 {
            // It is no error if all followers have gone.
            let _ = self.gate.followers.send(GuestLine {
                plugin: plugin.clone(),
                at: SystemTime::now(),
                level,
                message,
            });
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.dropped > 0 {
            let (plugin, dropped) = (&self.plugin, self.dropped);
            tracing::warn!(target: "ibid_plugin_host::guest", %plugin, dropped, "log lines past the limit were dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_limit_of_a_minute_are_dropped_and_counted_in_the_next() {
        let gate = LogGate::new(broadcast::Sender::new(1));
        let now = Instant::now();
        assert!((0..LINES_PER_MINUTE).all(|_| gate.pass(now) == (true, 0)));
        assert_eq!(gate.pass(now), (false, 0));
        assert_eq!(gate.pass(now + MINUTE / 2), (false, 0));
        assert_eq!(gate.pass(now + MINUTE * 2), (true, 2));
        assert_eq!(gate.pass(now + MINUTE * 2), (true, 0));
    }
}
