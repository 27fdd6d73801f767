//! The chunker with a document in memory, and a counter like a word-piece tokenizer.

use ibid_plugin_structure::config::{Config, Context};
use ibid_plugin_structure::packing::chunks;
use proptest::prelude::*;
use prose::document::{Chunk, Document, Kind, Span, Unit, is_white};
use prose::memory::{Memory, document, tokens};

fn found(document: &Memory, config: &Config) -> Vec<Chunk> {
    let whole = Span {
        start: 0,
        end: document.len(),
    };
    chunks(document, whole, config)
}

fn texts<'a>(document: &'a Memory, config: &Config) -> Vec<&'a str> {
    found(document, config).iter().map(|chunk| document.get(chunk.at)).collect()
}

fn context<'a>(document: &'a Memory, chunk: &Chunk) -> Vec<&'a str> {
    chunk.context.iter().map(|at| document.get(*at)).collect()
}

fn config(max_tokens: u32) -> Config {
    Config {
        max_tokens,
        min_tokens: 8,
        context: Context::Headings,
    }
}

#[test]
fn a_section_is_a_chunk_that_knows_the_headings_above() {
    let text = "# Handbook\n\n## Hours\n\nOpen from eight to five on all the days of the week.\n\nClosed on Sunday.\n\n## Prices\n\n### Rooms\n\nTen francs.";
    let document = Memory::new(text)
        .unit("# Handbook", Kind::Heading(1))
        .unit("## Hours", Kind::Heading(2))
        .unit("## Prices", Kind::Heading(2))
        .unit("### Rooms", Kind::Heading(3));
    let made = found(&document, &config(60));
    assert_eq!(
        texts(&document, &config(60)),
        [
            "# Handbook\n\n## Hours\n\nOpen from eight to five on all the days of the week.\n\nClosed on Sunday.",
            "## Prices\n\n### Rooms\n\nTen francs."
        ]
    );
    assert_eq!(
        (context(&document, &made[0]), context(&document, &made[1])),
        (vec![], vec!["Handbook"])
    );
    let bare = Config {
        context: Context::None,
        ..config(60)
    };
    assert!(found(&document, &bare).iter().all(|chunk| chunk.context.is_empty()));
}

#[test]
fn pages_cut_nothing() {
    let mut document = Memory::new("A sentence that goes on to the next page and ends there.");
    document.pages = vec![Span { start: 0, end: 30 }, Span { start: 30, end: 57 }];
    assert_eq!(texts(&document, &Config::default()), [document.text.as_str()]);
}

/// Returns a paragraph, then a table of rows.
fn table(rows: usize, intro: &str) -> Memory {
    let rows: Vec<String> = (10..10 + rows).map(|row| format!("| item {row} | costs {row} |")).collect();
    let table = format!("| name | cost |\n|---|---|\n{}", rows.join("\n"));
    let text = format!("Some words before it all, which say nothing much.\n\n{intro}\n\n{table}\n\nAfter.");
    let mut document = Memory::new(&text).unit(&table, Kind::Block).unit("| name | cost |", Kind::Row);
    for row in &rows {
        document = document.unit(row, Kind::Row);
    }
    let header = document.units.iter().find(|unit| unit.kind == Kind::Row).unwrap().at;
    document.units.iter_mut().for_each(|unit| unit.title = Some(header));
    document
}

#[test]
fn a_table_stays_whole_with_the_line_that_leads_to_it() {
    let document = table(3, "The prices are:");
    let made = texts(&document, &config(50));
    assert_eq!(made[0], "Some words before it all, which say nothing much.");
    assert!(
        made[1].starts_with("The prices are:\n\n| name |") && made[1].contains("| item 12 | costs 12 |"),
        "{made:?}"
    );
}

#[test]
fn a_long_table_is_cut_between_rows_and_each_part_has_its_header() {
    let document = table(30, "Prices.");
    let made = found(&document, &config(60));
    let tables: Vec<&Chunk> = made.iter().filter(|chunk| document.get(chunk.at).contains("| item")).collect();
    assert!(tables.len() > 3);
    for (index, chunk) in tables.iter().enumerate() {
        let text = document.get(chunk.at);
        assert!(text.starts_with('|'), "{text:?}");
        let expected = if index == 0 { vec![] } else { vec!["| name | cost |"] };
        assert_eq!(context(&document, chunk), expected);
    }
    assert!(document.get(tables[0].at).starts_with("| name | cost |\n|---|---|\n| item 10"));
}

#[test]
fn rows_and_items_without_a_table_or_list_around_them_are_kept_together() {
    let text = "name,cost\na,1\nb,2\nThe end of the table, and then some more words of text that fill it.";
    let mut document = Memory::new(text);
    for row in ["name,cost", "a,1", "b,2"] {
        document = document.unit(row, Kind::Row);
    }
    assert_eq!(texts(&document, &config(16))[0], "name,cost\na,1\nb,2");
}

#[test]
fn a_run_of_rows_begins_a_chunk_rather_than_being_cut() {
    let rows = ["name | cost", "one | 1", "two | 2", "three | 3"];
    let text = format!("Some words before it all, of which there are too many.\n\n{}", rows.join("\n"));
    let document = rows.iter().fold(Memory::new(&text), |document, row| document.unit(row, Kind::Row));
    assert_eq!(
        texts(&document, &config(24)),
        [
            "Some words before it all, of which there are too many.",
            "name | cost\none | 1\ntwo | 2\nthree | 3"
        ]
    );
}

#[test]
fn a_list_stays_whole_and_a_long_one_is_cut_between_items() {
    let items: Vec<String> = (10..20).map(|item| format!("- item {item}. It has two sentences.")).collect();
    let text = items.join("\n");
    let mut document = Memory::new(&text).unit(&text, Kind::Block);
    for item in &items {
        document = document.unit(item, Kind::Item);
    }
    assert_eq!(texts(&document, &config(200)), [text.as_str()]);
    let made = texts(&document, &config(30));
    assert!(made.len() > 2);
    assert!(
        made.iter()
            .all(|chunk| chunk.starts_with("- item") && chunk.ends_with("sentences.")),
        "{made:?}"
    );
}

#[test]
fn a_part_of_a_document_knows_the_headings_above() {
    let text = "# Top #\n\nIntro.\n\nThe part.";
    let document = Memory::new(text).unit("# Top #", Kind::Heading(1));
    let start = text.find("The part").unwrap() as u32;
    let part = Span {
        start,
        end: document.len(),
    };
    let made = chunks(&document, part, &Config::default());
    assert_eq!((made.len(), document.get(made[0].at)), (1, "The part."));
    assert_eq!(context(&document, &made[0]), ["Top"]);
}

#[test]
fn monotonous_documents_are_no_trouble() {
    for part in [
        "\n", "a", "#", "|", " ", "a ", "a\n", "a.", "好", "\u{301}", "a, ", "a:\n\n", "a\n\n",
    ] {
        let document = Memory::new(&part.repeat((2 << 20) / part.len()));
        let made = found(&document, &Config::default());
        let longest = made.iter().map(|chunk| chunk.at.len()).max().unwrap_or(0);
        assert!(longest <= 240 * 32, "{part:?} {longest}");
        assert_eq!(made.is_empty(), part.trim().is_empty(), "{part:?}");
    }
    let mut many = Memory::new(&"# a\n".repeat(100_000));
    many.units = (0..100_000)
        .map(|index| Unit {
            at: Span {
                start: index * 4,
                end: index * 4 + 3,
            },
            kind: Kind::Heading(1 + (index % 6) as u8),
            title: None,
        })
        .collect();
    assert!(found(&many, &Config::default()).len() > 1000);
}

proptest! {
    #[test]
    fn chunks_are_as_they_must_be(document in document(), max in 16_u32..60, min in 0_u32..60) {
        let config = Config { max_tokens: max, min_tokens: min, context: Context::Headings };
        let made = found(&document, &config);
        let mut covered = 0_usize;
        for chunk in &made {
            let (start, end) = (chunk.at.start as usize, chunk.at.end as usize);
            let text = document.text.get(start..end).expect("on characters");
            prop_assert!(!text.is_empty() && text.trim_matches(is_white) == text, "{text:?}");
            prop_assert!(tokens(text) <= max, "{} tokens", tokens(text));
            let between = document.text.get(covered..start).expect("in order, and none twice");
            prop_assert!(between.chars().all(is_white), "left out: {between:?}");
            covered = end;
            prop_assert!(chunk.context.iter().all(|at| document.text.get(at.start as usize..at.end as usize).is_some()));
        }
        prop_assert!(document.text[covered..].chars().all(is_white), "left out at the end");
        prop_assert_eq!(made, found(&document, &config));
    }
}
