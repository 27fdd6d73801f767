//! Plans the searches: the question itself, and a few others.

use crate::config::Config;
use crate::entities::Entity;
use crate::intent::Intent;
use crate::lexicon::{ABBREVIATIONS, STOP, holds};
use crate::metrics;
use crate::words::Word;
use std::ops::Range;

/// The weight of the search for the rows that a figure is computed from.
const ROWS: f32 = 0.4;
/// The weight of the search for a statement by its names in reports.
const STATEMENT: f32 = 0.4;
/// The weight of the search for one side of a comparison; the question's own is 1.
const SIDE: f32 = 0.7;
/// The weight of the question with its abbreviations spelled out.
const SPELLED_OUT: f32 = 0.5;
/// The weight of the keywords of a long question.
const KEYWORDS: f32 = 0.3;
/// A question with this many words has enough that is not its subject for keywords to help.
const LONG: usize = 12;

/// The effort for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// The question, and the searches that it cannot be answered without.
    Balanced,
    /// All searches that may help.
    Full,
}

/// Returns the searches for a question, the most important first, each with its weight. The first one is the question as it is.
pub fn searches(
    query: &str,
    words: &[Word],
    intent: Intent,
    entities: &[Entity],
    language: Option<&str>,
    effort: Effort,
    config: &Config,
) -> Vec<(String, f32)> {
    let mut found = vec![(query.to_owned(), 1.0)];
    let is_english = language.is_none_or(|language| language == "en");
    if config.expansion && is_english {
        let statements = metrics::statements(words).map(|names| (names, STATEMENT));
        found.extend(statements);
        found.extend(metrics::rows(words).map(|rows| (rows, ROWS)));
    }
    if effort == Effort::Full && intent == Intent::Comparative {
        let mut sides = named_sides(words, entities, config.max_searches);
        if sides.len() < 2 {
            sides = spoken_sides(words);
        }
        found.extend(sides.into_iter().map(|side| (side, SIDE)));
    }
    if effort == Effort::Full && config.expansion && is_english {
        found.extend(spelled_out(query, words).map(|text| (text, SPELLED_OUT)));
        found.extend(keywords(words).map(|text| (text, KEYWORDS)));
    }
    let mut seen: Vec<String> = Vec::new();
    found.retain(|(text, _)| {
        let key = text.trim().to_lowercase();
        let is_new = seen.is_empty() || !key.is_empty() && !seen.contains(&key);
        seen.push(key);
        is_new
    });
    found.truncate(config.max_searches.max(1));
    found
}

/// Returns, for each of several things of one kind that the question names (the first `limit` of them), the question without the others.
fn named_sides(words: &[Word], entities: &[Entity], limit: usize) -> Vec<String> {
    let of_kind = |kind: &str| entities.iter().filter(|entity| entity.kind == kind).collect::<Vec<_>>();
    let kinds = ["organization", "person", "location", "identifier", "date"];
    let Some(group) = kinds.iter().map(|kind| of_kind(kind)).find(|group| group.len() > 1) else {
        return Vec::new();
    };
    // The thing that each word is a part of.
    let mut part_of: Vec<Option<usize>> = vec![None; words.len()];
    for (number, entity) in group.iter().enumerate() {
        for part in part_of.get_mut(entity.words.clone()).unwrap_or_default() {
            *part = Some(number);
        }
    }
    let side = |one: usize| {
        let kept = words
            .iter()
            .zip(&part_of)
            .filter(|(word, part)| part.map_or(!is_comparing(word), |number| number == one));
        kept.map(|(word, _)| word.text).collect::<Vec<_>>().join(" ")
    };
    (0..group.len().min(limit)).map(side).collect()
}

/// Returns the two sides of `A vs B`, `compare A and B`, `the difference between A and B`.
fn spoken_sides(words: &[Word]) -> Vec<String> {
    let position = |from: usize, wanted: &[&str]| {
        let tail = words.iter().enumerate().skip(from);
        tail.into_iter()
            .find(|(_, word)| wanted.contains(&word.lower.as_str()))
            .map(|(index, _)| index)
    };
    let split = if let Some(middle) = position(0, &["vs", "versus"]) {
        Some((0..middle, middle + 1))
    } else if let Some(start) = position(0, &["between", "compare"]) {
        let middle = position(start + 1, &["and", "to", "with"]);
        middle.map(|middle| (start + 1..middle, middle + 1))
    } else {
        None
    };
    let Some((left, right)) = split else { return Vec::new() };
    let sides = [phrase(words, left), phrase(words, right..words.len())];
    if sides.iter().any(String::is_empty) {
        Vec::new()
    } else {
        sides.into()
    }
}

/// Returns words as they are written, without those that only ask or compare.
fn phrase(words: &[Word], range: Range<usize>) -> String {
    let words = words.get(range).unwrap_or_default();
    let start = words.iter().position(|word| !holds(STOP, &word.lower)).unwrap_or(words.len());
    let kept = words.get(start..).unwrap_or_default().iter().filter(|word| !is_comparing(word));
    kept.map(|word| word.text).collect::<Vec<_>>().join(" ")
}

fn is_comparing(word: &Word) -> bool {
    holds(
        "compare compared comparison comparing between versus vs and or difference differences differ which better worse higher lower both",
        &word.lower,
    )
}

/// Returns the question with its abbreviations spelled out, if it has any.
fn spelled_out(query: &str, words: &[Word]) -> Option<String> {
    let mut text = String::new();
    let mut end = 0;
    for word in words {
        if let Some(full) = full_form(&word.lower) {
            text.push_str(query.get(end..word.start)?);
            text.push_str(&full);
            end = word.end();
        }
    }
    text.push_str(query.get(end..)?);
    (end > 0).then_some(text)
}

fn full_form(word: &str) -> Option<String> {
    if let Some((_, full)) = ABBREVIATIONS.iter().find(|(short, _)| *short == word) {
        return Some((*full).to_owned());
    }
    let year = |digits: &str| match digits.len() {
        _ if !digits.bytes().all(|byte| byte.is_ascii_digit()) => None,
        4 => Some(digits.to_owned()),
        2 => Some(format!("20{digits}")),
        _ => None,
    };
    if let Some(digits) = word.strip_prefix("fy") {
        return year(digits.trim_start_matches(['\'', '\u{2019}'])).map(|year| format!("fiscal year {year}"));
    }
    let quarter = match word.get(..2)? {
        "q1" | "1q" => "first quarter",
        "q2" | "2q" => "second quarter",
        "q3" | "3q" => "third quarter",
        "q4" | "4q" => "fourth quarter",
        _ => return None,
    };
    match word.get(2..)?.trim_start_matches(['-', '\'', '\u{2019}']) {
        "" => Some(quarter.to_owned()),
        digits => year(digits).map(|year| format!("{quarter} {year}")),
    }
}

/// Returns the words of a long question that name its subject.
fn keywords(words: &[Word]) -> Option<String> {
    if words.len() < LONG {
        return None;
    }
    let mut seen: Vec<&str> = Vec::new();
    for word in words.iter().filter(|word| !holds(STOP, &word.lower)) {
        if !seen.iter().any(|other| other.eq_ignore_ascii_case(word.text)) && seen.len() < 32 {
            seen.push(word.text);
        }
    }
    (seen.len() >= 3).then(|| seen.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entities::entities, intent::intent, language::language, words::words};
    use proptest::prelude::*;

    fn plan(query: &str, config: &Config) -> Vec<(String, f32)> {
        let words = words(query);
        let language = language(query, &words);
        searches(
            query,
            &words,
            intent(query, &words).0,
            &entities(&words, language),
            language,
            Effort::Full,
            config,
        )
    }

    fn check(query: &str, others: &[(&str, f32)]) {
        let found = plan(query, &Config::default());
        let found: Vec<_> = found.iter().map(|(text, weight)| (text.as_str(), *weight)).collect();
        assert_eq!(found, [&[(query, 1.0)], others].concat());
    }

    #[test]
    fn a_plain_question_is_one_search() {
        check("What is Acme's net revenue?", &[]);
        check("", &[]);
        check("Wie hoch war das EBITDA?", &[]);
    }

    #[test]
    fn comparisons_search_for_each_side() {
        check(
            "Compare the revenue of Acme and Bolt in 2022",
            &[("the revenue of Acme in 2022", SIDE), ("the revenue of Bolt in 2022", SIDE)],
        );
        check(
            "What is the difference between a lease and a rental?",
            &[("lease", SIDE), ("rental", SIDE)],
        );
        check("postgres vs sqlite", &[("postgres", SIDE), ("sqlite", SIDE)]);
    }

    #[test]
    fn abbreviations_are_spelled_out() {
        check(
            "What was the opex in FY22?",
            &[("What was the operating expenses in fiscal year 2022?", SPELLED_OUT)],
        );
        check(
            "CAGR of 2Q23",
            &[("compound annual growth rate of second quarter 2023", SPELLED_OUT)],
        );
        let plain = Config {
            expansion: false,
            ..Config::default()
        };
        assert_eq!(plan("What was the capex?", &plain).len(), 1);
    }

    #[test]
    fn figures_are_searched_for_by_their_rows_in_every_mode() {
        let question = "Compare the gross margin of Acme and Bolt";
        check(
            question,
            &[("gross profit, cost of sales, net sales", ROWS), ("the gross margin of Acme", SIDE)],
        );
        let read = words(question);
        let found = entities(&read, Some("en"));
        let balanced = searches(
            question,
            &read,
            Intent::Comparative,
            &found,
            Some("en"),
            Effort::Balanced,
            &Config::default(),
        );
        let texts: Vec<&str> = balanced.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, [question, "gross profit, cost of sales, net sales"]);
    }

    #[test]
    fn statements_are_searched_for_by_the_names_that_reports_give_them() {
        check(
            "What was the capex by the cash flow statement?",
            &[
                ("consolidated statements of cash flows", STATEMENT),
                // At most three searches by default: none is left for the question spelled out.
                ("capital expenditures, purchases of property, plant and equipment", ROWS),
            ],
        );
    }

    #[test]
    fn long_questions_search_for_their_keywords() {
        check(
            "Could you please tell me which warehouses we use when a customer returns an order?",
            &[("warehouses customer returns order", KEYWORDS)],
        );
    }

    #[test]
    fn there_are_never_too_many() {
        let one = Config {
            max_searches: 1,
            ..Config::default()
        };
        assert_eq!(plan("Compare the capex of Acme and Bolt", &one).len(), 1);
        assert_eq!(
            plan("Compare the capex of Acme, Bolt, Cog, Dent and Elk", &Config::default()).len(),
            3
        );
    }

    proptest! {
        #[test]
        fn plans_are_as_they_must_be(query in "(compare |vs |between |and |[A-Z][a-z]{2,5} |FY22 |capex |[a-z]{1,8} |\\? |é|1q|q1'){0,20}", max in 1_usize..8) {
            let found = plan(&query, &Config { max_searches: max, expansion: true });
            prop_assert!((1..=max).contains(&found.len()));
            prop_assert_eq!(&found[0], &(query, 1.0));
            prop_assert!(found.iter().skip(1).all(|(text, weight)| !text.trim().is_empty() && *weight > 0.0 && *weight < 1.0));
        }
    }
}
