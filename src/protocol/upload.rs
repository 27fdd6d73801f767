//! Events of `/ws/upload`, field for field as the guide shows them.

use serde::Serialize;
use serde_json::Value;

/// What happens to an upload, in this order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum UploadEvent {
    /// First byte.
    UploadStarted(UploadStarted),
    /// Bytes arrived.
    UploadProgress(UploadProgress),
    /// A stage goes on (`text_extraction`).
    ProcessingProgress(ProcessingProgress),
    /// Chunks were made.
    ChunkingProgress(ChunkingProgress),
    /// Embeddings were made.
    EmbeddingProgress(EmbeddingProgress),
    /// The end, good or bad.
    UploadComplete(UploadComplete),
}

impl UploadEvent {
    /// The upload that it tells of.
    pub fn upload_id(&self) -> &str {
        match self {
            Self::UploadStarted(e) => &e.upload_id,
            Self::UploadProgress(e) => &e.upload_id,
            Self::ProcessingProgress(e) => &e.upload_id,
            Self::ChunkingProgress(e) => &e.upload_id,
            Self::EmbeddingProgress(e) => &e.upload_id,
            Self::UploadComplete(e) => &e.upload_id,
        }
    }
}

/// `data` of `upload_started`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UploadStarted {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// Bytes; 0 if the client did not say.
    pub file_size: u64,
    /// Seconds until it can be found, by what recent uploads took.
    pub estimated_time: u64,
    /// Collection it goes to.
    pub collection: String,
}

/// `data` of `upload_progress`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UploadProgress {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// Bytes so far.
    pub bytes_uploaded: u64,
    /// Bytes in all; while unknown, bytes so far.
    pub total_bytes: u64,
    /// In [0,1].
    pub progress: f64,
    /// Megabytes (10^6 bytes) per second since the start.
    pub speed_mbps: f64,
}

/// `data` of `processing_progress`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessingProgress {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// `text_extraction`.
    pub stage: String,
    /// In [0,1].
    pub progress: f64,
    /// For people.
    pub message: String,
}

/// `data` of `chunking_progress`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChunkingProgress {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// Chunks stored.
    pub chunks_processed: u64,
    /// Chunks in all.
    pub total_chunks: u64,
    /// In [0,1].
    pub progress: f64,
}

/// `data` of `embedding_progress`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EmbeddingProgress {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// Embeddings made and indexed.
    pub embeddings_generated: u64,
    /// Embeddings in all.
    pub total_embeddings: u64,
    /// In [0,1].
    pub progress: f64,
}

/// How an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadStatus {
    /// The document can be found.
    Success,
    /// `error` says why.
    Failed,
    /// The same bytes are in the collection already, as `document_id`.
    Duplicate,
    /// The client, or a delete, ended it.
    Cancelled,
}

/// `data` of `upload_complete`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UploadComplete {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// The document; `null` where none was made.
    pub document_id: Option<String>,
    /// Seconds.
    pub total_time: f64,
    /// Chunks that can be found.
    pub chunks_created: u64,
    /// How it ended.
    pub status: UploadStatus,
    /// `{code, message}` of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// Whether pages of the document are pictures of text, which cannot be found; absent where none are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub needs_ocr: bool,
    /// For people: what is not as they would expect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
