//! Events of `/ws/collections`, and the bodies of `/collections`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

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
    /// Depends on the type.
    pub data: Value,
}

/// `data` of `document_added`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DocumentDeleted {
    /// The document.
    pub document_id: String,
    /// File name.
    pub filename: String,
    /// Chunks that were removed.
    pub chunks_removed: u64,
    /// RFC 3339, UTC.
    pub timestamp: String,
}

/// `data` of `collection_stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct CreateCollection {
    /// 1 to 64 characters of `A-Z a-z 0-9 _ . -`, the first a letter or digit.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    pub name: String,
    /// The pipeline; defaults apply to missing keys.
    #[serde(default)]
    #[schema(schema_with = super::pipeline_schema)]
    pub pipeline: Option<Value>,
    /// The index of its vectors: `embedded` or `qdrant`; default from the setting `index.default`.
    #[serde(default)]
    pub index: Option<String>,
}

/// Body of `PUT /collections/{name}/index`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct MoveCollection {
    /// The new index of its vectors: `embedded` or `qdrant`.
    pub index: String,
}

/// Answer of `/collections/{name}/index`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CollectionPlace {
    /// The collection.
    pub collection: String,
    /// The index of its vectors: `embedded` or `qdrant`.
    pub index: String,
    /// The running move, or the last one since the server's start.
    #[serde(rename = "move", skip_serializing_if = "Option::is_none")]
    pub last_move: Option<CollectionMove>,
}

/// The progress of a move.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CollectionMove {
    /// The new index: `embedded` or `qdrant`.
    pub to: String,
    /// `moving`, `moved` or `failed`.
    pub status: String,
    /// Chunks that were copied.
    pub chunks_copied: u64,
    /// Chunks in all.
    pub chunks_total: u64,
    /// What the move waits for, or why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A collection.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CollectionInfo {
    /// Its name.
    pub name: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Documents being processed.
    pub processing_documents: u64,
    /// The index of its vectors: `embedded` or `qdrant`.
    pub index: String,
    /// Exact counts.
    #[serde(flatten)]
    pub stats: CollectionStats,
    /// Its pipeline, defaults filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = super::pipeline_schema)]
    pub pipeline: Option<Value>,
    /// What the pipeline resolved to: plugin digests, model hash, numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = super::lock_schema)]
    pub lock: Option<Value>,
    /// Its running or last re-index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reindex: Option<ReindexInfo>,
}

/// Answer of `GET /collections`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CollectionList {
    /// By name.
    pub collections: Vec<CollectionInfo>,
}

/// Answer of `GET /collections/{name}/pipeline`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CollectionPipeline {
    /// The collection.
    pub collection: String,
    /// Its pipeline, defaults filled in.
    #[schema(schema_with = super::pipeline_schema)]
    pub pipeline: Value,
    /// What the pipeline resolved to: plugin digests, model hash, numbers.
    #[schema(schema_with = super::lock_schema)]
    pub lock: Value,
}

/// Answer of `PUT /collections/{name}/pipeline`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PipelineChanged {
    /// The collection.
    pub collection: String,
    /// Whether the collection has another pipeline now. False after a dry run, where nothing changed, and while a re-index processes the
    /// documents for it.
    pub changed: bool,
    /// The largest scope of any document: `nothing`, `re-embed`, `re-chunk` or `re-extract`.
    pub redo: String,
    /// Documents that must be processed again.
    pub documents_affected: u64,
    /// The chunks that these documents have now.
    pub chunks_affected: u64,
    /// The pipeline, defaults filled in.
    #[schema(schema_with = super::pipeline_schema)]
    pub pipeline: Value,
    /// What it resolves to: plugin digests, model hash, numbers.
    #[schema(schema_with = super::lock_schema)]
    pub lock: Value,
    /// The re-index that processes the documents for the pipeline, and then puts it in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reindex: Option<ReindexInfo>,
}

/// The state of a re-index.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReindexInfo {
    /// `running`, `success`, `failed` or `cancelled`.
    pub status: String,
    /// The largest scope of any document: `nothing`, `re-embed`, `re-chunk` or `re-extract`.
    pub redo: String,
    /// The share of documents that are done, 0 to 1.
    pub progress: f64,
    /// Documents that can be found.
    pub documents_total: u64,
    /// Documents that are done.
    pub documents_done: u64,
    /// Chunks in the new index.
    pub chunks_done: u64,
    /// Chunks whose vectors were copied, since the same model embedded their texts before.
    pub chunks_reused: u64,
    /// Why it failed: `code` and `message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub error: Option<Value>,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// Answer of `POST /collections/{name}/reindex`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReindexPlan {
    /// The collection.
    pub collection: String,
    /// The largest scope of any document: `nothing`, `re-embed`, `re-chunk` or `re-extract`.
    pub redo: String,
    /// Documents that must be processed again.
    pub documents_affected: u64,
    /// The chunks that these documents have now.
    pub chunks_affected: u64,
    /// The number of documents by scope.
    pub documents: std::collections::BTreeMap<String, u64>,
    /// The re-index; absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reindex: Option<ReindexInfo>,
}

/// Answer of `POST /pipelines/validate` for a valid pipeline. The answer for an invalid one is an error that names the key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PipelineValid {
    /// True.
    pub valid: bool,
    /// The pipeline, defaults filled in.
    #[schema(schema_with = super::pipeline_schema)]
    pub pipeline: Value,
    /// What it resolves to: plugin digests, model hash, numbers.
    #[schema(schema_with = super::lock_schema)]
    pub lock: Value,
}

/// Answer of `DELETE /collections/{name}`: what was removed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeletedCollection {
    /// The collection.
    pub collection: String,
    /// `deleted`.
    pub status: String,
    /// Documents that could be found.
    pub documents_deleted: u64,
    /// Their chunks.
    pub chunks_deleted: u64,
}
