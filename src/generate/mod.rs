//! Makes the answer out of the passages that were found.
//!
//! A generator writes text and says which quotations support it; numbering the citations and
//! writing markers is the citation formatter's work, and done by the pipeline. May depend on
//! `document`, `embed` and `protocol`.

mod extractive;
mod sentences;

pub use extractive::Extractive;

use crate::document::Span;
use crate::protocol::{ErrorCode, Mode};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A passage that was found: a chunk, perhaps with its neighbours.
#[derive(Debug, Clone)]
pub struct Passage {
    /// The document.
    pub document_id: String,
    /// File name.
    pub source: String,
    /// Headings above it.
    pub section: Vec<String>,
    /// Where it stands in the document.
    pub at: Span,
    /// The document's text at `at`.
    pub text: Arc<str>,
    /// Relevance in [0,1].
    pub relevance: f32,
}

/// A quotation that supports a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Quotation {
    /// Index of the passage.
    pub passage: usize,
    /// What is quoted, within the document; lies inside the passage.
    pub at: Span,
    /// How sure the generator is that it supports the statement, in [0,1].
    pub confidence: f32,
}

/// A piece of an answer, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Text to go on with.
    Text(String),
    /// What supports the statement that ends here. Never empty.
    Support(Vec<Quotation>),
}

/// What to answer.
#[derive(Debug, Clone)]
pub struct Request {
    /// The question, trimmed.
    pub question: String,
    /// `factual`, `analytical`, ... as the analyzer found.
    pub intent: String,
    /// Texts of the entities in the question.
    pub entities: Vec<String>,
    /// Name of the collection, for the answer that nothing was found.
    pub collection: String,
    /// What to spend.
    pub mode: Mode,
    /// Language of the answer, for generators that can choose it.
    pub language: Option<String>,
    /// For generators that sample.
    pub temperature: Option<f32>,
    /// Most relevant first.
    pub passages: Vec<Passage>,
}

/// Why no answer was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The embedder failed.
    #[error("{0}")]
    Embed(#[from] crate::embed::EmbedError),
    /// Whoever asked is gone.
    #[error("the answer is no longer wanted")]
    Abandoned,
}

impl GenerateError {
    /// The code for clients.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Embed(_) => ErrorCode::ProcessingError,
            Self::Abandoned => ErrorCode::InternalError,
        }
    }
}

/// Where a generator writes to. Waits while the reader is slow or paused.
pub struct Sink(mpsc::Sender<Piece>);

impl Sink {
    /// A sink and its reading end. It holds few pieces, so that a pause is felt at once.
    pub fn new() -> (Sink, mpsc::Receiver<Piece>) {
        let (sender, receiver) = mpsc::channel(8);
        (Sink(sender), receiver)
    }

    /// Writes the next piece.
    pub async fn write(&self, piece: Piece) -> Result<(), GenerateError> {
        self.0.send(piece).await.map_err(|_| GenerateError::Abandoned)
    }
}

/// Makes answers. Dropping the future stops the work.
#[async_trait]
pub trait Generator: Send + Sync {
    /// Writes the answer to `sink`, front to back. It states nothing that the passages do not
    /// hold: with no passages, or none that answers, it says so and supports nothing.
    async fn generate(&self, request: Request, sink: Sink) -> Result<(), GenerateError>;
}
