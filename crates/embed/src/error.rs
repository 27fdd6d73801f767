//! Errors of the embedder.

use ibid_types::ErrorCode;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::ModelKind;

/// Why texts were not embedded. Cloned to every request that has texts in a failed batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EmbedError {
    /// A file that the embedder needs does not exist.
    #[error("{} is missing: run `make setup` to fetch it, and `ibid doctor` to see what else is wrong", .path.display())]
    FileMissing {
        /// The path where it must be.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// ONNX Runtime's library exists but cannot be used.
    #[error("ONNX Runtime in {} cannot be used: {reason}. Run `ibid doctor`; `make setup` fetches one that fits", .path.display())]
    RuntimeUnusable {
        /// The library.
        path: PathBuf,
        /// The error of the loader or the library.
        reason: String,
    },
    /// Another ONNX Runtime is loaded already, and a process can hold only one.
    #[error("ONNX Runtime was loaded from {} before: {} cannot be loaded beside it", .loaded.display(), .wanted.display())]
    RuntimeLoaded {
        /// The library in use.
        loaded: PathBuf,
        /// The library that was to be loaded.
        wanted: PathBuf,
    },
    /// A file of the model directory is damaged, or has a format that this program does not read.
    #[error("{} cannot be used: {reason}. `ibid model convert` makes it anew from the model's source", .path.display())]
    ModelInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No model of that name is installed.
    #[error("no {} `{name}` is installed: `ibid model list` shows those that are, `ibid model pull` installs one",
        match .kind { ModelKind::Embedding => "embedding model", ModelKind::Reranker => "reranker" })]
    ModelUnknown {
        /// The requested name.
        name: String,
        /// The requested kind.
        kind: ModelKind,
    },
    /// The model of that name is of another kind.
    #[error("`{name}` is {}, not {}: `ibid model list` shows the kind of each model{}", .found.with_article(), .wanted.with_article(),
        match .found { ModelKind::Embedding => "", ModelKind::Reranker => "; a reranker is named as `model` of the pipeline's section `reranker`" })]
    WrongKind {
        /// The requested name.
        name: String,
        /// The kind of the model.
        found: ModelKind,
        /// The requested kind.
        wanted: ModelKind,
    },
    /// The model of that name is not the one that the vectors were made with.
    #[error(
        "the embedding model `{name}` has other weights (SHA-256 {found}) than the vectors were made with ({expected}): put the former \
         model back under that name, or upload the documents into a new collection"
    )]
    ModelChanged {
        /// Its name.
        name: String,
        /// SHA-256 of the graph that the vectors were made with.
        expected: String,
        /// SHA-256 of the installed graph.
        found: String,
    },
    /// As many models as may be loaded are in use.
    #[error("{most} models are in use already, which is what the setting embedder.max_models allows: try again later, or raise it")]
    TooManyModels {
        /// The value of the setting.
        most: usize,
    },
    /// The settings require a GPU, and none can be used.
    #[error("no GPU can be used, and embedder.device is \"required\": {reason}")]
    GpuMissing {
        /// Why not.
        reason: String,
    },
    /// The model failed on a batch of texts.
    #[error("the embedding model failed: {reason}")]
    Compute {
        /// The error of the runtime or the tokenizer.
        reason: String,
    },
    /// The queue stayed full for the longest time that the request may wait.
    #[error("the embedder's queue stayed full for {} ms", .waited.as_millis())]
    Busy {
        /// How long the request waited.
        waited: Duration,
    },
    /// The embedder was shut down.
    #[error("the embedder was shut down")]
    Closed,
}

impl EmbedError {
    /// Returns the error's code in the protocol.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Busy { .. }
            | Self::Closed
            | Self::FileMissing { .. }
            | Self::Io { .. }
            | Self::RuntimeUnusable { .. }
            | Self::RuntimeLoaded { .. }
            | Self::GpuMissing { .. }
            | Self::TooManyModels { .. }
            | Self::ModelInvalid { .. } => ErrorCode::ServiceUnavailable,
            Self::ModelUnknown { .. } | Self::WrongKind { .. } | Self::ModelChanged { .. } => ErrorCode::ValidationError,
            Self::Compute { .. } => ErrorCode::ProcessingError,
        }
    }

    /// Returns whether the same request may succeed when it is repeated.
    #[must_use]
    pub fn recoverable(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::TooManyModels { .. })
    }

    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            Self::FileMissing { path: path.to_owned() }
        } else {
            Self::Io {
                path: path.to_owned(),
                source: Arc::new(source),
            }
        }
    }

    pub(super) fn compute(reason: impl ToString) -> Self {
        Self::Compute {
            reason: reason.to_string(),
        }
    }
}
