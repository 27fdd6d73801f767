//! The query string of `GET /documents`.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Which documents to list: the query string of `GET /documents`.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default)]
pub struct DocumentQuery {
    /// One collection; absent lists all.
    pub collection_name: Option<String>,
    /// Documents of one state; absent lists all.
    #[param(inline)]
    pub status: Option<DocumentStatus>,
    /// 1 to 1,000 (default 50).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Documents to skip.
    pub offset: u32,
    /// By what they are ordered.
    #[param(inline)]
    pub sort_by: SortBy,
    /// In which direction.
    #[param(inline)]
    pub sort_order: SortOrder,
}

/// State of a document, as lists name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentStatus {
    /// On its way in.
    Processing,
    /// Can be found.
    Ready,
    /// Could not be processed.
    Failed,
    /// On its way out.
    Deleting,
}

/// By what documents are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// When they were uploaded.
    #[default]
    UploadDate,
    /// File name.
    Filename,
    /// Bytes of the file.
    Size,
}

/// In which direction documents are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortOrder {
    /// Least first.
    Asc,
    /// Most first.
    #[default]
    Desc,
}
