//! A clock that stands still until a test moves it.

use crate::clock::Clock;
use async_trait::async_trait;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A clock that only [`advance`](Self::advance) moves, or, after [`skipping`](Self::skipping), every sleep.
#[derive(Debug)]
pub(crate) struct FakeClock {
    elapsed: watch::Sender<Duration>,
    skips: bool,
    slept: Mutex<Vec<Duration>>,
}

impl FakeClock {
    /// A clock that stands still.
    pub fn standing() -> Self {
        Self {
            elapsed: watch::Sender::new(Duration::ZERO),
            skips: false,
            slept: Mutex::default(),
        }
    }

    /// A clock whose sleeps end at once, and move it by their length.
    pub fn skipping() -> Self {
        Self {
            skips: true,
            ..Self::standing()
        }
    }

    /// Moves the clock; sleeps that end by then do.
    pub fn advance(&self, time: Duration) {
        self.elapsed.send_modify(|elapsed| *elapsed += time);
    }

    /// Returns the lengths of all sleeps that were begun, in their order.
    pub fn slept(&self) -> Vec<Duration> {
        self.slept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Clock for FakeClock {
    async fn sleep(&self, time: Duration) {
        let until = *self.elapsed.borrow() + time;
        self.slept.lock().unwrap_or_else(PoisonError::into_inner).push(time);
        if self.skips {
            self.advance(time);
            // Others get their turn, as they would while time passes.
            tokio::task::yield_now().await;
            return;
        }
        // An error only says that the clock is gone.
        let _ = self.elapsed.subscribe().wait_for(|elapsed| *elapsed >= until).await;
    }
}
