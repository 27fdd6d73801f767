//! Uploads: from the first byte to the document.

use super::documents::all_metadata;
use super::engine::Engine;
use super::error::PipelineError;
use super::ingest::Job;
use super::observe;
use super::reporter::{Outcome, Reporter, missing_text};
use crate::catalog::{self, Creation, DocumentRecord, NewDocument, UploadResult};
use crate::events::UploadSubscription;
use crate::files::{StageOptions, Staging};
use crate::protocol::{ApiError, ErrorCode, FailedDocument, UploadComplete, UploadEvent, UploadStatus, UploadedDocument};
use crate::telemetry::catalogue::{self, limit};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A file that is about to be uploaded.
#[derive(Debug, Clone, Default)]
pub struct NewUpload {
    /// Its name; directories in it are left out.
    pub filename: String,
    /// Where it goes; absent: the default collection. Made if there is none.
    pub collection_name: Option<String>,
    /// Media type, if the client said one.
    pub content_type: Option<String>,
    /// Bytes, if the client said so.
    pub size: Option<u64>,
    /// Kept with the document.
    pub metadata: BTreeMap<String, String>,
    /// Size of this document's chunks, in the chunker's unit (`recursive`: tokens); absent: as the
    /// collection's pipeline says.
    pub chunk_size: Option<u64>,
    /// Overlap of this document's chunks, likewise.
    pub chunk_overlap: Option<u64>,
}

/// How an upload ended.
pub(super) enum Ending {
    Live(Box<DocumentRecord>),
    Duplicate(Box<DocumentRecord>),
    Failed(ApiError),
    Cancelled,
}

/// An upload whose bytes are still coming. Dropping it cancels it.
pub struct Upload {
    inner: Option<Receiving>,
    id: String,
}

struct Receiving {
    engine: Arc<Engine>,
    staging: Box<dyn Staging>,
    reporter: Reporter,
    record: catalog::Upload,
    size: Option<u64>,
    received: u64,
    metadata: BTreeMap<String, String>,
    lock: Value,
    place: OwnedSemaphorePermit,
}

/// An upload whose bytes are all there. Dropping it does not stop the work.
pub struct PendingIngest {
    upload_id: String,
    filename: String,
    outcome: oneshot::Receiver<Outcome>,
}

impl PendingIngest {
    /// The upload.
    pub fn upload_id(&self) -> &str {
        &self.upload_id
    }

    /// Waits for the document to be live, or to fail.
    pub async fn outcome(self) -> Outcome {
        self.outcome.await.unwrap_or_else(|_| {
            let message = "the server is shutting down; it goes on with this document when it starts again";
            Err(failed(
                &self.upload_id,
                &self.filename,
                &ApiError::new(ErrorCode::ServiceUnavailable, message),
            ))
        })
    }
}

impl Engine {
    /// Begins an upload. Fails if no extractor takes the file's type, if it is too large, or if
    /// too many uploads are open.
    pub async fn begin_upload(self: &Arc<Self>, new: NewUpload) -> Result<Upload, ApiError> {
        let filename = file_name(&new.filename)?;
        let content_type = media_type(&filename, new.content_type.as_deref());
        if let Some(size) = new.size
            && size > self.settings.max_upload_bytes
        {
            return Err(self.too_large());
        }
        let place = self.open_uploads.clone().try_acquire_owned().map_err(|_| {
            catalogue::refused(limit::OPEN_UPLOADS);
            ApiError::new(
                ErrorCode::ServiceUnavailable,
                "too many uploads are open or waiting: send it again later",
            )
            .with("retry_after", 10)
        })?;
        let name = new.collection_name.as_deref().unwrap_or(&self.settings.default_collection);
        let begun = async {
            let collection = self.collection_for_upload(name).await?;
            let resolved = self.resolve_collection(&collection)?;
            self.extractor(&resolved.pipeline, &content_type)?;
            let lock = self.lock_for_upload(&resolved, new.chunk_size, new.chunk_overlap)?;
            let lock = serde_json::to_value(&lock).unwrap_or_default();
            let record = self
                .catalog
                .create_upload(catalog::NewUpload {
                    collection_id: collection.id.clone(),
                    filename: filename.clone(),
                    content_type: content_type.clone(),
                    file_size: new.size,
                    options: json!({ "metadata": new.metadata }),
                })
                .await?;
            let staging = self
                .files
                .stage(
                    &record.id,
                    StageOptions {
                        limit: self.settings.max_upload_bytes,
                        resume: None,
                        keep: false,
                    },
                )
                .await?;
            Ok::<_, PipelineError>((record, staging, lock))
        };
        let (record, staging, lock) = begun.await.map_err(|error| error.told("upload"))?;
        let reporter = self.reporter(name, &record.id, &filename);
        reporter.begun(new.size.unwrap_or(0), &self.pace);
        let id = record.id.clone();
        let inner = Receiving {
            engine: self.clone(),
            staging,
            reporter,
            record,
            size: new.size,
            received: 0,
            metadata: new.metadata,
            lock,
            place,
        };
        Ok(Upload { inner: Some(inner), id })
    }

    /// What happens to uploads from now on, and where those in flight stand.
    pub fn upload_events(&self) -> UploadSubscription {
        self.events.uploads_from_now()
    }

    /// A reporter for an upload.
    pub(super) fn reporter(&self, collection: &str, upload_id: &str, filename: &str) -> Reporter {
        Reporter::new(self.events.clone(), collection, upload_id, filename)
    }

    /// Records and tells how an upload ended.
    pub(super) async fn end_upload(&self, reporter: Reporter, ending: Ending) {
        let total_time = reporter.started.elapsed().as_secs_f64();
        let (status, recorded) = match &ending {
            Ending::Live(_) => (UploadStatus::Success, catalog::UploadStatus::Success),
            Ending::Duplicate(_) => (UploadStatus::Duplicate, catalog::UploadStatus::Duplicate),
            Ending::Failed(_) => (UploadStatus::Failed, catalog::UploadStatus::Failed),
            Ending::Cancelled => (UploadStatus::Cancelled, catalog::UploadStatus::Cancelled),
        };
        let document = match &ending {
            Ending::Live(record) | Ending::Duplicate(record) => Some(record),
            Ending::Failed(_) | Ending::Cancelled => None,
        };
        if let Ending::Live(record) = &ending {
            self.pace.learn(record.file_size, reporter.started.elapsed());
        }
        observe::upload_ended(&ending, total_time);
        let message = document.and_then(|record| missing_text(&record.metadata));
        let complete = UploadComplete {
            upload_id: reporter.upload_id.to_string(),
            filename: reporter.filename.to_string(),
            document_id: document.map(|record| record.id.clone()),
            total_time,
            chunks_created: document.map_or(0, |record| u64::from(record.chunks_total)),
            status,
            error: match &ending {
                Ending::Failed(error) => Some(json!({ "code": error.code, "message": error.message })),
                _ => None,
            },
            needs_ocr: message.is_some(),
            message,
        };
        let result = UploadResult {
            status: recorded,
            document_id: complete.document_id.clone(),
            data: serde_json::to_value(&complete).unwrap_or_default(),
        };
        if let Err(error) = self.catalog.finish_upload(&reporter.upload_id, &result).await {
            tracing::warn!(upload = &*reporter.upload_id, %error, "the end of an upload was not recorded");
        }
        let outcome = match ending {
            Ending::Live(record) => Ok(uploaded(&reporter, *record, "success", total_time)),
            Ending::Duplicate(record) => Ok(uploaded(&reporter, *record, "duplicate", total_time)),
            Ending::Failed(error) => Err(failed(&reporter.upload_id, &reporter.filename, &error)),
            Ending::Cancelled => Err(failed(
                &reporter.upload_id,
                &reporter.filename,
                &ApiError::new(ErrorCode::Conflict, "the upload was cancelled"),
            )),
        };
        reporter.tell(UploadEvent::UploadComplete(complete));
        reporter.answer(outcome);
    }

    fn too_large(&self) -> ApiError {
        let limit = self.settings.max_upload_bytes;
        catalogue::refused(limit::UPLOAD_BYTES);
        ApiError::new(
            ErrorCode::PayloadTooLarge,
            format!("the file is larger than this server takes ({limit} bytes)"),
        )
        .with("limit", limit)
    }
}

impl Upload {
    /// The upload's identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Takes the next bytes; returns once they are written.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ApiError> {
        let Some(upload) = &mut self.inner else { return Err(ended()) };
        let length = bytes.len() as u64;
        if upload.received.saturating_add(length) > upload.engine.settings.max_upload_bytes {
            return Err(upload.engine.too_large());
        }
        upload
            .staging
            .append(bytes)
            .await
            .map_err(|error| PipelineError::from(error).told("upload"))?;
        upload.received += length;
        upload
            .reporter
            .received(upload.received, upload.size.unwrap_or(upload.received).max(upload.received), false);
        Ok(())
    }

    /// Ends the upload: the bytes are durable when this returns, and the document is on its way.
    pub async fn finish(mut self) -> Result<PendingIngest, ApiError> {
        let Some(upload) = self.inner.take() else { return Err(ended()) };
        let (engine, reporter) = (upload.engine.clone(), upload.reporter.clone());
        let (reply, outcome) = oneshot::channel();
        reporter.reply_to(reply);
        let pending = PendingIngest {
            upload_id: self.id.clone(),
            filename: reporter.filename.to_string(),
            outcome,
        };
        if let Err(error) = upload.commit().await {
            let told = error.told("upload");
            engine.end_upload(reporter, Ending::Failed(told)).await;
        }
        Ok(pending)
    }

    /// Ends the upload without a document, for a reason that subscribers are told.
    pub async fn abort(mut self, reason: ApiError) {
        if let Some(upload) = self.inner.take() {
            upload.discard(Ending::Failed(reason)).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(upload) = self.inner.take() {
            let tasks = upload.engine.tasks.clone();
            tasks.spawn(upload.discard(Ending::Cancelled));
        }
    }
}

impl Receiving {
    async fn commit(self) -> Result<(), PipelineError> {
        let Self {
            engine,
            staging,
            reporter,
            record,
            received,
            metadata,
            lock,
            place,
            ..
        } = self;
        if received == 0 {
            staging.discard().await?;
            return Err(ApiError::new(ErrorCode::ProcessingError, format!("`{}` is empty", record.filename)).into());
        }
        reporter.received(received, received, true);
        catalogue::UPLOADED_BYTES.only().increment(received);
        let stored = staging.commit().await?;
        let new = NewDocument {
            collection_id: record.collection_id.clone(),
            upload_id: Some(record.id.clone()),
            filename: record.filename.clone(),
            content_type: record.content_type.clone(),
            file_size: stored.size,
            sha256: stored.sha256,
            user_metadata: metadata.into_iter().map(|(key, value)| (key, Value::String(value))).collect(),
            lock,
        };
        let creation = engine.catalog.create_document(new).await?;
        drop(stored.hold);
        match creation {
            Creation::Created(document) => {
                engine.visibility.hide(&document.collection_id, &document.id);
                engine.ingest(Job {
                    document: *document,
                    reporter,
                    place: Some(place),
                });
            }
            Creation::Duplicate(document) => engine.end_upload(reporter, Ending::Duplicate(document)).await,
        }
        Ok(())
    }

    async fn discard(self, ending: Ending) {
        if let Err(error) = self.staging.discard().await {
            tracing::warn!(upload = self.record.id, %error, "staged bytes were not removed");
        }
        self.engine.end_upload(self.reporter, ending).await;
    }
}

fn uploaded(reporter: &Reporter, record: DocumentRecord, status: &str, total_time: f64) -> UploadedDocument {
    UploadedDocument {
        metadata: all_metadata(&record),
        document_id: record.id,
        upload_id: reporter.upload_id.to_string(),
        filename: reporter.filename.to_string(),
        status: status.to_owned(),
        file_size: record.file_size,
        pages: (record.pages > 0).then_some(record.pages),
        chunks_created: u64::from(record.chunks_total),
        embeddings_generated: u64::from(record.chunks_indexed),
        processing_time: total_time,
    }
}

fn failed(upload_id: &str, filename: &str, error: &ApiError) -> FailedDocument {
    FailedDocument {
        upload_id: upload_id.to_owned(),
        filename: filename.to_owned(),
        error: json!({ "code": error.code, "message": error.message, "details": error.details }),
    }
}

fn ended() -> ApiError {
    ApiError::new(ErrorCode::Conflict, "the upload has ended")
}

/// The last component of what the client called the file.
fn file_name(given: &str) -> Result<String, ApiError> {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if name.is_empty() || name == "." || name == ".." || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(ApiError::validation(
            "filename",
            "must be a file name of 1 to 255 bytes without control characters",
        ));
    }
    Ok(name.to_owned())
}

/// The media type that the client said, unless it says nothing; then what the name says.
fn media_type(filename: &str, given: Option<&str>) -> String {
    let given = given
        .map(|given| given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .unwrap_or_default();
    if !matches!(given.as_str(), "" | "application/octet-stream" | "binary/octet-stream") {
        return given;
    }
    mime_guess::from_path(filename)
        .first_raw()
        .unwrap_or("application/octet-stream")
        .to_owned()
}
