//! A circuit breaker: stops calls to a plugin that fails most of them by its own fault, and lets one through from time to time to see
//! whether it has recovered.
//!
//! A single document that crashes a parser is not reason enough: a plugin is quarantined when within [`WINDOW`] it has failed [`FAULTS`]
//! calls and at least four of five. Otherwise anyone who uploads a few hostile files could take an extractor from everybody else. The time
//! is a parameter, so that tests need not wait.

use super::super::error::Reason;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The faults that quarantine a plugin.
const FAULTS: usize = 5;
/// How long a call is remembered.
const WINDOW: Duration = Duration::from_secs(60);
/// The most calls that are remembered.
const REMEMBERED: usize = 64;
/// The first quarantine. Each further one is twice as long, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_secs(5);
/// The longest quarantine.
const LONGEST: Duration = Duration::from_secs(600);
/// How long a plugin must have been healthy for its next quarantine to be the shortest again.
const FORGIVEN: Duration = Duration::from_secs(1_800);
/// If a trial call has no result (because its caller has gone), the next one is let through after this.
const TRIAL: Duration = Duration::from_secs(5);

/// The quarantine of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// The time until it is called again; zero when the next call is let through as a trial.
    pub remaining: Duration,
    /// How often it was quarantined since it was last healthy for long.
    pub times: u32,
    /// Its last fault, as a sentence's end: `crashed: ...`.
    pub because: String,
}

/// A change of a plugin's state, caused by the end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuarantineChange {
    /// It is quarantined now.
    Quarantined,
    /// It is called again like any other.
    Recovered,
}

/// The circuit breaker of one plugin.
#[derive(Debug, Default)]
pub struct Breaker {
    /// The ends of calls: when, and whether by a fault.
    recent: VecDeque<(Instant, bool)>,
    /// The present quarantine.
    open: Option<Open>,
    /// The number of quarantines in a row, and when the last one ended.
    times: u32,
    recovered: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    /// Whether a trial call was let through. Before that, only calls end that began before the quarantine, and they are ignored.
    on_trial: bool,
    because: String,
}

impl Breaker {
    /// Checks whether a call may begin. After a quarantine one call is let through as a trial; the others wait for its end.
    ///
    /// # Errors
    /// [`Reason::Quarantined`].
    pub fn admit(&mut self, now: Instant) -> Result<(), Reason> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if now < open.until {
            return Err(Reason::Quarantined {
                remaining: open.until - now,
                because: open.because.clone(),
            });
        }
        open.until = now + TRIAL;
        open.on_trial = true;
        Ok(())
    }

    /// Records the end of a call.
    pub fn record(&mut self, now: Instant, fault: Option<&Reason>) -> Option<QuarantineChange> {
        if self.open.as_ref().is_some_and(|open| !open.on_trial) {
            return None;
        }
        match (self.open.is_some(), fault) {
            (true, None) => {
                self.open = None;
                self.recovered = Some(now);
                self.recent.clear();
                Some(QuarantineChange::Recovered)
            }
            (true, Some(reason)) => {
                self.quarantine(now, reason);
                Some(QuarantineChange::Quarantined)
            }
            (false, fault) => {
                while self.recent.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) || self.recent.len() >= REMEMBERED {
                    self.recent.pop_front();
                }
                self.recent.push_back((now, fault.is_some()));
                let reason = fault?;
                let faults = self.recent.iter().filter(|(_, fault)| *fault).count();
                if faults < FAULTS || 5 * faults < 4 * self.recent.len() {
                    return None;
                }
                if self.recovered.is_none_or(|at| now.duration_since(at) > FORGIVEN) {
                    self.times = 0;
                }
                self.quarantine(now, reason);
                Some(QuarantineChange::Quarantined)
            }
        }
    }

    fn quarantine(&mut self, now: Instant, reason: &Reason) {
        let length = SHORTEST.saturating_mul(1 << self.times.min(16)).min(LONGEST);
        self.times = self.times.saturating_add(1);
        self.open = Some(Open {
            until: now + length,
            on_trial: false,
            because: reason.to_string(),
        });
    }

    /// Returns the present quarantine, if any.
    pub fn state(&self, now: Instant) -> Option<Quarantine> {
        self.open.as_ref().map(|open| Quarantine {
            remaining: open.until.saturating_duration_since(now),
            times: self.times,
            because: open.because.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trap() -> Reason {
        Reason::Trap("x".into())
    }

    /// Returns a breaker, and the time at which it was made.
    fn quarantined() -> (Breaker, Instant) {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for n in 1..=FAULTS {
            assert_eq!(breaker.admit(now), Ok(()));
            let change = breaker.record(now, Some(&trap()));
            assert_eq!(change, (n == FAULTS).then_some(QuarantineChange::Quarantined));
        }
        (breaker, now)
    }

    #[test]
    fn repeated_faults_quarantine_and_say_why() {
        let (mut breaker, now) = quarantined();
        assert_eq!(
            breaker.admit(now + Duration::from_secs(2)),
            Err(Reason::Quarantined {
                remaining: Duration::from_secs(3),
                because: "crashed: x".into()
            })
        );
        assert_eq!(breaker.state(now).map(|state| (state.remaining, state.times)), Some((SHORTEST, 1)));
    }

    #[test]
    fn one_call_is_let_through_afterwards_and_decides() {
        let (mut breaker, now) = quarantined();
        let later = now + SHORTEST;
        assert_eq!(breaker.admit(later), Ok(()));
        assert!(breaker.admit(later).is_err(), "the rest wait for the trial");
        assert_eq!(breaker.record(later, None), Some(QuarantineChange::Recovered));
        assert_eq!((breaker.admit(later), breaker.state(later)), (Ok(()), None));
    }

    #[test]
    fn a_failed_trial_doubles_the_wait_up_to_a_limit() {
        let (mut breaker, mut now) = quarantined();
        let mut last = SHORTEST;
        for _ in 0..20 {
            now += last;
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.record(now, Some(&trap()));
            let next = breaker.state(now).expect("quarantined").remaining;
            assert_eq!(next, (2 * last).min(LONGEST));
            last = next;
        }
        assert_eq!(last, LONGEST);
    }

    #[test]
    fn calls_that_began_before_the_quarantine_say_nothing_new() {
        let (mut breaker, now) = quarantined();
        assert_eq!(breaker.record(now, None), None);
        assert_eq!(breaker.record(now, Some(&trap())), None);
        assert_eq!(breaker.state(now).map(|state| (state.remaining, state.times)), Some((SHORTEST, 1)));
    }

    #[test]
    fn a_trial_whose_caller_went_away_is_followed_by_another() {
        let (mut breaker, now) = quarantined();
        assert_eq!(breaker.admit(now + SHORTEST), Ok(()));
        assert!(breaker.admit(now + SHORTEST + TRIAL / 2).is_err());
        assert_eq!(breaker.admit(now + SHORTEST + TRIAL), Ok(()));
    }

    #[test]
    fn a_plugin_that_mostly_works_is_left_alone() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(breaker.record(now, None), None);
            assert_eq!(breaker.record(now, None), None);
            assert_eq!(breaker.record(now, Some(&trap())), None);
        }
        assert!(breaker.recent.len() <= REMEMBERED);
    }

    #[test]
    fn faults_far_apart_do_not_add_up_and_old_quarantines_are_forgiven() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..50 {
            now += WINDOW / 3;
            assert_eq!(breaker.record(now, Some(&trap())), None);
        }
        let (mut breaker, now) = quarantined();
        breaker.admit(now + SHORTEST).expect("a trial");
        breaker.record(now + SHORTEST, Some(&trap()));
        breaker.admit(now + 3 * SHORTEST).expect("a trial");
        breaker.record(now + 3 * SHORTEST, None);
        let again = |at: Instant, breaker: &mut Breaker| {
            for _ in 0..FAULTS {
                breaker.record(at, Some(&trap()));
            }
            breaker.state(at).map(|state| state.remaining)
        };
        assert_eq!(again(now + 4 * SHORTEST, &mut breaker), Some(4 * SHORTEST));
        let well = now + 100 * SHORTEST;
        breaker.admit(well).expect("a trial");
        breaker.record(well, None);
        assert_eq!(again(well + 2 * FORGIVEN, &mut breaker), Some(SHORTEST));
    }
}
