//! Fills chunks with atoms.

use crate::config::{Config, Context};
use prose::boundary::Strength;
use prose::document::{Chunk, Span};
use prose::headings::Headings;
use prose::refine::{Atom, Room};

/// Text at the top of a page with fewer tokens is a running head.
const RUNNING_HEAD: u32 = 12;

/// Takes atoms in order, and packs them into chunks.
#[derive(Debug)]
pub struct Packer {
    room: Room,
    overlap: u32,
    least: u32,
    context: Context,
    /// The atoms of the open chunk, with the headings above each.
    open: Vec<(Atom, Headings)>,
    /// How many of the first open atoms are in the previous chunk as well.
    repeated: usize,
    /// The tokens of the open atoms.
    tokens: u32,
    headings: Headings,
    /// The lines of the title of the page that the next atom is on.
    title: Vec<Span>,
    /// Whether the page has no chunk yet.
    at_top: bool,
    chunks: Vec<Chunk>,
}

impl Packer {
    /// Makes a packer at the start of a text below `headings`, outermost first.
    pub fn new(config: &Config, headings: Headings) -> Self {
        Self {
            room: Room::for_tokens(config.target_tokens),
            overlap: config.overlap_tokens,
            // More than half would hardly leave a boundary for a chunk to end at.
            least: config.min_tokens.min(config.target_tokens / 2),
            context: config.context,
            open: Vec::new(),
            repeated: 0,
            tokens: 0,
            headings,
            title: Vec::new(),
            at_top: false,
            chunks: Vec::new(),
        }
    }

    /// Begins a page with these lines as its title.
    pub fn title(&mut self, lines: Vec<Span>) {
        self.close(self.open.len(), Strength::Page);
        self.title = lines;
        self.at_top = true;
    }

    /// Adds the next atom; `name` is its text without markup, if it is a heading.
    pub fn push(&mut self, atom: Atom, name: Option<Span>) {
        if self.starts_anew(&atom) {
            self.close(self.open.len(), Strength::Page);
        }
        while let Some((first, _)) = self.open.first() {
            let bytes = atom.at.end.saturating_sub(first.at.start);
            if self.tokens.saturating_add(atom.tokens) <= self.room.tokens && bytes <= self.room.bytes {
                break;
            }
            if self.repeated == self.open.len() {
                self.drop_first(1);
                self.repeated -= 1;
            } else {
                let (end, strength) = self.best_end(&atom);
                self.close(end, strength);
            }
        }
        let above = self.enter(&atom, name);
        self.tokens = self.tokens.saturating_add(atom.tokens);
        self.open.push((atom, above));
    }

    /// Ends the last chunk, and returns all chunks.
    pub fn finish(mut self) -> Vec<Chunk> {
        self.close(self.open.len(), Strength::Page);
        self.chunks
    }

    /// Returns whether a chunk must start with this atom.
    fn starts_anew(&self, atom: &Atom) -> bool {
        if atom.before == Strength::Page {
            return true;
        }
        let (Some(level), Some((_, above))) = (atom.heading, self.open.last().zip(self.headings.level())) else {
            return atom.heading.is_some();
        };
        // A heading stays with the headings right above it, and with a short introduction above it.
        let only_headings = self.open.iter().all(|(open, _)| open.heading.is_some());
        let short = self.tokens < self.least;
        !(only_headings && level >= above || short && level > above)
    }

    /// Returns where the open chunk should end when `next` does not fit: after how many atoms, and the strength of the boundary there.
    fn best_end(&self, next: &Atom) -> (usize, Strength) {
        let boundaries = self.open.iter().map(|(atom, _)| atom.before).chain([next.before]);
        let mut tokens = 0;
        let mut best = (self.open.len(), Strength::Character);
        for (end, strength) in boundaries.enumerate() {
            let is_last = end == self.open.len();
            if end > self.repeated && (tokens >= self.least || is_last) && strength >= best.1 {
                best = (end, strength);
            }
            tokens += self.open.get(end).map_or(0, |(atom, _)| atom.tokens);
        }
        best
    }

    /// Makes a chunk of the first `end` open atoms. `strength` is that of the boundary after them.
    fn close(&mut self, end: usize, strength: Strength) {
        if end > self.repeated
            && let Some((first, above)) = self.open.first()
            && let Some((last, _)) = self.open.get(end - 1)
        {
            let at = Span {
                start: first.at.start,
                end: last.at.end,
            };
            let chunk = self.open.get(..end).unwrap_or_default();
            let tokens: u32 = chunk.iter().map(|(atom, _)| atom.tokens).sum();
            let is_head = self.at_top && tokens < RUNNING_HEAD && chunk.iter().all(|(atom, _)| atom.heading.is_none());
            let context = match self.context {
                // A running head alone answers nothing, and must not be found by the text around it.
                Context::Headings if is_head => Vec::new(),
                Context::Headings => {
                    let headers = self.open.iter().take(end).filter_map(|(atom, _)| atom.title);
                    above.context(at, self.title.iter().copied().chain(headers), self.room.tokens)
                }
                Context::None => Vec::new(),
            };
            self.at_top = false;
            self.chunks.push(Chunk { at, context });
        }
        let start = if strength >= Strength::Section {
            end
        } else {
            self.overlap_start(end, strength)
        };
        self.drop_first(start);
        self.repeated = end - start;
    }

    /// Returns the first atom that the next chunk repeats: the earliest sentence that is within the overlap; if a sentence was divided, the
    /// earliest word.
    fn overlap_start(&self, end: usize, strength: Strength) -> usize {
        let mut tokens = 0;
        let (mut sentence, mut word) = (end, end);
        for index in (1..end).rev() {
            let Some((atom, _)) = self.open.get(index) else { break };
            tokens += atom.tokens;
            if tokens > self.overlap || atom.heading.is_some() {
                break;
            }
            word = index;
            if atom.before >= Strength::Sentence {
                sentence = index;
            }
            if atom.before >= Strength::Section {
                break;
            }
        }
        if sentence == end && strength < Strength::Sentence {
            word
        } else {
            sentence
        }
    }

    /// Adds a heading, and returns those above the atom.
    fn enter(&mut self, atom: &Atom, name: Option<Span>) -> Headings {
        match atom.heading {
            Some(level) => self.headings.enter(level, name.unwrap_or(atom.at)),
            None => self.headings.clone(),
        }
    }

    fn drop_first(&mut self, count: usize) {
        let dropped = self
            .open
            .drain(..count)
            .fold(0_u32, |sum, (atom, _)| sum.saturating_add(atom.tokens));
        self.tokens = self.tokens.saturating_sub(dropped);
    }
}
