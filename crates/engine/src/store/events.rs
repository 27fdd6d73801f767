//! The hub for events: services publish, sockets subscribe.
//!
//! Every subscriber reads at its own pace from a bounded ring. One that falls behind learns how many events it missed (`broadcast`'s `Lagged`),
//! and does not slow the others down.

use ibid_protocol::{CollectionEvent, UploadEvent};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, mpsc};

/// Events that a subscriber may be behind before it misses some.
const RING: usize = 1_024;

/// An upload's event and the collection that the upload goes to.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadNotice {
    /// Name of the collection.
    pub collection: String,
    /// The event.
    pub event: UploadEvent,
}

/// A subscription to uploads from one moment on: no event is missed and none comes twice.
pub struct UploadSubscription {
    /// The start and the newest progress of every upload in flight.
    pub replay: Vec<Arc<UploadNotice>>,
    /// Events from now on.
    pub live: broadcast::Receiver<Arc<UploadNotice>>,
}

struct InFlight {
    started: Arc<UploadNotice>,
    newest: Option<Arc<UploadNotice>>,
}

/// The hub. It keeps the state of uploads in flight until they complete; the limit of open uploads bounds their number.
pub struct Events {
    uploads: Mutex<BTreeMap<String, InFlight>>,
    upload_ring: broadcast::Sender<Arc<UploadNotice>>,
    collection_ring: broadcast::Sender<Arc<CollectionEvent>>,
    /// The queue to the servers that share the catalog, if there are any.
    others: Option<mpsc::Sender<Arc<UploadNotice>>>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            uploads: Mutex::default(),
            upload_ring: broadcast::Sender::new(RING),
            collection_ring: broadcast::Sender::new(RING),
            others: None,
        }
    }
}

impl Events {
    /// Makes a hub that also queues uploads' events for other servers. Events that do not fit into the queue are dropped.
    pub fn with_others(others: mpsc::Sender<Arc<UploadNotice>>) -> Self {
        Self {
            others: Some(others),
            ..Self::default()
        }
    }

    /// Publishes an upload's event. Never waits.
    pub fn publish_upload(&self, collection: &str, event: UploadEvent) {
        let notice = self.repeat_upload(collection, event);
        if let Some(others) = &self.others
            && let Err(mpsc::error::TrySendError::Full(notice)) = others.try_send(notice)
        {
            tracing::debug!(
                upload = notice.event.upload_id(),
                "an event was not sent to other servers: too many are waiting"
            );
        }
    }

    /// Publishes an upload's event of another server to the subscribers here. Never waits.
    pub fn repeat_upload(&self, collection: &str, event: UploadEvent) -> Arc<UploadNotice> {
        let id = event.upload_id().to_owned();
        let notice = Arc::new(UploadNotice {
            collection: collection.to_owned(),
            event,
        });
        // Sent under the lock, so that a new subscriber sees an event in its replay or live,
        // never in both and never in neither.
        let mut uploads = self.uploads();
        match &notice.event {
            UploadEvent::UploadStarted(_) => {
                uploads.insert(
                    id,
                    InFlight {
                        started: notice.clone(),
                        newest: None,
                    },
                );
            }
            UploadEvent::UploadComplete(_) => {
                uploads.remove(&id);
            }
            _ => {
                if let Some(upload) = uploads.get_mut(&id) {
                    upload.newest = Some(notice.clone());
                }
            }
        }
        // An error only says that nobody listens.
        let _ = self.upload_ring.send(notice.clone());
        notice
    }

    /// Subscribes to uploads.
    pub fn uploads_from_now(&self) -> UploadSubscription {
        let uploads = self.uploads();
        UploadSubscription {
            replay: uploads
                .values()
                .flat_map(|upload| [Some(upload.started.clone()), upload.newest.clone()])
                .flatten()
                .collect(),
            live: self.upload_ring.subscribe(),
        }
    }

    /// Publishes a collection's event. Never waits.
    pub fn publish_collection(&self, event: CollectionEvent) {
        let _ = self.collection_ring.send(Arc::new(event));
    }

    /// Subscribes to collections.
    pub fn collections_from_now(&self) -> broadcast::Receiver<Arc<CollectionEvent>> {
        self.collection_ring.subscribe()
    }

    fn uploads(&self) -> MutexGuard<'_, BTreeMap<String, InFlight>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_protocol::{EmbeddingProgress, UploadComplete, UploadStarted, UploadStatus};

    fn started(id: &str) -> UploadEvent {
        UploadEvent::UploadStarted(UploadStarted {
            upload_id: id.into(),
            filename: "a.pdf".into(),
            file_size: 3,
            estimated_time: 1,
            collection: "documents".into(),
            size_is_estimate: false,
        })
    }

    fn embedding(id: &str, done: u64) -> UploadEvent {
        UploadEvent::EmbeddingProgress(EmbeddingProgress {
            upload_id: id.into(),
            filename: "a.pdf".into(),
            embeddings_generated: done,
            total_embeddings: 2,
            progress: done as f64 / 2.0,
        })
    }

    fn complete(id: &str) -> UploadEvent {
        UploadEvent::UploadComplete(UploadComplete {
            upload_id: id.into(),
            filename: "a.pdf".into(),
            document_id: None,
            total_time: 0.1,
            chunks_created: 2,
            status: UploadStatus::Success,
            error: None,
            needs_ocr: false,
            message: None,
        })
    }

    #[tokio::test]
    async fn a_late_subscriber_sees_start_and_newest_progress_then_what_follows() {
        let events = Events::default();
        for event in [started("u1"), embedding("u1", 1), embedding("u1", 2), started("u2"), complete("u2")] {
            events.publish_upload("documents", event);
        }
        let mut subscription = events.uploads_from_now();
        let replayed: Vec<_> = subscription.replay.iter().map(|notice| notice.event.clone()).collect();
        assert_eq!(replayed, [started("u1"), embedding("u1", 2)]);
        events.publish_upload("documents", complete("u1"));
        assert_eq!(subscription.live.recv().await.unwrap().event, complete("u1"));
        assert!(events.uploads_from_now().replay.is_empty());
    }
}
