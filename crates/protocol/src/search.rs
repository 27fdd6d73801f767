//! `POST /search`: retrieval without generation.

use super::{ApiError, Filters, Mode, Warning};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Which searches are run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SearchType {
    /// Dense vectors.
    Semantic,
    /// BM25.
    Keyword,
    /// Both, fused.
    #[default]
    Hybrid,
}

/// Body of `POST /search`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchRequest {
    /// What to search for: 1 to 8,192 characters after trimming.
    #[schema(min_length = 1, max_length = 8192, pattern = r"\S")]
    pub query: String,
    /// Default from the settings.
    #[serde(default)]
    pub collection_name: Option<String>,
    /// 1 to 100 (default 10).
    #[serde(default = "default_limit")]
    #[schema(minimum = 1, maximum = 100)]
    pub limit: u32,
    /// 0 to 1,000.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1000)]
    pub offset: u32,
    /// Results with a lower score, in [0,1], are left out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub score_threshold: Option<f32>,
    /// Results with less than this share of the best one's relevance, in [0,1], are left out, and adjacent chunks are one result; 0: each
    /// chunk is a result. Absent: the pipeline's `retrieval.relative_threshold`, for searches without an `offset`.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub relative_threshold: Option<f32>,
    /// Absent: depends on the mode (`speed`: semantic, otherwise hybrid).
    #[serde(default)]
    pub search_type: Option<SearchType>,
    /// The mode.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Restricts the search.
    #[serde(default)]
    pub filters: Option<Filters>,
    /// Whether the collection's reranker orders the results, if it has one; absent: depends on the pipeline and the mode.
    #[serde(default)]
    pub rerank: Option<bool>,
}

/// Returns the default number of results.
pub(super) fn default_limit() -> u32 {
    10
}

impl SearchRequest {
    /// Checks every value.
    pub fn validate(&self) -> Result<(), ApiError> {
        let options = super::QueryOptions {
            query: Some(self.query.clone()),
            score_threshold: self.score_threshold,
            filters: self.filters.clone(),
            ..Default::default()
        };
        options.question()?;
        options.validate()?;
        ApiError::check_share("relative_threshold", self.relative_threshold)?;
        check_page(self.limit, self.offset)
    }
}

/// Checks the range of results.
pub(super) fn check_page(limit: u32, offset: u32) -> Result<(), ApiError> {
    if !(1..=100).contains(&limit) {
        return Err(ApiError::validation("limit", format!("must be 1 to 100, not {limit}")));
    }
    if offset > 1_000 {
        return Err(ApiError::validation("offset", format!("must be at most 1000, not {offset}")));
    }
    Ok(())
}

/// Answer of `POST /search`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SearchResponse {
    /// Most relevant first.
    pub results: Vec<SearchHit>,
    /// The number of results in this answer.
    pub total_results: usize,
    /// The type that was used.
    pub search_type: SearchType,
    /// The mode that was used.
    pub processing_mode: Mode,
    /// Whether a cross-encoder ordered the results. Then the scores are its own, adjusted for documents that the query names.
    pub reranked: bool,
    /// Seconds.
    pub processing_time: f64,
    /// Parts that failed, and what was done instead; absent if none failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A passage: a chunk, or several adjacent ones.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SearchHit {
    /// The passage, exactly as in the document.
    pub content: String,
    /// The position in the document.
    pub metadata: SearchHitMetadata,
    /// In [0,1], higher is better.
    pub relevance_score: f64,
    /// From 1.
    pub rank: u32,
    /// The words of the query in it, in order.
    pub highlight: Vec<Highlight>,
}

/// A word of the query in a document's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Highlight {
    /// Offset of its first character in the document, in Unicode code points.
    pub start_char: u64,
    /// Offset after its last character.
    pub end_char: u64,
}

/// The position of a passage.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SearchHitMetadata {
    /// The document.
    pub document_id: String,
    /// The chunk; of several, the most relevant.
    pub chunk_id: String,
    /// Its position among the document's chunks, from 0.
    pub chunk_index: u32,
    /// File name.
    pub source: String,
    /// From 1; absent where the format has no pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Offset of the first character, in Unicode code points.
    pub start_char: u64,
    /// Offset after the last character.
    pub end_char: u64,
    /// Headings above it.
    pub section: Vec<String>,
    /// The document's metadata.
    pub document: BTreeMap<String, String>,
}
