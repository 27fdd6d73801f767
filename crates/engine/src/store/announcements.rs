//! Events of collections that wait to be published in the order of the log.
//!
//! A task adds its event as soon as the event is recorded, so two events of the same moment may be added in either order. A client that has
//! received one number assumes that it has received all before it. So one task publishes in order: an event below a number that was added is
//! in the log by then, because the catalog has one writer.

use ibid_catalog::Event;
use ibid_protocol::CollectionEvent;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Events that may wait to be published. Those beyond it are read from the log.
const WAITING: usize = 1_024;

/// Events that are recorded and not published yet, by their number.
#[derive(Default)]
pub(crate) struct Announcements {
    /// `None` for an event of another server, which is read from the log.
    waiting: Mutex<BTreeMap<u64, Option<Event>>>,
    added: Notify,
}

impl Announcements {
    /// Adds an event that is recorded.
    pub fn add(&self, event: Event) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(event.seq, Some(event));
        if waiting.len() > WAITING {
            waiting.pop_first();
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// Adds an event that is in the log, by its number.
    pub fn add_number(&self, seq: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(seq).or_default();
        if waiting.len() > WAITING {
            waiting.pop_first();
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// Waits until an event was added.
    pub async fn notified(&self) {
        self.added.notified().await;
    }

    /// Takes the event of the lowest number; `None` in its place for one that has to be read from the log.
    pub fn take(&self) -> Option<(u64, Option<Event>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_first()
    }
}

/// Returns an event of the catalog as the protocol has it.
pub(crate) fn wire(event: Event) -> CollectionEvent {
    CollectionEvent {
        kind: event.kind,
        collection: event.collection,
        seq: i64::try_from(event.seq).unwrap_or(i64::MAX),
        data: event.data,
    }
}

#[cfg(test)]
#[path = "announcements_tests.rs"]
mod tests;
