//! The built-in generator: quotes the statements of the passages that answer the question best. It needs no language model, and cannot
//! invent.
//!
//! Statements are ranked twice: first cheaply, by the words of the question that they contain, then, those that remain, by the embedder as
//! well. Redundant ones are removed by maximal marginal relevance (Carbonell and Goldstein, 1998). If the question asks for a figure, table
//! rows rank higher, and the answer has only the figures of the years in the question.
//!
//! The weights and the thresholds were measured: `docs/quality.md`.

use super::figures::{self, Row};
use super::sentences::statements;
use super::words::{is_caption, is_scrap, words};
use super::{GenerateError, Generated, Generator, Passage, Piece, Quotation, Request, Sink};
use async_trait::async_trait;
use ibid_embed::Model;
use ibid_protocol::Mode;
use ibid_types::document::Span;
use std::collections::{HashMap, HashSet};

/// The effort of a mode, and the length of its answers.
struct Effort {
    /// Statements that are compared by the embedder: about 25 tokens each.
    candidates: usize,
    /// The most statements of an answer.
    statements: usize,
}

fn effort(mode: Mode) -> Effort {
    match mode {
        Mode::Speed => Effort {
            candidates: 16,
            statements: 3,
        },
        Mode::Balanced => Effort {
            candidates: 64,
            statements: 5,
        },
        Mode::Comprehensive => Effort {
            candidates: 128,
            statements: 6,
        },
    }
}

/// The least sum of the best statement's cosine with the question and its passage's relevance. Below it, nothing is answered. It rejects
/// one of 417 questions that the documents answer, and nine of ten of 300 questions about other documents.
const ENOUGH: f32 = 0.95;
/// The least cosine of the best statement: in a small collection the most relevant passage may be beside the point.
const RELATED: f32 = 0.3;
/// The least evidence of a further statement, as a share of the best one's.
const COMPARABLE: f32 = 0.6;
/// The weight of relevance against novelty.
const RELEVANCE_WEIGHT: f32 = 0.75;
/// The penalty of a statement for each chosen one of its page: another page may hold what this one lacks.
const SAME_PAGE: f32 = 0.3;
/// The most phrasings, besides the question, that statements are compared with.
const PHRASINGS: usize = 3;
/// The bonus of a table row if the question asks for a figure.
const FIGURE: f32 = 0.1;

/// A generator that quotes statements of the passages. Cheap to clone.
#[derive(Clone)]
pub struct Extractive {
    embedder: Model,
}

impl Extractive {
    /// Makes a generator that compares with `embedder`.
    pub fn new(embedder: Model) -> Self {
        Self { embedder }
    }
}

struct Candidate {
    passage: usize,
    /// Its span in the document.
    at: Span,
    text: String,
    /// Its label and figures, if it is a table row.
    row: Option<Row>,
    /// The share of the question's words that it contains, by weight: [0,1].
    overlap: f32,
    /// The relevance of its passage: [0,1].
    relevance: f32,
    /// The relevance as a share of the best passage's.
    rank: f32,
    /// Whether it is a table row and the question asks for a figure.
    fits: bool,
    /// Identifies its page, or in a document without pages its passage.
    page: (String, u32),
    vector: Vec<f32>,
    /// Its cosine with the question.
    cosine: f32,
    /// Its largest cosine with the question or one of its phrasings.
    nearest: f32,
}

impl Candidate {
    /// Returns how well it answers, about [0,1]: from the relevance of its passage, its meaning, and the question's own words (figures,
    /// names) in it.
    fn evidence(&self) -> f32 {
        0.3 * self.nearest + 0.1 * self.overlap + 0.6 * self.rank + if self.fits { FIGURE } else { 0.0 }
    }

    /// Returns the probability that it holds the answer: a logistic regression of measured data.
    fn confidence(&self) -> f32 {
        let [cosine, relevance, rank, bias] = CONFIDENCE;
        let logit = cosine * self.cosine + relevance * self.relevance + rank * self.rank + bias;
        1.0 / (1.0 + (-logit).exp())
    }
}

/// The weights of the cosine, the relevance and its share of the best, and the bias.
const CONFIDENCE: [f32; 4] = [4.57, 1.86, 11.3, -15.68];

#[async_trait]
impl Generator for Extractive {
    async fn generate(&self, request: Request, sink: Sink) -> Result<Generated, GenerateError> {
        let effort = effort(request.mode);
        let asked = figures::asks_for_figure(&request.question);
        let years = figures::years_asked(&request.question);
        let wanted = format!("{} {}", request.question, request.phrasings.join(" "));
        let mut candidates = candidates(&wanted, &request.passages, asked, effort.candidates);
        if !candidates.is_empty() {
            let mut asked = vec![request.question.clone()];
            asked.extend(request.phrasings.iter().take(PHRASINGS).cloned());
            let texts = candidates.iter().map(|c| in_context(c, &request.passages)).collect();
            let (questions, vectors) = tokio::try_join!(self.embedder.embed_queries(asked), self.embedder.embed_passages(texts))?;
            for (candidate, vector) in candidates.iter_mut().zip(vectors) {
                let mut cosines = questions.iter().map(|question| cosine(question, &vector));
                candidate.cosine = cosines.next().unwrap_or_default();
                candidate.nearest = cosines.fold(candidate.cosine, f32::max);
                candidate.vector = vector;
            }
        }
        let chosen = choose(candidates, effort.statements);
        if chosen.is_empty() {
            write_words(&sink, &super::nothing_found(&request.collection)).await?;
            return Ok(Generated::default());
        }
        for (n, statement) in chosen.iter().enumerate() {
            if n > 0 {
                sink.write(Piece::Text("\n".to_owned())).await?;
            }
            let picked = match asked {
                true => request
                    .passages
                    .get(statement.passage)
                    .and_then(|passage| picked(statement, passage, &years)),
                false => None,
            };
            write_words(&sink, &picked.unwrap_or_else(|| readable(&statement.text))).await?;
            let confidence = statement.confidence();
            sink.write(Piece::Support(vec![Quotation {
                passage: statement.passage,
                at: statement.at,
                confidence,
            }]))
            .await?;
        }
        Ok(Generated::default())
    }
}

/// Returns the statements of all passages that contain most of the question's words, at most `limit`. On equal weight, the better passage
/// comes first.
fn candidates(question: &str, passages: &[Passage], figure: bool, limit: usize) -> Vec<Candidate> {
    let best = passages.iter().map(|passage| passage.relevance).fold(f32::EPSILON, f32::max);
    let mut found: Vec<(Candidate, HashSet<String>)> = Vec::new();
    let mut seen: HashSet<(&str, Span)> = HashSet::new();
    for (passage, p) in passages.iter().enumerate() {
        for range in statements(&p.text) {
            let (Ok(start), Ok(end)) = (u32::try_from(range.start), u32::try_from(range.end)) else {
                continue;
            };
            let at = Span::new(p.at.start.saturating_add(start), p.at.start.saturating_add(end));
            let Some(text) = p.text.get(range) else { continue };
            // Chunks overlap: the same statement is one candidate.
            if is_scrap(text) || is_caption(text) || is_heading(text) || is_question(text) || !seen.insert((&p.document_id, at)) {
                continue;
            }
            let row = figures::row(text);
            let mut words = words(text);
            words.extend(p.section.last().map(|heading| super::words::words(heading)).unwrap_or_default());
            let candidate = Candidate {
                passage,
                at,
                text: text.to_owned(),
                overlap: 0.0,
                relevance: p.relevance,
                rank: p.relevance / best,
                fits: figure && row.is_some(),
                page: (p.document_id.clone(), p.page.unwrap_or(p.at.start)),
                row,
                vector: Vec::new(),
                cosine: 0.0,
                nearest: 0.0,
            };
            found.push((candidate, words));
        }
    }
    let asked: HashSet<String> = words(question);
    let mut frequency: HashMap<&str, usize> = HashMap::new();
    for (_, words) in &found {
        for word in words.intersection(&asked) {
            *frequency.entry(word).or_default() += 1;
        }
    }
    let total = found.len() as f32;
    let weights: Vec<(&String, f32)> = asked
        .iter()
        .map(|word| {
            (
                word,
                (1.0 + total / (1.0 + frequency.get(word.as_str()).copied().unwrap_or(0) as f32)).ln(),
            )
        })
        .collect();
    let all: f32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut ranked: Vec<Candidate> = found
        .iter()
        .map(|(_, words)| {
            weights
                .iter()
                .filter(|(word, _)| words.contains(*word))
                .map(|(_, weight)| weight)
                .sum::<f32>()
                / all.max(f32::EPSILON)
        })
        .collect::<Vec<f32>>()
        .into_iter()
        .zip(found)
        .map(|(overlap, (candidate, _))| Candidate { overlap, ..candidate })
        .collect();
    ranked.sort_by(|a, b| {
        let promise = |c: &Candidate| c.overlap + 0.5 * c.rank + if c.fits { FIGURE } else { 0.0 };
        promise(b)
            .total_cmp(&promise(a))
            .then(a.passage.cmp(&b.passage))
            .then(a.at.cmp(&b.at))
    });
    ranked.truncate(limit);
    ranked
}

/// Returns whether a text is a heading, which alone answers nothing.
fn is_heading(text: &str) -> bool {
    text.starts_with('#')
}

/// Returns whether a text is a question: lists of questions would be quoted as their own answers.
fn is_question(text: &str) -> bool {
    let end = text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '”' | '*' | '_' | ')'));
    end.ends_with(['?', '？', '؟'])
}

/// Returns the row's label and the figures of the requested years, if the years of its columns are known: `Net sales, 2018: 32,765`. In the
/// row's own words.
fn picked(statement: &Candidate, passage: &Passage, years: &[u16]) -> Option<String> {
    let row = statement.row.as_ref()?;
    let before = statement.at.start.checked_sub(passage.at.start)? as usize;
    let above = format!("{}\n{}", passage.header, passage.text.get(..before)?);
    let columns = figures::columns(&above, row.figures.len())?;
    let label = readable(statement.text.get(row.label.clone())?.trim_end_matches([':', '.', ' ']));
    let wanted: Vec<(u16, &str)> = columns
        .iter()
        .zip(&row.figures)
        .filter(|(year, _)| years.contains(year))
        .filter_map(|(year, figure)| Some((*year, statement.text.get(figure.clone())?)))
        .collect();
    if wanted.is_empty() {
        return None;
    }
    let figures: Vec<String> = wanted.iter().map(|(year, figure)| format!("{year}: {figure}")).collect();
    Some(format!("{label}, {}", figures.join(", ")))
}

/// Returns the text for the embedder: a short statement (a table row) means little without its heading.
fn in_context(candidate: &Candidate, passages: &[Passage]) -> String {
    let heading = passages.get(candidate.passage).and_then(|passage| passage.section.last());
    match heading {
        Some(heading) => format!("{heading}: {}", readable(&candidate.text)),
        None => readable(&candidate.text),
    }
}

/// Chooses the answer's statements: each adds to the ones before it, and all are about as good as the best. Those of one document keep its
/// order; the document with the best statement comes first.
fn choose(mut candidates: Vec<Candidate>, limit: usize) -> Vec<Candidate> {
    let enough = candidates
        .iter()
        .any(|candidate| candidate.cosine >= RELATED && candidate.cosine + candidate.relevance >= ENOUGH);
    if !enough {
        return Vec::new();
    }
    let best = candidates.iter().map(Candidate::evidence).fold(f32::MIN, f32::max);
    candidates.retain(|candidate| candidate.evidence() >= best * COMPARABLE);
    let mut chosen: Vec<Candidate> = Vec::new();
    while chosen.len() < limit {
        let gain = |candidate: &Candidate| {
            let repeated = chosen.iter().map(|c| cosine(&c.vector, &candidate.vector)).fold(0.0, f32::max);
            let of_page = chosen.iter().filter(|c| c.page == candidate.page).count();
            RELEVANCE_WEIGHT * candidate.evidence() - (1.0 - RELEVANCE_WEIGHT) * repeated - SAME_PAGE * of_page as f32
        };
        let next = candidates
            .iter()
            .enumerate()
            .filter(|(_, candidate)| chosen.iter().all(|c| cosine(&c.vector, &candidate.vector) < 0.95))
            .map(|(n, candidate)| (n, gain(candidate)))
            .max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.cmp(a)));
        match next {
            Some((n, _)) => chosen.push(candidates.remove(n)),
            None => break,
        }
    }
    // Groups by the passage's rank are in order of their best statement already: the first chosen is the best.
    let order: Vec<usize> = chosen.iter().map(|c| c.passage).collect();
    let first_of = |passage: usize| order.iter().position(|p| *p == passage).unwrap_or(usize::MAX);
    chosen.sort_by_key(|c| (first_of(c.passage), c.at));
    chosen
}

/// Returns a statement in one line, for people: line ends become spaces, and bullets and Markdown's emphasis are removed.
fn readable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let line = line.replace("**", "");
    let bullets: &[char] = &['•', '▪', '◦', '‣', '·', '-', '*'];
    match line.strip_prefix(bullets) {
        Some(rest) if rest.starts_with(' ') => rest.trim_start().to_owned(),
        _ => line,
    }
}

pub(super) async fn write_words(sink: &Sink, text: &str) -> Result<(), GenerateError> {
    for word in text.split_inclusive(' ') {
        sink.write(Piece::Text(word.to_owned())).await?;
    }
    Ok(())
}

pub(super) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    // The embedder's vectors have length 1.
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(text: &str, relevance: f32) -> Passage {
        Passage {
            document_id: "doc_1".into(),
            source: "a.txt".into(),
            section: Vec::new(),
            at: Span::new(100, 100 + text.len() as u32),
            text: text.into(),
            page: None,
            header: String::new(),
            relevance,
        }
    }

    #[test]
    fn statements_with_the_words_that_were_asked_for_come_first() {
        let passages = [passage(
            "The weather was fine that day. The gain on the separation was $20 billion.",
            0.5,
        )];
        let found = candidates("What was the gain on the separation?", &passages, false, 10);
        assert_eq!(found[0].text, "The gain on the separation was $20 billion.");
        assert_eq!(found[0].at, Span::new(131, 174));
        assert!(found[0].overlap > found[1].overlap);
    }

    #[test]
    fn a_statement_in_two_overlapping_chunks_is_one_candidate() {
        let text = "One sentence stands here.";
        let passages = [passage(text, 0.5), passage(text, 0.4)];
        assert_eq!(candidates("one sentence", &passages, false, 10).len(), 1);
    }

    #[test]
    fn weak_evidence_is_no_answer() {
        let passages = [passage("Bananas are yellow and sweet.", 0.1)];
        let mut found = candidates("What is the IT budget?", &passages, false, 10);
        for candidate in &mut found {
            candidate.cosine = 0.1;
        }
        assert!(choose(found, 3).is_empty());
    }

    #[test]
    fn a_question_is_not_quoted_as_its_own_answer() {
        let passages = [passage("What is the notice period? The notice period is three months.", 0.9)];
        let found = candidates("What is the notice period?", &passages, false, 10);
        let texts: Vec<&str> = found.iter().map(|candidate| candidate.text.as_str()).collect();
        assert_eq!(texts, ["The notice period is three months."]);
    }

    #[test]
    fn the_figure_of_the_year_is_picked_out_of_its_row() {
        let text = "(Millions) 2018 2017\nNet income 5,363 4,869\nNet sales $ 32,765 $ 31,657";
        let passages = [passage(text, 0.9)];
        let question = "What were the net sales in FY2017?";
        assert!(figures::asks_for_figure(question));
        let found = candidates(question, &passages, true, 10);
        assert!(found[0].fits);
        assert_eq!(
            picked(&found[0], &passages[0], &figures::years_asked(question)),
            Some("Net sales, 2017: 31,657".to_owned())
        );
        // The table does not have this year: the row as it stands.
        assert_eq!(picked(&found[0], &passages[0], &[2001]), None);
        // The header may be in another chunk.
        let below = [Passage {
            header: "(Millions) 2018 2017".to_owned(),
            ..passage("Net sales $ 32,765 $ 31,657", 0.9)
        }];
        let found = candidates(question, &below, true, 10);
        assert_eq!(picked(&found[0], &below[0], &[2018]), Some("Net sales, 2018: 32,765".to_owned()));
    }

    #[test]
    fn other_scripts_are_answered_from() {
        let passages = [
            passage("売上高は増加した。利益は減少した。", 0.9),
            passage("Прибыль выросла вдвое. Это всё.", 0.5),
        ];
        let found = candidates("利益はどうなりましたか", &passages, false, 10);
        assert_eq!(found[0].text, "利益は減少した。");
        let found = candidates("Насколько выросла прибыль?", &passages, false, 10);
        assert_eq!(found[0].text, "Прибыль выросла вдвое.");
    }

    #[test]
    fn line_ends_and_bullets_are_not_read_out() {
        assert_eq!(readable("• first\n  point"), "first point");
        assert_eq!(readable("-5 % margin"), "-5 % margin");
        assert_eq!(readable("* **Bold** words"), "Bold words");
    }
}
