//! How busy the machine is.

use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, System};
use tokio::task::{JoinError, spawn_blocking};

/// The machine. Its CPU is measured from one look to the next.
pub(super) struct Machine {
    system: System,
}

/// Percent of the whole machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// Of the time of all its cores, since the look before.
    pub cpu: f64,
    /// Of its memory.
    pub memory: f64,
}

impl Machine {
    /// Looks for the first time; a CPU usage is known once [`MINIMUM_CPU_UPDATE_INTERVAL`] has passed.
    pub async fn new() -> Result<Self, JoinError> {
        spawn_blocking(|| {
            let mut system = System::new();
            system.refresh_cpu_usage();
            Self { system }
        })
        .await
    }

    /// Looks again.
    pub async fn look(mut self) -> Result<(Self, Usage), JoinError> {
        // It reads files of the kernel.
        spawn_blocking(move || {
            self.system.refresh_cpu_usage();
            self.system.refresh_memory();
            let (used, total) = (self.system.used_memory(), self.system.total_memory());
            let usage = Usage {
                cpu: percent(f64::from(self.system.global_cpu_usage())),
                memory: percent(100.0 * used as f64 / total.max(1) as f64),
            };
            (self, usage)
        })
        .await
    }
}

/// How long to wait between two looks, at least.
pub(super) const BETWEEN_LOOKS: std::time::Duration = MINIMUM_CPU_UPDATE_INTERVAL;

/// In [0,100], with one decimal.
fn percent(value: f64) -> f64 {
    if value.is_finite() {
        (value.clamp(0.0, 100.0) * 10.0).round() / 10.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_that_works_is_seen_to() {
        let machine = Machine::new().await.expect("a look");
        let until = std::time::Instant::now() + 2 * BETWEEN_LOOKS;
        let work = spawn_blocking(move || while std::time::Instant::now() < until {});
        work.await.expect("work");
        let (_, usage) = machine.look().await.expect("a look");
        assert!(usage.cpu > 0.0 && usage.cpu <= 100.0, "{usage:?}");
        assert!(usage.memory > 0.0 && usage.memory < 100.0, "{usage:?}");
    }
}
