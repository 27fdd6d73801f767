//! Splits a question into words.

/// A word of a question, without punctuation around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word as it is written, without a possessive `'s`.
    pub text: &'a str,
    /// In lower case.
    pub lower: String,
    /// The offset in the question, in bytes.
    pub start: usize,
    /// The punctuation right before it: `(`, a quotation mark.
    pub before: &'a str,
    /// The punctuation right after it, including a possessive `'s`.
    pub after: &'a str,
}

impl Word<'_> {
    /// Returns the byte after the word.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Returns whether the word owns something: `Acme's`.
    pub fn is_possessive(&self) -> bool {
        ["'s", "\u{2019}s"].iter().any(|mark| self.after.starts_with(mark))
    }

    /// Returns whether a sentence or clause may end after the word.
    pub fn ends_clause(&self) -> bool {
        self.is_possessive() || self.after.contains([',', ';', ':', '?', '!', '.', ')', '"', '\u{201d}'])
    }

    /// Returns whether it starts with a capital letter.
    pub fn is_capitalized(&self) -> bool {
        self.text.starts_with(char::is_uppercase)
    }
}

/// Returns the words of a question, in order.
pub fn words(query: &str) -> Vec<Word<'_>> {
    let mut found = Vec::new();
    let mut offset = 0;
    for part in query.split_inclusive(char::is_whitespace) {
        let trimmed = part.trim_end();
        let opening = trimmed.len() - trimmed.trim_start_matches(is_opening).len();
        let (before, rest) = trimmed.split_at(opening);
        let mut text = rest.trim_end_matches(is_closing);
        // The full stops of `U.S.` and `Inc.` are removed as well: nothing here needs them.
        text = ["'s", "\u{2019}s"].iter().find_map(|mark| text.strip_suffix(mark)).unwrap_or(text);
        let after = rest.get(text.len()..).unwrap_or_default();
        if !text.is_empty() {
            found.push(Word {
                text,
                lower: text.to_lowercase(),
                start: offset + opening,
                before,
                after,
            });
        }
        offset += part.len();
    }
    found
}

fn is_opening(character: char) -> bool {
    matches!(
        character,
        '(' | '[' | '{' | '"' | '\'' | '\u{201c}' | '\u{2018}' | '\u{201e}' | '\u{ab}' | '\u{bf}' | '\u{a1}'
    )
}

fn is_closing(character: char) -> bool {
    matches!(
        character,
        ')' | ']'
            | '}'
            | '"'
            | '\''
            | '\u{201d}'
            | '\u{2019}'
            | '\u{bb}'
            | '.'
            | ','
            | ';'
            | ':'
            | '?'
            | '!'
            | '\u{2026}'
            | '\u{3002}'
            | '\u{ff1f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_are_no_part_of_words() {
        let query = "What's (\"Acme's\") 3.5%, U.S. growth?";
        let found = words(query);
        let texts: Vec<&str> = found.iter().map(|word| word.text).collect();
        assert_eq!(texts, ["What", "Acme", "3.5%", "U.S", "growth"]);
        assert!(found[1].is_possessive() && found[1].before == "(\"");
        assert!(found.iter().all(|word| &query[word.start..word.end()] == word.text));
    }

    proptest! {
        #[test]
        fn words_stand_where_they_say(query in "\\PC{0,60}") {
            let found = words(&query);
            prop_assert!(found.iter().all(|word| query.get(word.start..word.end()) == Some(word.text)));
            prop_assert!(found.windows(2).all(|two| two[0].end() < two[1].start));
        }
    }
}
