//! What is understood of a question, without a search.

use super::Queries;
use crate::query::plan::{analysis, searches};
use ibid_plugin_host::Search;
use ibid_protocol::{AnalyzeRequest, AnalyzeResponse, ApiError, PlannedSearch};
use serde_json::Value;
use std::time::Instant;

impl Queries {
    /// Asks a collection's analyzer.
    ///
    /// # Errors
    /// A value that is wrong, no such collection, or a failed analyzer that the pipeline does not go on without.
    pub async fn analyze_question(&self, request: AnalyzeRequest) -> Result<AnalyzeResponse, ApiError> {
        let start = Instant::now();
        let query = request.question()?;
        let collection = request.collection_name.as_deref().unwrap_or(&self.default_collection);
        let pipeline = self
            .pipelines
            .find(collection)
            .await
            .map_err(|error| error.to_api_error("query_analysis"))?;
        let mode = request.mode.unwrap_or(pipeline.settings().retrieval.mode);
        let _permit = self.permits.admit().await?;
        let work = self.analyze(&*pipeline, &query, mode, request.language.as_deref());
        let (plan, warning) = self.timeout.run("query_analysis", work).await?;
        Ok(AnalyzeResponse {
            collection_name: pipeline.collection().to_owned(),
            analyzer: pipeline.analyzer_name(),
            query_analysis: analysis(&plan),
            searches: searches(&query, &plan, mode).into_iter().map(planned).collect(),
            processing_mode: mode,
            processing_time: start.elapsed().as_secs_f64(),
            warnings: warning.into_iter().collect(),
            query,
        })
    }
}

pub(crate) fn planned(search: Search) -> PlannedSearch {
    // One that is no filter fails the search itself, with a message; here it is not in the way.
    let filters = search.filter.and_then(|filter| serde_json::from_value(Value::Object(filter)).ok());
    PlannedSearch {
        text: search.text,
        weight: search.weight,
        filters,
        limit: search.limit,
    }
}
