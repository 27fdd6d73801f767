//! The clock that background work waits by. Tests give services one that does not take real time.

use async_trait::async_trait;
use std::fmt::Debug;
use std::time::Duration;

/// Waits for time to pass.
#[async_trait]
pub(crate) trait Clock: Debug + Send + Sync {
    /// Waits for a time.
    async fn sleep(&self, time: Duration);
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
