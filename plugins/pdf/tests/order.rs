//! The order in which lines and words are read.

mod support;

use lopdf::dictionary;
use support::{Pdf, read, shows, shows_characters};

const HEBREW: &str = "אבדוזחלםנסקשת :90()";

#[track_caller]
fn check_lines(characters: &str, lines: &[(f32, f32, &str)], expected: &str) {
    let mut pdf = Pdf::new();
    pdf.characters(characters);
    let content: String = lines
        .iter()
        .map(|(x, y, text)| shows_characters(characters, *x, *y, text))
        .collect();
    pdf.page(&content);
    assert_eq!(read(&pdf.bytes()).expect("readable").text.trim_end(), expected);
}

#[test]
fn text_from_right_to_left_is_read_as_such() {
    check_lines(HEBREW, &[(100.0, 700.0, "קדבנ 90 םד :חוד")], "דוח: דם 90 נבדק");
    // In logical order, each letter left of the one before it.
    let letters: Vec<(f32, String)> = "דוח 90"
        .chars()
        .zip(0..)
        .map(|(c, at)| (200.0 - 5.0 * at as f32, c.to_string()))
        .collect();
    let mut lines: Vec<(f32, f32, &str)> = letters.iter().take(4).map(|(x, c)| (*x, 700.0, c.as_str())).collect();
    lines.push((175.0, 700.0, "90"));
    check_lines(HEBREW, &lines, "דוח 90");
}

#[test]
fn a_table_from_right_to_left_begins_at_the_right() {
    let rows = [
        (300.0, 700.0, "םש"),
        (100.0, 700.0, "דח"),
        (300.0, 688.0, "דא"),
        (100.0, 688.0, "90"),
        (300.0, 676.0, "לח"),
        (100.0, 676.0, "9"),
        (300.0, 664.0, "סנ"),
        (100.0, 664.0, "0"),
    ];
    check_lines(HEBREW, &rows, "שם חד\n\nאד 90\nחל 9\nנס 0");
}

#[test]
fn ligatures_from_right_to_left_keep_the_order_of_their_letters() {
    let mut pdf = Pdf::new();
    // Lam with alef is one glyph.
    let map =
        pdf.stream(b"1 begincodespacerange <00> <FF> endcodespacerange 3 beginbfchar <01> <06440627> <02> <0633> <03> <0645> endbfchar");
    let font = pdf.doc.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "TrueType", "BaseFont" => "ABCDEF+Font", "FirstChar" => 0,
        "Widths" => vec![lopdf::Object::from(500); 256], "ToUnicode" => map,
    });
    pdf.fonts.set("F9", font);
    pdf.page("BT /F9 10 Tf 72 700 Td <030102> Tj ET");
    assert_eq!(read(&pdf.bytes()).expect("readable").text, "سلام\n\n");
}

#[test]
fn columns_from_top_to_bottom_are_read_from_the_right() {
    for encoding in ["UniJIS-UCS2-V", "UniJIS-UTF16-V"] {
        let mut pdf = Pdf::new();
        pdf.composite("F9", "Japan1", dictionary! { "Encoding" => encoding }, dictionary! {});
        pdf.page(
            "BT /F9 12 Tf 1 0 0 1 280 700 Tm <8d643044> Tj ET\n\
             BT /F9 12 Tf 1 0 0 1 300 700 Tm <9752304430d030eb30d6fe12> Tj ET",
        );
        let read = read(&pdf.bytes()).expect("readable");
        let lines: Vec<&str> = read.text.split('\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, ["青いバルブ。", "赤い"], "{encoding}");
    }
}

#[test]
fn vertical_advances_are_the_fonts_own() {
    let mut pdf = Pdf::new();
    // CIDs 843 to 844 are half as high.
    let heights = vec![843.into(), 844.into(), (-500).into(), 500.into(), 880.into()];
    pdf.composite(
        "F9",
        "Japan1",
        dictionary! { "Encoding" => "Identity-V" },
        dictionary! { "W2" => heights },
    );
    // Set in two strings, the second of which starts where the first one ends.
    pdf.page("BT /F9 10 Tf 1 0 0 1 300 700 Tm <034b034c> Tj ET BT /F9 10 Tf 1 0 0 1 300 690 Tm <034d> Tj ET");
    assert_eq!(read(&pdf.bytes()).expect("readable").text, "あぃい\n\n");
}

#[test]
fn words_divided_at_the_end_of_a_line_stand_whole() {
    let mut pdf = Pdf::new();
    pdf.page(&shows(&[
        ("F1", 10.0, 72.0, 700.0, "The infor-"),
        ("F1", 10.0, 72.0, 688.0, "mation desk is state-of-the-"),
        ("F1", 10.0, 72.0, 676.0, "art and opens on week-"),
        ("F1", 10.0, 72.0, 664.0, "days; the co\\255operative closes."),
    ]));
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(
        read.text,
        "The information\ndesk is state-of-the-art\nand opens on weekdays;\nthe co-operative closes.\n\n"
    );
}

#[test]
fn a_word_of_its_own_line_is_moved_with_what_follows() {
    let mut pdf = Pdf::new();
    pdf.page(&shows(&[
        ("F1", 10.0, 72.0, 700.0, "all of the docu-"),
        ("F1", 10.0, 72.0, 688.0, "men-"),
        ("F1", 10.0, 72.0, 676.0, "tation"),
        ("F1", 10.0, 72.0, 664.0, "is long-"),
    ]));
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.text, "all of the documentation\nis long-\n\n");
}

#[test]
fn a_blank_that_the_pen_goes_back_over_is_none() {
    let mut pdf = Pdf::new();
    // Kerning before a T that takes the blank's width back, and a blank that is only narrowed.
    pdf.page("BT /F1 10 Tf 72 700 Td [(LIQUIDI) 30 ( ) 312 (TY) 0 ( ) 120 (AREA)] TJ ET");
    assert_eq!(read(&pdf.bytes()).expect("readable").text, "LIQUIDITY AREA\n\n");
}

#[test]
fn endless_lines_are_no_trouble() {
    for part in ["1 ", "1(", "(", "א(", "a(1) ", "%", "1%", "אa"] {
        let characters = "אa1(%) ";
        let mut pdf = Pdf::new();
        pdf.characters(characters);
        let line = part.repeat(60_000 / part.len());
        // Narrow, so that all of it is on the page, and a letter that turns the page round.
        let content = shows_characters(characters, 10.0, 700.0, &format!("{line}א")).replace("/F9 10 Tf", "/F9 10 Tf 0.1 Tz");
        pdf.page(&content);
        assert!(read(&pdf.bytes()).expect("readable").text.len() > 10, "{part}");
    }
}

#[test]
fn endless_divisions_are_no_trouble() {
    let lines: String = (0..20_000)
        .map(|i| format!("BT /F1 1 Tf 1 0 0 1 72 {} Tm (ab-) Tj ET\n", 790.0 - 0.03 * i as f32))
        .collect();
    let mut pdf = Pdf::new();
    pdf.page(&lines);
    assert!(read(&pdf.bytes()).is_ok());
}
