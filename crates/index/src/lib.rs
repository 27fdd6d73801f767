//! The vector index: where chunks are found by meaning and by words.
//!
//! [`VectorIndex`] is the one interface to it; [`EmbeddedIndex`] keeps it in a directory of this machine, [`RemoteIndex`] in a Qdrant
//! server, and [`PlacedIndex`] knows which of them has which collection.

mod bm25;
mod embedded;
mod error;
mod fields;
mod filter;
mod placed;
mod remote;
mod terms;
mod types;

pub use bm25::Bm25;
pub use embedded::{EmbeddedIndex, EmbeddedOptions};
pub use error::{IndexError, Outage};
pub use filter::{DateRange, Filter};
pub use placed::PlacedIndex;
pub use remote::{Quantization, RemoteIndex, RemoteOptions};
pub use types::{CollectionKey, Hit, MAX_BATCH_QUERIES, MAX_LIMIT, Payload, Point, Query, QueryVector, Schema, SparseVector};

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A store of chunk vectors, in collections.
///
/// Calls are batches, so that a remote index costs one round trip each. All may be made concurrently; none blocks
/// the caller's thread. A call that is dropped may still take effect.
#[async_trait::async_trait]
pub trait VectorIndex: Send + Sync + 'static {
    /// Makes a collection. Does nothing if it exists with the same schema.
    ///
    /// # Errors
    /// [`IndexError::SchemaMismatch`] if it exists with another dimension.
    async fn create_collection(&self, collection: &CollectionKey, schema: &Schema) -> Result<(), IndexError>;

    /// Removes a collection and all that is stored for it; does nothing if there is none. Searches in flight may
    /// still finish with its content, later ones do not see it.
    async fn drop_collection(&self, collection: &CollectionKey) -> Result<(), IndexError>;

    /// The collections that exist, in order of their keys.
    async fn collections(&self) -> Result<Vec<CollectionKey>, IndexError>;

    /// Stores points, replacing those with the same document and chunk index. On return they are found by searches
    /// and survive the end of this process, not yet a loss of power: see [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`IndexError::Invalid`] for a vector of another dimension or with a number that is not finite: then nothing of
    /// the batch is stored.
    async fn upsert(&self, collection: &CollectionKey, points: Vec<Point>) -> Result<(), IndexError>;

    /// Answers a batch of at most [`MAX_BATCH_QUERIES`] queries: one list of hits for each, best first, ties in order
    /// of document and chunk index.
    async fn search(&self, collection: &CollectionKey, queries: Vec<Query>) -> Result<Vec<Vec<Hit>>, IndexError>;

    /// Removes a document's points and returns how many there were.
    async fn delete_document(&self, collection: &CollectionKey, document_id: &str) -> Result<u64, IndexError>;

    /// The exact number of points of a document, or of the collection.
    async fn count(&self, collection: &CollectionKey, document_id: Option<&str>) -> Result<u64, IndexError>;

    /// All documents that have points, with how many.
    async fn documents(&self, collection: &CollectionKey) -> Result<BTreeMap<String, u64>, IndexError>;

    /// The dense vectors of a document's chunks, `None` for a chunk that is not stored. The index keeps directions
    /// only: the vectors have length 1, whatever length they were stored with.
    ///
    /// # Errors
    /// [`IndexError::Invalid`] for more than [`MAX_LIMIT`] chunks.
    async fn vectors(&self, collection: &CollectionKey, document_id: &str, chunks: Range<u32>)
    -> Result<Vec<Option<Vec<f32>>>, IndexError>;

    /// A document's chunks as they are stored, in order, to be stored elsewhere; those that are not stored are left out. Dense
    /// vectors have length 1, as in [`vectors`](Self::vectors).
    ///
    /// # Errors
    /// [`IndexError::Invalid`] for more than [`MAX_LIMIT`] chunks.
    async fn points(&self, collection: &CollectionKey, document_id: &str, chunks: Range<u32>) -> Result<Vec<Point>, IndexError>;

    /// Makes all that was acknowledged so far durable against a loss of power.
    async fn flush(&self, collection: &CollectionKey) -> Result<(), IndexError>;

    /// Asks the index something real but cheap; the time it took to answer.
    async fn health(&self) -> Result<Duration, IndexError>;

    /// Bytes of storage that the collection occupies.
    async fn storage_bytes(&self, collection: &CollectionKey) -> Result<u64, IndexError>;

    /// Makes everything durable and lets go of it; later calls fail with [`IndexError::Closed`].
    async fn close(&self) -> Result<(), IndexError>;
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod remote_tests;
#[cfg(test)]
mod tests;
