//! Reading order: rows that are columns of prose side by side are taken apart, left column first.

use super::rows::{Cell, Row};
use crate::extremes::{larger, smaller};

/// Fewest rows that columns have.
const MIN_ROWS: usize = 6;

/// How often a page is split within its parts.
const MAX_DEPTH: u32 = 6;

/// Regions in reading order, each with its rows from top to bottom.
pub(super) fn order(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut regions = Vec::new();
    split(rows, MAX_DEPTH, &mut regions);
    regions
}

fn split(rows: Vec<Row>, depth: u32, regions: &mut Vec<Vec<Row>>) {
    if rows.is_empty() {
        return;
    }
    let found = (depth > 0).then(|| gutter(&rows)).flatten();
    let Some(Gutter { x, start, end }) = found else {
        regions.push(rows);
        return;
    };
    let mut rows = rows;
    let after = rows.split_off(end);
    let within = rows.split_off(start);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for row in within {
        let (cells_left, cells_right): (Vec<Cell>, Vec<Cell>) = row.cells.into_iter().partition(|cell| cell.x0 < x - 2.0);
        for (cells, side) in [(cells_left, &mut left), (cells_right, &mut right)] {
            if !cells.is_empty() {
                side.push(Row { base: row.base, cells });
            }
        }
    }
    for part in [rows, left, right, after] {
        split(part, depth - 1, regions);
    }
}

/// A white strip between columns: where the right column starts, and its rows.
struct Gutter {
    x: f32,
    start: usize,
    end: usize,
}

/// What one side of a gutter holds.
#[derive(Default)]
struct Side {
    rows: usize,
    cells: usize,
    chars: usize,
    letters: usize,
    width: f32,
    x0: f32,
    x1: f32,
}

impl Side {
    fn add<'a>(&mut self, cells: impl Iterator<Item = &'a Cell>) {
        let mut any = false;
        for cell in cells {
            if self.cells == 0 {
                (self.x0, self.x1) = (cell.x0, cell.x1);
            }
            any = true;
            self.cells += 1;
            self.chars += cell.chars;
            self.letters += cell.text.chars().filter(|c| c.is_alphabetic()).count();
            self.width += cell.x1 - cell.x0;
            self.x0 = smaller(self.x0, cell.x0);
            self.x1 = larger(self.x1, cell.x1);
        }
        self.rows += usize::from(any);
    }

    /// Whether it reads as running text: long lines of letters that fill the column.
    fn is_prose(&self) -> bool {
        let rows = self.rows.max(1) as f32;
        self.rows >= 4
            && self.cells as f32 <= 1.35 * rows
            && self.chars as f32 >= 17.0 * rows
            && self.letters as f32 >= 0.72 * self.chars as f32
            && self.width >= 0.55 * rows * (self.x1 - self.x0)
    }
}

/// The best gutter of these rows, by the text beside it.
fn gutter(rows: &[Row]) -> Option<Gutter> {
    if rows.len() < MIN_ROWS {
        return None;
    }
    let left_edge = rows.iter().map(Row::x0).fold(f32::MAX, smaller);
    let right_edge = rows.iter().map(Row::x1).fold(f32::MIN, larger);
    let width = right_edge - left_edge;
    // Columns are flush left: where many cells start is where one may begin.
    let mut starts: Vec<f32> = rows
        .iter()
        .flat_map(|row| row.cells.iter().map(|cell| cell.x0))
        .filter(|x| *x > left_edge + 0.12 * width && *x < right_edge - 0.12 * width)
        .collect();
    starts.sort_by(f32::total_cmp);
    let mut best: Option<(usize, Gutter)> = None;
    let mut at = 0;
    while let Some(&x) = starts.get(at) {
        let count = starts.iter().skip(at).take_while(|s| **s - x < 3.0).count();
        at += count.max(1);
        if count < 4 {
            continue;
        }
        let mut start = 0;
        while start < rows.len() {
            let end = rows
                .iter()
                .skip(start)
                .position(|row| crosses(row, x))
                .map_or(rows.len(), |n| start + n);
            if let Some((weight, gutter)) = judge(rows, x, start, end)
                && best.as_ref().is_none_or(|(known, _)| weight > *known)
            {
                best = Some((weight, gutter));
            }
            start = end + 1;
        }
    }
    best.map(|(_, gutter)| gutter)
}

/// Whether a row prints over the strip left of `x`.
fn crosses(row: &Row, x: f32) -> bool {
    row.cells.iter().any(|cell| cell.x0 < x - 2.0 && cell.x1 > x - 0.5 * cell.size)
}

/// The characters that stand in columns right and left of `x` in these rows, if they do.
fn judge(rows: &[Row], x: f32, start: usize, end: usize) -> Option<(usize, Gutter)> {
    let is_right = |cell: &&Cell| cell.x0 >= x - 2.0;
    let has_right = |row: &Row| row.cells.iter().any(|cell| is_right(&cell));
    let has_left = |row: &Row| row.cells.iter().any(|cell| !is_right(&cell));
    let slice = rows.get(start..end)?;
    // Rows above the right column come first either way. Rows below it belong to the left column
    // only where they go on without a break.
    let first = slice.iter().position(&has_right)?;
    let last = slice.iter().rposition(&has_right)?;
    let mut stop = last + 1;
    while let (Some(above), Some(row)) = (slice.get(stop - 1), slice.get(stop)) {
        if above.base - row.base > 1.7 * larger(row.size(), above.size()) {
            break;
        }
        stop += 1;
    }
    let slice = slice.get(first..stop)?;
    if slice.len() < MIN_ROWS || slice.iter().filter(|r| has_left(r) && has_right(r)).count() < 2 {
        return None;
    }
    let (mut left, mut right) = (Side::default(), Side::default());
    let mut aligned = 0usize;
    for row in slice {
        left.add(row.cells.iter().filter(|cell| !is_right(cell)));
        right.add(row.cells.iter().filter(is_right));
        aligned += usize::from(row.cells.iter().find(is_right).is_some_and(|cell| cell.x0 - x < 4.0));
    }
    // The left side may itself be columns: then each of them is judged when it is split again.
    let flush = aligned as f32 >= 0.6 * right.rows as f32;
    let prose = |side: &Side| side.is_prose() || (side.cells > side.rows && side.chars_per_cell_prose());
    (flush && prose(&left) && prose(&right)).then(|| {
        (
            left.chars.min(right.chars),
            Gutter {
                x,
                start: start + first,
                end: start + stop,
            },
        )
    })
}

impl Side {
    /// Whether its cells read as lines of two or more columns of running text.
    fn chars_per_cell_prose(&self) -> bool {
        let cells = self.cells.max(1) as f32;
        self.rows >= MIN_ROWS
            && cells <= 3.2 * self.rows as f32
            && self.chars as f32 >= 17.0 * cells
            && self.letters as f32 >= 0.72 * self.chars as f32
    }
}
