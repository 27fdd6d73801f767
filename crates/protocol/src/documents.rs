//! Bodies of `/documents`.

use super::error::ApiError;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// 201 of `POST /documents/upload`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UploadResponse {
    /// The identifier of the first file's upload.
    pub upload_id: String,
    /// The identifiers of all files' uploads, in order.
    pub upload_ids: Vec<String>,
    /// Documents that can be found now.
    pub uploaded_documents: Vec<UploadedDocument>,
    /// Files that could not be processed.
    pub failed_documents: Vec<FailedDocument>,
    /// Sums.
    pub statistics: UploadStatistics,
}

/// 202 of `POST /documents/upload` with `wait=false`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UploadAccepted {
    /// The identifier of the first file's upload.
    pub upload_id: String,
    /// The identifiers of all files' uploads, in order.
    pub upload_ids: Vec<String>,
    /// `accepted`.
    pub status: String,
}

/// A document that was uploaded.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UploadedDocument {
    /// The document.
    pub document_id: String,
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// `success` or `duplicate`.
    pub status: String,
    /// Bytes.
    pub file_size: u64,
    /// Absent where the format has no pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<u32>,
    /// Chunks that can be found.
    pub chunks_created: u64,
    /// Their embeddings.
    pub embeddings_generated: u64,
    /// Seconds.
    pub processing_time: f64,
    /// Title, author, language, ..., and the client's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A file that could not be processed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FailedDocument {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// `{code, message, details}`.
    #[schema(value_type = Object)]
    pub error: Box<ApiError>,
}

/// Sums over an upload.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct UploadStatistics {
    /// Files sent.
    pub total_files: usize,
    /// Files that were processed, or existed already.
    pub successful: usize,
    /// Files that failed.
    pub failed: usize,
    /// Chunks made.
    pub total_chunks: u64,
    /// Bytes.
    pub total_bytes: u64,
    /// Seconds.
    pub total_time: f64,
}

/// A document in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DocumentSummary {
    /// The document.
    pub document_id: String,
    /// File name.
    pub filename: String,
    /// Its collection.
    pub collection_name: String,
    /// `processing`, `ready`, `failed` or `deleting`.
    pub status: String,
    /// Media type.
    pub content_type: String,
    /// Bytes.
    pub file_size: u64,
    /// RFC 3339, UTC.
    pub upload_date: String,
    /// Absent where the format has no pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<u32>,
    /// Chunks.
    pub chunks: u64,
}

/// The position of a page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Pagination {
    /// The number of all entries.
    pub total: u64,
    /// The limit of the request.
    pub limit: u64,
    /// The offset of the request.
    pub offset: u64,
    /// Whether more entries follow.
    pub has_next: bool,
    /// Whether entries precede it.
    pub has_previous: bool,
}

/// Answer of `GET /documents`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DocumentList {
    /// This page.
    pub documents: Vec<DocumentSummary>,
    /// The position of the page.
    pub pagination: Pagination,
}

/// Answer of `GET /documents/{id}`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DocumentDetail {
    /// The document.
    pub document_id: String,
    /// File name.
    pub filename: String,
    /// Its collection.
    pub collection_name: String,
    /// `processing`, `ready`, `failed` or `deleting`.
    pub status: String,
    /// The file.
    pub file_info: FileInfo,
    /// How it was processed.
    pub processing_info: ProcessingInfo,
    /// Title, author, pages, language, ..., and the client's metadata.
    pub metadata: BTreeMap<String, String>,
    /// `pages`, `chunks`, `characters`, `bytes_of_text`.
    pub statistics: BTreeMap<String, u64>,
}

/// The file of a document.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FileInfo {
    /// Bytes.
    pub size: u64,
    /// Media type.
    pub content_type: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// How a document was processed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProcessingInfo {
    /// `received`, `extracted`, `chunked`, `embedded`, `indexed`, `live`, `failed` or `deleting`.
    pub state: String,
    /// RFC 3339, UTC.
    pub upload_date: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_time: Option<f64>,
    /// `{code, message}` of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub error: Option<Value>,
    /// The pipeline that processed it: plugins with digests, the model, the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = super::lock_schema)]
    pub pipeline: Option<Value>,
}

/// Answer of `GET /documents/{id}/chunks`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChunkList {
    /// The document.
    pub document_id: String,
    /// This page.
    pub chunks: Vec<ChunkInfo>,
    /// The position of the page.
    pub pagination: Pagination,
}

/// A chunk.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChunkInfo {
    /// The chunk.
    pub chunk_id: String,
    /// From 0.
    pub chunk_index: u32,
    /// Its text.
    pub content: String,
    /// Offset of the first character, in Unicode code points.
    pub start_char: u64,
    /// Offset after the last character.
    pub end_char: u64,
    /// Its page and section.
    pub metadata: ChunkMetadata,
    /// With `include_embeddings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<f32>>,
}

/// The page and section of a chunk.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChunkMetadata {
    /// From 1; absent where the format has no pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Headings above it.
    pub section: Vec<String>,
}

/// Answer of `DELETE /documents/{id}`: what was removed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeletedDocument {
    /// The document.
    pub document_id: String,
    /// File name.
    pub filename: String,
    /// `deleted`.
    pub status: String,
    /// Chunks.
    pub chunks_deleted: u64,
    /// Vectors.
    pub vectors_deleted: u64,
    /// Files: 0 if another document has the same bytes.
    pub files_deleted: u64,
}
