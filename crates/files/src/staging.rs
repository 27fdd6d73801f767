//! Uploads in progress in a directory: suspended, resumed, committed.

use super::directory::Root;
use super::spool::{Claim, Spool};
use super::{Committed, FileError, FileHold, Result, StageOptions, StagedFile, Staging, blocking};
use async_trait::async_trait;
use bytes::Bytes;
use std::fs;
use std::io;
use std::sync::Arc;

/// The state that the writer shares with the work that it sent to other threads. An append whose caller went away goes on, and the upload
/// counts as busy until it is done.
struct Shared {
    spool: Spool,
    root: Arc<Root>,
    _claim: Claim,
}

impl Shared {
    /// Moves the sealed bytes to their final path.
    fn publish(&self, sha256: &str, size: u64) -> Result<()> {
        let (root, path) = (&self.root, self.spool.path());
        let target = root.original(sha256)?;
        let shard = target.parent().ok_or_else(|| FileError::InvalidId(sha256.to_owned()))?;
        if fs::metadata(&target).is_ok_and(|found| found.is_file() && found.len() == size) {
            fs::remove_file(path).map_err(FileError::io(path))?;
        } else {
            // Absent, or truncated by another program: the rename puts the whole file there.
            blocking::create_directory(shard)?;
            fs::rename(path, &target).map_err(FileError::io(&target))?;
        }
        // Sync also if it was there already: the process that put it there may not have got this far. The shard's own name may be new.
        blocking::sync_directory(shard)?;
        blocking::sync_directory(&root.files())
    }
}

/// The writer of an upload in a directory.
pub(super) struct DirectoryStaging {
    shared: Arc<Shared>,
    limit: u64,
    keep: bool,
    /// Whether this writer must no longer remove the staged file.
    settled: bool,
}

/// Opens an upload for writing. Blocks, long where much must be hashed again.
pub(super) fn open(root: &Arc<Root>, id: &str, options: StageOptions) -> Result<DirectoryStaging> {
    blocking::check_id(id)?;
    let claim = root.writers().claim(id)?;
    let path = root.incoming().join(id);
    let file = blocking::private()
        .read(true)
        .write(true)
        .create(true)
        .truncate(options.resume.is_none())
        .open(&path)
        .map_err(FileError::io(&path))?;
    let length = file.metadata().map_err(FileError::io(&path))?.len();
    let kept = length.min(options.resume.unwrap_or(0));
    if kept > options.limit {
        return Err(FileError::TooLarge { limit: options.limit });
    }
    let spool = Spool::over(path, file, kept)?;
    blocking::sync_directory(&root.incoming())?;
    let shared = Shared {
        spool,
        root: root.clone(),
        _claim: claim,
    };
    Ok(DirectoryStaging {
        shared: Arc::new(shared),
        limit: options.limit,
        keep: options.keep,
        settled: false,
    })
}

/// Returns the staged uploads. Blocks.
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

/// Drops an upload that has no writer. Blocks.
pub(super) fn discard(root: &Arc<Root>, id: &str) -> Result<bool> {
    blocking::check_id(id)?;
    let _claim = root.writers().claim(id)?;
    blocking::remove(&root.incoming().join(id))
}

#[async_trait]
impl Staging for DirectoryStaging {
    fn written(&self) -> u64 {
        self.shared.spool.written()
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        let (shared, limit) = (self.shared.clone(), self.limit);
        blocking::run(move || shared.spool.append(&bytes, limit)).await
    }

    async fn sync(&self) -> Result<u64> {
        let shared = self.shared.clone();
        blocking::run(move || shared.spool.sync()).await
    }

    async fn commit(mut self: Box<Self>) -> Result<Committed> {
        let shared = self.shared.clone();
        let (sha256, size) = blocking::run(move || shared.spool.seal(true)).await?;
        let hold: FileHold = self.shared.root.hold(&sha256).await?;
        let shared = self.shared.clone();
        let committed = Committed { sha256, size, hold };
        // The hold moves into the closure, so that it lasts to the end of the move even if the caller goes away.
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
        blocking::run(move || shared.spool.remove()).await?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for DirectoryStaging {
    fn drop(&mut self) {
        if self.settled || self.keep {
            return;
        }
        // The upload stays busy until this is done. The next start removes what cannot be removed now.
        let shared = self.shared.clone();
        let work = move || {
            if let Err(error) = shared.spool.remove() {
                tracing::warn!(error = ?error, "a staged upload could not be removed");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}
