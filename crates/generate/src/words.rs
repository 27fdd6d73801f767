//! The significant words of a text, for comparing texts by them.

use std::collections::HashSet;

/// Returns the significant words, in lower case and without plural endings. In scripts without spaces between words, pairs of adjacent
/// characters take the place of words.
pub fn words(text: &str) -> HashSet<String> {
    const EMPTY: [&str; 62] = [
        "a", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "could", "did", "do", "does", "each", "for", "from", "give",
        "had", "has", "have", "how", "if", "in", "into", "is", "it", "its", "me", "more", "most", "much", "many", "of", "on", "or", "our",
        "please", "should", "so", "tell", "than", "that", "the", "their", "there", "these", "this", "to", "was", "we", "were", "what",
        "when", "where", "which", "who", "whom", "why", "will", "with",
    ];
    let mut found = HashSet::new();
    for word in text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | ',' | '-' | '&' | '%'))) {
        let word = word.trim_matches(['.', ',', '-', '&']);
        if word.is_empty() {
            continue;
        }
        if word.chars().any(is_unspaced) {
            found.extend(pairs(word));
            continue;
        }
        let word = word.to_lowercase().replace(',', "");
        if EMPTY.contains(&word.as_str()) {
            continue;
        }
        found.insert(match word.strip_suffix('s') {
            Some(stem) if stem.len() > 3 && !stem.ends_with('s') && stem.bytes().all(|b| b.is_ascii_alphabetic()) => stem.to_owned(),
            _ => word,
        });
    }
    found
}

/// Returns whether a text has too few words to state anything: fewer than three, in scripts that have spaces between words.
pub fn is_scrap(text: &str) -> bool {
    /// The fewest characters of a sentence in a script without spaces.
    const SHORT: usize = 5;
    text.split_whitespace().take(3).count() < 3 && text.chars().filter(|c| is_unspaced(*c)).take(SHORT).count() < SHORT
}

/// Returns whether a text only introduces another one, or heads a table: `Net sales consist of:`, `(Millions) 2018 2017`, `Years ended
/// December 31,`.
pub fn is_caption(text: &str) -> bool {
    const HEADS: [&str; 49] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "million",
        "millions",
        "thousand",
        "thousands",
        "billion",
        "billions",
        "dollars",
        "usd",
        "eur",
        "year",
        "years",
        "month",
        "months",
        "week",
        "weeks",
        "quarter",
        "quarters",
        "fiscal",
        "ended",
        "ending",
        "three",
        "six",
        "nine",
        "twelve",
        "unaudited",
    ];
    let text = text.trim_end();
    if text.ends_with([':', '：', ',', '、', '，', '،']) {
        return true;
    }
    let mut words = text
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| word.chars().count() > 1)
        .map(str::to_lowercase)
        .filter(|word| !matches!(word.as_str(), "in" | "as" | "of" | "at" | "the" | "and" | "for"));
    words.all(|word| HEADS.contains(&word.as_str()))
}

/// Returns whether a character belongs to a script without spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
        | '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

fn pairs(word: &str) -> impl Iterator<Item = String> + '_ {
    let chars: Vec<char> = word.chars().collect();
    let pairs: Vec<String> = match chars.len() {
        1 => vec![word.to_owned()],
        _ => chars.windows(2).map(|pair| pair.iter().collect()).collect(),
    };
    pairs.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_meaning_and_plural_endings_are_left_out() {
        let expected = ["gain", "$20", "20", "kenvue"]
            .iter()
            .filter(|word| **word != "$20")
            .map(|word| (*word).to_owned());
        assert_eq!(words("What were the gains of Kenvue? 20"), expected.collect());
    }

    #[test]
    fn what_only_leads_on_is_a_caption() {
        for text in [
            "Net sales consist of the following:",
            "(Millions) 2018 2017 2016",
            "As of December 31, December 31,",
            "Year ended June 30, 2021",
        ] {
            assert!(is_caption(text), "{text}");
        }
        for text in ["Net income 5,363 4,869", "Sales rose in December.", "売上高は増加した。"] {
            assert!(!is_caption(text), "{text}");
        }
    }

    #[test]
    fn scripts_without_spaces_are_compared_by_pairs() {
        let found = words("売上高は増加した。");
        assert!(found.contains("売上") && found.contains("上高"), "{found:?}");
        assert!(!is_scrap("売上高は増加した。"));
        assert!(is_scrap("売上高"));
        assert!(is_scrap("Net sales"));
        assert!(!is_scrap("Прибыль выросла вдвое."));
    }
}
