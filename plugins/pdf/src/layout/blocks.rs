//! Rows to blocks: paragraphs and tables.

use super::rows::{Cell, Row};
use super::table::{self, line};
use super::{Block, BlockKind, CellSeparator, Line};
use crate::extremes::{larger, smaller};

/// Most rows of a table's header.
const MAX_HEADER: usize = 5;

/// Most rows of text (captions of sections, labels of two lines) between rows of figures.
const MAX_BETWEEN: usize = 3;

/// Groups the rows of one region and appends its blocks.
pub(super) fn group(rows: Vec<Row>, separator: CellSeparator, blocks: &mut Vec<Block>) {
    let leading = leading(&rows);
    let x0 = rows.iter().map(Row::x0).fold(f32::MAX, smaller);
    let x1 = rows.iter().map(Row::x1).fold(f32::MIN, larger);
    let tables = tables(&rows, leading, x1 - x0);
    let mut at = 0;
    for table in tables.into_iter().chain(std::iter::once(TableRows {
        start: rows.len(),
        end: rows.len(),
        header: 0,
    })) {
        let mut text: Vec<Line> = Vec::new();
        let mut previous: Option<&Row> = None;
        for row in rows.get(at..table.start).unwrap_or_default() {
            if previous.is_some_and(|above| starts_block(above, row, leading, x0, x1)) && !text.is_empty() {
                blocks.push(Block {
                    kind: BlockKind::Text,
                    lines: std::mem::take(&mut text),
                });
            }
            text.push(line(row, CellSeparator::Space));
            previous = Some(row);
        }
        if !text.is_empty() {
            blocks.push(Block {
                kind: BlockKind::Text,
                lines: text,
            });
        }
        let lines = table::lines(rows.get(table.start..table.end).unwrap_or_default(), table.header, separator);
        if !lines.is_empty() {
            blocks.push(Block {
                kind: BlockKind::Table { header: table.header },
                lines,
            });
        }
        at = table.end;
    }
}

/// The usual distance of baselines, as a multiple of the font size.
fn leading(rows: &[Row]) -> f32 {
    let mut steps: Vec<f32> = rows
        .windows(2)
        .filter_map(|pair| match pair {
            [above, row] => {
                let size = larger(0.1, larger(above.size(), row.size()));
                let step = (above.base - row.base) / size;
                (step > 0.8 && step < 2.2).then_some(step)
            }
            _ => None,
        })
        .collect();
    // So few may all be steps between paragraphs.
    if steps.len() < 4 {
        return 1.2;
    }
    steps.sort_by(f32::total_cmp);
    // Spaced-out paragraphs make the upper half: a low quantile is the step within one.
    steps.get(steps.len() / 3).copied().unwrap_or(1.2).clamp(0.95, 1.8)
}

fn is_bullet(text: &str) -> bool {
    text.starts_with(['•', '▪', '●', '■', '◦', '‣', '➢', '☐', '☑', '☒', '✓', '–', '—']) && text.chars().nth(1).is_none_or(|c| c == ' ')
}

fn starts_block(above: &Row, row: &Row, leading: f32, x0: f32, x1: f32) -> bool {
    let size = larger(0.1, larger(above.size(), row.size()));
    let step = (above.base - row.base) / size;
    if step > leading * 1.28 + 0.05 || step < -0.1 {
        return true;
    }
    if (above.size() - row.size()).abs() > 0.12 * size {
        return true;
    }
    if row.cells.first().is_some_and(|cell| is_bullet(&cell.text)) {
        return true;
    }
    // A bold line over plain text is a heading, unless it runs to the end of the line.
    if above.bold() != row.bold() && above.x1() < x1 - 0.15 * (x1 - x0) {
        return true;
    }
    // An indented first line after a line that does not reach the margin.
    let indent = row.x0() - above.x0();
    indent > 0.9 * size && above.x1() < x1 - 2.0 * size && above.x0() - x0 < 0.5 * size
}

/// Rows that form a table.
struct TableRows {
    start: usize,
    end: usize,
    header: usize,
}

/// Whether a cell is a figure, a currency sign, a percentage or a dash that stands for nothing.
fn is_figure(cell: &Cell) -> bool {
    let mut digits = 0usize;
    let mut letters = 0usize;
    let mut dash = false;
    for c in cell.text.chars() {
        match c {
            '0'..='9' => digits += 1,
            '-' | '–' | '—' | '−' => dash = true,
            '$' | '€' | '£' | '¥' | '%' => dash = true,
            '(' | ')' | ',' | '.' | ' ' | '*' | '/' | '+' | ':' => {}
            _ => letters += 1,
        }
    }
    (digits > 0 && letters <= digits / 2) || (digits == 0 && letters == 0 && dash)
}

/// Figures after the first cell, and whether there are several cells.
fn figures(row: &Row) -> usize {
    row.cells.iter().skip(1).filter(|cell| is_figure(cell)).count()
}

fn is_tabular(row: &Row) -> bool {
    row.cells.len() >= 2 && (figures(row) > 0 || (row.cells.len() >= 3 && row.cells.iter().all(|c| c.chars <= 40)))
}

/// Whether a row gives values: a figure that is more than a year.
fn has_values(row: &Row) -> bool {
    row.cells
        .iter()
        .skip(1)
        .any(|cell| is_figure(cell) && !is_year(&cell.text) && cell.text.chars().any(|c| !"$€£¥% ".contains(c)))
        && row.cells.first().is_some_and(|cell| cell.text.chars().any(char::is_alphabetic))
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && (text.starts_with("19") || text.starts_with("20")) && text.bytes().all(|b| b.is_ascii_digit())
}

fn tables(rows: &[Row], leading: f32, width: f32) -> Vec<TableRows> {
    let mut tables: Vec<TableRows> = Vec::new();
    let close = |at: usize| match (at.checked_sub(1).and_then(|i| rows.get(i)), rows.get(at)) {
        (Some(above), Some(row)) => {
            let size = larger(0.1, larger(above.size(), row.size()));
            (above.base - row.base) / size < 2.6 * leading && (above.size() - row.size()).abs() < 0.35 * size
        }
        _ => false,
    };
    let mut at = 0;
    while at < rows.len() {
        if !rows.get(at).is_some_and(is_tabular) {
            at += 1;
            continue;
        }
        let start = at;
        let mut end = at + 1;
        let mut count = 1;
        let mut ahead = end;
        while let Some(row) = rows.get(ahead) {
            if !close(ahead) || ahead - end > MAX_BETWEEN {
                break;
            }
            if is_tabular(row) {
                count += 1;
                end = ahead + 1;
            } else if row.cells.len() > 2 || row.x1() - row.x0() > 0.62 * width {
                break;
            }
            ahead += 1;
        }
        at = end;
        if count < 3 && !(count == 2 && end - start == 2 && two_rows_agree(rows, start)) {
            continue;
        }
        let floor = tables.last().map_or(0, |table| table.end);
        tables.push(with_header(rows, start, end, floor, &close));
    }
    tables
}

/// Whether two rows in sequence have the same cells.
fn two_rows_agree(rows: &[Row], start: usize) -> bool {
    match (rows.get(start), rows.get(start + 1)) {
        (Some(a), Some(b)) => a.cells.len() == b.cells.len() && a.cells.len() >= 3,
        _ => false,
    }
}

/// Finds the header of a table: the rows before the first one with values, and captions of
/// columns that stand above it, clear of the column of labels.
fn with_header(rows: &[Row], start: usize, end: usize, floor: usize, close: &impl Fn(usize) -> bool) -> TableRows {
    let slice = rows.get(start..end).unwrap_or_default();
    let label_x = slice.iter().map(Row::x0).fold(f32::MAX, smaller);
    let first_values = slice.iter().position(has_values).unwrap_or(0);
    let mut start = start;
    let values_at = start + first_values;
    // Where the figures start: captions of columns stand to the right of the labels.
    let figures_x = rows
        .get(values_at)
        .and_then(|row| row.cells.get(1))
        .map_or(f32::MAX, |cell| cell.x0);
    let clear = |row: &Row| row.x0() > label_x + 0.35 * larger(0.0, figures_x - label_x);
    while start > floor
        && close(start)
        && values_at - start < MAX_HEADER
        && rows
            .get(start - 1)
            .is_some_and(|row| row.chars() < 120 && (clear(row) || starts_with_unit_note(row)) && row.x0() > label_x - 3.0)
    {
        start -= 1;
    }
    // Captions of sections (`Assets`) stand over rows, not over columns.
    let mut header_end = values_at;
    while header_end > start
        && rows
            .get(header_end - 1)
            .is_some_and(|row| row.cells.len() == 1 && !clear(row) && !starts_with_unit_note(row))
    {
        header_end -= 1;
    }
    let header = header_end - start;
    let is_header = header <= MAX_HEADER && rows.get(start..header_end).unwrap_or_default().iter().all(|row| !has_values(row));
    TableRows {
        start,
        end,
        header: if is_header { header } else { 0 },
    }
}

/// `(in millions, except per share amounts)`: says what the figures are.
pub(super) fn is_unit_note(text: &str) -> bool {
    let text = text.trim_start_matches('(').to_ascii_lowercase();
    [
        "in millions",
        "in thousands",
        "in billions",
        "millions",
        "thousands",
        "dollars in",
        "amounts in",
        "u.s. dollars in",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

fn starts_with_unit_note(row: &Row) -> bool {
    row.cells.first().is_some_and(|cell| is_unit_note(&cell.text))
}
