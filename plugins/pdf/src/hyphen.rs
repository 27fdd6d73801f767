//! Words that a hyphen divides at the end of a line: whether the hyphen belongs to them is decided by the other words of the document.

use crate::bidi;
use crate::layout::Line;

/// A mark of where a word may be divided.
pub(crate) const SOFT_HYPHEN: char = '\u{AD}';

/// Words whose second part follows later: `short- and long-term`.
const CONJUNCTIONS: [&str; 20] = [
    "and", "or", "to", "und", "oder", "bzw", "sowie", "bis", "et", "ou", "y", "o", "e", "ed", "en", "of", "og", "och", "eller", "i",
];

/// First parts of compounds that keep their hyphen, as a rule.
const COMPOUNDING: [&str; 20] = [
    "self", "non", "well", "high", "low", "long", "short", "half", "cross", "two", "three", "four", "five", "six", "third", "mid", "all",
    "ill", "large", "small",
];

/// First parts of words that are written without one, though both parts are words.
const SOLID: [&str; 24] = [
    "under", "over", "with", "some", "every", "there", "where", "here", "after", "inter", "super", "trans", "when", "what", "fore", "back",
    "down", "data", "work", "week", "hand", "home", "book", "business",
];

/// Bytes before a hyphen that are looked at.
const MAX_WORD: usize = 300;

/// How a word goes on in the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Division {
    /// Bytes at the end of the line that are no part of the word.
    pub(crate) dropped: usize,
    /// Bytes of the next line that are a part of it.
    pub(crate) moved: usize,
}

/// The words of a document, as far as it is read. It may take a word for known that is not, once in some hundred times.
pub(crate) struct Words(Vec<u64>);

/// Words are told apart by this many bits of their hashes: a long report has some ten thousand words.
const BITS: u32 = 20;

impl Default for Words {
    fn default() -> Self {
        Self(vec![0; 1 << (BITS - 6)])
    }
}

impl Words {
    /// Learns the words of lines that follow one another.
    pub(crate) fn learn(&mut self, lines: &[Line]) {
        let mut is_divided = false;
        for line in lines {
            let mut token = Token::new(is_divided);
            line.text.bytes().for_each(|byte| token.take(byte, self));
            token.take(b' ', self);
            is_divided = line.text.ends_with(is_hyphen);
        }
    }

    fn note(&mut self, word: Hash) {
        let (at, bit) = word.place();
        if let Some(bits) = self.0.get_mut(at) {
            *bits |= bit;
        }
    }

    fn knows(&self, parts: [&str; 3]) -> bool {
        let mut hash = Hash::new();
        parts.iter().flat_map(|part| part.bytes()).for_each(|byte| hash.add(byte));
        let (at, bit) = hash.place();
        self.0.get(at).is_some_and(|bits| bits & bit != 0)
    }

    /// How the last word of `line` goes on in `next`; `None` where it does not.
    pub(crate) fn division(&self, line: &str, next: &str) -> Option<Division> {
        let stem = line.strip_suffix(is_hyphen)?;
        let hyphen = line.len() - stem.len();
        // More than this is no word.
        let stem = stem.get(stem.floor_char_boundary(stem.len().saturating_sub(MAX_WORD))..)?;
        let token = stem.rsplit(' ').next().unwrap_or(stem);
        let left = token.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or(token);
        let moved = next.split(' ').next().unwrap_or(next);
        let right = moved.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(moved);
        if left.is_empty() || right.is_empty() || CONJUNCTIONS.contains(&right) {
            return None;
        }
        let is_kept = !line.ends_with(SOFT_HYPHEN) && self.keeps_hyphen(token, left, right);
        Some(Division {
            dropped: if is_kept { 0 } else { hyphen },
            moved: moved.len(),
        })
    }

    /// Whether the hyphen between two parts is one of the word's own.
    fn keeps_hyphen(&self, token: &str, left: &str, right: &str) -> bool {
        let is_word = |part: &str| part.chars().all(char::is_alphabetic);
        let is_upper = |part: &str| part.chars().all(char::is_uppercase);
        let is_one_case = right.starts_with(char::is_lowercase) || (is_upper(left) && is_upper(right) && left.chars().nth(1).is_some());
        if !is_word(left) || !is_word(right) || !is_one_case {
            return true;
        }
        // A compound of several parts, an address, an e-mail.
        let outer = token.strip_suffix(left).unwrap_or_default();
        if outer.contains(|c: char| matches!(c, '-' | '/' | '@' | '_' | '.') || c.is_alphanumeric()) || left.chars().nth(1).is_none() {
            return true;
        }
        if self.knows([left, "-", right]) {
            return true;
        }
        if self.knows([left, right, ""]) {
            return false;
        }
        let lower = left.to_lowercase();
        if COMPOUNDING.contains(&lower.as_str()) {
            return true;
        }
        let is_long = |part: &str| part.chars().nth(3).is_some();
        let makes_compounds = self.knows([left, "-", ""]);
        let is_compound = !SOLID.contains(&lower.as_str()) && self.knows([left, "", ""]);
        is_long(left) && is_long(right) && self.knows([right, "", ""]) && (makes_compounds || is_compound)
    }
}

/// A token of a line that is being learned: letters, and hyphens between them.
struct Token {
    whole: Hash,
    /// The letters after its last hyphen, if it has one.
    part: Hash,
    letters: u32,
    hyphens: u32,
    /// Whether it is the rest of a word that began in the line before.
    is_rest: bool,
}

impl Token {
    fn new(is_rest: bool) -> Self {
        Self {
            whole: Hash::new(),
            part: Hash::new(),
            letters: 0,
            hyphens: 0,
            is_rest,
        }
    }

    #[inline]
    fn take(&mut self, byte: u8, words: &mut Words) {
        if byte.is_ascii_alphabetic() || byte >= 0x80 {
            if self.letters == 0 && self.hyphens == 1 {
                // `fine-` of `fine-tuned`: it makes compounds.
                words.note(self.whole);
            }
            self.whole.add(byte);
            if self.hyphens > 0 {
                self.part.add(byte);
            }
            self.letters += 1;
        } else if byte == b'-' && self.letters > 0 {
            self.whole.add(byte);
            self.part = Hash::new();
            self.letters = 0;
            self.hyphens += 1;
        } else if self.letters > 0 || self.hyphens > 0 {
            if self.letters > 0 && !self.is_rest {
                words.note(self.whole);
            }
            if self.letters > 0 && self.hyphens > 0 {
                words.note(self.part);
            }
            *self = Self::new(false);
        }
    }
}

/// A hyphen that may divide a word.
fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | SOFT_HYPHEN)
}

/// Takes marks that nobody sees out of what follows `start`: those of possible divisions, and those that part letters, but for scripts whose
/// letters join. A mark at the end stays if a line ends there.
pub(crate) fn remove_marks(text: &mut String, start: usize, ends_line: bool) {
    const NON_JOINER: char = '\u{200C}';
    let Some(part) = text
        .get(start..)
        .filter(|part| !part.is_ascii() && part.contains([SOFT_HYPHEN, NON_JOINER]))
    else {
        return;
    };
    let joins = bidi::may_have_rtl(part);
    let mut plain: String = part.chars().filter(|c| *c != SOFT_HYPHEN && (joins || *c != NON_JOINER)).collect();
    if ends_line && part.ends_with(SOFT_HYPHEN) {
        plain.push(SOFT_HYPHEN);
    }
    text.replace_range(start.., &plain);
}

/// The hash of a word (FNV-1a), whatever the case of its ASCII letters.
#[derive(Clone, Copy)]
struct Hash(u32);

impl Hash {
    fn new() -> Self {
        Self(0x811C_9DC5)
    }

    #[inline]
    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193);
    }

    /// The number of the cell that it falls into, and its bit there.
    fn place(self) -> (usize, u64) {
        let bits = (self.0 ^ (self.0 >> BITS)) & ((1 << BITS) - 1);
        ((bits >> 6) as usize, 1 << (bits & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(lines: &[&str]) -> Words {
        let mut words = Words::default();
        let line = |text: &&str| Line {
            text: (*text).to_owned(),
            size: 10.0,
            bold: false,
            chars: text.len(),
            cells: Vec::new(),
        };
        words.learn(&lines.iter().map(line).collect::<Vec<_>>());
        words
    }

    #[track_caller]
    fn check(words: &Words, line: &str, next: &str, expected: &str) {
        let joined = match words.division(line, next) {
            Some(Division { dropped, moved }) => format!("{}{}|{}", &line[..line.len() - dropped], &next[..moved], &next[moved..]),
            None => format!("{line}|{next}"),
        };
        assert_eq!(joined, expected);
    }

    #[test]
    fn divided_words_are_joined_and_compounds_keep_their_hyphen() {
        let words = words(&["A well-founded, cost-effective plan is effec-", "tive; the cost of long weekdays."]);
        check(&words, "The infor-", "mation desk", "The information| desk");
        check(&words, "INFOR-", "MATION", "INFORMATION|");
        check(&words, "on week-", "days;", "on weekdays;|");
        check(&words, "infor\u{AD}", "mation", "information|");
        check(&words, "infor\u{2010}", "mation", "information|");
        check(&words, "state-of-the-", "art and", "state-of-the-art| and");
        check(&words, "a Well-", "founded one", "a Well-founded| one");
        check(&words, "is cost-", "effective.", "is cost-effective.|");
        check(&words, "a cost-", "plan", "a cost-plan|");
        check(&words, "the long-", "weekdays", "the long-weekdays|");
        check(&words, "self-", "taught", "self-taught|");
        check(&words, "non-", "EU states", "non-EU| states");
        check(&words, "in COVID-", "19 times", "in COVID-19| times");
        check(&words, "an e-", "mail", "an e-mail|");
        check(&words, "https://a.example/x-", "ray", "https://a.example/x-ray|");
        check(&words, "short-", "and long-term", "short-|and long-term");
        check(&words, "Ein-", "und Ausgang", "Ein-|und Ausgang");
        check(&words, "a dash -", "and more", "a dash -|and more");
        check(&words, "no hyphen", "here", "no hyphen|here");
        check(&words, "-", "a", "-|a");
        check(&words, "x-", "", "x-|");
    }

    #[test]
    fn parts_of_divided_words_are_not_learned() {
        let words = words(&["effec-", "tive measures"]);
        assert!(words.knows(["measures", "", ""]));
        assert!(!words.knows(["tive", "", ""]));
        assert!(!words.knows(["effec", "", ""]));
    }

    #[test]
    fn marks_stay_at_the_end_alone() {
        for (line, expected) in [
            ("co\u{AD}op\u{AD}", "coop\u{AD}"),
            ("of\u{200C}fice", "office"),
            ("می\u{200C}کنند", "می\u{200C}کنند"),
        ] {
            let mut text = line.to_owned();
            remove_marks(&mut text, 0, true);
            assert_eq!(text, expected);
        }
        let mut text = "a\u{AD} b\u{AD}".to_owned();
        remove_marks(&mut text, 4, false);
        assert_eq!(text, "a\u{AD} b");
    }
}
