//! Filters of a search.

/// A range of seconds since 1970-01-01 UTC, both ends included; an absent end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DateRange {
    /// The earliest date.
    pub start: Option<i64>,
    /// The latest date.
    pub end: Option<i64>,
}

impl DateRange {
    /// Returns whether it restricts nothing.
    pub fn is_open(&self) -> bool {
        self.start.is_none() && self.end.is_none()
    }
}

/// A filter, which points must match in every field. Any value of a list matches; an empty list restricts nothing, so the default filter
/// matches all points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Documents.
    pub document_ids: Vec<String>,
    /// File names.
    pub sources: Vec<String>,
    /// Document types, as in the payloads.
    pub document_types: Vec<String>,
    /// Authors: one of the document's authors must be one of these.
    pub authors: Vec<String>,
    /// When the document was created. Any restriction excludes documents without a date.
    pub created: DateRange,
    /// Metadata entries that must all match: key and value, exactly.
    pub metadata: Vec<(String, String)>,
    /// Documents to exclude: those that are being ingested or deleted.
    pub exclude_documents: Vec<String>,
}

impl Filter {
    /// Returns whether it matches all points.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
