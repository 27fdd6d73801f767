//! A document as every stage sees it: one text, and spans over it.
//!
//! Plain data.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A half-open range `[start, end)` of a document's text, in UTF-8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset of the byte after the last one.
    pub end: u32,
}

impl Span {
    /// A span from `start` up to, not including, `end`.
    pub fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// Length in bytes; 0 for a span that ends before it starts.
    pub fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the span holds no byte.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether the two share a byte.
    pub fn overlaps(self, other: Span) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The text at the span, or `None` if it lies outside `text`, is reversed or cuts a character.
    pub fn of(self, text: &str) -> Option<&str> {
        text.get(self.start as usize..self.end as usize)
    }
}

/// What stands between an identifier and a generation; no identifier of a document or a collection ends as generations do.
const GENERATION: &str = "-g";

/// What a generation of a document's text, or of a collection's index, is called.
pub fn in_generation(id: &str, generation: u32) -> String {
    match generation {
        // As it was called before there were generations.
        0 => id.to_owned(),
        n => format!("{id}{GENERATION}{n}"),
    }
}

/// The identifier and the generation of such a name.
pub fn generation_of(name: &str) -> (&str, u32) {
    let parts = name.rsplit_once(GENERATION).and_then(|(id, n)| Some((id, n.parse().ok()?)));
    parts.unwrap_or((name, 0))
}

/// A structural part of a document. See `unit` in `wit/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Where it stands.
    pub at: Span,
    /// `heading`, `paragraph`, `list`, `list-item`, `table`, `table-row`, `table-cell`, `code`, `quote`, `caption`.
    pub kind: String,
    /// Depth of a heading (1 to 6) or list item (from 1); else 0.
    pub level: u8,
    /// Of a table or table row, its header rows; of a table's cell, what heads its column.
    pub title: Option<Span>,
}

/// A page of a paged document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The page's text.
    pub at: Span,
    /// Position in the file, from 1.
    pub number: u32,
    /// What is printed on the page, where the file says so.
    pub label: Option<String>,
}

/// Named values; a key may occur several times.
pub type Attrs = Vec<(String, String)>;

/// The text of a document and what is known of its structure.
///
/// `units` are ordered by start, wider first; `pages` are ordered and do not overlap; all spans lie
/// inside `text` and cut no character (the plugin host has checked that).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The extracted text; of a plain text or Markdown file the file itself.
    pub text: String,
    /// Headings, paragraphs, tables, ...
    pub units: Vec<Unit>,
    /// Pages, empty where the format has none.
    pub pages: Vec<Page>,
    /// Metadata: `title`, `author`, `language`, ...
    pub attrs: Attrs,
}

impl Document {
    /// The first value of a metadata key.
    pub fn attr(&self, key: &str) -> Option<&str> {
        self.attrs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Metadata as a map, its keys as JSON has them (`needs_ocr`); of a key that occurs several
    /// times the values are joined by `; `.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::<String, String>::new();
        for (key, value) in &self.attrs {
            map.entry(key.replace('-', "_"))
                .and_modify(|v| {
                    v.push_str("; ");
                    v.push_str(value);
                })
                .or_insert_with(|| value.clone());
        }
        map
    }

    /// The page that holds the byte at `offset`; the last page for an offset at the text's end.
    pub fn page_at(&self, offset: u32) -> Option<&Page> {
        let after = self.pages.partition_point(|page| page.at.start <= offset);
        self.pages.get(after.checked_sub(1)?)
    }
}

/// Tells the headings above an offset. Offsets must be asked for in rising order, so that the units
/// are walked once.
pub struct Sections<'a> {
    document: &'a Document,
    next: usize,
    path: Vec<(u8, String)>,
}

impl<'a> Sections<'a> {
    /// Starts before the first unit.
    pub fn new(document: &'a Document) -> Self {
        Self {
            document,
            next: 0,
            path: Vec::new(),
        }
    }

    /// Texts of the headings above `offset` (and of one that starts there), outermost first.
    pub fn at(&mut self, offset: u32) -> Vec<String> {
        while let Some(unit) = self.document.units.get(self.next).filter(|unit| unit.at.start <= offset) {
            self.next += 1;
            if unit.kind != "heading" {
                continue;
            }
            self.path.retain(|(level, _)| *level < unit.level);
            let heading = unit.at.of(&self.document.text).unwrap_or_default();
            // Markdown's marks, at the start and perhaps at the end, are no part of the heading.
            let heading = heading.lines().next().unwrap_or_default().trim().trim_matches('#').trim();
            if !heading.is_empty() {
                self.path.push((unit.level, heading.to_owned()));
            }
        }
        self.path.iter().map(|(_, heading)| heading.clone()).collect()
    }
}

/// Counts Unicode code points up to byte offsets of one text, which the API speaks in.
///
/// Offsets must be asked for in rising order: the whole text is then walked once.
pub struct CodePoints<'a> {
    text: &'a str,
    byte: usize,
    chars: u64,
}

impl<'a> CodePoints<'a> {
    /// A counter at the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, byte: 0, chars: 0 }
    }

    /// Code points before byte `offset`, which must be a character boundary; an offset past the
    /// text counts as its end. An offset below an earlier one starts over.
    pub fn before(&mut self, offset: u32) -> u64 {
        let offset = (offset as usize).min(self.text.len());
        if offset < self.byte {
            *self = Self::new(self.text);
        }
        self.chars += self.text.get(self.byte..offset).map_or(0, |part| part.chars().count() as u64);
        self.byte = offset;
        self.chars
    }
}
