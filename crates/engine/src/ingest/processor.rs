//! What processes the documents of one generation of a collection: the seam between ingest and re-index on one side, and models and
//! plugins on the other.

use crate::error::PipelineError;
use crate::ingest::reporter::missing_text;
use crate::query::passages::page_break;
use crate::spec::reindex_scope::ReindexScope;
use crate::spec::{Lock, LockedPlugin, Pipeline};
use async_trait::async_trait;
use ibid_catalog::{Chunk, Collection, DocumentRecord, Reindex};
use ibid_index::{CollectionKey, SparseVector};
use ibid_plugin_host::Piece;
use ibid_protocol::{ApiError, ErrorCode, Warning};
use ibid_types::document::{CodePoints, Document, Sections};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Receives how much of a document was extracted, from 0 to 1.
pub(crate) type ExtractProgress = Arc<dyn Fn(f64) + Send + Sync>;
/// Receives how many texts were embedded.
pub(crate) type EmbedProgress = Box<dyn Fn(usize) + Send>;

/// Whose chunker cuts a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunker {
    /// That of the document's lock, which differs from the pipeline's where the upload asked for other chunks.
    OfDocument,
    /// That of the pipeline.
    OfPipeline,
}

/// Processes the documents of one generation of a collection.
#[async_trait]
pub(crate) trait Processor: Send + Sync {
    /// Returns the generation, as the index knows it.
    fn key(&self) -> &CollectionKey;

    /// Returns the pipeline.
    fn pipeline(&self) -> &Pipeline;

    /// Returns what the pipeline resolved to.
    fn lock(&self) -> &Lock;

    /// Extracts the text of a document's original.
    async fn extract(&self, document: &DocumentRecord, progress: ExtractProgress) -> Result<Original, PipelineError>;

    /// Cuts a stored text of a document into chunks; returns a warning if the chunker's fallback did it.
    async fn chunk(
        &self,
        document: &DocumentRecord,
        text_id: &str,
        chunker: Chunker,
    ) -> Result<(Vec<Chunk>, Option<Warning>), PipelineError>;

    /// Returns the dense vectors of texts, in their order.
    async fn embed(&self, texts: Vec<String>, progress: EmbedProgress) -> Result<Vec<Vec<f32>>, PipelineError>;

    /// Returns the weighted words of texts, in their order.
    async fn terms(&self, texts: Vec<String>) -> Result<Vec<SparseVector>, PipelineError>;

    /// Returns what of a document has to be made again to be as this processor makes it, and no less than `at_least`.
    fn scope_of(&self, document: &DocumentRecord, at_least: ReindexScope) -> ReindexScope;
}

/// Finds the processors of collections.
pub(crate) trait Processors: Send + Sync {
    /// Returns the processor of the generation that queries see.
    ///
    /// # Errors
    /// `Moved` for a generation that was replaced meanwhile; a pipeline that does not fit what is installed.
    fn of_collection(&self, collection: &Collection) -> Result<Arc<dyn Processor>, PipelineError>;

    /// Returns the processor of the generation that a re-index makes.
    ///
    /// # Errors
    /// A pipeline that does not fit what is installed.
    fn of_reindex(&self, collection: &Collection, reindex: &Reindex) -> Result<Arc<dyn Processor>, PipelineError>;

    /// Forgets the processor of a collection, whose generation or pipeline has changed.
    fn forget(&self, collection_id: &str);
}

/// What was extracted of a document.
#[derive(Debug)]
pub(crate) struct Original {
    /// Text and structure.
    pub document: Document,
    /// From the file.
    pub metadata: BTreeMap<String, String>,
    /// Number of pages.
    pub pages: u32,
    /// Code points of the text.
    pub text_chars: u64,
    /// What extracted it.
    pub extractor: LockedPlugin,
    /// Why there is little text, if that is known.
    pub missing: Option<String>,
}

impl Original {
    /// Describes what `extractor` extracted of the file `filename`; `warning` says why it was not the extractor that was chosen.
    ///
    /// # Errors
    /// `PROCESSING_ERROR` if there is no text, and nothing says why.
    pub fn new(filename: &str, mut document: Document, extractor: LockedPlugin, warning: Option<Warning>) -> Result<Self, PipelineError> {
        let name = format!("{}@{}", extractor.name, extractor.version);
        document.attrs.push(("extractor".to_owned(), name));
        let warning = warning.map(|warning| ("warning.extractor".to_owned(), warning.message));
        document.attrs.extend(warning);
        let metadata = document.metadata();
        let missing = missing_text(&metadata);
        if document.text.trim().is_empty() && missing.is_none() {
            return Err(ApiError::new(ErrorCode::ProcessingError, format!("`{filename}` holds no text")).into());
        }
        Ok(Self {
            metadata,
            pages: u32::try_from(document.pages.len()).unwrap_or(u32::MAX),
            text_chars: document.text.chars().count() as u64,
            document,
            extractor,
            missing,
        })
    }
}

/// Returns the chunks as the catalog and the API have them: with code points, pages and headings.
pub(crate) fn locate(document: &Document, pieces: Vec<Piece>) -> Vec<Chunk> {
    let mut starts = CodePoints::new(&document.text);
    let mut sections = Sections::new(document);
    pieces
        .into_iter()
        .zip(0..)
        .map(|(piece, index)| {
            let char_start = starts.before(piece.at.start);
            let length = piece.at.of(&document.text).map_or(0, |text| text.chars().count() as u64);
            let first = document.pages.partition_point(|page| page.at.start <= piece.at.start);
            let breaks = document.pages.iter().skip(first).take_while(|page| page.at.start < piece.at.end);
            let mut attrs = piece.attrs;
            attrs.extend(breaks.map(|page| page_break(page.number, page.at.start)));
            Chunk {
                index,
                at: piece.at,
                char_start,
                char_end: char_start + length,
                page: document.page_at(piece.at.start).map(|page| page.number),
                section: sections.at(piece.at.start),
                context: piece.context,
                attrs,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibid_types::document::{Page, Span, Unit};

    #[test]
    fn chunks_are_located_in_code_points_with_page_and_section() {
        let text = "Ä title\nFirst page.\nSecond page.";
        let second = text.find("Second").unwrap() as u32;
        let end = text.len() as u32;
        let document = Document {
            text: text.to_owned(),
            units: vec![Unit {
                at: Span::new(0, 8),
                kind: "heading".into(),
                level: 1,
                title: None,
            }],
            pages: vec![
                Page {
                    at: Span::new(0, second),
                    number: 1,
                    label: None,
                },
                Page {
                    at: Span::new(second, end),
                    number: 2,
                    label: None,
                },
            ],
            attrs: Vec::new(),
        };
        let piece = |start, end| Piece {
            at: Span::new(start, end),
            context: Vec::new(),
            attrs: Vec::new(),
        };
        let chunks = locate(&document, vec![piece(9, second - 1), piece(9, end), piece(second, end)]);
        assert_eq!((chunks[0].char_start, chunks[0].char_end, chunks[0].page), (8, 19, Some(1)));
        assert_eq!(chunks[0].section, ["Ä title"]);
        assert_eq!(chunks[1].attrs, [page_break(2, second)]);
        assert_eq!((chunks[2].char_start, chunks[2].char_end, chunks[2].page), (20, 32, Some(2)));
    }
}
