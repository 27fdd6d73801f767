//! The kinds of plugins, a trait each.

use crate::{Attr, Document, Draft, Failure, Piece, Plan, SemanticDocument, Source, Span, Upload};

/// Reads a file format. Exported by [`extractor!`](crate::extractor).
pub trait Extractor: Sized + 'static {
    /// Opens the extractor with its settings, a JSON object. One is opened for each upload.
    ///
    /// # Errors
    /// If the settings are not valid; [`Settings::parse`](crate::Settings::parse) says so.
    fn open(config: &str) -> Result<Self, Failure>;

    /// Reads `upload` and writes its text, units, pages and metadata to `draft`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn extract(&self, upload: &impl Upload, draft: &mut impl Draft) -> Result<(), Failure>;
}

/// Cuts documents into chunks. Exported by [`chunker!`](crate::chunker).
pub trait Chunker: Sized + 'static {
    /// Opens the chunker with its settings, a JSON object. One is opened for each document.
    ///
    /// # Errors
    /// If the settings are not valid; [`Settings::parse`](crate::Settings::parse) says so.
    fn open(config: &str) -> Result<Self, Failure>;

    /// Returns the chunks of the text in `within`, ordered by start. They may overlap, and may omit what is not worth finding (white
    /// space).
    ///
    /// # Errors
    /// If the document cannot be cut.
    fn chunk(&self, document: &impl Document, within: Span) -> Result<Vec<Piece>, Failure>;
}

/// Cuts documents into chunks by the similarity of their parts. Exported by [`semantic_chunker!`](crate::semantic_chunker). It runs
/// only where the pipeline grants it `embed`.
pub trait SemanticChunker: Sized + 'static {
    /// Opens the chunker with its settings, a JSON object. One is opened for each document.
    ///
    /// # Errors
    /// If the settings are not valid; [`Settings::parse`](crate::Settings::parse) says so.
    fn open(config: &str) -> Result<Self, Failure>;

    /// Returns the chunks of the text in `within`, as [`Chunker::chunk`] does.
    ///
    /// # Errors
    /// If the document cannot be cut, or the embedder refuses the work.
    fn chunk(&self, document: &impl SemanticDocument, within: Span) -> Result<Vec<Piece>, Failure>;
}

/// Understands a question before anything is searched. Exported by [`analyzer!`](crate::analyzer).
pub trait Analyzer: Sized + 'static {
    /// Opens the analyzer with its settings, a JSON object. One is opened for each question.
    ///
    /// # Errors
    /// If the settings are not valid; [`Settings::parse`](crate::Settings::parse) says so.
    fn open(config: &str) -> Result<Self, Failure>;

    /// Returns the searches for a question. `known` holds `mode`, `collection`, and `language` if the client named it.
    ///
    /// # Errors
    /// If the question cannot be analyzed.
    fn analyze(&self, question: &str, known: &[Attr]) -> Result<Plan, Failure>;
}

/// Writes citations into an answer while it streams. Exported by [`formatter!`](crate::formatter).
///
/// An instance serves one answer, from its first token to its end, so it may remember what it has cited (in a
/// [`Cell`](std::cell::Cell) or [`RefCell`](std::cell::RefCell)).
pub trait Formatter: Sized + 'static {
    /// Opens the formatter with its settings, a JSON object. One is opened for each answer.
    ///
    /// # Errors
    /// If the settings are not valid; [`Settings::parse`](crate::Settings::parse) says so.
    fn open(config: &str) -> Result<Self, Failure>;

    /// Returns the marker that follows a statement, white space before it included (` [1]`), given the passages that support the
    /// statement (at least one). Called once a statement, in the order of the answer. May be empty.
    ///
    /// # Errors
    /// If no marker can be written.
    fn mark(&self, cited: &[Source]) -> Result<String, Failure>;

    /// Returns the full reference for one passage, as for a list of sources. Called once for each passage, before the first
    /// [`mark`](Self::mark) that names it.
    ///
    /// # Errors
    /// If no reference can be written.
    fn entry(&self, cited: &Source) -> Result<String, Failure>;

    /// Returns the text that ends the answer (notes, a list of sources), line breaks before it included, given all passages in the
    /// order of their numbers. Empty unless implemented.
    ///
    /// # Errors
    /// If the text cannot be written.
    fn finish(&self, cited: &[Source]) -> Result<String, Failure> {
        let _ = cited;
        Ok(String::new())
    }
}
