//! Groups sentences into chunks.

use crate::config::Config;
use prose::document::Span;

/// Returns one span for each chunk. `tokens` has a number for each sentence, `similar` one for each pair of neighbours. Missing ones count
/// as no tokens, and as identical.
pub fn groups(sentences: &[Span], tokens: &[u32], similar: &[f32], config: &Config) -> Vec<Span> {
    let threshold = percentile(similar, config.percentile);
    let mut found: Vec<Span> = Vec::new();
    let mut held = 0_u32;
    for (index, sentence) in sentences.iter().enumerate() {
        let own = tokens.get(index).copied().unwrap_or_default();
        let likeness = index.checked_sub(1).and_then(|before| similar.get(before)).copied().unwrap_or(1.0);
        let changes = threshold.is_some_and(|threshold| likeness <= threshold);
        let is_full = held.saturating_add(own) > config.max_tokens;
        let ends = is_full || (changes && held >= config.min_tokens);
        match found.last_mut() {
            Some(last) if !ends => {
                last.end = sentence.end;
                held = held.saturating_add(own);
            }
            _ => {
                found.push(*sentence);
                held = own;
            }
        }
    }
    found
}

/// Returns the value that `percent` of the values do not exceed; `None` where all are equal, and the subject never changes.
fn percentile(values: &[f32], percent: usize) -> Option<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    let value = *sorted.get(at)?;
    (sorted.last().copied() != Some(value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sentences(count: usize) -> Vec<Span> {
        (0..count as u32)
            .map(|n| Span {
                start: 10 * n,
                end: 10 * n + 9,
            })
            .collect()
    }

    #[test]
    fn a_chunk_ends_where_the_subject_changes() {
        let similar = [0.9, 0.8, 0.1, 0.9, 0.85];
        let span = |start, end| Span { start, end };
        let config = Config {
            percentile: 10,
            ..Config::default()
        };
        assert_eq!(groups(&sentences(6), &[30; 6], &similar, &config), [span(0, 29), span(30, 59)]);
        // Too short to be cut there.
        let config = Config { min_tokens: 100, ..config };
        assert_eq!(groups(&sentences(6), &[30; 6], &similar, &config), [span(0, 59)]);
    }

    #[test]
    fn a_chunk_ends_where_it_is_full() {
        let alike = [0.5; 9];
        let chunks = groups(&sentences(10), &[70; 10], &alike, &Config::default());
        assert_eq!(chunks.len(), 5, "two of 70 tokens fit into 200, three do not: {chunks:?}");
    }

    proptest! {
        #[test]
        fn all_sentences_are_in_order_and_chunks_keep_their_size(
            given in prop::collection::vec((1_u32..120, -1.0_f32..1.0), 0..80),
            percentile in 1_usize..100,
        ) {
            let tokens: Vec<u32> = given.iter().map(|(tokens, _)| *tokens).collect();
            let similar: Vec<f32> = given.iter().skip(1).map(|(_, similar)| *similar).collect();
            let all = sentences(given.len());
            let config = Config { percentile, ..Config::default() };
            let chunks = groups(&all, &tokens, &similar, &config);
            let within = |chunk: &Span| all.iter().zip(&tokens).filter(|(one, _)| chunk.contains(**one)).collect::<Vec<_>>();
            prop_assert_eq!(chunks.iter().map(|chunk| within(chunk).len()).sum::<usize>(), all.len());
            for chunk in &chunks {
                let held = within(chunk);
                prop_assert!(held.len() == 1 || held.iter().map(|(_, tokens)| **tokens).sum::<u32>() <= config.max_tokens);
            }
        }
    }
}
