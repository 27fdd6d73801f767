//! Counters of a plugin's calls.

use super::super::error::Reason;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The buckets of the duration histogram: four for each doubling of a microsecond, up to 70 minutes.
const BUCKETS: usize = 128;

/// The statistics of a plugin's calls since it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Calls that have ended, in whatever way. Cancelled ones do not count.
    pub calls: u64,
    /// Calls that ended in an error of any kind.
    pub errors: u64,
    /// Errors that were the plugin's fault: it crashed, exceeded a limit, or violated the contract.
    pub faults: u64,
    /// The time of all calls together.
    pub total: Duration,
    /// The median duration, within 20 %. Zero before the first call.
    pub p50: Duration,
    /// The 99th percentile, within 20 %.
    pub p99: Duration,
    /// The longest call.
    pub max: Duration,
    /// The most memory that an instance had, in bytes.
    pub peak_memory_bytes: u64,
}

/// Counters that threads share.
pub struct Counters {
    calls: AtomicU64,
    errors: AtomicU64,
    faults: AtomicU64,
    total_us: AtomicU64,
    max_us: AtomicU64,
    peak_memory_bytes: AtomicU64,
    durations: [AtomicU64; BUCKETS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            total_us: AtomicU64::new(0),
            max_us: AtomicU64::new(0),
            peak_memory_bytes: AtomicU64::new(0),
            durations: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Counters {
    /// Counts a call.
    pub fn record(&self, took: Duration, memory_bytes: u64, error: Option<&Reason>) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.calls.fetch_add(1, Relaxed);
        self.errors.fetch_add(u64::from(error.is_some()), Relaxed);
        self.faults
            .fetch_add(u64::from(error.is_some_and(Reason::is_plugins_fault)), Relaxed);
        self.total_us.fetch_add(us, Relaxed);
        self.max_us.fetch_max(us, Relaxed);
        self.peak_memory_bytes.fetch_max(memory_bytes, Relaxed);
        if let Some(bucket) = self.durations.get(bucket_of(us)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// Returns the present values.
    pub fn read(&self) -> Stats {
        let max = Duration::from_micros(self.max_us.load(Relaxed));
        let counts: Vec<u64> = self.durations.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let counted: u64 = counts.iter().sum();
        let percentile = |percent: u64| {
            let rank = (counted * percent).div_ceil(100);
            let mut below = 0;
            let bucket = counts.iter().position(|count| {
                below += count;
                below >= rank && rank > 0
            });
            bucket.map_or(Duration::ZERO, |bucket| Duration::from_micros(end_of(bucket)).min(max))
        };
        Stats {
            calls: self.calls.load(Relaxed),
            errors: self.errors.load(Relaxed),
            faults: self.faults.load(Relaxed),
            total: Duration::from_micros(self.total_us.load(Relaxed)),
            p50: percentile(50),
            p99: percentile(99),
            max,
            peak_memory_bytes: self.peak_memory_bytes.load(Relaxed),
        }
    }
}

/// Returns the bucket of a duration: four for each power of two, and one each for 0 to 3 us.
fn bucket_of(us: u64) -> usize {
    let bucket = match us.checked_ilog2() {
        Some(power @ 2..) => 4 * (power as usize - 1) + ((us >> (power - 2)) & 3) as usize,
        _ => us as usize,
    };
    bucket.min(BUCKETS - 1)
}

/// Returns the longest duration of a bucket, in microseconds.
fn end_of(bucket: usize) -> u64 {
    match bucket {
        0..4 => bucket as u64,
        _ => {
            let power = (bucket / 4 + 1) as u32;
            let step = 1_u64 << (power - 2);
            (1_u64 << power) + step * (bucket as u64 % 4 + 1) - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_cover_all_durations_without_gaps() {
        let mut last = 0;
        for us in 0..100_000_u64 {
            let bucket = bucket_of(us);
            assert!(bucket == last || bucket == last + 1, "{us}");
            assert!(us <= end_of(bucket), "{us} is past the end of {bucket}");
            assert!(bucket == 0 || us > end_of(bucket - 1), "{us} is before {bucket}");
            last = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_calls() {
        let counters = Counters::default();
        assert_eq!(counters.read(), Stats::default());
        for us in 1..=1_000 {
            counters.record(Duration::from_micros(us), us, None);
        }
        counters.record(Duration::from_secs(1), 0, Some(&Reason::Trap("x".into())));
        counters.record(Duration::from_secs(1), 0, Some(&Reason::Host("x".into())));
        let stats = counters.read();
        assert_eq!(
            (stats.calls, stats.errors, stats.faults, stats.peak_memory_bytes),
            (1_002, 2, 1, 1_000)
        );
        assert!((501..=640).contains(&stats.p50.as_micros()), "{:?}", stats.p50);
        assert!((992..=1_280).contains(&stats.p99.as_micros()), "{:?}", stats.p99);
        assert_eq!(stats.max, Duration::from_secs(1));
    }
}
