//! `/ws/collections`: what happens to collections.

use super::events::Teller;
use super::outbox::Outbox;
use crate::auth::Subject;
use crate::pipeline::{CollectionSubscription, Engine};
use crate::protocol::{ApiError, CollectionEvent};
use serde::Deserialize;
use std::sync::Arc;

/// What a client wants to know of.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CollectionFilter {
    collection: Option<String>,
    after: Option<i64>,
}

/// A subscription, before its socket is open.
pub(super) struct CollectionEvents {
    subject: Arc<Subject>,
    collection: Option<String>,
    subscription: CollectionSubscription,
}

impl CollectionEvents {
    /// From now on nothing is missed; with `after`, what came later than that event is replayed.
    pub async fn subscribe(filter: CollectionFilter, subject: Arc<Subject>, engine: &Arc<Engine>) -> Result<Self, ApiError> {
        let CollectionFilter { collection, after } = filter;
        if after.is_some_and(|seq| seq < 0) {
            return Err(ApiError::validation("after", "must not be negative"));
        }
        Ok(Self {
            subject,
            collection,
            subscription: engine.collection_events(after).await?,
        })
    }

    /// Starts to tell.
    pub fn tell(self, outbox: Outbox) -> Teller {
        let Self {
            subject,
            collection,
            subscription: CollectionSubscription { missed, mut replay, live },
        } = self;
        let wanted = move |event: &CollectionEvent| {
            subject.sees(&event.collection) && collection.as_deref().is_none_or(|name| name == event.collection)
        };
        // What happened while the log was read may be in both.
        let replayed = replay.iter().map(|event| event.seq).max();
        replay.retain(|event| wanted(event));
        let live_wanted = move |event: &CollectionEvent| wanted(event) && replayed.is_none_or(|seq| event.seq > seq);
        Teller::new(outbox, missed, replay, live, live_wanted, |event| event)
    }
}
