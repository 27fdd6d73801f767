//! The bytes of an upload in progress, in a local file that is hashed as it grows. Everything here blocks.

use super::{FileError, Result, blocking};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Uploads that have a writer in this process.
#[derive(Default)]
pub(super) struct Writers(Mutex<HashSet<String>>);

impl Writers {
    /// Locks the set. Never held across an await.
    fn ids(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the writer of an upload, until the claim is dropped. `Busy` while there is another.
    pub(super) fn claim(self: &Arc<Self>, id: &str) -> Result<Claim> {
        if self.ids().insert(id.to_owned()) {
            return Ok(Claim {
                writers: self.clone(),
                id: id.to_owned(),
            });
        }
        Err(FileError::Busy(id.to_owned()))
    }
}

/// Marks an upload as having a writer, until it is dropped.
pub(super) struct Claim {
    writers: Arc<Writers>,
    id: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.writers.ids().remove(&self.id);
    }
}

struct Inner {
    file: File,
    hasher: Sha256,
    /// Set while file, hash and length may disagree.
    broken: bool,
}

/// The file and its hash.
pub(super) struct Spool {
    inner: Mutex<Inner>,
    written: AtomicU64,
    path: PathBuf,
}

impl Spool {
    /// Keeps the first `kept` bytes of a file, which are hashed again, and drops the rest.
    pub(super) fn over(path: PathBuf, mut file: File, kept: u64) -> Result<Self> {
        let error = || FileError::io(&path);
        file.set_len(kept).map_err(error())?;
        file.seek(SeekFrom::Start(0)).map_err(error())?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => hasher.update(buffer.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(error()(e)),
            }
        }
        file.seek(SeekFrom::Start(kept)).map_err(error())?;
        Ok(Self {
            inner: Mutex::new(Inner {
                file,
                hasher,
                broken: false,
            }),
            written: AtomicU64::new(kept),
            path,
        })
    }

    /// Returns the writer's state, or an error if it is broken. Call it only on threads that may block.
    fn inner(&self) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.broken { Err(FileError::Broken) } else { Ok(inner) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of bytes taken.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn append(&self, bytes: &[u8], limit: u64) -> Result<u64> {
        let mut inner = self.inner()?;
        let before = self.written();
        let after = before.saturating_add(bytes.len() as u64);
        if after > limit {
            return Err(FileError::TooLarge { limit });
        }
        inner.broken = true;
        if let Err(error) = inner.file.write_all(bytes) {
            // A part of the bytes may be written: truncate the file to what the hash covers, so that the write can be retried.
            let back = inner.file.set_len(before).and_then(|()| inner.file.seek(SeekFrom::Start(before)));
            inner.broken = back.is_err();
            return Err(FileError::io(&self.path)(error));
        }
        inner.hasher.update(bytes);
        inner.broken = false;
        self.written.store(after, Ordering::Release);
        Ok(after)
    }

    /// Makes the file durable, and returns its size.
    pub(super) fn sync(&self) -> Result<u64> {
        let inner = self.inner()?;
        inner.file.sync_data().map_err(FileError::io(&self.path))?;
        Ok(self.written())
    }

    /// Returns a range of the bytes.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let inner = self.inner()?;
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        let read = blocking::read_at(&inner.file, &mut bytes, range.start).map_err(FileError::io(&self.path))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Returns the hash and the size. Nothing can be appended after that.
    pub(super) fn seal(&self, durable: bool) -> Result<(String, u64)> {
        let mut inner = self.inner()?;
        if durable {
            inner.file.sync_all().map_err(FileError::io(&self.path))?;
        }
        inner.broken = true;
        let digest = std::mem::take(&mut inner.hasher).finalize();
        Ok((blocking::hex(&digest), self.written()))
    }

    /// Removes the file when no task writes to it any more.
    pub(super) fn remove(&self) -> Result<bool> {
        let _inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        blocking::remove(&self.path)
    }
}
