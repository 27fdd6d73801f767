//! The blocks of a document, in order: together they contain all of its text except white space, and do not overlap.

use prose::boundary::{Strength, sentences};
use prose::document::{Document, Kind, Span, Unit, is_white, trimmed};

/// The bytes of text that are read at once, if no block is longer.
const WINDOW: u32 = 256 << 10;

/// A heading, a paragraph, a table, a list, or a piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its span, without white space at its ends. Not empty.
    pub at: Span,
    /// Its content.
    pub content: Content,
    /// Whether it belongs to the next block: a line that ends with a colon.
    pub leads_on: bool,
}

/// The content of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A heading of this level.
    Heading(u8),
    /// Sentences.
    Prose,
    /// Lines.
    Code,
    /// Rows or items: the start of each, and its header.
    Parts(Kind, Vec<(u32, Option<Span>)>),
}

/// Reads a document in windows, so that the host is not called for each block.
pub struct Text<'a, D> {
    document: &'a D,
    start: u32,
    held: String,
}

impl<'a, D: Document> Text<'a, D> {
    /// Makes a reader that has read nothing yet.
    pub fn new(document: &'a D) -> Self {
        Self {
            document,
            start: 0,
            held: String::new(),
        }
    }

    /// Returns the text at `at`.
    pub fn get(&mut self, at: Span) -> &str {
        if at.start < self.start || u64::from(at.end) > u64::from(self.start) + self.held.len() as u64 {
            self.start = at.start;
            self.held = self.document.text(Span {
                start: at.start,
                end: at.end.max(at.start.saturating_add(WINDOW)),
            });
        }
        let from = (at.start - self.start) as usize;
        self.held.get(from..from + at.len() as usize).unwrap_or_default()
    }
}

/// Returns the blocks of the text in `within`.
pub fn blocks(document: &impl Document, within: Span) -> Vec<Block> {
    let within = Span {
        start: within.start,
        end: within.end.min(document.len()),
    };
    let mut maker = Maker {
        text: Text::new(document),
        blocks: Vec::new(),
        cursor: within.start,
    };
    for unit in document.units(within) {
        let at = Span {
            start: unit.at.start.max(within.start),
            end: unit.at.end.min(within.end),
        };
        if !at.is_empty() {
            maker.add(Unit { at, ..unit });
        }
    }
    maker.prose_up_to(within.end);
    maker.blocks
}

struct Maker<'a, D> {
    text: Text<'a, D>,
    blocks: Vec<Block>,
    /// The end of the text that is in blocks.
    cursor: u32,
}

impl<D: Document> Maker<'_, D> {
    fn add(&mut self, unit: Unit) {
        if unit.at.start < self.cursor {
            self.add_part(unit);
            return;
        }
        if self.goes_on(unit) {
            return;
        }
        self.prose_up_to(unit.at.start);
        let content = match unit.kind {
            Kind::Heading(level) => Content::Heading(level),
            Kind::Row | Kind::Item => Content::Parts(unit.kind, vec![(unit.at.start, unit.title)]),
            Kind::Code => Content::Code,
            Kind::Block => Content::Prose,
        };
        self.push(unit.at, content);
    }

    /// Adds a row to its table, or an item to its list. Ignores units inside other blocks.
    fn add_part(&mut self, unit: Unit) {
        let Some(block) = self.blocks.last_mut().filter(|block| block.at.contains(unit.at)) else {
            return;
        };
        match &mut block.content {
            Content::Parts(kind, parts) if *kind == unit.kind && parts.last().is_none_or(|(last, _)| *last < unit.at.start) => {
                parts.push((unit.at.start, unit.title));
            }
            Content::Prose if matches!(unit.kind, Kind::Row | Kind::Item) => {
                block.content = Content::Parts(unit.kind, vec![(unit.at.start, unit.title)]);
                block.leads_on = false;
            }
            _ => {}
        }
    }

    /// Adds the unit to the last block, if that has rows or items of the same kind, and only white space is in between. Used where the
    /// document has no units for tables or lists.
    fn goes_on(&mut self, unit: Unit) -> bool {
        let Some(Block {
            at,
            content: Content::Parts(kind, parts),
            ..
        }) = self.blocks.last_mut()
        else {
            return false;
        };
        // Rows with another header belong to another table.
        let same = *kind == unit.kind && parts.last().is_some_and(|(_, title)| *title == unit.title || title.is_none());
        let gap = Span {
            start: at.end,
            end: unit.at.start,
        };
        if !same || !self.text.get(gap).chars().all(is_white) {
            return false;
        }
        let content = self.text.get(unit.at);
        if let Some(part) = trimmed(content, 0, content.len(), unit.at.start) {
            parts.push((part.start, unit.title));
            at.end = part.end;
        }
        self.cursor = unit.at.end;
        true
    }

    /// Adds the paragraphs from the cursor up to `end` as blocks.
    fn prose_up_to(&mut self, end: u32) {
        let gap = Span { start: self.cursor, end };
        if gap.is_empty() {
            return;
        }
        let text = self.text.get(gap);
        let starts = sentences(text).into_iter().filter(|(_, strength)| *strength >= Strength::Paragraph);
        let mut cuts: Vec<u32> = starts.map(|(at, _)| gap.start + at as u32).collect();
        cuts.push(end);
        for cut in cuts {
            let start = self.cursor;
            self.push(Span { start, end: cut }, Content::Prose);
        }
    }

    fn push(&mut self, unit: Span, content: Content) {
        self.cursor = unit.end;
        let text = self.text.get(unit);
        let Some(at) = trimmed(text, 0, text.len(), unit.start) else {
            return;
        };
        let leads_on = content == Content::Prose && text.trim_end().ends_with([':', '：']);
        self.blocks.push(Block { at, content, leads_on });
    }
}
