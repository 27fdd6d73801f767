//! `POST /analyze`: the analysis of a question, without a search.

use super::{ApiError, Filters, Mode, QueryAnalysis, QueryOptions, Warning};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /analyze`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalyzeRequest {
    /// The question: 1 to 8,192 characters after trimming.
    #[schema(min_length = 1, max_length = 8192, pattern = r"\S")]
    pub query: String,
    /// The collection whose analyzer is used; default from the settings.
    #[serde(default)]
    pub collection_name: Option<String>,
    /// The mode, which the analyzer receives.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// The language of the question (BCP 47), if the client knows it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 35, pattern = "^[A-Za-z0-9-]+$")]
    pub language: Option<String>,
}

impl AnalyzeRequest {
    /// Returns the question, trimmed; checks every value.
    pub fn question(&self) -> Result<String, ApiError> {
        let options = QueryOptions {
            query: Some(self.query.clone()),
            language: self.language.clone(),
            ..QueryOptions::default()
        };
        options.validate()?;
        options.question().map(str::to_owned)
    }
}

/// Answer of `POST /analyze`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AnalyzeResponse {
    /// The question, trimmed.
    pub query: String,
    /// The collection whose analyzer was used.
    pub collection_name: String,
    /// `name@version` of the analyzer.
    pub analyzer: String,
    /// The analysis.
    pub query_analysis: QueryAnalysis,
    /// The searches that a query in this mode would run.
    pub searches: Vec<PlannedSearch>,
    /// The mode that was used.
    pub processing_mode: Mode,
    /// Seconds.
    pub processing_time: f64,
    /// Plugins that failed, and what was done instead; absent if none failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A search that a query would run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlannedSearch {
    /// The text to search for.
    pub text: String,
    /// The weight of its ranking in the fusion.
    pub weight: f32,
    /// Its filters; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    /// The number of passages that it retrieves; absent where the mode decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
