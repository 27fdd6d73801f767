//! One rate for many clients, in bounded memory.

use super::{Key, Refused};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use ibid_protocol::{ApiError, ErrorCode};
use ibid_telemetry::catalogue;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

type Limiter = RateLimiter<Key, DashMapStateStore<Key>, DefaultClock, StateInformationMiddleware>;

/// Budgets that clients share for whom there is no place of their own.
const SHARED: u64 = 1_024;
/// A full table is cleared of idle clients this often at most.
const CLEAR_EVERY: Duration = Duration::from_secs(1);

/// Where a client stands with a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Requests in a minute.
    pub limit: u32,
    /// What is left of them now.
    pub remaining: u32,
    /// Seconds until all of them are there again.
    pub reset: u64,
}

/// So many in a minute, for each client.
pub(super) struct Rate {
    /// The setting that it comes from.
    setting: &'static str,
    /// `None` where there is no limit.
    kept: RwLock<Option<Arc<Kept>>>,
    most: usize,
}

struct Kept {
    limit: NonZeroU32,
    own: Limiter,
    shared: Limiter,
    hasher: RandomState,
    cleared: Mutex<Instant>,
    clock: DefaultClock,
}

impl Rate {
    /// A rate, kept for at most `most` clients each by itself. 0 is no limit.
    pub fn per_minute(rate: u32, setting: &'static str, most: usize) -> Self {
        Self {
            setting,
            kept: RwLock::new(Kept::new(rate)),
            most,
        }
    }

    /// Another rate from now on: with it, every client has its whole budget.
    pub fn set_per_minute(&self, rate: u32) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().map_or(0, |kept| kept.limit.get()) != rate {
            *kept = Kept::new(rate);
        }
    }

    fn kept(&self) -> Option<Arc<Kept>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Clients that are kept at most.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Takes one; else how long to wait for it.
    pub fn spend(&self, key: &Key) -> Result<Option<StateSnapshot>, Duration> {
        let Some(kept) = self.kept() else { return Ok(None) };
        self.spend_of(&kept, key)
    }

    fn spend_of(&self, kept: &Kept, key: &Key) -> Result<Option<StateSnapshot>, Duration> {
        let taken = if kept.has_room(self.most) {
            kept.own.check_key(key)
        } else {
            let shared = kept.hasher.hash_one(key) % SHARED;
            kept.shared.check_key(&Key::Shared(shared as u16))
        };
        taken.map(Some).map_err(|not_until| not_until.wait_time_from(kept.clock.now()))
    }

    /// Takes one, in the terms of a client.
    pub fn take(&self, key: &Key) -> Result<Option<Standing>, Refused> {
        let Some(kept) = self.kept() else { return Ok(None) };
        let limit = kept.limit.get();
        match self.spend_of(&kept, key) {
            Ok(snapshot) => Ok(snapshot.map(|snapshot| standing(limit, snapshot.remaining_burst_capacity()))),
            Err(wait) => {
                catalogue::refused(self.setting);
                let wait = seconds(wait);
                let message = format!("More than {limit} such requests in a minute: go on in {wait} s.");
                Err(Refused {
                    error: Box::new(
                        ApiError::new(ErrorCode::RateLimitExceeded, message)
                            .with("retry_after", wait)
                            .with("limit", limit),
                    ),
                    standing: Some(standing(limit, 0)),
                })
            }
        }
    }

    /// Forgets who has not asked for long; says how many are kept still.
    pub fn forget_idle(&self) -> usize {
        let Some(kept) = self.kept() else { return 0 };
        for limiter in [&kept.own, &kept.shared] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        kept.own.len()
    }
}

impl Kept {
    /// With every budget whole; `None` for 0.
    fn new(rate: u32) -> Option<Arc<Self>> {
        let limit = NonZeroU32::new(rate)?;
        let limiter = || RateLimiter::dashmap(Quota::per_minute(limit)).with_middleware::<StateInformationMiddleware>();
        Some(Arc::new(Self {
            limit,
            own: limiter(),
            shared: limiter(),
            hasher: RandomState::new(),
            cleared: Mutex::new(Instant::now()),
            clock: DefaultClock::default(),
        }))
    }

    /// Whether another client can be kept.
    fn has_room(&self, most: usize) -> bool {
        if self.own.len() < most {
            return true;
        }
        {
            let mut cleared = self.cleared.lock().unwrap_or_else(PoisonError::into_inner);
            if cleared.elapsed() < CLEAR_EVERY {
                return false;
            }
            *cleared = Instant::now();
        }
        self.own.retain_recent();
        self.own.len() < most
    }
}

/// Seconds as clients are told them: whole, and never 0.
pub(super) fn seconds(wait: Duration) -> u64 {
    (wait.as_millis().div_ceil(1_000) as u64).max(1)
}

fn standing(limit: u32, remaining: u32) -> Standing {
    let used = u64::from(limit.saturating_sub(remaining));
    Standing {
        limit,
        remaining,
        reset: (used * 60).div_ceil(u64::from(limit.max(1))),
    }
}
