//! The durable truth: collections, documents, chunks, uploads and events.
//!
//! Everyone above calls [`Catalog`]. It is in SQLite on one machine, and in PostgreSQL for several servers. It holds no text and no
//! vectors: those are in the file store and in the index, and the catalog says which of them count. A state move names the state that it
//! expects and returns whether it happened, so that work on a document that was deleted meanwhile stops by itself and nothing is ever
//! moved twice.

mod error;
mod generation;
mod shared;
mod sql;
mod types;
mod validate;

#[cfg(test)]
mod tests;

pub use error::CatalogError;
pub use generation::{NewReindex, Reindex, ReindexCounts, ReindexStatus, ReindexedDocument, ReindexedState, Swap};
pub use shared::{Claimed, HEARTBEAT, LEASE, Notification};
pub use sql::{Catalog, Listener, PostgresOptions, Shared, SqliteOptions};
pub use types::{
    Chunk, Collection, CollectionState, CollectionStats, Creation, DeletionReceipt, DocumentError, DocumentQuery, DocumentRecord,
    DocumentSort, DocumentState, Event, Extracted, Listing, LocatedChunk, NewDocument, NewEvent, NewUpload, Replay, Upload, UploadResult,
    UploadStatus,
};
pub use validate::collection_name as validate_collection_name;

/// A result of the catalog.
pub type Result<T> = std::result::Result<T, CatalogError>;
