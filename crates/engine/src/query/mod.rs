//! Queries: questions that are answered, and searches.
//!
//! Cancelling is dropping: the work is one future, and whatever it waits for is dropped with it.

pub(crate) mod analyze;
pub(crate) mod embedding;
pub(crate) mod filters;
pub(crate) mod flow;
pub(crate) mod fusion;
pub(crate) mod passage_assembly;
pub(crate) mod passages;
pub(crate) mod permits;
pub(crate) mod plan;
pub(crate) mod profile;
pub(crate) mod profile_cache;
pub(crate) mod query_pipeline;
pub(crate) mod question;
pub(crate) mod rerank;
pub(crate) mod resolved_pipeline;
pub(crate) mod retrieve;
pub(crate) mod search;
pub(crate) mod similar;
pub(crate) mod stage_timeout;
pub(crate) mod stream;
pub(crate) mod timings;
pub(crate) mod try_plugin;

use crate::lifecycle::Lifecycle;
use crate::manage::documents::Documents;
use crate::query::permits::QueryPermits;
use crate::query::profile_cache::ProfileCache;
use crate::query::query_pipeline::QueryPipelines;
use crate::query::stage_timeout::StageTimeout;
use crate::store::Store;
use crate::tuning::Tuning;
use crate::upkeep::load::QueryMeter;
use ibid_auth::Subject;
use ibid_protocol::{Answer, ApiError, Citation, CompletionStatus, ErrorCode, ProcessingMetadata, QueryEvent, QueryOptions, Source};
use ibid_telemetry::trace;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

/// Events that may wait for a slow client before the generator does.
const EVENTS_AHEAD: usize = 32;

/// A query that runs.
pub struct QueryHandle {
    /// The server's name for it.
    pub query_id: String,
    /// What happens, ending with exactly one `Complete` or `Error`. Not reading holds the generator.
    pub events: mpsc::Receiver<QueryEvent>,
    /// Stops it; `Complete` with status `cancelled` follows.
    pub cancel: CancellationToken,
    _cancel_on_drop: DropGuard,
}

/// Answers questions and searches.
pub(crate) struct Queries {
    pub store: Arc<Store>,
    pub pipelines: Arc<dyn QueryPipelines>,
    pub profiles: Arc<ProfileCache>,
    pub documents: Arc<Documents>,
    pub permits: Arc<QueryPermits>,
    pub timeout: StageTimeout,
    pub lifecycle: Lifecycle,
    /// The collection of questions that name none.
    pub default_collection: String,
    /// Counts queries and their times.
    pub meter: QueryMeter,
}

impl Queries {
    /// Starts a query of the subject's. Checks its values before anything else happens.
    pub fn query(self: &Arc<Self>, options: QueryOptions, subject: &Subject) -> Result<QueryHandle, ApiError> {
        let mut question = self.question(options)?;
        question.unseen = !subject.sees(&question.collection);
        let (sender, events) = mpsc::channel(EVENTS_AHEAD);
        let cancel = self.lifecycle.stopping.child_token();
        let query_id = format!("query_{}", uuid::Uuid::new_v4().simple());
        let queries = self.clone();
        let (token, id) = (cancel.clone(), query_id.clone());
        // Of the lowest level, so that the lines of a query tell of which one they are, whatever is logged.
        let span = tracing::error_span!("query", query_id);
        let trace = trace::query(&query_id);
        let query_trace = trace.clone();
        let work = async move { queries.run_query(question, id, token, sender, &query_trace).await };
        self.lifecycle.tasks.spawn(work.instrument(span).instrument(trace));
        Ok(QueryHandle {
            query_id,
            events,
            _cancel_on_drop: cancel.clone().drop_guard(),
            cancel,
        })
    }

    /// Answers a query at once.
    pub async fn answer(self: &Arc<Self>, options: QueryOptions, subject: &Subject) -> Result<Answer, ApiError> {
        let options = QueryOptions {
            stream: Some(false),
            ..options
        };
        let mut query = self.query(options, subject)?;
        let mut citations: Vec<Citation> = Vec::new();
        while let Some(event) = query.events.recv().await {
            match event {
                QueryEvent::Citation(citation) => citations.push(citation),
                QueryEvent::Error(error) => {
                    return Err(ApiError {
                        code: error.code,
                        message: error.message,
                        details: error.details,
                    });
                }
                QueryEvent::Complete(complete) if complete.status == CompletionStatus::Cancelled => break,
                QueryEvent::Complete(complete) => {
                    return Ok(Answer {
                        query_id: complete.query_id,
                        response: complete.response.unwrap_or_default(),
                        sources: citations.into_iter().map(Source::from).collect(),
                        query_analysis: complete.query_analysis,
                        processing_metadata: ProcessingMetadata {
                            status: complete.status,
                            total_time: complete.total_time,
                            tokens_generated: complete.tokens_generated,
                            sources_used: complete.sources_used,
                            processing_mode: complete.processing_mode,
                            timings: complete.timings,
                            pipeline: complete.pipeline,
                            generator: complete.generator,
                            warnings: complete.warnings,
                        },
                    });
                }
                QueryEvent::Status(_) | QueryEvent::Token(_) => {}
            }
        }
        Err(ApiError::new(
            ErrorCode::ServiceUnavailable,
            "the server is shutting down: send the query again",
        ))
    }

    /// Takes other settings, for whatever begins from now on.
    pub fn tune(&self, tuning: Tuning) {
        self.timeout.tuned.set(tuning);
        self.permits.tune(tuning.max_concurrent_queries);
    }
}

#[cfg(test)]
#[path = "query_tests/mod.rs"]
mod tests;
