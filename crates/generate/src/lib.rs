//! Generates answers from the passages that a query found.
//!
//! A generator writes the text and the quotations that support it. The citation formatter numbers the citations and writes the markers; the
//! pipeline calls it.

mod extractive;
mod figures;
pub mod llm;
mod sentences;
mod words;

pub use extractive::Extractive;
pub use figures::{asks_for_figure, density};
pub use llm::{Llm, LlmError, OpenAi};

use async_trait::async_trait;
use ibid_protocol::{ErrorCode, Mode};
use ibid_types::document::Span;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// A passage that a query found: a chunk, perhaps with its neighbours.
#[derive(Debug, Clone)]
pub struct Passage {
    /// The document.
    pub document_id: String,
    /// The file name.
    pub source: String,
    /// The headings above it.
    pub section: Vec<String>,
    /// Its span in the document.
    pub at: Span,
    /// The document's text at `at`.
    pub text: Arc<str>,
    /// The page that it starts on, if the document has pages.
    pub page: Option<u32>,
    /// The text that belongs above it elsewhere in the document, its table's header last; may be empty.
    pub header: String,
    /// Its relevance in [0,1].
    pub relevance: f32,
}

/// A quotation that supports a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Quotation {
    /// The index of the passage.
    pub passage: usize,
    /// The quoted span of the document; lies inside the passage.
    pub at: Span,
    /// The generator's confidence that it supports the statement, in [0,1].
    pub confidence: f32,
}

/// A piece of an answer, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// The next text. An empty one shows that the generator is at work, but has no text yet.
    Text(String),
    /// The quotations that support the statement that ends here. Never empty.
    Support(Vec<Quotation>),
}

/// A request for an answer.
#[derive(Debug, Clone)]
pub struct Request {
    /// The question, trimmed.
    pub question: String,
    /// Other phrasings that were searched for: the same in other words, or a part of it.
    pub phrasings: Vec<String>,
    /// The analyzer's intent: `factual`, `analytical`, ...
    pub intent: String,
    /// The entities in the question.
    pub entities: Vec<String>,
    /// The collection's name, for the answer that nothing was found.
    pub collection: String,
    /// The effort to spend.
    pub mode: Mode,
    /// The language of the answer, for generators that can choose it.
    pub language: Option<String>,
    /// The temperature, for generators that sample.
    pub temperature: Option<f32>,
    /// The passages, most relevant first.
    pub passages: Vec<Passage>,
}

/// Why no answer was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The embedder failed.
    #[error("{0}")]
    Embed(#[from] ibid_embed::EmbedError),
    /// The language model failed.
    #[error("{0}")]
    Llm(#[from] LlmError),
    /// The client has gone.
    #[error("the answer is no longer wanted")]
    Abandoned,
}

impl GenerateError {
    /// Returns the error code for clients.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Embed(_) => ErrorCode::ProcessingError,
            Self::Llm(_) => ErrorCode::LlmConnectionError,
            Self::Abandoned => ErrorCode::InternalError,
        }
    }
}

/// The metadata of a generated answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generated {
    /// The model that wrote it; `None` without a language model.
    pub model: Option<String>,
    /// Why the model stopped, in its server's words: `stop`, `length`, ...
    pub finish_reason: Option<String>,
    /// Tokens of the prompt, where the server counts them.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, where the server counts them.
    pub completion_tokens: Option<u64>,
    /// Notes for the reader.
    pub notes: Vec<Note>,
}

/// A note that a reader of the answer should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A stable code: `length`, `content_filter`.
    pub reason: &'static str,
    /// The text, for people.
    pub message: String,
}

/// The channel that a generator writes to. Writes wait while the reader is slow or paused. Clones write to the same reader.
#[derive(Clone)]
pub struct Sink {
    pieces: mpsc::Sender<Piece>,
    begun: Arc<AtomicBool>,
}

impl Sink {
    /// Makes a sink and its reading end. It buffers only few pieces, so that a pause takes effect at once.
    pub fn new() -> (Sink, mpsc::Receiver<Piece>) {
        let (pieces, receiver) = mpsc::channel(8);
        let begun = Arc::default();
        (Sink { pieces, begun }, receiver)
    }

    /// Writes the next piece.
    pub async fn write(&self, piece: Piece) -> Result<(), GenerateError> {
        let begins = !matches!(&piece, Piece::Text(text) if text.is_empty());
        if begins {
            self.begun.store(true, Ordering::Relaxed);
        }
        self.pieces.send(piece).await.map_err(|_| GenerateError::Abandoned)
    }

    /// Returns whether a piece of the answer was written: then no other answer can be started.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }
}

/// Generates answers. Dropping the future stops the generator.
#[async_trait]
pub trait Generator: Send + Sync {
    /// Writes the answer to `sink`, front to back. It states nothing that the passages do not contain: with no passages, or none that
    /// answers, it says so and cites nothing.
    async fn generate(&self, request: Request, sink: Sink) -> Result<Generated, GenerateError>;
}

/// Returns the answer for the case that nothing was found.
fn nothing_found(collection: &str) -> String {
    format!("I found nothing in the collection \"{collection}\" that answers this question.")
}
