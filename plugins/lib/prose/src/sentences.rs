//! The sentences of a document; a line that stands alone (a heading, a table's row) counts as a sentence.

use crate::boundary;
use crate::document::{Document, Span, trimmed};

/// The bytes of text that are read at once.
const WINDOW: u32 = 128 << 10;
/// The longest sentence, in bytes. A longer one is a list without line breaks, or not prose, and is cut between words.
const LONGEST: usize = 2_000;

/// Returns the sentences of the text in `within`, in order. They contain all of it except white space.
pub fn sentences(document: &impl Document, within: Span) -> Vec<Span> {
    let end = within.end.min(document.len());
    let mut start = within.start;
    let mut found = Vec::new();
    while start < end {
        let text = document.text(Span {
            start,
            end: start.saturating_add(WINDOW).min(end),
        });
        if text.is_empty() {
            break;
        }
        let is_last = start + text.len() as u32 >= end;
        let mut cuts: Vec<usize> = boundary::sentences(&text)
            .into_iter()
            .map(|(at, _)| at)
            .filter(|at| *at > 0)
            .collect();
        // The last sentence may continue in the next window: it is read again as a whole.
        let read = match cuts.last() {
            Some(last) if !is_last => *last,
            _ => text.len(),
        };
        cuts.retain(|cut| *cut < read);
        cuts.push(read);
        let mut from = 0;
        for to in cuts {
            if let Some(sentence) = trimmed(&text, from, to, start) {
                cut_long(&text, start, sentence, &mut found);
            }
            from = to;
        }
        start += read as u32;
    }
    found
}

/// Adds a sentence, in parts if it is too long.
fn cut_long(text: &str, base: u32, sentence: Span, found: &mut Vec<Span>) {
    let (mut from, to) = ((sentence.start - base) as usize, (sentence.end - base) as usize);
    while to - from > LONGEST {
        let room = text.floor_char_boundary(from + LONGEST);
        let part = text.get(from..room).unwrap_or_default();
        let word = boundary::words(part).into_iter().map(|(at, _)| at).rfind(|at| *at > LONGEST / 2);
        let next = from + word.unwrap_or(part.len()).max(1);
        found.extend(trimmed(text, from, next, base));
        from = next;
    }
    found.extend(trimmed(text, from, to, base));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Unit, is_white};
    use proptest::prelude::*;

    struct Plain(String);

    impl Document for Plain {
        fn len(&self) -> u32 {
            self.0.len() as u32
        }
        fn text(&self, at: Span) -> String {
            let end = self.0.floor_char_boundary(at.end as usize);
            let start = self.0.floor_char_boundary(at.start as usize).min(end);
            self.0[start..end].to_owned()
        }
        fn units(&self, _: Span) -> Vec<Unit> {
            Vec::new()
        }
        fn pages(&self, _: Span) -> Vec<Span> {
            Vec::new()
        }
        fn count(&self, spans: &[Span]) -> Vec<u32> {
            vec![1; spans.len()]
        }
    }

    fn split(text: &str) -> Vec<String> {
        let document = Plain(text.to_owned());
        let whole = Span {
            start: 0,
            end: text.len() as u32,
        };
        sentences(&document, whole).into_iter().map(|at| document.text(at)).collect()
    }

    #[test]
    fn sentences_and_lines() {
        assert_eq!(
            split("Title\n\nDr. Lee came. She left at 9 a.m. on Monday!\n\n第一句。第二句。"),
            ["Title", "Dr. Lee came.", "She left at 9 a.m. on Monday!", "第一句。", "第二句。"]
        );
    }

    #[test]
    fn windows_do_not_show() {
        let text = "One sentence of many words stands here. ".repeat(10_000);
        let found = split(&text);
        assert_eq!(found.len(), 10_000);
        assert!(found.iter().all(|sentence| sentence == "One sentence of many words stands here."));
    }

    proptest! {
        #[test]
        fn nothing_but_white_space_is_left_out(text in "(?s)([a-zA-Zäé日本。., \n]{0,40}|.{0,20}){0,60}") {
            let joined: String = split(&text).concat();
            let strip = |text: &str| text.chars().filter(|c| !is_white(*c)).collect::<String>();
            prop_assert_eq!(strip(&joined), strip(&text));
        }

        #[test]
        fn long_texts_without_an_end_are_cut(text in "[a-z日 ]{3000,9000}") {
            let found = split(&text);
            prop_assert!(found.iter().all(|part| part.len() <= LONGEST));
        }
    }
}
