//! Packs blocks into chunks.

use crate::blocks::{Block, Content, Text, blocks};
use crate::config::{Config, Context};
use prose::boundary::{Strength, lines, sentences};
use prose::document::{Chunk, Document, Span, trimmed};
use prose::headings::{Headings, name_of};
use prose::refine::{Atom, Room, refine};

/// The number of blocks whose tokens are counted at once.
const BATCH: usize = 8_192;

/// Returns the chunks of the text in `within`, ordered by start. They contain all of it except white space, and do not overlap.
pub fn chunks(document: &impl Document, within: Span, config: &Config) -> Vec<Chunk> {
    let blocks = blocks(document, within);
    let mut packer = Packer::new(config, Headings::above(document, within.start));
    let mut text = Text::new(document);
    for batch in blocks.chunks(BATCH) {
        let spans: Vec<Span> = batch.iter().map(|block| block.at).collect();
        for (block, tokens) in batch.iter().zip(document.count(&spans)) {
            let whole = Item::whole(block, tokens);
            if packer.room.holds(&whole.atom) {
                let name = whole
                    .atom
                    .heading
                    .and_then(|_| name_of(text.get(block.at), block.at.start, block.at));
                packer.push(whole, name);
                continue;
            }
            let content = text.get(block.at);
            packer.start_anew();
            for atom in refine(document, content, block.at.start, parts(block, content), packer.room) {
                packer.push(Item { atom, leads_on: false }, None);
            }
        }
    }
    packer.finish()
}

/// Returns the rows, items, lines or sentences of a block that does not fit into a chunk.
fn parts(block: &Block, text: &str) -> Vec<Atom> {
    let base = block.at.start;
    let cuts: Vec<(u32, Option<Span>)> = match &block.content {
        Content::Parts(_, parts) => parts.clone(),
        Content::Code => starts(lines(text, Strength::Sentence), base),
        Content::Heading(_) | Content::Prose => starts(sentences(text), base),
    };
    let heading = match block.content {
        Content::Heading(level) => Some(level),
        _ => None,
    };
    // Text before the first row, such as a caption, belongs to it.
    let first = cuts.iter().find(|(at, _)| *at <= base).and_then(|(_, title)| *title);
    let mut cuts: Vec<(u32, Option<Span>)> = cuts.into_iter().filter(|(at, _)| *at > base && *at < block.at.end).collect();
    cuts.insert(0, (base, first));
    let ends = cuts.iter().skip(1).map(|(at, _)| *at).chain([block.at.end]);
    cuts.iter()
        .zip(ends)
        .filter_map(|(&(start, title), end)| {
            let at = trimmed(text, (start - base) as usize, (end - base) as usize, base)?;
            Some(Atom {
                at,
                before: Strength::Sentence,
                heading: heading.filter(|_| start == base),
                title,
                tokens: 0,
            })
        })
        .collect()
}

fn starts(cuts: Vec<(usize, Strength)>, base: u32) -> Vec<(u32, Option<Span>)> {
    cuts.into_iter().map(|(at, _)| (base + at as u32, None)).collect()
}

/// An element that chunks do not divide.
struct Item {
    atom: Atom,
    leads_on: bool,
}

impl Item {
    fn whole(block: &Block, tokens: u32) -> Self {
        let heading = match block.content {
            Content::Heading(level) => Some(level),
            _ => None,
        };
        let title = match &block.content {
            Content::Parts(_, parts) => parts.first().and_then(|(_, title)| *title),
            _ => None,
        };
        let atom = Atom {
            at: block.at,
            before: Strength::Paragraph,
            heading,
            title,
            tokens,
        };
        Self {
            atom,
            leads_on: block.leads_on || heading.is_some(),
        }
    }
}

struct Packer {
    room: Room,
    least: u32,
    context: Context,
    headings: Headings,
    /// The items of the open chunk, with the headings above each.
    open: Vec<(Item, Headings)>,
    chunks: Vec<Chunk>,
}

impl Packer {
    fn new(config: &Config, headings: Headings) -> Self {
        Self {
            room: Room::for_tokens(config.max_tokens),
            least: config.min_tokens.min(config.max_tokens / 2),
            context: config.context,
            headings,
            open: Vec::new(),
            chunks: Vec::new(),
        }
    }

    fn push(&mut self, item: Item, name: Option<Span>) {
        if item.atom.heading.is_some_and(|level| self.is_section(level)) {
            self.close(0);
        } else if !self.fits(0, &item.atom) {
            let leading = self.leading();
            self.close(if self.fits(self.open.len() - leading, &item.atom) {
                leading
            } else {
                0
            });
        }
        let above = match item.atom.heading {
            Some(level) => self.headings.enter(level, name.unwrap_or(item.atom.at)),
            None => self.headings.clone(),
        };
        self.open.push((item, above));
    }

    /// Begins a chunk with the headings and the line that introduce it.
    fn start_anew(&mut self) {
        let leading = self.leading();
        self.close(leading);
    }

    fn finish(mut self) -> Vec<Chunk> {
        self.close(0);
        self.chunks
    }

    /// Returns whether a heading of this level begins a chunk. It stays with headings right above it, and with a short introduction.
    fn is_section(&self, level: u8) -> bool {
        let Some(above) = self.headings.level() else { return true };
        let only_headings = self.open.iter().all(|(item, _)| item.atom.heading.is_some());
        let tokens: u32 = self.open.iter().map(|(item, _)| item.atom.tokens).sum();
        level <= above || !(only_headings || tokens < self.least)
    }

    /// Returns whether one more item fits if the first `without` are removed.
    fn fits(&self, without: usize, next: &Atom) -> bool {
        let mut kept = self.open.iter().skip(without).map(|(item, _)| &item.atom).peekable();
        let start = kept.peek().map_or(next.at.start, |first| first.at.start);
        let tokens = kept.map(|atom| u64::from(atom.tokens)).sum::<u64>() + u64::from(next.tokens);
        tokens <= u64::from(self.room.tokens) && next.at.end - start <= self.room.bytes
    }

    /// Returns how many items at the end introduce the next one; none if all do.
    fn leading(&self) -> usize {
        let leading = self.open.iter().rev().take_while(|(item, _)| item.leads_on).count();
        if leading == self.open.len() { 0 } else { leading }
    }

    /// Makes a chunk of all items but the last `kept`.
    fn close(&mut self, kept: usize) {
        let end = self.open.len().saturating_sub(kept);
        let closed: Vec<(Item, Headings)> = self.open.drain(..end).collect();
        if let (Some((first, above)), Some((last, _))) = (closed.first(), closed.last()) {
            let at = Span {
                start: first.atom.at.start,
                end: last.atom.at.end,
            };
            let headers = closed.iter().filter_map(|(item, _)| item.atom.title);
            let context = match self.context {
                Context::Headings => above.context(at, headers, self.room.tokens),
                Context::None => Vec::new(),
            };
            self.chunks.push(Chunk { at, context });
        }
    }
}
