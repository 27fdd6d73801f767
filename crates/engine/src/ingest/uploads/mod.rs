//! Uploads whose bytes are still coming: written, suspended, resumed over another connection, cancelled from a third.

mod ending;
mod handle;
pub(crate) mod seams;
mod session;
#[cfg(test)]
mod tests;

use super::reports::UploadReports;
use crate::error::PipelineError;
use crate::ingest::reports::{Ending, NewUpload, file_name, media_type};
use crate::lifecycle::Lifecycle;
use crate::manage::collections::Collections;
use crate::peers::Peers;
use crate::store::Store;
use crate::store::events::UploadSubscription;
use crate::store::jobs::Jobs;
pub use handle::Upload;
use ibid_auth::{Scope, Subject};
use ibid_catalog::{self as catalog, CatalogError, UploadStatus};
use ibid_files::{StageOptions, Staging};
use ibid_protocol::{ApiError, ErrorCode, UploadInfo};
use ibid_telemetry::{
    self,
    catalogue::{self, limit},
};
use seams::{DocumentLocks, IngestQueue};
use serde_json::Value;
use session::{Receiving, UploadSession, UploadState};
pub(crate) use session::{UploadOptions, UploadSessions};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tracing::Instrument;

/// The limits of uploads.
#[derive(Debug, Clone)]
pub(crate) struct UploadLimits {
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// Resumable uploads that may wait for their bytes.
    pub max_resumable: usize,
    /// How long a suspended upload waits to be resumed.
    pub resumable_expiry: Duration,
}

/// Receives uploads, and makes documents of them.
pub(crate) struct Uploads {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    /// What makes the lock of a new document.
    pub locks: Arc<dyn DocumentLocks>,
    pub collections: Arc<Collections>,
    /// Where documents go whose bytes are complete.
    pub ingest: Arc<dyn IngestQueue>,
    pub jobs: Arc<Jobs>,
    pub reports: Arc<UploadReports>,
    pub lifecycle: Lifecycle,
    pub limits: UploadLimits,
    /// The collection of uploads that name none.
    pub default_collection: String,
    /// Permits for uploads, from their first byte to the end of their processing.
    pub permits: Arc<Semaphore>,
    /// Uploads whose bytes are still coming.
    pub sessions: UploadSessions,
}

impl Uploads {
    /// Begins an upload. Fails if no extractor reads the file's type, if the file is too large, or if too many uploads are open. No event of
    /// the upload is published before [`Upload::announce`].
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, `UNSUPPORTED_MEDIA_TYPE`, `PAYLOAD_TOO_LARGE`, `SERVICE_UNAVAILABLE`, or a failure of storage.
    pub async fn begin_upload(self: &Arc<Self>, new: NewUpload) -> Result<Upload, ApiError> {
        // Goes on if the caller goes away: a half-begun upload would have no owner.
        let begun = self.lifecycle.tasks.spawn(self.clone().begin(new).in_current_span());
        begun.await.map_err(|error| PipelineError::from(error).to_api_error("upload"))?
    }

    async fn begin(self: Arc<Self>, new: NewUpload) -> Result<Upload, ApiError> {
        let filename = file_name(&new.filename)?;
        let content_type = media_type(&filename, new.content_type.as_deref());
        if new.size.is_some_and(|size| size > self.limits.max_bytes) {
            return Err(self.too_large());
        }
        let full = || {
            catalogue::refused(limit::OPEN_UPLOADS);
            ApiError::new(
                ErrorCode::ServiceUnavailable,
                "too many uploads are open or waiting: send it again later",
            )
            .with("retry_after", 10)
        };
        if new.resumable && self.sessions.resumable() >= self.limits.max_resumable {
            return Err(full());
        }
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| full())?;
        let name = new.collection_name.as_deref().unwrap_or(&self.default_collection);
        let options = UploadOptions {
            resumable: new.resumable,
            metadata: new.metadata,
            chunk_size: new.chunk_size,
            chunk_overlap: new.chunk_overlap,
            tus_metadata: new.tus_metadata,
        };
        let begun = async {
            self.store.disk.admit(new.size.unwrap_or(0)).await?;
            let collection = self.collections.collection_for_upload(name).await?;
            // A file that cannot be read is refused before its bytes come.
            self.lock_for(&collection, &content_type, &options)?;
            let record = self
                .store
                .catalog
                .create_upload(catalog::NewUpload {
                    collection_id: collection.id.clone(),
                    filename: filename.clone(),
                    content_type: content_type.clone(),
                    file_size: new.size,
                    options: serde_json::to_value(&options).unwrap_or_default(),
                })
                .await?;
            let staging = self.open_staging(&record.id, None, options.resumable).await?;
            Ok::<_, PipelineError>((record, staging))
        };
        let (record, staging) = begun.await.map_err(|error| error.to_api_error("upload"))?;
        let reporter = self.reports.reporter(name, &record.id, &filename);
        let id = record.id.clone();
        let receiving = Receiving {
            staging,
            record,
            metadata: options.metadata,
            permit,
            durable: 0,
        };
        let session = UploadSession::new(reporter, options.resumable, new.size, 0, UploadState::Open(Box::new(receiving)));
        self.sessions.lock().insert(id, session.clone());
        Ok(Upload {
            uploads: self,
            session,
            owner: 0,
        })
    }

    /// Resumes an upload after the bytes that were received. A connection that still owns it loses it.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if the upload has ended or never was, `CONFLICT` if it is not resumable, or a failure of storage.
    pub async fn resume_upload(self: &Arc<Self>, id: &str) -> Result<Upload, ApiError> {
        self.adopt_upload(id).await.map_err(|error| error.to_api_error("upload"))?;
        let session = self.sessions.get(id).ok_or_else(|| no_upload(id))?;
        if !session.resumable {
            return Err(ApiError::new(
                ErrorCode::Conflict,
                "this upload is one request, and ends with it: it cannot be resumed",
            ));
        }
        let (owner, mut taken) = session.claim().await?;
        if taken.receiving.is_none() {
            let receiving = self.reopen(id).await.map_err(|error| error.to_api_error("upload"))?;
            session.received.store(receiving.staging.written(), Ordering::Release);
            taken.receiving = Some(receiving);
        }
        session.reporter.resumed(session.received());
        // Put back before the new owner can take it.
        drop(taken);
        Ok(Upload {
            uploads: self.clone(),
            session,
            owner,
        })
    }

    /// Opens the bytes of a suspended upload.
    async fn reopen(&self, id: &str) -> Result<Box<Receiving>, PipelineError> {
        let record = self.store.catalog.upload(id).await?;
        let options = UploadOptions::of(&record);
        let collection = self.store.catalog.collection_by_id(&record.collection_id).await?;
        self.lock_for(&collection, &record.content_type, &options)?;
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| {
            ApiError::new(
                ErrorCode::ServiceUnavailable,
                "too many uploads are open or waiting: resume it later",
            )
        })?;
        let staging = self.open_staging(id, Some(record.bytes_received), true).await?;
        Ok(Box::new(Receiving {
            durable: staging.written(),
            staging,
            record,
            metadata: options.metadata,
            permit,
        }))
    }

    /// Takes an upload from the server that received its bytes until now.
    async fn adopt_upload(self: &Arc<Self>, id: &str) -> Result<(), PipelineError> {
        if self.has(id) {
            return Ok(());
        }
        if let Some(upload) = self.peers.take_upload(id).await?
            && UploadOptions::of(&upload).resumable
        {
            self.remember(&upload);
        }
        Ok(())
    }

    fn too_large(&self) -> ApiError {
        catalogue::refused(limit::UPLOAD_BYTES);
        let limit = self.limits.max_bytes;
        ApiError::new(
            ErrorCode::PayloadTooLarge,
            format!("the file is larger than this server takes ({limit} bytes)"),
        )
        .with("limit", limit)
    }

    /// Subscribes to the events of uploads, beginning with the state of those in flight.
    pub fn upload_events(&self) -> UploadSubscription {
        self.store.events.uploads_from_now()
    }

    async fn open_staging(&self, id: &str, resume: Option<u64>, keep: bool) -> Result<Box<dyn Staging>, PipelineError> {
        let options = StageOptions {
            limit: self.limits.max_bytes,
            resume,
            keep,
        };
        Ok(self.store.files.stage(id, options).await?)
    }

    /// Returns the lock of a document of this upload. Fails if no extractor reads its type.
    fn lock_for(&self, collection: &catalog::Collection, content_type: &str, options: &UploadOptions) -> Result<Value, PipelineError> {
        self.locks
            .lock_for_upload(collection, content_type, options.chunk_size, options.chunk_overlap)
    }

    /// Returns the state of an upload, for a subject that may write to its collection.
    ///
    /// # Errors
    /// `INSUFFICIENT_SCOPE`; `RESOURCE_NOT_FOUND` if there is none, or none that the subject sees.
    pub async fn upload_of(&self, id: &str, subject: &Subject) -> Result<UploadInfo, ApiError> {
        // First, so that the answer does not tell which uploads there are.
        subject.require(Scope::Write)?;
        let info = self.upload_info(id).await?;
        if subject.sees(&info.collection_name) {
            Ok(info)
        } else {
            Err(no_upload(id))
        }
    }

    /// Returns the state of an upload, also of one that ended some days ago.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, or a failure of storage.
    async fn upload_info(&self, id: &str) -> Result<UploadInfo, ApiError> {
        let record = self.store.catalog.upload(id).await.map_err(|error| match error {
            CatalogError::NotFound { .. } => no_upload(id),
            other => PipelineError::from(other).to_api_error("upload"),
        })?;
        let session = self.sessions.get(id);
        let options = UploadOptions::of(&record);
        let expires = match &session {
            Some(session) if session.resumable => {
                let left = self.limits.resumable_expiry.saturating_sub(session.ownership().touched.elapsed());
                Some(crate::timestamp::text(OffsetDateTime::now_utc() + left))
            }
            _ => None,
        };
        Ok(UploadInfo {
            bytes_uploaded: match (record.status, session) {
                (UploadStatus::Receiving, Some(session)) => session.received(),
                (UploadStatus::Processing | UploadStatus::Success | UploadStatus::Duplicate, _) => {
                    record.file_size.unwrap_or(record.bytes_received)
                }
                _ => record.bytes_received,
            },
            upload_id: record.id,
            filename: record.filename,
            collection_name: record.collection,
            total_bytes: record.file_size,
            status: record.status.as_str().to_owned(),
            resumable: options.resumable && record.status == UploadStatus::Receiving,
            expires,
            result: record.result,
            tus_metadata: options.tus_metadata,
        })
    }

    /// Returns whether this server receives an upload's bytes.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.sessions.get(id).is_some()
    }

    /// Gives up a resumable upload, with its bytes made durable, so that another server can continue it.
    pub(crate) async fn release(&self, id: &str) {
        let Some(session) = self.sessions.get(id).filter(|session| session.resumable) else {
            return;
        };
        let Ok((_, mut taken)) = session.claim().await else { return };
        if let Some(mut receiving) = taken.receiving.take() {
            // If that fails, the client sends again what is not durable.
            let _ = self.record_received(&session, &mut receiving).await;
        }
        self.sessions.lock().remove(id);
        taken.ended = true;
    }

    /// Makes a session for an upload that was suspended before this server had it, and publishes that it waits.
    pub(crate) fn remember(&self, record: &catalog::Upload) {
        let reporter = self.reports.reporter(&record.collection, &record.id, &record.filename);
        reporter.interrupted();
        let session = UploadSession::new(reporter, true, record.file_size, record.bytes_received, UploadState::Suspended);
        let idle = (OffsetDateTime::now_utc() - record.updated_at).try_into().unwrap_or(Duration::ZERO);
        session.ownership().touched = Instant::now().checked_sub(idle).unwrap_or_else(Instant::now);
        session.announce(&self.reports.pace, session.total(), true);
        session.reporter.publish_received(record.bytes_received, session.total());
        self.sessions.lock().insert(record.id.clone(), session);
    }

    /// Ends suspended uploads that no client has resumed for too long. Runs until the engine stops.
    pub(crate) async fn expire(self: Arc<Self>) {
        let expiry = self.limits.resumable_expiry;
        let pause = (expiry / 4).clamp(Duration::from_millis(100), Duration::from_secs(600));
        loop {
            if !self.lifecycle.sleep(pause).await {
                return;
            }
            let sessions: Vec<Arc<UploadSession>> = self.sessions.lock().values().cloned().collect();
            for session in sessions {
                let Some(taken) = session.claim_expired(expiry) else { continue };
                tracing::info!(
                    upload = &*session.reporter.upload_id,
                    "an upload that no client resumed has expired"
                );
                self.end(taken, Ending::Cancelled).await;
            }
        }
    }
}

fn no_upload(id: &str) -> ApiError {
    ApiError::new(ErrorCode::ResourceNotFound, "there is no such upload, or it has expired").with("upload_id", id)
}
