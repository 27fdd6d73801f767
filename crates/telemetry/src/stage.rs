//! The stages of the two pipelines: each is timed and traced in the same way, here.

use super::catalogue::STAGE_SECONDS;
use super::trace;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// Which pipeline a stage belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipeline {
    /// Questions.
    Query,
    /// Documents.
    Ingest,
}

impl Pipeline {
    /// As labels name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Ingest => "ingest",
        }
    }
}

/// A step of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A question is understood.
    Analyze,
    /// Vectors are made.
    Embed,
    /// The index is searched.
    Retrieve,
    /// Passages are read.
    Read,
    /// Passages are ordered by a cross-encoder.
    Rerank,
    /// The answer is written.
    Generate,
    /// Citations are formatted.
    Cite,
    /// Text is taken out of a file.
    Extract,
    /// Text is cut.
    Chunk,
    /// Vectors are indexed.
    Index,
}

impl Stage {
    /// Every stage that a pipeline has.
    pub fn all(pipeline: Pipeline) -> &'static [Stage] {
        match pipeline {
            Pipeline::Query => &[
                Self::Analyze,
                Self::Embed,
                Self::Retrieve,
                Self::Read,
                Self::Rerank,
                Self::Generate,
                Self::Cite,
            ],
            Pipeline::Ingest => &[Self::Extract, Self::Chunk, Self::Embed, Self::Index],
        }
    }

    /// As labels and traces name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Analyze => "analyze",
            Self::Embed => "embed",
            Self::Retrieve => "retrieve",
            Self::Read => "read",
            Self::Rerank => "rerank",
            Self::Generate => "generate",
            Self::Cite => "cite",
            Self::Extract => "extract",
            Self::Chunk => "chunk",
            Self::Index => "index",
        }
    }

    /// Records what it took where that was not one piece of work.
    pub fn took(self, pipeline: Pipeline, time: Duration) {
        STAGE_SECONDS.with([pipeline.name(), self.name()]).record(time.as_secs_f64());
    }
}

/// Does a stage's work: timed, and with a span of its own in the trace. Work that is dropped before its end (a cancelled
/// query) is not recorded.
pub async fn stage<T>(pipeline: Pipeline, stage: Stage, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = traced(stage, work).await;
    stage.took(pipeline, begun.elapsed());
    done
}

/// Does a part of a stage's work, with a span of its own in the trace and the log. Its caller tells the metrics of the whole.
pub async fn traced<T>(stage: Stage, work: impl Future<Output = T>) -> T {
    // The log's span is the inner one: what the work hands to other threads takes that along.
    let logged = tracing::error_span!("stage", stage = stage.name());
    work.instrument(logged).instrument(trace::stage(stage.name())).await
}
