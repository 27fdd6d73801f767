//! Errors of the index.

use super::types::CollectionKey;
use ibid_system::disk::DiskError;
use ibid_types::ErrorCode;
use std::error::Error as StdError;

/// A failed call to the index.
///
/// Its `Display` is safe for clients: it names no path, and nothing of the engine. The cause, for the log, is [`detail`](Self::detail)
/// (also the `source` where there is one).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The index has no such collection.
    #[error("the index has no collection '{collection}' (if it should have, 'ibid doctor' rebuilds it)")]
    CollectionNotFound {
        /// The requested collection.
        collection: CollectionKey,
    },
    /// The collection exists with another vector dimension.
    #[error("collection '{collection}' stores vectors of dimension {stored}, not {given}")]
    SchemaMismatch {
        /// The collection.
        collection: CollectionKey,
        /// The dimension that it has.
        stored: u32,
        /// The requested dimension.
        given: u32,
    },
    /// The request is invalid; it never reached the engine.
    #[error("invalid request to the index: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// The data on the disk cannot be read.
    #[error("the index of collection '{collection}' cannot be opened: run 'ibid doctor' to rebuild it")]
    Corrupt {
        /// The collection.
        collection: CollectionKey,
        /// What is wrong.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// Another process (or another handle in this one) uses the data directory.
    #[error("the index is in use by another process: stop it, or give this one another data directory")]
    Locked,
    /// The collection was dropped, and is still in use.
    #[error("collection '{collection}' is still being removed: try again")]
    Busy {
        /// The collection.
        collection: CollectionKey,
    },
    /// The Qdrant server that holds the collection is unavailable. Nothing is lost: the request can be repeated when the server is back.
    #[error("{outage}")]
    Unavailable {
        /// Why, with the remedy.
        outage: Outage,
        /// The error of the server or the connection.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The index's disk is not writable. The request can be repeated when it is.
    #[error("{disk}")]
    Disk {
        /// Why, with the remedy.
        disk: DiskError,
        /// How that was found.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The index has been closed.
    #[error("the index is shut down")]
    Closed,
    /// The engine failed.
    #[error("the vector index failed to {operation}")]
    Engine {
        /// The operation that failed: a verb and an object.
        operation: &'static str,
        /// The cause.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
}

/// Why a Qdrant server is unavailable, with the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// The connection failed.
    #[error("the vector index is unavailable: no Qdrant server answers at `qdrant.url` (start it, or correct the setting)")]
    Unreachable,
    /// The server did not answer in time.
    #[error("the Qdrant server did not answer in time (it is overloaded, or `qdrant.timeout_seconds` is too short)")]
    Slow,
    /// The server does not accept the API key.
    #[error("the Qdrant server refuses the API key: set `qdrant.api_key` or `qdrant.api_key_file` to a key that may write")]
    Refused,
    /// The server answered with an internal error.
    #[error("the Qdrant server failed (its log says why; `GET /health` shows when it is healthy again)")]
    Failing,
    /// No server is configured.
    #[error("the collection is in a Qdrant server, but the setting `qdrant.url` is empty")]
    NotConfigured,
}

impl IndexError {
    /// Returns the error's code in the protocol.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::CollectionNotFound { .. } => ErrorCode::CollectionNotFound,
            Self::Disk { disk, .. } => disk.code(),
            _ => ErrorCode::VectorStoreError,
        }
    }

    /// Returns whether the same call may succeed later without any change.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unavailable { .. } | Self::Disk { .. })
    }

    /// Returns whether a server is unavailable: the same call succeeds when it is back.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Returns the state of the disk, if it is the cause.
    pub fn disk_error(&self) -> Option<DiskError> {
        match self {
            Self::Disk { disk, .. } => Some(*disk),
            _ => None,
        }
    }

    /// Returns all details, for the log. They may contain paths.
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
            Some(disk) => Self::Disk { disk, cause },
            None => Self::Engine { operation, cause },
        }
    }

    /// Makes the error of an operation that was refused because of the disk.
    pub(super) fn disk(disk: DiskError, operation: &'static str) -> Self {
        let cause = format!("refused to {operation}").into();
        Self::Disk { disk, cause }
    }
}
