//! Divides a window of the document into atoms, which chunks should not divide.
//!
//! Atoms are headings, table rows, lines of code, and the sentences of all other text.

use prose::boundary::{Strength, find_sentences, lines};
use prose::document::{Kind, Span, Unit, trimmed};
use prose::refine::Atom;

/// How to divide the text between two boundaries.
#[derive(Clone, Copy)]
enum Division {
    Prose,
    Lines,
    Whole(Unit),
}

/// Returns the atoms of `text`, which starts at `base` in the document, in order. `before` is the boundary at the window's start. `units`
/// and `pages` are those of the window.
pub fn layout(text: &str, base: u32, before: Strength, units: &[Unit], pages: &[Span]) -> Vec<Atom> {
    let end = base + text.len() as u32;
    let marks = marks(Span { start: base, end }, units, pages);
    let mut divisions = divisions(units);
    let mut laid = Laid {
        text,
        base,
        atoms: Vec::new(),
        pending: before,
    };
    let mut sentences = Vec::new();
    let (mut start, mut strength) = (base, before);
    for (end, next) in marks.into_iter().chain([(end, Strength::Character)]) {
        laid.pending = laid.pending.max(strength);
        let stretch = text.get((start - base) as usize..(end - base) as usize).unwrap_or_default();
        // Between adjacent paragraphs there is only white space.
        if !stretch.bytes().all(|byte| byte.is_ascii_whitespace()) {
            match divisions.at(start) {
                Division::Prose => {
                    find_sentences(stretch, &mut sentences);
                    laid.add(stretch, start, &sentences, None, None);
                }
                Division::Lines => laid.add(stretch, start, &lines(stretch, Strength::Sentence), None, None),
                // A page break may divide a heading: its second part starts no section.
                Division::Whole(Unit {
                    kind: Kind::Heading(level),
                    at: unit,
                    ..
                }) => laid.add(stretch, start, &[], (start == unit.start).then_some(level), None),
                Division::Whole(unit) => laid.add(stretch, start, &[], None, unit.title),
            }
        }
        (start, strength) = (end, next);
    }
    laid.atoms
}

/// The atoms so far, and the strongest boundary since the last one.
struct Laid<'a> {
    text: &'a str,
    base: u32,
    atoms: Vec<Atom>,
    pending: Strength,
}

impl Laid<'_> {
    /// Adds the parts between `cuts` of a stretch, which starts at `start` in the document. This takes most of the time: as a separate
    /// function it has enough registers.
    /// its own there are registers enough.
    #[inline(never)]
    fn add(&mut self, stretch: &str, start: u32, cuts: &[(usize, Strength)], heading: Option<u8>, title: Option<Span>) {
        let (mut from, mut strength) = (0, Strength::Character);
        for (to, next) in cuts.iter().copied().chain([(stretch.len(), Strength::Character)]) {
            self.pending = self.pending.max(strength);
            if let Some(at) = trimmed(stretch, from, to, start) {
                self.push(at, heading, title);
            }
            (from, strength) = (to, next);
        }
    }

    #[inline]
    fn push(&mut self, at: Span, heading: Option<u8>, title: Option<Span>) {
        let mut before = self.pending;
        if let Some(last) = self.atoms.last() {
            let gap = self
                .text
                .as_bytes()
                .get((last.at.end - self.base) as usize..(at.start - self.base) as usize);
            if gap.unwrap_or_default().iter().filter(|byte| **byte == b'\n').count() > 1 {
                before = before.max(Strength::Paragraph);
            }
            // A heading stays with the text below it.
            if last.heading.is_some() && before <= Strength::Paragraph {
                before = Strength::Word;
            }
        }
        self.atoms.push(Atom {
            at,
            before,
            heading,
            title,
            tokens: 0,
        });
        self.pending = Strength::Character;
    }
}

/// Returns the boundaries that pages and units make in the window, in order, one for each offset.
fn marks(window: Span, units: &[Unit], pages: &[Span]) -> Vec<(u32, Strength)> {
    let mut marks: Vec<(u32, Strength)> = Vec::with_capacity(2 * (units.len() + pages.len()));
    for unit in units {
        let (start, end) = match unit.kind {
            Kind::Heading(_) => (Strength::Section, Strength::Sentence),
            Kind::Row => (Strength::Sentence, Strength::Sentence),
            Kind::Item => (Strength::Sentence, Strength::Character),
            Kind::Code | Kind::Block => (Strength::Paragraph, Strength::Paragraph),
        };
        marks.push((unit.at.start, start));
        marks.push((unit.at.end, end));
    }
    let mut whole = units.iter().filter(|unit| is_whole(unit)).map(|unit| unit.at).peekable();
    marks.sort_unstable();
    // Units inside a row or heading do not divide it; only pages do.
    marks.retain(|(at, _)| {
        while whole.next_if(|unit| unit.end <= *at).is_some() {}
        whole.peek().is_none_or(|unit| *at <= unit.start)
    });
    marks.extend(
        pages
            .iter()
            .flat_map(|page| [(page.start, Strength::Page), (page.end, Strength::Page)]),
    );
    marks.retain(|(at, _)| window.start <= *at && *at < window.end);
    // Of several at one offset, the strongest comes first and stays.
    marks.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    marks.dedup_by_key(|(at, _)| *at);
    marks
}

fn is_whole(unit: &Unit) -> bool {
    matches!(unit.kind, Kind::Heading(_) | Kind::Row)
}

/// Finds how to divide the text at rising offsets.
struct Divisions {
    units: std::iter::Peekable<std::vec::IntoIter<Unit>>,
}

fn divisions(units: &[Unit]) -> Divisions {
    let special: Vec<Unit> = units
        .iter()
        .filter(|unit| is_whole(unit) || unit.kind == Kind::Code)
        .copied()
        .collect();
    Divisions {
        units: special.into_iter().peekable(),
    }
}

impl Divisions {
    fn at(&mut self, offset: u32) -> Division {
        while self.units.next_if(|unit| unit.at.end <= offset).is_some() {}
        match self.units.peek() {
            Some(unit) if unit.at.start > offset => Division::Prose,
            Some(unit) if unit.kind == Kind::Code => Division::Lines,
            Some(unit) => Division::Whole(*unit),
            None => Division::Prose,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str, part: &str, kind: Kind) -> Unit {
        let start = text.find(part).unwrap() as u32;
        Unit {
            at: Span {
                start,
                end: start + part.len() as u32,
            },
            kind,
            title: None,
        }
    }

    fn check(text: &str, units: &[Unit], pages: &[Span], expected: &[(&str, Strength)]) {
        let atoms = layout(text, 0, Strength::Page, units, pages);
        let found: Vec<_> = atoms
            .iter()
            .map(|atom| (&text[atom.at.start as usize..atom.at.end as usize], atom.before))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn plain_text_is_sentences() {
        use Strength::{Page, Paragraph, Sentence};
        check(
            "One. Two.\n\n Three",
            &[],
            &[],
            &[("One.", Page), ("Two.", Sentence), ("Three", Paragraph)],
        );
        check(" \n ", &[], &[], &[]);
    }

    #[test]
    fn units_and_pages_are_boundaries() {
        use Strength::{Page, Paragraph, Section, Sentence, Word};
        let text = "Intro\n# Title. More\nText here.\n|a. B|\n|c|\nlet a = 1. And\nb\n";
        let units = [
            unit(text, "# Title. More", Kind::Heading(1)),
            unit(text, "Text here.", Kind::Block),
            unit(text, "|a. B|\n|c|", Kind::Block),
            unit(text, "|a. B|", Kind::Row),
            unit(text, "|c|", Kind::Row),
            unit(text, "let a = 1. And\nb", Kind::Code),
        ];
        check(
            text,
            &units,
            &[],
            &[
                ("Intro", Page),
                ("# Title. More", Section),
                ("Text here.", Word),
                ("|a. B|", Paragraph),
                ("|c|", Sentence),
                ("let a = 1. And", Paragraph),
                ("b", Sentence),
            ],
        );
        let pages = [Span { start: 0, end: 8 }, Span { start: 8, end: 66 }];
        check(
            "One two three",
            &[],
            &pages,
            &[("One two", Page), ("three", Page)].map(|(t, s)| (t, s)),
        );
    }

    #[test]
    fn pages_cut_even_headings() {
        let text = "# A heading";
        let pages = [Span { start: 0, end: 4 }, Span { start: 4, end: 11 }];
        let atoms = layout(text, 0, Strength::Page, &[unit(text, text, Kind::Heading(2))], &pages);
        let headings: Vec<_> = atoms.iter().map(|atom| (atom.heading, atom.before)).collect();
        assert_eq!(headings, [(Some(2), Strength::Page), (None, Strength::Page)]);
    }
}
