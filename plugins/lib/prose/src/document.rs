//! The document as these chunkers read it: units by what matters of their kind, and the host's functions as a trait.

use ibid_plugin::Piece;

pub use ibid_plugin::Span;

/// What matters of a unit's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A heading of this level.
    Heading(u8),
    /// A row of a table.
    Row,
    /// An item of a list.
    Item,
    /// Code, where a line is a line.
    Code,
    /// Anything else: paragraphs, tables, lists, quotes, captions.
    Block,
}

impl Kind {
    /// What the contract calls `name`.
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
    /// Where it stands.
    pub at: Span,
    /// What it is.
    pub kind: Kind,
    /// The text that names it: the header of a table's row.
    pub title: Option<Span>,
}

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its text. Not empty, no white space at its ends.
    pub at: Span,
    /// Headings above it, outermost first, and the headers of its tables.
    pub context: Vec<Span>,
}

impl From<Chunk> for Piece {
    fn from(chunk: Chunk) -> Self {
        Piece::new(chunk.at).with_context(chunk.context)
    }
}

/// What the host offers to a chunker.
pub trait Document {
    /// Length of the text in bytes.
    fn len(&self) -> u32;
    /// Whether there is no text.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The text at `at`; an end inside a character is moved down to its start.
    fn text(&self, at: Span) -> String;
    /// Units that lie wholly or partly in `within`, by start, wider ones first.
    fn units(&self, within: Span) -> Vec<Unit>;
    /// Pages that lie wholly or partly in `within`, in order.
    fn pages(&self, within: Span) -> Vec<Span>;
    /// Tokens of each span.
    fn count(&self, spans: &[Span]) -> Vec<u32>;
}

/// White space, and the byte order mark that some files start with.
pub fn is_white(character: char) -> bool {
    character.is_whitespace() || character == '\u{feff}'
}

/// A part of `text`, from `from` up to `to`, without white space at its ends; none if that is all.
/// Offsets are bytes of `text`, which stands at `base` in the document.
#[inline]
pub fn trimmed(text: &str, from: usize, to: usize, base: u32) -> Option<Span> {
    let part = text.as_bytes().get(from..to)?;
    // Mostly one blank at the end is all there is to trim.
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
