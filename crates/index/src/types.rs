//! The types of the index: points, queries and hits.
//!
//! `Point`, `Payload` and `SparseVector` are Protocol Buffers messages, so that the embedded index can journal them without a copy: their
//! tags are a storage format and must not change.

use super::error::IndexError;
use super::filter::Filter;
use ibid_types::document::{generation_of, in_generation};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// The most hits of one query, and the most chunks whose vectors one call returns.
pub const MAX_LIMIT: usize = 10_000;

/// The most queries in one batch.
pub const MAX_BATCH_QUERIES: usize = 256;

/// Rejects a batch of too many queries.
pub(super) fn check_batch(queries: &[Query]) -> Result<(), IndexError> {
    if queries.len() > MAX_BATCH_QUERIES {
        return Err(IndexError::invalid(format!(
            "a batch holds {MAX_BATCH_QUERIES} queries, not {}",
            queries.len()
        )));
    }
    Ok(())
}

/// The largest dimension of a dense vector (the engine's own limit).
const MAX_DIMENSION: u32 = 65_536;

/// The namespace of point ids; any fixed value would do.
const POINT_NAMESPACE: Uuid = Uuid::from_u128(0x8f1c_2a4e_6b3d_4c59_9e07_51d2_7fa8_c3b6);

/// The name of a collection, or of a generation of it, in the index: 1 to 64 ASCII letters, digits, `-` or `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionKey(Arc<str>);

impl CollectionKey {
    /// Checks a key. It becomes a directory name, hence the narrow alphabet.
    pub fn new(key: &str) -> Result<Self, IndexError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if key.is_empty() || key.len() > 64 || !key.bytes().all(legal) {
            return Err(IndexError::invalid(
                "a collection key must have 1 to 64 letters, digits, '-' or '_'",
            ));
        }
        Ok(Self(key.into()))
    }

    /// Makes the key of a collection's generation. A collection's identifier never ends like a generation.
    pub fn of_generation(collection: &str, generation: u32) -> Result<Self, IndexError> {
        Self::new(&in_generation(collection, generation))
    }

    /// Returns the collection's identifier and the generation.
    pub fn parts(&self) -> (&str, u32) {
        generation_of(&self.0)
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CollectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The schema of a collection's vectors. Dense vectors are compared by cosine, sparse ones by dot product weighted with the inverse
/// document frequency of each term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The dimension of dense vectors, 1 to 65,536.
    pub dimension: u32,
}

impl Schema {
    pub(super) fn check(&self) -> Result<(), IndexError> {
        if self.dimension == 0 || self.dimension > MAX_DIMENSION {
            return Err(IndexError::invalid(format!(
                "the dimension is 1 to {MAX_DIMENSION}, not {}",
                self.dimension
            )));
        }
        Ok(())
    }
}

/// A vector that is mostly zero: `values[i]` at `indices[i]`. Indices rise strictly.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparseVector {
    /// The indices of the values, in rising order.
    #[prost(uint32, repeated, tag = "1")]
    pub indices: Vec<u32>,
    /// The values that are not zero.
    #[prost(float, repeated, tag = "2")]
    pub values: Vec<f32>,
}

impl SparseVector {
    /// Returns the vector without the indices of `other`, or unchanged if nothing would be left.
    pub fn without(&self, other: &SparseVector) -> SparseVector {
        let kept = self.indices.iter().zip(&self.values);
        let kept = kept.filter(|(index, _)| other.indices.binary_search(index).is_err());
        let (indices, values): (Vec<u32>, Vec<f32>) = kept.map(|(index, value)| (*index, *value)).unzip();
        if indices.is_empty() {
            self.clone()
        } else {
            SparseVector { indices, values }
        }
    }

    /// Returns one vector for each term, at most `limit`.
    pub fn terms(&self, limit: usize) -> impl Iterator<Item = SparseVector> + '_ {
        let terms = self.indices.iter().zip(&self.values).take(limit);
        terms.map(|(index, value)| SparseVector {
            indices: vec![*index],
            values: vec![*value],
        })
    }

    /// Returns whether it is all zero, as for a text of nothing but stop words.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), IndexError> {
        if self.indices.len() != self.values.len() {
            return Err(IndexError::invalid("a sparse vector must have as many values as indices"));
        }
        if !self.indices.is_sorted_by(|a, b| a < b) {
            return Err(IndexError::invalid("the indices of a sparse vector must rise strictly"));
        }
        check_finite(&self.values)
    }
}

/// The metadata of a chunk, which filters match.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Payload {
    /// The document's file name.
    #[prost(string, tag = "1")]
    pub source: String,
    /// Its type, a media type or an extension, as filters name it.
    #[prost(string, tag = "2")]
    pub document_type: String,
    /// Its authors.
    #[prost(string, repeated, tag = "3")]
    pub authors: Vec<String>,
    /// When it was created: seconds since 1970-01-01 UTC.
    #[prost(int64, optional, tag = "4")]
    pub created: Option<i64>,
    /// Custom metadata.
    #[prost(btree_map = "string, string", tag = "5")]
    pub metadata: BTreeMap<String, String>,
}

/// A chunk as the index stores it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Point {
    /// The document.
    #[prost(string, tag = "1")]
    pub document_id: String,
    /// The chunk's position in the document, from 0.
    #[prost(uint32, tag = "2")]
    pub chunk_index: u32,
    /// Its embedding, of the collection's dimension; of any length.
    #[prost(float, repeated, tag = "3")]
    pub dense: Vec<f32>,
    /// Its terms; empty if it has none worth finding.
    #[prost(message, required, tag = "4")]
    pub sparse: SparseVector,
    /// The metadata that filters match.
    #[prost(message, required, tag = "5")]
    pub payload: Payload,
}

impl Point {
    /// Returns the id under which a chunk is stored: the same for the same document and chunk index, in every index.
    pub fn id(document_id: &str, chunk_index: u32) -> Uuid {
        let mut name = Vec::with_capacity(document_id.len() + 4);
        name.extend_from_slice(document_id.as_bytes());
        name.extend_from_slice(&chunk_index.to_be_bytes());
        Uuid::new_v5(&POINT_NAMESPACE, &name)
    }

    pub(super) fn check(&self, dimension: u32) -> Result<(), IndexError> {
        if self.document_id.is_empty() {
            return Err(IndexError::invalid("a point must name its document"));
        }
        check_dense(&self.dense, dimension)?;
        self.sparse.check()
    }
}

/// The vector of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum QueryVector {
    /// By meaning: cosine similarity, -1 to 1.
    Dense(Vec<f32>),
    /// By words: BM25, 0 and up. An empty vector finds nothing.
    Sparse(SparseVector),
}

/// A search.
#[derive(Debug, Clone)]
pub struct Query {
    /// The vector.
    pub vector: QueryVector,
    /// The filter; one may serve a whole batch.
    pub filter: Arc<Filter>,
    /// The most hits, up to [`MAX_LIMIT`]; 0 finds nothing.
    pub limit: usize,
    /// The least score of a hit.
    pub score_threshold: Option<f32>,
}

impl Query {
    pub(super) fn check(&self, dimension: u32) -> Result<(), IndexError> {
        if self.limit > MAX_LIMIT {
            return Err(IndexError::invalid(format!(
                "a query may ask for {MAX_LIMIT} hits, not {}",
                self.limit
            )));
        }
        match &self.vector {
            QueryVector::Dense(vector) => check_dense(vector, dimension),
            QueryVector::Sparse(vector) => vector.check(),
        }
    }
}

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its document.
    pub document_id: String,
    /// Its position in the document, from 0.
    pub chunk_index: u32,
    /// Its score; higher is better. See [`QueryVector`] for the range.
    pub score: f32,
}

impl Hit {
    /// Returns the `limit` best hits, best first, equal ones in the order of document and chunk index.
    pub(super) fn best(mut hits: Vec<Self>, limit: usize) -> Vec<Self> {
        hits.sort_by(|a, b| {
            b.score
                .total_cmp(&a.score)
                .then_with(|| a.document_id.cmp(&b.document_id))
                .then_with(|| a.chunk_index.cmp(&b.chunk_index))
        });
        hits.truncate(limit);
        hits
    }
}

fn check_dense(vector: &[f32], dimension: u32) -> Result<(), IndexError> {
    if vector.len() != dimension as usize {
        return Err(IndexError::invalid(format!(
            "the collection's vectors have dimension {dimension}, not {}",
            vector.len()
        )));
    }
    check_finite(vector)
}

fn check_finite(values: &[f32]) -> Result<(), IndexError> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(IndexError::invalid("a vector holds a number that is not finite"))
}
