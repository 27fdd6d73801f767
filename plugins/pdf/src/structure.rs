//! Blocks to text and units: decides what is a heading by the document's body text and outline,
//! and writes a page.

use std::collections::HashMap;
use std::ops::Range;

use ibid_plugin::{Draft, Span, Unit};

use crate::hyphen::{SOFT_HYPHEN, Words};
use crate::layout::{Block, BlockKind, Line};
use crate::outline::Outline;

/// Longest heading, in characters.
const MAX_HEADING_CHARS: usize = 160;

/// Most lines of a heading.
const MAX_HEADING_LINES: usize = 3;

/// How large and how bold the document's running text is, learned page by page.
#[derive(Default)]
pub(crate) struct Body {
    /// Characters by size in tenths of a point.
    sizes: HashMap<u32, usize>,
    bold: usize,
    all: usize,
    words: Words,
}

impl Body {
    pub(crate) fn learn(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.words.learn(&block.lines);
        }
        for line in blocks.iter().flat_map(|block| &block.lines) {
            *self.sizes.entry(tenths(line.size)).or_default() += line.chars;
            self.all += line.chars;
            self.bold += if line.bold { line.chars } else { 0 };
        }
    }

    /// The size of most characters, in points.
    fn size(&self) -> f32 {
        self.sizes
            .iter()
            .max_by_key(|(size, chars)| (**chars, **size))
            .map_or(0.0, |(size, _)| *size as f32 / 10.0)
    }

    /// Whether bold is so common that it says nothing.
    fn is_bold(&self) -> bool {
        self.bold * 3 > self.all
    }
}

fn tenths(size: f32) -> u32 {
    (size * 10.0).round().clamp(0.0, 1e6) as u32
}

/// Writes the blocks of one page and their units; nothing for a page without text.
pub(crate) fn write_page(blocks: &[Block], page: usize, body: &Body, outline: &Outline, draft: &mut dyn Draft) {
    let (body_size, body_bold) = (body.size(), body.is_bold());
    let mut text = String::new();
    // Offsets count from the page's start until the page is written.
    let mut units: Vec<Unit> = Vec::new();
    let mut add = |kind: &str, level, at: Span, title: Option<Span>| {
        if at.start < at.end {
            units.push(Unit::new(kind, at).with_level(level).with_title(title));
        }
    };
    for block in blocks {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let start = offset(&text);
        let starts = match block.kind {
            BlockKind::Text => {
                push_text(&block.lines, &body.words, &mut text);
                Vec::new()
            }
            BlockKind::Table { .. } => push_rows(&block.lines, &mut text),
        };
        let end = offset(&text);
        let whole = Span { start, end };
        match block.kind {
            BlockKind::Table { header } => {
                // A range of a line's text as one of the page's.
                let span = |line: usize, range: Range<usize>| {
                    let within = |at: usize| {
                        starts
                            .get(line)
                            .map_or(end, |start| start.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)))
                    };
                    Span {
                        start: within(range.start),
                        end: within(range.end),
                    }
                };
                let row = |line: usize| span(line, 0..block.lines.get(line).map_or(0, |line| line.text.len()));
                let title = header.checked_sub(1).map(|last| Span { start, end: row(last).end });
                add("table", 0, whole, title);
                for (index, line) in block.lines.iter().enumerate() {
                    add("table-row", 0, row(index), title.filter(|_| index >= header));
                    // A row of one cell is a caption or a note.
                    for cell in line.cells.iter().filter(|_| line.cells.len() > 1) {
                        let header = cell.header.clone().map(|(line, range)| span(line, range));
                        add("table-cell", 0, span(index, cell.at.clone()), header);
                    }
                }
            }
            BlockKind::Text => match heading(block, page, body_size, body_bold, outline) {
                Some(level) => add("heading", level, whole, None),
                None => add("paragraph", 0, whole, None),
            },
        }
    }
    if text.is_empty() {
        return;
    }
    text.push_str("\n\n");
    let base = draft.write(&text).saturating_sub(offset(&text));
    for unit in &mut units {
        unit.at = unit.at.shifted(base);
        unit.title = unit.title.map(|title| title.shifted(base));
    }
    draft.add_units(&units);
}

/// Appends the rows of a table, and returns where each starts.
fn push_rows(lines: &[Line], text: &mut String) -> Vec<u32> {
    let mut starts = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        starts.push(offset(text));
        text.push_str(&line.text);
    }
    starts
}

/// Appends lines of running text. A word that is divided at the end of a line stands whole there.
fn push_text(lines: &[Line], words: &Words, text: &mut String) {
    let start = text.len();
    let mut moved = 0;
    for (index, line) in lines.iter().enumerate() {
        let rest = line.text.get(moved..).unwrap_or_default().trim_start_matches(' ');
        moved = 0;
        if !rest.is_empty() {
            if text.len() > start {
                text.push('\n');
            }
            text.push_str(rest);
        }
        let next = lines.get(index + 1).map_or("", |next| &next.text);
        let division = words.division(text.get(start..).unwrap_or_default(), next);
        if let Some(division) = division {
            text.truncate(text.len() - division.dropped);
            text.push_str(next.get(..division.moved).unwrap_or_default());
            moved = division.moved;
        }
        if text.ends_with(SOFT_HYPHEN) && division.is_none() {
            text.pop();
        }
    }
}

/// Length of a page's text; the limits keep it far below 4 GiB.
fn offset(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// The level of a heading; `None` for running text. In doubt, running text: a wrong heading
/// stands above every chunk that follows it.
fn heading(block: &Block, page: usize, body_size: f32, body_bold: bool, outline: &Outline) -> Option<u8> {
    if block.lines.len() > MAX_HEADING_LINES {
        return None;
    }
    let first = block.lines.first()?;
    let text = block.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join(" ");
    let chars = text.chars().count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    if chars > MAX_HEADING_CHARS || letters < 3 || letters * 2 < chars {
        return None;
    }
    if let Some(level) = outline.level(page, &text) {
        return Some(level);
    }
    let ratio = block.lines.iter().map(|line| line.size).fold(f32::MAX, f32::min) / body_size.max(0.1);
    let bold = block.lines.iter().all(|line: &Line| line.bold);
    let sentence = text.ends_with(['.', ',', ';', ':']) && text.split(' ').count() > 6
        || text.ends_with([',', ';'])
        || text.starts_with(|c: char| c.is_lowercase());
    if sentence {
        return None;
    }
    let upper = text.chars().all(|c| !c.is_lowercase());
    match ratio {
        r if r >= 1.7 => Some(1),
        r if r >= 1.35 => Some(2),
        r if r >= 1.14 => Some(3),
        r if r >= 0.97 && bold && !body_bold && first.chars >= 4 => Some(if upper { 3 } else { 4 }),
        _ => None,
    }
}
