//! Admission of queries: how many run at once, how many wait for their turn, and for how long.

use crate::lifecycle::Lifecycle;
use crate::tuning::Tuned;
use ibid_protocol::{ApiError, ErrorCode};
use ibid_telemetry::Held;
use ibid_telemetry::catalogue::{self, limit};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Seconds after which a query that was refused may be sent again.
const RETRY_AFTER: u64 = 1;

/// Admits queries.
pub(crate) struct QueryPermits {
    tuned: Arc<Tuned>,
    lifecycle: Lifecycle,
    /// Permits for queries that run.
    running: Arc<Semaphore>,
    /// Permits for queries that wait.
    waiting: Semaphore,
    /// How many queries may run at once, as soon as those above that number have ended.
    allowed: Mutex<usize>,
}

/// The right to run a query. Dropping it gives it back.
pub(crate) struct QueryPermit<'a> {
    _permit: SemaphorePermit<'a>,
    _counted: Held,
}

impl QueryPermits {
    /// Lets `running` queries run at once, at least 1, and `waiting` others wait, each for the query timeout at most.
    pub fn new(running: usize, waiting: usize, tuned: Arc<Tuned>, lifecycle: Lifecycle) -> Self {
        let running = running.max(1);
        Self {
            tuned,
            lifecycle,
            running: Arc::new(Semaphore::new(running)),
            waiting: Semaphore::new(waiting),
            allowed: Mutex::new(running),
        }
    }

    /// Returns the right to run a query, at once or after a wait. Dropping the future gives the turn to others.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if too many queries wait already, or the wait takes too long.
    pub async fn admit(&self) -> Result<QueryPermit<'_>, ApiError> {
        if let Ok(permit) = self.running.try_acquire() {
            return Ok(QueryPermit::new(permit));
        }
        let _turn = self.waiting.try_acquire().map_err(|_| refusal(limit::WAITING_QUERIES))?;
        let _counted = catalogue::QUERIES_WAITING.hold::<&'static str>([]);
        tokio::select! {
            biased;
            permit = self.running.acquire() => permit.map(QueryPermit::new).map_err(|_| refusal(limit::QUERIES)),
            () = self.lifecycle.clock.sleep(self.tuned.query_timeout()) => Err(refusal(limit::QUERIES)),
        }
    }

    /// Lets another number of queries run at once, at least 1. Those that run already are left to end.
    pub fn tune(&self, wanted: usize) {
        let wanted = wanted.max(1);
        let had = std::mem::replace(&mut *self.allowed.lock().unwrap_or_else(PoisonError::into_inner), wanted);
        if wanted > had {
            self.running.add_permits(wanted - had);
        } else if let Ok(fewer @ 1..) = u32::try_from(had - wanted) {
            // Permits in use go when their queries have ended.
            let (running, stopping) = (self.running.clone(), self.lifecycle.stopping.clone());
            self.lifecycle.tasks.spawn(async move {
                tokio::select! {
                    () = stopping.cancelled() => {}
                    taken = running.acquire_many(fewer) => {
                        if let Ok(taken) = taken {
                            taken.forget();
                        }
                    }
                }
            });
        }
    }
}

impl<'a> QueryPermit<'a> {
    fn new(permit: SemaphorePermit<'a>) -> Self {
        Self {
            _permit: permit,
            _counted: catalogue::QUERIES_RUNNING.hold::<&'static str>([]),
        }
    }
}

fn refusal(limit: &'static str) -> ApiError {
    catalogue::refused(limit);
    ApiError::new(ErrorCode::ServiceUnavailable, "too many queries at once: send it again in a moment").with("retry_after", RETRY_AFTER)
}

#[cfg(test)]
#[path = "permits_tests.rs"]
mod tests;
