//! Events of `/ws/upload`, field for field as in the guide, and the messages that upload files over it.

use super::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The most entries of the metadata from a client.
const MAX_METADATA: usize = 64;

/// `data` of a client's `upload`: a file follows in binary frames.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UploadRequest {
    /// File name.
    pub filename: String,
    /// The size in bytes, at least 1.
    pub file_size: u64,
    /// The collection; absent: the default one.
    #[serde(default)]
    pub collection_name: Option<String>,
    /// The media type; absent: determined by the file name.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Metadata to store with the document: strings, numbers, booleans.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// The size of this document's chunks, in the chunker's unit.
    #[serde(default)]
    pub chunk_size: Option<u64>,
    /// The overlap of its chunks, in the same unit.
    #[serde(default)]
    pub chunk_overlap: Option<u64>,
}

impl UploadRequest {
    /// Returns the metadata as strings.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, naming the invalid entry.
    pub fn metadata(&self) -> Result<BTreeMap<String, String>, ApiError> {
        self.metadata.clone().map_or_else(|| Ok(BTreeMap::new()), flat_metadata)
    }
}

/// `data` of a client's `resume`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UploadResume {
    /// The upload.
    pub upload_id: String,
}

/// `data` of a client's `control` on `/ws/upload`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UploadControl {
    /// The upload; absent: the last one that a message named.
    #[serde(default)]
    pub upload_id: Option<String>,
    /// `cancel`.
    pub action: String,
}

/// Converts metadata to strings.
///
/// # Errors
/// `VALIDATION_ERROR`, naming the entry that is not a string, number or boolean, or if there are too many.
pub fn flat_metadata(object: Map<String, Value>) -> Result<BTreeMap<String, String>, ApiError> {
    if object.len() > MAX_METADATA {
        return Err(ApiError::validation(
            "metadata",
            format!("must have at most {MAX_METADATA} entries"),
        ));
    }
    let mut entries = BTreeMap::new();
    for (key, value) in object {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(ApiError::validation(
                    &format!("metadata.{key}"),
                    "must be a string, a number or a boolean",
                ));
            }
        };
        entries.insert(key, text);
    }
    Ok(entries)
}

/// The events of an upload, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum UploadEvent {
    /// The upload started.
    UploadStarted(UploadStarted),
    /// Bytes arrived.
    UploadProgress(UploadProgress),
    /// A stage makes progress (`text_extraction`).
    ProcessingProgress(ProcessingProgress),
    /// Chunks were stored.
    ChunkingProgress(ChunkingProgress),
    /// Embeddings were computed.
    EmbeddingProgress(EmbeddingProgress),
    /// The upload ended, successfully or not.
    UploadComplete(UploadComplete),
}

impl UploadEvent {
    /// Returns the identifier of the upload.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadStarted {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// The size in bytes. Exact unless `size_is_estimate`.
    pub file_size: u64,
    /// The estimated seconds until it can be found, from the durations of recent uploads.
    pub estimated_time: u64,
    /// The collection.
    pub collection: String,
    /// Whether the client did not give the size, so that `file_size` is an upper bound from the request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub size_is_estimate: bool,
}

/// `data` of `upload_progress`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadProgress {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// Bytes so far.
    pub bytes_uploaded: u64,
    /// Bytes in all, as far as known: `file_size`, or the bytes so far if they are more.
    pub total_bytes: u64,
    /// In [0,1].
    pub progress: f64,
    /// Megabytes (10^6 bytes) per second since the start, or since the upload was resumed.
    pub speed_mbps: f64,
}

/// `data` of `processing_progress`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadStatus {
    /// The document can be found.
    Success,
    /// The upload failed; `error` has the reason.
    Failed,
    /// The same bytes are in the collection already, as `document_id`.
    Duplicate,
    /// The client cancelled it, or a deletion did.
    Cancelled,
}

/// `data` of `upload_complete`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadComplete {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// The document; `null` if there is none.
    pub document_id: Option<String>,
    /// Seconds.
    pub total_time: f64,
    /// Chunks that can be found.
    pub chunks_created: u64,
    /// How it ended.
    pub status: UploadStatus,
    /// `{code, message}` of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// Whether pages of the document are images of text, which cannot be found; absent if none are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_ocr: bool,
    /// For people: what is unusual about the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Answer of `GET /uploads/{id}`: the progress of an upload, or its result.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct UploadInfo {
    /// The upload.
    pub upload_id: String,
    /// File name.
    pub filename: String,
    /// The collection.
    pub collection_name: String,
    /// `receiving`, `processing`, `success`, `failed`, `duplicate` or `cancelled`.
    pub status: String,
    /// Bytes received.
    pub bytes_uploaded: u64,
    /// Bytes in all; `null` if the client did not give the size.
    pub total_bytes: Option<u64>,
    /// Whether another connection may resume it.
    pub resumable: bool,
    /// When its bytes are dropped unless it is resumed. RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The `data` of `upload_complete`, when it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The `Upload-Metadata` that the client sent to `/uploads`.
    #[serde(skip)]
    pub tus_metadata: Option<String>,
}
