//! Builds a document from blocks of text and their units. Shared by extractors of formats that consist of blocks.

use std::ops::Range;

/// A structural part of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its range in the text, in bytes.
    pub at: Range<usize>,
    /// Its kind in the contract: `heading`, `paragraph`, `table-row`, ...
    pub kind: &'static str,
    /// The depth of a heading or of a list item, otherwise 0.
    pub level: u8,
    /// For a table or a row, the table's header row.
    pub title: Option<Range<usize>>,
}

impl From<Unit> for ibid_plugin::Unit {
    fn from(unit: Unit) -> Self {
        Self::new(unit.kind, unit.at).with_level(unit.level).with_title(unit.title)
    }
}

/// Appends blocks to a document.
#[derive(Debug, Default)]
pub struct Writer {
    /// The text so far.
    pub text: String,
    /// Its units, in order.
    pub units: Vec<Unit>,
    /// The open block, with collapsed white space.
    block: String,
    /// Whether white space was seen, which becomes a space when more text follows.
    gap: bool,
}

impl Writer {
    /// Adds text to the block. Unless `verbatim`, white space becomes one space, and is removed at the block's start.
    pub fn push(&mut self, text: &str, verbatim: bool) {
        if verbatim {
            self.block.push_str(text);
            return;
        }
        for character in text.chars() {
            if character.is_whitespace() {
                self.gap = true;
            } else {
                if self.gap && !self.block.is_empty() && !self.block.ends_with(['\n', ' ']) {
                    self.block.push(' ');
                }
                self.gap = false;
                self.block.push(character);
            }
        }
    }

    /// Returns the length of the block so far, in bytes.
    pub fn block_len(&self) -> usize {
        self.block.len()
    }

    /// Ends a line within the block.
    pub fn line_break(&mut self) {
        if !self.block.is_empty() {
            self.block.push('\n');
        }
        self.gap = false;
    }

    /// Separates a cell from the one before it in the same row.
    pub fn cell(&mut self) {
        if !self.block.is_empty() {
            self.block.push_str(" | ");
        }
        self.gap = false;
    }

    /// Ends the block and returns its offset; `None` if it is empty. Rows and list items are on adjacent lines, other blocks are separated
    /// by a blank line.
    pub fn end_block(&mut self, kind: &'static str, level: u8) -> Option<usize> {
        self.gap = false;
        let block = std::mem::take(&mut self.block);
        let content = block.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let content = content.trim_end_matches(" |");
        if content.is_empty() {
            return None;
        }
        let is_line = |kind: &str| matches!(kind, "table-row" | "list-item");
        if !self.text.is_empty() {
            let follows = self.units.last().is_some_and(|last| is_line(last.kind) && last.kind == kind);
            self.text.push_str(if follows { "\n" } else { "\n\n" });
        }
        let start = self.text.len();
        self.text.push_str(content);
        self.units.push(Unit {
            at: start..self.text.len(),
            kind,
            level,
            title: None,
        });
        Some(self.units.len() - 1)
    }

    /// Makes a table of the rows from unit `first` on. A table of one row is only used for layout, and becomes no table.
    pub fn end_table(&mut self, first: usize, has_header: bool) {
        let Some(rows) = self.units.get_mut(first..).filter(|rows| rows.len() > 1) else {
            return;
        };
        // A caption may come before the header.
        let mut rows_of_it = rows.iter_mut().filter(|unit| unit.kind == "table-row");
        let header = rows_of_it.next().filter(|_| has_header).map(|row| row.at.clone());
        for row in rows_of_it {
            row.title.clone_from(&header);
        }
        let at = match (rows.first(), rows.last()) {
            (Some(first), Some(last)) => first.at.start..last.at.end,
            _ => return,
        };
        let table = Unit {
            at,
            kind: "table",
            level: 0,
            title: header,
        };
        self.units.insert(first, table);
    }
}
