//! Documents from `received` to `live`: extract, chunk, embed, index, commit.
//!
//! Every step is recorded before the next begins, and a step begins only where the catalog agrees
//! that the document stands there: so a restart goes on at the last step, and work on a document
//! that was deleted meanwhile ends by itself.

use super::chunker_imports::chunker_imports;
use super::engine::Engine;
use super::error::PipelineError;
use super::filters::moment;
use super::generation::text_id;
use super::passages::page_break;
use super::policy::Rescue;
use super::redo::with_extractor;
use super::reporter::{Reporter, missing_text};
use super::resolve::{Resolved, Stage, locked};
use super::spec::{LockedPlugin, Pipeline};
use super::timestamp;
use super::upload::Ending;
use ibid_catalog::{Chunk, DocumentRecord, DocumentState, Extracted, NewEvent};
use ibid_embed::Embedder;
use ibid_index::{Payload, Point, SparseVector, VectorIndex};
use ibid_plugin_host::{Blob, FileBlob, Piece};
use ibid_protocol::{ApiError, DocumentAdded, ErrorCode, Warning};
use ibid_telemetry::{self as telemetry, Stage as MeasuredStage, catalogue};
use ibid_types::document::{CodePoints, Document, Sections, Span};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Chunks that are embedded and indexed at a time: what is redone after a crash, and the memory
/// that a document's vectors take (128 of 384 numbers are 200 KB).
pub(super) const WINDOW: u32 = 128;
/// A document whose processing was begun this often without an end has taken the server down with
/// it more than once: it is given up.
pub(super) const MAX_ATTEMPTS: u32 = 10;
/// Tries of a step that failed for a reason that may pass, with pauses of 0.5 s, 1 s, 2 s, ...
pub(super) const MAX_TRIES: u32 = 6;
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause of a document that waits for a server.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A document to process.
pub(super) struct Job {
    /// As the catalog has it.
    pub document: DocumentRecord,
    /// Tells of its progress and its end.
    pub reporter: Reporter,
    /// The place of its upload, given back at the end.
    pub place: Option<OwnedSemaphorePermit>,
}

/// The place of a document in processing.
struct IngestPlace {
    _place: OwnedSemaphorePermit,
    _running: telemetry::Held,
}

/// How work on a document ended.
enum End {
    Live(Box<DocumentRecord>),
    /// Deleted meanwhile, or the server stops.
    Parked,
}

/// Does a stage's work, measured.
pub(super) async fn timed<T>(stage: MeasuredStage, work: impl Future<Output = T>) -> T {
    telemetry::stage(telemetry::Pipeline::Ingest, stage, work).await
}

impl Engine {
    /// Processes a document in the background.
    pub(super) fn ingest(self: &Arc<Self>, job: Job) {
        let engine = self.clone();
        let id = job.document.id.clone();
        let in_process = self.in_process.begin(&id, self.stopping.child_token());
        let span = tracing::error_span!("ingest", document = id, upload_id = &*job.reporter.upload_id);
        let trace = telemetry::trace::ingest(&job.reporter.upload_id, &id);
        let work = async move {
            engine.run(job, in_process.cancel.clone()).await;
            drop(in_process);
        };
        self.tasks.spawn(work.instrument(span).instrument(trace));
    }

    /// Writes something of a document, to the end also if its processing is cancelled. Who stops that waits for it.
    async fn write<T: Send + 'static>(
        &self,
        document_id: &str,
        work: impl Future<Output = Result<T, PipelineError>> + Send + 'static,
    ) -> Result<T, PipelineError> {
        let task = self.in_process.writes(document_id).spawn(work.in_current_span());
        task.await?
    }

    async fn run(self: &Arc<Self>, job: Job, cancel: CancellationToken) {
        let Job { document, reporter, place } = job;
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Ok(End::Parked),
            outcome = self.process_with_tries(&document, &reporter) => outcome,
        };
        let (generation, text_generation) = (document.generation, document.text_generation);
        let outcome = match outcome {
            Ok(End::Live(record)) => Ok(End::Live(record)),
            _ if self.end_if_deleted(&document, generation, text_generation).await => Ok(End::Parked),
            other => other,
        };
        let ending = match outcome {
            Ok(End::Live(record)) => Ending::Live(record),
            Ok(End::Parked) if self.stopping.is_cancelled() => {
                tracing::info!(document = document.id, "parked: goes on at the next start");
                return;
            }
            Ok(End::Parked) if self.goes_on_elsewhere(&document.id).await => {
                return self.leave_upload(&reporter);
            }
            Ok(End::Parked) => Ending::Cancelled,
            Err(error) => Ending::Failed(self.give_up(&document, error).await),
        };
        self.statistics_changed(&document.collection_id);
        self.end_upload(reporter, ending).await;
        drop(place);
    }

    /// Marks a document as failed and removes what was made of it.
    async fn give_up(&self, document: &DocumentRecord, error: PipelineError) -> ApiError {
        let told = error.to_api_error("document_processing");
        tracing::warn!(document = document.id, filename = document.filename, code = ?told.code, error = %told, "document failed");
        let clean = async {
            // Without chunks it has no vectors, and the index may be away.
            let state = self.catalog.document(&document.id).await?.state;
            if !matches!(state, DocumentState::Received | DocumentState::Extracted) {
                self.remove_vectors(document).await?;
            }
            if self.catalog.fail(&document.id, told.code.name(), &told.message).await? {
                self.remove_files(document).await?;
            }
            Ok::<_, PipelineError>(())
        };
        if let Err(error) = clean.await {
            // The next start finds the rest: files that no document needs are removed there.
            tracing::error!(document = document.id, %error, "what was made of a failed document was not removed");
        }
        told
    }

    async fn process_with_tries(self: &Arc<Self>, document: &DocumentRecord, reporter: &Reporter) -> Result<End, PipelineError> {
        // What needs the index first of all does not begin, and is not counted as begun, before that is there.
        let mut needs_index = !matches!(document.state, DocumentState::Received | DocumentState::Extracted);
        let mut begun = false;
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            self.disk.wait_until_writable().await;
            if needs_index {
                self.index_is_there(&document.collection_id).await?;
            }
            let Some(place) = self.ingest_place().await else {
                return Ok(End::Parked);
            };
            match self.attempt(document, reporter, &mut begun).await {
                // A server that is away, or a disk that is full, is nothing that the document did: it keeps its state and waits, however
                // long that takes, and gives its place to others.
                Err(error) if error.is_outage() => {
                    tracing::warn!(document = document.id, %error, "waiting for a server that is away");
                    needs_index = true;
                    drop(place);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    let transient = error.is_transient() && tries < MAX_TRIES;
                    drop(place);
                    if self.wait_for_disk(&error, &mut pause).await {
                        tracing::warn!(document = document.id, %error, "waited for the disk");
                    } else if transient {
                        tracing::warn!(document = document.id, %error, ?pause, "trying again");
                        tokio::time::sleep(pause).await;
                        pause *= 2;
                        tries += 1;
                    } else {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Goes on with a document from where it stands; the first time that is counted.
    async fn attempt(self: &Arc<Self>, document: &DocumentRecord, reporter: &Reporter, begun: &mut bool) -> Result<End, PipelineError> {
        if !*begun {
            match self.catalog.begin_attempt(&document.id).await? {
                None => return Ok(End::Parked),
                Some(attempts) if attempts > MAX_ATTEMPTS => {
                    let message = format!("given up after {MAX_ATTEMPTS} attempts that did not end; the server's log may say why");
                    return Err(ApiError::new(ErrorCode::ProcessingError, message).into());
                }
                Some(_) => *begun = true,
            }
        }
        self.process(&document.id, reporter).await
    }

    /// Waits for the place of one of few documents in memory at a time; the others are rows of the catalog. `None` if the
    /// engine stops.
    async fn ingest_place(&self) -> Option<IngestPlace> {
        let waiting = catalogue::INGEST_WAITING.hold::<&'static str>([]);
        let place = self.ingests.clone().acquire_owned().await.ok()?;
        drop(waiting);
        Some(IngestPlace {
            _place: place,
            _running: catalogue::INGEST_RUNNING.hold::<&'static str>([]),
        })
    }

    /// Does step after step until the document is live.
    async fn process(self: &Arc<Self>, id: &str, reporter: &Reporter) -> Result<End, PipelineError> {
        loop {
            let document = self.catalog.document(id).await?;
            let collection = self.catalog.collection_by_id(&document.collection_id).await?;
            let resolved = self.resolve_collection(&collection)?;
            let moved = match document.state {
                DocumentState::Received => timed(MeasuredStage::Extract, self.extract(&document, &resolved, reporter)).await?,
                DocumentState::Extracted => timed(MeasuredStage::Chunk, self.chunk(&document, &resolved, reporter)).await?,
                DocumentState::Chunked => self.embed_and_index(&document, &resolved, reporter).await?,
                DocumentState::Embedded => self.catalog.set_indexed(id).await?,
                DocumentState::Indexed => self.publish(&document, reporter.started).await?,
                DocumentState::Live => return Ok(End::Live(Box::new(document))),
                DocumentState::Failed | DocumentState::Deleting => return Ok(End::Parked),
            };
            // A collection that was re-indexed meanwhile has it begin anew.
            if !moved && self.catalog.document(id).await.ok().map(|now| now.generation) == Some(document.generation) {
                return Ok(End::Parked);
            }
        }
    }

    async fn extract(self: &Arc<Self>, document: &DocumentRecord, resolved: &Resolved, reporter: &Reporter) -> Result<bool, PipelineError> {
        reporter.extracting(0.0);
        let progress = reporter.clone();
        let original = self
            .read_original(document, &resolved.pipeline, move |done| progress.extracting(done))
            .await?;
        let found = Extracted {
            lock: with_extractor(&document.lock, Some(&original.extractor)),
            generation: document.generation,
            metadata: original.metadata,
            pages: original.pages,
            text_bytes: original.document.text.len() as u64,
            text_chars: original.text_chars,
        };
        let text = text_id(&document.id, document.text_generation);
        self.disk.admit(original.document.text.len() as u64).await?;
        let files = self.files.clone();
        self.write(&document.id, async move {
            Ok(files.write_document(&text, Arc::new(original.document)).await?)
        })
        .await?;
        reporter.extracted(original.missing.as_deref());
        Ok(self.catalog.set_extracted(&document.id, &found).await?)
    }

    /// Extracts a document's text, by the extractor that a pipeline has for it; `progress` is told from 0 to 1.
    pub(super) async fn read_original(
        &self,
        document: &DocumentRecord,
        pipeline: &Pipeline,
        progress: impl Fn(f64) + Clone + Send + Sync + 'static,
    ) -> Result<Original, PipelineError> {
        let stage = self.extractor(pipeline, &document.content_type)?;
        let source: Arc<dyn Blob> = Arc::new(FileBlob::new(self.files.open(&document.sha256).await?).map_err(unreadable)?);
        let read = async |stage: &Stage| {
            let progress = progress.clone();
            self.plugin_host
                .extract(&stage.plugin, &stage.config, source.clone(), &stage.budget, move |done| {
                    progress(f64::from(done))
                })
                .await
        };
        let (mut extracted, extractor, warning) = match read(&stage).await {
            Ok(extracted) => (extracted, &stage, None),
            Err(error) => match stage.rescue("extractors", error)? {
                (Rescue::Fallback(stage), warning) => (read(stage).await?, stage, Some(warning)),
                // A pipeline that would skip the extractor is not admitted.
                (Rescue::Skip, warning) => return Err(ApiError::new(ErrorCode::PluginError, warning.message).into()),
            },
        };
        let extractor = locked(&extractor.plugin);
        extracted
            .attrs
            .push(("extractor".to_owned(), format!("{}@{}", extractor.name, extractor.version)));
        extracted
            .attrs
            .extend(warning.map(|warning| ("warning.extractor".to_owned(), warning.message)));
        let metadata = extracted.metadata();
        let missing = missing_text(&metadata);
        if extracted.text.trim().is_empty() && missing.is_none() {
            return Err(ApiError::new(ErrorCode::ProcessingError, format!("`{}` holds no text", document.filename)).into());
        }
        Ok(Original {
            metadata,
            pages: u32::try_from(extracted.pages.len()).unwrap_or(u32::MAX),
            text_chars: extracted.text.chars().count() as u64,
            document: extracted,
            extractor,
            missing,
        })
    }

    async fn chunk(&self, record: &DocumentRecord, resolved: &Resolved, reporter: &Reporter) -> Result<bool, PipelineError> {
        let stage = self.chunker_of(record, resolved)?;
        let embedder = resolved.embedder.embedder().await?;
        let text = text_id(&record.id, record.text_generation);
        let (chunks, warning) = self.cut(record, &text, &stage, &embedder).await?;
        if let Some(warning) = warning {
            self.catalog.annotate(&record.id, "warning.chunker", &warning.message).await?;
        }
        let total = chunks.len() as u64;
        let moved = self.catalog.set_chunked(&record.id, &chunks).await?;
        reporter.chunked(total);
        Ok(moved)
    }

    /// Cuts a document's text into chunks; tells where the chunker's fallback did it.
    pub(super) async fn cut(
        &self,
        record: &DocumentRecord,
        text: &str,
        stage: &Stage,
        embedder: &Embedder,
    ) -> Result<(Vec<Chunk>, Option<Warning>), PipelineError> {
        let mut document = self.files.read_document(text).await?;
        // What a chunker may want to know of the file, beside what the file says of itself.
        document.attrs.push(("filename".to_owned(), record.filename.clone()));
        document.attrs.push(("media-type".to_owned(), record.content_type.clone()));
        let document = Arc::new(document);
        let whole = Span::new(0, u32::try_from(document.text.len()).unwrap_or(u32::MAX));
        let cut = async |stage: &Stage| {
            self.plugin_host
                .chunk(
                    &stage.plugin,
                    &stage.config,
                    &document,
                    whole,
                    chunker_imports(stage, embedder),
                    &stage.budget,
                )
                .await
        };
        let (pieces, warning) = match cut(stage).await {
            Ok(pieces) => (pieces, None),
            Err(error) => match stage.rescue("chunker", error)? {
                (Rescue::Fallback(stage), warning) => (cut(stage).await?, Some(warning)),
                // A pipeline that would skip the chunker is not admitted.
                (Rescue::Skip, warning) => return Err(ApiError::new(ErrorCode::PluginError, warning.message).into()),
            },
        };
        let chunks = tokio::task::spawn_blocking(move || locate(&document, pieces)).await?;
        Ok((chunks, warning))
    }

    async fn embed_and_index(
        self: &Arc<Self>,
        record: &DocumentRecord,
        resolved: &Arc<Resolved>,
        reporter: &Reporter,
    ) -> Result<bool, PipelineError> {
        self.visibility.hide(&record.collection_id, &record.id);
        let total = record.chunks_total;
        reporter.embedded(record.chunks_indexed, total);
        let payload = payload(record);
        let name = readable_name(&record.filename);
        let embedder = resolved.embedder.embedder().await?;
        let mut done = record.chunks_indexed;
        while done < total {
            let chunks = self.catalog.chunks(&record.id, record.generation, done, WINDOW).await?;
            if chunks.is_empty() {
                return Ok(false);
            }
            let text = text_id(&record.id, record.text_generation);
            let texts = self.texts_to_embed(&text, &chunks).await?;
            let (progress, before) = (reporter.clone(), done);
            let named = texts.iter().map(|text| named(&name, text)).collect();
            let embedding = embedder.embed_texts(named, move |n| progress.embedded(before.saturating_add(n as u32), total));
            let vectors = timed(MeasuredStage::Embed, embedding).await?;
            let terms = terms(resolved, texts).await?;
            let points = chunks
                .iter()
                .zip(vectors)
                .zip(terms)
                .map(|((chunk, dense), sparse)| Point {
                    document_id: record.id.clone(),
                    chunk_index: chunk.index,
                    dense,
                    sparse,
                    payload: payload.clone(),
                })
                .collect();
            let (index, key) = (self.index.clone(), resolved.key.clone());
            let indexing = self.write(&record.id, async move {
                index.upsert(&key, points).await?;
                Ok(index.flush(&key).await?)
            });
            timed(MeasuredStage::Index, indexing).await?;
            done = done.saturating_add(chunks.len() as u32);
            if !self.catalog.set_progress(&record.id, done).await? {
                return Ok(false);
            }
        }
        reporter.embedded(total, total);
        Ok(self.catalog.set_embedded(&record.id).await?)
    }

    /// What is indexed of each chunk: its context, then the chunk.
    pub(super) async fn texts_to_embed(&self, text: &str, chunks: &[Chunk]) -> Result<Vec<String>, PipelineError> {
        let spans: Vec<Span> = chunks
            .iter()
            .flat_map(|chunk| chunk.context.iter().copied().chain([chunk.at]))
            .collect();
        let mut parts = self.files.read_spans(text, &spans).await?.into_iter();
        Ok(chunks
            .iter()
            .map(|chunk| {
                let parts: Vec<String> = parts.by_ref().take(chunk.context.len() + 1).collect();
                parts.iter().map(|part| part.trim()).collect::<Vec<_>>().join("\n")
            })
            .collect())
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
        let Some(event) = self.catalog.set_live(&record.id, started.elapsed().as_secs_f64(), event).await? else {
            return Ok(false);
        };
        self.visibility.show(&record.collection_id, &record.id);
        self.tell(event);
        Ok(true)
    }
}

/// What was extracted of a document.
pub(super) struct Original {
    /// Text and structure.
    pub document: Document,
    /// From the file.
    pub metadata: BTreeMap<String, String>,
    /// Number of pages.
    pub pages: u32,
    /// Code points of the text.
    pub text_chars: u64,
    /// What extracted it.
    pub extractor: LockedPlugin,
    /// Why there is little text, if that is known.
    pub missing: Option<String>,
}

/// What the embedder reads of a chunk. The name tells it which company or year a passage is of, where the passage does not say.
/// BM25 reads only the text: in every chunk of a document the name tells it nothing of the chunk, and its words crowd out the
/// chunk's own.
pub(super) fn named(name: &str, text: &str) -> String {
    format!("{name}\n{text}")
}

/// The texts' words, as BM25 weighs them.
pub(super) async fn terms(resolved: &Arc<Resolved>, texts: Vec<String>) -> Result<Vec<SparseVector>, PipelineError> {
    let resolved = resolved.clone();
    Ok(tokio::task::spawn_blocking(move || texts.iter().map(|text| resolved.bm25.document(text)).collect()).await?)
}

fn unreadable(error: std::io::Error) -> PipelineError {
    tracing::error!(%error, "a stored file cannot be read");
    ApiError::new(ErrorCode::InternalError, "the stored file cannot be read").into()
}

/// The chunks as the catalog and the API have them: with code points, pages and headings.
fn locate(document: &Document, pieces: Vec<Piece>) -> Vec<Chunk> {
    let mut starts = CodePoints::new(&document.text);
    let mut sections = Sections::new(document);
    pieces
        .into_iter()
        .zip(0..)
        .map(|(piece, index)| {
            let char_start = starts.before(piece.at.start);
            let length = piece.at.of(&document.text).map_or(0, |text| text.chars().count() as u64);
            let first = document.pages.partition_point(|page| page.at.start <= piece.at.start);
            let breaks = document.pages.iter().skip(first).take_while(|page| page.at.start < piece.at.end);
            let mut attrs = piece.attrs;
            attrs.extend(breaks.map(|page| page_break(page.number, page.at.start)));
            Chunk {
                index,
                at: piece.at,
                char_start,
                char_end: char_start + length,
                page: document.page_at(piece.at.start).map(|page| page.number),
                section: sections.at(piece.at.start),
                context: piece.context,
                attrs,
            }
        })
        .collect()
}

/// A file name as words: without its extension, `_` and `-` as spaces.
pub(super) fn readable_name(filename: &str) -> String {
    let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
    stem.replace(['_', '-'], " ")
}

/// What filters can ask of a document's chunks.
pub(super) fn payload(record: &DocumentRecord) -> Payload {
    let metadata = super::documents::all_metadata(record);
    let extension = record
        .filename
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_lowercase())
        .unwrap_or_default();
    let authors = metadata
        .get("author")
        .map(|authors| authors.split(';').map(|author| author.trim().to_owned()).collect())
        .unwrap_or_default();
    let created = metadata.get("created").and_then(|created| moment(created, false));
    Payload {
        source: record.filename.clone(),
        document_type: extension,
        authors,
        created,
        metadata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_types::document::{Page, Unit};

    #[test]
    fn a_file_name_is_read_as_words() {
        assert_eq!(readable_name("3M_2018-annual report.final.pdf"), "3M 2018 annual report.final");
        assert_eq!(readable_name("README"), "README");
    }

    #[test]
    fn chunks_are_located_in_code_points_with_page_and_section() {
        let text = "Ä title\nFirst page.\nSecond page.";
        let second = text.find("Second").unwrap() as u32;
        let end = text.len() as u32;
        let document = Document {
            text: text.to_owned(),
            units: vec![Unit {
                at: Span::new(0, 8),
                kind: "heading".into(),
                level: 1,
                title: None,
            }],
            pages: vec![
                Page {
                    at: Span::new(0, second),
                    number: 1,
                    label: None,
                },
                Page {
                    at: Span::new(second, end),
                    number: 2,
                    label: None,
                },
            ],
            attrs: Vec::new(),
        };
        let piece = |start, end| Piece {
            at: Span::new(start, end),
            context: Vec::new(),
            attrs: Vec::new(),
        };
        let chunks = locate(&document, vec![piece(9, second - 1), piece(9, end), piece(second, end)]);
        assert_eq!((chunks[0].char_start, chunks[0].char_end, chunks[0].page), (8, 19, Some(1)));
        assert_eq!(chunks[0].section, ["Ä title"]);
        assert_eq!(chunks[1].attrs, [page_break(2, second)]);
        assert_eq!((chunks[2].char_start, chunks[2].char_end, chunks[2].page), (20, 32, Some(2)));
    }
}
