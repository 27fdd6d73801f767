//! One open collection: the engine, its journal, and their locks. All calls block.
//!
//! Lock order: `writer`, then `engine`. Searches take `engine` for reading only, and never wait for writers.

use super::super::error::IndexError;
use super::super::fields::{TIE_LIMIT, TIE_MARGIN};
use super::super::types::{CollectionKey, Hit, Point, Query, QueryVector, Schema};
use super::journal::{self, Entry, Journal, Points, Record};
use super::{EmbeddedOptions, engine, recovery};
use qdrant_edge::{
    CountRequest, EdgeShard, FacetRequest, FacetValue, Filter as EngineFilter, UpdateOperation, VectorInternal, VectorStructInternal,
    WithPayloadInterface, WithVector,
};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// The journal's file name.
const JOURNAL: &str = "journal";

/// Ids per retrieval.
const RETRIEVE_BATCH: usize = 1000;

/// The size of the journal above which an update flushes it, to bound the disk usage and the time to open.
const JOURNAL_LIMIT: u64 = 64 << 20;

/// Signals that the directory of a dropped collection was removed.
#[derive(Debug, Default)]
pub(super) struct Release {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Release {
    fn signal(&self) {
        *lock(&self.done) = true;
        self.changed.notify_all();
    }

    /// Waits for the signal, at most `limit`. Returns whether it came.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(lock(&self.done), limit, |done| !*done);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[derive(Debug)]
struct Writer {
    journal: Journal,
    /// Set while the engine rewrites segments. Meanwhile it remembers deletions in memory only, even when it is flushed, and a flush may
    /// collide with the rewriting. So until it ends, updates are durable in the journal only.
    optimizing: bool,
}

/// An open collection.
#[derive(Debug)]
pub(super) struct Shard {
    key: CollectionKey,
    directory: PathBuf,
    dimension: u32,
    /// `None` while the collection is reopened, or if that failed.
    engine: RwLock<Option<EdgeShard>>,
    writer: Mutex<Writer>,
    dropped: AtomicBool,
    released: Arc<Release>,
}

impl Shard {
    /// Creates a collection's directory, which must not exist, atomically.
    pub(super) fn create(directory: &Path, schema: &Schema, options: &EmbeddedOptions) -> Result<(), IndexError> {
        const WHAT: &str = "create a collection";
        let failed = |error| IndexError::engine(WHAT, error);
        let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
            return Err(IndexError::engine(WHAT, "a collection without a directory"));
        };
        let draft = parent.join(format!("{}new-{}", recovery::LEFTOVER, name.to_string_lossy()));
        recovery::remove_directory(&draft).map_err(failed)?;
        std::fs::create_dir(&draft).map_err(failed)?;
        let config = engine::config(schema.dimension, options);
        let shard = engine::guarded(WHAT, || EdgeShard::new(&draft, config))?;
        for operation in engine::payload_indexes()? {
            engine::guarded(WHAT, || shard.update(operation))?;
        }
        close_engine(WHAT, shard)?;
        std::fs::rename(&draft, directory).map_err(failed)?;
        recovery::sync_directory(parent).map_err(failed)
    }

    /// Opens a collection's directory, and replays its journal.
    pub(super) fn open(key: &CollectionKey, directory: &Path) -> Result<Self, IndexError> {
        let corrupt = |cause: Box<dyn std::error::Error + Send + Sync>| IndexError::Corrupt {
            collection: key.clone(),
            cause,
        };
        recovery::check_layout(directory).map_err(|error| corrupt(error.into()))?;
        let (engine, journal) = open_engine(directory).map_err(|error| corrupt(error.into()))?;
        let dimension = engine
            .config()
            .vectors
            .get(engine::DENSE)
            .and_then(|vector| u32::try_from(vector.size).ok())
            .ok_or_else(|| corrupt("the collection has no dense vector".into()))?;
        Ok(Self {
            key: key.clone(),
            directory: directory.to_owned(),
            dimension,
            engine: RwLock::new(Some(engine)),
            writer: Mutex::new(Writer {
                journal,
                optimizing: false,
            }),
            dropped: AtomicBool::new(false),
            released: Arc::default(),
        })
    }

    /// Returns whether the collection could not be reopened after a failure, and is unusable.
    pub(super) fn is_lost(&self) -> bool {
        read(&self.engine).is_none()
    }

    /// Returns the dimension of its dense vectors.
    pub(super) fn dimension(&self) -> u32 {
        self.dimension
    }

    /// Marks it as dropped, durably. Its directory is removed when the last user drops the handle.
    pub(super) fn mark_dropped(&self) -> Result<Arc<Release>, IndexError> {
        recovery::mark_dropped(&self.directory).map_err(|error| IndexError::engine("drop a collection", error))?;
        self.dropped.store(true, Ordering::Release);
        Ok(Arc::clone(&self.released))
    }

    /// Stores points, and returns how many.
    pub(super) fn upsert(&self, points: Vec<Point>) -> Result<usize, IndexError> {
        const WHAT: &str = "store points";
        for point in &points {
            point.check(self.dimension)?;
        }
        let stored = points.len();
        if stored == 0 {
            return Ok(0);
        }
        // The record borrows the points by move and returns them, since the engine consumes them.
        let record = Record {
            entry: Some(Entry::Upsert(Points { points })),
        };
        let frame = journal::frame(&record).map_err(|error| IndexError::engine(WHAT, error))?;
        let Some(Entry::Upsert(Points { points })) = record.entry else {
            return Ok(0);
        };
        self.update(WHAT, engine::upsert(points)?, &frame)?;
        Ok(stored)
    }

    /// Removes a document's points, and returns how many there were.
    pub(super) fn delete_document(&self, document_id: &str) -> Result<u64, IndexError> {
        const WHAT: &str = "delete a document";
        let record = Record {
            entry: Some(Entry::DeleteDocument(document_id.to_owned())),
        };
        let frame = journal::frame(&record).map_err(|error| IndexError::engine(WHAT, error))?;
        let filter = engine::document_filter(document_id)?;
        let mut writer = lock(&self.writer);
        let points = self.count_locked(Some(filter))?;
        if points > 0 {
            self.update_locked(WHAT, &mut writer, engine::delete_document(document_id)?, &frame)?;
        }
        Ok(points)
    }

    fn update(&self, what: &'static str, operation: UpdateOperation, frame: &[u8]) -> Result<(), IndexError> {
        self.update_locked(what, &mut lock(&self.writer), operation, frame)
    }

    /// Applies the update before it journals it, so that nothing is replayed that the engine rejected.
    fn update_locked(&self, what: &'static str, writer: &mut Writer, operation: UpdateOperation, frame: &[u8]) -> Result<(), IndexError> {
        self.with_engine(what, |engine| engine.update(operation))?;
        writer.journal.append(frame).map_err(|error| IndexError::engine(what, error))?;
        if writer.journal.len() > JOURNAL_LIMIT && !writer.optimizing {
            self.flush_locked(writer)?;
        }
        Ok(())
    }

    /// Returns the best hits of a query, best first.
    pub(super) fn search(&self, query: &Query, filter: Option<&EngineFilter>) -> Result<Vec<Hit>, IndexError> {
        const WHAT: &str = "search";
        query.check(self.dimension)?;
        let nothing = matches!(&query.vector, QueryVector::Sparse(vector) if vector.is_empty());
        if nothing || query.limit == 0 {
            return Ok(Vec::new());
        }
        let mut fetch = query.limit + TIE_MARGIN;
        let found = loop {
            let request = engine::search(query, filter.cloned(), fetch)?;
            let found = self.with_engine(WHAT, |engine| engine.search(request))?;
            let cut = query.limit.checked_sub(1).and_then(|last| found.get(last)).map(|point| point.score);
            let tied_to_the_end = found.len() >= fetch && cut == found.last().map(|point| point.score);
            if !tied_to_the_end || fetch >= query.limit + TIE_LIMIT {
                break found;
            }
            fetch = (fetch * 2).min(query.limit + TIE_LIMIT);
        };
        let threshold = query.score_threshold.unwrap_or(f32::NEG_INFINITY);
        let hits = found
            .into_iter()
            .filter(|point| point.score >= threshold)
            .filter_map(|point| {
                let (document_id, chunk_index) = engine::chunk_of(point.payload.as_ref())?;
                Some(Hit {
                    document_id,
                    chunk_index,
                    score: point.score,
                })
            })
            .collect();
        Ok(Hit::best(hits, query.limit))
    }

    /// Returns the exact number of points, of one document or all. Waits for a writer: a point that moves between segments would otherwise
    /// count twice or not at all.
    pub(super) fn count(&self, document_id: Option<&str>) -> Result<u64, IndexError> {
        let filter = document_id.map(engine::document_filter).transpose()?;
        let _writer = lock(&self.writer);
        self.count_locked(filter)
    }

    fn count_locked(&self, filter: Option<EngineFilter>) -> Result<u64, IndexError> {
        self.with_engine("count points", |engine| engine.count(CountRequest { filter, exact: true }))
            .map(|count| count as u64)
    }

    /// Returns all documents with the number of their points.
    pub(super) fn documents(&self) -> Result<BTreeMap<String, u64>, IndexError> {
        let _writer = lock(&self.writer);
        let key = engine::document_field()?;
        self.with_engine("list documents", |engine| documents(engine, key))
    }

    /// Returns the dense vectors of chunks.
    pub(super) fn vectors(&self, document_id: &str, chunks: Range<u32>) -> Result<Vec<Option<Vec<f32>>>, IndexError> {
        let ids: Vec<_> = chunks.map(|chunk| engine::point_id(document_id, chunk)).collect();
        let mut found = HashMap::with_capacity(ids.len());
        for batch in ids.chunks(RETRIEVE_BATCH) {
            let only = WithVector::Selector(vec![engine::DENSE.to_owned()]);
            let records = self.with_engine("read vectors", |engine| {
                engine.retrieve(batch, Some(WithPayloadInterface::Bool(false)), Some(only))
            })?;
            for record in records {
                if let Some(VectorStructInternal::Named(mut vectors)) = record.vector
                    && let Some(VectorInternal::Dense(vector)) = vectors.remove(engine::DENSE)
                {
                    found.insert(record.id, vector);
                }
            }
        }
        Ok(ids.iter().map(|id| found.remove(id)).collect())
    }

    /// Returns a document's points as they are stored, in order of their chunks.
    pub(super) fn stored(&self, document_id: &str, chunks: Range<u32>) -> Result<Vec<Point>, IndexError> {
        const WHAT: &str = "read points";
        let ids: Vec<_> = chunks.map(|chunk| engine::point_id(document_id, chunk)).collect();
        let mut points = Vec::with_capacity(ids.len());
        for batch in ids.chunks(RETRIEVE_BATCH) {
            let records = self.with_engine(WHAT, |engine| {
                engine.retrieve(batch, Some(WithPayloadInterface::Bool(true)), Some(WithVector::Bool(true)))
            })?;
            for record in records {
                let point = engine::stored(record.payload.as_ref(), record.vector);
                points.push(point.ok_or_else(|| IndexError::engine(WHAT, "a stored point is not as it was written"))?);
            }
        }
        points.sort_by_key(|point| point.chunk_index);
        Ok(points)
    }

    /// Checks with a cheap request that the engine answers.
    pub(super) fn ping(&self) -> Result<(), IndexError> {
        let id = engine::point_id("", 0);
        self.with_engine("answer", |engine| {
            engine.retrieve(&[id], Some(WithPayloadInterface::Bool(false)), None)
        })
        .map(drop)
    }

    /// Returns the approximate number of points.
    pub(super) fn points(&self) -> u64 {
        read(&self.engine).as_ref().map_or(0, |engine| engine.info().points_count as u64)
    }

    /// Makes all acknowledged updates durable.
    pub(super) fn flush(&self) -> Result<(), IndexError> {
        self.flush_locked(&mut lock(&self.writer))
    }

    fn flush_locked(&self, writer: &mut Writer) -> Result<(), IndexError> {
        let failed = |error| IndexError::engine("flush", error);
        if writer.optimizing {
            return writer.journal.sync().map_err(failed);
        }
        if writer.journal.len() == 0 {
            return Ok(());
        }
        self.engine()?.as_ref().map_or(Ok(()), flush_engine)?;
        writer.journal.reset().map_err(failed)
    }

    /// Merges segments, removes deleted points, and builds graphs where they pay. Returns whether there was anything to do. Searches go on
    /// meanwhile, and so do updates, except for moments. It may take minutes and cannot be interrupted, but the process may be killed. Must
    /// not run twice at once.
    pub(super) fn optimize(&self, log_limit: u64) -> Result<bool, IndexError> {
        const WHAT: &str = "optimize a collection";
        let record = Record {
            entry: Some(Entry::OptimizeStarted(true)),
        };
        let frame = journal::frame(&record).map_err(|error| IndexError::engine(WHAT, error))?;
        {
            let mut writer = lock(&self.writer);
            self.flush_locked(&mut writer)?;
            writer.journal.append(&frame).map_err(|error| IndexError::engine(WHAT, error))?;
            writer.journal.sync().map_err(|error| IndexError::engine(WHAT, error))?;
            writer.optimizing = true;
        }
        let outcome = self.with_engine(WHAT, EdgeShard::optimize);
        let mut writer = lock(&self.writer);
        if outcome.is_err() {
            // Whatever state the engine is in, the directory and the journal are intact.
            self.reopen_locked(&mut writer)?;
            return outcome;
        }
        writer.optimizing = false;
        self.flush_locked(&mut writer)?;
        if recovery::log_bytes(&self.directory) > log_limit {
            self.reopen_locked(&mut writer)?;
        }
        outcome
    }

    /// Closes and opens the engine, and replays the journal. Searches wait for it.
    fn reopen_locked(&self, writer: &mut Writer) -> Result<(), IndexError> {
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = engine.take()
            && let Err(error) = close_engine("close a collection", open)
        {
            // The engine flushes when it closes, and may fail: the journal has what that would have written.
            tracing::warn!(collection = %self.key, error = error.detail(), "closing an index collection");
        }
        let (reopened, journal) = open_engine(&self.directory)?;
        *engine = Some(reopened);
        *writer = Writer {
            journal,
            optimizing: false,
        };
        Ok(())
    }

    fn engine(&self) -> Result<RwLockReadGuard<'_, Option<EdgeShard>>, IndexError> {
        let engine = read(&self.engine);
        if engine.is_none() {
            return Err(IndexError::Corrupt {
                collection: self.key.clone(),
                cause: "the collection could not be reopened".into(),
            });
        }
        Ok(engine)
    }

    fn with_engine<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        what: &'static str,
        call: impl FnOnce(&EdgeShard) -> Result<T, E>,
    ) -> Result<T, IndexError> {
        let engine = self.engine()?;
        let Some(engine) = engine.as_ref() else {
            return Err(IndexError::Closed);
        };
        engine::guarded(what, || call(engine))
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        let dropped = self.dropped.load(Ordering::Acquire);
        if !dropped && let Err(error) = self.flush() {
            tracing::error!(collection = %self.key, error = error.detail(), "closing an index collection");
        }
        let engine = self.engine.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let closed = engine.map_or(Ok(()), |engine| close_engine("close a collection", engine));
        if let Err(error) = closed {
            tracing::error!(collection = %self.key, error = error.detail(), "closing an index collection");
        }
        if dropped {
            // If this fails, the marker is still there, and the next start tries again.
            if let Err(error) = recovery::discard(&self.directory) {
                tracing::error!(collection = %self.key, %error, "removing a dropped collection's index");
            }
            self.released.signal();
        }
    }
}

/// Returns the engine's operation that counts the points of each document.
pub(super) fn documents(engine: &EdgeShard, key: qdrant_edge::JsonPath) -> qdrant_edge::OperationResult<BTreeMap<String, u64>> {
    // There are no more values than points.
    let limit = engine.info().points_count.saturating_add(1);
    let response = engine.facet(FacetRequest {
        key,
        limit,
        filter: None,
        exact: true,
    })?;
    let named = response.hits.into_iter().filter_map(|hit| match hit.value {
        FacetValue::Keyword(document) => Some((document, hit.count as u64)),
        _ => None,
    });
    Ok(named.collect())
}

/// Opens the engine, and replays the acknowledged updates of the journal.
fn open_engine(directory: &Path) -> Result<(EdgeShard, Journal), IndexError> {
    const WHAT: &str = "open a collection";
    let failed = |error| IndexError::engine(WHAT, error);
    recovery::tidy(directory).map_err(failed)?;
    let engine = engine::guarded(WHAT, || EdgeShard::load(directory, None))?;
    // A segment that the engine has created has no indexes; for the others this does nothing.
    for operation in engine::payload_indexes()? {
        engine::guarded(WHAT, || engine.update(operation))?;
    }
    let (mut journal, entries) = Journal::open(&directory.join(JOURNAL)).map_err(failed)?;
    if !entries.is_empty() {
        tracing::info!(entries = entries.len(), "replaying an index journal");
        recovery::replay(&engine, entries)?;
        flush_engine(&engine)?;
        journal.reset().map_err(failed)?;
    }
    Ok((engine, journal))
}

fn flush_engine(engine: &EdgeShard) -> Result<(), IndexError> {
    engine::guarded("flush", || {
        engine.flush();
        Ok::<_, std::io::Error>(())
    })
}

/// Drops the engine, which flushes it.
fn close_engine(what: &'static str, engine: EdgeShard) -> Result<(), IndexError> {
    engine::guarded(what, || {
        drop(engine);
        Ok::<_, std::io::Error>(())
    })
}

/// Locks a mutex. No holder panics between two consistent states, so a poisoned mutex is safe to use.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}
