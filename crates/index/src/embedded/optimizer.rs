//! Decides when to optimize a collection, on one thread: when it has stopped changing, or has changed by much.

use super::super::error::IndexError;
use super::super::types::CollectionKey;
use super::recovery;
use super::shard::lock;
use super::store::{Store, Writes};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{oneshot, watch};

/// The changes of a collection since it was last optimized.
#[derive(Debug)]
struct Changes {
    points: u64,
    last: Instant,
}

#[derive(Debug, Default)]
struct Queue {
    changes: HashMap<CollectionKey, Changes>,
    /// Collections that a caller wants optimized, with the channels for the result.
    wanted: Vec<(CollectionKey, oneshot::Sender<Result<bool, IndexError>>)>,
    stop: bool,
}

/// The state that the thread and the index share.
#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// A handle to the thread. The thread ends soon after `stop` or after the handle is dropped: at once if it is idle, otherwise when the
/// current collection is done.
#[derive(Debug)]
pub(super) struct Optimizer {
    shared: Arc<Shared>,
    done: watch::Receiver<u64>,
    ended: watch::Receiver<bool>,
}

impl Optimizer {
    pub(super) fn start(store: Arc<Store>) -> Result<Self, IndexError> {
        let shared = Arc::new(Shared::default());
        let (end, ended) = watch::channel(false);
        let (did, done) = watch::channel(0);
        let thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("ibid-index-optimizer".to_owned())
            .spawn(move || {
                run(&thread, &store, &did);
                // Before the signal, since dropping this handle may close the open collections, and release the lock on the directory.
                drop(store);
                end.send_replace(true);
            })
            .map_err(|error| IndexError::engine("start its optimizer", error))?;
        Ok(Self { shared, done, ended })
    }

    /// Records that points of a collection were stored or deleted.
    pub(super) fn note(&self, key: &CollectionKey, points: u64) {
        if points > 0 {
            note(&self.shared, key, points);
        }
    }

    /// Returns the number of optimizations that changed something, as a channel.
    pub(super) fn done(&self) -> watch::Receiver<u64> {
        self.done.clone()
    }

    /// Drops the changes of a collection.
    pub(super) fn forget(&self, key: &CollectionKey) {
        lock(&self.shared.queue).changes.remove(key);
    }

    /// Optimizes a collection as soon as the thread is free. Returns whether there was anything to do.
    pub(super) async fn now(&self, key: &CollectionKey) -> Result<bool, IndexError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = lock(&self.shared.queue);
            if queue.stop {
                return Err(IndexError::Closed);
            }
            queue.wanted.push((key.clone(), reply));
        }
        self.shared.changed.notify_one();
        answer.await.unwrap_or(Err(IndexError::Closed))
    }

    /// Makes the thread end.
    pub(super) fn stop(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.stop = true;
        queue.wanted.clear();
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Waits until the thread has ended.
    pub(super) async fn ended(&self) {
        // An error means that the sender is gone, so the thread has ended as well.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

impl Drop for Optimizer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn note(shared: &Shared, key: &CollectionKey, points: u64) {
    let mut queue = lock(&shared.queue);
    let now = Instant::now();
    let changes = queue.changes.entry(key.clone()).or_insert(Changes { points: 0, last: now });
    changes.points = changes.points.saturating_add(points);
    changes.last = now;
    drop(queue);
    shared.changed.notify_one();
}

fn run(shared: &Shared, store: &Store, did: &watch::Sender<u64>) {
    while let Some((key, reply)) = next(shared, store) {
        let outcome = optimize(store, &key);
        match (&outcome, &reply) {
            // It can wait.
            (Err(IndexError::Disk { disk, .. }), None) => {
                tracing::debug!(collection = %key, %disk, "an optimization is postponed");
                note(shared, &key, 1);
            }
            (Err(error), None) if !matches!(error, IndexError::CollectionNotFound { .. }) => {
                tracing::error!(collection = %key, error = error.detail(), "optimizing the index failed");
            }
            (Ok(true), _) => {
                tracing::debug!(collection = %key, "the index was optimized");
                did.send_modify(|count| *count += 1);
            }
            _ => {}
        }
        if let Some(reply) = reply {
            // The caller may have gone.
            let _ = reply.send(outcome);
        }
    }
}

fn optimize(store: &Store, key: &CollectionKey) -> Result<bool, IndexError> {
    const WHAT: &str = "optimize a collection";
    let (shard, _) = store.shard(key)?;
    // The engine writes new segments beside the old ones, and needs twice their size.
    let occupied = recovery::storage_bytes(&store.directory(key)).map_err(|error| IndexError::engine(WHAT, error))?;
    store.admit(Writes::Bytes(occupied.saturating_mul(2)), WHAT)?;
    shard
        .optimize(store.options().log_limit_bytes)
        .map_err(|error| store.explain(error))
}

type Job = (CollectionKey, Option<oneshot::Sender<Result<bool, IndexError>>>);

/// Waits for the next collection to optimize; `None` after `stop`.
fn next(shared: &Shared, store: &Store) -> Option<Job> {
    let options = store.options();
    let mut queue = lock(&shared.queue);
    loop {
        if queue.stop {
            return None;
        }
        if let Some((key, reply)) = queue.wanted.pop() {
            queue.changes.remove(&key);
            return Some((key, Some(reply)));
        }
        let now = Instant::now();
        let wait = |changes: &Changes| {
            let grown = changes.points >= options.optimize_after_points;
            if grown { now } else { changes.last + options.optimize_after_quiet }
        };
        let due = queue.changes.iter().map(|(key, changes)| (wait(changes), key.clone())).min();
        queue = match due {
            Some((at, key)) if at <= now => {
                queue.changes.remove(&key);
                return Some((key, None));
            }
            Some((at, _)) => {
                let waited = shared.changed.wait_timeout(queue, at.saturating_duration_since(now));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
        };
    }
}
