//! Copies of objects on this machine's disk: as many bytes as are allowed, the least recently used out first.
//!
//! A copy lives until nobody uses it any more, so that eviction never takes a file from under its reader. What a file was opened
//! from may go at once. Nothing here is durable, and a start begins with an empty cache.

use crate::exclusion::NamedLocks;
use crate::{Result, blocking};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A copy: a file, or a directory. Dropping the last use of it removes it.
pub(super) struct LocalCopy {
    path: PathBuf,
    bytes: u64,
    /// Which version of the object it is; `None` for objects that never change.
    tag: Option<String>,
}

impl LocalCopy {
    /// A copy at a path that nothing else uses.
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
    /// Its place in the order of use.
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
    /// Bytes of all copies that are kept for later.
    limit: u64,
    state: Mutex<State>,
    /// Objects that are being fetched.
    fetching: NamedLocks,
    next: AtomicU64,
}

impl Cache {
    /// An empty cache in a directory, whose content goes. Blocks.
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

    /// Held for a look or a change only, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path for a new copy.
    pub(super) fn fresh(&self) -> PathBuf {
        self.directory.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A copy, which has been used now.
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

    /// Keeps a copy in place of an older one, as long as there is room for it.
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
        // Not under the lock: dropping one may touch the disk.
        drop(state);
        drop(gone);
    }

    /// Forgets a copy.
    pub(super) fn remove(&self, name: &str) {
        let copy = self.state().remove(name);
        drop(copy);
    }

    /// Waits to be the only one who fetches this object, until the guard is dropped.
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
        // One that can never fit takes no other's room.
        cache.insert("d", &copy(&cache, 101));
        assert!(cache.get("d").is_none() && cache.get("a").is_some());
        cache.insert("a", &copy(&cache, 10));
        assert_eq!((files(), cache.state().bytes), (2, 50));
        cache.remove("a");
        cache.remove("a");
        assert_eq!((files(), cache.state().bytes), (1, 40));
    }
}
