//! `POST /search/similar`: documents that are similar to a given one.

use super::search::{check_page, default_limit};
use super::{ApiError, Filters, SearchHitMetadata};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /search/similar`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimilarRequest {
    /// The document. The search is in its collection.
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
    /// Documents that are less similar, in [0,1], are left out.
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
    /// The given document.
    pub document_id: String,
    /// Its collection.
    pub collection_name: String,
    /// Most similar first.
    pub results: Vec<SimilarDocument>,
    /// The number of results in this answer.
    pub total_results: usize,
    /// Seconds.
    pub processing_time: f64,
}

/// A similar document.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SimilarDocument {
    /// The document.
    pub document_id: String,
    /// File name.
    pub filename: String,
    /// The similarity, in [0,1]: the mean, over the given document's passages, of the similarity of this document's most similar passage.
    pub relevance_score: f64,
    /// From 1.
    pub rank: u32,
    /// This document's passage that is most similar to one of the given document, exactly as in the text.
    pub content: String,
    /// The position of that passage.
    pub metadata: SearchHitMetadata,
}
