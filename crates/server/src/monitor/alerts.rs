//! When a number is worth an alert. No I/O; time is passed in, so that tests need not wait.

use std::time::{Duration, Instant};

/// A threshold that is crossed once, until the number has been well below it: a number that swings around it raises one alert.
#[derive(Debug)]
pub(super) struct Threshold {
    /// From here on it is too much.
    raise: f64,
    /// Below this it is well again.
    clear: f64,
    /// How long it must be too much.
    hold: Duration,
    above: Option<Instant>,
    raised: bool,
}

/// What a value did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crossing {
    /// The threshold was crossed: tell it.
    Raised,
    /// All is well again.
    Cleared,
}

impl Threshold {
    /// Raised by values of `raise` and more that last for `hold`; cleared below `share` of it.
    pub fn new(raise: f64, share: f64, hold: Duration) -> Self {
        Self {
            raise,
            clear: raise * share,
            hold,
            above: None,
            raised: false,
        }
    }

    /// The limit.
    pub fn limit(&self) -> f64 {
        self.raise
    }

    /// Takes a value in.
    pub fn take(&mut self, value: f64, now: Instant) -> Option<Crossing> {
        if value < self.raise {
            self.above = None;
        }
        if self.raised {
            self.raised = value >= self.clear;
            return (!self.raised).then_some(Crossing::Cleared);
        }
        if value < self.raise {
            return None;
        }
        let since = *self.above.get_or_insert(now);
        self.raised = now.saturating_duration_since(since) >= self.hold;
        self.raised.then_some(Crossing::Raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What values do that come a second apart.
    fn crossings(threshold: &mut Threshold, values: &[f64]) -> Vec<Option<Crossing>> {
        let start = Instant::now();
        let at = |n: usize| start + Duration::from_secs(n as u64);
        values.iter().enumerate().map(|(n, value)| threshold.take(*value, at(n))).collect()
    }

    #[test]
    fn a_number_that_swings_around_the_threshold_raises_one_alert() {
        let mut threshold = Threshold::new(80.0, 0.95, Duration::ZERO);
        let seen = crossings(&mut threshold, &[79.0, 80.0, 79.0, 81.0, 76.0, 85.0, 75.9, 79.0, 80.0]);
        let (raised, cleared) = (Some(Crossing::Raised), Some(Crossing::Cleared));
        assert_eq!(seen, [None, raised, None, None, None, None, cleared, None, raised]);
    }

    #[test]
    fn a_number_must_stay_too_high_for_as_long_as_is_said() {
        let mut threshold = Threshold::new(95.0, 0.9, Duration::from_secs(3));
        let seen = crossings(&mut threshold, &[99.0, 99.0, 99.0, 50.0, 99.0, 99.0, 99.0, 99.0, 99.0]);
        assert_eq!(seen.iter().position(Option::is_some), Some(7), "{seen:?}");
        assert_eq!(seen[7], Some(Crossing::Raised));
    }

    proptest! {
        #[test]
        fn alerts_and_their_ends_take_turns(values in prop::collection::vec(0.0..100.0, 0..200), hold in 0u64..4) {
            let mut threshold = Threshold::new(80.0, 0.95, Duration::from_secs(hold));
            let seen: Vec<Crossing> = crossings(&mut threshold, &values).into_iter().flatten().collect();
            for (n, crossing) in seen.iter().enumerate() {
                prop_assert_eq!(*crossing == Crossing::Raised, n % 2 == 0);
            }
        }
    }
}
