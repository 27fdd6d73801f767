//! Documents for tests.

use crate::document::{Document, Kind, Span, Unit, is_white};
use proptest::prelude::*;
use std::cell::Cell;

/// A document in memory.
#[derive(Debug, Default)]
pub struct Memory {
    /// Its text.
    pub text: String,
    /// Its units, by start, wider ones first.
    pub units: Vec<Unit>,
    /// Its pages.
    pub pages: Vec<Span>,
    /// The number of calls that counted tokens.
    pub calls: Cell<u32>,
}

impl Memory {
    /// Makes a document without units.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }

    /// Adds the first occurrence of `part` in the text as a unit.
    pub fn unit(mut self, part: &str, kind: Kind) -> Self {
        let start = self.text.find(part).expect("the part stands in the text") as u32;
        self.units.push(Unit {
            at: Span {
                start,
                end: start + part.len() as u32,
            },
            kind,
            title: None,
        });
        self.units.sort_by_key(|unit| (unit.at.start, u32::MAX - unit.at.end));
        self
    }

    /// Returns the text at `at`.
    pub fn get(&self, at: Span) -> &str {
        &self.text[at.start as usize..at.end as usize]
    }
}

/// Counts tokens like a word-piece tokenizer.
pub fn tokens(text: &str) -> u32 {
    // One token for each 4 letters of a word, for each mark and each ideograph.
    let mut count = 0;
    let mut letters = 0;
    for character in text.chars() {
        if character.is_alphanumeric() && (character as u32) < 0x2e80 {
            count += u32::from(letters % 4 == 0);
            letters += 1;
        } else {
            letters = 0;
            count += u32::from(!is_white(character));
        }
    }
    count
}

impl Document for Memory {
    fn len(&self) -> u32 {
        self.text.len() as u32
    }
    fn text(&self, at: Span) -> String {
        let end = self.text.floor_char_boundary(at.end as usize);
        self.text[at.start as usize..end].to_owned()
    }
    fn units(&self, within: Span) -> Vec<Unit> {
        self.units
            .iter()
            .filter(|unit| unit.at.start < within.end && within.start < unit.at.end)
            .copied()
            .collect()
    }
    fn pages(&self, within: Span) -> Vec<Span> {
        self.pages
            .iter()
            .filter(|page| page.start < within.end && within.start < page.end)
            .copied()
            .collect()
    }
    fn count(&self, spans: &[Span]) -> Vec<u32> {
        self.calls.set(self.calls.get() + 1);
        spans.iter().map(|at| tokens(self.get(*at))).collect()
    }
}

/// Generates documents: a few words, marks, long words and white space in units of any kind, on pages.
pub fn document() -> impl Strategy<Value = Memory> {
    let part = "([a-zA-Z]{1,9}|[ .,!?\n。é好]|\n\n| \u{301}|\u{feff}|# |\\| |[a-z]{30,90}|- ){0,12}";
    let kind = prop_oneof![
        (1_u8..4).prop_map(Some).prop_map(|level| level.map(Kind::Heading)),
        Just(Some(Kind::Row)),
        Just(Some(Kind::Item)),
        Just(Some(Kind::Code)),
        Just(Some(Kind::Block)),
        Just(None),
    ];
    prop::collection::vec((part, kind, any::<bool>(), any::<bool>()), 0..25).prop_map(|parts| {
        let mut document = Memory::default();
        let mut page_starts = Vec::new();
        for (part, kind, titled, page) in parts {
            let start = document.text.len() as u32;
            document.text.push_str(&part);
            let at = Span {
                start,
                end: document.text.len() as u32,
            };
            if page && !part.is_empty() {
                page_starts.push(start);
            }
            let title = document.units.first().map(|unit: &Unit| unit.at).filter(|_| titled);
            document
                .units
                .extend(kind.filter(|_| !part.is_empty()).map(|kind| Unit { at, kind, title }));
        }
        let ends = page_starts.iter().skip(1).copied().chain([document.text.len() as u32]);
        document.pages = page_starts
            .iter()
            .copied()
            .zip(ends)
            .map(|(start, end)| Span { start, end })
            .collect();
        document
    })
}
