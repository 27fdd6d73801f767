//! Copies of objects on this machine's disk, up to a limit in bytes; the least recently used is evicted first.
//!
//! A copy is removed when its last user drops it, so that eviction never takes a file from a reader. Files that were opened from it stay
//! readable after that. Nothing here is durable, and a start begins with an empty cache.

use crate::exclusion::NamedLocks;
use crate::{Result, blocking};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A copy: a file, or a directory. Dropping its last handle removes it.
pub(super) struct LocalCopy {
    path: PathBuf,
    bytes: u64,
    /// The version of the object; `None` for objects that never change.
    tag: Option<String>,
}

impl LocalCopy {
    /// Makes the handle of a copy at a path that nothing else uses.
    pub(super) fn new(path: PathBuf, bytes: u64, tag: Option<String>) -> Arc<Self> {
        Arc::new(Self { path, bytes, tag })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }
}

impl Drop for LocalCopy {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        let work = move || {
            if let Err(error) = blocking::remove(&path) {
                tracing::warn!(error = ?error, "a cached copy could not be removed");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}

struct Entry {
    copy: Arc<LocalCopy>,
    /// Its position in the order of use.
    used: u64,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    /// Names in the order of their last use.
    order: BTreeMap<u64, String>,
    bytes: u64,
    clock: u64,
}

impl State {
    fn remove(&mut self, name: &str) -> Option<Arc<LocalCopy>> {
        let entry = self.entries.remove(name)?;
        self.order.remove(&entry.used);
        self.bytes -= entry.copy.bytes;
        Some(entry.copy)
    }
}

/// The cache.
pub(super) struct Cache {
    directory: PathBuf,
    /// The most bytes of all copies that are kept.
    limit: u64,
    state: Mutex<State>,
    /// Locks of the objects that are being fetched.
    fetching: NamedLocks,
    next: AtomicU64,
}

impl Cache {
    /// Makes an empty cache in a directory, whose content is removed. Blocks.
    pub(super) fn open(directory: &Path, limit: u64) -> Result<Self> {
        blocking::remove(directory)?;
        blocking::create_directory(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            limit,
            state: Mutex::default(),
            fetching: NamedLocks::default(),
            next: AtomicU64::new(0),
        })
    }

    /// Locks the state. Never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a path for a new copy.
    pub(super) fn fresh(&self) -> PathBuf {
        self.directory.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Returns a copy, and marks it as used.
    pub(super) fn get(&self, name: &str) -> Option<Arc<LocalCopy>> {
        let mut state = self.state();
        state.clock += 1;
        let now = state.clock;
        let entry = state.entries.get_mut(name)?;
        let before = std::mem::replace(&mut entry.used, now);
        let copy = entry.copy.clone();
        if let Some(name) = state.order.remove(&before) {
            state.order.insert(now, name);
        }
        Some(copy)
    }

    /// Keeps a copy in place of an older one, if it fits.
    pub(super) fn insert(&self, name: &str, copy: &Arc<LocalCopy>) {
        let mut gone = Vec::new();
        let mut state = self.state();
        gone.extend(state.remove(name));
        if copy.bytes <= self.limit {
            state.clock += 1;
            let used = state.clock;
            let copy = copy.clone();
            state.bytes += copy.bytes;
            state.order.insert(used, name.to_owned());
            state.entries.insert(name.to_owned(), Entry { copy, used });
            while state.bytes > self.limit {
                let Some(oldest) = state.order.values().next().cloned() else {
                    break;
                };
                gone.extend(state.remove(&oldest));
            }
        }
        // Not under the lock: dropping a copy may touch the disk.
        drop(state);
        drop(gone);
    }

    /// Drops a copy from the cache.
    pub(super) fn remove(&self, name: &str) {
        let copy = self.state().remove(name);
        drop(copy);
    }

    /// Waits for the lock to fetch this object, held until the guard is dropped.
    pub(super) async fn alone(&self, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
        self.fetching.lock(name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(cache: &Cache, bytes: u64) -> Arc<LocalCopy> {
        let path = cache.fresh();
        std::fs::write(&path, "x").unwrap();
        LocalCopy::new(path, bytes, None)
    }

    #[test]
    fn the_least_recently_used_goes_first_and_stays_while_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("0"), "of an earlier process").unwrap();
        let cache = Cache::open(&path, 100).unwrap();
        let files = || std::fs::read_dir(&path).unwrap().count();
        assert_eq!(files(), 0);
        for name in ["a", "b"] {
            cache.insert(name, &copy(&cache, 40));
        }
        assert!(cache.get("a").is_some());
        let read = cache.get("b").unwrap();
        assert!(cache.get("a").is_some());
        cache.insert("c", &copy(&cache, 40));
        assert!(cache.get("b").is_none() && cache.get("a").is_some() && cache.get("c").is_some());
        assert!(read.path().exists());
        drop(read);
        assert_eq!(files(), 2);
        // A copy that can never fit evicts no other.
        cache.insert("d", &copy(&cache, 101));
        assert!(cache.get("d").is_none() && cache.get("a").is_some());
        cache.insert("a", &copy(&cache, 10));
        assert_eq!((files(), cache.state().bytes), (2, 50));
        cache.remove("a");
        cache.remove("a");
        assert_eq!((files(), cache.state().bytes), (1, 40));
    }
}
