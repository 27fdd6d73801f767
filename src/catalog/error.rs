//! What can go wrong in the catalog, with the code that clients see.

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
    #[error("the catalog cannot be written: the disk is full")]
    StorageFull(#[source] sqlx::Error),
    /// The database could not be read or written.
    #[error("the catalog could not be read or written")]
    Storage(#[source] sqlx::Error),
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
    pub fn code(&self) -> &'static str {
        match self {
            Self::CollectionNotFound(_) => "COLLECTION_NOT_FOUND",
            Self::NotFound { .. } => "RESOURCE_NOT_FOUND",
            Self::Conflict(_) | Self::Outdated => "CONFLICT",
            Self::Validation { .. } => "VALIDATION_ERROR",
            Self::StorageFull(_) | Self::Storage(_) | Self::Migration(_) | Self::Directory(_) | Self::Damaged(_) => "INTERNAL_ERROR",
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
        // SQLITE_FULL, with its extended codes in the higher bytes.
        let full = error
            .as_database_error()
            .and_then(|e| e.code())
            .and_then(|code| code.parse::<u32>().ok())
            .is_some_and(|code| code & 0xff == 13);
        if full { Self::StorageFull(error) } else { Self::Storage(error) }
    }
}
