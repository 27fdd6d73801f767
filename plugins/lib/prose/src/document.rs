//! The document as chunkers see it: units with the kinds that matter, and the host's functions as a trait.

use ibid_plugin::Piece;

pub use ibid_plugin::Span;

/// The kind of a unit, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A heading of this level.
    Heading(u8),
    /// A row of a table.
    Row,
    /// An item of a list.
    Item,
    /// Code, in which lines matter.
    Code,
    /// Anything else: paragraphs, tables, lists, quotes, captions.
    Block,
}

impl Kind {
    /// Returns the kind for the contract's `name`.
    pub fn of(name: &str, level: u8) -> Self {
        match name {
            "heading" => Kind::Heading(level),
            "table-row" => Kind::Row,
            "list-item" => Kind::Item,
            "code" => Kind::Code,
            _ => Kind::Block,
        }
    }
}

/// A structural part of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Its span.
    pub at: Span,
    /// Its kind.
    pub kind: Kind,
    /// Its title: the header of a table's row.
    pub title: Option<Span>,
}

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its span. Not empty, without white space at its ends.
    pub at: Span,
    /// The headings above it, outermost first, and the headers of its tables.
    pub context: Vec<Span>,
}

impl From<Chunk> for Piece {
    fn from(chunk: Chunk) -> Self {
        Piece::new(chunk.at).with_context(chunk.context)
    }
}

/// The host's functions for a chunker.
pub trait Document {
    /// Returns the length of the text in bytes.
    fn len(&self) -> u32;
    /// Returns whether there is no text.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Returns the text at `at`; an end inside a character is moved down to its start.
    fn text(&self, at: Span) -> String;
    /// Returns the units that overlap `within`, by start, wider ones first.
    fn units(&self, within: Span) -> Vec<Unit>;
    /// Returns the pages that overlap `within`, in order.
    fn pages(&self, within: Span) -> Vec<Span>;
    /// Counts the tokens of each span.
    fn count(&self, spans: &[Span]) -> Vec<u32>;
}

/// Returns whether a character is white space, or the byte order mark that some files start with.
pub fn is_white(character: char) -> bool {
    character.is_whitespace() || character == '\u{feff}'
}

/// Returns a part of `text`, from `from` up to `to`, without white space at its ends; none if it is only white space. Offsets are bytes of
/// `text`, which is at `base` in the document.
#[inline]
pub fn trimmed(text: &str, from: usize, to: usize, base: u32) -> Option<Span> {
    let part = text.as_bytes().get(from..to)?;
    // The usual case: only one space to trim.
    let short = part.strip_suffix(b" ").unwrap_or(part);
    match (short.first(), short.last()) {
        (Some(first), Some(last)) if first.is_ascii_graphic() && last.is_ascii_graphic() => Some(Span {
            start: base + from as u32,
            end: base + (from + short.len()) as u32,
        }),
        _ => trimmed_of_all(text, from, to, base),
    }
}

#[inline(never)]
fn trimmed_of_all(text: &str, from: usize, to: usize, base: u32) -> Option<Span> {
    let part = text.get(from..to)?;
    let rest = part.trim_start_matches(is_white);
    let (start, len) = (from + part.len() - rest.len(), rest.trim_end_matches(is_white).len());
    (len > 0).then(|| Span {
        start: base + start as u32,
        end: base + (start + len) as u32,
    })
}
