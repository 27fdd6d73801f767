//! Finds names of people, organisations and places: words with capitals, and the words around them.

use crate::lexicon::{BEFORE_OF, COMMON, FIRST_NAMES, ORGANIZATION, PLACES, STOP, TITLES, UNIT, holds};
use crate::words::Word;

/// Whether capitals indicate names in a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Casing {
    /// Words with a capital are names.
    Significant,
    /// All kinds of words have capitals, as in German and in titles.
    Insignificant,
}

impl Casing {
    /// Determines what capitals mean in this question.
    pub fn of(words: &[Word], language: Option<&str>) -> Self {
        let others = words.iter().skip(1).filter(|word| word.text.starts_with(char::is_alphabetic));
        let (capital, all) = others.fold((0, 0), |(capital, all), word| {
            (capital + usize::from(word.is_capitalized()), all + 1)
        });
        if language == Some("de") || (all >= 5 && capital * 5 >= all * 4) {
            Self::Insignificant
        } else {
            Self::Significant
        }
    }
}

/// Returns the kind and length, in words, of the name that starts at `index`, if one does.
pub fn name(words: &[Word], index: usize, casing: Casing) -> Option<(&'static str, usize)> {
    let rest = words.get(index..)?;
    if let Some(length) = unit(rest) {
        return Some(("organization", length));
    }
    let first = rest.first().filter(|word| is_part(word))?;
    let before = index.checked_sub(1).and_then(|before| words.get(before));
    let has_title = before.is_some_and(|word| holds(TITLES, &word.lower) && !word.ends_clause_but_for_a_stop());
    let length = length(rest);
    let last = rest.get(length.checked_sub(1)?)?;
    if let Some(length) = place(rest) {
        return Some(("location", length));
    }
    let is_organization = length > 1 && holds(ORGANIZATION, &last.lower);
    let is_asked_for = index == 2 && words.first().is_some_and(|word| word.lower == "who");
    if !is_organization && !is_odd(first) {
        let is_full_name = (2..=4).contains(&length);
        if has_title || is_full_name && (holds(FIRST_NAMES, &first.lower) || is_asked_for && casing == Casing::Significant) {
            return Some(("person", length));
        }
    }
    let is_significant = match casing {
        Casing::Significant => index > 0 || length > 1 || first.is_possessive(),
        Casing::Insignificant => false,
    };
    (is_organization || is_significant || is_odd(first)).then_some(("organization", length))
}

impl Word<'_> {
    fn ends_clause_but_for_a_stop(&self) -> bool {
        !self.after.is_empty() && self.after != "."
    }
}

/// The most words of a name: a longer run of capitals is not a name, and would be read again from each of its words.
const LONGEST: usize = 12;

/// Returns how many words at the start of `words`, the first of which is part of a name, are one name.
fn length(words: &[Word]) -> usize {
    let mut length = 1;
    while let (Some(last), Some(next)) = (words.get(length - 1), words.get(length).filter(|_| length < LONGEST)) {
        // Only `Acme, Inc.` continues after a comma.
        if last.ends_clause() && !(last.after == "," && is_legal_form(&next.lower)) {
            break;
        }
        let follows = words.get(length + 1).is_some_and(is_part);
        length += match next.lower.as_str() {
            "&" if follows => 2,
            "of" if follows && holds(BEFORE_OF, &last.lower) => 2,
            "van" | "von" | "der" | "de" | "da" | "di" | "del" | "la" if follows && length == 1 && holds(FIRST_NAMES, &last.lower) => 2,
            _ if is_part(next) && !next.before.contains('(') => 1,
            _ => break,
        };
    }
    length
}

/// Returns how many words at the start of `words` are a part of an organisation: `IT department`, and of `Legal and Compliance team` only
/// `Compliance team`. Here an abbreviation counts as a name, which it does not alone.
fn unit(words: &[Word]) -> Option<usize> {
    let is_named = |word: &&Word| {
        let is_abbreviation = word.text.len() > 1 && word.text.chars().all(|c| c.is_uppercase() || c == '&');
        word.is_capitalized() && (is_abbreviation || !holds(STOP, &word.lower))
    };
    let named = words
        .iter()
        .take(4)
        .take_while(|word| is_named(word) && !holds(UNIT, &word.lower))
        .count();
    let goes_on = words.iter().take(named).all(|word| !word.ends_clause() && !word.is_possessive());
    let is_unit = words.get(named).is_some_and(|word| holds(UNIT, &word.lower));
    (named > 0 && goes_on && is_unit).then_some(named + 1)
}

fn is_legal_form(word: &str) -> bool {
    holds("inc ltd llc llp plc corp corporation incorporated limited co lp", word)
}

/// Returns whether a word may be part of a name.
fn is_part(word: &Word) -> bool {
    let has_letter = word.text.chars().any(char::is_alphabetic);
    has_letter && (word.is_capitalized() || is_odd(word)) && (!is_common(word) || word.lower == "company" || word.lower == "capital")
}

/// Returns whether a word is not a name even with a capital.
fn is_common(word: &Word) -> bool {
    [COMMON, STOP, TITLES].iter().any(|list| holds(list, &word.lower)) || word.lower.starts_with("covid")
}

/// Returns whether a word is written as only names are: `IBM`, `PepsiCo`, `eBay`, `3M`.
fn is_odd(word: &Word) -> bool {
    let letters = || word.text.chars().filter(|character| character.is_alphabetic());
    let capitals = letters().filter(|letter| letter.is_uppercase()).count();
    let inner = word.text.chars().skip(1).any(char::is_uppercase);
    let plain = word
        .text
        .chars()
        .all(|character| character.is_alphanumeric() || matches!(character, '&' | '-' | '.'));
    plain && inner && capitals > 0 && word.text.len() >= 2 && word.text.len() <= 20 && !is_common(word)
}

/// Returns how many words at the start of `words` are a place.
fn place(words: &[Word]) -> Option<usize> {
    let first = words.first()?;
    let two = words
        .get(1)
        .filter(|_| !first.ends_clause())
        .map(|second| format!("{}_{}", first.lower, second.lower));
    if two.is_some_and(|two| holds(PLACES, &two)) {
        return Some(2);
    }
    let is_alone = first.ends_clause() || !words.get(1).is_some_and(is_part);
    (is_alone && holds(PLACES, &first.lower)).then_some(1)
}
