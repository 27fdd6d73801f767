//! The options of a query.

use crate::ApiError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The longest question, in Unicode code points after trimming.
pub const MAX_QUERY_CHARS: usize = 8_192;

/// How much effort a query spends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Dense search only.
    #[serde(alias = "fast")]
    Speed,
    /// Analyzer, dense and BM25 search, fused.
    #[default]
    Balanced,
    /// The analyzer's several searches, more candidates, neighbouring chunks.
    #[serde(alias = "thorough")]
    Comprehensive,
}

impl Mode {
    /// Returns the mode as messages, metrics and plugins have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Balanced => "balanced",
            Self::Comprehensive => "comprehensive",
        }
    }
}

/// What an answer contains besides its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// The text, without markers and sources.
    TextOnly,
    /// The text without markers, and its sources.
    WithSources,
    /// The text with markers, and its citations.
    WithCitations,
    /// As `with_citations`, with the analysis in detail.
    WithAnalysis,
}

/// Restricts a search. All fields must match; within a field, any value may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Filters {
    /// Document identifiers.
    pub document_ids: Vec<String>,
    /// File names.
    pub sources: Vec<String>,
    /// Media types, or file name extensions without the dot.
    pub document_types: Vec<String>,
    /// Authors.
    pub authors: Vec<String>,
    /// When the document was created.
    pub date_range: Option<DateRange>,
    /// Metadata that must be equal, by key.
    pub metadata: BTreeMap<String, String>,
}

/// A range of RFC 3339 dates or times, both ends included; an absent end is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DateRange {
    /// First date.
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}(T.*)?$")]
    pub start: Option<String>,
    /// Last date.
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}(T.*)?$")]
    pub end: Option<String>,
}

/// `data` of `query` and of `config`, and the body of `POST /query`. For an absent field, the connection's default applies, then the
/// server's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct QueryOptions {
    /// The question: 1 to 8,192 characters after trimming.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = true, nullable = false, min_length = 1, max_length = 8192, pattern = r"\S")]
    pub query: Option<String>,
    /// The collection to query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_name: Option<String>,
    /// The mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether the answer is streamed (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Chunks to retrieve: 1 to 100 (default 10).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub max_results: Option<u32>,
    /// Whether citations are sent (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_sources: Option<bool>,
    /// Default `with_citations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// Language of the answer (BCP 47), for generators that can choose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 35, pattern = "^[A-Za-z0-9-]+$")]
    pub language: Option<String>,
    /// 0 to 2, for generators that sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f32>,
    /// Passages less relevant than this, in [0,1], are not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub score_threshold: Option<f32>,
    /// Restricts the search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
}

impl QueryOptions {
    /// Returns these options, with `defaults` for those that are absent.
    pub fn or(self, defaults: &QueryOptions) -> QueryOptions {
        let d = defaults.clone();
        QueryOptions {
            query: self.query.or(d.query),
            collection_name: self.collection_name.or(d.collection_name),
            mode: self.mode.or(d.mode),
            stream: self.stream.or(d.stream),
            max_results: self.max_results.or(d.max_results),
            include_sources: self.include_sources.or(d.include_sources),
            response_format: self.response_format.or(d.response_format),
            language: self.language.or(d.language),
            temperature: self.temperature.or(d.temperature),
            score_threshold: self.score_threshold.or(d.score_threshold),
            filters: self.filters.or(d.filters),
        }
    }

    /// Checks every value that is present. [`QueryOptions::question`] checks `query`.
    pub fn validate(&self) -> Result<(), ApiError> {
        if let Some(n) = self.max_results
            && !(1..=100).contains(&n)
        {
            return Err(ApiError::validation("max_results", format!("must be 1 to 100, not {n}")));
        }
        if let Some(t) = self.temperature
            && !(0.0..=2.0).contains(&t)
        {
            return Err(ApiError::validation("temperature", format!("must be 0 to 2, not {t}")));
        }
        ApiError::check_share("score_threshold", self.score_threshold)?;
        if let Some(language) = &self.language
            && (language.is_empty() || language.len() > 35 || !language.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        {
            return Err(ApiError::validation("language", "must be a BCP 47 tag such as `en` or `pt-BR`"));
        }
        if let Some(filters) = &self.filters {
            filters.validate()?;
        }
        Ok(())
    }

    /// Returns the question, trimmed and checked.
    pub fn question(&self) -> Result<&str, ApiError> {
        let query = self
            .query
            .as_deref()
            .ok_or_else(|| ApiError::validation("query", "is missing"))?
            .trim();
        match query.chars().take(MAX_QUERY_CHARS + 1).count() {
            0 => Err(ApiError::validation("query", "must not be empty")),
            n if n > MAX_QUERY_CHARS => Err(ApiError::validation(
                "query",
                format!("must have at most {MAX_QUERY_CHARS} characters"),
            )),
            _ => Ok(query),
        }
    }
}

impl Filters {
    /// Checks the dates.
    pub fn validate(&self) -> Result<(), ApiError> {
        if let Some(range) = &self.date_range {
            for (field, value) in [("filters.date_range.start", &range.start), ("filters.date_range.end", &range.end)] {
                if let Some(value) = value
                    && !is_date(value)
                {
                    return Err(ApiError::validation(field, "must be a date (2024-08-15) or an RFC 3339 time"));
                }
            }
        }
        Ok(())
    }
}

fn is_date(value: &str) -> bool {
    use time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(value, &Rfc3339).is_ok() || time::OffsetDateTime::parse(&format!("{value}T00:00:00Z"), &Rfc3339).is_ok()
}
