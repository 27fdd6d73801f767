//! `POST /search/similar`: documents like a given one.

use super::search::{check_page, default_limit};
use super::{ApiError, Filters, SearchHitMetadata};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /search/similar`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimilarRequest {
    /// The document; those like it are looked for in its collection.
    #[schema(min_length = 1, max_length = 128)]
    pub document_id: String,
    /// 1 to 100 (default 10).
    #[serde(default = "default_limit")]
    #[schema(minimum = 1, maximum = 100)]
    pub limit: u32,
    /// 0 to 1,000.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1000)]
    pub offset: u32,
    /// Documents less alike, in [0,1], are left out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub score_threshold: Option<f32>,
    /// Restricts the search.
    #[serde(default)]
    pub filters: Option<Filters>,
}

impl SimilarRequest {
    /// Checks every value.
    pub fn validate(&self) -> Result<(), ApiError> {
        if !(1..=128).contains(&self.document_id.chars().count()) {
            return Err(ApiError::validation("document_id", "must have 1 to 128 characters"));
        }
        check_page(self.limit, self.offset)?;
        ApiError::check_share("score_threshold", self.score_threshold)?;
        self.filters.as_ref().map_or(Ok(()), Filters::validate)
    }
}

/// Answer of `POST /search/similar`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SimilarResponse {
    /// The document that was given.
    pub document_id: String,
    /// Its collection.
    pub collection_name: String,
    /// Most alike first.
    pub results: Vec<SimilarDocument>,
    /// Results in this answer.
    pub total_results: usize,
    /// Seconds.
    pub processing_time: f64,
}

/// A document like another.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SimilarDocument {
    /// The document.
    pub document_id: String,
    /// File name.
    pub filename: String,
    /// How alike, in [0,1]: over the given document's passages, the mean similarity of the one here that is most like each.
    pub relevance_score: f64,
    /// From 1.
    pub rank: u32,
    /// The passage here that is most like one of the given document, exactly as it stands.
    pub content: String,
    /// Where that passage stands.
    pub metadata: SearchHitMetadata,
}
