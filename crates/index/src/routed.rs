//! One index over all places: it knows where each collection is kept.
//!
//! While a collection moves, its writes go where it is; the switch waits for them and holds new ones back for the moment that it
//! takes (see [`PlacedIndex::hold`]). Searches are never held back.

use super::error::{IndexError, Outage};
use super::types::{CollectionKey, Hit, Point, Query, Schema};
use super::{EmbeddedIndex, RemoteIndex, VectorIndex};
use ibid_types::IndexBackend;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Writes of a collection at a time; more wait. Far more than documents are processed at a time.
const WRITES: u32 = 1024;

/// Where a collection is, and the door that its writes go through.
#[derive(Debug, Clone)]
struct Placement {
    place: IndexBackend,
    writes: Arc<Semaphore>,
}

/// The indexes of all places as one.
pub struct PlacedIndex {
    embedded: EmbeddedIndex,
    remote: Option<RemoteIndex>,
    /// By the collection's identifier: all of its generations are in one place.
    placements: RwLock<HashMap<String, Placement>>,
    /// Where a collection is that nothing was said of.
    unknown: IndexBackend,
    away: watch::Sender<bool>,
}

/// Keeps writes of a collection back until it is dropped.
#[derive(Debug)]
pub struct Held(#[allow(dead_code, reason = "it is held, not looked at")] OwnedSemaphorePermit);

impl PlacedIndex {
    /// The embedded index, and the remote one if there is one: which counts as away until [`set_away`](Self::set_away) says other.
    pub fn new(embedded: EmbeddedIndex, remote: Option<RemoteIndex>) -> Self {
        let away = watch::Sender::new(remote.is_some());
        Self {
            embedded,
            remote,
            placements: RwLock::default(),
            unknown: IndexBackend::Embedded,
            away,
        }
    }

    /// Takes collections of which nothing is said to be in the Qdrant server: other servers make collections too, and there.
    pub fn with_others(self) -> Self {
        Self {
            unknown: IndexBackend::Qdrant,
            ..self
        }
    }

    /// Says where a collection is, in all of its generations. What is never said of is taken to be embedded, unless there are
    /// [other servers](Self::with_others).
    pub fn put(&self, collection: &CollectionKey, place: IndexBackend) {
        let mut placements = self.placements.write().unwrap_or_else(PoisonError::into_inner);
        let (collection, _) = collection.parts();
        match placements.get_mut(collection) {
            Some(placement) => placement.place = place,
            None => {
                let writes = Arc::new(Semaphore::new(WRITES as usize));
                placements.insert(collection.to_owned(), Placement { place, writes });
            }
        }
    }

    /// Forgets a collection that is gone.
    pub fn forget(&self, collection: &CollectionKey) {
        self.placements
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(collection.parts().0);
    }

    /// Where a collection is.
    pub fn place(&self, collection: &CollectionKey) -> IndexBackend {
        let placements = self.placements.read().unwrap_or_else(PoisonError::into_inner);
        placements
            .get(collection.parts().0)
            .map_or(self.unknown, |placement| placement.place)
    }

    /// The index of a place.
    ///
    /// # Errors
    /// [`Outage::NotConfigured`] if there is none.
    pub fn at(&self, place: IndexBackend) -> Result<&dyn VectorIndex, IndexError> {
        match (place, &self.remote) {
            (IndexBackend::Embedded, _) => Ok(&self.embedded),
            (IndexBackend::Qdrant, Some(remote)) => Ok(remote),
            (IndexBackend::Qdrant, None) => Err(IndexError::unavailable(Outage::NotConfigured, "no server is configured")),
        }
    }

    /// Whether there is a Qdrant server in the settings.
    pub fn has_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Waits for all writes of a collection that are in flight, and keeps later ones back.
    pub async fn hold(&self, collection: &CollectionKey) -> Result<Held, IndexError> {
        let writes = self.writes(collection);
        let all = writes.acquire_many_owned(WRITES).await.map_err(|_| IndexError::Closed)?;
        Ok(Held(all))
    }

    /// Whether the remote index was found to be away, and when that changes.
    pub fn away(&self) -> watch::Receiver<bool> {
        self.away.subscribe()
    }

    /// Notes whether the remote index is away.
    pub fn set_away(&self, away: bool) {
        self.away.send_if_modified(|was| std::mem::replace(was, away) != away);
    }

    fn writes(&self, collection: &CollectionKey) -> Arc<Semaphore> {
        let known = self.placements.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(placement) = known.get(collection.parts().0) {
            return placement.writes.clone();
        }
        drop(known);
        self.put(collection, self.unknown);
        self.writes(collection)
    }

    fn of(&self, collection: &CollectionKey) -> Result<&dyn VectorIndex, IndexError> {
        self.at(self.place(collection))
    }

    /// Goes through the collection's door for writes.
    async fn enter(&self, collection: &CollectionKey) -> Result<OwnedSemaphorePermit, IndexError> {
        self.writes(collection).acquire_owned().await.map_err(|_| IndexError::Closed)
    }

    /// Notes an outage that a call met.
    fn noted<T>(&self, result: Result<T, IndexError>) -> Result<T, IndexError> {
        if let Err(error) = &result
            && error.is_outage()
            && self.remote.is_some()
        {
            self.set_away(true);
        }
        result
    }
}

#[async_trait::async_trait]
impl VectorIndex for PlacedIndex {
    async fn create_collection(&self, collection: &CollectionKey, schema: &Schema) -> Result<(), IndexError> {
        let _entered = self.enter(collection).await?;
        self.noted(self.of(collection)?.create_collection(collection, schema).await)
    }

    async fn drop_collection(&self, collection: &CollectionKey) -> Result<(), IndexError> {
        let _entered = self.enter(collection).await?;
        self.noted(self.of(collection)?.drop_collection(collection).await)
    }

    async fn collections(&self) -> Result<Vec<CollectionKey>, IndexError> {
        let mut all = self.embedded.collections().await?;
        if let Some(remote) = &self.remote {
            all.extend(self.noted(remote.collections().await)?);
        }
        all.retain({
            let mut seen = std::collections::HashSet::new();
            move |key| seen.insert(key.clone())
        });
        all.sort();
        Ok(all)
    }

    async fn upsert(&self, collection: &CollectionKey, points: Vec<Point>) -> Result<(), IndexError> {
        let _entered = self.enter(collection).await?;
        self.noted(self.of(collection)?.upsert(collection, points).await)
    }

    async fn search(&self, collection: &CollectionKey, queries: Vec<Query>) -> Result<Vec<Vec<Hit>>, IndexError> {
        let place = self.place(collection);
        let result = self.at(place)?.search(collection, queries.clone()).await;
        // It moved between the two lines above, and the old copy is gone: the new one answers.
        let moved = matches!(result, Err(IndexError::CollectionNotFound { .. })) && self.place(collection) != place;
        if moved {
            return self.noted(self.of(collection)?.search(collection, queries).await);
        }
        self.noted(result)
    }

    async fn delete_document(&self, collection: &CollectionKey, document_id: &str) -> Result<u64, IndexError> {
        let _entered = self.enter(collection).await?;
        self.noted(self.of(collection)?.delete_document(collection, document_id).await)
    }

    async fn count(&self, collection: &CollectionKey, document_id: Option<&str>) -> Result<u64, IndexError> {
        self.noted(self.of(collection)?.count(collection, document_id).await)
    }

    async fn documents(&self, collection: &CollectionKey) -> Result<BTreeMap<String, u64>, IndexError> {
        self.noted(self.of(collection)?.documents(collection).await)
    }

    async fn vectors(
        &self,
        collection: &CollectionKey,
        document_id: &str,
        chunks: Range<u32>,
    ) -> Result<Vec<Option<Vec<f32>>>, IndexError> {
        self.noted(self.of(collection)?.vectors(collection, document_id, chunks).await)
    }

    async fn points(&self, collection: &CollectionKey, document_id: &str, chunks: Range<u32>) -> Result<Vec<Point>, IndexError> {
        self.noted(self.of(collection)?.points(collection, document_id, chunks).await)
    }

    async fn flush(&self, collection: &CollectionKey) -> Result<(), IndexError> {
        self.noted(self.of(collection)?.flush(collection).await)
    }

    /// Of every place that there is.
    async fn health(&self) -> Result<Duration, IndexError> {
        let start = Instant::now();
        self.embedded.health().await?;
        if let Some(remote) = &self.remote {
            self.noted(remote.health().await)?;
        }
        Ok(start.elapsed())
    }

    async fn storage_bytes(&self, collection: &CollectionKey) -> Result<u64, IndexError> {
        self.noted(self.of(collection)?.storage_bytes(collection).await)
    }

    async fn close(&self) -> Result<(), IndexError> {
        if let Some(remote) = &self.remote {
            remote.close().await?;
        }
        self.embedded.close().await
    }
}
