//! What goes over the wire, as plain data: the four sockets' messages and the REST bodies.
//!
//! Everyone may use this module; it depends on nothing of Ibid's. Field names and JSON types are
//! the contract with every client: see `docs/protocol.md`.

mod auth;
mod collections;
mod documents;
mod error;
mod plugins;
mod query;
mod search;
mod upload;

pub use auth::{AuthError, AuthErrorData, Me};
pub use collections::{CollectionEvent, CollectionInfo, CollectionList, CollectionStats, CreateCollection, DocumentAdded, DocumentDeleted};
pub use documents::{
    ChunkInfo, ChunkList, ChunkMetadata, DeletedDocument, DocumentDetail, DocumentList, DocumentSummary, FailedDocument, FileInfo,
    Pagination, ProcessingInfo, UploadAccepted, UploadResponse, UploadStatistics, UploadedDocument,
};
pub use error::{ApiError, ErrorCode, ErrorData, RestError, RestErrorBody};
pub use plugins::{PluginInfo, PluginInstalled, PluginList, PluginLogDropped, PluginLogLine, PluginRemoved, PluginStats, QuarantineInfo};
pub use query::{
    AnalysisDetail, Answer, Citation, CitationMetadata, ClientMessage, Complete, CompletionStatus, DateRange, Entity, Filters,
    GeneratorInfo, Mode, ProcessingMetadata, QueryAnalysis, QueryEvent, QueryOptions, ResponseFormat, ServerMessage, Source, Stage, Status,
    Token, Warning,
};
pub use search::{Highlight, SearchHit, SearchHitMetadata, SearchRequest, SearchResponse, SearchType};
pub use upload::{
    ChunkingProgress, EmbeddingProgress, ProcessingProgress, UploadComplete, UploadEvent, UploadProgress, UploadStarted, UploadStatus,
};

/// Deserialises `value`, naming the field that is wrong: `details: {field, issue}`.
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
