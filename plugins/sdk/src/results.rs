//! The records that plugins of one kind get or return, field for field as in the contract.

use crate::{Attr, Span};

/// A chunk: what is embedded, found and quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The chunk's text. Not empty.
    pub at: Span,
    /// Other text that helps to understand it (headings above it, a table's header). The embedder reads it before the chunk; it is
    /// never quoted. Usually empty.
    pub context: Vec<Span>,
    /// Kept with the chunk.
    pub attrs: Vec<Attr>,
}

impl Piece {
    /// Creates a chunk without context.
    pub fn new(at: impl Into<Span>) -> Self {
        Self {
            at: at.into(),
            context: Vec::new(),
            attrs: Vec::new(),
        }
    }

    /// Sets the context.
    pub fn with_context(self, context: Vec<Span>) -> Self {
        Self { context, ..self }
    }

    /// Adds an attribute.
    pub fn with_attr(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attrs.push(Attr::new(key, value));
        self
    }
}

/// One search to run for a question. The ranks of several are fused.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The text to search for.
    pub text: String,
    /// Weight in the fusion: finite, above 0; 1 is ordinary.
    pub weight: f32,
    /// A JSON object as `filters` in `POST /search`, to narrow this search.
    pub filter: Option<String>,
    /// Number of candidates to take, if not the pipeline's.
    pub limit: Option<u32>,
}

impl Search {
    /// Creates a search with weight 1.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            weight: 1.0,
            filter: None,
            limit: None,
        }
    }

    /// Sets the weight.
    pub fn with_weight(self, weight: f32) -> Self {
        Self { weight, ..self }
    }
}

/// The searches for a question, and what was understood of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// At least one. `balanced` runs the first, `comprehensive` all of them.
    pub searches: Vec<Search>,
    /// `intent` (`factual`, `analytical`, `comparative`, `procedural`, `verification`, `exploratory`), `language` (BCP 47), and one
    /// `entity.KIND` for each entity, KIND being `organization`, `person`, `date`, `money`, `percentage`, `identifier` or another.
    pub attrs: Vec<Attr>,
}

/// A passage that is cited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Number of the citation in this answer, from 1, in order of first mention.
    pub citation_id: u32,
    /// The document's identifier.
    pub document_id: String,
    /// File name.
    pub name: String,
    /// The passage that is quoted.
    pub at: Span,
    /// Page that holds its start, counted from 1; `None` where the format has no pages.
    pub page: Option<u32>,
    /// Headings above it, outermost first.
    pub section: Vec<String>,
    /// The document's metadata: `title`, `author`, `created`, ...
    pub attrs: Vec<Attr>,
}

impl Source {
    /// Returns the first value of this key in the document's metadata.
    pub fn attr(&self, key: &str) -> Option<&str> {
        Attr::find(&self.attrs, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_built_in_steps() {
        let piece = Piece::new(0_usize..4)
            .with_context(vec![Span { start: 6, end: 8 }])
            .with_attr("speaker", "Ann");
        assert_eq!((piece.at.len(), piece.context.len()), (4, 1));
        assert_eq!(piece.attrs, [Attr::new("speaker", "Ann")]);
        let search = Search::new("net debt").with_weight(0.5);
        assert_eq!(
            (search.text.as_str(), search.weight, search.filter, search.limit),
            ("net debt", 0.5, None, None)
        );
    }

    #[test]
    fn a_source_has_the_metadata_of_its_document() {
        let source = Source {
            attrs: vec![Attr::new("title", "Annual report")],
            ..Source::default()
        };
        assert_eq!((source.attr("title"), source.attr("author")), (Some("Annual report"), None));
    }
}
