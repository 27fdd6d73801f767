//! The collections of one directory: which exist, and which are open. All calls block.

use super::super::error::IndexError;
use super::super::types::{CollectionKey, Schema};
use super::EmbeddedOptions;
use super::recovery;
use super::shard::{Release, Shard, lock};
use ibid_system::disk::DiskGuard;
use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The file that is locked while the directory is in use.
const LOCK: &str = "lock";

/// How long to wait for the last user of a dropped collection when it is created again.
const RELEASE_WAIT: Duration = Duration::from_secs(30);

/// How much a call writes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Writes {
    /// Nothing that makes files grow.
    Nothing,
    /// A few pages, to free space or to open a collection.
    Little,
    /// This many bytes, and a few pages.
    Bytes(u64),
}

/// The state of a collection. Its lock is held while the collection is opened, created or dropped: one of these at a time.
#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open(Arc<Shard>),
    /// Dropped, but still in use.
    Leaving(Arc<Release>),
    /// The whole store is closed.
    Shut,
}

/// A directory of collections.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    options: EmbeddedOptions,
    space: DiskGuard,
    /// One entry for every collection that was ever used; a dropped one keeps its entry, so that there are never two. `None` when closed.
    slots: Mutex<Option<HashMap<CollectionKey, Arc<Mutex<State>>>>>,
    _lock: File,
}

impl Store {
    /// Locks a directory, which is created if necessary.
    pub(super) fn open(root: &Path, options: EmbeddedOptions) -> Result<Self, IndexError> {
        const WHAT: &str = "open its data directory";
        let failed = |error| IndexError::engine(WHAT, error);
        fs::create_dir_all(root).map_err(failed)?;
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(root.join(LOCK))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(IndexError::Locked),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        recovery::sweep(root).map_err(failed)?;
        Ok(Self {
            root: root.to_owned(),
            space: DiskGuard::new(root, options.reserve_bytes),
            options,
            slots: Mutex::new(Some(HashMap::new())),
            _lock: file,
        })
    }

    pub(super) fn options(&self) -> &EmbeddedOptions {
        &self.options
    }

    pub(super) fn directory(&self, key: &CollectionKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// Checks that the disk has room for what a call writes.
    pub(super) fn admit(&self, writes: Writes, what: &'static str) -> Result<(), IndexError> {
        let room = match writes {
            Writes::Nothing => Ok(()),
            Writes::Little => self.space.check_least(),
            Writes::Bytes(more) => self.space.check(more),
        };
        room.map_err(|disk| IndexError::disk(disk, what))
    }

    /// Converts an error whose cause is the disk into one that says so, since the engine's own message seldom does. An index that cannot be
    /// opened because the disk is full is intact, and must not be reported as corrupt.
    pub(super) fn explain(&self, error: IndexError) -> IndexError {
        match error {
            IndexError::Engine { .. } | IndexError::Corrupt { .. } => match self.space.try_write(0) {
                Ok(()) => error,
                Err(disk) => IndexError::Disk {
                    disk,
                    cause: error.detail().into(),
                },
            },
            other => other,
        }
    }

    fn slot(&self, key: &CollectionKey) -> Result<Arc<Mutex<State>>, IndexError> {
        let mut slots = lock(&self.slots);
        let slots = slots.as_mut().ok_or(IndexError::Closed)?;
        Ok(Arc::clone(slots.entry(key.clone()).or_default()))
    }

    /// Returns the collection, opening it if necessary; and whether it was opened just now.
    pub(super) fn shard(&self, key: &CollectionKey) -> Result<(Arc<Shard>, bool), IndexError> {
        let slot = self.slot(key)?;
        let mut state = lock(&slot);
        match &*state {
            // A collection that could not be reopened is opened again: its directory and journal are intact.
            State::Open(shard) if shard.is_lost() => *state = State::Closed,
            State::Open(shard) => return Ok((Arc::clone(shard), false)),
            State::Shut => return Err(IndexError::Closed),
            State::Closed | State::Leaving(_) => {}
        }
        let directory = self.directory(key);
        if !directory.is_dir() || recovery::is_dropped(&directory) {
            return Err(IndexError::CollectionNotFound { collection: key.clone() });
        }
        self.admit(Writes::Little, "open a collection")?;
        let shard = Arc::new(Shard::open(key, &directory)?);
        *state = State::Open(Arc::clone(&shard));
        Ok((shard, true))
    }

    /// Creates a collection, or checks that it has this schema.
    pub(super) fn create(&self, key: &CollectionKey, schema: &Schema) -> Result<(), IndexError> {
        schema.check()?;
        let slot = self.slot(key)?;
        {
            let mut state = lock(&slot);
            match &*state {
                State::Shut => return Err(IndexError::Closed),
                State::Leaving(release) if !release.wait(RELEASE_WAIT) => {
                    return Err(IndexError::Busy { collection: key.clone() });
                }
                _ => {}
            }
            let directory = self.directory(key);
            if recovery::is_dropped(&directory) {
                recovery::discard(&directory).map_err(|error| IndexError::engine("create a collection", error))?;
            }
            if !directory.is_dir() {
                self.admit(Writes::Bytes(0), "create a collection")?;
                *state = State::Closed;
                return Shard::create(&directory, schema, &self.options);
            }
        }
        let stored = self.shard(key)?.0.dimension();
        if stored == schema.dimension {
            return Ok(());
        }
        Err(IndexError::SchemaMismatch {
            collection: key.clone(),
            stored,
            given: schema.dimension,
        })
    }

    /// Drops a collection. The directory is removed with the last user's handle, or here if there is none.
    pub(super) fn drop_collection(&self, key: &CollectionKey) -> Result<(), IndexError> {
        const WHAT: &str = "drop a collection";
        let slot = self.slot(key)?;
        let mut state = lock(&slot);
        match &*state {
            State::Leaving(_) => {}
            State::Shut => return Err(IndexError::Closed),
            State::Open(shard) => {
                let release = shard.mark_dropped()?;
                // This drops a handle of the shard, which may be the last one.
                *state = State::Leaving(release);
            }
            State::Closed => {
                let directory = self.directory(key);
                if directory.is_dir() {
                    recovery::discard(&directory).map_err(|error| IndexError::engine(WHAT, error))?;
                }
            }
        }
        Ok(())
    }

    /// Returns the collections that exist.
    pub(super) fn collections(&self) -> Result<Vec<CollectionKey>, IndexError> {
        let failed = |error| IndexError::engine("list collections", error);
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let key = entry.file_name().to_str().and_then(|name| CollectionKey::new(name).ok());
            keys.extend(key.filter(|_| path.is_dir() && !recovery::is_dropped(&path)));
        }
        keys.sort();
        Ok(keys)
    }

    /// Returns the collections that are open.
    pub(super) fn open_shards(&self) -> Vec<Arc<Shard>> {
        let slots: Vec<_> = lock(&self.slots).iter().flat_map(HashMap::values).cloned().collect();
        let open = |slot: Arc<Mutex<State>>| match &*lock(&slot) {
            State::Open(shard) => Some(Arc::clone(shard)),
            _ => None,
        };
        slots.into_iter().filter_map(open).collect()
    }

    /// Closes all collections; callers that use one finish first.
    pub(super) fn close(&self) -> Result<(), IndexError> {
        let slots: Vec<_> = lock(&self.slots).take().into_iter().flat_map(HashMap::into_values).collect();
        let mut result = Ok(());
        for slot in slots {
            if let State::Open(shard) = std::mem::replace(&mut *lock(&slot), State::Shut) {
                // Dropping it would flush as well, but could not return an error.
                result = result.and(shard.flush());
            }
        }
        result
    }

    /// Checks that the directory can still be read.
    pub(super) fn ping(&self) -> Result<(), IndexError> {
        fs::metadata(self.root.join(LOCK)).map_err(|error| IndexError::engine("answer", error))?;
        self.open_shards().first().map_or(Ok(()), |shard| shard.ping())
    }
}
