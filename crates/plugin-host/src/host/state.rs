//! The data of a store: the call's limits, and what the guest may use through its imports.

use super::Budget;
use super::imports::View;
use super::intake::Intake;
use super::log::Log;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wasmtime::ResourceLimiter;

/// The most elements of a guest's table of functions. The plugins of this project have a few thousand at most.
pub const MAX_TABLE_ELEMENTS: usize = 50_000;

/// Why the host stops a guest. It passes through the guest's frames as the error of a trap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("the deadline has passed")]
    Deadline,
    #[error("the call was cancelled")]
    Cancelled,
    #[error("output limit: {0}")]
    Limit(String),
    #[error("invalid result: {0}")]
    Invalid(String),
    #[error("host failure: {0}")]
    Host(String),
}

/// How long a call may still run.
#[derive(Debug, Clone)]
pub struct Clock {
    end: Instant,
    cancelled: Arc<AtomicBool>,
}

impl Clock {
    /// Starts the clock.
    pub fn start(allowed: Duration, cancelled: Arc<AtomicBool>) -> Self {
        let now = Instant::now();
        // A deadline beyond what the clock can represent is a year away.
        let end = now.checked_add(allowed).unwrap_or_else(|| now + Duration::from_secs(365 * 86_400));
        Self { end, cancelled }
    }

    /// Returns whether the caller of the call has gone.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Extends the deadline.
    pub fn extend(&mut self, by: Duration) {
        self.end = self.end.checked_add(by).unwrap_or(self.end);
    }

    /// Checks whether the call may go on.
    pub fn check(&self) -> Result<(), Stop> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Stop::Cancelled);
        }
        if Instant::now() >= self.end {
            return Err(Stop::Deadline);
        }
        Ok(())
    }
}

/// Limits an instance's memory, and remembers whether it did. The guest only sees a failed allocation, and then traps without mentioning
/// memory.
#[derive(Debug)]
pub struct Memory {
    limit: usize,
    used: usize,
    peak: usize,
    denied: bool,
    table_elements: usize,
}

impl Memory {
    pub fn new(limit: u64, table_elements: usize) -> Self {
        Self {
            table_elements: table_elements.min(MAX_TABLE_ELEMENTS),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            used: 0,
            peak: 0,
            denied: false,
        }
    }

    /// Returns the limit in bytes, if the guest exceeded it.
    pub fn denied(&self) -> Option<u64> {
        self.denied.then_some(self.limit as u64)
    }

    /// Returns the most memory that the instance had, in bytes.
    pub fn peak(&self) -> u64 {
        self.peak as u64
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.used.saturating_sub(current).saturating_add(desired);
        let granted = total <= self.limit;
        if granted {
            self.used = total;
            self.peak = self.peak.max(total);
        } else {
            self.denied = true;
        }
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = true;
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.table_elements)
    }
}

/// The data of a store.
pub struct State {
    pub clock: Clock,
    pub memory: Memory,
    pub log: Log,
    host_calls: u64,
    host_calls_left: u64,
    pub offered: Offered,
}

/// What a kind's imports have access to.
pub enum Offered {
    /// Analyzers and formatters have only the log.
    Nothing,
    /// A chunker reads a document.
    Document(View),
    /// An extractor reads an upload and writes a draft.
    Intake(Box<Intake>),
}

impl State {
    pub fn new(log: Log, budget: &Budget, memory_limit: u64, clock: Clock, offered: Offered) -> Self {
        Self {
            clock,
            memory: Memory::new(memory_limit, budget.table_elements),
            host_calls: budget.host_calls,
            host_calls_left: budget.host_calls,
            log,
            offered,
        }
    }

    /// Counts a call of a host function. Every host function begins with it.
    pub fn count_host_call(&mut self) -> Result<(), Stop> {
        match self.host_calls_left.checked_sub(1) {
            Some(left) => {
                self.host_calls_left = left;
                Ok(())
            }
            None => Err(Stop::Limit(format!(
                "more than {} calls of the server's functions",
                self.host_calls
            ))),
        }
    }

    /// Returns the document of a chunker's call.
    pub fn view(&mut self) -> Result<&mut View, Stop> {
        self.count_host_call()?;
        match &mut self.offered {
            Offered::Document(view) => Ok(view),
            _ => Err(Stop::Host("no document is offered to this kind of plugin".into())),
        }
    }

    /// Returns the upload and draft of an extractor's call.
    pub fn intake(&mut self) -> Result<&mut Intake, Stop> {
        self.count_host_call()?;
        match &mut self.offered {
            Offered::Intake(intake) => Ok(intake),
            _ => Err(Stop::Host("no upload is offered to this kind of plugin".into())),
        }
    }
}
