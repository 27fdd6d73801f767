//! The index in a directory of this machine, with the engine `qdrant-edge`.
//!
//! A collection is a directory. It is opened when it is first used, and stays open. Every call to the engine blocks, so all run on the
//! runtime's blocking threads, a bounded number at a time; optimizing has a thread of its own.

mod engine;
mod journal;
mod optimizer;
mod recovery;
mod shard;
mod store;

use super::error::IndexError;
use super::types::{CollectionKey, Hit, MAX_LIMIT, Point, Query, Schema, check_batch};
use super::{Filter, VectorIndex};
use optimizer::Optimizer;
use shard::Shard;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use store::{Store, Writes};
use tokio::sync::{Semaphore, watch};

/// The resources that the embedded index may use.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The most batches that are searched at the same time, at least 1; more wait. Each takes one core.
    pub search_threads: usize,
    /// The most other calls that run at the same time, at least 1. Within a collection they run one after the other.
    pub update_threads: usize,
    /// The threads that build a graph, at least 1. They run until the graph is built.
    pub optimizer_threads: usize,
    /// The KiB of dense vectors in a segment above which a graph is built. Below, a search compares all vectors, which is exact and takes
    /// some 3 ms for the default: 60,000, which are 40,000 vectors of 384 dimensions.
    pub indexing_threshold_kib: usize,
    /// A collection is optimized when it has not changed for this long ...
    pub optimize_after_quiet: Duration,
    /// ... or when this many points were stored or deleted.
    pub optimize_after_points: u64,
    /// The bytes of the engine's log above which a collection is closed and reopened after optimizing, to trim the log.
    pub log_limit_bytes: u64,
    /// The bytes that must stay free on the disk: with less, nothing is stored, and with an eighth of that nothing is deleted either. 0
    /// turns this off. The engine writes to sparse files through memory maps: where a disk is full, that kills the process.
    pub reserve_bytes: u64,
    /// How long `close` waits for an optimization. One that takes longer ends with the process, and is recovered from when the collection
    /// is opened again.
    pub close_wait: Duration,
}

impl Default for EmbeddedOptions {
    /// Half of the cores for searches, one for optimizing.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            search_threads: cores.div_ceil(2),
            update_threads: 4,
            optimizer_threads: 1,
            indexing_threshold_kib: 60_000,
            optimize_after_quiet: Duration::from_secs(10),
            optimize_after_points: 50_000,
            log_limit_bytes: 512 << 20,
            reserve_bytes: 0,
            close_wait: Duration::from_secs(5),
        }
    }
}

/// The index in a directory. Only one process at a time may have it open.
#[derive(Debug)]
pub struct EmbeddedIndex {
    store: Arc<Store>,
    optimizer: Optimizer,
    searches: Arc<Semaphore>,
    updates: Arc<Semaphore>,
    close_wait: Duration,
}

impl EmbeddedIndex {
    /// Opens the index in `directory`, which is created if necessary. Collections are opened when they are first used. Blocks for a moment.
    ///
    /// # Errors
    /// [`IndexError::Locked`] if it is open already, here or in another process.
    pub fn open(directory: &Path, options: EmbeddedOptions) -> Result<Self, IndexError> {
        let searches = Arc::new(Semaphore::new(options.search_threads.max(1)));
        let updates = Arc::new(Semaphore::new(options.update_threads.max(1)));
        let close_wait = options.close_wait;
        let store = Arc::new(Store::open(directory, options)?);
        let optimizer = Optimizer::start(Arc::clone(&store))?;
        Ok(Self {
            store,
            optimizer,
            searches,
            updates,
            close_wait,
        })
    }

    /// Optimizes a collection at once. Returns whether there was anything to do.
    pub async fn optimize_now(&self, collection: &CollectionKey) -> Result<bool, IndexError> {
        self.optimizer.now(collection).await
    }

    /// Returns the number of optimizations that have changed something since the index was opened, as a channel that notifies of each.
    pub fn optimizations(&self) -> watch::Receiver<u64> {
        self.optimizer.done()
    }

    /// Runs a blocking call when a permit is free.
    async fn blocking<T: Send + 'static>(
        &self,
        room: &Arc<Semaphore>,
        what: &'static str,
        call: impl FnOnce(&Store) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, IndexError> {
        let permit = Arc::clone(room).acquire_owned().await.map_err(|_| IndexError::Closed)?;
        let store = Arc::clone(&self.store);
        let work = tokio::task::spawn_blocking(move || {
            let result = call(&store).map_err(|error| store.explain(error));
            drop(store);
            drop(permit);
            result
        });
        work.await.map_err(|error| IndexError::engine(what, error))?
    }

    /// Runs a blocking call with an open collection, if the disk has room for what it writes.
    async fn with_shard<T: Send + 'static>(
        &self,
        room: &Arc<Semaphore>,
        (what, writes): (&'static str, Writes),
        key: &CollectionKey,
        call: impl FnOnce(&Shard) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, IndexError> {
        let wanted = key.clone();
        let (result, inherited) = self
            .blocking(room, what, move |store| {
                let (shard, opened_now) = store.shard(&wanted)?;
                store.admit(writes, what)?;
                // An earlier process may have left something to optimize.
                let inherited = if opened_now { shard.points() } else { 0 };
                Ok((call(&shard), inherited))
            })
            .await?;
        self.optimizer.note(key, inherited);
        result
    }
}

#[async_trait::async_trait]
impl VectorIndex for EmbeddedIndex {
    async fn create_collection(&self, collection: &CollectionKey, schema: &Schema) -> Result<(), IndexError> {
        let (key, schema) = (collection.clone(), *schema);
        self.blocking(&self.updates, "create a collection", move |store| store.create(&key, &schema))
            .await
    }

    async fn drop_collection(&self, collection: &CollectionKey) -> Result<(), IndexError> {
        let key = collection.clone();
        self.blocking(&self.updates, "drop a collection", move |store| store.drop_collection(&key))
            .await?;
        self.optimizer.forget(collection);
        Ok(())
    }

    async fn collections(&self) -> Result<Vec<CollectionKey>, IndexError> {
        self.blocking(&self.updates, "list collections", Store::collections).await
    }

    async fn upsert(&self, collection: &CollectionKey, points: Vec<Point>) -> Result<(), IndexError> {
        let what = ("store points", Writes::Bytes(0));
        let stored = self
            .with_shard(&self.updates, what, collection, |shard| shard.upsert(points))
            .await?;
        self.optimizer.note(collection, stored as u64);
        Ok(())
    }

    async fn search(&self, collection: &CollectionKey, queries: Vec<Query>) -> Result<Vec<Vec<Hit>>, IndexError> {
        check_batch(&queries)?;
        // Dropped with the caller's future: a search whose caller has gone ends after the current query.
        let caller = Arc::new(());
        let waiting = Arc::downgrade(&caller);
        self.with_shard(&self.searches, ("search", Writes::Nothing), collection, move |shard| {
            search(shard, &queries, &waiting)
        })
        .await
    }

    async fn delete_document(&self, collection: &CollectionKey, document_id: &str) -> Result<u64, IndexError> {
        let (what, document) = (("delete a document", Writes::Little), document_id.to_owned());
        let deleted = self
            .with_shard(&self.updates, what, collection, move |shard| shard.delete_document(&document))
            .await?;
        self.optimizer.note(collection, deleted);
        Ok(deleted)
    }

    async fn count(&self, collection: &CollectionKey, document_id: Option<&str>) -> Result<u64, IndexError> {
        let (what, document) = (("count points", Writes::Nothing), document_id.map(str::to_owned));
        self.with_shard(&self.updates, what, collection, move |shard| shard.count(document.as_deref()))
            .await
    }

    async fn documents(&self, collection: &CollectionKey) -> Result<BTreeMap<String, u64>, IndexError> {
        self.with_shard(&self.updates, ("list documents", Writes::Nothing), collection, Shard::documents)
            .await
    }

    async fn vectors(
        &self,
        collection: &CollectionKey,
        document_id: &str,
        chunks: Range<u32>,
    ) -> Result<Vec<Option<Vec<f32>>>, IndexError> {
        if chunks.len() > MAX_LIMIT {
            return Err(IndexError::invalid(format!(
                "vectors of at most {MAX_LIMIT} chunks, not {}",
                chunks.len()
            )));
        }
        let (what, document) = (("read vectors", Writes::Nothing), document_id.to_owned());
        self.with_shard(&self.searches, what, collection, move |shard| shard.vectors(&document, chunks))
            .await
    }

    async fn points(&self, collection: &CollectionKey, document_id: &str, chunks: Range<u32>) -> Result<Vec<Point>, IndexError> {
        if chunks.len() > MAX_LIMIT {
            return Err(IndexError::invalid(format!(
                "points of at most {MAX_LIMIT} chunks, not {}",
                chunks.len()
            )));
        }
        let (what, document) = (("read points", Writes::Nothing), document_id.to_owned());
        self.with_shard(&self.searches, what, collection, move |shard| shard.stored(&document, chunks))
            .await
    }

    async fn flush(&self, collection: &CollectionKey) -> Result<(), IndexError> {
        self.with_shard(&self.updates, ("flush", Writes::Nothing), collection, Shard::flush)
            .await
    }

    async fn health(&self) -> Result<Duration, IndexError> {
        let start = Instant::now();
        self.blocking(&self.searches, "answer", Store::ping).await?;
        Ok(start.elapsed())
    }

    async fn storage_bytes(&self, collection: &CollectionKey) -> Result<u64, IndexError> {
        let (what, key) = ("measure a collection", collection.clone());
        self.with_shard(&self.updates, (what, Writes::Nothing), collection, |_| Ok(()))
            .await?;
        self.blocking(&self.updates, what, move |store| {
            recovery::storage_bytes(&store.directory(&key)).map_err(|error| IndexError::engine(what, error))
        })
        .await
    }

    async fn close(&self) -> Result<(), IndexError> {
        self.searches.close();
        self.updates.close();
        self.optimizer.stop();
        // A collection that is being optimized stays open until that ends; what it acknowledged is made durable before.
        let store = Arc::clone(&self.store);
        let closed = tokio::task::spawn_blocking(move || store.close());
        let result = closed.await.map_err(|error| IndexError::engine("close", error))?;
        if tokio::time::timeout(self.close_wait, self.optimizer.ended()).await.is_err() {
            tracing::info!("closing the index in the middle of an optimization: it will start over");
        }
        result
    }
}

fn search(shard: &Shard, queries: &[Query], waiting: &Weak<()>) -> Result<Vec<Vec<Hit>>, IndexError> {
    let mut results = Vec::with_capacity(queries.len());
    let mut last: Option<(&Arc<Filter>, Option<qdrant_edge::Filter>)> = None;
    for query in queries {
        if waiting.strong_count() == 0 {
            return Err(IndexError::Closed);
        }
        // The queries of a batch mostly share one filter.
        let filter = match last.take() {
            Some((same, filter)) if Arc::ptr_eq(same, &query.filter) => filter,
            _ => engine::filter(&query.filter)?,
        };
        results.push(shard.search(query, filter.as_ref())?);
        last = Some((&query.filter, filter));
    }
    Ok(results)
}
