//! The built-in generator: answers with the statements of the passages that answer best, in the
//! documents' own words. It needs no language model, and cannot invent.
//!
//! Statements are ranked twice: cheaply, by the question's words that they hold, and those that
//! remain by the embedder too. Redundant ones are left out by maximal marginal relevance
//! (Carbonell and Goldstein, 1998).

use super::sentences::statements;
use super::{GenerateError, Generator, Made, Passage, Piece, Quotation, Request, Sink};
use crate::document::Span;
use crate::embed::Embedder;
use crate::protocol::Mode;
use async_trait::async_trait;
use std::collections::{HashMap, HashSet};

/// What a mode spends, and how long its answers are.
struct Effort {
    /// Statements that the embedder looks at: about 25 tokens each.
    candidates: usize,
    /// Statements of the answer, at most.
    statements: usize,
}

fn effort(mode: Mode) -> Effort {
    match mode {
        Mode::Speed => Effort {
            candidates: 12,
            statements: 2,
        },
        Mode::Balanced => Effort {
            candidates: 40,
            statements: 3,
        },
        Mode::Comprehensive => Effort {
            candidates: 96,
            statements: 5,
        },
    }
}

/// Below this evidence (see [`Candidate::evidence`]) the best statement is taken to be beside the
/// point. all-MiniLM-L6-v2 gives unrelated sentences cosines of 0 to .25 and related ones .4 and up.
const WEAK: f32 = 0.30;
/// A further statement must have this share of the best one's evidence.
const COMPARABLE: f32 = 0.75;
/// Weight of relevance against novelty.
const RELEVANCE_WEIGHT: f32 = 0.75;

/// Answers with statements out of the passages. Cheap to clone.
#[derive(Clone)]
pub struct Extractive {
    embedder: Embedder,
}

impl Extractive {
    /// A generator that compares by `embedder`.
    pub fn new(embedder: Embedder) -> Self {
        Self { embedder }
    }
}

struct Candidate {
    passage: usize,
    /// Within the document.
    at: Span,
    text: String,
    /// Share of the question's words that it holds, by weight: [0,1].
    overlap: f32,
    /// Relevance of its passage: [0,1].
    relevance: f32,
    vector: Vec<f32>,
    /// Cosine with the question.
    cosine: f32,
}

impl Candidate {
    /// How well it answers, about [0,1]: meaning first, then the question's own words (figures,
    /// names), then how relevant its passage is.
    fn evidence(&self) -> f32 {
        0.65 * self.cosine + 0.25 * self.overlap + 0.10 * self.relevance
    }
}

#[async_trait]
impl Generator for Extractive {
    async fn generate(&self, request: Request, sink: Sink) -> Result<Made, GenerateError> {
        let effort = effort(request.mode);
        let mut candidates = candidates(&request.question, &request.passages, effort.candidates);
        if !candidates.is_empty() {
            let mut texts = vec![request.question.clone()];
            texts.extend(candidates.iter().map(|c| in_context(c, &request.passages)));
            let mut vectors = self.embedder.embed_queries(texts).await?.into_iter();
            let question = vectors.next().unwrap_or_default();
            for (candidate, vector) in candidates.iter_mut().zip(vectors) {
                candidate.cosine = cosine(&question, &vector);
                candidate.vector = vector;
            }
        }
        let chosen = choose(candidates, effort.statements);
        if chosen.is_empty() {
            write_words(&sink, &super::nothing_found(&request.collection)).await?;
            return Ok(Made::default());
        }
        for (n, statement) in chosen.iter().enumerate() {
            if n > 0 {
                sink.write(Piece::Text("\n".to_owned())).await?;
            }
            write_words(&sink, &readable(&statement.text)).await?;
            let confidence = statement.evidence().clamp(0.0, 1.0);
            sink.write(Piece::Support(vec![Quotation {
                passage: statement.passage,
                at: statement.at,
                confidence,
            }]))
            .await?;
        }
        Ok(Made::default())
    }
}

/// The statements of all passages that hold most of the question's words, at most `limit`. Between
/// equals the better passage wins.
fn candidates(question: &str, passages: &[Passage], limit: usize) -> Vec<Candidate> {
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
            if text.split_whitespace().take(3).count() < 3 || is_heading(text) || !seen.insert((&p.document_id, at)) {
                continue;
            }
            let mut words = words(text);
            words.extend(p.section.last().map(|heading| self::words(heading)).unwrap_or_default());
            let candidate = Candidate {
                passage,
                at,
                text: text.to_owned(),
                overlap: 0.0,
                relevance: p.relevance,
                vector: Vec::new(),
                cosine: 0.0,
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
        (b.overlap + 0.5 * b.relevance)
            .total_cmp(&(a.overlap + 0.5 * a.relevance))
            .then(a.passage.cmp(&b.passage))
            .then(a.at.cmp(&b.at))
    });
    ranked.truncate(limit);
    ranked
}

/// A heading alone answers nothing.
fn is_heading(text: &str) -> bool {
    text.starts_with('#')
}

/// What the embedder reads: a short statement (a table row) means little without its heading.
fn in_context(candidate: &Candidate, passages: &[Passage]) -> String {
    let heading = passages.get(candidate.passage).and_then(|passage| passage.section.last());
    match heading {
        Some(heading) => format!("{heading}: {}", readable(&candidate.text)),
        None => readable(&candidate.text),
    }
}

/// The answer's statements: each adds to the ones before it, all are about as good as the best.
/// Those of one document stand in its order; the document with the best comes first.
fn choose(mut candidates: Vec<Candidate>, limit: usize) -> Vec<Candidate> {
    let best = candidates.iter().map(Candidate::evidence).fold(f32::MIN, f32::max);
    if best < WEAK {
        return Vec::new();
    }
    candidates.retain(|candidate| candidate.evidence() >= WEAK.max(best * COMPARABLE));
    let mut chosen: Vec<Candidate> = Vec::new();
    while chosen.len() < limit {
        let gain = |candidate: &Candidate| {
            let repeated = chosen.iter().map(|c| cosine(&c.vector, &candidate.vector)).fold(0.0, f32::max);
            RELEVANCE_WEIGHT * candidate.evidence() - (1.0 - RELEVANCE_WEIGHT) * repeated
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

/// One line, as people read it: line ends of the page become spaces, a bullet and Markdown's marks
/// of emphasis go.
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

/// Words that carry meaning, lower case, plural endings off.
pub(super) fn words(text: &str) -> HashSet<String> {
    const EMPTY: [&str; 62] = [
        "a", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "could", "did", "do", "does", "each", "for", "from", "give",
        "had", "has", "have", "how", "if", "in", "into", "is", "it", "its", "me", "more", "most", "much", "many", "of", "on", "or", "our",
        "please", "should", "so", "tell", "than", "that", "the", "their", "there", "these", "this", "to", "was", "we", "were", "what",
        "when", "where", "which", "who", "whom", "why", "will", "with",
    ];
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | ',' | '-' | '&' | '%')))
        .map(|word| word.trim_matches(['.', ',', '-', '&']))
        .filter(|word| !word.is_empty())
        .map(|word| word.to_lowercase().replace(',', ""))
        .filter(|word| !EMPTY.contains(&word.as_str()))
        .map(|word| match word.strip_suffix('s') {
            Some(stem) if stem.len() > 3 && !stem.ends_with('s') && stem.bytes().all(|b| b.is_ascii_alphabetic()) => stem.to_owned(),
            _ => word,
        })
        .collect()
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
            relevance,
        }
    }

    #[test]
    fn statements_with_the_words_that_were_asked_for_come_first() {
        let passages = [passage(
            "The weather was fine that day. The gain on the separation was $20 billion.",
            0.5,
        )];
        let found = candidates("What was the gain on the separation?", &passages, 10);
        assert_eq!(found[0].text, "The gain on the separation was $20 billion.");
        assert_eq!(found[0].at, Span::new(131, 174));
        assert!(found[0].overlap > found[1].overlap);
    }

    #[test]
    fn a_statement_in_two_overlapping_chunks_is_one_candidate() {
        let text = "One sentence stands here.";
        let passages = [passage(text, 0.5), passage(text, 0.4)];
        assert_eq!(candidates("one sentence", &passages, 10).len(), 1);
    }

    #[test]
    fn weak_evidence_is_no_answer() {
        let passages = [passage("Bananas are yellow and sweet.", 0.1)];
        let mut found = candidates("What is the IT budget?", &passages, 10);
        for candidate in &mut found {
            candidate.cosine = 0.1;
        }
        assert!(choose(found, 3).is_empty());
    }

    #[test]
    fn line_ends_and_bullets_are_not_read_out() {
        assert_eq!(readable("• first\n  point"), "first point");
        assert_eq!(readable("-5 % margin"), "-5 % margin");
        assert_eq!(readable("* **Bold** words"), "Bold words");
    }
}
