//! Documents from `received` to `live`: extract, chunk, embed, index, commit.
//!
//! Every step is recorded before the next begins, and a step begins only where the catalog agrees
//! that the document stands there: so a restart goes on at the last step, and work on a document
//! that was deleted meanwhile ends by itself.

pub(crate) mod pipeline_processor;
pub(crate) mod processor;
pub(crate) mod reindex;
pub(crate) mod reporter;
pub(crate) mod reports;
pub(crate) mod steps;
pub(crate) mod uploads;

use crate::error::PipelineError;
use crate::ingest::processor::{Chunker, Processor, Processors};
use crate::ingest::reporter::Reporter;
use crate::ingest::reports::{Ending, UploadReports};
use crate::lifecycle::Lifecycle;
use crate::manage::documents::Documents;
use crate::retry::{Reason, Retry};
use crate::spec::reindex_scope::with_extractor;
use crate::store::Store;
use crate::store::jobs::{Jobs, RunningJob};
use crate::store::leases::text_id;
use crate::timestamp;
use ibid_catalog::{DocumentRecord, DocumentState, Extracted, NewEvent};
use ibid_protocol::{ApiError, DocumentAdded, ErrorCode};
use ibid_telemetry::{self as telemetry, Stage as MeasuredStage, catalogue};
use std::sync::Arc;
use std::time::Instant;
use steps::{Indexed, Steps, WINDOW, Window, timed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

/// A document whose processing was begun this often without an end has taken the server down with
/// it more than once: it is given up.
pub(crate) const MAX_ATTEMPTS: u32 = 10;

/// The key of a document's metadata that tells of a chunker that failed.
const CHUNKER_WARNING: &str = "warning.chunker";

/// A document to process.
pub(crate) struct Job {
    /// As the catalog has it.
    pub document: DocumentRecord,
    /// Tells of its progress and its end.
    pub reporter: Reporter,
    /// The place of its upload, given back at the end.
    pub place: Option<OwnedSemaphorePermit>,
}

/// The place of a document in processing.
struct IngestPermit {
    _permit: OwnedSemaphorePermit,
    _running: telemetry::Held,
}

/// How work on a document ended.
enum End {
    Live(Box<DocumentRecord>),
    /// Deleted meanwhile, or the server stops.
    Parked,
}

/// Processes uploaded documents in the background, a few at a time.
pub(crate) struct Ingest {
    pub store: Arc<Store>,
    pub processors: Arc<dyn Processors>,
    pub steps: Arc<Steps>,
    pub jobs: Arc<Jobs>,
    pub documents: Arc<Documents>,
    pub reports: Arc<UploadReports>,
    pub lifecycle: Lifecycle,
    /// Permits for documents in processing.
    pub permits: Arc<Semaphore>,
}

impl Ingest {
    /// Processes a document in the background.
    pub(crate) fn start(self: &Arc<Self>, job: Job) {
        let ingest = self.clone();
        let id = job.document.id.clone();
        let running = self.jobs.ingesting.begin(&id, self.lifecycle.stopping.child_token());
        let span = tracing::error_span!("ingest", document = id, upload_id = &*job.reporter.upload_id);
        let trace = telemetry::trace::ingest(&job.reporter.upload_id, &id);
        let work = async move {
            ingest.run(job, &running).await;
            drop(running);
        };
        self.lifecycle.tasks.spawn(work.instrument(span).instrument(trace));
    }

    /// Goes on with a document that is not live. One that is indexed again after it was live has no open upload; its own
    /// identifier then names the work.
    pub(crate) fn resume(self: &Arc<Self>, document: DocumentRecord, upload_id: Option<String>) {
        tracing::info!(
            document = document.id,
            filename = document.filename,
            state = document.state.as_str(),
            "going on with a document"
        );
        self.store.visibility.hide(&document.collection_id, &document.id);
        let upload_id = upload_id.as_deref().unwrap_or(&document.id);
        let reporter = self.reports.reporter(&document.collection, upload_id, &document.filename);
        reporter.begun(document.file_size, true, &self.reports.pace);
        self.start(Job {
            document,
            reporter,
            place: None,
        });
    }

    async fn run(&self, job: Job, running: &RunningJob) {
        let Job { document, reporter, place } = job;
        let outcome = tokio::select! {
            biased;
            () = running.cancel.cancelled() => Ok(End::Parked),
            outcome = self.process_with_tries(&document, &reporter, running) => outcome,
        };
        let (generation, text_generation) = (document.generation, document.text_generation);
        let outcome = match outcome {
            Ok(End::Live(record)) => Ok(End::Live(record)),
            _ if self.documents.end_if_deleted(&document, generation, text_generation).await => Ok(End::Parked),
            other => other,
        };
        let ending = match outcome {
            Ok(End::Live(record)) => Ending::Live(record),
            Ok(End::Parked) if self.lifecycle.stopping.is_cancelled() => {
                tracing::info!(document = document.id, "parked: goes on at the next start");
                return;
            }
            Ok(End::Parked) if self.documents.goes_on_elsewhere(&document.id).await => {
                return self.reports.leave(&reporter);
            }
            Ok(End::Parked) => Ending::Cancelled,
            Err(error) => Ending::Failed(self.give_up(&document, error).await),
        };
        self.store.statistics_changed(&document.collection_id);
        self.reports.end(reporter, ending).await;
        drop(place);
    }

    /// Marks a document as failed and removes what was made of it.
    async fn give_up(&self, document: &DocumentRecord, error: PipelineError) -> ApiError {
        let failure = error.to_api_error("document_processing");
        tracing::warn!(document = document.id, filename = document.filename, code = ?failure.code, error = %failure, "document failed");
        let clean = async {
            // Without chunks it has no vectors, and the index may be away.
            let state = self.store.catalog.document(&document.id).await?.state;
            if !matches!(state, DocumentState::Received | DocumentState::Extracted) {
                self.store.remove_vectors(document).await?;
            }
            if self.store.catalog.fail(&document.id, failure.code.name(), &failure.message).await? {
                self.store.remove_files(document).await?;
            }
            Ok::<_, PipelineError>(())
        };
        if let Err(error) = clean.await {
            // The next start finds the rest: files that no document needs are removed there.
            tracing::error!(document = document.id, %error, "what was made of a failed document was not removed");
        }
        failure
    }

    async fn process_with_tries(&self, document: &DocumentRecord, reporter: &Reporter, running: &RunningJob) -> Result<End, PipelineError> {
        // What needs the index first of all does not begin, and is not counted as begun, before that is there.
        let mut needs_index = !matches!(document.state, DocumentState::Received | DocumentState::Extracted);
        let mut begun = false;
        let mut retry = Retry::new(self.lifecycle.clock.clone());
        loop {
            self.store.disk.wait_until_writable().await;
            if needs_index {
                self.store.wait_for_index(&document.collection_id).await?;
            }
            let Some(permit) = self.ingest_permit().await else {
                return Ok(End::Parked);
            };
            let error = match self.attempt(document, reporter, &mut begun, running).await {
                Ok(end) => return Ok(end),
                Err(error) => error,
            };
            // It keeps its state while it waits, and gives its permit to others.
            drop(permit);
            needs_index |= retry.after(error, &self.store.disk).await? == Reason::Outage;
        }
    }

    /// Goes on with a document from where it stands; the first time that is counted.
    async fn attempt(
        &self,
        document: &DocumentRecord,
        reporter: &Reporter,
        begun: &mut bool,
        running: &RunningJob,
    ) -> Result<End, PipelineError> {
        if !*begun {
            match self.store.catalog.begin_attempt(&document.id).await? {
                None => return Ok(End::Parked),
                Some(attempts) if attempts > MAX_ATTEMPTS => {
                    let message = format!("given up after {MAX_ATTEMPTS} attempts that did not end; the server's log may say why");
                    return Err(ApiError::new(ErrorCode::ProcessingError, message).into());
                }
                Some(_) => *begun = true,
            }
        }
        self.process(&document.id, reporter, running).await
    }

    /// Waits for the place of one of few documents in memory at a time; the others are rows of the catalog. `None` if the
    /// engine stops.
    async fn ingest_permit(&self) -> Option<IngestPermit> {
        let waiting = catalogue::INGEST_WAITING.hold::<&'static str>([]);
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        drop(waiting);
        Some(IngestPermit {
            _permit: permit,
            _running: catalogue::INGEST_RUNNING.hold::<&'static str>([]),
        })
    }

    /// Does step after step until the document is live.
    async fn process(&self, id: &str, reporter: &Reporter, running: &RunningJob) -> Result<End, PipelineError> {
        loop {
            let document = self.store.catalog.document(id).await?;
            let collection = self.store.catalog.collection_by_id(&document.collection_id).await?;
            let processor = self.processors.of_collection(&collection)?;
            let moved = match document.state {
                DocumentState::Received => timed(MeasuredStage::Extract, self.extract(&document, &*processor, reporter, running)).await?,
                DocumentState::Extracted => timed(MeasuredStage::Chunk, self.chunk(&document, &*processor, reporter)).await?,
                DocumentState::Chunked => self.embed_and_index(&document, &*processor, reporter, running).await?,
                DocumentState::Embedded => self.store.catalog.set_indexed(id).await?,
                DocumentState::Indexed => self.publish(&document, reporter.started).await?,
                DocumentState::Live => return Ok(End::Live(Box::new(document))),
                DocumentState::Failed | DocumentState::Deleting => return Ok(End::Parked),
            };
            // A collection that was re-indexed meanwhile has it begin anew.
            if !moved && self.store.catalog.document(id).await.ok().map(|now| now.generation) == Some(document.generation) {
                return Ok(End::Parked);
            }
        }
    }

    async fn extract(
        &self,
        document: &DocumentRecord,
        processor: &dyn Processor,
        reporter: &Reporter,
        running: &RunningJob,
    ) -> Result<bool, PipelineError> {
        reporter.extracting(0.0);
        let progress = reporter.clone();
        let original = processor.extract(document, Arc::new(move |done| progress.extracting(done))).await?;
        let found = Extracted {
            lock: with_extractor(&document.lock, Some(&original.extractor)),
            generation: document.generation,
            metadata: original.metadata,
            pages: original.pages,
            text_bytes: original.document.text.len() as u64,
            text_chars: original.text_chars,
        };
        let text = text_id(&document.id, document.text_generation);
        self.steps.write_text(text, original.document, running).await?;
        reporter.extracted(original.missing.as_deref());
        Ok(self.store.catalog.set_extracted(&document.id, &found).await?)
    }

    async fn chunk(&self, record: &DocumentRecord, processor: &dyn Processor, reporter: &Reporter) -> Result<bool, PipelineError> {
        let text = text_id(&record.id, record.text_generation);
        let (chunks, warning) = processor.chunk(record, &text, Chunker::OfDocument).await?;
        if let Some(warning) = warning {
            self.store.catalog.annotate(&record.id, CHUNKER_WARNING, &warning.message).await?;
        }
        let total = chunks.len() as u64;
        let moved = self.store.catalog.set_chunked(&record.id, &chunks).await?;
        reporter.chunked(total);
        Ok(moved)
    }

    async fn embed_and_index(
        &self,
        record: &DocumentRecord,
        processor: &dyn Processor,
        reporter: &Reporter,
        running: &RunningJob,
    ) -> Result<bool, PipelineError> {
        self.store.visibility.hide(&record.collection_id, &record.id);
        let total = record.chunks_total;
        reporter.embedded(record.chunks_indexed, total);
        let (indexed, text) = (Indexed::of(record), text_id(&record.id, record.text_generation));
        let mut done = record.chunks_indexed;
        while done < total {
            let chunks = self.store.catalog.chunks(&record.id, record.generation, done, WINDOW).await?;
            if chunks.is_empty() {
                return Ok(false);
            }
            let window = Window {
                document: &indexed,
                chunks: &chunks,
                texts: self.steps.texts_to_embed(&text, &chunks).await?,
                vectors: Vec::new(),
            };
            let (progress, before) = (reporter.clone(), done);
            let progress = Box::new(move |n| progress.embedded(before.saturating_add(n as u32), total));
            if self.steps.index_window(processor, window, progress, running).await?.is_none() {
                return Ok(false);
            }
            done = done.saturating_add(chunks.len() as u32);
            if !self.store.catalog.set_progress(&record.id, done).await? {
                return Ok(false);
            }
        }
        reporter.embedded(total, total);
        Ok(self.store.catalog.set_embedded(&record.id).await?)
    }

    /// Lets queries see the document, then tells of it.
    async fn publish(&self, record: &DocumentRecord, started: Instant) -> Result<bool, PipelineError> {
        let added = DocumentAdded {
            document_id: record.id.clone(),
            filename: record.filename.clone(),
            chunks_added: u64::from(record.chunks_total),
            timestamp: timestamp::now(),
        };
        let event = NewEvent::new("document_added", serde_json::to_value(&added).unwrap_or_default());
        let Some(event) = self
            .store
            .catalog
            .set_live(&record.id, started.elapsed().as_secs_f64(), event)
            .await?
        else {
            return Ok(false);
        };
        self.store.visibility.show(&record.collection_id, &record.id);
        self.store.publish(event);
        Ok(true)
    }
}

#[cfg(test)]
#[path = "ingest_tests/mod.rs"]
mod tests;
