//! The steps over the store that ingest and re-index share: writing a text, reading the texts of chunks, embedding and indexing a window
//! of chunks.

use crate::error::PipelineError;
use crate::ingest::processor::{EmbedProgress, Processor};
use crate::manage::documents::all_metadata;
use crate::query::filters::moment;
use crate::store::Store;
use crate::store::jobs::RunningJob;
use ibid_catalog::{Chunk, DocumentRecord};
use ibid_index::{CollectionKey, Payload, Point, VectorIndex};
use ibid_telemetry::{self as telemetry, Stage as MeasuredStage};
use ibid_types::document::{Document, Span};
use std::sync::Arc;

/// Chunks that are embedded and indexed at a time: what is redone after a crash, and the memory
/// that a document's vectors take (128 of 384 numbers are 200 KB).
pub(crate) const WINDOW: u32 = 128;

/// Does a stage's work, measured.
pub(crate) async fn timed<T>(stage: MeasuredStage, work: impl Future<Output = T>) -> T {
    telemetry::stage(telemetry::Pipeline::Ingest, stage, work).await
}

/// The steps over the durable state.
pub(crate) struct Steps {
    pub store: Arc<Store>,
}

/// What the points of all chunks of a document have in common.
pub(crate) struct Indexed {
    /// The document.
    pub id: String,
    /// Its name as words, which the embedder reads before each chunk.
    pub name: String,
    /// What filters can ask of it.
    pub payload: Payload,
}

impl Indexed {
    /// Returns what is indexed of a document with each of its chunks.
    pub fn of(record: &DocumentRecord) -> Self {
        Self {
            id: record.id.clone(),
            name: readable_name(&record.filename),
            payload: payload(record),
        }
    }
}

/// Some chunks of a document that follow one another.
pub(crate) struct Window<'a> {
    /// The document.
    pub document: &'a Indexed,
    /// The chunks.
    pub chunks: &'a [Chunk],
    /// What is indexed of each chunk, in their order.
    pub texts: Vec<String>,
    /// The vectors that are known already, in the order of the chunks; those that are missing are computed.
    pub vectors: Vec<Option<Vec<f32>>>,
}

impl Steps {
    /// Writes the text of a document durably, to the end also if the job is stopped: whoever stops it waits for that.
    pub async fn write_text(&self, text_id: String, document: Document, job: &RunningJob) -> Result<(), PipelineError> {
        self.store.disk.admit(document.text.len() as u64).await?;
        let files = self.store.files.clone();
        let writing = async move { Ok(files.write_document(&text_id, Arc::new(document)).await?) };
        job.write(writing).await
    }

    /// Returns what is indexed of each chunk: its context, then the chunk.
    pub async fn texts_to_embed(&self, text_id: &str, chunks: &[Chunk]) -> Result<Vec<String>, PipelineError> {
        let spans: Vec<Span> = chunks
            .iter()
            .flat_map(|chunk| chunk.context.iter().copied().chain([chunk.at]))
            .collect();
        let mut parts = self.store.files.read_spans(text_id, &spans).await?.into_iter();
        Ok(chunks
            .iter()
            .map(|chunk| {
                let parts: Vec<String> = parts.by_ref().take(chunk.context.len() + 1).collect();
                parts.iter().map(|part| part.trim()).collect::<Vec<_>>().join("\n")
            })
            .collect())
    }

    /// Embeds the chunks of a window whose vectors are not known, and indexes all of them durably. Returns how many vectors were known, or
    /// `None` if the job was stopped before it indexed any. What is being written is written to the end also if the job is stopped.
    pub async fn index_window(
        &self,
        processor: &dyn Processor,
        window: Window<'_>,
        progress: EmbedProgress,
        job: &RunningJob,
    ) -> Result<Option<u32>, PipelineError> {
        let Window {
            document,
            chunks,
            texts,
            mut vectors,
        } = window;
        vectors.resize(chunks.len(), None);
        let missing: Vec<String> = texts
            .iter()
            .zip(&vectors)
            .filter(|(_, vector)| vector.is_none())
            .map(|(text, _)| named(&document.name, text))
            .collect();
        let known = u32::try_from(chunks.len().saturating_sub(missing.len())).unwrap_or(u32::MAX);
        if !missing.is_empty() {
            let embedded = tokio::select! {
                biased;
                () = job.cancel.cancelled() => return Ok(None),
                embedded = timed(MeasuredStage::Embed, processor.embed(missing, progress)) => embedded?,
            };
            let places = vectors.iter_mut().filter(|vector| vector.is_none());
            places.zip(embedded).for_each(|(place, vector)| *place = Some(vector));
        }
        let terms = processor.terms(texts).await?;
        let points = chunks
            .iter()
            .zip(vectors)
            .zip(terms)
            .filter_map(|((chunk, dense), sparse)| {
                Some(Point {
                    document_id: document.id.clone(),
                    chunk_index: chunk.index,
                    dense: dense?,
                    sparse,
                    payload: document.payload.clone(),
                })
            })
            .collect();
        self.index(processor.key(), points, job).await?;
        Ok(Some(known))
    }

    async fn index(&self, key: &CollectionKey, points: Vec<Point>, job: &RunningJob) -> Result<(), PipelineError> {
        let (index, key) = (self.store.index.clone(), key.clone());
        let indexing = job.write(async move {
            index.upsert(&key, points).await?;
            Ok(index.flush(&key).await?)
        });
        timed(MeasuredStage::Index, indexing).await
    }
}

/// Returns what the embedder reads of a chunk. The name tells it which company or year a passage is of, where the passage does not say.
/// BM25 reads only the text: in every chunk of a document the name tells it nothing of the chunk, and its words crowd out the
/// chunk's own.
fn named(name: &str, text: &str) -> String {
    format!("{name}\n{text}")
}

/// Returns a file name as words: without its extension, `_` and `-` as spaces.
fn readable_name(filename: &str) -> String {
    let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
    stem.replace(['_', '-'], " ")
}

/// Returns what filters can ask of a document's chunks.
fn payload(record: &DocumentRecord) -> Payload {
    let metadata = all_metadata(record);
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
#[path = "steps_tests.rs"]
mod tests;
