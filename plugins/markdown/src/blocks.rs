//! Finds the block structure of a piece of Markdown, with pulldown-cmark.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::ops::Range;

/// A structural part of the text; offsets are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its range, without white space at its ends. Not empty.
    pub at: Range<usize>,
    /// `heading`, `paragraph`, `list`, `list-item`, `table`, `table-row`, `code` or `quote`.
    pub kind: &'static str,
    /// For a heading 1 to 6, for a list item its nesting from 1, otherwise 0.
    pub level: u8,
    /// For a table and the rows below its header, the header row.
    pub title: Option<Range<usize>>,
}

/// Lists and quotes that are nested more deeply than this are ignored: nobody writes them by hand.
const DEEPEST: u32 = 16;

/// Returns the blocks of `text`, ordered by start, wider ones first, and the text of its first top-level heading.
pub fn blocks(text: &str) -> (Vec<Block>, Option<String>) {
    let mut found = Vec::new();
    let (mut lists, mut quotes) = (0_u32, 0_u32);
    let mut header = None;
    let mut title: Option<String> = None;
    let mut in_title = false;
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
    for (event, at) in Parser::new_ext(text, options).into_offset_iter() {
        let at = trim(text, at);
        let block = |kind, level, title| {
            Some(Block {
                at: at.clone(),
                kind,
                level,
                title,
            })
        };
        let block = match event {
            Event::Start(Tag::Heading { level, .. }) => {
                in_title = level as u8 == 1 && title.is_none();
                if in_title {
                    title = Some(String::new());
                }
                block("heading", level as u8, None)
            }
            Event::End(TagEnd::Heading(_)) => {
                in_title = false;
                None
            }
            Event::Text(part) | Event::Code(part) if in_title => {
                title.get_or_insert_default().push_str(&part);
                None
            }
            Event::SoftBreak | Event::HardBreak if in_title => {
                title.get_or_insert_default().push(' ');
                None
            }
            Event::Start(Tag::Paragraph | Tag::HtmlBlock) => block("paragraph", 0, None),
            Event::Start(Tag::CodeBlock(_)) => block("code", 0, None),
            Event::Start(Tag::BlockQuote(_)) => {
                quotes = quotes.saturating_add(1);
                block("quote", 0, None).filter(|_| quotes <= DEEPEST)
            }
            Event::End(TagEnd::BlockQuote(_)) => {
                quotes = quotes.saturating_sub(1);
                None
            }
            Event::Start(Tag::List(_)) => {
                lists = lists.saturating_add(1);
                block("list", 0, None).filter(|_| lists <= DEEPEST)
            }
            Event::End(TagEnd::List(_)) => {
                lists = lists.saturating_sub(1);
                None
            }
            Event::Start(Tag::Item) => block("list-item", lists.min(DEEPEST) as u8, None).filter(|_| lists <= DEEPEST),
            Event::Start(Tag::Table(_)) => block("table", 0, None),
            Event::Start(Tag::TableHead) => {
                header = Some(at.clone());
                if let Some(Block { kind: "table", title, .. }) = found.last_mut() {
                    *title = header.clone();
                }
                block("table-row", 0, None)
            }
            Event::Start(Tag::TableRow) => block("table-row", 0, header.clone()),
            _ => None,
        };
        found.extend(block.filter(|block| !block.at.is_empty()));
    }
    let title = title.map(|title| title.trim().to_owned()).filter(|title| !title.is_empty());
    (found, title)
}

fn trim(text: &str, at: Range<usize>) -> Range<usize> {
    let part = text.get(at.clone()).unwrap_or_default();
    let start = at.start + part.len() - part.trim_start().len();
    start..start + part.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Compares the blocks as lines of `kind level: text`.
    fn check(text: &str, expected: &[&str]) {
        let found = blocks(text).0;
        let lines: Vec<String> = found
            .iter()
            .map(|b| format!("{} {}: {}", b.kind, b.level, &text[b.at.clone()]))
            .collect();
        assert_eq!(lines, expected, "{text}");
    }

    #[test]
    fn headings_of_both_kinds() {
        check(
            "# One #\n\nTwo\n---\n### Three",
            &["heading 1: # One #", "heading 2: Two\n---", "heading 3: ### Three"],
        );
        check("```\n# no heading\n```\n", &["code 0: ```\n# no heading\n```"]);
        check("#hashtag", &["paragraph 0: #hashtag"]);
    }

    #[test]
    fn lists_nest() {
        check(
            "- one\n  - two\n- three\n",
            &[
                "list 0: - one\n  - two\n- three",
                "list-item 1: - one\n  - two",
                "list 0: - two",
                "list-item 2: - two",
                "list-item 1: - three",
            ],
        );
    }

    #[test]
    fn quotes_and_paragraphs() {
        check(
            "> said\n\nwritten\non",
            &["quote 0: > said", "paragraph 0: said", "paragraph 0: written\non"],
        );
    }

    #[test]
    fn tables_know_their_header() {
        let text = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n";
        let found = blocks(text).0;
        let kinds: Vec<_> = found.iter().map(|b| (b.kind, b.title.clone().map(|at| &text[at]))).collect();
        let header = Some("| a | b |");
        assert_eq!(
            kinds,
            [("table", header), ("table-row", None), ("table-row", header), ("table-row", header)]
        );
        assert_eq!(&text[found[2].at.clone()], "| 1 | 2 |");
    }

    #[test]
    fn the_first_top_level_heading_is_the_title() {
        assert_eq!(blocks("## Sub\n# The `real`\n# Other").1.as_deref(), Some("The real"));
        assert_eq!(blocks("text\n## Sub").1, None);
    }

    proptest! {
        #[test]
        fn blocks_are_ordered_and_cut_no_character(
            text in "([#>|\\-*`~é1.] ?|[a ]{1,5}|\n|\n\n|\t|\\| a \\| b \\|\n\\|-\\|-\\|\n|😀){0,40}",
        ) {
            let found = blocks(&text).0;
            for block in &found {
                prop_assert!(text.get(block.at.clone()).is_some_and(|part| !part.is_empty() && part.trim() == part));
                prop_assert!(block.title.clone().is_none_or(|at| text.get(at).is_some()));
            }
            for two in found.windows(2) {
                prop_assert!(two[0].at.start <= two[1].at.start, "{:?}", two);
                prop_assert!(two[0].at.start < two[1].at.start || two[0].at.end >= two[1].at.end, "{:?}", two);
            }
        }
    }
}
