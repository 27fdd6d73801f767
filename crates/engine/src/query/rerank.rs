//! Orders the passages that were found by a cross-encoder, which reads each together with the question.
//!
//! What the question says of the documents counts as it does in the fusion: a passage alone does not say of which company or year
//! it is. Without the cross-encoder, whatever the reason, passages stay as they were found, and the answer says so.

use super::Queries;
use crate::query::passage_assembly::discount_pages;
use crate::query::passages::{FoundChunk, Passages};
use crate::query::query_pipeline::{PassageScorer, QueryPipeline};
use crate::query::retrieve::Found;
use crate::query::timings::Timings;
use crate::spec::{Pipeline, RerankerChoice};
use ibid_embed::EmbedError;
use ibid_protocol::{ErrorCode, Mode, Warning};
use ibid_telemetry::catalogue;

/// Its key in the pipeline, as warnings name it.
const STAGE: &str = "reranker";

/// What came of ordering passages.
#[derive(Debug)]
pub struct Ranked {
    /// Most relevant first.
    pub passages: Passages,
    /// Why they are as they were found, if so.
    pub warning: Option<Warning>,
}

impl Pipeline {
    /// How many passages a reranker is to read for a query that takes `limit`; `None` where it is to read none. `asked` is what the
    /// client says of it, if anything.
    pub(crate) fn reads_again(&self, mode: Mode, limit: usize, asked: Option<bool>) -> Option<usize> {
        let choice = self.reranker.as_ref()?;
        let wanted = asked.unwrap_or_else(|| choice.modes.contains(&mode));
        let most = limit.max(choice.top_k as usize).min(RerankerChoice::MOST as usize);
        wanted.then_some(most)
    }
}

impl Queries {
    /// The best `limit` of what was found, in the order that the collection's reranker gives to the first `read` of them; those
    /// less relevant than `threshold` are left out.
    pub(crate) async fn rerank(
        &self,
        pipeline: &dyn QueryPipeline,
        question: &str,
        found: Found,
        (read, limit): (usize, usize),
        threshold: Option<f32>,
        timings: &mut Timings,
    ) -> Ranked {
        let Found { passages, aim } = found;
        let texts: Vec<String> = passages.0.iter().take(read).map(as_read).collect();
        let outcome = match pipeline.reranker() {
            _ if texts.is_empty() => Ok(Vec::new()),
            Some(Ok(reranker)) => timings.time("reranking", self.scores(reranker, question, texts)).await,
            Some(Err(error)) => Err(Failure::Embed(error)),
            None => Ok(Vec::new()),
        };
        let (mut passages, warning) = match outcome {
            Ok(scores) => {
                let scores = passages
                    .0
                    .iter()
                    .zip(scores)
                    .map(|(found, score)| aim.add(&found.document_id, score));
                let scores = scores.collect();
                (ordered(passages, scores), None)
            }
            Err(failure) => (passages, Some(self.warning(pipeline, &failure))),
        };
        passages.0.retain(|found| threshold.is_none_or(|least| found.score() >= least));
        passages.0.truncate(limit);
        Ranked { passages, warning }
    }

    async fn scores(&self, reranker: &dyn PassageScorer, question: &str, texts: Vec<String>) -> Result<Vec<f32>, Failure> {
        // Half of what the stage may take: what was found must still be of use when the reranker is too slow.
        let time = self.timeout.tuned.query_timeout() / 2;
        match self.timeout.within(time, reranker.score(question, texts)).await {
            Some(scores) => scores.map_err(Failure::Embed),
            None => Err(Failure::Timeout),
        }
    }

    fn warning(&self, pipeline: &dyn QueryPipeline, failure: &Failure) -> Warning {
        let model = pipeline
            .settings()
            .reranker
            .as_ref()
            .map(|choice| choice.model.clone())
            .unwrap_or_default();
        let (code, reason, message) = match failure {
            Failure::Embed(error) => (error.code(), "failure", error.to_string()),
            Failure::Timeout => {
                let seconds = self.timeout.tuned.query_timeout().as_secs_f32() / 2.0;
                (
                    ErrorCode::TimeoutError,
                    "timeout",
                    format!("the reranker took longer than {seconds:.1} s"),
                )
            }
        };
        catalogue::RERANKER_FALLBACKS.only().increment(1);
        tracing::warn!(
            collection = pipeline.collection(),
            model,
            %code,
            error = message,
            "passages are not reranked"
        );
        // The log has the paths.
        let message = match failure {
            Failure::Embed(
                EmbedError::ModelUnknown { .. }
                | EmbedError::WrongKind { .. }
                | EmbedError::ModelChanged { .. }
                | EmbedError::TooManyModels { .. }
                | EmbedError::Busy { .. },
            )
            | Failure::Timeout => message,
            Failure::Embed(_) => format!("the reranker `{model}` cannot be used: the server's log says why"),
        };
        Warning {
            stage: STAGE.to_owned(),
            plugin: model,
            code: code.name().to_owned(),
            reason: reason.to_owned(),
            message: format!("{message}. The passages are in the order in which they were found"),
            policy: "fallback".to_owned(),
        }
    }
}

/// Why passages could not be scored.
enum Failure {
    Embed(EmbedError),
    Timeout,
}

/// A passage as the reranker reads it: with its headings and its table's header, as the embedder read it.
fn as_read(found: &FoundChunk) -> String {
    match found.header.is_empty() {
        true => found.text.to_string(),
        false => format!("{}\n{}", found.header, found.text),
    }
}

/// The passages, the first of which have scores, by these; then the others as they were.
///
/// Their relevances are dealt out anew, the highest to the first: what the generator makes of them, and how sure it is, was measured on
/// the scale of the fusion, and not on those of the many cross-encoders that there are.
fn ordered(passages: Passages, scores: Vec<f32>) -> Passages {
    let mut read = passages.0;
    let rest = read.split_off(scores.len().min(read.len()));
    let mut relevances: Vec<f32> = read.iter().map(|found| found.relevance).collect();
    relevances.sort_by(|a, b| b.total_cmp(a));
    let mut scored: Vec<(FoundChunk, f32)> = read.into_iter().zip(scores).collect();
    let by_score = |scored: &mut Vec<(FoundChunk, f32)>| scored.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    // Stable, both times: what is equally relevant stays in its order.
    by_score(&mut scored);
    discount_pages(&mut scored, |(found, _)| (&found.document_id, found.chunk.page), |(_, score)| score);
    by_score(&mut scored);
    let last = scored.last().map_or(1.0, |(_, score)| *score);
    let read = scored.into_iter().zip(relevances).map(|((found, score), relevance)| FoundChunk {
        relevance,
        reranked: Some(score),
        ..found
    });
    let rest = rest.into_iter().map(|found| FoundChunk {
        reranked: Some(found.relevance.min(last)),
        ..found
    });
    Passages(read.chain(rest).collect())
}
