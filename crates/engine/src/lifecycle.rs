//! What every service needs to run in the background and to stop with the engine.

use crate::clock::{Clock, SystemClock};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The engine's background tasks, and the signal that ends them. Clones are of the same engine.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    /// Cancelled when the engine stops.
    pub stopping: CancellationToken,
    /// Everything that runs in the background; the engine waits for it before it closes its parts.
    pub tasks: TaskTracker,
    /// The clock that background work waits by.
    pub clock: Arc<dyn Clock>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }
}

impl Lifecycle {
    /// The tasks of a new engine, which wait by `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            clock,
        }
    }

    /// Waits for a time. Returns false at once if the engine stops, or did.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => false,
            () = self.clock.sleep(time) => true,
        }
    }

    /// Signals every task to stop, and waits until the last one has ended. Does nothing the second time.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
