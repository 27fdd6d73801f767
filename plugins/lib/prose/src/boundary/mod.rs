//! Finds the boundaries at which a text can be divided, and their strength: lines, sentences, words, characters.
//!
//! All offsets are bytes of the given text.

mod abbreviation;
mod characters;

use abbreviation::follows_abbreviation;
use characters::{extends, is_closing, is_terminator, is_wide_terminator};

use crate::scan::{next_end, next_line_feed};

/// The strength of a boundary. Chunks end at the strongest one within reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Between two characters of a word.
    Character,
    /// Between two words.
    Word,
    /// After a comma, colon, semicolon or dash.
    Clause,
    /// The end of a line within a sentence.
    Line,
    /// The end of a sentence, of a line that stands alone, of a list item or table row.
    Sentence,
    /// Between paragraphs, around tables, lists, code.
    Paragraph,
    /// Before a heading: a chunk starts here.
    Section,
    /// Before a page: a chunk starts here.
    Page,
}

/// Shorter lines are not wrapped prose but lines of a letter, a verse or a table. In bytes.
const WRAPPED: usize = 40;

/// Returns the offsets in prose where a sentence or a separate line starts, and the strength of the boundary before each. The start of the
/// text is not included.
pub fn sentences(text: &str) -> Vec<(usize, Strength)> {
    let mut found = Vec::new();
    find_sentences(text, &mut found);
    found
}

/// As [`sentences`], but replaces the content of `found`, so that callers with many texts allocate only once.
pub fn find_sentences(text: &str, found: &mut Vec<(usize, Strength)>) {
    found.clear();
    let mut offset = 0;
    let mut before: Option<&str> = None;
    let mut blank = false;
    for line in Lines(text) {
        let rest = line.trim_start();
        let content = rest.trim_end();
        if content.is_empty() {
            blank = true;
        } else {
            match before {
                Some(_) if blank => found.push((offset, Strength::Paragraph)),
                Some(before) if !is_wrapped(before, content) => found.push((offset, Strength::Sentence)),
                _ => {}
            }
            within_line(line, line.len() - rest.len(), offset, found);
            before = Some(content);
            blank = false;
        }
        offset += line.len();
    }
}

/// Returns the offsets where a line starts that is not blank; for code, which has no sentences.
pub fn lines(text: &str, strength: Strength) -> Vec<(usize, Strength)> {
    let mut found = Vec::new();
    let mut offset = 0;
    let mut blank = false;
    for line in Lines(text) {
        let is_blank = line.trim().is_empty();
        if offset > 0 && !is_blank {
            found.push((offset, if blank { Strength::Paragraph } else { strength }));
        }
        blank = is_blank;
        offset += line.len();
    }
    found
}

/// Returns the offsets where a word starts, and the strength of the boundary before each.
pub fn words(text: &str) -> Vec<(usize, Strength)> {
    let mut found = Vec::new();
    let mut last = ' ';
    let mut gap = None;
    for (at, character) in text.char_indices() {
        if character.is_whitespace() {
            gap = gap.max(Some(match character {
                '\n' => Strength::Line,
                _ if matches!(last, ',' | ';' | ':' | '\u{2013}' | '\u{2014}' | '|') => Strength::Clause,
                _ => Strength::Word,
            }));
        } else {
            if let Some(strength) = gap.take().filter(|_| at > 0) {
                found.push((at, strength));
            } else if matches!(last, '\u{3001}' | '\u{ff0c}' | '\u{ff1b}' | '\u{ff1a}') {
                found.push((at, Strength::Clause));
            }
            last = character;
        }
    }
    found
}

/// Returns the offsets where a character starts that can stand alone: accents, vowel signs and joiners stay with their base character,
/// unless there are too many of them.
pub fn characters(text: &str) -> Vec<(usize, Strength)> {
    let mut found = Vec::new();
    let (mut start, mut joined) = (0, false);
    for (at, character) in text.char_indices().skip(1) {
        if at - start >= 32 || !(joined || extends(character)) {
            found.push((at, Strength::Character));
            start = at;
        }
        joined = character == '\u{200d}';
    }
    found
}

/// Returns whether a line continues in the next one, as in wrapped prose.
fn is_wrapped(line: &str, next: &str) -> bool {
    let Some(first) = next.chars().next() else { return false };
    if line
        .chars()
        .next_back()
        .is_some_and(|last| is_terminator(last) || is_wide_terminator(last) || last == ':')
        || is_list_marker(next)
    {
        return false;
    }
    first.is_lowercase() || (line.len() >= WRAPPED && (first.is_alphabetic() || matches!(first, '(' | '"' | '\u{201c}' | '$')))
}

fn is_list_marker(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    matches!(
        word,
        "-" | "*" | "+" | "\u{2022}" | "\u{b7}" | "\u{2013}" | "\u{25aa}" | "\u{25cf}" | "o"
    ) || word
        .strip_suffix([')', '.'])
        .map(|number| number.trim_start_matches('('))
        .is_some_and(|number| {
            number.len() <= 4 && !number.is_empty() && (number.bytes().all(|b| b.is_ascii_digit()) || number.len() == 1 || is_roman(number))
        })
}

fn is_roman(word: &str) -> bool {
    word.bytes().all(|byte| matches!(byte, b'i' | b'v' | b'x'))
}

/// The lines of a text, each including its line feed.
struct Lines<'a>(&'a str);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (line, rest) = match next_line_feed(self.0.as_bytes()) {
            Some(at) => self.0.split_at_checked(at + 1).unwrap_or((self.0, "")),
            None => (self.0, ""),
        };
        self.0 = rest;
        Some(line)
    }
}

/// Finds the sentences within a line. `first_word` is the offset of the line's first word.
fn within_line(line: &str, first_word: usize, base: usize, found: &mut Vec<(usize, Strength)>) {
    let bytes = line.as_bytes();
    let mut from = 0;
    while let Some(at) = next_end(bytes, from) {
        let rest = bytes.get(at..).unwrap_or_default();
        from = match rest.first_chunk() {
            // The usual case: one space between a full stop and a word.
            Some([b'.', b' ', next]) if next.is_ascii_graphic() => {
                if !next.is_ascii_lowercase() && !follows_abbreviation(line, at, first_word) {
                    found.push((base + at + 2, Strength::Sentence));
                }
                at + 2
            }
            _ => at_end(line, at, first_word, base, found),
        };
    }
}

/// Examines a possible terminator at `at`, and returns where to go on.
#[inline(never)]
fn at_end(line: &str, at: usize, first_word: usize, base: usize, found: &mut Vec<(usize, Strength)>) -> usize {
    let Some(character) = line.get(at..).and_then(|rest| rest.chars().next()) else {
        return at + 1;
    };
    let mut from = at + character.len_utf8();
    let wide = is_wide_terminator(character);
    if !wide && !is_terminator(character) {
        return from;
    }
    // Check for an abbreviation last: that takes longest, and is rarely necessary.
    let mut is_stop = character != '.';
    while let Some(next) = line.get(from..).and_then(|rest| rest.chars().next())
        && (is_closing(next) || is_terminator(next) || is_wide_terminator(next))
    {
        is_stop = is_stop || is_terminator(next) && next != '.';
        from += next.len_utf8();
    }
    let after = line.get(from..).unwrap_or_default();
    let next = trim_start(after);
    let is_apart = wide || next.len() < after.len();
    // A word in lower case continues the sentence, except in scripts without case.
    if is_apart
        && next.chars().next().is_some_and(|first| !first.is_lowercase())
        && (is_stop || !follows_abbreviation(line, at, first_word))
    {
        found.push((base + line.len() - next.len(), Strength::Sentence));
    }
    from
}

/// As the standard library's, but faster for text with at most one leading space.
fn trim_start(text: &str) -> &str {
    match text.strip_prefix(' ').unwrap_or(text) {
        rest if rest.as_bytes().first().is_some_and(u8::is_ascii_graphic) => rest,
        rest => rest.trim_start(),
    }
}

#[cfg(test)]
mod tests {
    use super::abbreviation::{is_abbreviation, last_letters};
    use super::*;
    use proptest::prelude::*;

    /// The same, by looking at each character.
    fn within_line_plainly(line: &str, base: usize, found: &mut Vec<(usize, Strength)>) {
        let mut rest = line.char_indices().peekable();
        let mut word_start = 0;
        let mut words = 0;
        let mut in_word = false;
        while let Some((at, character)) = rest.next() {
            if character.is_whitespace() {
                in_word = false;
                word_start = at + character.len_utf8();
                continue;
            }
            words += usize::from(!in_word);
            in_word = true;
            let wide = is_wide_terminator(character);
            if !wide && !is_terminator(character) {
                continue;
            }
            let word = line.get(word_start..at).unwrap_or_default();
            let mut is_stop = character != '.' || !is_abbreviation(word, words == 1);
            let mut end = at + character.len_utf8();
            while let Some(&(next_at, next)) = rest.peek()
                && (is_closing(next) || is_terminator(next) || is_wide_terminator(next))
            {
                is_stop = is_stop || is_terminator(next) && next != '.';
                end = next_at + next.len_utf8();
                rest.next();
            }
            let after = line.get(end..).unwrap_or_default();
            let next = after.trim_start();
            let is_apart = wide || next.len() < after.len();
            // A word in lower case continues the sentence, except in scripts without case.
            if is_stop && is_apart && next.chars().next().is_some_and(|first| !first.is_lowercase()) {
                found.push((base + line.len() - next.len(), Strength::Sentence));
            }
        }
    }

    proptest! {
        #[test]
        fn sentences_are_those_that_each_character_tells(
            line in "([A-Za-z]{1,4}|[ .!?()\"é0-9]|\u{2003}|e\\.g\\.|1\\.|。|！|…|؟|」|\u{2019}|[a-z]{14,30}\\.){0,30}"
        ) {
            let (mut found, mut plainly) = (Vec::new(), Vec::new());
            within_line(&line, line.len() - line.trim_start().len(), 7, &mut found);
            within_line_plainly(&line, 7, &mut plainly);
            prop_assert_eq!(found, plainly);
        }
    }

    proptest! {
        #[test]
        fn lines_and_blanks_are_those_of_the_standard_library(text in "([a-zé\u{2003}]{0,40}|[ \n\r]){0,8}") {
            let lines: Vec<_> = Lines(&text).collect();
            prop_assert_eq!(lines, text.split_inclusive('\n').collect::<Vec<_>>());
            prop_assert_eq!(trim_start(&text), text.trim_start());
        }

        #[test]
        fn letters_at_the_end_are_those_that_each_byte_tells(bytes: [u8; 8], ends in "[A-Za-z@\\[`{]{0,8}") {
            let mut bytes = bytes;
            let from = 8 - ends.len();
            bytes[from..].copy_from_slice(ends.as_bytes());
            let count = bytes.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let letters = bytes[8 - count..].iter().fold(0, |value, byte| value << 8 | u64::from(byte.to_ascii_lowercase()));
            prop_assert_eq!(last_letters(bytes), (count, letters));
        }
    }

    fn parts<'a>(text: &'a str, cuts: &[(usize, Strength)]) -> Vec<&'a str> {
        let ends = cuts.iter().map(|(at, _)| *at).chain([text.len()]);
        let mut start = 0;
        ends.map(|end| text[std::mem::replace(&mut start, end)..end].trim()).collect()
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(parts(text, &sentences(text)), expected, "{text:?}");
    }

    #[test]
    fn sentences_end_at_stops() {
        check("One. Two! Three? \"Four.\" Five", &["One.", "Two!", "Three?", "\"Four.\"", "Five"]);
        check("It rose 3.5 percent. Costs fell.", &["It rose 3.5 percent.", "Costs fell."]);
        check("He said so... and left. Then", &["He said so... and left.", "Then"]);
        check("你好。我很好！再见", &["你好。", "我很好！", "再见"]);
        check("「はい。」と言った。次", &["「はい。」", "と言った。", "次"]);
        check("ठीक है। अच्छा", &["ठीक है।", "अच्छा"]);
    }

    #[test]
    fn abbreviations_do_not_end_sentences() {
        check(
            "Mr. Lee of Acme Inc. Delaware met J. P. Ray.",
            &["Mr. Lee of Acme Inc. Delaware met J. P. Ray."],
        );
        check(
            "See e.g. Table 2 in the U.S. Code. It says",
            &["See e.g. Table 2 in the U.S. Code.", "It says"],
        );
        check("12. Leases are listed.", &["12. Leases are listed."]);
        check("In 2019. Then", &["In 2019.", "Then"]);
    }

    #[test]
    fn wrapped_lines_are_one_sentence() {
        check(
            "a line that is long enough to be wrapped, of\nEnglish prose. And\nmore.",
            &["a line that is long enough to be wrapped, of\nEnglish prose.", "And\nmore."],
        );
        check("Dear Ann\n\nThanks", &["Dear Ann", "Thanks"]);
        check("Milk\nBread\n- eggs\n1. nuts", &["Milk", "Bread", "- eggs", "1. nuts"]);
        check(
            "2024-05-01 12:00:00 INFO the server has started\n2024-05-01 12:00:01 INFO done",
            &["2024-05-01 12:00:00 INFO the server has started", "2024-05-01 12:00:01 INFO done"],
        );
    }

    #[test]
    fn words_and_clauses() {
        let found = words(" one two, three\nfour、五");
        let strengths: Vec<_> = found.iter().map(|(_, strength)| *strength).collect();
        assert_eq!(
            strengths,
            [Strength::Word, Strength::Word, Strength::Clause, Strength::Line, Strength::Clause]
        );
    }

    #[test]
    fn accents_stay_with_their_letters() {
        let text = "e\u{301}a👩\u{200d}🚀\u{1f3fd}ก\u{e31}น";
        assert_eq!(
            parts(text, &characters(text)),
            ["e\u{301}", "a", "👩\u{200d}🚀\u{1f3fd}", "ก\u{e31}", "น"]
        );
        assert!(characters(&format!("a{}", "\u{301}".repeat(100))).len() >= 5);
    }

    proptest! {
        #[test]
        fn cuts_rise_and_stand_on_characters(text in "([a-c]{1,4}|[ .,!?\n。é]|\u{301}|\u{200d}|Inc\\.|- |1\\. |“|”){0,40}") {
            let all = [sentences(&text), lines(&text, Strength::Line), words(&text), characters(&text)];
            for cuts in all {
                prop_assert!(cuts.iter().all(|(at, _)| *at > 0 && *at < text.len() && text.is_char_boundary(*at)));
                prop_assert!(cuts.windows(2).all(|two| two[0].0 < two[1].0), "{:?}", cuts);
            }
        }
    }
}
