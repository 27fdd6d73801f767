//! Where a text can be cut, and how well: lines, sentences, words, characters.
//!
//! All offsets are bytes of the text that is given.

use crate::scan::{next_end, next_line_feed};

/// How strong a boundary is. Chunks end at the strongest within reach.
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
    /// The end of a sentence, of a line that stands for itself, of a list item or table row.
    Sentence,
    /// Between paragraphs, around tables, lists, code.
    Paragraph,
    /// Before a heading: a chunk starts here.
    Section,
    /// Before a page: a chunk starts here.
    Page,
}

/// Lines shorter than this are not wrapped: a line of a letter, a verse, a table. In bytes.
const WRAPPED: usize = 40;

/// Words that a full stop follows without ending a sentence, in lower case.
const ABBREVIATIONS: [u64; 48] = packed_and_sorted([
    "al", "approx", "art", "aug", "bzw", "ca", "cf", "ch", "co", "corp", "dec", "dept", "dr", "ed", "eq", "est", "etc", "feb", "fig",
    "figs", "gen", "hr", "inc", "jan", "jr", "ltd", "max", "min", "mr", "mrs", "ms", "no", "nos", "nov", "nr", "oct", "pp", "prof", "sec",
    "sect", "sep", "sept", "sr", "st", "tel", "usw", "vol", "vs",
]);

/// For most words that are no abbreviation it says so: a bit for each of the values that `slot` has of one.
const MAY_ABBREVIATE: [u64; 16] = {
    let mut slots = [0; 16];
    let mut count = 0;
    while count < ABBREVIATIONS.len() {
        let (word, bit) = slot(ABBREVIATIONS[count]);
        slots[word] |= 1 << bit;
        count += 1;
    }
    slots
};

/// One of 1,024 bits for a packed word, spread by a multiplication (Fibonacci hashing).
const fn slot(packed: u64) -> (usize, u32) {
    let hash = packed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    ((hash / 64) as usize, (hash % 64) as u32)
}

/// Whether a word of letters in lower case is one of those that a full stop follows.
fn is_listed(packed: u64) -> bool {
    let (word, bit) = slot(packed);
    MAY_ABBREVIATE.get(word).is_some_and(|bits| bits >> bit & 1 == 1) && ABBREVIATIONS.binary_search(&packed).is_ok()
}

/// Words of up to 8 bytes as numbers, in order: a search for one compares half a dozen of them.
const fn packed_and_sorted<const N: usize>(words: [&str; N]) -> [u64; N] {
    let mut packed = [0; N];
    let mut count = 0;
    while count < N {
        let mut value = 0;
        let mut at = 0;
        while at < words[count].len() {
            value = value << 8 | words[count].as_bytes()[at] as u64;
            at += 1;
        }
        let mut place = count;
        while place > 0 && packed[place - 1] > value {
            packed[place] = packed[place - 1];
            place -= 1;
        }
        packed[place] = value;
        count += 1;
    }
    packed
}

/// The places in prose where a sentence or a line that stands for itself starts, and how strong the
/// boundary before each is. The start of the text is not among them.
pub fn sentences(text: &str) -> Vec<(usize, Strength)> {
    let mut found = Vec::new();
    find_sentences(text, &mut found);
    found
}

/// As [`sentences`], in the place of what was in `found`: for those who cut many texts, and make room for the places once.
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

/// The places where a line starts that is not blank; for code, where sentences mean nothing.
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

/// The places where a word starts, and how strong the boundary before each is.
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

/// The places where a character starts that can stand alone: accents, vowel signs and joiners stay
/// with what they belong to, unless that would be a heap of them.
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

/// Whether a line goes on in the next one, as lines of wrapped prose do.
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

/// The lines of a text, each with the line feed that ends it.
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

/// A word before a full stop that is longer is no abbreviation, in bytes.
const LONGEST_ABBREVIATION: usize = 16;

/// `first_word` is where the line's first word starts.
fn within_line(line: &str, first_word: usize, base: usize, found: &mut Vec<(usize, Strength)>) {
    let bytes = line.as_bytes();
    let mut from = 0;
    while let Some(at) = next_end(bytes, from) {
        let rest = bytes.get(at..).unwrap_or_default();
        from = match rest.first_chunk() {
            // Nearly always one blank stands between a full stop and a word.
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

/// Looks at what may be a terminator at `at`, and returns where to go on.
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
    // Whether it is a stop of an abbreviation is asked last: it takes longest, and mostly does not matter.
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
    // What starts in lower case goes on with the sentence, except where there is no case.
    if is_apart
        && next.chars().next().is_some_and(|first| !first.is_lowercase())
        && (is_stop || !follows_abbreviation(line, at, first_word))
    {
        found.push((base + line.len() - next.len(), Strength::Sentence));
    }
    from
}

/// As the standard library's, for what mostly has one space in front, if any.
fn trim_start(text: &str) -> &str {
    match text.strip_prefix(' ').unwrap_or(text) {
        rest if rest.as_bytes().first().is_some_and(u8::is_ascii_graphic) => rest,
        rest => rest.trim_start(),
    }
}

/// The letters at the end of eight bytes: how many they are, and what they are in lower case, the last one in the lowest byte.
fn last_letters(bytes: [u8; 8]) -> (usize, u64) {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let word = u64::from_be_bytes(bytes);
    let small = (word | ONES << 5) & !HIGH;
    // No byte carries into the next: all are below 128, and what is added is at most 31.
    let from_a = small + ONES * u64::from(128 - b'a');
    let past_z = small + ONES * u64::from(127 - b'z');
    let letters = from_a & !past_z & !word & HIGH;
    let count = (!letters & HIGH).trailing_zeros() as usize / 8;
    let kept = if count < 8 { (1 << (8 * count)) - 1 } else { u64::MAX };
    (count, small & kept)
}

/// Whether the word that ends at `at` is an abbreviation. `first_word` is where the line's first word starts.
fn follows_abbreviation(line: &str, at: usize, first_word: usize) -> bool {
    let before = line.get(..at).unwrap_or_default();
    // Nearly all words before a full stop are letters that stand behind a blank.
    if let Some(last) = before.as_bytes().last_chunk::<8>() {
        let (count, letters) = last_letters(*last);
        let blank = last.len().checked_sub(count + 1).and_then(|at| last.get(at));
        match (count, blank) {
            (7.., _) => return false,
            (2.., Some(b' ')) => return is_listed(letters),
            _ => {}
        }
    }
    is_last_word_abbreviation(before, first_word)
}

/// The same, for words of any length and script.
#[inline(never)]
fn is_last_word_abbreviation(before: &str, first_word: usize) -> bool {
    let at = before.len();
    // No more of it is looked at than an abbreviation has, so that a line without spaces costs no more than one with.
    let near = before.len().saturating_sub(LONGEST_ABBREVIATION + 4);
    let start = match before.as_bytes().get(near..) {
        Some(bytes) if bytes.is_ascii() => {
            let blank = bytes.iter().rposition(|byte| char::from(*byte).is_whitespace());
            near + blank.map_or(0, |blank| blank + 1)
        }
        _ => before
            .char_indices()
            .rev()
            .take_while(|(start, character)| !character.is_whitespace() && at - start <= LONGEST_ABBREVIATION + 4)
            .last()
            .map_or(at, |(start, _)| start),
    };
    before.get(start..).is_some_and(|word| is_abbreviation(word, start == first_word))
}

/// Whether the full stop after `word` belongs to it.
fn is_abbreviation(word: &str, at_line_start: bool) -> bool {
    if word.len() > LONGEST_ABBREVIATION {
        return false;
    }
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut characters = word.chars();
    match (characters.next(), characters.next()) {
        (Some(only), None) if only.is_alphabetic() => return true,
        _ if word.contains('.') && word.len() <= 6 && !word.contains(|c: char| c.is_ascii_digit()) => return true,
        _ => {}
    }
    if at_line_start && word.len() <= 4 && !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return true;
    }
    let packed = |word: &str| {
        word.bytes()
            .fold(0, |value, byte| value << 8 | u64::from(byte.to_ascii_lowercase()))
    };
    word.len() <= 6 && is_listed(packed(word))
}

fn is_terminator(character: char) -> bool {
    matches!(
        character,
        '.' | '!' | '?' | '\u{2026}' | '\u{61f}' | '\u{6d4}' | '\u{964}' | '\u{965}' | '\u{104b}' | '\u{1362}' | '\u{17d4}'
    )
}

/// Ends of sentences in scripts that write no space after them.
fn is_wide_terminator(character: char) -> bool {
    matches!(character, '\u{3002}' | '\u{ff01}' | '\u{ff1f}' | '\u{ff0e}' | '\u{ff61}')
}

fn is_closing(character: char) -> bool {
    matches!(
        character,
        '"' | '\''
            | ')'
            | ']'
            | '}'
            | '\u{201d}'
            | '\u{2019}'
            | '\u{bb}'
            | '\u{203a}'
            | '\u{300d}'
            | '\u{300f}'
            | '\u{3011}'
            | '\u{ff09}'
            | '\u{300b}'
    )
}

/// Whether a character belongs to the one before it.
fn extends(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{900}'..='\u{903}' | '\u{93a}'..='\u{94f}' | '\u{981}'..='\u{983}' | '\u{9bc}'..='\u{9cd}'
        | '\u{b82}' | '\u{bbe}'..='\u{bcd}' | '\u{c00}'..='\u{c04}' | '\u{c3e}'..='\u{c56}' | '\u{d3e}'..='\u{d4d}'
        | '\u{e31}' | '\u{e33}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{eb1}' | '\u{eb4}'..='\u{ebc}' | '\u{ec8}'..='\u{ece}'
        | '\u{102b}'..='\u{103e}' | '\u{17b4}'..='\u{17d3}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{200c}' | '\u{200d}' | '\u{20d0}'..='\u{20f0}' | '\u{302a}'..='\u{302f}' | '\u{3099}' | '\u{309a}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same by looking at each character.
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
            // What starts in lower case goes on with the sentence, except where there is no case.
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
