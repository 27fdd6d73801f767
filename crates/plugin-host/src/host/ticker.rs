//! Advances the engine's epoch while guests run, so that they check their deadline.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use wasmtime::Engine;

/// A thread that ticks while at least one guest runs and sleeps otherwise, so that an idle server does not wake 500 times a second. Stopped
/// and joined on drop.
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the ticker going as long as it exists.
pub struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

impl Ticker {
    /// Starts the thread.
    pub fn start(engine: Engine, tick: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = shared.clone();
        let thread = thread::Builder::new().name("plugin-ticker".into()).spawn(move || {
            loop {
                let idle = seen.changed.wait_while(seen.lock(), |state| state.running == 0 && !state.stopped);
                if idle.unwrap_or_else(PoisonError::into_inner).stopped {
                    return;
                }
                thread::sleep(tick);
                engine.increment_epoch();
            }
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Marks that a guest is about to run.
    pub fn run(&self) -> Running {
        let mut state = self.shared.lock();
        state.running += 1;
        if state.running == 1 {
            self.shared.changed.notify_one();
        }
        drop(state);
        Running(self.shared.clone())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its only work is the loop above, so its result holds nothing.
            let _ = thread.join();
        }
    }
}
