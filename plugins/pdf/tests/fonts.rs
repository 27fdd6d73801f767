//! Fonts that say what they show in unusual ways, and those that do not.

mod support;

use lopdf::{Object, Stream, dictionary};
use support::{Pdf, read, shows};

/// What a page shows that is set in the font `F9`, by codes in hexadecimal digits.
#[track_caller]
fn check(mut pdf: Pdf, codes: &str, text: &str) {
    pdf.page(&format!("BT /F9 10 Tf 72 700 Td <{codes}> Tj ET"));
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.text.trim_end(), text);
    assert_eq!(read.attr("warning.unreadable-characters"), None);
}

#[test]
fn filters_and_their_parameters_may_be_references() {
    // "BT ... ET" in hexadecimal digits, with its second filter and the array of both by reference.
    let content = shows(&[("F1", 10.0, 72.0, 700.0, "behind references")]);
    let digits: String = content.bytes().map(|byte| format!("{byte:02x}")).collect();
    let digits: String = digits.bytes().map(|byte| format!("{byte:02x}")).collect();
    for is_array_indirect in [false, true] {
        let mut pdf = Pdf::new();
        let name = pdf.doc.add_object(Object::Name(b"ASCIIHexDecode".to_vec()));
        let filters = Object::Array(vec!["ASCIIHexDecode".into(), name.into()]);
        let filters = match is_array_indirect {
            true => pdf.doc.add_object(filters).into(),
            false => filters,
        };
        let parameters = pdf.doc.add_object(Object::Array(vec![Object::Null, Object::Null]));
        let stream = Stream::new(
            dictionary! { "Filter" => filters, "DecodeParms" => parameters },
            digits.clone().into_bytes(),
        );
        let stream = pdf.doc.add_object(stream);
        pdf.page_with("", dictionary! { "Contents" => stream });
        assert_eq!(read(&pdf.bytes()).expect("readable").text, "behind references\n\n");
    }
}

#[test]
fn a_predictor_by_reference_is_undone() {
    let mut pdf = Pdf::new();
    let content = shows(&[("F1", 10.0, 72.0, 700.0, "predicted")]) + &" ".repeat(400);
    // PNG's filter "sub" of rows of four bytes.
    let mut rows = Vec::new();
    for row in content.as_bytes().chunks(4) {
        rows.push(1);
        let row: Vec<u8> = row.iter().copied().chain(std::iter::repeat(b' ')).take(4).collect();
        rows.extend(
            row.iter()
                .zip(std::iter::once(&0).chain(&row))
                .map(|(byte, left)| byte.wrapping_sub(*left)),
        );
    }
    let mut stream = Stream::new(dictionary! {}, rows);
    stream.compress().expect("compressing");
    let columns = pdf.doc.add_object(4);
    let filter = pdf.doc.add_object(Object::Name(b"FlateDecode".to_vec()));
    stream.dict.set("Filter", filter);
    stream
        .dict
        .set("DecodeParms", dictionary! { "Predictor" => 15, "Columns" => columns });
    assert!(stream.content.starts_with(b"\x78"), "compressed");
    let stream = pdf.doc.add_object(stream);
    pdf.page_with("", dictionary! { "Contents" => stream });
    assert_eq!(read(&pdf.bytes()).expect("readable").text, "predicted\n\n");
}

#[test]
fn a_unicode_map_may_be_named() {
    let mut pdf = Pdf::new();
    pdf.composite("F9", "Identity", dictionary! { "ToUnicode" => "Identity-H" }, dictionary! {});
    check(pdf, "00460061006b00740075007200610020014100f30064017a", "Faktura Łódź");
    let mut pdf = Pdf::new();
    pdf.composite("F9", "Identity", dictionary! { "ToUnicode" => "Adobe-Japan1-UCS2" }, dictionary! {});
    check(pdf, "034b034d", "あい");
}

#[test]
fn cids_of_adobes_collections_have_a_text() {
    for (ordering, codes, text) in [
        ("Japan1", "034b034d034f03510353", "あいうえお".to_owned()),
        ("GB1", "11cf", "中".to_owned()),
        ("CNS1", "0253", "一".to_owned()),
        ("Korea1", "043e", "가".to_owned()),
    ] {
        let mut pdf = Pdf::new();
        pdf.composite("F9", ordering, dictionary! {}, dictionary! {});
        check(pdf, codes, &text);
    }
}

#[test]
fn predefined_cmaps_have_a_text() {
    for (encoding, codes, text) in [
        ("UniJIS-UCS2-H", "65e5672c", "日本"),
        ("90ms-RKSJ-H", "93fa967b41", "日本A"),
        ("EUC-H", "c6fccbdc", "日本"),
        ("H", "467c4b5c", "日本"),
        ("GBK-EUC-H", "d6d0b9fa", "中国"),
        ("ETen-B5-H", "a4a4", "中"),
        ("KSCms-UHC-H", "b0a1", "가"),
        ("UniGB-UTF8-H", "e4b8ad", "中"),
    ] {
        let mut pdf = Pdf::new();
        pdf.composite("F9", "Japan1", dictionary! { "Encoding" => encoding }, dictionary! {});
        check(pdf, codes, text);
    }
}

/// A TrueType program of nothing but a character map: glyphs 3 and 4 show A and B.
fn program() -> Vec<u8> {
    let mut cmap: Vec<u8> = Vec::new();
    let mut push = |values: &[u16]| values.iter().for_each(|value| cmap.extend(value.to_be_bytes()));
    // One subtable, for Unicode, in format 4 with one segment and the one that ends them.
    push(&[0, 1, 3, 1, 0, 12]);
    push(&[4, 32, 0, 4, 4, 1, 0]);
    push(&[0x42, 0xFFFF, 0, 0x41, 0xFFFF, 3_u16.wrapping_sub(0x41), 1, 0, 0]);
    let mut program = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    program.extend(b"cmap\0\0\0\0");
    program.extend(28_u32.to_be_bytes());
    program.extend((cmap.len() as u32).to_be_bytes());
    program.extend(cmap);
    program
}

#[test]
fn an_embedded_program_tells_what_its_glyphs_show() {
    for is_mapped in [false, true] {
        let mut pdf = Pdf::new();
        let program = pdf.stream(&program());
        let mut font = dictionary! { "FontDescriptor" => dictionary! { "Type" => "FontDescriptor", "FontFile2" => program } };
        if is_mapped {
            // CID 1 is glyph 4, CID 2 glyph 3.
            let map = pdf.stream(&[0, 0, 0, 4, 0, 3]);
            font.set("CIDToGIDMap", map);
        }
        pdf.composite("F9", "Identity", dictionary! {}, font);
        let (codes, text) = if is_mapped { ("00010002", "BA") } else { ("00030004", "AB") };
        check(pdf, codes, text);
    }
}

#[test]
fn characters_that_no_font_tells_are_counted() {
    let mut pdf = Pdf::new();
    pdf.composite("F9", "Identity", dictionary! {}, dictionary! {});
    pdf.composite("F8", "CNS1", dictionary! { "Encoding" => "CNS-EUC-H" }, dictionary! {});
    pdf.page(&shows(&[("F1", 10.0, 72.0, 700.0, "readable")]));
    pdf.page("BT /F9 10 Tf 72 700 Td <000100020003> Tj ET");
    pdf.page("BT /F8 10 Tf 72 700 Td <a4a1a4a2> Tj ET");
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.text, "readable\n\n");
    let warning = "5 characters on pages 2-3 are not in the text: their fonts do not say what they show.";
    assert_eq!(read.attr("warning.unreadable-characters"), Some(warning));
}

#[test]
fn a_map_to_no_character_is_no_map() {
    let mut pdf = Pdf::new();
    pdf.characters("ab\u{FFFD}");
    pdf.page("BT /F9 10 Tf 72 700 Td <010203> Tj ET");
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.text, "ab\n\n");
    let warning = "1 character on page 1 is not in the text: its font does not say what it shows.";
    assert_eq!(read.attr("warning.unreadable-characters"), Some(warning));
}

#[test]
fn names_of_ligatures_are_their_letters() {
    let mut pdf = Pdf::new();
    let font = pdf.doc.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica",
        "Encoding" => dictionary! {
            "BaseEncoding" => "WinAnsiEncoding",
            "Differences" => vec![
                1.into(), "f_f_i".into(), "fl".into(), "uniFB01".into(), "uni00660069".into(), "u1F692".into(), "a.alt".into(),
            ],
        },
    });
    pdf.fonts.set("F9", font);
    check(pdf, "6f0163652002200320042005202006", "office fl fi fi 🚒 a");
}
