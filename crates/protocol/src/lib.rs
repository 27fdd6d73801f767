//! The wire protocol as plain data: the messages of the four sockets, and the bodies of the REST API.
//!
//! Field names and JSON types are the contract with every client: see `docs/protocol.md`.

mod analyze;
mod auth;
mod collections;
mod config;
mod documents;
mod error;
#[cfg(test)]
mod fuzz;
mod monitor;
mod openai;
mod plugins;
mod query;
mod search;
mod similar;
mod status;
mod upload;

pub use analyze::{AnalyzeRequest, AnalyzeResponse, PlannedSearch};
pub use auth::{AuthError, AuthErrorData, Me};
pub use collections::{
    CollectionEvent, CollectionInfo, CollectionList, CollectionMove, CollectionPipeline, CollectionPlace, CollectionStats,
    CreateCollection, DeletedCollection, DocumentAdded, DocumentDeleted, MoveCollection, PipelineChanged, PipelineValid, ReindexInfo,
    ReindexPlan,
};
pub use config::{ConfigChanged, ConfigShown, Setting};
pub use documents::{
    ChunkInfo, ChunkList, ChunkMetadata, DeletedDocument, DocumentDetail, DocumentList, DocumentSummary, FailedDocument, FileInfo,
    Pagination, ProcessingInfo, UploadAccepted, UploadResponse, UploadStatistics, UploadedDocument,
};
pub use error::{ApiError, ErrorData, RequestInfo, RestError, RestErrorBody};
pub use ibid_types::ErrorCode;
pub use monitor::{ErrorAlert, MonitorEvent, MonitorMessage, MonitorType, ServiceStatus, SystemMetrics};
pub use openai::{
    Annotation, ChatAnswer, ChatChoice, ChatChunk, ChatCompletion, ChatContent, ChatDelta, ChatFormat, ChatMessage, ChatPart, ChatRequest,
    ChatRole, ChatUsage, ChunkChoice, Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, EmbeddingUsage, EmbeddingVector,
    EncodingFormat, InputType, ModelInfo, ModelList, StopTexts, StreamOptions, UrlCitation,
};
pub use plugins::{
    CharSpan, PluginInfo, PluginInstalled, PluginList, PluginLogDropped, PluginLogLine, PluginRemoved, PluginStats, QuarantineInfo,
    TriedChunk, TriedUnit, TryPlugin, TryResult,
};
pub use query::{
    AnalysisDetail, Answer, Citation, CitationMetadata, ClientMessage, Complete, CompletionStatus, DateRange, Entity, Filters,
    GeneratorInfo, Mode, ProcessingMetadata, QueryAnalysis, QueryEvent, QueryOptions, ResponseFormat, ServerMessage, Source, Stage, Status,
    Token, Warning,
};
pub use search::{Highlight, SearchHit, SearchHitMetadata, SearchRequest, SearchResponse, SearchType};
pub use similar::{SimilarDocument, SimilarRequest, SimilarResponse};
pub use status::{LoadAverage, MachineStatus, ProcessStatus, Readiness, ServerStatus, Totals};
pub use upload::{
    ChunkingProgress, EmbeddingProgress, ProcessingProgress, UploadComplete, UploadControl, UploadEvent, UploadInfo, UploadProgress,
    UploadRequest, UploadResume, UploadStarted, UploadStatus, flat_metadata,
};

/// Deserialises `value`. The error names the invalid field: `details: {field, issue}`.
pub fn parse<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let issue = error.into_inner().to_string();
        // A missing field is reported at its parent: name the field itself.
        let field = match issue.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            Some(missing) if path == "." => missing.to_owned(),
            Some(missing) => format!("{path}.{missing}"),
            None => path,
        };
        ApiError::validation(&field, issue)
    })
}

// The types of these fields belong to the pipeline. Here they are data, so their schemas are referenced by name; the document contains
// both.

/// Returns the schema of a pipeline.
fn pipeline_schema() -> utoipa::openapi::Ref {
    utoipa::openapi::Ref::from_schema_name("Pipeline")
}

/// Returns the schema of a pipeline's lock.
fn lock_schema() -> utoipa::openapi::Ref {
    utoipa::openapi::Ref::from_schema_name("Lock")
}

/// Returns the schema of the services' states.
fn services_schema() -> utoipa::openapi::Ref {
    utoipa::openapi::Ref::from_schema_name("Services")
}
