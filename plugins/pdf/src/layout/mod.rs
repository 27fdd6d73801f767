//! From glyphs on a page to lines in reading order, grouped into blocks.
//!
//! Glyphs that follow one another become runs; runs on one baseline become rows; rows are taken
//! apart again where the page is set in columns of prose (a table's columns are not: its rows
//! stay whole, since that is what a reader quotes); rows become blocks.

mod blocks;
mod columns;
mod rows;
mod runs;
mod table;

use std::ops::Range;

use crate::bidi;
use crate::interpret::PageGlyphs;

/// What separates the cells of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CellSeparator {
    /// A space, as in running text.
    #[default]
    Space,
    /// A tab.
    Tab,
}

/// A line of a page's text.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// Font size that most of its characters have, in points.
    pub(crate) size: f32,
    /// Whether all of it is bold.
    pub(crate) bold: bool,
    /// Characters, blanks left out.
    pub(crate) chars: usize,
    /// The cells of a table's row, left to right; none elsewhere.
    pub(crate) cells: Vec<TableCell>,
}

/// A cell of a table's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableCell {
    /// Where it stands in the line's text.
    pub(crate) at: Range<usize>,
    /// The cell that heads its column: which line of the block, and where in that line's text.
    pub(crate) header: Option<(usize, Range<usize>)>,
}

/// Lines that belong together.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) kind: BlockKind,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    Text,
    /// A table whose first lines are its header, as many as said.
    Table {
        header: usize,
    },
}

/// The directions in which the lines of a page run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    LeftToRight,
    RightToLeft,
    /// From left to right, and some of it the other way.
    Mixed,
}

impl Direction {
    fn of(text: &str) -> Self {
        if !bidi::may_have_rtl(text) {
            return Self::LeftToRight;
        }
        match bidi::letters(text) {
            (0, _) => Self::LeftToRight,
            (rtl, ltr) if rtl > ltr => Self::RightToLeft,
            _ => Self::Mixed,
        }
    }
}

/// Blocks of a page in reading order.
pub(crate) fn blocks(page: &PageGlyphs, separator: CellSeparator) -> Vec<Block> {
    let mut blocks = Vec::new();
    let direction = Direction::of(&page.text);
    for runs in runs::by_direction(page) {
        let rows = rows::assemble(runs, direction);
        for region in columns::order(rows) {
            blocks::group(region, separator, &mut blocks);
        }
    }
    blocks
}
