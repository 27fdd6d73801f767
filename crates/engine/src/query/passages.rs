//! Passages: what was found of documents, and what quotations of it say.

use ibid_catalog::Chunk;
use ibid_generate::Passage;
use ibid_protocol::SearchHitMetadata;
use ibid_types::document::{Attrs, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A passage, and what a citation of it needs.
#[derive(Debug, Clone)]
pub struct FoundChunk {
    /// The document.
    pub document_id: String,
    /// File name.
    pub source: String,
    /// Where the chunk stands.
    pub chunk: Chunk,
    /// The document's text there.
    pub text: Arc<str>,
    /// The document's text that its context spans mark: headings, its table's header.
    pub header: String,
    /// In [0,1].
    pub relevance: f32,
    /// What a reranker gave it, in [0,1], with what the question says of its document; `None` if none ordered the passages.
    pub reranked: Option<f32>,
    /// The document's metadata.
    pub metadata: Arc<BTreeMap<String, String>>,
}

impl FoundChunk {
    /// The chunk's name in the API.
    pub fn chunk_id(&self) -> String {
        chunk_id(&self.document_id, self.chunk.index)
    }

    /// How relevant clients are told that it is: by what ordered the passages.
    pub fn score(&self) -> f32 {
        self.reranked.unwrap_or(self.relevance)
    }
}

impl From<FoundChunk> for SearchHitMetadata {
    fn from(found: FoundChunk) -> Self {
        Self {
            chunk_id: found.chunk_id(),
            chunk_index: found.chunk.index,
            page: found.chunk.page,
            start_char: found.chunk.char_start,
            end_char: found.chunk.char_end,
            section: found.chunk.section,
            document: (*found.metadata).clone(),
            document_id: found.document_id,
            source: found.source,
        }
    }
}

/// A chunk's name in the API: its document's and its position.
pub fn chunk_id(document_id: &str, index: u32) -> String {
    format!("{document_id}_chunk_{index}")
}

/// The passages of one query, most relevant first.
#[derive(Debug, Default)]
pub struct Passages(pub Vec<FoundChunk>);

/// A quotation with all that a citation says of it.
#[derive(Debug)]
pub struct Quoted {
    /// The document.
    pub document_id: String,
    /// The chunk.
    pub chunk_id: String,
    /// File name.
    pub source: String,
    /// Exactly the document's text.
    pub content: String,
    /// Code points before it.
    pub char_start: u64,
    /// Code points before its end.
    pub char_end: u64,
    /// The page that holds its start.
    pub page: Option<u32>,
    /// Headings above it.
    pub section: Vec<String>,
    /// The document's metadata.
    pub attrs: Attrs,
}

impl Passages {
    /// As the generator sees them.
    pub fn for_generator(&self) -> Vec<Passage> {
        self.0
            .iter()
            .map(|found| Passage {
                document_id: found.document_id.clone(),
                source: found.source.clone(),
                section: found.chunk.section.clone(),
                at: found.chunk.at,
                text: found.text.clone(),
                page: found.chunk.page,
                header: found.header.clone(),
                relevance: found.relevance,
            })
            .collect()
    }

    /// What stands at `at`, which must lie in the passage `index`.
    pub fn quote(&self, index: usize, at: Span) -> Option<Quoted> {
        let found = self.0.get(index)?;
        let chunk = &found.chunk;
        let within = Span::new(at.start.checked_sub(chunk.at.start)?, at.end.checked_sub(chunk.at.start)?);
        let content = within.of(&found.text).filter(|content| !content.is_empty())?;
        let before = found.text.get(..within.start as usize)?.chars().count() as u64;
        let char_start = chunk.char_start + before;
        Some(Quoted {
            document_id: found.document_id.clone(),
            chunk_id: found.chunk_id(),
            source: found.source.clone(),
            content: content.to_owned(),
            char_start,
            char_end: char_start + content.chars().count() as u64,
            page: page_at(chunk, at.start),
            section: chunk.section.clone(),
            attrs: found.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        })
    }
}

/// Key of a chunk's attribute that tells of a page which begins inside it: `NUMBER@BYTE`.
const PAGE_BREAK: &str = "ibid.page-break";

/// The attribute for a page that begins at byte `start`, inside a chunk.
pub fn page_break(number: u32, start: u32) -> (String, String) {
    (PAGE_BREAK.to_owned(), format!("{number}@{start}"))
}

fn page_at(chunk: &Chunk, offset: u32) -> Option<u32> {
    let breaks = chunk.attrs.iter().filter(|(key, _)| key == PAGE_BREAK).filter_map(|(_, value)| {
        let (number, start) = value.split_once('@')?;
        Some((number.parse::<u32>().ok()?, start.parse::<u32>().ok()?))
    });
    let begun = breaks.filter(|(_, start)| *start <= offset);
    begun.fold(chunk.page, |_, (number, _)| Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_knows_its_page_inside_a_chunk_that_crosses_pages() {
        let chunk = Chunk {
            index: 0,
            at: Span::new(10, 20),
            char_start: 8,
            char_end: 18,
            page: Some(3),
            section: Vec::new(),
            context: Vec::new(),
            attrs: vec![page_break(4, 15)],
        };
        let passages = Passages(vec![FoundChunk {
            document_id: "a".to_owned(),
            source: "a.pdf".to_owned(),
            chunk,
            text: "0123456789".into(),
            header: String::new(),
            relevance: 1.0,
            reranked: None,
            metadata: Arc::default(),
        }]);
        let before = passages.quote(0, Span::new(10, 14)).unwrap();
        assert_eq!(
            (before.content.as_str(), before.page, before.char_start, before.char_end),
            ("0123", Some(3), 8, 12)
        );
        assert_eq!(passages.quote(0, Span::new(15, 17)).unwrap().page, Some(4));
        assert!(passages.quote(0, Span::new(5, 12)).is_none());
        assert!(passages.quote(1, Span::new(10, 12)).is_none());
    }
}
