//! Divides passages into statements that can be quoted: sentences, list items, table rows.

use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

/// The longest statement, in bytes: longer ones (text without punctuation) are cut at white space.
const LONGEST: usize = 600;

/// Returns the byte ranges of the statements of `text`, in order, without white space at their ends.
///
/// Prose wraps at line ends, so a sentence may span several lines. A line that stands alone (a heading, a list item, a table row) is a
/// statement of its own. A table row is recognised by its figures: two or more of its words are numbers.
pub fn statements(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for block in blocks(text) {
        for sentence in sentences(text, block) {
            cut(text, sentence, &mut found);
        }
    }
    found
}

/// Returns runs of lines that belong together: paragraphs, or single rows and items.
fn blocks(text: &str) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let content = line.trim();
        if content.is_empty() {
            blocks.extend(open.take());
        } else if is_row(content) || content.starts_with('#') {
            blocks.extend(open.take());
            blocks.push(range);
        } else if is_item(content) {
            blocks.extend(open.take());
            open = Some(range);
        } else {
            open = Some(match open {
                Some(block) => block.start..range.end,
                None => range,
            });
        }
    }
    blocks.extend(open);
    blocks
}

/// Returns whether a line is a table row: it has two or more figures, and at least a third of its words are figures.
fn is_row(line: &str) -> bool {
    if line.starts_with('|') {
        return true;
    }
    let words = line.split_whitespace().count();
    let figures = line.split_whitespace().filter(|word| is_figure(word)).count();
    let prose_end = line.ends_with('.') && words > 12;
    figures >= 2 && figures * 3 >= words && !prose_end || line.contains('\t') && figures >= 1
}

fn is_figure(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let others = word.chars().filter(|c| c.is_alphabetic()).count();
    digits > 0 && others == 0 || matches!(word, "$" | "€" | "£" | "—" | "–" | "-" | "%")
}

fn is_item(line: &str) -> bool {
    let mut chars = line.chars();
    matches!(chars.next(), Some('•' | '▪' | '◦' | '‣' | '·' | '-' | '*')) && chars.next().is_some_and(char::is_whitespace)
}

/// Returns the sentences of one block, by Unicode's rules (UAX #29), joined where an abbreviation or an initial seems to end one.
fn sentences(text: &str, block: Range<usize>) -> Vec<Range<usize>> {
    let Some(part) = text.get(block.clone()) else { return Vec::new() };
    // UAX #29 ends a sentence at every line end: wrapped lines are joined for the segmentation.
    let joined: String = part.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }).collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = block.start;
    for sentence in joined.split_sentence_bounds() {
        let range = at..at + sentence.len();
        at = range.end;
        match found.last_mut() {
            Some(last) if text.get(last.clone()).is_some_and(ends_too_early) => last.end = range.end,
            _ => found.push(range),
        }
    }
    found
}

/// Returns whether a sentence seems to end with an abbreviation.
fn ends_too_early(sentence: &str) -> bool {
    const ABBREVIATIONS: [&str; 30] = [
        "mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "no.", "nos.", "inc.", "corp.", "co.", "ltd.", "vs.", "etc.", "e.g.", "i.e.", "cf.",
        "fig.", "figs.", "eq.", "sec.", "art.", "approx.", "dept.", "est.", "al.", "u.s.", "u.k.", "jr.", "sr.",
    ];
    let Some(word) = sentence.split_whitespace().next_back() else {
        return true;
    };
    let word = word.trim_start_matches(['(', '"', '“', '[']);
    let initial = word.len() == 2 && word.ends_with('.') && word.starts_with(|c: char| c.is_ascii_uppercase());
    initial || ABBREVIATIONS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Adds `range`, trimmed, in parts of at most [`LONGEST`] bytes.
fn cut(text: &str, range: Range<usize>, into: &mut Vec<Range<usize>>) {
    let Some(mut rest) = text.get(range.clone()) else { return };
    let mut start = range.start;
    loop {
        let trimmed = rest.trim_start();
        start += rest.len() - trimmed.len();
        let trimmed = trimmed.trim_end();
        if trimmed.is_empty() {
            return;
        }
        if trimmed.len() <= LONGEST {
            into.push(start..start + trimmed.len());
            return;
        }
        let mut limit = LONGEST;
        while !trimmed.is_char_boundary(limit) {
            limit -= 1;
        }
        let (head, _) = trimmed.split_at(limit);
        let end = head.rfind(char::is_whitespace).filter(|end| *end > 0).unwrap_or(limit);
        into.push(start..start + trimmed.split_at(end).0.trim_end().len());
        start += end;
        rest = trimmed.split_at(end).1;
    }
}

#[cfg(test)]
mod tests {
    use super::statements;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<&str> {
        statements(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn wrapped_sentences_stay_whole_and_abbreviations_do_not_end_them() {
        assert_eq!(
            texts("Kenvue Inc. was\nseparated in 2023. The gain was $20 billion.\n"),
            ["Kenvue Inc. was\nseparated in 2023.", "The gain was $20 billion."]
        );
    }

    #[test]
    fn rows_items_and_headings_stand_alone() {
        assert_eq!(
            texts(
                "# Results\nNet sales $ 1,234 $ 1,100\nCost of sales 900 800\n- first point\n- second point\n  goes on\n\nProse follows."
            ),
            [
                "# Results",
                "Net sales $ 1,234 $ 1,100",
                "Cost of sales 900 800",
                "- first point",
                "- second point\n  goes on",
                "Prose follows."
            ]
        );
    }

    proptest! {
        #[test]
        fn statements_are_ordered_trimmed_and_cover_all_but_white_space(text in "[a-zA-Z0-9 .!?\n\t$,äß。！字\u{1F600}]{0,900}") {
            let mut end = 0;
            let mut covered = String::new();
            for range in statements(&text) {
                prop_assert!(range.start >= end && range.end > range.start);
                prop_assert!(range.len() <= super::LONGEST);
                let part = &text[range.clone()];
                prop_assert_eq!(part.trim(), part);
                covered.push_str(part);
                end = range.end;
            }
            let visible = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(visible(&covered), visible(&text));
        }
    }
}
