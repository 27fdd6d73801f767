//! What can go wrong in the file store, with the code that clients see.

use ibid_system::disk::DiskError;
use ibid_types::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// A failed operation of the file store.
///
/// `Display` is safe to show to a client; paths and causes are in `Debug` and `source()`, for the log.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such original, text or upload.
    #[error("there is no {kind} {id:?}")]
    NotFound {
        /// `file`, `text` or `upload`.
        kind: &'static str,
        /// As the caller gave it.
        id: String,
    },
    /// More bytes than an upload may have.
    #[error("the file is larger than the {limit} bytes that are allowed")]
    TooLarge {
        /// Bytes that are allowed.
        limit: u64,
    },
    /// Somebody else is writing this upload.
    #[error("upload {0:?} is being written by another connection")]
    Busy(String),
    /// Another process uses the directory.
    #[error("the data directory is in use by another process")]
    InUse,
    /// An identifier that cannot be one.
    #[error("{0:?} is not a valid identifier")]
    InvalidId(String),
    /// A span outside the text, reversed, or cutting a character.
    #[error("{start}..{end} is not a span of the text")]
    InvalidSpan {
        /// First byte.
        start: u64,
        /// Byte after the last one.
        end: u64,
    },
    /// A write failed half-way before; what is staged has to be opened again.
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
    /// Stored data is not what was written.
    #[error("the stored data of {0:?} is damaged")]
    Damaged(String),
    /// The object store does not answer, or answers that it cannot now. It may be back by itself.
    #[error("the store of files does not answer for now: the same request works when it is back")]
    Away(#[source] Cause),
    /// The object store answers, and refuses.
    #[error("the store of files refuses this server: whoever runs it finds the reason in its log, and `files.s3` in its settings")]
    Refused(#[source] Cause),
    /// The store cannot be opened as it is set up. For whoever runs the server.
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
    /// Where.
    pub path: PathBuf,
    /// What.
    pub error: io::Error,
}

impl FileError {
    /// The stable code, as in the API's errors.
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

    /// Whether the same call may succeed later without anything being mended by the client.
    pub fn is_recoverable(&self) -> bool {
        matches!(
            self,
            Self::Busy(_) | Self::Broken | Self::StorageFull(_) | Self::ReadOnly(_) | Self::Interrupted | Self::Away(_)
        )
    }

    /// Whether the object store cannot be used: the same work succeeds when it can, however long that takes.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Refused(_))
    }

    /// What is the matter with the disk, where that is why.
    pub fn disk_error(&self) -> Option<DiskError> {
        match self {
            Self::StorageFull(_) => Some(DiskError::Full),
            Self::ReadOnly(_) => Some(DiskError::ReadOnly),
            _ => None,
        }
    }

    /// An error of the file system, in the data directory but not in the store.
    pub fn of(path: &Path, error: io::Error) -> Self {
        Self::io(path)(error)
    }

    /// Something that the store needs does not answer: `place` names it, for the log.
    pub fn away(place: &str, error: io::Error) -> Self {
        Self::Away(Cause { path: place.into(), error })
    }

    /// Sorts an error of the file system.
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

    /// As `io`, but a file that is not there is `NotFound`.
    pub(super) fn absent(path: &Path, kind: &'static str, id: &str) -> impl FnOnce(io::Error) -> Self {
        let other = Self::io(path);
        let id = id.to_owned();
        move |error| match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { kind, id },
            _ => other(error),
        }
    }
}
