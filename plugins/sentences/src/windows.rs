//! Windows over sentences.

use crate::config::Config;
use prose::document::Span;

/// Returns one span for each window, from its first sentence's start to its last one's end. The last window ends with the last sentence,
/// and no window lies within the previous one.
pub fn windows(sentences: &[Span], config: &Config) -> Vec<Span> {
    let step = config.sentences.saturating_sub(config.overlap).max(1);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(window) = sentences.get(from..).filter(|rest| !rest.is_empty()) {
        let window = window.get(..config.sentences).unwrap_or(window);
        if let (Some(first), Some(last)) = (window.first(), window.last()) {
            found.push(Span {
                start: first.start,
                end: last.end,
            });
        }
        if from + window.len() >= sentences.len() {
            break;
        }
        from += step;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sentences(count: u32) -> Vec<Span> {
        (0..count)
            .map(|n| Span {
                start: 10 * n,
                end: 10 * n + 9,
            })
            .collect()
    }

    #[test]
    fn neighbours_share_sentences() {
        let config = Config { sentences: 3, overlap: 1 };
        let span = |start, end| Span { start, end };
        assert_eq!(windows(&sentences(5), &config), [span(0, 29), span(20, 49)]);
        assert_eq!(windows(&sentences(6), &config), [span(0, 29), span(20, 49), span(40, 59)]);
        assert_eq!(windows(&sentences(1), &config), [span(0, 9)]);
        assert_eq!(windows(&[], &config), []);
    }

    proptest! {
        #[test]
        fn every_sentence_is_in_a_window(count in 0_u32..60, size in 1_usize..12, overlap in 0_usize..12) {
            prop_assume!(overlap < size);
            let all = sentences(count);
            let found = windows(&all, &Config { sentences: size, overlap });
            prop_assert!(all.iter().all(|one| found.iter().any(|window| window.contains(*one))));
            prop_assert!(found.windows(2).all(|pair| pair[0].start < pair[1].start && pair[0].end < pair[1].end));
            prop_assert!(found.iter().all(|window| window.len() as usize <= 10 * size));
        }
    }
}
