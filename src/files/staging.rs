//! Uploads in the making: appended to, hashed as they come, suspended, resumed, committed.

use super::directory::Root;
use super::{Committed, FileError, FileHold, Result, StageOptions, StagedFile, Staging, blocking};
use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Marks an upload as having a writer, until it is dropped.
struct Active {
    root: Arc<Root>,
    id: String,
}

impl Active {
    fn claim(root: &Arc<Root>, id: &str) -> Result<Self> {
        if root.active().insert(id.to_owned()) {
            return Ok(Self {
                root: root.clone(),
                id: id.to_owned(),
            });
        }
        Err(FileError::Busy(id.to_owned()))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.root.active().remove(&self.id);
    }
}

struct Inner {
    file: File,
    hasher: Sha256,
    /// Set while file, hash and length may disagree.
    broken: bool,
}

/// What the writer shares with the work that it has sent to other threads: an append whose caller
/// went away goes on, and the upload counts as busy until it is done.
struct Shared {
    inner: Mutex<Inner>,
    written: AtomicU64,
    path: PathBuf,
    active: Active,
}

impl Shared {
    /// The writer's state, sound or not at all. Taken only on threads that may block.
    fn inner(&self) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.broken { Err(FileError::Broken) } else { Ok(inner) }
    }

    fn append(&self, bytes: &[u8], limit: u64) -> Result<u64> {
        let mut inner = self.inner()?;
        let before = self.written.load(Ordering::Acquire);
        let after = before.saturating_add(bytes.len() as u64);
        if after > limit {
            return Err(FileError::TooLarge { limit });
        }
        inner.broken = true;
        if let Err(error) = inner.file.write_all(bytes) {
            // A part may be there: go back to what the hash covers, so that it can be tried again.
            let back = inner.file.set_len(before).and_then(|()| inner.file.seek(SeekFrom::Start(before)));
            inner.broken = back.is_err();
            return Err(FileError::io(&self.path)(error));
        }
        inner.hasher.update(bytes);
        inner.broken = false;
        self.written.store(after, Ordering::Release);
        Ok(after)
    }

    fn sync(&self) -> Result<u64> {
        let inner = self.inner()?;
        inner.file.sync_data().map_err(FileError::io(&self.path))?;
        Ok(self.written.load(Ordering::Acquire))
    }

    /// Makes all of it durable and tells the hash. Nothing can be appended after that.
    fn seal(&self) -> Result<(String, u64)> {
        let mut inner = self.inner()?;
        inner.file.sync_all().map_err(FileError::io(&self.path))?;
        inner.broken = true;
        let digest = std::mem::take(&mut inner.hasher).finalize();
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((hex, self.written.load(Ordering::Acquire)))
    }

    /// Moves the sealed bytes to their place.
    fn publish(&self, sha256: &str, size: u64) -> Result<()> {
        let target = self.active.root.original(sha256)?;
        let shard = target.parent().ok_or_else(|| FileError::InvalidId(sha256.to_owned()))?;
        if fs::metadata(&target).is_ok_and(|found| found.is_file() && found.len() == size) {
            fs::remove_file(&self.path).map_err(FileError::io(&self.path))?;
        } else {
            // Absent, or cut short by something outside: the rename puts whole bytes in place.
            blocking::create_directory(shard)?;
            fs::rename(&self.path, &target).map_err(FileError::io(&target))?;
        }
        // Also where it was there already: whoever put it there may not have got this far. The
        // shard's own name may be new.
        blocking::sync_directory(shard)?;
        blocking::sync_directory(&self.active.root.files())
    }
}

/// The writer of an upload in a directory.
pub(super) struct DirectoryStaging {
    shared: Arc<Shared>,
    limit: u64,
    keep: bool,
    /// Whether the staged file is no longer this writer's to remove.
    settled: bool,
}

/// Opens an upload for writing; blocks, long where much has to be hashed again.
pub(super) fn open(root: &Arc<Root>, id: &str, options: StageOptions) -> Result<DirectoryStaging> {
    blocking::check_id(id)?;
    let active = Active::claim(root, id)?;
    let path = root.incoming().join(id);
    let error = || FileError::io(&path);
    let mut file = blocking::private()
        .read(true)
        .write(true)
        .create(true)
        .truncate(options.resume.is_none())
        .open(&path)
        .map_err(error())?;
    let length = file.metadata().map_err(error())?.len();
    let kept = length.min(options.resume.unwrap_or(0));
    if kept > options.limit {
        return Err(FileError::TooLarge { limit: options.limit });
    }
    file.set_len(kept).map_err(error())?;
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
    blocking::sync_directory(&root.incoming())?;
    let shared = Shared {
        inner: Mutex::new(Inner {
            file,
            hasher,
            broken: false,
        }),
        written: AtomicU64::new(kept),
        path,
        active,
    };
    Ok(DirectoryStaging {
        shared: Arc::new(shared),
        limit: options.limit,
        keep: options.keep,
        settled: false,
    })
}

/// What is staged; blocks.
pub(super) fn list(root: &Root) -> Result<Vec<StagedFile>> {
    let directory = root.incoming();
    let mut found = Vec::new();
    for upload_id in blocking::names(&directory)? {
        match fs::metadata(directory.join(&upload_id)) {
            Ok(data) if data.is_file() => found.push(StagedFile {
                upload_id,
                size: data.len(),
            }),
            Ok(_) => {}
            // Committed or dropped meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::io(&directory)(error)),
        }
    }
    found.sort_by(|a, b| a.upload_id.cmp(&b.upload_id));
    Ok(found)
}

/// Drops an upload that has no writer; blocks.
pub(super) fn discard(root: &Arc<Root>, id: &str) -> Result<bool> {
    blocking::check_id(id)?;
    let _active = Active::claim(root, id)?;
    blocking::remove(&root.incoming().join(id))
}

#[async_trait]
impl Staging for DirectoryStaging {
    fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Acquire)
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        let (shared, limit) = (self.shared.clone(), self.limit);
        blocking::run(move || shared.append(&bytes, limit)).await
    }

    async fn sync(&self) -> Result<u64> {
        let shared = self.shared.clone();
        blocking::run(move || shared.sync()).await
    }

    async fn commit(mut self: Box<Self>) -> Result<Committed> {
        let shared = self.shared.clone();
        let (sha256, size) = blocking::run(move || shared.seal()).await?;
        let hold: FileHold = self.shared.active.root.hold(&sha256).await?;
        let shared = self.shared.clone();
        let committed = Committed { sha256, size, hold };
        // The hold goes along, so that it lasts to the end of the move also if the caller goes away.
        let committed = blocking::run(move || {
            shared.publish(&committed.sha256, committed.size)?;
            Ok(committed)
        })
        .await?;
        self.settled = true;
        Ok(committed)
    }

    async fn discard(mut self: Box<Self>) -> Result<()> {
        let shared = self.shared.clone();
        blocking::run(move || blocking::remove(&shared.path)).await?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for DirectoryStaging {
    fn drop(&mut self) {
        if self.settled || self.keep {
            return;
        }
        // The upload stays busy until this is done. What cannot be removed now is swept at the next start.
        let shared = self.shared.clone();
        let work = move || {
            let sealed = shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = blocking::remove(&shared.path) {
                tracing::warn!(error = ?error, "a staged upload could not be removed");
            }
            drop(sealed);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}
