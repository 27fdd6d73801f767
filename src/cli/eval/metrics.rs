//! What is measured of one question: pure functions of what was found and what was to be found. `docs/eval.md` defines each.

use super::questions::{Gold, Position, Question};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Passages that are searched for.
pub const DEPTH: usize = 20;
/// Passages whose overlap with gold spans is measured.
pub const OVERLAP_DEPTH: usize = 5;
/// Passages that nDCG looks at.
const NDCG_DEPTH: usize = 10;
/// Where a hit is looked for: among so many of the first passages.
pub const HITS: [(usize, &str); 5] = [(1, "hit@1"), (3, "hit@3"), (5, "hit@5"), (10, "hit@10"), (20, "hit@20")];

/// All metrics, in the order in which they are shown. Each lies in [0,1], and more is better.
pub const METRICS: [&str; 15] = [
    "hit@1",
    "hit@3",
    "hit@5",
    "hit@10",
    "hit@20",
    "mrr@20",
    "ndcg@10",
    "recall@5",
    "precision@5",
    "iou@5",
    "answered",
    "gold_cited",
    "exact_citations",
    "answer_number",
    "answer_recall",
];

/// Metrics of one question, by name; those that do not apply to it are absent.
pub type Values = BTreeMap<String, f64>;

/// A stretch of a document: a passage that was found, or a quotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// File name.
    pub source: String,
    /// Identifier.
    pub document_id: String,
    /// From 1; absent where the format has no pages.
    pub page: Option<u32>,
    /// First code point.
    pub start: u64,
    /// After the last code point.
    pub end: u64,
    /// Its text.
    pub content: String,
    /// Relevance of a passage, confidence of a quotation: in [0,1].
    pub score: f64,
}

impl Found {
    fn is_of(&self, document: &str) -> bool {
        self.source == document || self.document_id == document
    }

    /// Whether this is what was to be found, or a part of it.
    pub fn finds(&self, gold: &Gold) -> bool {
        self.is_of(&gold.document)
            && match gold.place {
                Position::Anywhere => true,
                Position::Page(page) => self.page == Some(page),
                Position::Span(start, end) => self.start < end && start < self.end,
            }
    }
}

/// The rank, from 1, of the first passage that finds anything of what was to be found.
pub fn first_rank(gold: &[Gold], found: &[Found]) -> Option<usize> {
    let at = found.iter().position(|passage| gold.iter().any(|gold| passage.finds(gold)))?;
    Some(at + 1)
}

/// Metrics of a search's passages, best first, of which at most [`DEPTH`] count.
pub fn of_search(question: &Question, found: &[Found]) -> Values {
    let found = found.get(..DEPTH).unwrap_or(found);
    let mut values = Values::new();
    if question.gold.is_empty() {
        return values;
    }
    let rank = first_rank(&question.gold, found);
    for (most, name) in HITS {
        values.insert(name.to_owned(), f64::from(u8::from(rank.is_some_and(|rank| rank <= most))));
    }
    values.insert("mrr@20".to_owned(), rank.map_or(0.0, |rank| 1.0 / rank as f64));
    values.insert("ndcg@10".to_owned(), ndcg(&question.gold, found));
    if question.has_spans() {
        let overlap = Overlap::new(&question.gold, found.get(..OVERLAP_DEPTH).unwrap_or(found));
        values.insert("recall@5".to_owned(), overlap.recall());
        values.insert("precision@5".to_owned(), overlap.precision());
        values.insert("iou@5".to_owned(), overlap.iou());
    }
    values
}

/// Normalized discounted cumulative gain with binary gains: everything that was to be found counts once, at the rank where it is first
/// found. The ideal order finds one thing at each rank; a passage that finds several at once cannot do better than that.
fn ndcg(gold: &[Gold], found: &[Found]) -> f64 {
    let discount = |rank: usize| 1.0 / ((rank + 1) as f64).log2();
    let found = found.get(..NDCG_DEPTH).unwrap_or(found);
    let gain: f64 = gold
        .iter()
        .filter_map(|gold| found.iter().position(|passage| passage.finds(gold)))
        .map(|at| discount(at + 1))
        .sum();
    let ideal: f64 = (1..=gold.len().min(NDCG_DEPTH)).map(discount).sum();
    (gain / ideal.max(f64::EPSILON)).min(1.0)
}

/// Characters that passages and gold spans have in common.
struct Overlap {
    common: u64,
    gold: u64,
    /// Of all passages, those that overlap counted twice.
    found: u64,
}

impl Overlap {
    fn new(gold: &[Gold], found: &[Found]) -> Self {
        let mut wanted: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
        for gold in gold {
            if let Position::Span(start, end) = gold.place {
                wanted.entry(&gold.document).or_default().push((start, end));
            }
        }
        let (mut all, mut common) = (0, 0);
        for (document, spans) in wanted {
            let spans = union(spans);
            let passages = found.iter().filter(|passage| passage.is_of(document));
            let passages = union(passages.map(|passage| (passage.start, passage.end)).collect());
            all += length(&spans);
            for (start, end) in spans {
                let shared = |(from, to): &(u64, u64)| end.min(*to).saturating_sub(start.max(*from));
                common += passages.iter().map(shared).sum::<u64>();
            }
        }
        Self {
            common,
            gold: all,
            found: found.iter().map(|passage| passage.end.saturating_sub(passage.start)).sum(),
        }
    }

    fn recall(&self) -> f64 {
        self.common as f64 / self.gold.max(1) as f64
    }

    fn precision(&self) -> f64 {
        self.common as f64 / self.found.max(1) as f64
    }

    fn iou(&self) -> f64 {
        self.common as f64 / (self.found + self.gold).saturating_sub(self.common).max(1) as f64
    }
}

/// The same stretches, sorted, none touching another.
fn union(mut spans: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    spans.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match joined.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => joined.push((start, end)),
        }
    }
    joined
}

fn length(spans: &[(u64, u64)]) -> u64 {
    spans.iter().map(|(start, end)| end - start).sum()
}

/// Metrics of an answer. Whether its quotations are exact is added when the documents' texts have been looked at.
pub fn of_answer(question: &Question, answer: &str, cited: &[Found]) -> Values {
    let mut values = Values::new();
    let share = |holds: bool| f64::from(u8::from(holds));
    values.insert("answered".to_owned(), share(!cited.is_empty()));
    if !question.gold.is_empty() {
        let hit = first_rank(&question.gold, cited).is_some();
        values.insert("gold_cited".to_owned(), share(hit));
    }
    if let Some(gold) = &question.answer {
        match number(gold) {
            Some(wanted) => {
                values.insert("answer_number".to_owned(), share(figures(answer).any(|figure| figure == wanted)));
            }
            None => {
                if let Some(recall) = word_recall(gold, answer) {
                    values.insert("answer_recall".to_owned(), recall);
                }
            }
        }
    }
    values
}

/// The figure that a gold answer is, if it is one and nothing more: `$1,577.00 million` is `1577`.
fn number(answer: &str) -> Option<String> {
    let rest = answer.trim();
    let rest = rest.strip_suffix('.').unwrap_or(rest).trim_end();
    let rest = ["million", "billion"]
        .iter()
        .find_map(|unit| rest.strip_suffix(unit))
        .unwrap_or(rest)
        .trim_end();
    let rest = rest.strip_suffix('%').unwrap_or(rest).trim_end();
    let rest = rest.strip_prefix('$').unwrap_or(rest);
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = whole.bytes().any(|byte| byte.is_ascii_digit()) && digits(&whole.replace(',', "")) && digits(fraction);
    (fits && !(rest.contains('.') && fraction.is_empty())).then(|| plain(rest))
}

/// Figures of a text, as [`number`] writes them.
fn figures(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !(c.is_ascii_digit() || matches!(c, ',' | '.')))
        .filter(|piece| piece.bytes().any(|byte| byte.is_ascii_digit()))
        .map(plain)
}

/// Without separators of thousands, and without zeros that end a fraction.
fn plain(figure: &str) -> String {
    let figure = figure.replace(',', "");
    let figure = figure.trim_matches('.');
    match figure.contains('.') {
        true => figure.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => figure.to_owned(),
    }
}

/// Words that carry no meaning of their own.
const EMPTY: [&str; 32] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "have", "in", "is", "it", "its", "of", "on", "or", "that",
    "the", "their", "there", "this", "to", "was", "were", "which", "with", "yes", "no", "not",
];

/// The share of the gold answer's words that the answer has; `None` where it has none that mean anything.
fn word_recall(gold: &str, answer: &str) -> Option<f64> {
    let words = |text: &str| -> HashSet<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words
            .map(str::to_lowercase)
            .filter(|word| !EMPTY.contains(&word.as_str()))
            .collect()
    };
    let gold = words(gold);
    if gold.is_empty() {
        return None;
    }
    let answer = words(answer);
    Some(gold.intersection(&answer).count() as f64 / gold.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(document: &str, page: u32) -> Found {
        Found {
            source: document.to_owned(),
            document_id: format!("id-{document}"),
            page: Some(page),
            start: 0,
            end: 10,
            content: String::new(),
            score: 0.5,
        }
    }

    fn span(document: &str, start: u64, end: u64) -> Found {
        Found {
            start,
            end,
            page: None,
            ..page(document, 1)
        }
    }

    fn asks(gold: Vec<(&str, Position)>, answer: Option<&str>) -> Question {
        let gold = gold.into_iter().map(|(document, place)| Gold {
            document: document.to_owned(),
            place,
        });
        Question {
            id: "q".to_owned(),
            text: "?".to_owned(),
            gold: gold.collect(),
            answer: answer.map(str::to_owned),
        }
    }

    fn near(values: &Values, name: &str, expected: f64) {
        assert!((values[name] - expected).abs() < 1e-9, "{name}: {} is not {expected}", values[name]);
    }

    #[test]
    fn ranks_of_pages_by_hand() {
        let question = asks(vec![("a.pdf", Position::Page(4)), ("a.pdf", Position::Page(7))], None);
        // The page of another document, and another page, are none.
        let found = [
            page("b.pdf", 4),
            page("a.pdf", 5),
            page("a.pdf", 7),
            page("a.pdf", 7),
            page("a.pdf", 4),
        ];
        let values = of_search(&question, &found);
        for (name, expected) in [("hit@1", 0.0), ("hit@3", 1.0), ("hit@20", 1.0), ("mrr@20", 1.0 / 3.0)] {
            near(&values, name, expected);
        }
        // Page 7 at rank 3, page 4 at rank 5; ideal are ranks 1 and 2. The second passage of page 7 gains nothing.
        let expected = (1.0 / 4f64.log2() + 1.0 / 6f64.log2()) / (1.0 + 1.0 / 3f64.log2());
        near(&values, "ndcg@10", expected);
        assert!(!values.contains_key("recall@5"));
        near(&of_search(&question, &[]), "mrr@20", 0.0);
        // By its identifier a document is the same.
        let question = asks(vec![("id-b.pdf", Position::Anywhere)], None);
        near(&of_search(&question, &found), "ndcg@10", 1.0);
    }

    #[test]
    fn overlap_of_spans_by_hand() {
        let question = asks(vec![("a.md", Position::Span(10, 20)), ("a.md", Position::Span(15, 30))], None);
        // Gold are 20 characters. Found are 15 + 10 + 5 = 30 in length; of the gold 10..25 is found, the overlap of the passages once.
        let found = [span("a.md", 10, 25), span("a.md", 12, 22), span("b.md", 10, 15)];
        let values = of_search(&question, &found);
        near(&values, "recall@5", 15.0 / 20.0);
        near(&values, "precision@5", 15.0 / 30.0);
        near(&values, "iou@5", 15.0 / 35.0);
        // Touching is not overlapping.
        near(&of_search(&question, &[span("a.md", 0, 10)]), "hit@20", 0.0);
        // The sixth passage does not count.
        let mut late = vec![span("b.md", 0, 1); 5];
        late.push(span("a.md", 10, 30));
        let values = of_search(&question, &late);
        near(&values, "recall@5", 0.0);
        near(&values, "hit@10", 1.0);
        near(&values, "mrr@20", 1.0 / 6.0);
    }

    #[test]
    fn answers_are_compared_with_gold_ones() {
        let cited = [page("a.pdf", 4)];
        let question = asks(vec![("a.pdf", Position::Page(4))], Some("$1,577.00 million"));
        let values = of_answer(&question, "It was $1577 [1].", &cited);
        for name in ["answered", "gold_cited", "answer_number"] {
            near(&values, name, 1.0);
        }
        near(&of_answer(&question, "It was 15,770 or 1577.5.", &cited), "answer_number", 0.0);
        let values = of_answer(&question, "Nothing was found.", &[]);
        near(&values, "answered", 0.0);
        near(&values, "gold_cited", 0.0);
        let question = asks(Vec::new(), Some("Yes. The gross margin is falling."));
        let values = of_answer(&question, "Gross margin fell", &[]);
        near(&values, "answer_recall", 2.0 / 3.0);
        assert!(!values.contains_key("gold_cited") && !values.contains_key("answer_number"));
        assert!(of_search(&question, &cited).is_empty());
    }

    #[test]
    fn gold_answers_that_are_one_number_are_recognised() {
        for (answer, expected) in [
            ("$1577.00", Some("1577")),
            ("1,577", Some("1577")),
            ("0.66", Some("0.66")),
            (" 9.5 %. ", Some("9.5")),
            ("$8.70 billion", Some("8.7")),
            ("100", Some("100")),
            ("24.26 times", None),
            ("-3", None),
            ("", None),
            (",", None),
            ("1.2.3", None),
        ] {
            assert_eq!(number(answer).as_deref(), expected, "{answer}");
        }
    }

    proptest! {
        #[test]
        fn values_lie_in_the_unit_interval_and_more_passages_find_no_less(
            gold in prop::collection::vec((0u8..3, 0u64..60, 1u64..30), 1..5),
            found in prop::collection::vec((0u8..3, 0u64..60, 1u64..30), 0..25),
        ) {
            let gold: Vec<(String, Position)> = gold.iter().map(|(d, s, l)| (d.to_string(), Position::Span(*s, s + l))).collect();
            let question = asks(gold.iter().map(|(d, place)| (d.as_str(), *place)).collect(), None);
            let found: Vec<Found> = found.iter().map(|(d, s, l)| span(&d.to_string(), *s, s + l)).collect();
            let values = of_search(&question, &found);
            prop_assert!(values.values().all(|value| (0.0..=1.0).contains(value)), "{values:?}");
            let hits: Vec<f64> = HITS.iter().map(|(_, name)| values[*name]).collect();
            prop_assert!(hits.is_sorted());
            // By characters, one by one, the overlap is the same.
            let of = |place: Position| match place { Position::Span(s, e) => s..e, _ => 0..0 };
            let wanted: HashSet<(&str, u64)> = question.gold.iter().flat_map(|g| of(g.place).map(|c| (g.document.as_str(), c))).collect();
            let top = &found[..found.len().min(OVERLAP_DEPTH)];
            let got: HashSet<(&str, u64)> = top.iter().flat_map(|f| (f.start..f.end).map(|c| (f.source.as_str(), c))).collect();
            let recall = wanted.intersection(&got).count() as f64 / wanted.len() as f64;
            prop_assert!((values["recall@5"] - recall).abs() < 1e-9);
        }

        #[test]
        fn a_figure_is_found_however_it_is_grouped(whole in 0u32..10_000_000, cents in 0u8..100) {
            let grouped = format!("${}.{cents:02}", super::super::super::console::grouped(u64::from(whole)));
            let wanted = number(&grouped).expect("a number");
            let found = figures(&format!("It was {whole}.{cents:02}, they said.")).any(|figure| figure == wanted);
            prop_assert!(found);
        }
    }
}
