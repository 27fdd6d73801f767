//! Errors of the file store, with the codes that clients see.

use ibid_system::disk::DiskError;
use ibid_types::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// A failed operation of the file store.
///
/// `Display` is safe to show to a client; paths and causes are in `Debug` and `source()`, for the log.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The original, text or upload does not exist.
    #[error("there is no {kind} {id:?}")]
    NotFound {
        /// `file`, `text` or `upload`.
        kind: &'static str,
        /// The identifier as the caller gave it.
        id: String,
    },
    /// The upload is larger than allowed.
    #[error("the file is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The largest size in bytes.
        limit: u64,
    },
    /// Another connection is writing this upload.
    #[error("upload {0:?} is being written by another connection")]
    Busy(String),
    /// Another process uses the directory.
    #[error("the data directory is in use by another process")]
    InUse,
    /// The identifier is malformed.
    #[error("{0:?} is not a valid identifier")]
    InvalidId(String),
    /// The span is outside the text, reversed, or cuts a character.
    #[error("{start}..{end} is not a span of the text")]
    InvalidSpan {
        /// The first byte.
        start: u64,
        /// The byte after the last one.
        end: u64,
    },
    /// An earlier write failed half-way; the upload must be opened again.
    #[error("an earlier write of this upload failed; resume it")]
    Broken,
    /// The disk is full, or a quota is used up.
    #[error("{}", DiskError::Full)]
    StorageFull(#[source] Cause),
    /// The disk is read-only.
    #[error("{}", DiskError::ReadOnly)]
    ReadOnly(#[source] Cause),
    /// The server may not read or write there.
    #[error("the server has no permission to access its file store: the data directory must be its own user's")]
    Denied(#[source] Cause),
    /// The stored data differs from what was written.
    #[error("the stored data of {0:?} is damaged")]
    Damaged(String),
    /// The object store does not answer, or answers that it is unavailable. It may recover by itself.
    #[error("the file store does not answer at present: try again when it is back")]
    Away(#[source] Cause),
    /// The object store refuses the request.
    #[error("the file store refuses this server: its log has the reason, and the settings `files.s3` may be wrong")]
    Refused(#[source] Cause),
    /// The store cannot be opened with these settings. The message is for the operator.
    #[error("{0}")]
    Unusable(String),
    /// Another failure of the file system.
    #[error("the file store could not be read or written: the server's log says why")]
    Io(#[source] Cause),
    /// The server is shutting down.
    #[error("the operation was interrupted")]
    Interrupted,
}

/// The error of the file system or of the object store, and where it happened. For the log only.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct Cause {
    /// The path.
    pub path: PathBuf,
    /// The error.
    pub error: io::Error,
}

impl FileError {
    /// Returns the stable error code of the API.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::ResourceNotFound,
            Self::TooLarge { .. } => ErrorCode::PayloadTooLarge,
            Self::Busy(_) | Self::InUse | Self::Broken => ErrorCode::Conflict,
            Self::InvalidId(_) | Self::InvalidSpan { .. } => ErrorCode::ValidationError,
            Self::StorageFull(_) | Self::ReadOnly(_) | Self::Interrupted | Self::Away(_) | Self::Refused(_) => {
                ErrorCode::ServiceUnavailable
            }
            Self::Denied(_) | Self::Damaged(_) | Self::Io(_) | Self::Unusable(_) => ErrorCode::InternalError,
        }
    }

    /// Returns whether the same call may succeed later without any change by the client.
    pub fn is_recoverable(&self) -> bool {
        matches!(
            self,
            Self::Busy(_) | Self::Broken | Self::StorageFull(_) | Self::ReadOnly(_) | Self::Interrupted | Self::Away(_)
        )
    }

    /// Returns whether the object store is unavailable: the same call succeeds when the store is back, however long that takes.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Refused(_))
    }

    /// Returns the state of the disk, if it is the cause.
    pub fn disk_error(&self) -> Option<DiskError> {
        match self {
            Self::StorageFull(_) => Some(DiskError::Full),
            Self::ReadOnly(_) => Some(DiskError::ReadOnly),
            _ => None,
        }
    }

    /// Makes an error of the file system, in the data directory but not in the store.
    pub fn of(path: &Path, error: io::Error) -> Self {
        Self::io(path)(error)
    }

    /// Makes the error of a service that does not answer: `place` names it, for the log.
    pub fn away(place: &str, error: io::Error) -> Self {
        Self::Away(Cause { path: place.into(), error })
    }

    /// Converts an error of the file system.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| {
            let (kind, trouble) = (error.kind(), DiskError::of(&error));
            let cause = Cause { path, error };
            match (trouble, kind) {
                (Some(DiskError::Full), _) => Self::StorageFull(cause),
                (Some(DiskError::ReadOnly), _) => Self::ReadOnly(cause),
                (None, io::ErrorKind::PermissionDenied) => Self::Denied(cause),
                (None, _) => Self::Io(cause),
            }
        }
    }

    /// As `io`, but a missing file is `NotFound`.
    pub(super) fn absent(path: &Path, kind: &'static str, id: &str) -> impl FnOnce(io::Error) -> Self {
        let other = Self::io(path);
        let id = id.to_owned();
        move |error| match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { kind, id },
            _ => other(error),
        }
    }
}
