//! Failures and pauses that a test plans for the calls of a fake, and the calls that were made.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// A planned failure of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server behind it is away.
    Outage,
    /// The disk is full.
    DiskFull,
    /// What is stored is damaged.
    Damaged,
}

/// The calls of a fake, by the names of its methods.
#[derive(Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: Vec<String>,
    planned: HashMap<&'static str, VecDeque<Fault>>,
    gates: HashMap<&'static str, Arc<Semaphore>>,
}

/// A method that waits until the test lets its calls through.
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
}

impl Gate {
    /// Lets one call through: one that waits, or the next.
    pub fn open_once(&self) {
        self.permits.add_permits(1);
    }

    /// Lets all calls through from now on.
    pub fn open(&self) {
        self.permits.add_permits(1_000_000);
    }
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next calls of a method fail, one for each of `faults`.
    pub fn plan(&self, method: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.state().planned.entry(method).or_default().extend(faults);
    }

    /// Makes the calls of a method wait, before they do anything, until the gate lets them through.
    pub fn gate(&self, method: &'static str) -> Gate {
        let permits = Arc::new(Semaphore::new(0));
        self.state().gates.insert(method, permits.clone());
        Gate { permits }
    }

    /// Returns the calls that were begun, as `method argument`, in order.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Returns how many calls of a method were begun.
    pub fn count(&self, method: &str) -> usize {
        let calls = self.calls();
        calls.iter().filter(|call| call.split(' ').next() == Some(method)).count()
    }

    /// Waits until as many calls of a method were begun.
    pub async fn begun(&self, method: &str, count: usize) {
        while self.count(method) < count {
            tokio::task::yield_now().await;
        }
    }

    /// For the fake: notes a call, waits at its gate, and returns the failure that is planned for it.
    pub async fn call(&self, method: &'static str, argument: impl std::fmt::Display) -> Option<Fault> {
        let gate = {
            let mut state = self.state();
            state.calls.push(format!("{method} {argument}"));
            state.gates.get(method).cloned()
        };
        if let Some(gate) = gate
            && let Ok(permit) = gate.acquire().await
        {
            permit.forget();
        }
        self.state().planned.get_mut(method).and_then(VecDeque::pop_front)
    }
}
