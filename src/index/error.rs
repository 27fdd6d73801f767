//! What can go wrong with the index.

use super::types::CollectionKey;
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

impl IndexError {
    /// The protocol's code for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CollectionNotFound { .. } => "COLLECTION_NOT_FOUND",
            _ => "VECTOR_STORE_ERROR",
        }
    }

    /// Whether the same call may succeed later without anyone's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. })
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

    pub(super) fn engine(operation: &'static str, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Engine {
            operation,
            cause: cause.into(),
        }
    }
}
