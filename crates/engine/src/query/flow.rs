//! The flow of one query: analyze, retrieve, rerank, generate, cite; and its one end.

use super::Queries;
use crate::error::PipelineError;
use crate::query::plan::{analysis, as_it_is, default_search, names, searches};
use crate::query::query_pipeline::{Analyzer, QueryPipeline};
use crate::query::question::Question;
use crate::query::retrieve::{Reading, Retrieval};
use crate::query::stream::{AnswerWriter, Written};
use crate::query::timings::Timings;
use crate::spec::policy::Remedy;
use ibid_generate::{Request, Sink};
use ibid_plugin_host::Plan;
use ibid_protocol::{ApiError, Complete, CompletionStatus, GeneratorInfo, Mode, QueryAnalysis, QueryEvent, Stage, Status, Warning};
use ibid_telemetry::catalogue;
use ibid_telemetry::{self as telemetry, trace};
use ibid_types::document::Attrs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What is known by the time that a query ends, however it ends.
#[derive(Default)]
struct Progress {
    analysis: QueryAnalysis,
    mode: Mode,
    timings: Timings,
    pipeline: Option<serde_json::Value>,
    generator: Option<GeneratorInfo>,
    warnings: Vec<Warning>,
}

impl Queries {
    /// Runs a query to its end, which is exactly one `Complete` or `Error`, whatever happens.
    pub(crate) async fn run_query(
        self: Arc<Self>,
        question: Question,
        query_id: String,
        cancel: CancellationToken,
        events: mpsc::Sender<QueryEvent>,
        span: &tracing::Span,
    ) {
        let start = Instant::now();
        self.meter.begun(start);
        let mut progress = Progress {
            mode: question.mode.unwrap_or_default(),
            ..Progress::default()
        };
        let outcome = {
            let work = self.answer_question(&question, &events, &mut progress);
            tokio::select! {
                biased;
                () = cancel.cancelled() => None,
                outcome = work => Some(outcome),
            }
        };
        let (status, written) = match outcome {
            Some(Ok(mut written)) => {
                progress.warnings.append(&mut written.warnings);
                (CompletionStatus::Completed, written)
            }
            Some(Err(error)) => {
                ended(span, progress.mode, "failed", start.elapsed());
                progress.timings.measure();
                tracing::warn!(code = ?error.code, error = %error, "query failed");
                let _ = events.send(QueryEvent::Error(error.into())).await;
                return;
            }
            None => (CompletionStatus::Cancelled, Written::default()),
        };
        if status == CompletionStatus::Completed {
            self.meter.completed(Instant::now(), start.elapsed());
        }
        let total_time = start.elapsed().as_secs_f64();
        let name = match status {
            CompletionStatus::Completed => "completed",
            CompletionStatus::Cancelled => "cancelled",
        };
        ended(span, progress.mode, name, start.elapsed());
        progress.timings.measure();
        measure(&written, start);
        tracing::info!(
            collection = question.collection,
            ?status,
            total_time,
            sources = written.citations,
            "query"
        );
        let complete = Complete {
            status,
            query_id,
            total_time,
            tokens_generated: written.tokens,
            sources_used: written.citations,
            processing_mode: progress.mode,
            query_analysis: progress.analysis,
            timings: progress.timings.0,
            response: question.whole.then_some(written.response),
            pipeline: progress.pipeline,
            generator: progress.generator,
            warnings: progress.warnings,
        };
        // An error only says that nobody reads any more.
        let _ = events.send(QueryEvent::Complete(Box::new(complete))).await;
    }

    async fn answer_question(
        &self,
        question: &Question,
        events: &mpsc::Sender<QueryEvent>,
        progress: &mut Progress,
    ) -> Result<Written, ApiError> {
        status(events, Stage::AnalyzingQuery, 0.1, "Analyzing the question").await?;
        let _permit = self.permits.admit().await?;
        if question.unseen {
            return Err(ApiError::collection_not_found(&question.collection));
        }
        let pipeline = self
            .pipelines
            .find(&question.collection)
            .await
            .map_err(|error| error.to_api_error("query_analysis"))?;
        let mode = question.mode.unwrap_or(pipeline.settings().retrieval.mode);
        progress.mode = mode;
        progress.pipeline = pipeline.public_lock();
        progress.generator = Some(pipeline.generator());
        let (plan, warning) = progress
            .timings
            .time(
                "analysis",
                self.timeout.run(
                    "query_analysis",
                    self.analyze(&*pipeline, &question.text, mode, question.options.language.as_deref()),
                ),
            )
            .await?;
        progress.warnings.extend(warning);
        progress.analysis = analysis(&plan);

        status(events, Stage::RetrievingDocuments, 0.3, "Searching the documents").await?;
        let limit = question.limit.unwrap_or(pipeline.settings().retrieval.limit as usize);
        let wanted = Retrieval {
            searches: searches(&question.text, &plan, mode),
            search_type: default_search(mode),
            mode,
            limit,
            score_threshold: question.options.score_threshold,
            filters: question.options.filters.clone().unwrap_or_default(),
            names: names(&plan),
            reading: match pipeline.settings().reads_again(mode, limit, None) {
                Some(read) => Reading::Reranked(read),
                None if pipeline.is_language_model() => Reading::Joined,
                None => Reading::Single,
            },
        };
        let phrasings = wanted.searches.iter().skip(1).map(|search| search.text.clone()).collect();
        let found = self
            .timeout
            .run("document_retrieval", self.retrieve(&*pipeline, &wanted, &mut progress.timings))
            .await?;
        let passages = match wanted.reading {
            Reading::Single | Reading::Joined => found.passages,
            Reading::Reranked(read) => {
                let message = format!("Reading {} again", passages_of(found.passages.0.len().min(read)));
                status(events, Stage::RetrievingDocuments, 0.5, &message).await?;
                let threshold = wanted.score_threshold;
                let ranked = self
                    .rerank(&*pipeline, &question.text, found, (read, limit), threshold, &mut progress.timings)
                    .await;
                progress.warnings.extend(ranked.warning);
                ranked.passages
            }
        };

        let message = match passages.0.len() {
            0 => "Found no passage".to_owned(),
            n => format!("Answering from {}", passages_of(n)),
        };
        status(events, Stage::GeneratingResponse, 0.6, &message).await?;
        let request = Request {
            question: question.text.clone(),
            phrasings,
            intent: progress.analysis.intent.clone(),
            entities: progress.analysis.entities.clone(),
            collection: question.collection.clone(),
            mode,
            language: question.options.language.clone(),
            temperature: question.options.temperature,
            passages: passages.for_generator(),
        };
        let written = async {
            let citing = pipeline.start_citations().await?;
            let mut writer = AnswerWriter::new(events, citing, &passages, question.delivery);
            let (sink, mut pieces) = Sink::new();
            let write = async {
                // Only the generator is timed: how long a client holds the answer (by a pause, or
                // by reading slowly) is its session's affair.
                while let Some(piece) = self.timeout.limit("response_generation", pieces.recv()).await? {
                    writer.write(piece).await?;
                }
                Ok::<_, PipelineError>(writer)
            };
            // A generator that fails has its pieces written first: the client may have what there is.
            let generate = async { Ok(pipeline.generate(request, sink).await) };
            let (made, writer) = tokio::try_join!(generate, write)?;
            Ok::<_, PipelineError>((made?, writer.finish().await?))
        };
        let ((generator, warnings), written) = progress
            .timings
            .time("generation", written)
            .await
            .map_err(|error| error.to_api_error("response_generation"))?;
        progress.generator = Some(generator);
        progress.warnings.extend(warnings);
        Ok(written)
    }

    /// Asks the analyzer. It runs in every mode: what it understood belongs to the answer.
    pub(crate) async fn analyze(
        &self,
        pipeline: &dyn QueryPipeline,
        question: &str,
        mode: Mode,
        language: Option<&str>,
    ) -> Result<(Plan, Option<Warning>), PipelineError> {
        let mut attrs: Attrs = vec![
            ("mode".to_owned(), mode.name().to_owned()),
            ("collection".to_owned(), pipeline.collection().to_owned()),
        ];
        attrs.extend(language.map(|language| ("language".to_owned(), language.to_owned())));
        let error = match pipeline.analyze(Analyzer::Chosen, question, &attrs).await {
            Ok(plan) => return Ok((plan, None)),
            Err(error) => error,
        };
        let (remedy, warning) = pipeline.analyzer_policy().apply("analyzer", error)?;
        let plan = match remedy {
            Remedy::Fallback => pipeline.analyze(Analyzer::Fallback, question, &attrs).await?,
            Remedy::Skip => Plan {
                searches: vec![as_it_is(question)],
                attrs: Vec::new(),
            },
        };
        Ok((plan, Some(warning)))
    }
}

/// Returns a number of passages in words.
fn passages_of(count: usize) -> String {
    match count {
        1 => "1 passage".to_owned(),
        n => format!("{n} passages"),
    }
}

/// Counts a query's end, and says in its trace how it ended.
fn ended(span: &tracing::Span, mode: Mode, status: &'static str, time: Duration) {
    let mode = mode.name();
    catalogue::QUERY_SECONDS.with([mode, status]).record(time.as_secs_f64());
    trace::ended(span, mode, status);
}

/// Counts what an answer was made of.
fn measure(written: &Written, start: Instant) {
    catalogue::TOKENS.only().increment(written.tokens);
    catalogue::CITATIONS.only().increment(u64::from(written.citations));
    if let Some(first) = written.first_token {
        let waited = first.duration_since(start);
        catalogue::FIRST_TOKEN_SECONDS.only().record(waited.as_secs_f64());
        telemetry::Stage::Cite.record(telemetry::Pipeline::Query, written.citing);
    }
}

async fn status(events: &mpsc::Sender<QueryEvent>, stage: Stage, progress: f64, message: &str) -> Result<(), ApiError> {
    let event = QueryEvent::Status(Status {
        stage,
        progress,
        message: message.to_owned(),
    });
    events.send(event).await.map_err(|_| PipelineError::Abandoned.to_api_error(""))
}
