//! Telling subscribers what happens to collections, in the order of the log.
//!
//! Events are told by whoever made them, as soon as they are recorded; two at the same moment may come here in either order. A
//! client that has heard of one number takes it that it heard of all before, so one task puts them in order: what is missing
//! below a number that has come is in the log by then, since the catalog has one writer.

use ibid_catalog::Event;
use ibid_protocol::CollectionEvent;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Events that may wait to be told; of more the log keeps the rest.
const WAITING: usize = 1_024;

/// Events that are recorded and not told yet, by their number.
#[derive(Default)]
pub(crate) struct Announcements {
    /// Those of other servers by their number alone: the log has them.
    waiting: Mutex<BTreeMap<u64, Option<Event>>>,
    come: Notify,
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
        self.come.notify_one();
    }

    /// An event of this number is in the log.
    pub fn add_number(&self, seq: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(seq).or_default();
        if waiting.len() > WAITING {
            waiting.pop_first();
        }
        drop(waiting);
        self.come.notify_one();
    }

    /// Waits until an event was added.
    pub async fn notified(&self) {
        self.come.notified().await;
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
