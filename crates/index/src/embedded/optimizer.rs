//! When to optimize: on one thread, when a collection has come to rest or grown by much.

use super::super::error::IndexError;
use super::super::types::CollectionKey;
use super::recovery;
use super::shard::lock;
use super::store::{Store, Writes};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{oneshot, watch};

/// What a collection has to show for itself since it was last optimized.
#[derive(Debug)]
struct Changes {
    points: u64,
    last: Instant,
}

#[derive(Debug, Default)]
struct Queue {
    changes: HashMap<CollectionKey, Changes>,
    /// Asked for explicitly, with who waits for it.
    wanted: Vec<(CollectionKey, oneshot::Sender<Result<bool, IndexError>>)>,
    stop: bool,
}

/// What the thread and the index share.
#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// A handle to the thread, which ends soon after `stop` or the handle's end: at once if it is idle, else when the
/// collection at hand is done.
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
                // What is open may close with this handle, and the lock on the directory with it: before the signal.
                drop(store);
                end.send_replace(true);
            })
            .map_err(|error| IndexError::engine("start its optimizer", error))?;
        Ok(Self { shared, done, ended })
    }

    /// Notes that points of a collection were stored or deleted.
    pub(super) fn note(&self, key: &CollectionKey, points: u64) {
        if points > 0 {
            note(&self.shared, key, points);
        }
    }

    /// Counts the optimizations that changed something.
    pub(super) fn done(&self) -> watch::Receiver<u64> {
        self.done.clone()
    }

    /// Forgets a collection.
    pub(super) fn forget(&self, key: &CollectionKey) {
        lock(&self.shared.queue).changes.remove(key);
    }

    /// Optimizes a collection as soon as the thread is free; whether there was anything to do.
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

    /// Tells the thread to end.
    pub(super) fn stop(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.stop = true;
        queue.wanted.clear();
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        // An error says that the sender is gone: ended as well.
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
            // It has time.
            (Err(IndexError::Disk { trouble, .. }), None) => {
                tracing::debug!(collection = %key, %trouble, "an optimization is put off");
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
            // Whoever asked may have gone.
            let _ = reply.send(outcome);
        }
    }
}

fn optimize(store: &Store, key: &CollectionKey) -> Result<bool, IndexError> {
    const WHAT: &str = "optimize a collection";
    let (shard, _) = store.shard(key)?;
    // The engine makes new segments beside the old ones, and asks for twice their size.
    let occupied = recovery::storage_bytes(&store.directory(key)).map_err(|error| IndexError::engine(WHAT, error))?;
    store.admit(Writes::Bytes(occupied.saturating_mul(2)), WHAT)?;
    shard
        .optimize(store.options().log_limit_bytes)
        .map_err(|error| store.explain(error))
}

type Job = (CollectionKey, Option<oneshot::Sender<Result<bool, IndexError>>>);

/// Waits for the next collection to optimize; `None` when told to stop.
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
