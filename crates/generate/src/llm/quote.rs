//! Chooses the quotation for a statement and the passage that it cites: the sentence of the passage, or a few adjacent ones, that support
//! the statement best.

use super::super::extractive::cosine;
use super::super::sentences::statements;
use super::super::words::words;
use super::super::{Passage, Quotation};
use super::prompt::Shown;
use ibid_embed::Model;
use ibid_types::document::Span;
use std::collections::{HashMap, HashSet};

/// The most sentences of a passage that are compared by the embedder, for one statement.
const CANDIDATES: usize = 12;
/// The share of the statement's words (by weight) that a neighbouring sentence must add to be quoted too.
const ADDS: f32 = 0.2;
/// The longest quotation of several sentences, in bytes.
const LONGEST: usize = 800;

struct Sentence {
    at: Span,
    text: String,
    words: HashSet<String>,
    vector: Option<Vec<f32>>,
}

/// Finds quotations for one answer. Caches what it has computed of each passage.
pub struct Quoter {
    embedder: Model,
    passages: HashMap<usize, Vec<Sentence>>,
}

impl Quoter {
    /// Makes one that compares with `embedder`.
    pub fn new(embedder: Model) -> Self {
        Self {
            embedder,
            passages: HashMap::new(),
        }
    }

    /// Returns the part of `passage` that supports `statement` best. `None` if it has no sentence.
    pub async fn quote(&mut self, statement: &str, shown: &Shown, passage: &Passage) -> Option<Quotation> {
        let sentences = self
            .passages
            .entry(shown.passage)
            .or_insert_with(|| sentences(passage, shown.length));
        let weights = weights(statement, sentences);
        let overlaps: Vec<f32> = sentences
            .iter()
            .map(|sentence| share(&weights, |word| sentence.words.contains(word)))
            .collect();
        let mut candidates: Vec<usize> = (0..sentences.len()).collect();
        candidates.sort_by(|a, b| at(&overlaps, *b).total_cmp(&at(&overlaps, *a)).then(a.cmp(b)));
        candidates.truncate(CANDIDATES);
        let asked = embed(&self.embedder, statement, sentences, &candidates).await;
        let evidence = |n: usize| -> f32 {
            let cosine = match (&asked, sentences.get(n).and_then(|sentence| sentence.vector.as_ref())) {
                (Some(asked), Some(vector)) => cosine(asked, vector),
                // Without the embedder, words alone decide.
                _ => at(&overlaps, n),
            };
            0.6 * cosine + 0.4 * at(&overlaps, n)
        };
        let best = *candidates
            .iter()
            .max_by(|a, b| evidence(**a).total_cmp(&evidence(**b)).then(b.cmp(a)))?;
        let confidence = evidence(best).clamp(0.0, 1.0);
        let span = extended(best, sentences, &weights)?;
        Some(Quotation {
            passage: shown.passage,
            at: span,
            confidence,
        })
    }
}

fn at(shares: &[f32], n: usize) -> f32 {
    shares.get(n).copied().unwrap_or_default()
}

/// Returns the sentences of the shown part of a passage. A heading counts only where there is nothing else.
fn sentences(passage: &Passage, shown: usize) -> Vec<Sentence> {
    let Some(text) = passage.text.get(..shown) else { return Vec::new() };
    let all: Vec<Sentence> = statements(text)
        .into_iter()
        .filter_map(|range| {
            let start = passage.at.start.checked_add(u32::try_from(range.start).ok()?)?;
            let end = passage.at.start.checked_add(u32::try_from(range.end).ok()?)?;
            let text = text.get(range)?;
            Some(Sentence {
                at: Span::new(start, end),
                text: text.to_owned(),
                words: words(text),
                vector: None,
            })
        })
        .collect();
    match all.iter().all(|sentence| is_heading(&sentence.text)) {
        true => all,
        false => all.into_iter().filter(|sentence| !is_heading(&sentence.text)).collect(),
    }
}

fn is_heading(text: &str) -> bool {
    text.starts_with('#')
}

/// Returns the statement's words with their weights: words that are rare in the passage weigh more.
fn weights(statement: &str, sentences: &[Sentence]) -> HashMap<String, f32> {
    let total = sentences.len() as f32;
    let weight = |word: &String| {
        let found = sentences.iter().filter(|sentence| sentence.words.contains(word)).count();
        (1.0 + total / (1.0 + found as f32)).ln()
    };
    words(statement).into_iter().map(|word| (word.clone(), weight(&word))).collect()
}

/// Returns the share of all words, by weight, that are `held`.
fn share(weights: &HashMap<String, f32>, held: impl Fn(&String) -> bool) -> f32 {
    let all: f32 = weights.values().sum();
    let of_those: f32 = weights.iter().filter(|(word, _)| held(word)).map(|(_, weight)| weight).sum();
    of_those / all.max(f32::EPSILON)
}

/// Returns the vectors of the statement and, cached with them, of the candidates. `None` if the embedder fails: a quotation that is chosen
/// by words is better than an answer that breaks off.
async fn embed(embedder: &Model, statement: &str, sentences: &mut [Sentence], candidates: &[usize]) -> Option<Vec<f32>> {
    let new: Vec<usize> = candidates
        .iter()
        .copied()
        .filter(|n| sentences.get(*n).is_some_and(|sentence| sentence.vector.is_none()))
        .collect();
    let mut texts = vec![statement.to_owned()];
    texts.extend(new.iter().filter_map(|n| sentences.get(*n)).map(|sentence| sentence.text.clone()));
    let vectors = match embedder.embed_queries(texts).await {
        Ok(vectors) => vectors,
        Err(error) => {
            tracing::warn!(%error, "a quotation is chosen without the embedder");
            return None;
        }
    };
    let mut vectors = vectors.into_iter();
    let asked = vectors.next();
    for (n, vector) in new.into_iter().zip(vectors) {
        if let Some(sentence) = sentences.get_mut(n) {
            sentence.vector = Some(vector);
        }
    }
    asked
}

/// Returns the best sentence, with the neighbours that contain more of the statement's words.
fn extended(best: usize, sentences: &[Sentence], weights: &HashMap<String, f32>) -> Option<Span> {
    let (mut first, mut last) = (best, best);
    let mut span = sentences.get(best)?.at;
    loop {
        let held = |word: &String| {
            sentences
                .get(first..=last)
                .is_some_and(|some| some.iter().any(|s| s.words.contains(word)))
        };
        let adds = |n: Option<usize>| {
            let sentence = sentences.get(n?)?;
            let gain = share(weights, |word| sentence.words.contains(word) && !held(word));
            let whole = Span::new(span.start.min(sentence.at.start), span.end.max(sentence.at.end));
            (gain >= ADDS && whole.len() as usize <= LONGEST).then_some((gain, n?, whole))
        };
        let (before, after) = (adds(first.checked_sub(1)), adds(last.checked_add(1)));
        let next = before.into_iter().chain(after).max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, n, whole)) = next else { return Some(span) };
        span = whole;
        first = first.min(n);
        last = last.max(n);
    }
}

/// Returns the statement that a citation belongs to, from the text since the last citation (`uncited`) and the statement before (`before`):
/// the last sentence, or its part since the last citation. If that is next to nothing ("and [2]"), the statement before is added.
pub fn statement(uncited: &str, before: &str) -> String {
    let last = statements(uncited).pop().and_then(|range| uncited.get(range)).unwrap_or_default();
    if words(last).len() >= 2 {
        return last.to_owned();
    }
    let text = format!("{before} {last}");
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(text: &str) -> Passage {
        Passage {
            document_id: "doc_1".into(),
            source: "a.txt".into(),
            section: Vec::new(),
            at: Span::new(1_000, 1_000 + text.len() as u32),
            text: text.into(),
            page: None,
            header: String::new(),
            relevance: 1.0,
        }
    }

    fn best(text: &str, statement: &str) -> String {
        let passage = passage(text);
        let sentences = sentences(&passage, text.len());
        let weights = weights(statement, &sentences);
        let overlap = |n: &usize| share(&weights, |word| sentences[*n].words.contains(word));
        let best = (0..sentences.len())
            .max_by(|a, b| overlap(a).total_cmp(&overlap(b)).then(b.cmp(a)))
            .unwrap();
        let span = extended(best, &sentences, &weights).unwrap();
        text[span.start as usize - 1_000..span.end as usize - 1_000].to_owned()
    }

    const TEXT: &str =
        "# Budget\nThe company has two offices. The IT budget is 4.2 million dollars. It grew by 7 % in 2023. Nobody complained.";

    #[test]
    fn the_sentence_with_the_statements_words_is_quoted_exactly() {
        assert_eq!(
            best(TEXT, "The budget for IT is 4.2 million"),
            "The IT budget is 4.2 million dollars."
        );
        assert_eq!(best(TEXT, "There are two offices"), "The company has two offices.");
    }

    #[test]
    fn a_statement_over_two_sentences_quotes_both() {
        assert_eq!(
            best(TEXT, "The IT budget is 4.2 million dollars after it grew 7 % in 2023"),
            "The IT budget is 4.2 million dollars. It grew by 7 % in 2023."
        );
    }

    #[test]
    fn only_what_was_shown_is_quoted_and_headings_are_not() {
        let passage = passage(TEXT);
        let shown = sentences(&passage, TEXT.find("It grew").unwrap());
        let texts: Vec<&str> = shown.iter().map(|sentence| sentence.text.as_str()).collect();
        assert_eq!(texts, ["The company has two offices.", "The IT budget is 4.2 million dollars."]);
        assert_eq!(sentences(&super::tests::passage("# Alone"), 7).len(), 1);
    }

    #[test]
    fn the_statement_of_a_citation_is_its_sentence_or_the_one_before() {
        assert_eq!(statement("First things. The gain was large", ""), "The gain was large");
        assert_eq!(statement(" The gain was large.", "x"), "The gain was large.");
        assert_eq!(statement(" and", "The gain was large."), "The gain was large. and");
        assert_eq!(statement("", "The gain was large."), "The gain was large.");
        assert_eq!(statement("", ""), "");
    }
}
