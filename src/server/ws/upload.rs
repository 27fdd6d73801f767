//! `/ws/upload`: what happens to uploads.

use super::events::Teller;
use super::outbox::Outbox;
use crate::auth::Subject;
use crate::pipeline::{Engine, UploadNotice, UploadSubscription};
use serde::Deserialize;
use std::sync::Arc;

/// What a client wants to know of.
#[derive(Debug, Default, Deserialize)]
pub(super) struct UploadFilter {
    upload_id: Option<String>,
    collection: Option<String>,
}

impl UploadFilter {
    fn lets_through(&self, notice: &UploadNotice) -> bool {
        self.upload_id.as_deref().is_none_or(|id| id == notice.event.upload_id())
            && self.collection.as_deref().is_none_or(|name| name == notice.collection)
    }
}

/// A subscription, before its socket is open.
pub(super) struct UploadEvents {
    subject: Arc<Subject>,
    filter: UploadFilter,
    subscription: UploadSubscription,
}

impl UploadEvents {
    /// From now on nothing is missed; uploads in flight are replayed.
    pub fn subscribe(filter: UploadFilter, subject: Arc<Subject>, engine: &Arc<Engine>) -> Self {
        Self {
            subject,
            filter,
            subscription: engine.upload_events(),
        }
    }

    /// Starts to tell.
    pub fn tell(self, outbox: Outbox) -> Teller {
        let Self {
            subject,
            filter,
            subscription: UploadSubscription { mut replay, live },
        } = self;
        let wanted = move |notice: &UploadNotice| subject.sees(&notice.collection) && filter.lets_through(notice);
        replay.retain(|notice| wanted(notice));
        Teller::new(outbox, 0, replay, live, wanted, |notice| &notice.event)
    }
}
