//! Finds paragraphs, which blank lines separate, in a text that comes in pieces.

use std::ops::Range;

/// Scans a text for paragraphs. Holds a few numbers, whatever the size of the text.
#[derive(Debug, Default)]
pub struct Paragraphs {
    /// Bytes scanned so far.
    offset: u32,
    /// The paragraph that has begun, from its first character to its last so far.
    open: Option<Range<u32>>,
    /// Line ends since the last character that is not white.
    line_ends: u32,
    after_return: bool,
}

impl Paragraphs {
    /// A scanner at the start of a text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scans the next piece and returns the paragraphs that are now known to have ended, in bytes
    /// of the whole text.
    pub fn push(&mut self, piece: &str) -> Vec<Range<u32>> {
        let mut ended = Vec::new();
        for character in piece.chars() {
            let end = self.offset.saturating_add(character.len_utf8() as u32);
            if character.is_whitespace() || character == '\u{feff}' {
                self.line_ends += match character {
                    '\n' if self.after_return => 0,
                    '\n' | '\r' | '\u{2028}' => u32::from(self.line_ends < 2),
                    '\u{c}' | '\u{2029}' => 2,
                    _ => 0,
                };
            } else {
                if self.line_ends >= 2 {
                    ended.extend(self.open.take());
                }
                self.line_ends = 0;
                self.open.get_or_insert(self.offset..end).end = end;
            }
            self.after_return = character == '\r';
            self.offset = end;
        }
        ended
    }

    /// Says that the text has ended and returns the paragraph that was still open.
    pub fn finish(self) -> Option<Range<u32>> {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paragraphs(text: &str, window: usize) -> Vec<Range<u32>> {
        let mut scanner = Paragraphs::new();
        let characters: Vec<char> = text.chars().collect();
        let pieces = characters.chunks(window).map(|piece| piece.iter().collect::<String>());
        let mut found: Vec<_> = pieces.flat_map(|piece| scanner.push(&piece)).collect();
        found.extend(scanner.finish());
        found
    }

    fn check(text: &str, expected: &[&str]) {
        let found = paragraphs(text, 3);
        let found: Vec<&str> = found.iter().map(|at| &text[at.start as usize..at.end as usize]).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn blank_lines_separate_paragraphs() {
        check("", &[]);
        check(" \n\n \n", &[]);
        check("one\ntwo\n\nthree", &["one\ntwo", "three"]);
        check("\u{feff}\n\n  one \n \t \n two  \n", &["one", "two"]);
        check("one\r\ntwo\r\n\r\nthree\r\rfour", &["one\r\ntwo", "three", "four"]);
        check("page one\u{c}page two", &["page one", "page two"]);
    }

    proptest! {
        #[test]
        fn paragraphs_cover_all_that_is_not_white(
            text in "[a\u{e9}\u{1f600} \n\r\t.]{0,60}", window in 1_usize..9,
        ) {
            let found = paragraphs(&text, window);
            prop_assert_eq!(&found, &paragraphs(&text, usize::MAX));
            prop_assert!(found.windows(2).all(|two| two[0].end < two[1].start));
            for (at, character) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
                prop_assert!(found.iter().any(|p| p.contains(&(at as u32))), "{at} {character}");
            }
            for at in &found {
                let paragraph = text.get(at.start as usize..at.end as usize);
                prop_assert!(paragraph.is_some_and(|p| !p.is_empty() && p.trim() == p));
            }
        }
    }

    #[test]
    fn large_and_monotonous_texts_are_no_trouble() {
        assert!(paragraphs(&"\n".repeat(5 << 20), 1 << 18).is_empty());
        assert_eq!(paragraphs(&"a".repeat(5 << 20), 1 << 18), vec![0..5 << 20]);
    }
}
