//! Questions: analyze, embed, retrieve, generate, cite.
//!
//! Cancelling is dropping: the work is one future, and whatever it waits for is dropped with it.

pub(crate) mod analyze;
pub(crate) mod embedding;
pub(crate) mod filters;
pub(crate) mod fusion;
pub(crate) mod passage_assembly;
pub(crate) mod passages;
pub(crate) mod profile;
pub(crate) mod profile_cache;
pub(crate) mod rerank;
pub(crate) mod retrieve;
pub(crate) mod similar;
pub(crate) mod stream;
pub(crate) mod timings;
pub(crate) mod try_plugin;

use crate::error::PipelineError;
use crate::lifecycle::Lifecycle;
use crate::manage::documents::Documents;
use crate::query::passages::FoundChunk;
use crate::query::retrieve::{Reading, Retrieval};
use crate::query::stream::{AnswerWriter, Delivery, Written};
use crate::query::timings::Timings;
use crate::spec::pipelines::Pipelines;
use crate::spec::pipelines::{Resolved, Stage as PluginStage};
use crate::spec::policy::{Citing, Rescue};
use crate::store::Store;
use crate::tuning::{Tuned, Tuning};
use crate::upkeep::load::QueryMeter;
use ibid_auth::Subject;
use ibid_generate::{Request, Sink};
use ibid_index::{Bm25, SparseVector};
use ibid_plugin_host::{Plan, Search};
use ibid_protocol::{
    AnalysisDetail, Answer, ApiError, Citation, Complete, CompletionStatus, Entity, ErrorCode, GeneratorInfo, Highlight, Mode,
    ProcessingMetadata, QueryAnalysis, QueryEvent, QueryOptions, ResponseFormat, SearchHit, SearchHitMetadata, SearchRequest,
    SearchResponse, SearchType, Source, Stage, Status, Warning,
};
use ibid_telemetry::catalogue::{self, limit};
use ibid_telemetry::{self as telemetry, Held, trace};
use ibid_types::document::Attrs;
use profile_cache::ProfileCache;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
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

/// A query with every default filled in.
struct Question {
    text: String,
    collection: String,
    /// Who asks does not see the collection: to them there is none.
    unseen: bool,
    mode: Option<Mode>,
    limit: Option<usize>,
    delivery: Delivery,
    /// The whole answer goes into `complete`.
    whole: bool,
    options: QueryOptions,
}

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

/// Answers questions and searches.
pub(crate) struct Queries {
    pub store: Arc<Store>,
    pub pipelines: Arc<Pipelines>,
    pub profiles: Arc<ProfileCache>,
    pub documents: Arc<Documents>,
    pub tuned: Arc<Tuned>,
    pub lifecycle: Lifecycle,
    /// The collection of questions that name none.
    pub default_collection: String,
    /// Permits for queries that run at once.
    pub permits: Semaphore,
    /// Permits for queries that wait.
    pub waiting: Semaphore,
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
        let engine = self.clone();
        let (token, id) = (cancel.clone(), query_id.clone());
        // Of the lowest level, so that the lines of a query tell of which one they are, whatever is logged.
        let span = tracing::error_span!("query", query_id);
        let trace = trace::query(&query_id);
        let told = trace.clone();
        let work = async move { engine.run_query(question, id, token, sender, &told).await };
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

    /// Finds passages without making an answer.
    pub async fn search(&self, request: SearchRequest, subject: &Subject) -> Result<SearchResponse, ApiError> {
        request.validate()?;
        let start = Instant::now();
        let collection = request.collection_name.as_deref().unwrap_or(&self.default_collection);
        if !subject.sees(collection) {
            return Err(ApiError::collection_not_found(collection));
        }
        let resolved = self
            .pipelines
            .resolved(collection)
            .await
            .map_err(|error| error.to_api_error("document_retrieval"))?;
        let mode = request.mode.unwrap_or(resolved.pipeline.retrieval.mode);
        let question = request.query.trim().to_owned();
        let _permit = self.admit().await?;
        let mut timings = Timings::default();
        let (plan, _) = timings
            .time(
                "analysis",
                self.in_time("query_analysis", self.analyze(&resolved, &question, mode, None)),
            )
            .await?;
        let search_type = request.search_type.unwrap_or(default_search(mode));
        let limit = (request.offset + request.limit) as usize;
        let reread = resolved.reads_again(mode, limit, request.rerank);
        // What the pipeline's share is for: other scores have other scales, and who turns pages wants more.
        let own = match (search_type, mode, reread, request.offset) {
            (SearchType::Hybrid, Mode::Balanced | Mode::Comprehensive, None, 0) => resolved.pipeline.retrieval.relative_threshold,
            _ => 0.0,
        };
        let share = request.relative_threshold.unwrap_or(own);
        let wanted = Retrieval {
            searches: searches(&question, &plan, mode),
            search_type,
            mode,
            limit,
            score_threshold: request.score_threshold,
            filters: request.filters.clone().unwrap_or_default(),
            names: names(&plan),
            reading: match reread {
                Some(read) => Reading::Reranked(read),
                None if share > 0.0 => Reading::Joined,
                None => Reading::Single,
            },
        };
        let found = self
            .in_time("document_retrieval", self.retrieve(&resolved, &wanted, &mut timings))
            .await?;
        let mut reranked = false;
        let mut warnings = Vec::new();
        let mut passages = match wanted.reading {
            Reading::Single | Reading::Joined => found.passages,
            Reading::Reranked(read) => {
                let ranked = self
                    .rerank(&resolved, &question, found, (read, limit), wanted.score_threshold, &mut timings)
                    .await;
                reranked = ranked.warning.is_none();
                warnings.extend(ranked.warning);
                ranked.passages
            }
        };
        timings.measure();
        let least = passages.0.iter().map(FoundChunk::score).fold(0.0, f32::max) * share;
        passages.0.retain(|found| found.score() >= least);
        let asked = resolved.bm25.query(&question);
        let results: Vec<SearchHit> = passages
            .0
            .into_iter()
            .enumerate()
            .skip(request.offset as usize)
            .map(|(n, hit)| SearchHit {
                highlight: highlight(&resolved.bm25, &asked, &hit),
                content: hit.text.to_string(),
                relevance_score: f64::from(hit.score()),
                rank: n as u32 + 1,
                metadata: SearchHitMetadata::from(hit),
            })
            .collect();
        Ok(SearchResponse {
            total_results: results.len(),
            results,
            search_type,
            processing_mode: mode,
            reranked,
            processing_time: start.elapsed().as_secs_f64(),
            warnings,
        })
    }

    fn question(&self, options: QueryOptions) -> Result<Question, ApiError> {
        let text = options.question()?.to_owned();
        options.validate()?;
        let stream = options.stream.unwrap_or(true);
        let format = options.response_format.unwrap_or(ResponseFormat::WithCitations);
        Ok(Question {
            text,
            collection: options.collection_name.clone().unwrap_or_else(|| self.default_collection.clone()),
            unseen: false,
            mode: options.mode,
            limit: options.max_results.map(|n| n as usize),
            delivery: Delivery::new(stream, options.include_sources.unwrap_or(true), format),
            whole: !stream,
            options,
        })
    }

    async fn run_query(
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
        let _permit = self.admit().await?;
        if question.unseen {
            return Err(ApiError::collection_not_found(&question.collection));
        }
        let resolved = self
            .pipelines
            .resolved(&question.collection)
            .await
            .map_err(|error| error.to_api_error("query_analysis"))?;
        let mode = question.mode.unwrap_or(resolved.pipeline.retrieval.mode);
        progress.mode = mode;
        progress.pipeline = resolved.lock.to_public();
        progress.generator = Some(resolved.generator.info());
        let (plan, warning) = progress
            .timings
            .time(
                "analysis",
                self.in_time(
                    "query_analysis",
                    self.analyze(&resolved, &question.text, mode, question.options.language.as_deref()),
                ),
            )
            .await?;
        progress.warnings.extend(warning);
        progress.analysis = analysis(&plan);

        status(events, Stage::RetrievingDocuments, 0.3, "Searching the documents").await?;
        let limit = question.limit.unwrap_or(resolved.pipeline.retrieval.limit as usize);
        let wanted = Retrieval {
            searches: searches(&question.text, &plan, mode),
            search_type: default_search(mode),
            mode,
            limit,
            score_threshold: question.options.score_threshold,
            filters: question.options.filters.clone().unwrap_or_default(),
            names: names(&plan),
            reading: match resolved.reads_again(mode, limit, None) {
                Some(read) => Reading::Reranked(read),
                None if resolved.generator.is_language_model() => Reading::Joined,
                None => Reading::Single,
            },
        };
        let phrasings = wanted.searches.iter().skip(1).map(|search| search.text.clone()).collect();
        let found = self
            .in_time("document_retrieval", self.retrieve(&resolved, &wanted, &mut progress.timings))
            .await?;
        let passages = match wanted.reading {
            Reading::Single | Reading::Joined => found.passages,
            Reading::Reranked(read) => {
                let message = format!("Reading {} again", passages_of(found.passages.0.len().min(read)));
                status(events, Stage::RetrievingDocuments, 0.5, &message).await?;
                let threshold = wanted.score_threshold;
                let ranked = self
                    .rerank(&resolved, &question.text, found, (read, limit), threshold, &mut progress.timings)
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
            let citing = Citing::start(&self.pipelines.host, &resolved.formatter).await?;
            let mut writer = AnswerWriter::new(events, citing, &passages, question.delivery);
            let (sink, mut pieces) = Sink::new();
            let write = async {
                // Only the generator is timed: how long a client holds the answer (by a pause, or
                // by reading slowly) is its session's affair.
                let slow = |_| PipelineError::Api(self.too_slow("response_generation"));
                while let Some(piece) = tokio::time::timeout(self.tuned.query_timeout(), pieces.recv())
                    .await
                    .map_err(slow)?
                {
                    writer.write(piece).await?;
                }
                Ok::<_, PipelineError>(writer)
            };
            // A generator that fails has its pieces written first: the client may have what there is.
            let generate = async { Ok(resolved.generator.generate(request, sink).await) };
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
        resolved: &Resolved,
        question: &str,
        mode: Mode,
        language: Option<&str>,
    ) -> Result<(Plan, Option<Warning>), PipelineError> {
        let mode = serde_json::to_value(mode)
            .ok()
            .and_then(|mode| mode.as_str().map(str::to_owned))
            .unwrap_or_default();
        let mut attrs: Attrs = vec![("mode".to_owned(), mode), ("collection".to_owned(), resolved.collection.clone())];
        attrs.extend(language.map(|language| ("language".to_owned(), language.to_owned())));
        let ask = |stage: &PluginStage| {
            let (host, stage, attrs, question) = (self.pipelines.host.clone(), stage.clone(), attrs.clone(), question.to_owned());
            async move { host.analyze(&stage.plugin, &stage.config, &question, &attrs, &stage.budget).await }
        };
        let error = match ask(&resolved.analyzer).await {
            Ok(plan) => return Ok((plan, None)),
            Err(error) => error,
        };
        let (rescue, warning) = resolved.analyzer.rescue("analyzer", error)?;
        let plan = match rescue {
            Rescue::Fallback(stage) => ask(stage).await?,
            Rescue::Skip => Plan {
                searches: vec![as_it_is(question)],
                attrs: Vec::new(),
            },
        };
        Ok((plan, Some(warning)))
    }

    /// Takes other settings, for whatever begins from now on.
    pub fn tune(self: &Arc<Self>, tuning: Tuning) {
        let had = self.tuned.set(tuning);
        let wanted = tuning.max_concurrent_queries.max(1);
        if wanted > had {
            self.permits.add_permits(wanted - had);
        } else if let Ok(fewer @ 1..) = u32::try_from(had - wanted) {
            // Permits in use go when their queries have ended.
            let queries = self.clone();
            self.lifecycle.tasks.spawn(async move {
                tokio::select! {
                    () = queries.lifecycle.stopping.cancelled() => {}
                    taken = queries.permits.acquire_many(fewer) => {
                        if let Ok(taken) = taken {
                            taken.forget();
                        }
                    }
                }
            });
        }
    }

    /// Waits for one of the places for queries that run at once.
    pub(crate) async fn admit(&self) -> Result<(tokio::sync::SemaphorePermit<'_>, Held), ApiError> {
        let full = |limit| {
            catalogue::refused(limit);
            ApiError::new(ErrorCode::ServiceUnavailable, "too many queries at once: send it again in a moment").with("retry_after", 1)
        };
        let running = || catalogue::QUERIES_RUNNING.hold::<&'static str>([]);
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok((permit, running()));
        }
        let _turn = self.waiting.try_acquire().map_err(|_| full(limit::WAITING_QUERIES))?;
        let _waiting = catalogue::QUERIES_WAITING.hold::<&'static str>([]);
        match tokio::time::timeout(self.tuned.query_timeout(), self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok((permit, running())),
            Ok(Err(_)) | Err(_) => Err(full(limit::QUERIES)),
        }
    }

    /// Runs a stage, which may take as long as a query may.
    pub(crate) async fn in_time<T>(&self, stage: &str, work: impl Future<Output = Result<T, PipelineError>>) -> Result<T, ApiError> {
        match tokio::time::timeout(self.tuned.query_timeout(), work).await {
            Ok(outcome) => outcome.map_err(|error| error.to_api_error(stage)),
            Err(_) => Err(self.too_slow(stage)),
        }
    }

    fn too_slow(&self, stage: &str) -> ApiError {
        let seconds = self.tuned.query_timeout().as_secs();
        ApiError::new(ErrorCode::TimeoutError, format!("the query took longer than {seconds} s")).with("stage", stage)
    }
}

/// So many passages, in words.
fn passages_of(count: usize) -> String {
    match count {
        1 => "1 passage".to_owned(),
        n => format!("{n} passages"),
    }
}

/// Counts a query's end, and says in its trace how it ended.
fn ended(span: &tracing::Span, mode: Mode, status: &'static str, time: Duration) {
    let mode = match mode {
        Mode::Speed => "speed",
        Mode::Balanced => "balanced",
        Mode::Comprehensive => "comprehensive",
    };
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

fn default_search(mode: Mode) -> SearchType {
    match mode {
        Mode::Speed => SearchType::Semantic,
        Mode::Balanced | Mode::Comprehensive => SearchType::Hybrid,
    }
}

/// A search for the question's own words.
fn as_it_is(question: &str) -> Search {
    Search {
        text: question.to_owned(),
        weight: 1.0,
        filter: None,
        limit: None,
    }
}

/// What is searched for: all that the analyzer proposes (it knows the mode), in `speed` the question alone.
pub(crate) fn searches(question: &str, plan: &Plan, mode: Mode) -> Vec<Search> {
    let own = || as_it_is(question);
    match mode {
        Mode::Speed => vec![own()],
        Mode::Balanced | Mode::Comprehensive if plan.searches.is_empty() => vec![own()],
        Mode::Balanced | Mode::Comprehensive => plan.searches.clone(),
    }
}

/// Where words of the question stand in a passage.
fn highlight(bm25: &Bm25, asked: &SparseVector, found: &FoundChunk) -> Vec<Highlight> {
    let (mut at, mut chars) = (0, found.chunk.char_start);
    let mut after = |end: usize| {
        chars += found.text.get(at..end).map_or(0, |text| text.chars().count() as u64);
        at = end;
        chars
    };
    let matches = bm25.matches(&found.text, asked).into_iter();
    matches
        .map(|word| Highlight {
            start_char: after(word.start),
            end_char: after(word.end),
        })
        .collect()
}

/// Names in the question: what may say which document is meant.
fn names(plan: &Plan) -> Vec<String> {
    const NAMES: [&str; 4] = ["entity.organization", "entity.person", "entity.location", "entity.identifier"];
    let names = plan.attrs.iter().filter(|(key, _)| NAMES.contains(&key.as_str()));
    names.map(|(_, name)| name.clone()).collect()
}

/// What the analyzer understood, in the client's terms.
pub(crate) fn analysis(plan: &Plan) -> QueryAnalysis {
    let mut analysis = QueryAnalysis {
        intent: "factual".to_owned(),
        ..QueryAnalysis::default()
    };
    let mut detail = AnalysisDetail {
        searches: plan.searches.iter().map(|search| search.text.clone()).collect(),
        ..AnalysisDetail::default()
    };
    for (key, value) in &plan.attrs {
        match (key.as_str(), key.strip_prefix("entity.")) {
            ("intent", _) => analysis.intent.clone_from(value),
            ("language", _) => detail.language = Some(value.clone()),
            (_, Some(kind)) => {
                analysis.entities.push(value.clone());
                detail.entities.push(Entity {
                    text: value.clone(),
                    kind: kind.to_owned(),
                });
            }
            _ => {
                detail.attributes.insert(key.clone(), value.clone());
            }
        }
    }
    analysis.detail = detail;
    analysis
}

async fn status(events: &mpsc::Sender<QueryEvent>, stage: Stage, progress: f64, message: &str) -> Result<(), ApiError> {
    let event = QueryEvent::Status(Status {
        stage,
        progress,
        message: message.to_owned(),
    });
    events.send(event).await.map_err(|_| PipelineError::Abandoned.to_api_error(""))
}
