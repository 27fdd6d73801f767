//! Recognises abbreviations, after which a full stop does not end a sentence.

/// Words in lower case that a full stop follows without ending a sentence.
const ABBREVIATIONS: [u64; 48] = packed_and_sorted([
    "al", "approx", "art", "aug", "bzw", "ca", "cf", "ch", "co", "corp", "dec", "dept", "dr", "ed", "eq", "est", "etc", "feb", "fig",
    "figs", "gen", "hr", "inc", "jan", "jr", "ltd", "max", "min", "mr", "mrs", "ms", "no", "nos", "nov", "nr", "oct", "pp", "prof", "sec",
    "sect", "sep", "sept", "sr", "st", "tel", "usw", "vol", "vs",
]);

/// A Bloom filter of the abbreviations, which rules most other words out: it has the bit of each abbreviation's `slot`.
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

/// Returns one of 1,024 bits for a packed word, spread by a multiplication (Fibonacci hashing).
const fn slot(packed: u64) -> (usize, u32) {
    let hash = packed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    ((hash / 64) as usize, (hash % 64) as u32)
}

/// Returns whether a word of letters in lower case is an abbreviation.
fn is_listed(packed: u64) -> bool {
    let (word, bit) = slot(packed);
    MAY_ABBREVIATE.get(word).is_some_and(|bits| bits >> bit & 1 == 1) && ABBREVIATIONS.binary_search(&packed).is_ok()
}

/// Packs words of up to 8 bytes into sorted numbers: a search compares half a dozen of them.
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

/// The longest abbreviation, in bytes.
const LONGEST_ABBREVIATION: usize = 16;

/// Returns the number of letters at the end of eight bytes, and the letters in lower case, the last one in the lowest byte.
pub(super) fn last_letters(bytes: [u8; 8]) -> (usize, u64) {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let word = u64::from_be_bytes(bytes);
    let small = (word | ONES << 5) & !HIGH;
    // No byte carries into the next: all are below 128, and at most 31 is added.
    let from_a = small + ONES * u64::from(128 - b'a');
    let past_z = small + ONES * u64::from(127 - b'z');
    let letters = from_a & !past_z & !word & HIGH;
    let count = (!letters & HIGH).trailing_zeros() as usize / 8;
    let kept = if count < 8 { (1 << (8 * count)) - 1 } else { u64::MAX };
    (count, small & kept)
}

/// Returns whether the word that ends at `at` is an abbreviation. `first_word` is the offset of the line's first word.
pub(super) fn follows_abbreviation(line: &str, at: usize, first_word: usize) -> bool {
    let before = line.get(..at).unwrap_or_default();
    // The usual case: letters after a space.
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

/// As [`follows_abbreviation`], for words of any length and script.
#[inline(never)]
fn is_last_word_abbreviation(before: &str, first_word: usize) -> bool {
    let at = before.len();
    // Look at no more of the word than the longest abbreviation has, so that lines without spaces are not slower.
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

/// Returns whether the full stop after `word` belongs to it.
pub(super) fn is_abbreviation(word: &str, at_line_start: bool) -> bool {
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
