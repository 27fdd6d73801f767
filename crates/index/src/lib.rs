//! The vector index: finds chunks by meaning and by words.
//!
//! [`VectorIndex`] is its interface. [`EmbeddedIndex`] stores collections in a directory of this machine, [`RemoteIndex`] in a Qdrant
//! server, and [`RoutedIndex`] routes each call to the one that has the collection.

mod bm25;
mod embedded;
mod error;
mod fields;
mod filter;
mod remote;
mod routed;
mod terms;
mod types;

pub use bm25::Bm25;
pub use embedded::{EmbeddedIndex, EmbeddedOptions};
pub use error::{IndexError, Outage};
pub use filter::{DateRange, Filter};
pub use remote::{Quantization, RemoteIndex, RemoteOptions};
pub use routed::RoutedIndex;
pub use types::{CollectionKey, Hit, MAX_BATCH_QUERIES, MAX_LIMIT, Payload, Point, Query, QueryVector, Schema, SparseVector};

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A store of chunk vectors, in collections.
///
/// Calls are batches, so that a remote index needs one round trip each. All may run concurrently; none blocks the caller's thread. A call
/// whose future is dropped may still take effect.
#[async_trait::async_trait]
pub trait VectorIndex: Send + Sync + 'static {
    /// Creates a collection. Does nothing if it exists with the same schema.
    ///
    /// # Errors
    /// [`IndexError::SchemaMismatch`] if it exists with another dimension.
    async fn create_collection(&self, collection: &CollectionKey, schema: &Schema) -> Result<(), IndexError>;

    /// Removes a collection with all its data; does nothing if there is none. Searches in flight may still return its content, later ones
    /// do not.
    async fn drop_collection(&self, collection: &CollectionKey) -> Result<(), IndexError>;

    /// Returns the collections that exist, in order of their keys.
    async fn collections(&self) -> Result<Vec<CollectionKey>, IndexError>;

    /// Stores points, replacing those with the same document and chunk index. When it returns, searches find them, and they survive the end
    /// of this process, but not yet a power failure: see [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`IndexError::Invalid`] for a vector of another dimension or with a number that is not finite: then nothing of
    /// the batch is stored.
    async fn upsert(&self, collection: &CollectionKey, points: Vec<Point>) -> Result<(), IndexError>;

    /// Runs a batch of at most [`MAX_BATCH_QUERIES`] queries. Returns one list of hits for each, best first, equal ones in the order of
    /// document and chunk index.
    async fn search(&self, collection: &CollectionKey, queries: Vec<Query>) -> Result<Vec<Vec<Hit>>, IndexError>;

    /// Removes a document's points and returns how many there were.
    async fn delete_document(&self, collection: &CollectionKey, document_id: &str) -> Result<u64, IndexError>;

    /// Returns the exact number of points of a document, or of the collection.
    async fn count(&self, collection: &CollectionKey, document_id: Option<&str>) -> Result<u64, IndexError>;

    /// Returns all documents that have points, and how many.
    async fn documents(&self, collection: &CollectionKey) -> Result<BTreeMap<String, u64>, IndexError>;

    /// Returns the dense vectors of a document's chunks, `None` for a chunk that is not stored. The index stores directions only: the
    /// vectors have length 1, whatever length they were stored with.
    ///
    /// # Errors
    /// [`IndexError::Invalid`] for more than [`MAX_LIMIT`] chunks.
    async fn vectors(&self, collection: &CollectionKey, document_id: &str, chunks: Range<u32>)
    -> Result<Vec<Option<Vec<f32>>>, IndexError>;

    /// Returns a document's stored chunks in order, to be copied elsewhere; chunks that are not stored are skipped. Dense vectors have
    /// length 1, as in [`vectors`](Self::vectors).
    ///
    /// # Errors
    /// [`IndexError::Invalid`] for more than [`MAX_LIMIT`] chunks.
    async fn points(&self, collection: &CollectionKey, document_id: &str, chunks: Range<u32>) -> Result<Vec<Point>, IndexError>;

    /// Makes everything acknowledged so far durable against a power failure.
    async fn flush(&self, collection: &CollectionKey) -> Result<(), IndexError>;

    /// Sends a real but cheap request. Returns the time that it took.
    async fn health(&self) -> Result<Duration, IndexError>;

    /// Returns how many bytes of storage the collection occupies.
    async fn storage_bytes(&self, collection: &CollectionKey) -> Result<u64, IndexError>;

    /// Makes everything durable and closes the index; later calls fail with [`IndexError::Closed`].
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
