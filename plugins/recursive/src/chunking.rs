//! Divides a document into chunks. Reads it in windows, so that memory does not grow with its text.

use crate::config::Config;
use crate::layout::layout;
use crate::packing::Packer;
use crate::titles::Titles;
use prose::boundary::Strength;
use prose::document::{Chunk, Document, Span, is_white};
use prose::headings::{Headings, name_of};
use prose::refine::{Room, refine};

/// The bytes of text that are read at once.
const WINDOW: u32 = 64 << 10;

/// Returns the chunks of the text in `within`, ordered by start. They contain all of it except white space.
pub fn chunks(document: &impl Document, within: Span, config: &Config) -> Vec<Chunk> {
    let end = within.end.min(document.len());
    let room = Room::for_tokens(config.target_tokens);
    let mut packer = Packer::new(config, Headings::above(document, within.start));
    let mut start = within.start;
    let mut before = Strength::Page;
    let mut after_heading = false;
    let mut titles = Titles::default();
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
            // The last atom may continue in the next window: it is read again as a whole.
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
        let mut begun = pages.iter().filter(|page| page.start >= window.start).peekable();
        for atom in refine(document, &text, window.start, atoms, room) {
            while let Some(page) = begun.next_if(|page| page.start <= atom.at.start) {
                let top = text.get((page.start - window.start) as usize..).unwrap_or_default();
                packer.title(titles.of(page.start, top));
            }
            let name = atom.heading.and_then(|_| name_of(&text, window.start, atom.at));
            packer.push(atom, name);
        }
    }
    packer.finish()
}
