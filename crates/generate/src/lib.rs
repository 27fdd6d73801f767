//! Makes the answer out of the passages that were found.
//!
//! A generator writes text and says which quotations support it; numbering the citations and writing markers is the citation formatter's
//! work, and done by the pipeline.

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
    /// The page that it starts on, of a document with pages.
    pub page: Option<u32>,
    /// What stands above it elsewhere in the document, its table's header last; empty where nothing does.
    pub header: String,
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
    /// Text to go on with. An empty one is a sign of life: the generator is at work, and has nothing to say yet.
    Text(String),
    /// What supports the statement that ends here. Never empty.
    Support(Vec<Quotation>),
}

/// What to answer.
#[derive(Debug, Clone)]
pub struct Request {
    /// The question, trimmed.
    pub question: String,
    /// What was searched for beside it: the same in other words, or a part of it.
    pub phrasings: Vec<String>,
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
    Embed(#[from] ibid_embed::EmbedError),
    /// The language model.
    #[error("{0}")]
    Llm(#[from] LlmError),
    /// Whoever asked is gone.
    #[error("the answer is no longer wanted")]
    Abandoned,
}

impl GenerateError {
    /// The code for clients.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Embed(_) => ErrorCode::ProcessingError,
            Self::Llm(_) => ErrorCode::LlmConnectionError,
            Self::Abandoned => ErrorCode::InternalError,
        }
    }
}

/// What a generator tells of an answer that it made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// The model that wrote it; `None` where none did.
    pub model: Option<String>,
    /// Why the model stopped, in its server's word: `stop`, `length`, ...
    pub finish_reason: Option<String>,
    /// Tokens of the prompt, where the server counts them.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer, where the server counts them.
    pub completion_tokens: Option<u64>,
    /// What there is to tell of it.
    pub notes: Vec<Note>,
}

/// Something that a reader of an answer should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A stable word: `length`, `content_filter`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Where a generator writes to. Waits while the reader is slow or paused. Clones write to the same reader.
#[derive(Clone)]
pub struct Sink {
    pieces: mpsc::Sender<Piece>,
    begun: Arc<AtomicBool>,
}

impl Sink {
    /// A sink and its reading end. It holds few pieces, so that a pause is felt at once.
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

    /// Whether anything of an answer was written: then no other one can be begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }
}

/// Makes answers. Dropping the future stops the work.
#[async_trait]
pub trait Generator: Send + Sync {
    /// Writes the answer to `sink`, front to back. It states nothing that the passages do not
    /// hold: with no passages, or none that answers, it says so and supports nothing.
    async fn generate(&self, request: Request, sink: Sink) -> Result<Made, GenerateError>;
}

/// The answer where nothing answers.
fn nothing_found(collection: &str) -> String {
    format!("I found nothing in the collection \"{collection}\" that answers this question.")
}
