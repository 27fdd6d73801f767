//! `/ws/collections`: what happens to collections.

use super::events::{Feed, Teller, tell, written};
use super::outbox::Outbox;
use ibid_auth::Subject;
use ibid_engine::{CollectionSubscription, Granted, Read};
use ibid_protocol::{ApiError, CollectionEvent};
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
    told: Told,
    subscription: CollectionSubscription,
}

/// What one peer is told.
struct Told {
    subject: Arc<Subject>,
    collection: Option<String>,
    /// The newest event of the replay: what happened while the log was read may be in both.
    replayed: Option<i64>,
}

impl CollectionEvents {
    /// From now on nothing is missed; with `after`, what came later than that event is replayed.
    pub async fn subscribe(filter: CollectionFilter, subject: Arc<Subject>, granted: &Granted<Read>) -> Result<Self, ApiError> {
        let CollectionFilter { collection, after } = filter;
        if after.is_some_and(|seq| seq < 0) {
            return Err(ApiError::validation("after", "must not be negative"));
        }
        let wanted = |name: &str| subject.sees(name) && collection.as_deref().is_none_or(|only| only == name);
        let subscription = granted.collection_events(after, wanted).await?;
        let told = Told {
            replayed: subscription.replay.iter().map(|event| event.seq).max(),
            subject,
            collection,
        };
        Ok(Self { told, subscription })
    }

    /// Starts to tell.
    pub fn tell(self, outbox: Outbox) -> Teller {
        let Self {
            told,
            subscription: CollectionSubscription { missed, replay, live },
        } = self;
        Teller {
            telling: tell(outbox.clone(), told, missed, replay, live),
            outbox,
        }
    }
}

impl Feed for Told {
    type Event = CollectionEvent;

    fn wants(&mut self, event: &CollectionEvent) -> bool {
        self.subject.sees(&event.collection)
            && self.collection.as_deref().is_none_or(|name| name == event.collection)
            && self.replayed.is_none_or(|seq| event.seq > seq)
    }

    fn text(&mut self, event: &CollectionEvent) -> Vec<u8> {
        written(event)
    }
}
