//! Finds the entities in a question: money, percentages, dates and identifiers by their form, names with `names`.

use crate::lexicon::{CURRENCIES, MONTHS, SCALES, STANDARDS, holds};
use crate::names::{Casing, name};
use crate::words::Word;
use std::ops::Range;

/// An entity in a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// `money`, `percentage`, `date`, `identifier`, `person`, `organization` or `location`.
    pub kind: &'static str,
    /// Its range in the question, in bytes.
    pub at: Range<usize>,
    /// The indices of its words.
    pub words: Range<usize>,
}

/// A function that returns how many words at the start are an entity of its kind.
type Length = fn(&[Word]) -> usize;

/// The kinds that are recognised by their form. The first one that matches wins.
const FORMS: [(&str, Length); 4] = [
    ("percentage", percentage),
    ("money", money),
    ("date", date),
    ("identifier", identifier),
];

/// Returns the entities in a question, in order and without overlaps.
pub fn entities(words: &[Word], language: Option<&str>) -> Vec<Entity> {
    let casing = Casing::of(words, language);
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(rest) = words.get(index..).filter(|rest| !rest.is_empty()) {
        let formed = FORMS
            .iter()
            .map(|(kind, length)| (*kind, length(rest)))
            .find(|(_, length)| *length > 0);
        let (kind, length) = match formed.or_else(|| name(words, index, casing)) {
            Some(entity) => entity,
            None => {
                index += 1;
                continue;
            }
        };
        if let (Some(first), Some(last)) = (rest.first(), rest.get(length - 1)) {
            found.push(Entity {
                kind,
                at: first.start..last.end(),
                words: index..index + length,
            });
        }
        index += length;
    }
    found
}

/// Returns how many words at the start of `words` are a percentage.
fn percentage(words: &[Word]) -> usize {
    let first = text(words, 0);
    if first.strip_suffix('%').is_some_and(is_number) {
        return 1;
    }
    let (second, third) = (lower(words, 1), lower(words, 2));
    match is_number(first) {
        true if holds("% percent pct bps pp prozent procent", second) => 2,
        true if matches!(
            (second, third),
            ("per", "cent") | ("percentage", "points" | "point") | ("basis", "points" | "point") | ("por", "ciento")
        ) =>
        {
            3
        }
        _ => 0,
    }
}

/// Returns how many words at the start of `words` are a sum of money.
fn money(words: &[Word]) -> usize {
    let first = text(words, 0);
    let symbols = ["US$", "A$", "C$", "$", "\u{20ac}", "\u{a3}", "\u{a5}", "\u{20b9}", "\u{20a9}", "Rs"];
    let amount = symbols.iter().find_map(|symbol| first.strip_prefix(symbol));
    let is_code = first.chars().all(char::is_uppercase) && holds(CURRENCIES, lower(words, 0));
    if let Some(amount) = amount.filter(|amount| is_amount(amount)) {
        return if is_number(amount) { 1 + scale(words, 1) } else { 1 };
    }
    if (is_code || amount == Some("")) && is_amount(text(words, 1)) {
        return 2 + scale(words, 2);
    }
    let suffixed = ["\u{20ac}", "$", "\u{a3}"]
        .iter()
        .any(|symbol| first.strip_suffix(symbol).is_some_and(is_amount));
    if suffixed {
        return 1;
    }
    let length = 1 + scale(words, 1);
    if is_amount(first) && (holds(CURRENCIES, lower(words, length)) || matches!(text(words, length), "\u{20ac}" | "$" | "\u{a3}")) {
        length + 1
    } else {
        0
    }
}

fn scale(words: &[Word], index: usize) -> usize {
    usize::from(
        words
            .get(index)
            .is_some_and(|word| holds(SCALES, &word.lower) && !(word.lower.len() == 1 && word.is_capitalized())),
    )
}

/// Returns how many words at the start of `words` are a date or a period.
fn date(words: &[Word]) -> usize {
    let first = lower(words, 0);
    if first.is_empty() {
        return 0;
    }
    if let Some(length) = fiscal(words) {
        return length;
    }
    if is_month(words) {
        // `March 31, 2022`, `March 2022`
        let length = if is_day(lower(words, 1)) { 2 } else { 1 };
        let with_year = length + usize::from(is_year(lower(words, length)));
        let is_surely_a_month = !matches!(
            first,
            "may" | "march" | "mars" | "mar" | "mai" | "jun" | "jan" | "sep" | "dec" | "marzo"
        );
        return if with_year > 1 || is_surely_a_month { with_year } else { 0 };
    }
    if is_day(first) && words.get(1..).is_some_and(|rest| is_month(rest)) {
        return 2 + usize::from(is_year(lower(words, 2)));
    }
    let parts: Vec<&str> = first.split(['-', '/', '\u{2013}', '.']).collect();
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match parts.as_slice() {
        [year] if is_year(year) => 1,
        [from, to] if is_year(from) && (is_year(to) || to.len() == 2 && digits(to)) => 1,
        [year, month, day] if is_year(year) && is_day(month) && is_day(day) => 1,
        [day, month, year] if is_day(month) && is_day(day) && (is_year(year) || year.len() == 2 && digits(year)) => 1,
        _ => 0,
    }
}

/// `FY2022`, `Q2 2023`, `2Q23`, `fiscal year 2022`, `second quarter of 2023`, `H1 2023`.
fn fiscal(words: &[Word]) -> Option<usize> {
    let first = lower(words, 0);
    let year_at = |index: usize| usize::from(is_year(lower(words, index)) || is_fiscal_year(lower(words, index)));
    if is_fiscal_year(first) {
        return Some(1);
    }
    let is_period = |word: &str| {
        matches!(
            word,
            "q1" | "q2" | "q3" | "q4" | "h1" | "h2" | "1q" | "2q" | "3q" | "4q" | "1h" | "2h"
        )
    };
    if is_period(first) {
        let of = usize::from(matches!(lower(words, 1), "of" | "fy" | "fiscal"));
        let year = year_at(1 + of);
        return Some(if year > 0 { 1 + of + year } else { 1 });
    }
    if first.get(..2).is_some_and(is_period) {
        let year = first
            .get(2..)
            .unwrap_or_default()
            .trim_start_matches(['-', '/', '\'', '\u{2019}', 'f', 'y']);
        return (is_year(year) || year.len() == 2 && year.bytes().all(|byte| byte.is_ascii_digit())).then_some(1);
    }
    if matches!(first, "fy" | "fiscal" | "calendar") {
        let year_word = usize::from(matches!(lower(words, 1), "year" | "years"));
        return (year_at(1 + year_word) > 0).then_some(2 + year_word);
    }
    if matches!(first, "first" | "second" | "third" | "fourth" | "1st" | "2nd" | "3rd" | "4th")
        && matches!(lower(words, 1), "quarter" | "half")
    {
        let fill = (2..5)
            .take_while(|index| matches!(lower(words, *index), "of" | "the" | "fiscal" | "year"))
            .count();
        return Some(2 + if year_at(2 + fill) > 0 { fill + 1 } else { 0 });
    }
    None
}

/// Returns how many words at the start of `words` are an identifier: of a standard, a form, an article, a share.
fn identifier(words: &[Word]) -> usize {
    let Some(first) = words.first() else { return 0 };
    let starts_with_digit = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let is_upper = first.text.chars().all(|c| c.is_ascii_uppercase() || c == '/');
    if is_upper && holds(STANDARDS, &first.lower) && starts_with_digit(text(words, 1)) {
        return 2;
    }
    let is_share = |word: &str| (1..=5).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_uppercase());
    if first.text.strip_prefix('$').is_some_and(is_share) {
        return 1;
    }
    let exchanges = "nyse nasdaq lse asx tsx xetra amex";
    if holds(exchanges, &first.lower) && first.after.starts_with(':') && words.get(1).is_some_and(|next| is_share(next.text)) {
        return 2;
    }
    if first.before.ends_with('(') && first.after.starts_with(')') && first.text.len() >= 2 && is_share(first.text) {
        return 1;
    }
    let bytes = || first.text.bytes();
    let is_code = bytes().any(|byte| byte.is_ascii_digit())
        && bytes().any(|byte| byte.is_ascii_uppercase())
        && !bytes().any(|byte| byte.is_ascii_lowercase())
        && bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/' | b'.' | b'_' | b':'));
    let is_number_sign = first
        .text
        .strip_prefix('#')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    usize::from(is_number_sign || is_code && first.text.len() >= 3 && !is_common_code(&first.lower))
}

/// Returns whether a word only looks like an identifier.
fn is_common_code(word: &str) -> bool {
    matches!(word, "covid-19" | "co2" | "b2b" | "b2c" | "2fa" | "24/7") || word.starts_with("covid")
}

fn text<'a>(words: &[Word<'a>], index: usize) -> &'a str {
    words.get(index).map_or("", |word| word.text)
}

fn lower<'a>(words: &'a [Word], index: usize) -> &'a str {
    words.get(index).map_or("", |word| word.lower.as_str())
}

fn is_number(word: &str) -> bool {
    let word = word.strip_prefix(['-', '+', '\u{2212}', '~']).unwrap_or(word);
    word.starts_with(|c: char| c.is_ascii_digit()) && word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','))
}

/// Returns whether a word is a number, which may end with a letter for millions or the like.
fn is_amount(word: &str) -> bool {
    let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = word.get(number.len()..).unwrap_or_default().to_lowercase();
    is_number(number) && (scale.is_empty() || holds(SCALES, &scale))
}

fn is_year(word: &str) -> bool {
    word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit()) && (word.starts_with("19") || word.starts_with("20"))
}

fn is_fiscal_year(word: &str) -> bool {
    let year = ["fy", "cy"]
        .iter()
        .find_map(|prefix| word.strip_prefix(prefix))
        .map(|year| year.trim_start_matches(['\'', '\u{2019}', '-']));
    year.is_some_and(|year| is_year(year) || year.len() == 2 && year.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_day(word: &str) -> bool {
    let number = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|ending| word.strip_suffix(ending))
        .unwrap_or(word);
    number.len() <= 2 && number.parse::<u8>().is_ok_and(|day| (1..=31).contains(&day))
}

fn is_month(words: &[Word]) -> bool {
    words
        .first()
        .is_some_and(|word| holds(MONTHS, &word.lower) && (word.is_capitalized() || word.lower.len() > 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;
    use proptest::prelude::*;

    fn check(query: &str, expected: &[(&str, &str)]) {
        let words = words(query);
        let language = crate::language::language(query, &words);
        let found = entities(&words, language);
        let found: Vec<_> = found.iter().map(|entity| (entity.kind, &query[entity.at.clone()])).collect();
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn money_and_percentages() {
        check(
            "Did it cost $12.5 million or \u{20ac}3bn, or USD 1,000?",
            &[("money", "$12.5 million"), ("money", "\u{20ac}3bn"), ("money", "USD 1,000")],
        );
        check(
            "is 1.2 billion dollars more than 5 euros",
            &[("money", "1.2 billion dollars"), ("money", "5 euros")],
        );
        check(
            "grew by 12%, 3.5 percent or 25 basis points",
            &[
                ("percentage", "12%"),
                ("percentage", "3.5 percent"),
                ("percentage", "25 basis points"),
            ],
        );
    }

    #[test]
    fn dates_and_periods() {
        check(
            "between March 31, 2022 and 1 April 2023",
            &[("date", "March 31, 2022"), ("date", "1 April 2023")],
        );
        check(
            "in FY2022, FY22, Q2 2023 and 2Q23",
            &[("date", "FY2022"), ("date", "FY22"), ("date", "Q2 2023"), ("date", "2Q23")],
        );
        check(
            "the second quarter of 2023 or fiscal year 2021",
            &[("date", "second quarter of 2023"), ("date", "fiscal year 2021")],
        );
        check(
            "on 2022-03-31, in 2019-2021, in December",
            &[("date", "2022-03-31"), ("date", "2019-2021"), ("date", "December")],
        );
        check("may we march on 1500 items", &[]);
    }

    #[test]
    fn identifiers() {
        check(
            "does the 10-K mention ISO 9001 or SKU-123?",
            &[("identifier", "10-K"), ("identifier", "ISO 9001"), ("identifier", "SKU-123")],
        );
        check(
            "what is CVE-2024-1234, NYSE: ABC and $XYZ",
            &[("identifier", "CVE-2024-1234"), ("identifier", "NYSE: ABC"), ("identifier", "$XYZ")],
        );
        check("the effect of COVID-19 on it", &[]);
    }

    #[test]
    fn parts_of_organizations() {
        check("What is the budget for IT department?", &[("organization", "IT department")]);
        check(
            "Which team does the Customer Care Team report to?",
            &[("organization", "Customer Care Team")],
        );
        check("what is it, and which department is it in?", &[]);
    }

    #[test]
    fn names() {
        check("What is Acme's revenue?", &[("organization", "Acme")]);
        check(
            "Does Johnson & Johnson own Bank of Utopia?",
            &[("organization", "Johnson & Johnson"), ("organization", "Bank of Utopia")],
        );
        check(
            "Was Ann Lee paid by Acme Widgets, Inc. in Germany?",
            &[
                ("person", "Ann Lee"),
                ("organization", "Acme Widgets, Inc"),
                ("location", "Germany"),
            ],
        );
        check("Who is Zeb Quux?", &[("person", "Zeb Quux")]);
        check(
            "Which of PepsiCo, 3M and IBM has offices in New York?",
            &[
                ("organization", "PepsiCo"),
                ("organization", "3M"),
                ("organization", "IBM"),
                ("location", "New York"),
            ],
        );
        check("Revenue of the IT department", &[("organization", "IT department")]);
        check(
            "Wie hoch ist der Umsatz der Deutschen Bank im Jahr 2022?",
            &[("organization", "Deutschen Bank"), ("date", "2022")],
        );
        check("What Was The Total Revenue Growth Last Year", &[]);
    }

    proptest! {
        #[test]
        fn entities_are_ordered(query in "([A-Z]?[a-z]{1,6}|FY22|Q[1-4]|[0-9]{1,4}|\\$[0-9]|%|[.,'&-]|May|Inc|of| ){0,30}") {
            let words = words(&query);
            let found = entities(&words, None);
            prop_assert!(found.iter().all(|entity| query.get(entity.at.clone()).is_some_and(|text| !text.is_empty())));
            prop_assert!(found.windows(2).all(|two| two[0].at.end <= two[1].at.start));
        }
    }
}
