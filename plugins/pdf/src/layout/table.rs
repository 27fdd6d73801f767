//! Rows of a table to lines, with the cells of each and what heads their columns.

use super::rows::{Row, closes};
use super::{CellSeparator, Line, TableCell};
use crate::extremes::{larger, smaller};
use crate::hyphen;

/// How far, in parts of the font size, a cell may stand beside its column's header: short figures are set flush right under long headers
/// that are centred. What stands over it or nearly so comes first.
const BESIDE: [f32; 2] = [0.6, 3.0];

/// A cell in a line: its text's range there, and its sides on the page.
struct Placed {
    start: usize,
    end: usize,
    x0: f32,
    x1: f32,
    size: f32,
}

/// The lines of a table whose first `header` rows head its columns.
pub(super) fn lines(rows: &[Row], header: usize, separator: CellSeparator) -> Vec<Line> {
    let placed: Vec<(Line, Vec<Placed>)> = rows.iter().map(|row| place(row, separator)).collect();
    let headers: Vec<Vec<Placed>> = placed
        .iter()
        .zip(rows)
        .take(header)
        .map(|((_, cells), row)| {
            // What the figures are in is said of all columns, wherever it stands.
            let of_columns = |cell: &Placed| {
                !row.cells
                    .iter()
                    .any(|found| found.x0 == cell.x0 && super::blocks::is_unit_note(&found.text))
            };
            cells.iter().filter(|cell| of_columns(cell)).map(Placed::copy).collect()
        })
        .collect();
    placed
        .into_iter()
        .enumerate()
        .map(|(index, (mut line, mut cells))| {
            if line.text.ends_with(hyphen::SOFT_HYPHEN) {
                line.text.pop();
                cells.iter_mut().for_each(|cell| cell.end = cell.end.min(line.text.len()));
            }
            line.cells = cells
                .iter()
                .map(|cell| TableCell {
                    at: cell.start..cell.end,
                    header: if index < header { None } else { above(cell, &headers) },
                })
                .collect();
            line
        })
        .collect()
}

/// A row as a line of text.
pub(super) fn line(row: &Row, separator: CellSeparator) -> Line {
    place(row, separator).0
}

fn place(row: &Row, separator: CellSeparator) -> (Line, Vec<Placed>) {
    let mut text = String::with_capacity(row.cells.iter().map(|cell| cell.text.len() + 1).sum());
    let mut placed: Vec<Placed> = Vec::with_capacity(row.cells.len());
    for (index, cell) in row.cells.iter().enumerate() {
        let closes = closes(&text, &cell.text);
        // A currency sign belongs to its amount.
        let amount = text.ends_with(['$', '€', '£', '¥']);
        if !text.is_empty() && !closes {
            text.push(match separator {
                CellSeparator::Tab if !amount => '\t',
                _ => ' ',
            });
        }
        let start = text.len();
        text.push_str(&cell.text);
        hyphen::remove_marks(&mut text, start, index + 1 == row.cells.len());
        match placed.last_mut() {
            Some(last) if closes || amount => {
                last.end = text.len();
                last.x1 = cell.x1;
            }
            _ => placed.push(Placed {
                start,
                end: text.len(),
                x0: cell.x0,
                x1: cell.x1,
                size: cell.size,
            }),
        }
    }
    let line = Line {
        text,
        size: row.size(),
        bold: row.bold(),
        chars: row.chars(),
        cells: Vec::new(),
    };
    (line, placed)
}

impl Placed {
    fn copy(&self) -> Placed {
        Placed { ..*self }
    }

    /// How much of a column the two share; negative where they stand apart.
    fn shared(&self, other: &Placed) -> f32 {
        smaller(self.x1, other.x1) - larger(self.x0, other.x0)
    }
}

/// The header over a cell: of the lowest row that has one there. The names of rows, which come first, are headed only by what is over them.
fn above(cell: &Placed, headers: &[Vec<Placed>]) -> Option<(usize, std::ops::Range<usize>)> {
    let reaches: &[f32] = if cell.start == 0 { &[-0.1] } else { &BESIDE };
    reaches.iter().find_map(|reach| {
        headers.iter().enumerate().rev().find_map(|(line, row)| {
            let nearest = row.iter().max_by(|a, b| cell.shared(a).total_cmp(&cell.shared(b)))?;
            (cell.shared(nearest) > -reach * cell.size).then_some((line, nearest.start..nearest.end))
        })
    })
}
