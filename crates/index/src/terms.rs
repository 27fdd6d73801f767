//! Prepares text for BM25, which splits it at spaces: separates words in scripts without spaces, and the parts of compounds.

use std::ops::Range;

/// Returns whether a character belongs to a script without spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
        | '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// Returns the words of a text: runs of letters and digits; in scripts without spaces, overlapping pairs of adjacent characters (Lucene's
/// CJK bigrams). A single character without a neighbour is a word.
pub fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut chars = text.char_indices().peekable();
    // Where the last character of such a script starts, and whether it is in a pair.
    let mut last: Option<(usize, bool)> = None;
    std::iter::from_fn(move || {
        loop {
            let next = chars.peek().copied();
            match (last, next) {
                (Some((start, _)), Some((at, c))) if is_unspaced(c) => {
                    chars.next();
                    last = Some((at, true));
                    return Some(start..at + c.len_utf8());
                }
                (Some((start, paired)), next) => {
                    last = None;
                    let end = next.map_or(text.len(), |(at, _)| at);
                    if !paired {
                        return Some(start..end);
                    }
                }
                (None, None) => return None,
                (None, Some((at, c))) => {
                    chars.next();
                    if is_unspaced(c) {
                        last = Some((at, false));
                    } else if c.is_alphanumeric() {
                        let mut end = at + c.len_utf8();
                        while let Some((at, c)) = chars.next_if(|(_, c)| c.is_alphanumeric() && !is_unspaced(*c)) {
                            end = at + c.len_utf8();
                        }
                        return Some(at..end);
                    }
                }
            }
        }
    })
}

/// Returns the text with spaces between the words of scripts without spaces, or unchanged if it has none of them.
pub fn spaced(text: &str) -> String {
    if !text.chars().any(is_unspaced) {
        return text.to_owned();
    }
    let mut spaced = String::with_capacity(text.len() * 2);
    for word in words(text) {
        spaced.push_str(text.get(word).unwrap_or_default());
        spaced.push(' ');
    }
    spaced
}

/// The fewest letters of a word that may be a compound, and of a part of one.
const COMPOUND: (usize, usize) = (10, 4);

/// Adds the beginnings and ends of long words, some of which are the parts of compounds. The others are not words, so nobody searches for
/// them.
pub fn add_parts(text: &mut String) {
    let (long, short) = COMPOUND;
    let mut parts = String::new();
    for word in words(text) {
        let Some(word) = text.get(word) else { continue };
        let cuts: Vec<usize> = word.char_indices().map(|(at, _)| at).collect();
        if cuts.len() < long {
            continue;
        }
        for cut in cuts.get(short..=cuts.len() - short).unwrap_or_default() {
            let (head, tail) = word.split_at(*cut);
            for part in [head, tail] {
                parts.push(' ');
                parts.push_str(part);
            }
        }
    }
    text.push_str(&parts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<&str> {
        words(text).map(|range| &text[range]).collect()
    }

    #[test]
    fn scripts_without_spaces_are_pairs() {
        assert_eq!(texts("IBM 売上高は3%増, a。"), ["IBM", "売上", "上高", "高は", "3", "増", "a"]);
        assert_eq!(spaced("net sales"), "net sales");
        assert_eq!(spaced("净利润 up"), "净利 利润 up ");
    }

    #[test]
    fn long_words_are_found_by_their_parts() {
        let mut text = "Umsatzsteuer fällt an".to_owned();
        add_parts(&mut text);
        let parts: Vec<&str> = text.split(' ').collect();
        assert!(parts.contains(&"Umsatz") && parts.contains(&"steuer"), "{parts:?}");
        assert!(!parts.contains(&"fäll"), "{parts:?}");
    }

    proptest! {
        #[test]
        fn words_are_in_order_and_hold_every_letter(text in "[a-z0-9 .,字売上高ก\u{1F600}ß]{0,60}") {
            let found: Vec<_> = words(&text).collect();
            prop_assert!(found.windows(2).all(|pair| pair[0].start < pair[1].start));
            let held = |at: usize| found.iter().any(|word| word.contains(&at));
            prop_assert!(text.char_indices().all(|(at, c)| held(at) == c.is_alphanumeric()));
            let mut parts = text.clone();
            add_parts(&mut parts);
            prop_assert!(parts.starts_with(&text));
        }
    }
}
