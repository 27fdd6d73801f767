//! Runs to rows: everything on one line of the page, cut into cells at wide gaps.

use super::Direction;
use super::runs::Run;
use crate::bidi;
use crate::extremes::{larger, smaller};

/// A part of a row without wide gaps.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) x0: f32,
    pub(super) x1: f32,
    pub(super) text: String,
    /// Characters, blanks left out.
    pub(super) chars: usize,
    pub(super) size: f32,
    pub(super) bold: bool,
}

/// Whether a text goes on a figure that is typeset apart from it, as tables do: `1.5` `%`.
pub(super) fn closes(before: &str, text: &str) -> bool {
    before.ends_with(|c: char| c.is_ascii_digit() || c == ')') && (text.starts_with('%') || (text.starts_with(')') && text.len() <= 2))
}

/// All that stands on one line, left to right. Has at least one cell.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) base: f32,
    pub(super) cells: Vec<Cell>,
}

impl Row {
    pub(super) fn x0(&self) -> f32 {
        self.cells.first().map_or(0.0, |cell| cell.x0)
    }

    pub(super) fn x1(&self) -> f32 {
        self.cells.iter().map(|cell| cell.x1).fold(f32::MIN, larger)
    }

    pub(super) fn chars(&self) -> usize {
        self.cells.iter().map(|cell| cell.chars).sum()
    }

    /// Turns the row over, so that what is read first, from right to left, stands where text from left to right begins.
    fn turn_over(&mut self) {
        self.cells.reverse();
        for cell in &mut self.cells {
            (cell.x0, cell.x1) = (-cell.x1, -cell.x0);
        }
    }

    /// The font size of most of its characters.
    pub(super) fn size(&self) -> f32 {
        self.cells.iter().max_by_key(|cell| cell.chars).map_or(0.0, |cell| cell.size)
    }

    pub(super) fn bold(&self) -> bool {
        self.cells.iter().all(|cell| cell.bold)
    }
}

/// Gap, in parts of the font size, that ends a cell.
const CELL_GAP: f32 = 1.1;

struct Building {
    /// Baseline and size of the run that the row is lined up with: the largest.
    base: f32,
    size: f32,
    runs: Vec<Run>,
}

impl Building {
    /// How much of the smaller one's height the row and a run share.
    fn overlap(&self, run: &Run) -> f32 {
        let (low, high) = (self.base - 0.2 * self.size, self.base + 0.7 * self.size);
        let (run_low, run_high) = (run.base - 0.2 * run.size, run.base + 0.7 * run.size);
        (smaller(high, run_high) - larger(low, run_low)) / (0.9 * smaller(self.size, run.size))
    }

    /// Whether the run would print over what is there.
    fn collides(&self, run: &Run) -> bool {
        self.runs.iter().any(|other| {
            let shared = smaller(other.x1, run.x1) - larger(other.x0, run.x0);
            shared > 0.5 * larger(0.1, smaller(other.x1 - other.x0, run.x1 - run.x0))
        })
    }

    fn add(&mut self, run: Run) {
        if run.size > self.size * 1.05 {
            self.base = run.base;
            self.size = run.size;
        }
        self.runs.push(run);
    }
}

/// Rows from top to bottom, their text in the order in which it is read. The rows of a page that runs from right to left are turned over.
pub(super) fn assemble(mut runs: Vec<Run>, direction: Direction) -> Vec<Row> {
    runs.sort_by(|a, b| b.base.total_cmp(&a.base).then(a.x0.total_cmp(&b.x0)));
    let mut rows: Vec<Building> = Vec::new();
    for run in runs {
        let best = rows
            .iter()
            .enumerate()
            .rev()
            .take(6)
            .map(|(at, row)| (at, row.overlap(&run)))
            .filter(|(_, overlap)| *overlap > 0.5)
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(at, _)| at);
        match best.and_then(|at| rows.get_mut(at)) {
            Some(row) if !row.collides(&run) => row.add(run),
            _ => rows.push(Building {
                base: run.base,
                size: run.size,
                runs: vec![run],
            }),
        }
    }
    rows.sort_by(|a, b| b.base.total_cmp(&a.base));
    let mut rows: Vec<Row> = rows.into_iter().map(finish).collect();
    if direction == Direction::LeftToRight {
        return rows;
    }
    let is_rtl = direction == Direction::RightToLeft;
    for row in &mut rows {
        for cell in &mut row.cells {
            bidi::to_logical(&mut cell.text, is_rtl);
        }
        if is_rtl {
            row.turn_over();
        }
    }
    rows
}

fn finish(mut row: Building) -> Row {
    row.runs.sort_by(|a, b| a.x0.total_cmp(&b.x0));
    let mut cells: Vec<Cell> = Vec::new();
    let mut before: Option<Run> = None;
    for mut run in row.runs {
        let chars = run.text.chars().filter(|c| *c != ' ').count();
        let joined = match (&before, cells.last_mut()) {
            (Some(last), Some(cell)) => {
                let gap = run.x0 - last.x1;
                let size = larger(last.size, run.size);
                let cell_ends = gap > CELL_GAP * size;
                if !cell_ends {
                    let apart = gap > last.word_gap && !(gap < size && closes(&cell.text, &run.text));
                    if last.space_after || run.space_before || apart {
                        cell.text.push(' ');
                    }
                    cell.text.push_str(&run.text);
                    cell.x1 = larger(cell.x1, run.x1);
                    if run.size > cell.size {
                        cell.size = run.size;
                    }
                    cell.bold &= run.bold;
                    cell.chars += chars;
                }
                !cell_ends
            }
            _ => false,
        };
        if !joined {
            cells.push(Cell {
                x0: run.x0,
                x1: run.x1,
                text: std::mem::take(&mut run.text),
                chars,
                size: run.size,
                bold: run.bold,
            });
        }
        before = Some(run);
    }
    Row { base: row.base, cells }
}
