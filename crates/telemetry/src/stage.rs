//! The stages of both pipelines, with their timing and tracing.

use super::catalogue::STAGE_SECONDS;
use super::trace;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// The pipeline of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipeline {
    /// Queries.
    Query,
    /// Ingest of documents.
    Ingest,
}

impl Pipeline {
    /// Returns the name in labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Ingest => "ingest",
        }
    }
}

/// A stage of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Analyzes the question.
    Analyze,
    /// Computes vectors.
    Embed,
    /// Searches the index.
    Retrieve,
    /// Reads passages.
    Read,
    /// Orders passages with a cross-encoder.
    Rerank,
    /// Writes the answer.
    Generate,
    /// Formats citations.
    Cite,
    /// Extracts text from a file.
    Extract,
    /// Divides the text into chunks.
    Chunk,
    /// Adds vectors to the index.
    Index,
}

impl Stage {
    /// Returns all stages of a pipeline.
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

    /// Returns the name in labels and traces.
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

    /// Records the duration of a stage that did not run in one piece.
    pub fn record(self, pipeline: Pipeline, time: Duration) {
        STAGE_SECONDS.with([pipeline.name(), self.name()]).record(time.as_secs_f64());
    }
}

/// Runs a stage: measures it, and gives it a span in the trace. A stage whose future is dropped (in a cancelled query) is not recorded.
pub async fn stage<T>(pipeline: Pipeline, stage: Stage, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = traced(stage, work).await;
    stage.record(pipeline, begun.elapsed());
    done
}

/// Runs a part of a stage, with a span of its own in the trace and the log. The caller records the duration of the whole.
pub async fn traced<T>(stage: Stage, work: impl Future<Output = T>) -> T {
    // The log's span is the inner one, since it is passed to other threads.
    let logged = tracing::error_span!("stage", stage = stage.name());
    work.instrument(logged).instrument(trace::stage(stage.name())).await
}
