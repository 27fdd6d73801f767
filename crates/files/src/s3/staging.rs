//! Uploads in progress: appended to a local file, made durable as part objects, and resumed from them on any server.

use super::Shared;
use super::cache::LocalCopy;
use super::parts::{self, Part, Segment};
use crate::spool::{Claim, Spool};
use crate::{Committed, FileError, FileHold, Result, StageOptions, Staging, blocking};
use async_trait::async_trait;
use bytes::Bytes;
use object_store::ObjectMeta;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// The longest part: it is held in memory when it is written, and resuming reads this much at a time.
const PART: u64 = 16 << 20;

/// The state that the writer shares with the tasks that it spawned. They go on if the caller goes away, and until they end the upload
/// counts as busy.
struct Upload {
    store: Arc<Shared>,
    id: String,
    writer: String,
    /// The durable parts, in order, without gaps. The lock is asynchronous because it is held while parts are written, one at a time.
    parts: tokio::sync::Mutex<Vec<Part>>,
    spool: Spool,
    /// Removes the spool's file when dropped.
    _file: Arc<LocalCopy>,
    _claim: Claim,
}

impl Upload {
    /// Makes the bytes durable that were taken.
    async fn sync(self: Arc<Self>) -> Result<u64> {
        let mut parts = self.parts.lock().await;
        let written = self.spool.written();
        if parts.last().map_or(0, |part| part.end) == written {
            return Ok(written);
        }
        let (kept, mut start) = parts::merged(&parts, written, PART);
        let mut made = Vec::new();
        while start < written {
            let end = written.min(start.saturating_add(PART));
            made.push(self.put(start, end).await?);
            start = end;
        }
        let replaced = parts.split_off(kept);
        let stale = replaced.into_iter().map(|part| part.path);
        let stale: Vec<_> = stale.filter(|path| made.iter().all(|part| part.path != *path)).collect();
        parts.append(&mut made);
        // If stale parts stay behind, readers ignore them.
        if let Err(error) = self.store.bucket.remove_all(stale).await {
            tracing::warn!(upload = self.id, error = ?error, "parts of an upload that were put together could not be removed");
        }
        Ok(written)
    }

    /// Makes the objects match the segments: dropped bytes must never be mistaken for bytes that come after them.
    async fn settle(self: &Arc<Self>, segments: Vec<Segment>, listed: Vec<ObjectMeta>) -> Result<()> {
        let mut parts = self.parts.lock().await;
        for Segment { part, from, to } in segments {
            parts.push(match (part.start, part.end) == (from, to) {
                true => part,
                false => self.put(from, to).await?,
            });
        }
        let stale = listed.into_iter().map(|meta| meta.location);
        let stale: Vec<_> = stale.filter(|path| parts.iter().all(|part| part.path != *path)).collect();
        self.store.bucket.remove_all(stale).await
    }

    /// Writes a part.
    async fn put(self: &Arc<Self>, start: u64, end: u64) -> Result<Part> {
        let upload = self.clone();
        let bytes = blocking::run(move || upload.spool.read(start..end)).await?;
        let path = self.store.incoming(&[&self.id, &Part::name(start, &self.writer)]);
        self.store.bucket.put(&path, bytes.into()).await?;
        Ok(Part {
            start,
            end,
            writer: self.writer.clone(),
            path,
        })
    }

    /// Removes the durable parts.
    async fn forget(&self) -> Result<()> {
        let parts = std::mem::take(&mut *self.parts.lock().await);
        self.store.bucket.remove_all(parts.into_iter().map(|part| part.path)).await
    }
}

/// The writer of an upload.
pub(super) struct S3Staging {
    upload: Arc<Upload>,
    limit: u64,
    keep: bool,
    /// Whether this writer must no longer remove the parts.
    settled: bool,
    /// The runtime on which leftovers are removed.
    runtime: tokio::runtime::Handle,
}

/// Opens an upload for writing. Reads its existing bytes if it is resumed.
pub(super) async fn open(store: &Arc<Shared>, id: &str, options: StageOptions) -> Result<S3Staging> {
    blocking::check_id(id)?;
    let claim = store.writers.claim(id)?;
    let listed = store.bucket.list(&store.incoming(&[id])).await?;
    let writer = parts::next_writer(&listed);
    let wanted = options.resume.unwrap_or(0);
    let segments = cut(parts::chain(listed.clone()), wanted);
    let kept = segments.last().map_or(0, |segment| segment.to);
    if kept > options.limit {
        return Err(FileError::TooLarge { limit: options.limit });
    }
    let path = store.cache.fresh();
    // Removes the file when dropped.
    let file = LocalCopy::new(path.clone(), 0, None);
    let opened = path.clone();
    let spooled = blocking::run(move || {
        let mut options = blocking::private();
        options.read(true).write(true).create_new(true);
        options.open(&opened).map_err(FileError::io(&opened))
    })
    .await?;
    let spooled = fill(store, &segments, spooled, &path).await?;
    let upload = Arc::new(Upload {
        store: store.clone(),
        id: id.to_owned(),
        writer,
        parts: tokio::sync::Mutex::default(),
        spool: blocking::run(move || Spool::over(path, spooled, kept)).await?,
        _file: file,
        _claim: claim,
    });
    upload.settle(segments, listed).await?;
    Ok(S3Staging {
        upload,
        limit: options.limit,
        keep: options.keep,
        settled: false,
        runtime: tokio::runtime::Handle::current(),
    })
}

/// Returns the first `wanted` bytes.
fn cut(mut segments: Vec<Segment>, wanted: u64) -> Vec<Segment> {
    segments.retain(|segment| segment.from < wanted);
    if let Some(last) = segments.last_mut() {
        last.to = last.to.min(wanted);
    }
    segments
}

/// Reads the segments into the file.
async fn fill(store: &Shared, segments: &[Segment], mut file: File, path: &Path) -> Result<File> {
    for segment in segments {
        let (from, to) = (segment.from - segment.part.start, segment.to - segment.part.start);
        let bytes = store.bucket.range(&segment.part.path, from, to).await?;
        // If a part has gone, another server has taken the upload over.
        let bytes = bytes.filter(|bytes| bytes.len() as u64 == to - from).ok_or(FileError::Broken)?;
        let path = path.to_owned();
        file = blocking::run(move || {
            file.write_all(&bytes).map_err(FileError::io(&path))?;
            Ok(file)
        })
        .await?;
    }
    Ok(file)
}

#[async_trait]
impl Staging for S3Staging {
    fn written(&self) -> u64 {
        self.upload.spool.written()
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        let (upload, limit) = (self.upload.clone(), self.limit);
        blocking::run(move || upload.spool.append(&bytes, limit)).await
    }

    async fn sync(&self) -> Result<u64> {
        // Runs to its end even if the caller goes away: the next one must know which parts exist.
        let synced = tokio::spawn(self.upload.clone().sync());
        synced.await.unwrap_or(Err(FileError::Interrupted))
    }

    async fn commit(mut self: Box<Self>) -> Result<Committed> {
        let upload = self.upload.clone();
        let (sha256, size) = blocking::run(move || upload.spool.seal(false)).await?;
        let store = self.upload.store.clone();
        let path = self.upload.spool.path().to_owned();
        let opened = path.clone();
        let file = Arc::new(blocking::run(move || File::open(&opened).map_err(FileError::io(&opened))).await?);
        let hold: FileHold = store.hold(&sha256).await?;
        store.ensure_original(&sha256, file, size).await?;
        // It will be read soon.
        let kept = store.cache.fresh();
        let to = kept.clone();
        match blocking::run(move || std::fs::rename(&path, &to).map_err(FileError::io(&to))).await {
            Ok(()) => store
                .cache
                .insert(&super::original_name(&sha256), &LocalCopy::new(kept, size, None)),
            Err(error) => tracing::warn!(error = ?error, "a file that was stored could not be kept in the cache"),
        }
        self.settled = true;
        if let Err(error) = self.upload.forget().await {
            tracing::warn!(upload = self.upload.id, error = ?error, "parts of an upload that is stored could not be removed");
        }
        Ok(Committed { sha256, size, hold })
    }

    async fn discard(mut self: Box<Self>) -> Result<()> {
        self.upload.forget().await?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for S3Staging {
    fn drop(&mut self) {
        if self.settled || self.keep {
            return;
        }
        let upload = self.upload.clone();
        // The upload stays busy until this is done. A sweep removes later what cannot be removed now.
        if upload.parts.try_lock().is_ok_and(|parts| parts.is_empty()) {
            return;
        }
        self.runtime.spawn(async move {
            if let Err(error) = upload.forget().await {
                tracing::warn!(upload = upload.id, error = ?error, "parts of an upload that was given up could not be removed");
            }
        });
    }
}
