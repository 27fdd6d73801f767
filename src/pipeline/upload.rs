//! Uploads: from the first byte to the document, and what subscribers are told on the way.

use super::documents::all_metadata;
use super::engine::Engine;
use super::error::PipelineError;
use super::ingest::Job;
use crate::catalog::{self, Creation, DocumentRecord, NewDocument, UploadResult};
use crate::events::{Events, UploadSubscription};
use crate::files::{StageOptions, Staging};
use crate::protocol::{
    ApiError, ChunkingProgress, EmbeddingProgress, ErrorCode, FailedDocument, ProcessingProgress, UploadComplete, UploadEvent,
    UploadProgress, UploadStarted, UploadStatus, UploadedDocument,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Progress is told this often at most, for each kind of progress: people see no more.
const TELL_EVERY: Duration = Duration::from_millis(100);

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

type Outcome = Result<UploadedDocument, FailedDocument>;

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
            ApiError::new(
                ErrorCode::ServiceUnavailable,
                "too many uploads are open or waiting: send it again later",
            )
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
        Reporter {
            events: self.events.clone(),
            collection: collection.into(),
            upload_id: upload_id.into(),
            filename: filename.into(),
            started: Instant::now(),
            told: Arc::default(),
            reply: Arc::default(),
        }
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

/// Tells subscribers how far an upload is; progress of one kind never goes back.
#[derive(Clone)]
pub(super) struct Reporter {
    events: Arc<Events>,
    collection: Arc<str>,
    upload_id: Arc<str>,
    filename: Arc<str>,
    /// When the upload, or its resumption, began.
    pub started: Instant,
    told: Arc<Mutex<BTreeMap<&'static str, (Instant, f64)>>>,
    reply: Arc<Mutex<Option<oneshot::Sender<Outcome>>>>,
}

impl Reporter {
    /// Tells an event as it is.
    pub fn tell(&self, event: UploadEvent) {
        self.events.publish_upload(&self.collection, event);
    }

    /// An upload, or the resumption of one, began.
    pub fn begun(&self, file_size: u64, pace: &Pace) {
        self.tell(UploadEvent::UploadStarted(UploadStarted {
            upload_id: self.upload_id.to_string(),
            filename: self.filename.to_string(),
            file_size,
            estimated_time: pace.estimate(file_size),
            collection: self.collection.to_string(),
        }));
    }

    fn reply_to(&self, reply: oneshot::Sender<Outcome>) {
        *self.reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
    }

    fn answer(&self, outcome: Outcome) {
        let reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            // An error only says that nobody waits.
            let _ = reply.send(outcome);
        }
    }

    /// Whether progress of a kind is to be told now.
    fn due(&self, kind: &'static str, progress: f64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = match told.get(kind) {
            None => true,
            Some((at, last)) => progress > *last && (progress >= 1.0 || now.duration_since(*at) >= TELL_EVERY),
        };
        if due {
            told.insert(kind, (now, progress));
        }
        due
    }

    fn received(&self, bytes: u64, total: u64, whole: bool) {
        // While the size is unknown the end is too: only the last of these says 1.0.
        let progress = if whole {
            1.0
        } else {
            (bytes as f64 / total.max(1) as f64).min(0.999)
        };
        if self.due("upload_progress", progress) {
            let seconds = self.started.elapsed().as_secs_f64().max(1e-6);
            self.tell(UploadEvent::UploadProgress(UploadProgress {
                upload_id: self.upload_id.to_string(),
                filename: self.filename.to_string(),
                bytes_uploaded: bytes,
                total_bytes: total,
                progress,
                speed_mbps: bytes as f64 / 1e6 / seconds,
            }));
        }
    }

    /// Extraction is this far, in [0,1).
    pub fn extracting(&self, done: f64) {
        self.extraction(done.clamp(0.0, 0.999), "Extracting text");
    }

    /// Extraction is done.
    pub fn extracted(&self, needs_ocr: bool) {
        let message = if needs_ocr {
            "Extracted; most pages are images and need OCR, so their text is not searchable"
        } else {
            "Extracted text"
        };
        self.extraction(1.0, message);
    }

    fn extraction(&self, progress: f64, message: &str) {
        if self.due("processing_progress", progress) {
            self.tell(UploadEvent::ProcessingProgress(ProcessingProgress {
                upload_id: self.upload_id.to_string(),
                filename: self.filename.to_string(),
                stage: "text_extraction".to_owned(),
                progress,
                message: message.to_owned(),
            }));
        }
    }

    /// All chunks were made.
    pub fn chunked(&self, total: u64) {
        if self.due("chunking_progress", 1.0) {
            self.tell(UploadEvent::ChunkingProgress(ChunkingProgress {
                upload_id: self.upload_id.to_string(),
                filename: self.filename.to_string(),
                chunks_processed: total,
                total_chunks: total,
                progress: 1.0,
            }));
        }
    }

    /// So many chunks have their embeddings.
    pub fn embedded(&self, done: u32, total: u32) {
        let progress = if total == 0 {
            1.0
        } else {
            f64::from(done.min(total)) / f64::from(total)
        };
        if self.due("embedding_progress", progress) {
            self.tell(UploadEvent::EmbeddingProgress(EmbeddingProgress {
                upload_id: self.upload_id.to_string(),
                filename: self.filename.to_string(),
                embeddings_generated: u64::from(done.min(total)),
                total_embeddings: u64::from(total),
                progress,
            }));
        }
    }
}

/// How fast recent uploads were processed, to estimate the next.
pub(super) struct Pace {
    bytes_per_second: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        // Two busy cores do about this with PDF files; the first upload corrects it.
        Self {
            bytes_per_second: AtomicU64::new(50_000),
        }
    }
}

impl Pace {
    /// Seconds for a file, at least 1.
    fn estimate(&self, bytes: u64) -> u64 {
        (bytes / self.bytes_per_second.load(Ordering::Relaxed).max(1)).max(1)
    }

    fn learn(&self, bytes: u64, time: Duration) {
        let seen = (bytes as f64 / time.as_secs_f64().max(1e-3)) as u64;
        let before = self.bytes_per_second.load(Ordering::Relaxed);
        self.bytes_per_second.store((before * 3 + seen) / 4, Ordering::Relaxed);
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
