//! Publishes the progress of uploads, and estimates how long one takes.

use crate::store::events::Events;
use ibid_protocol::{
    ChunkingProgress, EmbeddingProgress, FailedDocument, ProcessingProgress, UploadEvent, UploadProgress, UploadStarted, UploadedDocument,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The shortest time between two events of one kind of progress: people see no more.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);

/// When progress is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Now,
    /// In a moment: the last event was just published.
    Later,
    /// Never: it is no progress.
    Never,
}

/// The outcome of an upload.
pub(crate) type Outcome = Result<UploadedDocument, FailedDocument>;

/// Publishes how far an upload is. Progress of one kind never goes back.
#[derive(Clone)]
pub(crate) struct Reporter {
    events: Arc<Events>,
    collection: Arc<str>,
    /// The upload's identifier.
    pub upload_id: Arc<str>,
    /// The file's name.
    pub filename: Arc<str>,
    /// When the upload, or its resumption, began.
    pub started: Instant,
    published: Arc<Mutex<BTreeMap<&'static str, (Instant, f64)>>>,
    /// When the present connection began, and how many bytes had been received by then.
    since: Arc<Mutex<(Instant, u64)>>,
    interrupted: Arc<AtomicBool>,
    /// The received and the total bytes that will be published in a moment.
    late: Arc<Mutex<Option<(u64, u64)>>>,
    reply: Arc<Mutex<Option<oneshot::Sender<Outcome>>>>,
}

impl Reporter {
    /// Publishes an event.
    pub fn publish(&self, event: UploadEvent) {
        self.events.publish_upload(&self.collection, event);
    }

    /// Publishes that an upload began or was resumed; `exact` if its size is known.
    pub fn begun(&self, file_size: u64, exact: bool, pace: &Pace) {
        self.publish(UploadEvent::UploadStarted(UploadStarted {
            upload_id: self.upload_id.to_string(),
            filename: self.filename.to_string(),
            file_size,
            estimated_time: pace.estimate(file_size),
            collection: self.collection.to_string(),
            size_is_estimate: !exact,
        }));
    }

    /// Makes the reporter of an upload, which publishes to `events`.
    pub fn new(events: Arc<Events>, collection: &str, upload_id: &str, filename: &str) -> Self {
        Self {
            events,
            collection: collection.into(),
            upload_id: upload_id.into(),
            filename: filename.into(),
            started: Instant::now(),
            published: Arc::default(),
            since: Arc::new(Mutex::new((Instant::now(), 0))),
            interrupted: Arc::default(),
            late: Arc::default(),
            reply: Arc::default(),
        }
    }

    /// Sets where the outcome is sent.
    pub fn reply_to(&self, reply: oneshot::Sender<Outcome>) {
        *self.reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
    }

    /// Sends the outcome to the request that waits for it, if any.
    pub fn answer(&self, outcome: Outcome) {
        let reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            // An error only says that nobody waits.
            let _ = reply.send(outcome);
        }
    }

    /// Returns whether progress of a kind is to be published now.
    fn due(&self, kind: &'static str, progress: f64) -> bool {
        self.when(kind, progress, |last| progress > last) == When::Now
    }

    /// Returns when progress of a kind is to be published, if it is `further` than the last.
    fn when(&self, kind: &'static str, progress: f64, further: impl Fn(f64) -> bool) -> When {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let when = match published.get(kind) {
            None => When::Now,
            Some((_, last)) if !further(*last) => When::Never,
            Some((at, _)) if progress < 1.0 && now.duration_since(*at) < PUBLISH_EVERY => When::Later,
            Some(_) => When::Now,
        };
        if when == When::Now {
            published.insert(kind, (now, progress));
        }
        when
    }

    /// Publishes how many bytes were received; `whole` if these are all.
    pub fn received(&self, bytes: u64, total: u64, whole: bool) {
        // While the size is unknown the end is too: only the last of these says 1.0.
        let progress = if whole {
            1.0
        } else {
            (bytes as f64 / total.max(1) as f64).min(0.999)
        };
        // While the size is unknown the same share may be more bytes.
        match self.when("upload_progress", progress, |last| progress >= last) {
            When::Now => self.publish_bytes(bytes, total, progress),
            When::Later => self.received_later(bytes, total),
            When::Never => {}
        }
    }

    /// Publishes it in a moment, or what has been received by then: the last bytes before a pause must be published too.
    fn received_later(&self, bytes: u64, total: u64) {
        let waits = self.late.lock().unwrap_or_else(PoisonError::into_inner).replace((bytes, total));
        if waits.is_some() {
            return;
        }
        let reporter = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PUBLISH_EVERY).await;
            let newest = reporter.late.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some((bytes, total)) = newest {
                reporter.received(bytes, total, false);
            }
        });
    }

    /// Publishes how many bytes were received, however soon after the last event.
    pub fn publish_received(&self, bytes: u64, total: u64) {
        let progress = (bytes as f64 / total.max(1) as f64).min(0.999);
        self.late.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert("upload_progress", (Instant::now(), progress));
        self.publish_bytes(bytes, total, progress);
    }

    fn publish_bytes(&self, bytes: u64, total: u64, progress: f64) {
        let (since, before) = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = since.elapsed().as_secs_f64().max(1e-6);
        self.publish(UploadEvent::UploadProgress(UploadProgress {
            upload_id: self.upload_id.to_string(),
            filename: self.filename.to_string(),
            bytes_uploaded: bytes,
            total_bytes: total,
            progress,
            speed_mbps: bytes.saturating_sub(before) as f64 / 1e6 / seconds,
        }));
    }

    /// Notes that a new connection continues after these bytes: the speed is that of this connection.
    pub fn resumed(&self, bytes: u64) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), bytes);
        self.interrupted();
    }

    /// Notes that the upload was interrupted: its duration says nothing about others.
    pub fn interrupted(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// Returns whether the upload was never interrupted.
    pub fn was_whole(&self) -> bool {
        !self.interrupted.load(Ordering::Relaxed)
    }

    /// Publishes how far extraction is, in [0,1).
    pub fn extracting(&self, done: f64) {
        self.extraction(done.clamp(0.0, 0.999), "Extracting text");
    }

    /// Publishes that extraction is done; `missing` says what could not be read.
    pub fn extracted(&self, missing: Option<&str>) {
        self.extraction(1.0, missing.unwrap_or("Extracted text"));
    }

    fn extraction(&self, progress: f64, message: &str) {
        if self.due("processing_progress", progress) {
            self.publish(UploadEvent::ProcessingProgress(ProcessingProgress {
                upload_id: self.upload_id.to_string(),
                filename: self.filename.to_string(),
                stage: "text_extraction".to_owned(),
                progress,
                message: message.to_owned(),
            }));
        }
    }

    /// Publishes that all chunks were made.
    pub fn chunked(&self, total: u64) {
        if self.due("chunking_progress", 1.0) {
            self.publish(UploadEvent::ChunkingProgress(ChunkingProgress {
                upload_id: self.upload_id.to_string(),
                filename: self.filename.to_string(),
                chunks_processed: total,
                total_chunks: total,
                progress: 1.0,
            }));
        }
    }

    /// Publishes how many chunks have their embeddings.
    pub fn embedded(&self, done: u32, total: u32) {
        let progress = if total == 0 {
            1.0
        } else {
            f64::from(done.min(total)) / f64::from(total)
        };
        if self.due("embedding_progress", progress) {
            self.publish(UploadEvent::EmbeddingProgress(EmbeddingProgress {
                upload_id: self.upload_id.to_string(),
                filename: self.filename.to_string(),
                embeddings_generated: u64::from(done.min(total)),
                total_embeddings: u64::from(total),
                progress,
            }));
        }
    }
}

/// Returns which pages cannot be searched because they are pictures of text, as the extractor found; `None` if there are none.
pub(crate) fn missing_text(metadata: &BTreeMap<String, String>) -> Option<String> {
    metadata.get("needs_ocr").filter(|needs| *needs == "true")?;
    let pages = metadata
        .get("scanned_pages")
        .map_or("Most pages".to_owned(), |pages| match pages.parse::<u32>() {
            Ok(_) => format!("Page {pages}"),
            Err(_) => format!("Pages {pages}"),
        });
    let verb = if pages.starts_with("Page ") {
        "is a picture"
    } else {
        "are pictures"
    };
    Some(format!(
        "{pages} {verb} of text and cannot be searched. Run the file through OCR (`ocrmypdf`, for instance) and upload it again."
    ))
}

/// The speed of recent uploads, to estimate the next.
pub(crate) struct Pace {
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
    /// Returns the estimated seconds for a file, at least 1.
    pub fn estimate(&self, bytes: u64) -> u64 {
        (bytes / self.bytes_per_second.load(Ordering::Relaxed).max(1)).max(1)
    }

    /// Takes the duration of an upload into account.
    pub fn learn(&self, bytes: u64, time: Duration) {
        let seen = (bytes as f64 / time.as_secs_f64().max(1e-3)) as u64;
        let before = self.bytes_per_second.load(Ordering::Relaxed);
        self.bytes_per_second.store((before * 3 + seen) / 4, Ordering::Relaxed);
    }
}
