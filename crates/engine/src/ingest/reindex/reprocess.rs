//! One document of a re-index: extracted, cut, embedded and indexed again, as far as its new pipeline asks for that.

use super::{Reindexer, Run};
use crate::error::PipelineError;
use crate::ingest::processor::Chunker;
use crate::ingest::steps::{Indexed, WINDOW, Window};
use crate::ingest::{CHUNKER_WARNING, MAX_ATTEMPTS};
use crate::retry::Retry;
use crate::spec::reindex_scope::{ReindexScope, with_extractor};
use crate::spec::{Lock, LockedPlugin};
use crate::store::jobs::RunningJob;
use crate::store::leases::text_id;
use ibid_catalog::{Chunk, DocumentRecord, ReindexedDocument, ReindexedState};
use ibid_index::{CollectionKey, VectorIndex};
use ibid_protocol::{ApiError, ErrorCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest pause that the others are given at once.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The hash of a text as it is indexed.
type TextHash = [u8; 32];

impl Reindexer {
    /// Makes one document for the new generation.
    pub(super) async fn reprocess(&self, document: &DocumentRecord, run: &mut Run<'_>) -> Result<(), PipelineError> {
        // One at a time, of all collections.
        let _permit = self.permit.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        // Registered before the catalog is asked whether it is live: who deletes it finds either this, or nothing that will come.
        let job = self.jobs.reprocessing.begin(&document.id, self.lifecycle.stopping.child_token());
        let target = run.target.clone();
        let scope = target.scope_of(document, ReindexScope::parse(&run.reindex.at_least).unwrap_or_default());
        let extractor = document.lock.pointer("/plugins/extractor").cloned();
        let extractor = extractor.and_then(|extractor| serde_json::from_value::<LockedPlugin>(extractor).ok());
        let lock = with_extractor(&json!(target.lock()), extractor.as_ref());
        let mut new = ReindexedDocument::begin(document, run.reindex.generation, lock);
        if scope == ReindexScope::Extract {
            new.text_generation = run.reindex.generation;
        }
        let Some(mut reindexed) = self.store.catalog.begin_reprocess(&new).await? else {
            return Ok(());
        };
        if reindexed.attempts > MAX_ATTEMPTS {
            let message = format!("given up after {MAX_ATTEMPTS} attempts that did not end; the server's log may say why");
            let error = ApiError::new(ErrorCode::ProcessingError, message);
            return Err(of_document(error.into(), document));
        }
        let mut retry = Retry::new(self.lifecycle.clock.clone());
        loop {
            let error = match self.run_steps(document, scope, &mut reindexed, run, &job).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if self.whole_waits(&error).await {
                // The whole re-index waits, and this is no attempt that failed.
                return Err(error);
            }
            if let Err(error) = retry.after_transient(error).await {
                return Err(of_document(error, document));
            }
        }
    }

    /// Whether a whole re-index waits after a failure: for a server that is away, or for a disk.
    async fn whole_waits(&self, error: &PipelineError) -> bool {
        error.is_outage() || self.store.disk.explains(error).await.is_some()
    }

    /// Does step after step until the document is ready, or stopped because it is deleted.
    async fn run_steps(
        &self,
        document: &DocumentRecord,
        scope: ReindexScope,
        reindexed: &mut ReindexedDocument,
        run: &mut Run<'_>,
        job: &RunningJob,
    ) -> Result<(), PipelineError> {
        let target = run.target.clone();
        let text = text_id(&document.id, reindexed.text_generation);
        loop {
            if job.cancel.is_cancelled() {
                return Ok(());
            }
            let start = Instant::now();
            // Not in the catalog yet: a try that fails must not have moved.
            let mut next = reindexed.clone();
            let chunks = match reindexed.state {
                ReindexedState::Begun if scope == ReindexScope::Extract => {
                    let original = target.extract(document, Arc::new(|_| {})).await?;
                    next.lock = with_extractor(&next.lock, Some(&original.extractor));
                    next.metadata = original.metadata;
                    next.pages = original.pages;
                    next.text_bytes = original.document.text.len() as u64;
                    next.text_chars = original.text_chars;
                    self.steps.write_text(text.clone(), original.document, job).await?;
                    next.state = ReindexedState::Extracted;
                    None
                }
                ReindexedState::Begun | ReindexedState::Extracted => {
                    let chunks = match scope {
                        ReindexScope::Nothing | ReindexScope::Embed => self.all_chunks(document).await?,
                        ReindexScope::Chunk | ReindexScope::Extract => {
                            let (chunks, warning) = target.chunk(document, &text, Chunker::OfPipeline).await?;
                            next.metadata.remove(CHUNKER_WARNING);
                            next.metadata
                                .extend(warning.map(|warning| (CHUNKER_WARNING.to_owned(), warning.message)));
                            chunks
                        }
                    };
                    next.chunks_total = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
                    next.state = ReindexedState::Chunked;
                    Some(chunks)
                }
                ReindexedState::Chunked => {
                    if !self.index_document(document, reindexed, run, job).await? {
                        return Ok(());
                    }
                    next = reindexed.clone();
                    next.state = ReindexedState::Ready;
                    None
                }
                ReindexedState::Ready => return self.publish_progress(run).await,
            };
            if !self.store.catalog.save_reindexed(&next, chunks.as_deref()).await? {
                return Ok(());
            }
            *reindexed = next;
            if reindexed.state != ReindexedState::Ready {
                self.leave_room(start.elapsed()).await;
            }
        }
    }

    /// Puts a document's chunks into the new index: those whose text was embedded before by the same model with their old vectors.
    /// False if it was stopped.
    async fn index_document(
        &self,
        document: &DocumentRecord,
        reindexed: &mut ReindexedDocument,
        run: &mut Run<'_>,
        job: &RunningJob,
    ) -> Result<bool, PipelineError> {
        let target = run.target.clone();
        let old_key = CollectionKey::of_generation(&document.collection_id, document.generation)?;
        let known = match serde_json::from_value::<Lock>(document.lock.clone()) {
            Ok(old) if old.model == target.lock().model => self.known_texts(document).await?,
            _ => HashMap::new(),
        };
        let mut shown = document.clone();
        shown.metadata.clone_from(&reindexed.metadata);
        let indexed = Indexed::of(&shown);
        let text = text_id(&document.id, reindexed.text_generation);
        while reindexed.chunks_indexed < reindexed.chunks_total {
            let start = Instant::now();
            let chunks = self
                .store
                .catalog
                .chunks(&document.id, reindexed.generation, reindexed.chunks_indexed, WINDOW)
                .await?;
            if chunks.is_empty() {
                return Ok(false);
            }
            let texts = self.steps.texts_to_embed(&text, &chunks).await?;
            let old: Vec<Option<u32>> = texts.iter().map(|text| known.get(&hash(text)).copied()).collect();
            let window = Window {
                document: &indexed,
                chunks: &chunks,
                vectors: self.old_vectors(&old_key, &document.id, &old).await?,
                texts,
            };
            let Some(reused) = self.steps.index_window(&*target, window, Box::new(|_| {}), job).await? else {
                return Ok(false);
            };
            reindexed.chunks_indexed = reindexed.chunks_indexed.saturating_add(chunks.len() as u32);
            reindexed.chunks_reused = reindexed.chunks_reused.saturating_add(reused);
            if job.cancel.is_cancelled() || !self.store.catalog.save_reindexed(reindexed, None).await? {
                return Ok(false);
            }
            self.publish_progress(run).await?;
            self.leave_room(start.elapsed()).await;
        }
        Ok(true)
    }

    /// A document's chunks, all of them.
    async fn all_chunks(&self, document: &DocumentRecord) -> Result<Vec<Chunk>, PipelineError> {
        let mut all = Vec::new();
        loop {
            let from = u32::try_from(all.len()).unwrap_or(u32::MAX);
            let part = self.store.catalog.chunks(&document.id, document.generation, from, 1_000).await?;
            if part.is_empty() {
                return Ok(all);
            }
            all.extend(part);
        }
    }

    /// Which chunk of the old generation has the vector of a text.
    async fn known_texts(&self, document: &DocumentRecord) -> Result<HashMap<TextHash, u32>, PipelineError> {
        let mut known = HashMap::new();
        let text = text_id(&document.id, document.text_generation);
        let mut from = 0;
        loop {
            let chunks = self.store.catalog.chunks(&document.id, document.generation, from, WINDOW).await?;
            if chunks.is_empty() {
                return Ok(known);
            }
            from = from.saturating_add(chunks.len() as u32);
            let texts = self.steps.texts_to_embed(&text, &chunks).await?;
            known.extend(texts.iter().zip(&chunks).map(|(text, chunk)| (hash(text), chunk.index)));
        }
    }

    /// The vectors of old chunks, in the order asked for; none for a chunk that is not there.
    async fn old_vectors(
        &self,
        key: &CollectionKey,
        document_id: &str,
        wanted: &[Option<u32>],
    ) -> Result<Vec<Option<Vec<f32>>>, PipelineError> {
        let mut indices: Vec<u32> = wanted.iter().flatten().copied().collect();
        indices.sort_unstable();
        indices.dedup();
        let mut found: HashMap<u32, Vec<f32>> = HashMap::with_capacity(indices.len());
        // One call for each run of neighbours.
        for run in indices.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let vectors = self.store.index.vectors(key, document_id, *first..last.saturating_add(1)).await?;
            found.extend((*first..).zip(vectors).filter_map(|(index, vector)| Some((index, vector?))));
        }
        Ok(wanted.iter().map(|index| found.get(index.as_ref()?).cloned()).collect())
    }

    /// Leaves the embedder and the disk to uploads and questions, for as long as the settings say after so much work.
    async fn leave_room(&self, worked: Duration) {
        self.lifecycle.clock.sleep(pause_after(worked, self.percent)).await;
    }
}

/// Returns how long to pause after so much work, of which `percent` of the time may consist.
fn pause_after(worked: Duration, percent: u32) -> Duration {
    let percent = percent.clamp(1, 100);
    let pause = worked.saturating_mul(100 - percent) / percent;
    pause.min(MAX_PAUSE)
}

/// Returns the hash of what the embedder reads of a chunk, without the document's name, which stays the same.
fn hash(text: &str) -> TextHash {
    Sha256::digest(text.as_bytes()).into()
}

/// Returns a failure with the document that it is about.
fn of_document(error: PipelineError, document: &DocumentRecord) -> PipelineError {
    let failure = error.to_api_error("reindex");
    let message = format!("`{}`: {}", document.filename, failure.message);
    ApiError { message, ..failure }.with("document_id", document.id.as_str()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_get_their_share_of_the_time_up_to_a_longest_pause() {
        let worked = Duration::from_secs(1);
        for (percent, pause) in [(100, 0), (50, 1), (25, 3), (1, 10), (0, 10), (1_000, 0)] {
            assert_eq!(pause_after(worked, percent), Duration::from_secs(pause), "{percent}%");
        }
    }
}
