//! The headings above a chunk, which are its context.

use crate::document::{Document, Kind, Span, is_white, trimmed};
use std::rc::Rc;

/// A heading in force: level and text.
pub type Heading = (u8, Span);

/// Headings that are given as context have at most this many bytes together for each token of a
/// chunk, the outermost being left out first: about a quarter of the chunk.
const CONTEXT_BYTES: u32 = 1;

/// The headings in force, outermost first.
#[derive(Debug, Clone, Default)]
pub struct Headings(Rc<[Heading]>);

impl Headings {
    /// Those in force at `start`.
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

    /// Notes a heading; afterwards it is in force. Returns those above it.
    pub fn enter(&mut self, level: u8, name: Span) -> Self {
        let above: Rc<[Heading]> = self.0.iter().filter(|(other, _)| *other < level).copied().collect();
        self.0 = above.iter().copied().chain([(level, name)]).collect();
        Self(above)
    }

    /// The level of the innermost.
    pub fn level(&self) -> Option<u8> {
        self.0.last().map(|(level, _)| *level)
    }

    /// The context of a chunk of at most `tokens` that stands at `at` below these headings: their names, and those of `headers`, the
    /// header rows of its tables, that are not in it.
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

/// A heading's text without Markdown's marks around it. `text` stands at `base` in the document.
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
