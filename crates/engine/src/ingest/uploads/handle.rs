//! A connection's handle on an upload: write, sync, finish, abort.

use super::Uploads;
use super::session::{UploadSession, ended};
use crate::error::PipelineError;
use crate::ingest::reports::{Ending, PendingIngest};
use bytes::Bytes;
use ibid_protocol::ApiError;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing::Instrument;

/// Bytes after which a resumable upload is made durable and recorded: what a power cut may cost.
const SYNC_EVERY: u64 = 16 << 20;

/// An upload whose bytes are still coming. Dropping it suspends a resumable one, and cancels any other.
pub struct Upload {
    pub(super) uploads: Arc<Uploads>,
    pub(super) session: Arc<UploadSession>,
    pub(super) owner: u64,
}

impl Upload {
    /// Returns the upload's identifier.
    pub fn id(&self) -> &str {
        &self.session.reporter.upload_id
    }

    /// Returns the number of bytes that have been received.
    pub fn received(&self) -> u64 {
        self.session.received()
    }

    /// Returns the file's size in bytes, where the client sent it.
    pub fn size(&self) -> Option<u64> {
        self.session.size
    }

    /// Publishes that the upload began, of `size` bytes (`exact`, or at most): once, however often it is called. No event of the upload is
    /// published before.
    pub fn announce(&self, size: u64, exact: bool) {
        self.session.announce(&self.uploads.reports.pace, size, exact);
    }

    /// Publishes how many bytes have been received.
    pub fn publish_received(&self) {
        self.session.reporter.publish_received(self.received(), self.session.total());
    }

    /// Writes the next bytes, and returns once they are written. If they would exceed a limit, none is written.
    ///
    /// # Errors
    /// `PAYLOAD_TOO_LARGE`, `VALIDATION_ERROR` for more than were announced, `CONFLICT` if the upload was cancelled or taken over,
    /// or a failure of storage: then ask [`Upload::received`] before going on.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ApiError> {
        let mut taken = self.session.take(self.owner)?;
        let Some(receiving) = taken.receiving.as_mut() else {
            return Err(ended());
        };
        let (session, uploads) = (&self.session, &self.uploads);
        let after = session.received().saturating_add(bytes.len() as u64);
        if after > uploads.limits.max_bytes {
            return Err(uploads.too_large());
        }
        if session.resumable && session.size.is_some_and(|size| after > size) {
            return Err(ApiError::validation("file_size", "more bytes came than were announced")
                .with("bytes_uploaded", session.received())
                .with("total_bytes", session.size));
        }
        let room = uploads.store.disk.admit(bytes.len() as u64).await;
        room.map_err(|error| PipelineError::from(error).to_api_error("upload"))?;
        let appended = receiving.staging.append(bytes).await;
        session.received.store(receiving.staging.written(), Ordering::Release);
        let received = appended.map_err(|error| PipelineError::from(error).to_api_error("upload"))?;
        if session.announced.load(Ordering::Acquire) {
            session.reporter.received(received, session.total(), false);
        }
        if session.resumable && received.saturating_sub(receiving.durable) >= SYNC_EVERY {
            // If that fails, the next write tries again.
            let _ = uploads.record_received(session, receiving).await;
        }
        Ok(())
    }

    /// Makes what was received durable, so that it may be acknowledged, and returns how many bytes that is.
    ///
    /// # Errors
    /// `CONFLICT` if the upload was cancelled or taken over, or a failure of storage.
    pub async fn sync(&mut self) -> Result<u64, ApiError> {
        let mut taken = self.session.take(self.owner)?;
        let Some(receiving) = taken.receiving.as_mut() else {
            return Err(ended());
        };
        let recorded = self.uploads.record_received(&self.session, receiving).await;
        recorded.map_err(|error| error.to_api_error("upload"))?;
        Ok(receiving.durable)
    }

    /// Makes a document of the bytes: they are durable when this returns, and the document is being processed.
    ///
    /// # Errors
    /// `CONFLICT` if the upload was cancelled or taken over. `SERVICE_UNAVAILABLE` if it is resumable and the file store is away or the
    /// disk cannot be written: then it waits to be resumed.
    pub async fn finish(self) -> Result<PendingIngest, ApiError> {
        let taken = self.session.take(self.owner)?;
        self.announce(self.session.total(), true);
        let (uploads, reporter) = (self.uploads.clone(), self.session.reporter.clone());
        let pending = PendingIngest::of(&reporter);
        // Goes on if the caller goes away.
        let commit = async move { uploads.commit(taken).await }.in_current_span();
        let committing = self.uploads.lifecycle.tasks.spawn(ibid_telemetry::trace::carried(commit));
        committing
            .await
            .map_err(|error| PipelineError::from(error).to_api_error("upload"))??;
        Ok(pending)
    }

    /// Ends the upload without a document. The reason is published.
    pub async fn abort(self, reason: ApiError) {
        if let Ok(taken) = self.session.take(self.owner) {
            self.uploads.end(taken, Ending::Failed(reason)).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // If another connection owns it by now, or it has ended, there is nothing to do.
        let Ok(taken) = self.session.take(self.owner) else { return };
        let uploads = self.uploads.clone();
        self.uploads.lifecycle.tasks.spawn(async move {
            if taken.session.resumable {
                uploads.suspend(taken).await;
            } else {
                uploads.end(taken, Ending::Cancelled).await;
            }
        });
    }
}
