//! What can go wrong in a pipeline, and the one table that says what a client is told of it.
//!
//! Details that are not for clients (paths, causes) are logged here, where the error is told.

use ibid_catalog::CatalogError;
use ibid_embed::EmbedError;
use ibid_files::FileError;
use ibid_generate::{GenerateError, LlmError};
use ibid_index::IndexError;
use ibid_plugin_host::{Kind, PluginError, Reason};
use ibid_protocol::{ApiError, ErrorCode};
use ibid_system::disk::DiskError;

/// Seconds after which who was refused because of the disk may come again.
const RETRY_AFTER: u64 = 30;

/// A failed stage.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Already in the client's terms.
    #[error("{0}")]
    Api(#[from] ApiError),
    /// A plugin.
    #[error("{0}")]
    Plugin(#[from] PluginError),
    /// The embedder.
    #[error("{0}")]
    Embed(#[from] EmbedError),
    /// The vector index.
    #[error("{0}")]
    Index(#[from] IndexError),
    /// The catalog.
    #[error("{0}")]
    Catalog(#[from] CatalogError),
    /// The file store.
    #[error("{0}")]
    Files(#[from] FileError),
    /// The disk of the data directory.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// The generator.
    #[error("{0}")]
    Generate(#[from] GenerateError),
    /// The reader is gone.
    #[error("nobody waits for the answer any more")]
    Abandoned,
    /// A collection was re-indexed: it is of a later generation than the one that was to be used.
    #[error("the collection was re-indexed meanwhile")]
    Moved,
    /// Work on a thread of its own did not come back.
    #[error("a worker thread failed")]
    Worker(#[from] tokio::task::JoinError),
}

impl PipelineError {
    /// What a client is told. `stage` is named in the details, unless it is empty; the rest goes
    /// to the log.
    pub fn to_api_error(self, stage: &str) -> ApiError {
        let trouble = self.disk_error();
        let error = match self {
            Self::Api(error) => error,
            Self::Plugin(error) => plugin(&error),
            Self::Embed(error @ EmbedError::ModelChanged { .. }) => ApiError::validation("pipeline.embedder.model", error.to_string()),
            Self::Embed(error) => ApiError::new(error.code(), error.to_string()),
            Self::Index(error) => {
                tracing::error!(stage, error = error.detail(), "vector index");
                ApiError::new(error.code(), error.to_string())
            }
            Self::Catalog(error) => match error {
                CatalogError::CollectionNotFound(name) => ApiError::collection_not_found(&name),
                CatalogError::Validation { field, issue } => ApiError::validation(field, issue),
                other => storage(stage, &other, other.code()),
            },
            Self::Files(error) => storage(stage, &error, error.code()),
            Self::Disk(trouble) => ApiError::new(trouble.code(), trouble.to_string()),
            Self::Generate(GenerateError::Llm(error)) => llm(&error),
            Self::Generate(error) => ApiError::new(error.code(), error.to_string()),
            Self::Abandoned => ApiError::new(ErrorCode::ServiceUnavailable, "the request was given up"),
            Self::Moved => ApiError::new(
                ErrorCode::ServiceUnavailable,
                "the collection was re-indexed meanwhile: send it again",
            ),
            Self::Worker(error) => {
                tracing::error!(stage, %error, "worker thread");
                ApiError::new(ErrorCode::InternalError, "a defect of the server: its log says more")
            }
        };
        let error = match trouble {
            Some(trouble) => error.with("reason", trouble.reason()).with("retry_after", RETRY_AFTER),
            None => error,
        };
        if stage.is_empty() || error.code == ErrorCode::CollectionNotFound || error.code == ErrorCode::ValidationError {
            error
        } else {
            error.with("stage", stage)
        }
    }

    /// Whether a server is away: the same work will succeed when it is back.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Index(error) => error.is_outage(),
            Self::Files(error) => error.is_outage(),
            Self::Catalog(CatalogError::Away(_)) => true,
            _ => false,
        }
    }

    /// What is the matter with the disk of the data directory, where that is why. The same work will succeed when it is mended.
    pub fn disk_error(&self) -> Option<DiskError> {
        match self {
            Self::Catalog(error) => error.disk_error(),
            Self::Files(error) => error.disk_error(),
            Self::Index(error) => error.disk_error(),
            Self::Disk(trouble) => Some(*trouble),
            _ => None,
        }
    }

    /// Whether it is a failure of what is stored, for which the disk may be why.
    pub fn is_of_storage(&self) -> bool {
        match self {
            Self::Catalog(error) => matches!(error, CatalogError::DiskFailed(_) | CatalogError::Storage(_)),
            Self::Files(error) => matches!(error, FileError::Io(_) | FileError::Broken),
            Self::Index(error) => matches!(error, IndexError::Engine { .. } | IndexError::Corrupt { .. }),
            _ => false,
        }
    }

    /// Whether the same work may succeed later without anyone's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Index(error) => !matches!(error, IndexError::Invalid { .. } | IndexError::SchemaMismatch { .. }),
            Self::Files(error) => error.is_outage(),
            Self::Embed(error) => error.code() == ErrorCode::ServiceUnavailable,
            Self::Moved => true,
            Self::Catalog(CatalogError::Storage(_) | CatalogError::DiskFailed(_)) => true,
            Self::Plugin(error) => matches!(error.reason, Reason::Quarantined { .. }),
            _ => false,
        }
    }
}

fn llm(error: &LlmError) -> ApiError {
    let told = ApiError::new(ErrorCode::LlmConnectionError, error.to_string()).with("reason", error.reason.name());
    match error.retry_after {
        Some(wait) => told.with("retry_after", wait.as_secs().saturating_add(1)),
        None => told,
    }
}

fn plugin(error: &PluginError) -> ApiError {
    let told = match (&error.reason, error.stage()) {
        // What an extractor says of a file is about the file, not about the extractor.
        (Reason::Failure { code, message, .. }, Some(Kind::Extractor)) => {
            ApiError::new(ErrorCode::ProcessingError, message.clone()).with("failure", code.as_str())
        }
        (Reason::Failure { code, .. }, _) => ApiError::new(ErrorCode::PluginError, error.to_string()).with("failure", code.as_str()),
        (Reason::Quarantined { remaining, .. }, _) => {
            ApiError::new(ErrorCode::PluginError, error.to_string()).with("retry_after", remaining.as_secs().saturating_add(1))
        }
        (Reason::Busy(_), _) => ApiError::new(ErrorCode::ServiceUnavailable, error.to_string()),
        _ => ApiError::new(ErrorCode::PluginError, error.to_string()),
    };
    let name = error
        .plugin
        .as_ref()
        .map(|plugin| format!("{}@{}", plugin.name, plugin.version))
        .unwrap_or_default();
    told.with("plugin", name).with("reason", error.reason.name())
}

/// Returns the error of a store for the client; what is not the client's doing is logged with its causes.
fn storage(stage: &str, error: &(dyn std::error::Error + 'static), code: ErrorCode) -> ApiError {
    if matches!(code, ErrorCode::InternalError | ErrorCode::ServiceUnavailable) {
        log(stage, error);
    }
    ApiError::new(code, error.to_string())
}

fn log(stage: &str, error: &(dyn std::error::Error + 'static)) {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        causes.push(next.to_string());
        cause = next.source();
    }
    tracing::error!(stage, %error, causes = causes.join(": "), "storage");
}
