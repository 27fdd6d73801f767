//! What can go wrong with the index.

use super::types::CollectionKey;
use ibid_system::disk::DiskError;
use ibid_types::ErrorCode;
use std::error::Error as StdError;

/// A failed call to the index.
///
/// What it displays is fit for clients: it names no path and nothing of the engine. The cause, for the log, is
/// [`detail`](Self::detail) (also the `source` where there is one).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// There is no such collection in the index.
    #[error("the index has no collection '{collection}' (if it should have, 'ibid doctor' rebuilds it)")]
    CollectionNotFound {
        /// Which one was asked for.
        collection: CollectionKey,
    },
    /// The collection exists with another vector dimension.
    #[error("collection '{collection}' stores vectors of dimension {stored}, not {given}")]
    SchemaMismatch {
        /// The collection.
        collection: CollectionKey,
        /// The dimension that it has.
        stored: u32,
        /// The dimension that was asked for.
        given: u32,
    },
    /// The request is at fault; it never reached the engine.
    #[error("invalid request to the index: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// What is on disk cannot be read.
    #[error("the index of collection '{collection}' cannot be opened: run 'ibid doctor' to rebuild it")]
    Corrupt {
        /// The collection.
        collection: CollectionKey,
        /// What was found.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// Another process (or another handle in this one) uses the data directory.
    #[error("the index is in use by another process: stop it, or give this one another data directory")]
    Locked,
    /// The collection was dropped, and what still used it has not ended yet.
    #[error("collection '{collection}' is still being removed: try again")]
    Busy {
        /// The collection.
        collection: CollectionKey,
    },
    /// The Qdrant server that holds the collection cannot be used at present. Nothing is lost by it: what was asked can be asked
    /// again when the server is back.
    #[error("{outage}")]
    Unavailable {
        /// What is the matter, and whose turn it is.
        outage: Outage,
        /// What the server or the connection said.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The disk that the index is on cannot be written. What was asked can be asked again when it can.
    #[error("{trouble}")]
    Disk {
        /// What is the matter, with the remedy.
        trouble: DiskError,
        /// How that was found.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The index has been closed.
    #[error("the index is shut down")]
    Closed,
    /// The engine or the disk failed.
    #[error("the vector index failed to {operation}")]
    Engine {
        /// What it was doing: a verb and an object.
        operation: &'static str,
        /// Why.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
}

/// Why a Qdrant server cannot be used, with the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// No connection.
    #[error("the vector index is away: no Qdrant server answers at `qdrant.url` (start it, or correct the setting)")]
    Unreachable,
    /// No answer in time.
    #[error("the Qdrant server did not answer in time (it is overloaded, or `qdrant.timeout_seconds` is too short)")]
    Slow,
    /// It does not take the API key.
    #[error("the Qdrant server refuses the API key: set `qdrant.api_key` or `qdrant.api_key_file` to a key that may write")]
    Refused,
    /// It answers, but cannot do what it should.
    #[error("the Qdrant server failed (its log says why; `GET /health` tells when it is well again)")]
    Failing,
    /// Nothing says where it is.
    #[error("the collection lives in a Qdrant server, and `qdrant.url` does not say where that is")]
    NotConfigured,
}

impl IndexError {
    /// The protocol's code for it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::CollectionNotFound { .. } => ErrorCode::CollectionNotFound,
            Self::Disk { trouble, .. } => trouble.code(),
            _ => ErrorCode::VectorStoreError,
        }
    }

    /// Whether the same call may succeed later without anyone's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unavailable { .. } | Self::Disk { .. })
    }

    /// Whether a server is away: the same call will succeed when it is back.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// What is the matter with the disk, where that is why.
    pub fn disk_error(&self) -> Option<DiskError> {
        match self {
            Self::Disk { trouble, .. } => Some(*trouble),
            _ => None,
        }
    }

    /// The whole story, for the log: may name paths.
    pub fn detail(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }

    pub(super) fn unavailable(outage: Outage, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable {
            outage,
            cause: cause.into(),
        }
    }

    pub(super) fn engine(operation: &'static str, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let cause = cause.into();
        match cause.downcast_ref::<std::io::Error>().and_then(DiskError::of) {
            Some(trouble) => Self::Disk { trouble, cause },
            None => Self::Engine { operation, cause },
        }
    }

    /// Of a disk that is in trouble before anything was done.
    pub(super) fn disk(trouble: DiskError, operation: &'static str) -> Self {
        let cause = format!("refused to {operation}").into();
        Self::Disk { trouble, cause }
    }
}
