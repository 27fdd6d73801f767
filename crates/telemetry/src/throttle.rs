//! Limits lines of the log that others can cause: a number per second, and the rest is counted.

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// Lets a number of lines through per second, and twice as many in a burst.
pub struct Throttle {
    limiter: RwLock<DefaultDirectRateLimiter>,
    held_back: AtomicU64,
}

impl Throttle {
    /// Makes a throttle; at least 1 per second.
    pub fn per_second(lines: u32) -> Self {
        Self {
            limiter: RwLock::new(second(lines)),
            held_back: AtomicU64::new(0),
        }
    }

    /// Changes the number per second; at least 1.
    pub fn set_per_second(&self, lines: u32) {
        *self.limiter.write().unwrap_or_else(PoisonError::into_inner) = second(lines);
    }

    /// Makes a throttle for rare lines: a number per hour, and one at once.
    pub fn per_hour(lines: u32) -> Self {
        let lines = NonZeroU32::new(lines).unwrap_or(NonZeroU32::MIN);
        Self {
            limiter: RwLock::new(RateLimiter::direct(Quota::per_hour(lines).allow_burst(NonZeroU32::MIN))),
            held_back: AtomicU64::new(0),
        }
    }

    /// Returns whether to write a line now, with the number of lines that were held back since the last one.
    pub fn pass(&self) -> Option<u64> {
        if self.limiter.read().unwrap_or_else(PoisonError::into_inner).check().is_ok() {
            return Some(self.held_back.swap(0, Ordering::Relaxed));
        }
        self.held_back.fetch_add(1, Ordering::Relaxed);
        None
    }
}

fn second(lines: u32) -> DefaultDirectRateLimiter {
    let lines = NonZeroU32::new(lines).unwrap_or(NonZeroU32::MIN);
    RateLimiter::direct(Quota::per_second(lines).allow_burst(lines.saturating_mul(NonZeroU32::MIN.saturating_add(1))))
}

#[cfg(test)]
mod tests {
    use super::Throttle;

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let throttle = Throttle::per_second(1);
        let passed = (0..1_000).filter(|_| throttle.pass().is_some()).count();
        // Two at once, and one for each second that this may have taken.
        assert!((2..100).contains(&passed), "{passed}");
        assert!(throttle.held_back.load(std::sync::atomic::Ordering::Relaxed) > 0);
    }
}
