//! What can go wrong in the catalog, with the code that clients see.

use ibid_system::disk::DiskError;
use ibid_types::ErrorCode;
use sqlx::sqlite::SqliteError;

/// A failed catalog operation.
///
/// `Display` is safe to show to a client: it names what the client named and no internals, which
/// are in `source()` for the log.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No live collection has this name or identifier.
    #[error("there is no collection {0:?}")]
    CollectionNotFound(String),
    /// There is no such document or upload.
    #[error("there is no {kind} {id:?}")]
    NotFound {
        /// `document` or `upload`.
        kind: &'static str,
        /// As the caller gave it.
        id: String,
    },
    /// It clashes with what is there, or comes in the wrong state.
    #[error("{0}")]
    Conflict(String),
    /// The collection has another pipeline by now than the one that was to be used: nothing was done.
    #[error("the collection has another pipeline by now")]
    Outdated,
    /// A value that can never be right.
    #[error("{field}: {issue}")]
    Validation {
        /// The field's name, as in the REST API.
        field: &'static str,
        /// What is wrong, and what would be right.
        issue: String,
    },
    /// The disk under the catalog is full.
    #[error("{}", DiskError::Full)]
    StorageFull(#[source] sqlx::Error),
    /// The disk under the catalog is read-only.
    #[error("{}", DiskError::ReadOnly)]
    ReadOnly(#[source] sqlx::Error),
    /// The disk under the catalog fails, in whatever way.
    #[error("the catalog's disk failed: the server's log and the system's say how; `GET /health` tells when it can be written again")]
    DiskFailed(#[source] sqlx::Error),
    /// The database is not one any more.
    #[error("the catalog is damaged: stop the server, move its data directory away, and put a backup back with `ibid restore`")]
    Broken(#[source] sqlx::Error),
    /// The database could not be read or written.
    #[error("the catalog could not be read or written: the server's log says why")]
    Storage(#[source] sqlx::Error),
    /// The database that servers share does not answer. It may be back by itself.
    #[error("the catalog's database does not answer for now: the same request works when it is back")]
    Away(#[source] sqlx::Error),
    /// The address of the database makes no sense.
    #[error("the catalog's address is not one of a PostgreSQL database: {0}")]
    Address(String),
    /// The database does not let this server in, or is not there.
    #[error("the catalog's database cannot be reached: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the catalog's schema could not be brought up to date; was it written by a newer version?")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The directory of the database could not be made.
    #[error("the catalog's directory could not be created")]
    Directory(#[source] std::io::Error),
    /// A row holds what this version does not understand.
    #[error("the catalog holds a value that cannot be read ({0})")]
    Damaged(String),
}

impl CatalogError {
    /// The stable code, as in the API's errors.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::CollectionNotFound(_) => ErrorCode::CollectionNotFound,
            Self::NotFound { .. } => ErrorCode::ResourceNotFound,
            Self::Conflict(_) | Self::Outdated => ErrorCode::Conflict,
            Self::Validation { .. } => ErrorCode::ValidationError,
            Self::StorageFull(_) | Self::ReadOnly(_) | Self::DiskFailed(_) | Self::Away(_) => ErrorCode::ServiceUnavailable,
            Self::Broken(_)
            | Self::Storage(_)
            | Self::Address(_)
            | Self::Unreachable(_)
            | Self::Migration(_)
            | Self::Directory(_)
            | Self::Damaged(_) => ErrorCode::InternalError,
        }
    }

    /// What is the matter with the disk, where that is why.
    pub fn disk_error(&self) -> Option<DiskError> {
        match self {
            Self::StorageFull(_) => Some(DiskError::Full),
            Self::ReadOnly(_) => Some(DiskError::ReadOnly),
            Self::Directory(error) => DiskError::of(error),
            _ => None,
        }
    }

    /// A document that is not there.
    pub(super) fn no_document(id: &str) -> Self {
        Self::NotFound {
            kind: "document",
            id: id.to_owned(),
        }
    }

    /// An upload that is not there.
    pub(super) fn no_upload(id: &str) -> Self {
        Self::NotFound {
            kind: "upload",
            id: id.to_owned(),
        }
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        /// The file of the database was moved away while it was open: that is no read-only disk.
        const MOVED: u32 = 1032;
        let sqlite = error
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<SqliteError>())
            .and_then(|error| sqlx::error::DatabaseError::code(error)?.parse::<u32>().ok());
        // The primary code is the lowest byte of the extended one.
        match sqlite.map(|code| (code, code & 0xff)) {
            // SQLITE_FULL
            Some((_, 13)) => Self::StorageFull(error),
            // SQLITE_READONLY
            Some((code, 8)) if code != MOVED => Self::ReadOnly(error),
            // SQLITE_IOERR, SQLITE_CANTOPEN
            Some((_, 10 | 14)) => Self::DiskFailed(error),
            // SQLITE_CORRUPT, SQLITE_NOTADB
            Some((_, 11 | 26)) => Self::Broken(error),
            _ => Self::of_server(error),
        }
    }
}

impl CatalogError {
    /// Of PostgreSQL, or of the way to it.
    fn of_server(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|told| told.code()).map(|code| code.into_owned());
        match (&error, code.as_deref()) {
            // disk_full
            (_, Some("53100")) => Self::StorageFull(error),
            (_, Some(code)) if is_outage(code) => Self::Away(error),
            (sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut, _) => Self::Away(error),
            _ => Self::Storage(error),
        }
    }
}

/// Whether a code of PostgreSQL says that the connection or the server goes or is gone: classes 08 (connection), 53300 (too many of
/// them), 57P01 to 57P03 (shut down, crashed, starting).
fn is_outage(code: &str) -> bool {
    code.len() == 5 && (code.starts_with("08") || matches!(code, "53300" | "57P01" | "57P02" | "57P03"))
}
