//! Collections whose statistics changed and were not published yet.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Collections whose statistics are to be published, each once however often it changed.
#[derive(Default)]
pub(crate) struct ChangedStatistics {
    collections: Mutex<BTreeSet<String>>,
    notify: Notify,
}

impl ChangedStatistics {
    /// Notes that a collection's statistics changed.
    pub fn changed(&self, collection_id: &str) {
        self.collections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(collection_id.to_owned());
        self.notify.notify_one();
    }

    /// Notes that a collection's statistics could not be published; [`notified`](Self::notified) does not return for that.
    pub fn put_back(&self, collection_id: String) {
        self.collections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(collection_id);
    }

    /// Takes the collections that changed since the last call.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.collections.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until a collection's statistics have changed.
    pub async fn notified(&self) {
        self.notify.notified().await;
    }

    /// Wakes whoever waits in [`notified`](Self::notified), for collections that were put back.
    pub fn wake(&self) {
        self.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_collection_is_taken_once_and_wakes_whoever_waits() {
        let statistics = ChangedStatistics::default();
        for id in ["a", "b", "a"] {
            statistics.changed(id);
        }
        statistics.notified().await;
        assert_eq!(statistics.take(), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        statistics.put_back("a".to_owned());
        statistics.wake();
        statistics.notified().await;
        assert_eq!(statistics.take(), BTreeSet::from(["a".to_owned()]));
        assert!(statistics.take().is_empty());
    }
}
