//! How sure a mean is: percentile intervals by the bootstrap (Efron, 1979), over questions.
//!
//! Differences are paired: each resample takes the same questions of both runs, so that what makes a question hard for both does
//! not count as noise.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// Times that the questions are drawn anew.
const RESAMPLES: usize = 5_000;

/// A mean, and the interval in which it lies by the confidence that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean of what was measured.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Questions that were measured.
    pub n: usize,
}

impl Interval {
    /// Whether all of it lies below zero.
    pub fn is_below_zero(&self) -> bool {
        self.n > 0 && self.high < 0.0
    }

    /// Whether all of it lies above zero.
    pub fn is_above_zero(&self) -> bool {
        self.n > 0 && self.low > 0.0
    }
}

/// Draws questions anew, the same way each time for one seed.
#[derive(Debug, Clone, Copy)]
pub struct Bootstrap {
    /// Where the random numbers begin.
    pub seed: u64,
    /// Share of resamples that lie in an interval: above 0, below 1.
    pub confidence: f64,
}

impl Bootstrap {
    /// The mean of `values`, one for each question; differences of pairs are values too.
    pub fn mean(&self, values: &[f64]) -> Interval {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        // Nothing can be drawn but the same.
        if values.iter().all(|value| Some(value) == values.first()) {
            return Interval {
                mean,
                low: mean,
                high: mean,
                n,
            };
        }
        let mut random = Rng::with_seed(self.seed);
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|_| (0..n).filter_map(|_| values.get(random.usize(..n))).sum::<f64>() / n as f64)
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        let beside = (1.0 - self.confidence) / 2.0;
        let at = |share: f64| {
            let at = (share * (RESAMPLES - 1) as f64).round() as usize;
            means.get(at).copied().unwrap_or(mean)
        };
        Interval {
            mean,
            low: at(beside),
            high: at(1.0 - beside),
            n,
        }
    }
}

/// The value below which `share` of the sorted `values` lie; 0 where there are none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { seed: 7, confidence: 0.95 };

    #[test]
    fn the_interval_of_a_share_is_the_one_of_textbooks() {
        let values: Vec<f64> = (0..400).map(|n| f64::from(u8::from(n % 4 == 0))).collect();
        let found = BOOTSTRAP.mean(&values);
        assert_eq!((found.mean, found.n), (0.25, 400));
        // Normal approximation: .25 ± 1.96 * sqrt(.25 * .75 / 400).
        assert!((found.low - 0.2076).abs() < 0.01 && (found.high - 0.2924).abs() < 0.01, "{found:?}");
        assert_eq!(found, BOOTSTRAP.mean(&values), "one seed, one result");
        let fine: Vec<f64> = (0..400).map(|n| f64::from(n).sin().abs()).collect();
        assert_ne!(BOOTSTRAP.mean(&fine), Bootstrap { seed: 8, ..BOOTSTRAP }.mean(&fine));
        let wider = Bootstrap {
            confidence: 0.99,
            ..BOOTSTRAP
        };
        assert!(wider.mean(&values).low < found.low);
    }

    #[test]
    fn equal_pairs_do_not_differ_and_a_steady_loss_shows() {
        let same = BOOTSTRAP.mean(&[0.0; 30]);
        assert!(!same.is_below_zero() && !same.is_above_zero() && same.high == 0.0);
        let losses: Vec<f64> = (0..30).map(|n| if n % 3 == 0 { -1.0 } else { 0.0 }).collect();
        assert!(BOOTSTRAP.mean(&losses).is_below_zero());
        // One question of thirty may be chance.
        let one: Vec<f64> = (0..30).map(|n| if n == 0 { -1.0 } else { 0.0 }).collect();
        assert!(!BOOTSTRAP.mean(&one).is_below_zero());
        assert!(!BOOTSTRAP.mean(&[]).is_below_zero());
    }

    #[test]
    fn quantiles_are_values() {
        let sorted: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(
            (quantile(&sorted, 0.5), quantile(&sorted, 0.95), quantile(&sorted, 1.0)),
            (11.0, 20.0, 20.0)
        );
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    proptest! {
        #[test]
        fn the_mean_lies_among_the_values_and_the_interval_too(values in prop::collection::vec(0f64..=1.0, 1..40)) {
            let found = BOOTSTRAP.mean(&values);
            let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), v| (l.min(*v), m.max(*v)));
            prop_assert!(least - 1e-9 <= found.low && found.low <= found.high && found.high <= most + 1e-9);
            prop_assert!(least - 1e-9 <= found.mean && found.mean <= most + 1e-9);
        }
    }
}
