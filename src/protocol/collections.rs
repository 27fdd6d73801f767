//! Events of `/ws/collections`, and the bodies of `/collections`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change of a collection: `{type, collection, seq, data}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CollectionEvent {
    /// `document_added`, `collection_stats`, `document_deleted`, `collection_created`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Name of the collection.
    pub collection: String,
    /// Rises with every event.
    pub seq: i64,
    /// As the type says.
    pub data: Value,
}

/// `data` of `document_added`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentAdded {
    /// The document.
    pub document_id: String,
    /// File name.
    pub filename: String,
    /// Chunks that can now be found.
    pub chunks_added: u64,
    /// RFC 3339, UTC.
    pub timestamp: String,
}

/// `data` of `document_deleted`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentDeleted {
    /// The document.
    pub document_id: String,
    /// File name.
    pub filename: String,
    /// Chunks that are gone.
    pub chunks_removed: u64,
    /// RFC 3339, UTC.
    pub timestamp: String,
}

/// `data` of `collection_stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionStats {
    /// Documents that can be found.
    pub total_documents: u64,
    /// Their chunks.
    pub total_chunks: u64,
    /// Megabytes (10^6 bytes) of their files and texts.
    pub storage_size_mb: f64,
    /// RFC 3339, UTC.
    pub last_updated: String,
}

/// Body of `POST /collections`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CreateCollection {
    /// 1 to 64 characters of `A-Z a-z 0-9 _ . -`, the first a letter or digit.
    pub name: String,
    /// The pipeline; what it leaves out takes the defaults.
    #[serde(default)]
    pub pipeline: Option<Value>,
}

/// A collection.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Documents being processed.
    pub processing_documents: u64,
    /// Exact counts.
    #[serde(flatten)]
    pub stats: CollectionStats,
    /// Its pipeline, defaults filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Value>,
    /// What the pipeline resolved to: plugin digests, model hash, numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<Value>,
}

/// Answer of `GET /collections`.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionList {
    /// By name.
    pub collections: Vec<CollectionInfo>,
}
