//! Routes calls to the index that has the collection.
//!
//! While a collection moves, its writes go to its present index. The switch waits for them, and blocks new ones for a moment (see
//! [`RoutedIndex::hold`]). Searches are never blocked.

use super::VectorIndex;
use super::error::{IndexError, Outage};
use super::types::{CollectionKey, Hit, Point, Query, Schema};
use ibid_types::IndexBackend;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The most concurrent writes of a collection; more wait. Far more than documents are processed at a time.
const WRITES: u32 = 1024;

/// The index that has a collection, and the semaphore that its writes pass.
#[derive(Debug, Clone)]
struct Placement {
    place: IndexBackend,
    writes: Arc<Semaphore>,
}

/// Several indexes, used as one.
pub struct RoutedIndex {
    embedded: Box<dyn VectorIndex>,
    remote: Option<Box<dyn VectorIndex>>,
    /// By the collection's identifier: all of its generations are in one index.
    placements: RwLock<HashMap<String, Placement>>,
    /// The index of collections that were never [`put`](Self::put).
    unknown: IndexBackend,
    away: watch::Sender<bool>,
}

/// Blocks writes of a collection until it is dropped.
#[derive(Debug)]
pub struct Held(#[allow(dead_code, reason = "it is held, never read")] OwnedSemaphorePermit);

impl RoutedIndex {
    /// Combines the embedded index and the remote one, if there is one. The remote one counts as unavailable until
    /// [`set_away`](Self::set_away) says otherwise.
    pub fn new(embedded: impl VectorIndex, remote: Option<impl VectorIndex>) -> Self {
        let away = watch::Sender::new(remote.is_some());
        Self {
            embedded: Box::new(embedded),
            remote: remote.map(|remote| Box::new(remote) as Box<dyn VectorIndex>),
            placements: RwLock::default(),
            unknown: IndexBackend::Embedded,
            away,
        }
    }

    /// Makes unknown collections be in the Qdrant server, since other servers create collections there too.
    pub fn with_others(self) -> Self {
        Self {
            unknown: IndexBackend::Qdrant,
            ..self
        }
    }

    /// Records the index of a collection, for all of its generations. Collections that were never recorded are in the embedded index,
    /// unless there are [other servers](Self::with_others).
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

    /// Forgets a collection that was removed.
    pub fn forget(&self, collection: &CollectionKey) {
        self.placements
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(collection.parts().0);
    }

    /// Returns which index has a collection.
    pub fn place(&self, collection: &CollectionKey) -> IndexBackend {
        let placements = self.placements.read().unwrap_or_else(PoisonError::into_inner);
        placements
            .get(collection.parts().0)
            .map_or(self.unknown, |placement| placement.place)
    }

    /// Returns an index.
    ///
    /// # Errors
    /// [`Outage::NotConfigured`] if it is not configured.
    pub fn at(&self, place: IndexBackend) -> Result<&dyn VectorIndex, IndexError> {
        match (place, &self.remote) {
            (IndexBackend::Embedded, _) => Ok(self.embedded.as_ref()),
            (IndexBackend::Qdrant, Some(remote)) => Ok(remote.as_ref()),
            (IndexBackend::Qdrant, None) => Err(IndexError::unavailable(Outage::NotConfigured, "no server is configured")),
        }
    }

    /// Returns whether a Qdrant server is configured.
    pub fn has_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Waits for all writes of a collection that are in flight, and blocks later ones.
    pub async fn hold(&self, collection: &CollectionKey) -> Result<Held, IndexError> {
        let writes = self.writes(collection);
        let all = writes.acquire_many_owned(WRITES).await.map_err(|_| IndexError::Closed)?;
        Ok(Held(all))
    }

    /// Returns whether the remote index is unavailable, as a channel that notifies of changes.
    pub fn away(&self) -> watch::Receiver<bool> {
        self.away.subscribe()
    }

    /// Records whether the remote index is unavailable.
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

    /// Takes a permit to write to the collection.
    async fn enter(&self, collection: &CollectionKey) -> Result<OwnedSemaphorePermit, IndexError> {
        self.writes(collection).acquire_owned().await.map_err(|_| IndexError::Closed)
    }

    /// Records the outage if a call failed because of one.
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
impl VectorIndex for RoutedIndex {
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
        // It moved between the two lines above, and the old copy is gone: ask the new one.
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

    /// Checks every index.
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
