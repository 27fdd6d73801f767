//! The chunker with a document in memory, and a counter like a word-piece tokenizer.

use ibid_plugin_recursive::chunking::chunks;
use ibid_plugin_recursive::config::{Config, Context};
use proptest::prelude::*;
use prose::document::{Chunk, Document, Kind, Span, is_white};
use prose::memory::{Memory, document, tokens};

fn chunks_of(document: &Memory, config: &Config) -> Vec<Chunk> {
    let whole = Span {
        start: 0,
        end: document.len(),
    };
    chunks(document, whole, config)
}

fn texts<'a>(document: &'a Memory, config: &Config) -> Vec<&'a str> {
    chunks_of(document, config).iter().map(|chunk| document.get(chunk.at)).collect()
}

fn config(target_tokens: u32, overlap_tokens: u32) -> Config {
    Config {
        target_tokens,
        overlap_tokens,
        min_tokens: target_tokens / 2,
        context: Context::Headings,
    }
}

#[test]
fn a_short_document_is_one_chunk() {
    assert_eq!(texts(&Memory::new("  Just this.\n"), &Config::default()), ["Just this."]);
    assert!(texts(&Memory::new(" \n\u{feff} "), &Config::default()).is_empty());
    assert!(texts(&Memory::new(""), &Config::default()).is_empty());
}

#[test]
fn chunks_are_given_the_title_of_their_page_and_running_heads_nothing() {
    let pages = [
        "Acme\n\nBalance Sheets\n\nCash 12 13\n\nInventories 14 15\n\n",
        "Acme\n\nCash Flows\n\nNet income attributable to all of the shareholders of the company 16 17\n\nDividends paid to all of the shareholders in that year 18 19\n\n",
    ];
    let mut document = Memory::new(&pages.concat());
    let half = pages[0].len() as u32;
    document.pages = vec![
        Span { start: 0, end: half },
        Span {
            start: half,
            end: document.len(),
        },
    ];
    let found = chunks_of(&document, &config(16, 0));
    let context = |chunk: &Chunk| chunk.context.iter().map(|at| document.get(*at).to_owned()).collect::<Vec<_>>();
    // One chunk contains the title; the chunks below have it as context.
    let paid = found
        .iter()
        .find(|chunk| document.get(chunk.at).contains("Dividends"))
        .expect("a chunk");
    assert!(!document.get(paid.at).contains("Cash Flows"), "the chunk is too long to tell");
    assert_eq!(context(paid), ["Cash Flows"]);
    assert!(context(&found[0]).is_empty(), "{:?}", context(&found[0]));

    let pages = [
        "Balance Sheets\n\nCash 12 13\n\n",
        "Contents\n\nCash Flows\n\nNet income attributable to all of the shareholders 16 17",
    ];
    let mut document = Memory::new(&pages.concat())
        .unit("Balance Sheets", Kind::Heading(1))
        .unit("Cash Flows", Kind::Heading(1));
    let half = pages[0].len() as u32;
    document.pages = vec![
        Span { start: 0, end: half },
        Span {
            start: half,
            end: document.len(),
        },
    ];
    let found = chunks_of(&document, &Config::default());
    assert_eq!(document.get(found[1].at), "Contents");
    assert!(found[1].context.is_empty());
}

#[test]
fn chunks_end_at_paragraphs_then_sentences() {
    let text =
        "One two three four five six. One two three four five six.\n\nUno dos tres cuatro. Uno dos tres cuatro. Uno dos tres cuatro.";
    let document = Memory::new(text);
    let found = texts(&document, &config(17, 0));
    assert_eq!(
        found,
        [
            "One two three four five six. One two three four five six.",
            "Uno dos tres cuatro. Uno dos tres cuatro.",
            "Uno dos tres cuatro."
        ]
    );
}

#[test]
fn chunks_repeat_the_last_sentence() {
    let text = "Aa bb cc dd ee ff. Gg hh ii jj kk ll. Mm nn oo pp qq rr. Ss tt uu vv ww xx.";
    let document = Memory::new(text);
    let found = texts(&document, &config(16, 8));
    assert_eq!(
        found,
        [
            "Aa bb cc dd ee ff. Gg hh ii jj kk ll.",
            "Gg hh ii jj kk ll. Mm nn oo pp qq rr.",
            "Mm nn oo pp qq rr. Ss tt uu vv ww xx."
        ]
    );
}

#[test]
fn headings_start_chunks_and_are_context() {
    let text = "# Top\n\nIntro to it all, which is rather long as such things go.\n\n## Sub\n\nBody.\n\n## Next\n\nMore.";
    let document = Memory::new(text)
        .unit("# Top", Kind::Heading(1))
        .unit("## Sub", Kind::Heading(2))
        .unit("## Next", Kind::Heading(2));
    let config = config(24, 8);
    assert_eq!(
        texts(&document, &config),
        [
            "# Top\n\nIntro to it all, which is rather long as such things go.",
            "## Sub\n\nBody.",
            "## Next\n\nMore."
        ]
    );
    let found = chunks_of(&document, &config);
    let context = |index: usize| found[index].context.iter().map(|at| document.get(*at)).collect::<Vec<_>>();
    assert_eq!((context(0), context(1), context(2)), (vec![], vec!["Top"], vec!["Top"]));
    let none = Config {
        context: Context::None,
        ..config
    };
    assert!(chunks_of(&document, &none).iter().all(|chunk| chunk.context.is_empty()));
}

#[test]
fn a_part_of_a_document_knows_the_headings_above() {
    let text = "# Top #\n\nIntro.\n\nThe part.";
    let document = Memory::new(text).unit("# Top #", Kind::Heading(1));
    let start = text.find("The part").unwrap() as u32;
    let found = chunks(
        &document,
        Span {
            start,
            end: document.len(),
        },
        &Config::default(),
    );
    assert_eq!(found.len(), 1);
    assert_eq!((document.get(found[0].at), document.get(found[0].context[0])), ("The part.", "Top"));
}

#[test]
fn a_short_introduction_stays_with_its_first_subsection() {
    let text = "# Top\nShort.\n## Sub\nBody.\n# Other\nText.";
    let document = Memory::new(text)
        .unit("# Top", Kind::Heading(1))
        .unit("## Sub", Kind::Heading(2))
        .unit("# Other", Kind::Heading(1));
    assert_eq!(
        texts(&document, &Config::default()),
        ["# Top\nShort.\n## Sub\nBody.", "# Other\nText."]
    );
}

#[test]
fn table_rows_are_whole_and_know_their_header() {
    let rows: Vec<String> = (10..30).map(|row| format!("| item {row} | it costs. And {row} |")).collect();
    let text = format!("| name | cost |\n{}", rows.join("\n"));
    let mut document = Memory::new(&text);
    let header = Span { start: 0, end: 15 };
    for row in &rows {
        document = document.unit(row, Kind::Row);
    }
    document.units.iter_mut().for_each(|unit| unit.title = Some(header));
    let found = chunks_of(&document, &config(40, 0));
    assert!(found.len() > 4);
    for (index, chunk) in found.iter().enumerate() {
        assert!(
            document
                .get(chunk.at)
                .lines()
                .all(|line| line.starts_with('|') && line.ends_with('|'))
        );
        assert_eq!(chunk.context, if index == 0 { vec![] } else { vec![header] });
    }
}

#[test]
fn chunks_stay_on_their_page() {
    let mut document = Memory::new("A sentence that goes on to the next page and ends there.");
    document.pages = vec![Span { start: 0, end: 30 }, Span { start: 30, end: 57 }];
    assert_eq!(
        texts(&document, &Config::default()),
        ["A sentence that goes on to the", "next page and ends there."]
    );
}

#[test]
fn text_without_spaces_is_cut() {
    let document = Memory::new(&"没有空格的文字".repeat(100));
    let found = texts(&document, &config(50, 10));
    assert!(
        found.iter().rev().skip(1).all(|chunk| (40..=50).contains(&tokens(chunk))),
        "{found:?}"
    );
}

#[test]
fn large_documents_need_few_calls() {
    let text = "The quick brown fox jumps over the lazy dog, again. ".repeat(40_000);
    let document = Memory::new(&text);
    let found = chunks_of(&document, &Config::default());
    check(&document, &found, &Config::default());
    assert!(document.calls.get() < 40, "{}", document.calls.get());
    assert!(found.iter().rev().skip(1).all(|chunk| tokens(document.get(chunk.at)) > 150));
}

#[test]
fn monotonous_documents_are_no_trouble() {
    for part in [
        "\n", "a", "#", "|", " ", "a ", "a\n", "a.", ". ", "好", "\u{301}", "\u{200d}", "a, ", "(.", "a\n\n",
    ] {
        let document = Memory::new(&part.repeat((5 << 20) / part.len()));
        let found = chunks_of(&document, &Config::default());
        let longest = found.iter().map(|chunk| chunk.at.len()).max().unwrap_or(0);
        assert!(longest <= 200 * 32, "{part:?} {longest}");
        assert_eq!(found.is_empty(), part.trim().is_empty(), "{part:?}");
    }
}

/// Checks what holds for the chunks of any document.
fn check(document: &Memory, found: &[Chunk], config: &Config) {
    let mut covered = 0_usize;
    let mut last = None;
    for chunk in found {
        let text = document
            .text
            .get(chunk.at.start as usize..chunk.at.end as usize)
            .expect("on characters");
        assert!(!text.is_empty() && text.trim_matches(is_white) == text, "{text:?}");
        assert!(tokens(text) <= config.target_tokens, "{} tokens", tokens(text));
        assert!(
            last.is_none_or(|(start, end)| start < chunk.at.start && end < chunk.at.end),
            "out of order"
        );
        last = Some((chunk.at.start, chunk.at.end));
        if let Some(left_out) = document.text.get(covered..chunk.at.start as usize) {
            assert!(left_out.chars().all(is_white), "left out: {left_out:?}");
        }
        covered = covered.max(chunk.at.end as usize);
        let pages = document
            .pages
            .iter()
            .filter(|page| page.start < chunk.at.end && chunk.at.start < page.end)
            .count();
        assert!(pages <= 1, "on {pages} pages");
        assert!(chunk.context.iter().all(|at| {
            document
                .text
                .get(at.start as usize..at.end as usize)
                .is_some_and(|text| !text.is_empty())
        }));
    }
    assert!(document.text[covered..].chars().all(is_white), "left out at the end");
}

proptest! {
    #[test]
    fn chunks_are_as_they_must_be(document in document(), target in 16_u32..60, overlap in 0_u32..8, min in 0_u32..60) {
        let config = Config { target_tokens: target, overlap_tokens: overlap, min_tokens: min, context: Context::Headings };
        let found = chunks_of(&document, &config);
        check(&document, &found, &config);
        prop_assert_eq!(found, chunks_of(&document, &config));
    }
}
