//! Atoms, which chunks are made of: counts their tokens, and divides those that are too long for a chunk.

use crate::boundary::{Strength, characters, lines, words};
use crate::document::{Document, Span, trimmed};

/// A part of the text that chunks are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Atom {
    /// Its span, without white space at its ends. Not empty.
    pub at: Span,
    /// The boundary before it.
    pub before: Strength,
    /// The level, if it is a heading.
    pub heading: Option<u8>,
    /// The header, if it is a table's row.
    pub title: Option<Span>,
    /// Tokens, 0 until they are counted.
    pub tokens: u32,
}

/// The size of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The most tokens.
    pub tokens: u32,
    /// The most bytes. An embedder may count a megabyte without a space as one unknown token.
    pub bytes: u32,
}

impl Room {
    /// Returns the size for a number of tokens, with 32 bytes each: real text has about 4.
    pub fn for_tokens(tokens: u32) -> Self {
        Self {
            tokens,
            bytes: tokens.saturating_mul(32),
        }
    }

    /// Returns whether an atom fits.
    pub fn holds(self, atom: &Atom) -> bool {
        atom.tokens <= self.tokens && atom.at.len() <= self.bytes
    }
}

/// Ways to divide an atom, tried one after another until all parts fit.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Lines,
    /// Several words each, so that few spans have to be counted.
    Phrases,
    Words,
    /// Several characters each.
    Pieces,
    Characters,
}

/// The fewest phrases or pieces of a chunk, so that hardly any of its size is lost.
const GRAIN: u64 = 16;

/// Counts the tokens of all atoms, and divides those that do not fit. `text` is the window, at `base` in the document. Calls the host at
/// most six times, whatever the number of atoms.
pub fn refine(document: &impl Document, text: &str, base: u32, mut atoms: Vec<Atom>, room: Room) -> Vec<Atom> {
    count(document, &mut atoms);
    for cut in [Cut::Lines, Cut::Phrases, Cut::Words, Cut::Pieces, Cut::Characters] {
        if atoms.iter().all(|atom| room.holds(atom)) {
            break;
        }
        let mut long: Vec<Atom> = atoms
            .iter()
            .filter(|atom| !room.holds(atom))
            .flat_map(|atom| parts(atom, text, base, cut, room))
            .collect();
        count(document, &mut long);
        let mut parts = long.into_iter().peekable();
        let mut refined = Vec::with_capacity(atoms.len() + parts.len());
        for atom in atoms {
            if room.holds(&atom) {
                refined.push(atom);
            } else {
                while let Some(part) = parts.next_if(|part| part.at.start < atom.at.end) {
                    refined.push(part);
                }
            }
        }
        atoms = refined;
    }
    atoms
}

fn count(document: &impl Document, atoms: &mut [Atom]) {
    let spans: Vec<Span> = atoms.iter().map(|atom| atom.at).collect();
    for (atom, tokens) in atoms.iter_mut().zip(document.count(&spans)) {
        atom.tokens = tokens;
    }
}

/// Returns the parts of one atom, which together contain all of it except white space.
fn parts(atom: &Atom, text: &str, base: u32, cut: Cut, room: Room) -> Vec<Atom> {
    let start = (atom.at.start - base) as usize;
    let Some(part) = text.get(start..(atom.at.end - base) as usize) else {
        return vec![*atom];
    };
    let cuts = match cut {
        Cut::Lines => lines(part, Strength::Line),
        Cut::Phrases => grouped(words(part), atom, room),
        Cut::Words => words(part),
        Cut::Pieces => grouped(characters(part), atom, room),
        Cut::Characters => characters(part),
    };
    let starts = [(0, atom.before)].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().map(|(at, _)| *at).chain([part.len()]);
    starts
        .zip(ends)
        .filter_map(|((from, before), to)| {
            let heading = atom.heading.filter(|_| from == 0);
            trimmed(part, from, to, atom.at.start).map(|at| Atom {
                at,
                before,
                heading,
                title: atom.title,
                tokens: 0,
            })
        })
        .collect()
}

/// Removes most cuts, so that the parts are still small compared to a chunk, but keeps those at clauses.
fn grouped(cuts: Vec<(usize, Strength)>, atom: &Atom, room: Room) -> Vec<(usize, Strength)> {
    let share = |room: u32, size: u32| u64::from(room) * cuts.len() as u64 / (GRAIN * u64::from(size.max(1)));
    let each = share(room.tokens, atom.tokens).min(share(room.bytes, atom.at.len())).max(1);
    let mut since = 0;
    cuts.iter()
        .filter(|(_, strength)| {
            since += 1;
            let keep = since >= each || *strength >= Strength::Clause;
            if keep {
                since = 0;
            }
            keep
        })
        .copied()
        .collect()
}
