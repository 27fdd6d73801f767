//! The headings above a chunk, which are its context.

use crate::document::{Document, Kind, Span, is_white, trimmed};
use std::rc::Rc;

/// A heading: level and text.
pub type Heading = (u8, Span);

/// The most bytes of headings in a chunk's context for each token of the chunk; the outermost are left out first. That is about a quarter
/// of the chunk.
const CONTEXT_BYTES: u32 = 1;

/// The headings above a position, outermost first.
#[derive(Debug, Clone, Default)]
pub struct Headings(Rc<[Heading]>);

impl Headings {
    /// Returns the headings above `start`.
    pub fn above(document: &impl Document, start: u32) -> Self {
        let mut above: Vec<Heading> = Vec::new();
        if start == 0 {
            return Self::default();
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
        Self(above.into())
    }

    /// Adds a heading, and returns those above it.
    pub fn enter(&mut self, level: u8, name: Span) -> Self {
        let above: Rc<[Heading]> = self.0.iter().filter(|(other, _)| *other < level).copied().collect();
        self.0 = above.iter().copied().chain([(level, name)]).collect();
        Self(above)
    }

    /// Returns the level of the innermost one.
    pub fn level(&self) -> Option<u8> {
        self.0.last().map(|(level, _)| *level)
    }

    /// Returns the context of a chunk of at most `tokens` at `at`: the names of these headings, and `headers`, the header rows of its
    /// tables, without those inside the chunk.
    pub fn context(&self, at: Span, headers: impl Iterator<Item = Span>, tokens: u32) -> Vec<Span> {
        let mut left = tokens.saturating_mul(CONTEXT_BYTES);
        let mut context: Vec<Span> = Vec::new();
        for (_, heading) in self.0.iter().rev() {
            let Some(rest) = left.checked_sub(heading.len()) else { break };
            left = rest;
            context.insert(0, *heading);
        }
        let mut left = tokens.saturating_mul(2 * CONTEXT_BYTES);
        for header in headers {
            if context.contains(&header) || at.contains(header) {
                continue;
            }
            let Some(rest) = left.checked_sub(header.len()) else { continue };
            left = rest;
            context.push(header);
        }
        context
    }
}

/// Returns a heading's text without Markdown's markup. `text` is at `base` in the document.
pub fn name_of(text: &str, base: u32, at: Span) -> Option<Span> {
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
