//! Bodies of `/v1`: OpenAI's API, as far as it applies here. Other fields are ignored, as unknown fields are everywhere; Ibid's own fields
//! are marked as extensions.

mod chat;
mod completion;
mod embeddings;

pub use chat::{ChatContent, ChatFormat, ChatMessage, ChatPart, ChatRequest, ChatRole, StopTexts, StreamOptions};
pub use completion::{Annotation, ChatAnswer, ChatChoice, ChatChunk, ChatCompletion, ChatDelta, ChatUsage, ChunkChoice, UrlCitation};
pub use embeddings::{
    Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, EmbeddingUsage, EmbeddingVector, EncodingFormat, InputType,
};

use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `GET /v1/models`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelList {
    /// `list`.
    pub object: &'static str,
    /// The collections that the subject may query, by name, then the embedding model.
    pub data: Vec<ModelInfo>,
}

/// A value for `model`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelInfo {
    /// Name of a collection, or of an installed model.
    pub id: String,
    /// `model`.
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: i64,
    /// `ibid`.
    pub owned_by: &'static str,
    /// An extension: `collection` (for chat), `embedding`, or `reranker` (for pipelines).
    pub kind: &'static str,
    /// An extension, for embedding models: the dimension of their vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimension: Option<usize>,
    /// An extension, for installed models: SHA-256 of the graph. Equal hashes mean equal vectors, or scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// An extension, for installed models: the precisions in which the model is loaded; it is loaded when it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded: Option<Vec<&'static str>>,
    /// An extension, for embedding models: whether it is the default of pipelines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
}
