//! Chunks of a document: reads it in windows, so that memory does not grow with its text.

use crate::boundary::Strength;
use crate::config::Config;
use crate::document::{Document, Kind, Span, is_white, trimmed};
use crate::layout::layout;
use crate::packing::{Chunk, Heading, Packer};
use crate::refine::{Room, refine};

/// Bytes of text that are read at once.
const WINDOW: u32 = 128 << 10;

/// The chunks of the text in `within`, ordered by start. They hold all of it but white space.
pub fn chunks(document: &impl Document, within: Span, config: &Config) -> Vec<Chunk> {
    let end = within.end.min(document.len());
    let room = Room::for_tokens(config.target_tokens);
    let mut packer = Packer::new(config, headings_above(document, within.start));
    let mut start = within.start;
    let mut before = Strength::Page;
    let mut after_heading = false;
    while start < end {
        let mut text = document.text(Span {
            start,
            end: start.saturating_add(WINDOW).min(end),
        });
        if text.is_empty() {
            break;
        }
        let is_last = start + text.len() as u32 >= end;
        if !is_last && let Some(space) = text.rfind(is_white).filter(|space| *space > text.len() / 2) {
            text.truncate(space);
        }
        let window = Span {
            start,
            end: start + text.len() as u32,
        };
        let (units, pages) = (document.units(window), document.pages(window));
        let mut atoms = layout(&text, start, before, &units, &pages);
        if after_heading && let Some(first) = atoms.first_mut().filter(|atom| atom.before <= Strength::Paragraph) {
            first.before = Strength::Word;
        }
        let read = atoms.last().map_or(start, |last| last.at.end);
        (start, before) = match atoms.len() {
            // What comes last may go on in the next window: it is read again, whole.
            2.. if !is_last => {
                let last = atoms.pop().map_or(Strength::Word, |last| last.before);
                (atoms.last().map_or(window.end, |atom| atom.at.end), last)
            }
            // The white space at the window's end is not read again: a page may start in it.
            _ if pages.iter().any(|page| (read..window.end).contains(&page.start)) => (window.end, Strength::Page),
            0 => (window.end, before.max(Strength::Paragraph)),
            _ => (window.end, Strength::Word),
        };
        after_heading = atoms.last().map_or(after_heading, |atom| atom.heading.is_some());
        for atom in refine(document, &text, window.start, atoms, room) {
            let name = atom.heading.and_then(|_| name_of(&text, window.start, atom.at));
            packer.push(atom, name);
        }
    }
    packer.finish()
}

/// Headings in force at `start`, outermost first.
fn headings_above(document: &impl Document, start: u32) -> Vec<Heading> {
    let mut above: Vec<Heading> = Vec::new();
    if start == 0 {
        return above;
    }
    for unit in document.units(Span { start: 0, end: start }) {
        if let Kind::Heading(level) = unit.kind
            && unit.at.end <= start
        {
            above.retain(|(other, _)| *other < level);
            above.push((level, unit.at));
        }
    }
    for (_, at) in &mut above {
        *at = name_of(&document.text(*at), at.start, *at).unwrap_or(*at);
    }
    above
}

/// A heading's text without Markdown's marks around it.
fn name_of(text: &str, base: u32, at: Span) -> Option<Span> {
    let (from, to) = ((at.start - base) as usize, (at.end - base) as usize);
    let heading = text.get(from..to)?;
    let marks = heading.len() - heading.trim_start_matches('#').len();
    let name = heading.trim_end_matches(|c: char| c == '#' || is_white(c));
    let name = match name.rsplit_once('\n') {
        Some((name, rule)) if rule.trim().bytes().all(|byte| matches!(byte, b'=' | b'-')) => name,
        _ => name,
    };
    trimmed(text, from + marks, from + name.len(), base)
}
