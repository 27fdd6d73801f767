//! The catalog's data: collections, documents, chunks, uploads, events. Plain data; nothing here says how it is stored.

use ibid_types::IndexBackend;
use ibid_types::document::{Attrs, Span};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Defines an enum that is stored and sent as a lower-case word.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that stands for it in the database and in the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value that a word stands for.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}
pub(super) use words;

words! {
    /// State of a collection.
    CollectionState {
        /// In use.
        Live = "live",
        /// Being deleted: no longer found by name.
        Deleting = "deleting",
    }
}

words! {
    /// How far a document is. The first six follow one another; a query sees `Live` ones only.
    DocumentState {
        /// The bytes are stored.
        Received = "received",
        /// Text, units and metadata are stored.
        Extracted = "extracted",
        /// The chunks are stored.
        Chunked = "chunked",
        /// Every chunk has its vectors.
        Embedded = "embedded",
        /// The index holds every chunk, durably.
        Indexed = "indexed",
        /// Found by queries.
        Live = "live",
        /// Given up; the error says why.
        Failed = "failed",
        /// Being deleted: nothing shows it any more.
        Deleting = "deleting",
    }
}

impl DocumentState {
    /// Whether the pipeline still works on it.
    pub fn is_processing(self) -> bool {
        !matches!(self, Self::Live | Self::Failed | Self::Deleting)
    }

    /// The state that follows when a step succeeds; `None` after the last step.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Received => Some(Self::Extracted),
            Self::Extracted => Some(Self::Chunked),
            Self::Chunked => Some(Self::Embedded),
            Self::Embedded => Some(Self::Indexed),
            Self::Indexed => Some(Self::Live),
            Self::Live | Self::Failed | Self::Deleting => None,
        }
    }
}

words! {
    /// State of an upload.
    UploadStatus {
        /// Bytes are still coming.
        Receiving = "receiving",
        /// All bytes are here; the document is being made.
        Processing = "processing",
        /// The document is live.
        Success = "success",
        /// No document came of it.
        Failed = "failed",
        /// The collection already had these bytes.
        Duplicate = "duplicate",
        /// Stopped by the client.
        Cancelled = "cancelled",
    }
}

impl UploadStatus {
    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Receiving | Self::Processing)
    }
}

/// A collection: documents that are searched together, and the pipeline that makes them so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Collection {
    /// UUID (version 7) as text; the key of its index. Never reused, unlike the name.
    pub id: String,
    /// Unique among live collections.
    pub name: String,
    /// Live or being deleted.
    pub state: CollectionState,
    /// The pipeline as it was configured.
    pub pipeline: Value,
    /// What the pipeline resolved to: digests, hashes, numbers.
    pub lock: Value,
    /// Where its vectors are.
    pub place: IndexBackend,
    /// Where they are being moved to, if they are.
    pub moving_to: Option<IndexBackend>,
    /// The generation that queries see: it rises with every re-index.
    pub generation: u32,
    /// How often its pipeline was changed.
    pub revision: u64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Exact counts of a collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CollectionStats {
    /// Live documents.
    pub documents: u64,
    /// Chunks of live documents.
    pub chunks: u64,
    /// Bytes of the live documents' original files.
    pub file_bytes: u64,
    /// UTF-8 bytes of the live documents' texts.
    pub text_bytes: u64,
    /// Documents on their way to live.
    pub processing: u64,
    /// Documents that were given up.
    pub failed: u64,
}

/// Why a document was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentError {
    /// The last state that it had reached.
    pub stage: DocumentState,
    /// Stable code.
    pub code: String,
    /// For people; holds no internals.
    pub message: String,
}

/// A document as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentRecord {
    /// `doc_` and a UUID without hyphens; later documents sort after earlier ones.
    pub id: String,
    /// The collection's identifier.
    pub collection_id: String,
    /// The collection's name.
    pub collection: String,
    /// As uploaded, without directories.
    pub filename: String,
    /// Media type.
    pub content_type: String,
    /// Bytes of the original.
    pub file_size: u64,
    /// Of the original, 64 lower-case hexadecimal digits; its key in the file store.
    pub sha256: String,
    /// How far it is.
    pub state: DocumentState,
    /// Why it was given up, if it was.
    pub error: Option<DocumentError>,
    /// From the file: `title`, `author`, `language`, ...
    pub metadata: BTreeMap<String, String>,
    /// From the uploader: a JSON object.
    pub user_metadata: serde_json::Map<String, Value>,
    /// Number of pages; 0 where the format has none.
    pub pages: u32,
    /// UTF-8 bytes of the text.
    pub text_bytes: u64,
    /// Code points of the text.
    pub text_chars: u64,
    /// Number of chunks.
    pub chunks_total: u32,
    /// Chunks `0..chunks_indexed` are in the index: where to resume.
    pub chunks_indexed: u32,
    /// How often work on it was begun.
    pub attempts: u32,
    /// What made it: the collection's lock at the time.
    pub lock: Value,
    /// The collection's generation that it was made for.
    pub generation: u32,
    /// The generation that its text was extracted for.
    pub text_generation: u32,
    /// When it was received.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its state last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// When it became live.
    #[serde(with = "time::serde::rfc3339::option")]
    pub processed_at: Option<OffsetDateTime>,
    /// Seconds that its processing took.
    pub processing_seconds: Option<f64>,
}

/// A document to create.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// The collection's identifier.
    pub collection_id: String,
    /// The upload that brought it; it moves to `processing` in the same transaction.
    pub upload_id: Option<String>,
    /// 1 to 1,024 bytes, no control characters.
    pub filename: String,
    /// Media type.
    pub content_type: String,
    /// Bytes of the original.
    pub file_size: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// From the uploader.
    pub user_metadata: serde_json::Map<String, Value>,
    /// The lock of the collection's pipeline.
    pub lock: Value,
    /// The collection's revision that the lock is of.
    pub revision: u64,
}

/// What came of creating a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Creation {
    /// It is new, in state `received`.
    Created(Box<DocumentRecord>),
    /// The collection already has these bytes, as this document.
    Duplicate(Box<DocumentRecord>),
}

/// What extraction found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extracted {
    /// From the file: `title`, `author`, ...
    pub metadata: BTreeMap<String, String>,
    /// Number of pages; 0 where the format has none.
    pub pages: u32,
    /// UTF-8 bytes of the text.
    pub text_bytes: u64,
    /// Code points of the text.
    pub text_chars: u64,
    /// The document's generation that it was extracted for.
    pub generation: u32,
    /// The document's lock, with what extracted it.
    pub lock: Value,
}

/// A chunk: where it stands. Its text is in the file store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Position among the document's chunks, from 0.
    pub index: u32,
    /// Where it stands in the text, in bytes.
    pub at: Span,
    /// Code points before it.
    pub char_start: u64,
    /// Code points before its end.
    pub char_end: u64,
    /// The page that holds its start, from 1.
    pub page: Option<u32>,
    /// Headings above it, outermost first.
    pub section: Vec<String>,
    /// Text elsewhere that was embedded with it.
    pub context: Vec<Span>,
    /// What the chunker said of it.
    pub attrs: Attrs,
}

/// A chunk with its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LocatedChunk {
    /// The document's identifier.
    pub document_id: String,
    /// The generation of the text that its offsets are for.
    pub text_generation: u32,
    /// The chunk.
    pub chunk: Chunk,
}

/// What deleting a document removed from the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeletionReceipt {
    /// The document's identifier.
    pub document_id: String,
    /// Its collection.
    pub collection_id: String,
    /// Rows of chunks.
    pub chunks: u64,
    /// Rows of uploads.
    pub uploads: u64,
    /// Of the original.
    pub sha256: String,
}

/// Which documents to list, and how.
#[derive(Debug, Clone)]
pub struct DocumentQuery {
    /// Collections by identifier; `None` lists all.
    pub collection_ids: Option<Vec<String>>,
    /// States to list; empty lists all but `deleting`.
    pub states: Vec<DocumentState>,
    /// What to sort by. Equals are sorted by identifier.
    pub sort_by: DocumentSort,
    /// Largest, newest or last first.
    pub descending: bool,
    /// 1 to 1,000.
    pub limit: u32,
    /// How many to skip.
    pub offset: u64,
}

impl Default for DocumentQuery {
    fn default() -> Self {
        Self {
            collection_ids: None,
            states: Vec::new(),
            sort_by: DocumentSort::UploadDate,
            descending: true,
            limit: 50,
            offset: 0,
        }
    }
}

words! {
    /// What a list of documents is sorted by.
    DocumentSort {
        /// When it was received.
        UploadDate = "upload_date",
        /// File name; ASCII letters without regard to case.
        Filename = "filename",
        /// Bytes of the original.
        Size = "size",
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<T> {
    /// This page.
    pub items: Vec<T>,
    /// How many there are in all, at the same moment.
    pub total: u64,
}

/// An upload to register.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// The collection's identifier.
    pub collection_id: String,
    /// 1 to 1,024 bytes, no control characters.
    pub filename: String,
    /// Media type.
    pub content_type: String,
    /// Bytes that will come, if that is known.
    pub file_size: Option<u64>,
    /// What the client asked for (processing mode, metadata, ...), kept for a resumption.
    pub options: Value,
}

/// An upload, kept so that a late subscriber and a restarted server know of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Upload {
    /// `upload_` and a random UUID without hyphens.
    pub id: String,
    /// The collection's identifier.
    pub collection_id: String,
    /// The collection's name.
    pub collection: String,
    /// The document that it became, or, for a duplicate, that was there.
    pub document_id: Option<String>,
    /// As uploaded.
    pub filename: String,
    /// Media type.
    pub content_type: String,
    /// Bytes that will come, if that is known.
    pub file_size: Option<u64>,
    /// Bytes that are durably here. Recorded now and then, so possibly fewer than have come.
    pub bytes_received: u64,
    /// How far it is.
    pub status: UploadStatus,
    /// What the client asked for.
    pub options: Value,
    /// How it ended: the `data` of `upload_complete`.
    pub result: Option<Value>,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// How an upload ended.
#[derive(Debug, Clone)]
pub struct UploadResult {
    /// A final status.
    pub status: UploadStatus,
    /// The document, where there is one.
    pub document_id: Option<String>,
    /// The `data` of `upload_complete`.
    pub data: Value,
}

/// Something that happened in a collection, to be published on `/ws/collections`.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// `document_added`, `document_deleted`, `collection_created`, ...
    pub kind: String,
    /// The message's `data`.
    pub data: Value,
}

impl NewEvent {
    /// An event of a kind with its data.
    pub fn new(kind: impl Into<String>, data: Value) -> Self {
        Self { kind: kind.into(), data }
    }
}

/// An event as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Rises with every event; there may be gaps.
    pub seq: u64,
    /// The collection's identifier.
    pub collection_id: String,
    /// The collection's name at the time.
    pub collection: String,
    /// `document_added`, ...
    pub kind: String,
    /// The message's `data`.
    pub data: Value,
    /// When it was recorded.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Events after a point, and what is no longer there.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// In order of `seq`.
    pub events: Vec<Event>,
    /// Upper bound on the events of the chosen collections after that point that the bounded log
    /// has dropped; 0 if it has dropped none.
    pub missed: u64,
    /// The newest `seq` that was ever given, of any collection; 0 if none was.
    pub last_seq: u64,
}
