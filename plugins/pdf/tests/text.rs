//! What is read from well-formed files.

mod support;

use lopdf::{Dictionary, Object, Stream, dictionary};
use support::{Pdf, encrypt, read, save, shows, units};

#[test]
fn pages_keep_their_text_and_empty_ones_stay() {
    let mut pdf = Pdf::new();
    pdf.page(&shows(&[
        ("F1", 10.0, 72.0, 700.0, "First line"),
        ("F1", 10.0, 72.0, 688.0, "second line"),
    ]));
    pdf.page("");
    pdf.page("BT /F1 10 Tf 14 TL 72 700 Td (One) Tj (Two) ' 1 0 (Three) \" [(Fo) -20 (ur) -600 (five)] TJ ET");
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.pages.len(), 3);
    assert_eq!(read.page_text(0), Some("First line\nsecond line\n\n"));
    assert_eq!(read.page_text(1), Some(""));
    assert_eq!(read.page_text(2), Some("One\nTwo\nThreeFour five\n\n"));
    assert_eq!(read.attr("pages"), Some("3"));
    assert_eq!(read.attr("needs-ocr"), None);
}

#[test]
fn forms_are_drawn_where_they_are_placed() {
    let mut pdf = Pdf::new();
    let inner = pdf.doc.add_object(Stream::new(
        dictionary! {
            "Type" => "XObject", "Subtype" => "Form",
            "BBox" => vec![0.into(), 0.into(), 100.into(), 100.into()],
            "Matrix" => vec![1.into(), 0.into(), 0.into(), 1.into(), 0.into(), 50.into()],
        },
        b"BT /F1 10 Tf 0 0 Td (from the form) Tj ET".to_vec(),
    ));
    pdf.xobjects.set("X1", inner);
    pdf.page(&format!(
        "{} q 1 0 0 1 72 600 cm /X1 Do Q",
        shows(&[("F1", 10.0, 72.0, 500.0, "below"), ("F1", 10.0, 72.0, 700.0, "above"),])
    ));
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.text, "above\n\nfrom the form\n\nbelow\n\n");
}

#[test]
fn a_form_that_draws_itself_ends() {
    let mut pdf = Pdf::new();
    let id = pdf.doc.new_object_id();
    pdf.doc.objects.insert(
        id,
        Stream::new(
            dictionary! {
                "Subtype" => "Form",
                "Resources" => dictionary! { "XObject" => dictionary! { "X" => id } },
            },
            b"/X Do".to_vec(),
        )
        .into(),
    );
    pdf.xobjects.set("X", id);
    pdf.page(&format!("{} /X Do", shows(&[("F1", 10.0, 72.0, 700.0, "text")])));
    assert_eq!(read(&pdf.bytes()).expect("readable").text, "text\n\n");
}

#[test]
fn composite_fonts_are_read_through_their_unicode_map() {
    let mut pdf = Pdf::new();
    let map = pdf.doc.add_object(Stream::new(
        dictionary! {},
        b"1 begincodespacerange <0000> <FFFF> endcodespacerange\n\
          2 beginbfchar <0001> <00480069> <0002> <0020> endbfchar\n\
          1 beginbfrange <0010> <0012> [<0078> <0079> <FB01>] endbfrange"
            .to_vec(),
    ));
    let descendant = pdf.doc.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "CIDFontType2", "BaseFont" => "ABCDEF+Sans",
        "CIDSystemInfo" => dictionary! {},
        "DW" => 500,
        "W" => vec![1.into(), Object::Array(vec![900.into(), 250.into()]), 16.into(), 18.into(), 400.into()],
    });
    let font = pdf.doc.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type0", "BaseFont" => "ABCDEF+Sans",
        "Encoding" => "Identity-H", "ToUnicode" => map,
        "DescendantFonts" => vec![Object::from(descendant)],
    });
    pdf.fonts.set("F9", font);
    // Code 1 is .9 em wide: the next glyph, placed at 1.3 em, stands a word apart.
    pdf.page(
        "BT /F9 10 Tf 72 700 Td <00010002001000110012> Tj 0 -20 Td <0001> Tj ET \
         BT /F9 10 Tf 85 680 Td <0010> Tj ET",
    );
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.text, "Hi xyfi\n\nHi x\n\n");
}

#[test]
fn differences_name_the_codes() {
    let mut pdf = Pdf::new();
    let font = pdf.doc.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica",
        "Encoding" => dictionary! {
            "BaseEncoding" => "WinAnsiEncoding",
            "Differences" => vec![
                1.into(), "Euro".into(), "fi".into(), "uni0141".into(),
                65.into(), "eacute".into(),
            ],
        },
    });
    pdf.fonts.set("F9", font);
    pdf.page("BT /F9 10 Tf 72 700 Td (\\001\\002\\003AB\\255\\223q\\224) Tj ET");
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.text, "€fiŁéB-“q”\n\n");
}

#[test]
fn columns_of_prose_are_read_one_after_the_other() {
    let mut lines = vec![(
        "F1",
        10.0,
        72.0,
        740.0,
        "A title over both of the columns of this page here and further on to the right".to_owned(),
    )];
    for i in 0..12 {
        let y = 700.0 - 12.0 * i as f32;
        lines.push(("F1", 10.0, 72.0, y, format!("left column text goes on in line {i}")));
        lines.push(("F1", 10.0, 320.0, y, format!("right column text goes on in line {i}")));
    }
    let lines: Vec<_> = lines.iter().map(|l| (l.0, l.1, l.2, l.3, l.4.as_str())).collect();
    let mut pdf = Pdf::new();
    pdf.page(&shows(&lines));
    let read = read(&pdf.bytes()).expect("readable");
    let left_end = read.text.find("left column text goes on in line 11").expect("left");
    let right = read.text.find("right column text goes on in line 0").expect("right");
    assert!(left_end < right, "{}", read.text);
    assert!(read.text.starts_with("A title"));
}

#[test]
fn a_row_of_a_table_stays_one_line() {
    let mut pdf = Pdf::new();
    let row = |y, label, a, b| {
        vec![
            ("F1", 10.0, 72.0, y, label),
            ("F1", 10.0, 400.0, y, "$"),
            ("F1", 10.0, 420.0, y, a),
            ("F1", 10.0, 480.0, y, "$"),
            ("F1", 10.0, 500.0, y, b),
        ]
    };
    let mut lines = vec![(
        "F1",
        10.0,
        72.0,
        740.0,
        "This paragraph stands above the table and says what it is about, at length.",
    )];
    lines.extend([("F2", 10.0, 420.0, 700.0, "2023"), ("F2", 10.0, 500.0, 700.0, "2022")]);
    lines.extend(row(688.0, "Net sales", "1,234", "1,100"));
    lines.extend(row(676.0, "Cost of sales", "(800)", "(750)"));
    lines.extend(row(664.0, "Gross profit", "434", "350"));
    pdf.page(&shows(&lines));
    let read = read(&pdf.bytes()).expect("readable");
    assert!(read.text.contains("\nNet sales $ 1,234 $ 1,100\n"), "{}", read.text);
    assert_eq!(units(&read, "table-row").len(), 4);
    let table = read.units.iter().find(|unit| unit.kind == "table").expect("a table");
    assert_eq!(table.title.and_then(|span| read.at(span)), Some("2023 2022"));
    assert_eq!(units(&read, "paragraph").len(), 1);
}

#[test]
fn a_cell_of_a_table_is_read_under_its_column() {
    let mut pdf = Pdf::new();
    let mut lines = vec![
        ("F1", 10.0, 390.0, 712.0, "Year ended"),
        ("F1", 10.0, 72.0, 700.0, "(in millions)"),
        ("F1", 10.0, 400.0, 700.0, "2023"),
        ("F1", 10.0, 500.0, 700.0, "2022"),
    ];
    for (at, (label, first, second)) in [
        ("Net sales", "1,234", "1,100"),
        ("Margin", "35.2", "31.8"),
        ("Costs", "(800)", "(750)"),
    ]
    .into_iter()
    .enumerate()
    {
        let y = 688.0 - 12.0 * at as f32;
        lines.extend([
            ("F1", 10.0, 72.0, y, label),
            ("F1", 10.0, 395.0, y, first),
            ("F1", 10.0, 495.0, y, second),
        ]);
        if label == "Margin" {
            lines.extend([("F1", 10.0, 430.0, y, "%"), ("F1", 10.0, 530.0, y, "%")]);
        } else {
            lines.extend([("F1", 10.0, 380.0, y, "$"), ("F1", 10.0, 480.0, y, "$")]);
        }
    }
    pdf.page(&shows(&lines));
    let read = read(&pdf.bytes()).expect("readable");
    let cells: Vec<(&str, Option<&str>)> = read
        .units
        .iter()
        .filter(|unit| unit.kind == "table-cell" && unit.at.start > read.text.find("Net sales").expect("a row") as u32 - 1)
        .map(|unit| (read.at(unit.at).expect("a span"), unit.title.and_then(|span| read.at(span))))
        .collect();
    assert_eq!(
        cells,
        [
            ("Net sales", None),
            ("$ 1,234", Some("2023")),
            ("$ 1,100", Some("2022")),
            ("Margin", None),
            ("35.2%", Some("2023")),
            ("31.8%", Some("2022")),
            ("Costs", None),
            ("$ (800)", Some("2023")),
            ("$ (750)", Some("2022")),
        ],
        "{}",
        read.text
    );
}

#[test]
fn headings_are_larger_or_bold_or_in_the_outline() {
    let mut pdf = Pdf::new();
    let body = "Body text that goes on for a while, so that it is what most of the page is set in.";
    let page = pdf.page(&shows(&[
        ("F1", 18.0, 72.0, 740.0, "Annual Report"),
        ("F1", 10.0, 72.0, 700.0, body),
        ("F1", 10.0, 72.0, 688.0, body),
        ("F2", 10.0, 72.0, 660.0, "Risk factors"),
        ("F1", 10.0, 72.0, 640.0, body),
        ("F1", 10.0, 72.0, 600.0, "Plain title"),
        ("F1", 10.0, 72.0, 580.0, body),
    ]));
    let outlines = pdf.doc.new_object_id();
    let entry = pdf.doc.add_object(dictionary! {
        "Title" => Object::string_literal("Plain  Title"),
        "Parent" => outlines,
        "Dest" => vec![page.into(), "Fit".into()],
    });
    pdf.doc
        .objects
        .insert(outlines, dictionary! { "First" => entry, "Last" => entry }.into());
    let bytes = save(&mut pdf.finish(dictionary! { "Outlines" => outlines }));
    let read = read(&bytes).expect("readable");
    assert_eq!(units(&read, "heading"), ["Annual Report", "Risk factors", "Plain title"]);
    let levels: Vec<u8> = read.units.iter().filter(|u| u.kind == "heading").map(|u| u.level).collect();
    assert_eq!(levels, [1, 4, 1]);
}

#[test]
fn text_that_is_drawn_twice_is_read_once() {
    let mut pdf = Pdf::new();
    pdf.page(&shows(&[
        ("F1", 12.0, 72.0, 700.0, "Assessment"),
        ("F1", 12.0, 72.4, 700.0, "Assessment"),
        ("F1", 12.0, 72.0, 700.3, "Assessment"),
    ]));
    assert_eq!(read(&pdf.bytes()).expect("readable").text, "Assessment\n\n");
}

#[test]
fn a_turned_page_reads_as_it_is_viewed() {
    let mut pdf = Pdf::new();
    pdf.page_with(
        "BT /F1 10 Tf 0 1 -1 0 100 72 Tm (first) Tj ET BT /F1 10 Tf 0 1 -1 0 112 72 Tm (second) Tj ET",
        dictionary! { "Rotate" => 90 },
    );
    assert_eq!(read(&pdf.bytes()).expect("readable").text, "first\nsecond\n\n");
}

#[test]
fn fields_of_forms_are_read_where_they_stand() {
    let mut pdf = Pdf::new();
    let appearance = pdf.doc.add_object(Stream::new(
        dictionary! {
            "Subtype" => "Form",
            "BBox" => vec![0.into(), 0.into(), 100.into(), 20.into()],
        },
        b"/Tx BMC BT /F1 10 Tf 2 5 Td (Jane Doe) Tj ET EMC".to_vec(),
    ));
    let field = |flags: i64| -> Object {
        dictionary! {
            "Subtype" => "Widget", "F" => flags,
            "Rect" => vec![110.into(), 695.into(), 210.into(), 715.into()],
            "AP" => dictionary! { "N" => appearance },
        }
        .into()
    };
    let name = shows(&[("F1", 10.0, 72.0, 700.0, "Name:")]);
    pdf.page_with(&name, dictionary! { "Annots" => vec![field(4)] });
    pdf.page_with(&name, dictionary! { "Annots" => vec![field(2)] });
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.page_text(0), Some("Name: Jane Doe\n\n"));
    assert_eq!(read.page_text(1), Some("Name:\n\n"));
}

#[test]
fn metadata_labels_and_language() {
    let mut pdf = Pdf::new();
    for _ in 0..4 {
        pdf.page("");
    }
    let labels = dictionary! {
        "Nums" => vec![
            0.into(), dictionary! { "S" => "r" }.into(),
            2.into(), dictionary! { "S" => "D", "P" => Object::string_literal("A-"), "St" => 5 }.into(),
        ],
    };
    let info = pdf.doc.add_object(dictionary! {
        "Title" => lopdf::text_string("Jahresbericht über 2023"),
        "Author" => Object::string_literal("  "),
        "CreationDate" => Object::string_literal("D:20240229120000+01'00'"),
    });
    let mut doc = pdf.finish(dictionary! {
        "PageLabels" => labels, "Lang" => Object::string_literal("de-DE"),
    });
    doc.trailer.set("Info", info);
    let read = read(&save(&mut doc)).expect("readable");
    assert_eq!(read.attr("title"), Some("Jahresbericht über 2023"));
    assert_eq!(read.attr("author"), None);
    assert_eq!(read.attr("created"), Some("2024-02-29T12:00:00+01:00"));
    assert_eq!(read.attr("language"), Some("de-DE"));
    let labels: Vec<_> = read.pages.iter().map(|page| page.label.as_deref()).collect();
    assert_eq!(labels, [Some("i"), Some("ii"), Some("A-5"), Some("A-6")]);
}

/// A PDF with an image that pages may draw.
fn with_image() -> Pdf {
    let mut pdf = Pdf::new();
    let image = pdf.doc.add_object(Stream::new(
        dictionary! { "Subtype" => "Image", "Width" => 1, "Height" => 1 },
        vec![0; 64],
    ));
    pdf.xobjects.set("Im", image);
    pdf
}

const SCAN: &str = "q 612 0 0 792 0 0 cm /Im Do Q";

#[test]
fn scans_ask_for_ocr() {
    let mut pdf = with_image();
    pdf.page(SCAN);
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.attr("needs-ocr"), Some("true"));
    assert_eq!(read.attr("scanned-pages"), Some("1"));
    assert_eq!(read.pages.len(), 1);
}

#[test]
fn scanned_pages_among_others_are_named() {
    let mut pdf = with_image();
    let text = shows(&[(
        "F1",
        10.0,
        72.0,
        700.0,
        "A page of text that is long enough to be no stamp on a scanned page.",
    )]);
    let stamp = shows(&[("F1", 10.0, 500.0, 30.0, "Page 3 of 7")]);
    pdf.page(&text);
    // Strips, as some scanners write them, and a stamp over them.
    pdf.page(&format!("q 612 0 0 396 0 0 cm /Im Do Q q 612 0 0 396 0 396 cm /Im Do Q {stamp}"));
    pdf.page(SCAN);
    // A picture with text over it, and one beside text.
    pdf.page(&format!("{SCAN} {text}"));
    pdf.page(&format!("q 100 0 0 100 300 300 cm /Im Do Q {stamp}"));
    // Letters that are drawn.
    pdf.page(&"10 10 m 20 20 30 30 40 40 c f ".repeat(1_200));
    pdf.page(&text);
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.attr("scanned-pages"), Some("2-3, 6"));
    assert_eq!(read.attr("needs-ocr"), Some("true"));
    assert_eq!(read.page_text(1), Some("Page 3 of 7\n\n"));
}

#[test]
fn a_picture_on_the_cover_asks_for_nothing() {
    let mut pdf = with_image();
    pdf.page(SCAN);
    for _ in 0..3 {
        pdf.page(&shows(&[("F1", 10.0, 72.0, 700.0, "Text.")]));
    }
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.attr("scanned-pages"), Some("1"));
    assert_eq!(read.attr("needs-ocr"), None);
}

#[test]
fn an_empty_password_opens_the_file() {
    let mut pdf = Pdf::new();
    pdf.page(&shows(&[("F1", 10.0, 72.0, 700.0, "protected but readable")]));
    let mut doc = pdf.finish(Dictionary::new());
    encrypt(&mut doc, "");
    let read = read(&save(&mut doc)).expect("readable");
    assert_eq!(read.text, "protected but readable\n\n");
}
