//! The durable truth: collections, documents, chunks, uploads and events.
//!
//! Everyone above speaks to the [`Catalog`] trait; [`SqlCatalog`] implements it, in SQLite on one machine and in PostgreSQL for several
//! servers. Holds no text and no vectors: those are in the file store and in the index, and the catalog says which of them count. A state
//! move names the state it expects and tells whether it happened, so that work on a document that was deleted meanwhile stops by itself
//! and nothing is ever moved twice.

mod error;
mod generation;
mod settings;
mod shared;
mod sql;
mod types;
mod validate;

#[cfg(test)]
mod tests;

pub use error::CatalogError;
pub use generation::{NewReindex, Reindex, ReindexCounts, ReindexStatus, Remade, RemadeState, Swap};
pub use settings::PostgresOptions;
pub use shared::{BEAT, Claimed, Ear, Heard, LEASE, Shared};
pub use sql::{SqlCatalog, SqliteOptions};
pub use types::{
    Chunk, Collection, CollectionState, CollectionStats, Creation, DeletionReceipt, DocumentError, DocumentQuery, DocumentRecord,
    DocumentSort, DocumentState, Event, Extracted, Listing, LocatedChunk, NewDocument, NewEvent, NewUpload, Replay, Upload, UploadResult,
    UploadStatus,
};
pub use validate::collection_name as validate_collection_name;

use async_trait::async_trait;
use ibid_types::IndexBackend;
use serde_json::Value;
use std::sync::Arc;

/// A result of the catalog.
pub type Result<T> = std::result::Result<T, CatalogError>;

/// The catalog. Every method is one transaction: after `Ok` its effect survives a crash and a power
/// cut, after `Err`, or when its future is dropped before it is done, it took place wholly or not
/// at all. Any method may fail with `INTERNAL_ERROR` when the database does, and with
/// `SERVICE_UNAVAILABLE` when its disk cannot be written.
#[async_trait]
pub trait Catalog: Send + Sync {
    // Collections

    /// Makes a collection and records `event` for it. `name` has 1 to 64 characters of
    /// `A-Z a-z 0-9 _ . -` and starts with a letter or digit, else `VALIDATION_ERROR`; taken by a live
    /// collection: `CONFLICT`.
    async fn create_collection(
        &self,
        name: &str,
        pipeline: &Value,
        lock: &Value,
        place: IndexBackend,
        event: NewEvent,
    ) -> Result<(Collection, Event)>;
    /// The live collection of a name, else `COLLECTION_NOT_FOUND`.
    async fn collection(&self, name: &str) -> Result<Collection>;
    /// The collection of an identifier, live or being deleted, else `COLLECTION_NOT_FOUND`.
    async fn collection_by_id(&self, id: &str) -> Result<Collection>;
    /// Every live collection, by name.
    async fn collections(&self) -> Result<Vec<Collection>>;
    /// Puts another pipeline and lock in place and records `event`; `None` if the collection is not live.
    async fn set_pipeline(&self, id: &str, pipeline: &Value, lock: &Value, event: NewEvent) -> Result<Option<Event>>;
    /// Notes that a live collection is to move to another place; `false` if it is there, or moves already.
    async fn begin_move(&self, id: &str, to: IndexBackend) -> Result<bool>;
    /// Notes that a live collection does not move any more; `false` if it did not.
    async fn stop_move(&self, id: &str) -> Result<bool>;
    /// A live collection that moves is at its new place from now on, and records `event`; `None` if it does not move.
    async fn finish_move(&self, id: &str, event: NewEvent) -> Result<Option<Event>>;
    /// Begins to delete a live collection: its name is free from now on, its documents are `deleting` (also those in
    /// the middle of processing) and its open uploads `cancelled`. Else `COLLECTION_NOT_FOUND`.
    async fn begin_delete_collection(&self, name: &str) -> Result<Collection>;
    /// Removes a collection that is being deleted, its uploads and its events, and records `event`
    /// (`None` if it was not there). Its documents must have been finished one by one before, else
    /// `CONFLICT`: that is what makes sure that their files went.
    async fn finish_delete_collection(&self, id: &str, event: NewEvent) -> Result<Option<Event>>;
    /// Collections that are being deleted: to go on with at start, after their documents.
    async fn deleting_collections(&self) -> Result<Vec<Collection>>;
    /// Exact counts of one collection (zeros for an unknown one).
    async fn stats(&self, collection_id: &str) -> Result<CollectionStats>;
    /// Exact counts of every live collection at one moment, by identifier.
    async fn all_stats(&self) -> Result<Vec<(String, CollectionStats)>>;

    // Documents

    /// Creates a document in state `received`, of the collection's generation, unless the collection already has the same bytes in
    /// a document that is neither failed nor being deleted. Of two at the same moment one is
    /// created. A collection that is not live: `COLLECTION_NOT_FOUND`; an upload that is no longer
    /// receiving (it was cancelled): `CONFLICT`.
    ///
    /// Hold the file ([`ibid_files::FileHold`]) across its commit and this call.
    async fn create_document(&self, new: NewDocument) -> Result<Creation>;
    /// A document in any state, else `RESOURCE_NOT_FOUND`.
    async fn document(&self, id: &str) -> Result<DocumentRecord>;
    /// The documents of the given identifiers that are live, in no order; others are left out.
    async fn live_documents(&self, ids: &[String]) -> Result<Vec<DocumentRecord>>;
    /// A page of documents and their number. `limit` out of 1..=1000: `VALIDATION_ERROR`.
    async fn list_documents(&self, query: &DocumentQuery) -> Result<Listing<DocumentRecord>>;
    /// Counts an attempt to process a document and returns how many that makes; `None` if there is
    /// nothing to process (live, failed, deleting or gone). With it a document that kills the
    /// server can be given up after some.
    async fn begin_attempt(&self, id: &str) -> Result<Option<u32>>;
    /// `received` to `extracted`, of a document that is still of that generation.
    async fn set_extracted(&self, id: &str, found: &Extracted) -> Result<bool>;
    /// Adds an entry to a document's metadata, or replaces the one of that key. `false` if there is no such document.
    async fn annotate(&self, id: &str, key: &str, value: &str) -> Result<bool>;
    /// `extracted` to `chunked`, with the chunks: numbered 0, 1, ... in order, else `VALIDATION_ERROR`.
    async fn set_chunked(&self, id: &str, chunks: &[Chunk]) -> Result<bool>;
    /// Records that the index durably holds the first `chunks_indexed` chunks of a document that is
    /// `chunked` or `embedded`. Never goes back; more than there are: `CONFLICT`.
    async fn set_progress(&self, id: &str, chunks_indexed: u32) -> Result<bool>;
    /// `chunked` to `embedded`: every chunk has its vectors.
    async fn set_embedded(&self, id: &str) -> Result<bool>;
    /// `embedded` to `indexed`. `CONFLICT` while the progress is short of all chunks.
    async fn set_indexed(&self, id: &str) -> Result<bool>;
    /// `indexed` to `live`, and records `event`; `None` if it did not happen.
    async fn set_live(&self, id: &str, processing_seconds: f64, event: NewEvent) -> Result<Option<Event>>;
    /// `live` back to `chunked`, with nothing indexed: its vectors were lost and have to be made again.
    async fn reopen(&self, id: &str) -> Result<bool>;
    /// `live` back to `received`, without chunks: its text was lost and has to be made again of its original.
    async fn extract_again(&self, id: &str) -> Result<bool>;
    /// Gives up a document that is being processed; its chunks go. `code` and `message` are for the client.
    async fn fail(&self, id: &str, code: &str, message: &str) -> Result<bool>;
    /// Documents to take up again at start, oldest first.
    async fn unfinished(&self) -> Result<Vec<DocumentRecord>>;
    /// Identifiers of all documents of a collection that are not live: what a search has to hide.
    async fn hidden_documents(&self, collection_id: &str) -> Result<Vec<String>>;
    /// Live documents of a collection with their number of chunks: what the index has to hold.
    async fn live_chunk_counts(&self, collection_id: &str) -> Result<Vec<(String, u32)>>;
    /// How many documents need the bytes of a file, over all collections: those that are neither
    /// failed nor being deleted. Hold the file while acting on the answer.
    async fn file_references(&self, sha256: &str) -> Result<u64>;

    // Deletion

    /// Begins to delete a document in any state: nothing shows it from now on, and no step of its processing is recorded any more.
    /// `RESOURCE_NOT_FOUND` if it is gone or already being deleted.
    async fn begin_delete(&self, id: &str) -> Result<DocumentRecord>;
    /// Documents that are being deleted, of one collection or of all, oldest first.
    async fn deleting_documents(&self, collection_id: Option<&str>) -> Result<Vec<DocumentRecord>>;
    /// Removes what the catalog has of a document that is being deleted (chunks, uploads, events,
    /// itself) and records `event`; `None` if it was not being deleted. Remove vectors, text and file before.
    async fn finish_delete(&self, id: &str, event: Option<NewEvent>) -> Result<Option<(DeletionReceipt, Option<Event>)>>;

    // Generations

    /// Begins to re-index a live collection (else `COLLECTION_NOT_FOUND`) into a generation that was never used, and records `event`;
    /// `CONFLICT` while it is re-indexed already.
    async fn begin_reindex(&self, collection_id: &str, new: &NewReindex, event: NewEvent) -> Result<(Reindex, Event)>;
    /// The running or last re-index of a collection.
    async fn reindex(&self, collection_id: &str) -> Result<Option<Reindex>>;
    /// Those that run, oldest first: to go on with at start. Without their counts.
    async fn running_reindexes(&self) -> Result<Vec<Reindex>>;
    /// Puts another lock of the same pipeline in place; `false` if it does not run.
    async fn set_reindex_lock(&self, collection_id: &str, generation: u32, lock: &Value) -> Result<bool>;
    /// The first live document after the identifier `after` that is not ready in a generation.
    async fn next_to_remake(&self, collection_id: &str, generation: u32, after: Option<&str>) -> Result<Option<DocumentRecord>>;
    /// Registers a live document with a running re-index, as nothing made yet, or finds what was made of it; counts the attempt.
    /// `None` if the document is not live, or the re-index does not run.
    async fn begin_remake(&self, new: &Remade) -> Result<Option<Remade>>;
    /// Records what was made of a document, with all of its chunks where those are given; `false` if the document is not live, or not
    /// registered.
    async fn save_remade(&self, remade: &Remade, chunks: Option<&[Chunk]>) -> Result<bool>;
    /// Documents that a collection's running re-index has begun: how far it is, and how many chunks the index has of each.
    async fn remade_counts(&self, collection_id: &str) -> Result<Vec<(String, RemadeState, u32)>>;
    /// The generation of the text that a running re-index needs of a document.
    async fn remade_text(&self, document_id: &str) -> Result<Option<u32>>;
    /// Forgets what was made of a document for a generation: it has to be made again.
    async fn forget_remade(&self, document_id: &str, generation: u32) -> Result<()>;
    /// Lets queries see a generation: collection and live documents are of it from now on, by its pipeline and locks, and documents on
    /// their way begin anew for it. Records `events`. All of it, or nothing.
    async fn swap_generation(&self, collection_id: &str, generation: u32, events: Vec<NewEvent>) -> Result<Swap>;
    /// Ends a running re-index without a swap, with a code and a sentence where it failed, and records `event`; `None` if it had ended.
    async fn end_reindex(
        &self,
        reindex: &Reindex,
        status: ReindexStatus,
        error: Option<(&str, &str)>,
        event: NewEvent,
    ) -> Result<Option<Event>>;
    /// Removes some chunks that are neither of their document's generation nor of a running re-index; returns how many. Call it until
    /// there are none.
    async fn sweep_generations(&self, collection_id: &str) -> Result<u64>;

    // Chunks

    /// Chunks `from..from + limit` of a document in any state, of a generation, in order. `limit` out of 1..=10000: `VALIDATION_ERROR`.
    async fn chunks(&self, document_id: &str, generation: u32, from: u32, limit: u32) -> Result<Vec<Chunk>>;
    /// Chunks of a generation by document and index, in the order asked for. Those of documents that are not live
    /// are left out: with this a query sees a document wholly or not at all, whatever the index says.
    async fn chunks_by_refs(&self, generation: u32, refs: &[(String, u32)]) -> Result<Vec<LocatedChunk>>;

    // Uploads

    /// Registers an upload in state `receiving`.
    async fn create_upload(&self, new: NewUpload) -> Result<Upload>;
    /// An upload, else `RESOURCE_NOT_FOUND`.
    async fn upload(&self, id: &str) -> Result<Upload>;
    /// Records how many bytes are durably there; `false` if it is no longer receiving. More than
    /// `file_size`: `CONFLICT`.
    async fn set_upload_received(&self, id: &str, bytes: u64) -> Result<bool>;
    /// Ends an upload; `false` if it had ended. A status that is not final: `VALIDATION_ERROR`.
    async fn finish_upload(&self, id: &str, result: &UploadResult) -> Result<bool>;
    /// Uploads that are receiving or processing, oldest first.
    async fn open_uploads(&self) -> Result<Vec<Upload>>;
    /// Forgets uploads that ended, or last received anything, before `before`; returns the
    /// identifiers of those that were still receiving, whose staged bytes are to be dropped.
    async fn expire_uploads(&self, before: time::OffsetDateTime) -> Result<Vec<String>>;

    // Events

    /// Records an event of a collection; the oldest go when the log is full.
    async fn append_event(&self, collection_id: &str, event: NewEvent) -> Result<Event>;
    /// Up to `limit` (1..=1000) events after `after`, of the named collections or of all.
    async fn events_since(&self, after: u64, collections: Option<&[String]>, limit: u32) -> Result<Replay>;

    // The catalog itself

    /// Copies the catalog as it is at one moment into a file that is not there yet. Writers go on meanwhile.
    async fn copy_to(&self, path: &std::path::Path) -> Result<()>;
    /// What servers share over this catalog; `None` where it is one server's own.
    fn shared(&self) -> Option<Arc<dyn Shared>>;
    /// Whether the database answers.
    async fn check(&self) -> Result<()>;
    /// Waits for what is under way and closes the database; later calls fail.
    async fn close(&self);
}
