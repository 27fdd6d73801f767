//! Which points a search may find.

/// Seconds since 1970-01-01 UTC, both ends included; an absent end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DateRange {
    /// The earliest.
    pub start: Option<i64>,
    /// The latest.
    pub end: Option<i64>,
}

impl DateRange {
    /// Whether it restricts nothing.
    pub fn is_open(&self) -> bool {
        self.start.is_none() && self.end.is_none()
    }
}

/// Which points a search may find: those that meet every field. Within a list any value will do; an empty list
/// restricts nothing, so the default filter lets all pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Documents.
    pub document_ids: Vec<String>,
    /// File names.
    pub sources: Vec<String>,
    /// Types, as the payloads spell them.
    pub document_types: Vec<String>,
    /// Authors: one of the document's authors is one of these.
    pub authors: Vec<String>,
    /// When the document was made. Any restriction leaves out documents without a date.
    pub created: DateRange,
    /// Metadata that must all be so: key and value, exactly.
    pub metadata: Vec<(String, String)>,
    /// Documents to leave out: those that are being ingested or deleted.
    pub exclude_documents: Vec<String>,
}

impl Filter {
    /// Whether it lets all pass.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
