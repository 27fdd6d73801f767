//! Telling subscribers what happens to collections, in the order of the log.
//!
//! Events are told by whoever made them, as soon as they are recorded; two at the same moment may come here in either order. A
//! client that has heard of one number takes it that it heard of all before, so one task puts them in order: what is missing
//! below a number that has come is in the log by then, since the catalog has one writer.

use super::collections::wire;
use super::engine::Engine;
use ibid_catalog::Event;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Events that may wait to be told; of more the log keeps the rest.
const WAITING: usize = 1_024;
/// Events that are read from the log at a time.
const PAGE: u32 = 100;

/// Events that are recorded and not told yet, by their number.
#[derive(Default)]
pub(super) struct Announcements {
    /// Those of other servers by their number alone: the log has them.
    waiting: Mutex<BTreeMap<u64, Option<Event>>>,
    come: Notify,
}

impl Announcements {
    fn add(&self, event: Event) {
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

    fn take(&self) -> Option<(u64, Option<Event>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_first()
    }
}

impl Engine {
    /// Tells subscribers of an event that the catalog has recorded. Never waits.
    pub(super) fn tell(&self, event: Event) {
        self.announcements.add(event);
    }

    /// Tells events as they come, those after the number `last`; runs until the engine stops.
    pub(super) async fn announce(self: Arc<Self>, mut last: u64) {
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = self.announcements.come.notified() => {}
            }
            while let Some((seq, event)) = self.announcements.take() {
                if seq <= last {
                    // It was found in the log.
                    continue;
                }
                match event {
                    Some(event) => {
                        if seq > last + 1 {
                            self.announce_between(last, seq).await;
                        }
                        self.events.publish_collection(wire(event));
                    }
                    None => self.announce_between(last, seq.saturating_add(1)).await,
                }
                last = seq;
            }
        }
    }

    /// Tells what the log has between two numbers.
    async fn announce_between(&self, mut after: u64, before: u64) {
        loop {
            let page = match self.catalog.events_since(after, None, PAGE).await {
                Ok(replay) => replay.events,
                Err(error) => return tracing::warn!(%error, "events were not told, since the log cannot be read"),
            };
            let whole = page.len() < PAGE as usize;
            for event in page {
                after = event.seq;
                if after >= before {
                    return;
                }
                self.learn(&event);
                self.events.publish_collection(wire(event));
            }
            if whole {
                return;
            }
        }
    }

    /// Takes note of what may have happened at another server.
    fn learn(&self, event: &Event) {
        if self.is_shared() {
            self.visibility.changed();
            if event.kind == "collection_deleted" {
                self.forget_collection(&event.collection_id);
            }
        }
    }
}
