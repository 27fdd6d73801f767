//! `POST /analyze`: what is understood of a question, without a search.

use super::{ApiError, Filters, Mode, QueryAnalysis, QueryOptions, Warning};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST /analyze`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalyzeRequest {
    /// The question: 1 to 8,192 characters after trimming.
    #[schema(min_length = 1, max_length = 8192, pattern = r"\S")]
    pub query: String,
    /// Whose analyzer; default from the settings.
    #[serde(default)]
    pub collection_name: Option<String>,
    /// What the question may spend, which the analyzer is told.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Language of the question (BCP 47), where the client knows it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 35, pattern = "^[A-Za-z0-9-]+$")]
    pub language: Option<String>,
}

impl AnalyzeRequest {
    /// The question, trimmed; checks every value.
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
    /// Whose analyzer.
    pub collection_name: String,
    /// `name@version` of the analyzer.
    pub analyzer: String,
    /// What was understood.
    pub query_analysis: QueryAnalysis,
    /// The searches that a query in this mode would run.
    pub searches: Vec<PlannedSearch>,
    /// As used.
    pub processing_mode: Mode,
    /// Seconds.
    pub processing_time: f64,
    /// Plugins that failed and what was done instead; absent where none did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A search that would be run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PlannedSearch {
    /// What is searched for.
    pub text: String,
    /// How much its ranks count in the fusion.
    pub weight: f32,
    /// Its restrictions; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    /// Passages that it takes; absent where the mode decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}
