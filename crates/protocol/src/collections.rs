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
    /// As the type says.
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
    /// Chunks that are gone.
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
    /// The pipeline; what it leaves out takes the defaults.
    #[serde(default)]
    #[schema(schema_with = super::pipeline_schema)]
    pub pipeline: Option<Value>,
    /// Where its vectors are kept: `embedded` or `qdrant`; the server's setting `index.default` where this says nothing.
    #[serde(default)]
    pub index: Option<String>,
}

/// Body of `PUT /collections/{name}/index`.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub struct MoveCollection {
    /// Where its vectors are to be kept: `embedded` or `qdrant`.
    pub index: String,
}

/// Answer of `/collections/{name}/index`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CollectionPlace {
    /// The collection.
    pub collection: String,
    /// Where its vectors are: `embedded` or `qdrant`.
    pub index: String,
    /// The move that goes on, or the last one since the server was started.
    #[serde(rename = "move", skip_serializing_if = "Option::is_none")]
    pub last_move: Option<CollectionMove>,
}

/// How far a move is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CollectionMove {
    /// Where it goes: `embedded` or `qdrant`.
    pub to: String,
    /// `moving`, `moved` or `failed`.
    pub status: String,
    /// Chunks that are there.
    pub chunks_copied: u64,
    /// Chunks that there are.
    pub chunks_total: u64,
    /// What it waits for, or why it failed.
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
    /// Where its vectors are kept: `embedded` or `qdrant`.
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
    /// Whether another pipeline is in place now; false of a dry run, where there was nothing to change, and while a re-index makes the
    /// documents for it.
    pub changed: bool,
    /// The most that it takes for any document that is there: `nothing`, `re-embed`, `re-chunk` or `re-extract`.
    pub redo: String,
    /// Documents of which something has to be made again.
    pub documents_affected: u64,
    /// Chunks that they have now.
    pub chunks_affected: u64,
    /// The pipeline, defaults filled in.
    #[schema(schema_with = super::pipeline_schema)]
    pub pipeline: Value,
    /// What it resolves to: plugin digests, model hash, numbers.
    #[schema(schema_with = super::lock_schema)]
    pub lock: Value,
    /// The re-index that makes the documents for it, and then puts it in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reindex: Option<ReindexInfo>,
}

/// A re-index: how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReindexInfo {
    /// `running`, `success`, `failed` or `cancelled`.
    pub status: String,
    /// The most that it takes for any document: `nothing`, `re-embed`, `re-chunk` or `re-extract`.
    pub redo: String,
    /// Share of the documents that are made, 0 to 1.
    pub progress: f64,
    /// Documents that can be found.
    pub documents_total: u64,
    /// Those of them that are made.
    pub documents_done: u64,
    /// Chunks in the new index.
    pub chunks_done: u64,
    /// Those of them whose vectors were copied, since their texts were embedded by the same model before.
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
    /// The most that it takes for any document: `nothing`, `re-embed`, `re-chunk` or `re-extract`.
    pub redo: String,
    /// Documents of which something has to be made again.
    pub documents_affected: u64,
    /// Chunks that they have now.
    pub chunks_affected: u64,
    /// Documents by what each needs.
    pub documents: std::collections::BTreeMap<String, u64>,
    /// The re-index, where this is no dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reindex: Option<ReindexInfo>,
}

/// Answer of `POST /pipelines/validate`: it would run. One that would not is answered with an error that names the key.
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
