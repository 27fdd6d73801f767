//! Generations of a collection: what a re-index makes beside what queries see. Plain data.

use super::types::{DocumentRecord, words};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use time::OffsetDateTime;

words! {
    /// How a re-index stands.
    ReindexStatus {
        /// At work.
        Running = "running",
        /// What it made is what queries see.
        Success = "success",
        /// Given up; what was there is as it was.
        Failed = "failed",
        /// Stopped; what was there is as it was.
        Cancelled = "cancelled",
    }
}

/// A re-index to begin.
#[derive(Debug, Clone)]
pub struct NewReindex {
    /// From which step it reprocesses documents, for people: `re-embed`, `re-chunk`, `re-extract` or `nothing`.
    pub scope: String,
    /// The same for every document, whatever else it would need.
    pub at_least: String,
    /// The pipeline that it makes documents with, and puts in place.
    pub pipeline: Value,
    /// What that resolved to.
    pub lock: Value,
}

/// The running or last re-index of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Reindex {
    /// The collection's identifier.
    pub collection_id: String,
    /// The generation that it makes; never used before.
    pub generation: u32,
    /// How it stands.
    pub status: ReindexStatus,
    /// From which step it reprocesses documents.
    pub scope: String,
    /// The same for every document at least.
    pub at_least: String,
    /// The pipeline that it makes documents with.
    pub pipeline: Value,
    /// What that resolved to.
    pub lock: Value,
    /// Why it was given up: a stable code, and a sentence for people.
    pub error: Option<(String, String)>,
    /// How far it is, or came.
    pub counts: ReindexCounts,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// When it began, or ended.
    pub updated_at: OffsetDateTime,
}

/// How far a re-index is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReindexCounts {
    /// Live documents.
    pub documents_total: u64,
    /// Those that are made anew.
    pub documents_done: u64,
    /// Chunks in the new index.
    pub chunks_done: u64,
    /// Those of them whose vectors were copied.
    pub chunks_reused: u64,
}

words! {
    /// How far a re-index is with a document.
    ReindexedState {
        /// Nothing is made yet.
        Begun = "begun",
        /// Its text is extracted anew.
        Extracted = "extracted",
        /// Its chunks are stored.
        Chunked = "chunked",
        /// The new index holds every chunk, durably.
        Ready = "ready",
    }
}

/// What a re-index has made of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct ReindexedDocument {
    /// The document.
    pub document_id: String,
    /// The generation that it is made for.
    pub generation: u32,
    /// How far it is.
    pub state: ReindexedState,
    /// The generation that its text was extracted for.
    pub text_generation: u32,
    /// As in [`DocumentRecord`].
    pub metadata: BTreeMap<String, String>,
    /// As in [`DocumentRecord`].
    pub pages: u32,
    /// As in [`DocumentRecord`].
    pub text_bytes: u64,
    /// As in [`DocumentRecord`].
    pub text_chars: u64,
    /// Number of chunks.
    pub chunks_total: u32,
    /// Chunks `0..chunks_indexed` are in the new index: where to resume.
    pub chunks_indexed: u32,
    /// Chunks whose vectors were copied.
    pub chunks_reused: u32,
    /// How often it was begun.
    pub attempts: u32,
    /// What makes it.
    pub lock: Value,
}

impl ReindexedDocument {
    /// Nothing made yet of `document`.
    pub fn begin(document: &DocumentRecord, generation: u32, lock: Value) -> Self {
        Self {
            document_id: document.id.clone(),
            generation,
            state: ReindexedState::Begun,
            text_generation: document.text_generation,
            metadata: document.metadata.clone(),
            pages: document.pages,
            text_bytes: document.text_bytes,
            text_chars: document.text_chars,
            chunks_total: 0,
            chunks_indexed: 0,
            chunks_reused: 0,
            attempts: 0,
            lock,
        }
    }
}

/// What came of the attempt to let queries see a new generation.
#[derive(Debug, Clone, PartialEq)]
pub enum Swap {
    /// They see it. The events that were recorded for it.
    Done(Vec<super::Event>),
    /// There are documents that are not made anew yet.
    NotReady,
    /// It does not run any more, or its collection is gone.
    Ended,
}
