//! Reads documents that the tests generate, through the library's interface.

use ibid_plugin_docx::config::Config;
use ibid_plugin_docx::reader::{Document, Refused, read};
use proptest::prelude::*;
use std::io::{Cursor, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const RELATIONS: &str = r#"<Relationships>
  <Relationship Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>
  <Relationship Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/>
</Relationships>"#;
const PART_RELATIONS: &str = r#"<Relationships>
  <Relationship Type="http://purl.oclc.org/ooxml/officeDocument/relationships/styles" Target="styles2.xml"/>
  <Relationship Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes" Target="/word/footnotes.xml"/>
  <Relationship Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink" TargetMode="External" Target="../x"/>
</Relationships>"#;
const STYLES: &str = r#"<w:styles xmlns:w="w">
  <w:style w:styleId="Normal"><w:name w:val="Normal"/></w:style>
  <w:style w:styleId="berschrift1"><w:name w:val="heading 1"/><w:basedOn w:val="Normal"/></w:style>
  <w:style w:styleId="Own"><w:name w:val="Chapter"/><w:basedOn w:val="berschrift1"/></w:style>
  <w:style w:styleId="Outlined"><w:name w:val="X"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>
  <w:style w:styleId="Bullet"><w:name w:val="List Bullet 2"/><w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="3"/></w:numPr></w:pPr></w:style>
  <w:style w:styleId="Loop"><w:name w:val="Loop"/><w:basedOn w:val="Loop"/></w:style>
  <w:style w:styleId="Caption"><w:name w:val="caption"/></w:style>
</w:styles>"#;
const CORE: &str = r#"<cp:coreProperties xmlns:cp="c" xmlns:dc="d" xmlns:dcterms="t"><dc:title>Hand &amp; book</dc:title>
<dc:creator>Ann M&#252;ller</dc:creator><dc:subject/><dcterms:created>2024-05-01T10:00:00Z</dcterms:created></cp:coreProperties>"#;

fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn docx(body: &str) -> Vec<u8> {
    let document = format!(r#"<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="w"><w:body>{body}</w:body></w:document>"#);
    archive(&[
        ("_rels/.rels", RELATIONS),
        ("word/_rels/document.xml.rels", PART_RELATIONS),
        ("word/styles2.xml", STYLES),
        ("word/document.xml", &document),
        (
            "word/footnotes.xml",
            r#"<w:footnotes><w:footnote w:type="separator"><w:p><w:r><w:t>---</w:t></w:r></w:p></w:footnote>
               <w:footnote w:id="2"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>"#,
        ),
        ("docProps/core.xml", CORE),
    ])
}

fn parsed(bytes: Vec<u8>) -> Result<Document, Refused> {
    read(Cursor::new(bytes), &Config::default(), |_| {})
}

fn body(text: &str) -> Document {
    read(Cursor::new(docx(text)), &Config { footnotes: false }, |_| {}).unwrap()
}

fn p(properties: &str, text: &str) -> String {
    format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
}

fn units(document: &Document) -> Vec<(&str, u8, &str)> {
    let units = document.writer.units.iter();
    units
        .map(|unit| (unit.kind, unit.level, &document.writer.text[unit.at.clone()]))
        .collect()
}

#[test]
fn paragraphs_are_what_their_styles_say() {
    let document = body(
        &[
            p(r#"<w:pStyle w:val="berschrift1"/>"#, "One"),
            p(r#"<w:pStyle w:val="Own"/>"#, "Two"),
            p(r#"<w:pStyle w:val="Outlined"/>"#, "Three"),
            p(r#"<w:pStyle w:val="Bullet"/>"#, "item"),
            p(r#"<w:pStyle w:val="Bullet"/><w:numPr><w:numId w:val="0"/></w:numPr>"#, "no item"),
            p(r#"<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>"#, "first"),
            p(r#"<w:pStyle w:val="Caption"/>"#, "Figure 1"),
            p(r#"<w:pStyle w:val="Loop"/><w:tabs><w:tab w:val="left"/></w:tabs>"#, "plain"),
            p(r#"<w:pStyle w:val="berschrift1"/><w:outlineLvl w:val="9"/>"#, "body text"),
        ]
        .concat(),
    );
    assert_eq!(
        units(&document),
        [
            ("heading", 1, "One"),
            ("heading", 1, "Two"),
            ("heading", 3, "Three"),
            ("list-item", 2, "item"),
            ("paragraph", 0, "no item"),
            ("list-item", 1, "first"),
            ("caption", 0, "Figure 1"),
            ("paragraph", 0, "plain"),
            ("paragraph", 0, "body text"),
        ]
    );
    assert!(document.pages.is_empty(), "the file tells no pages");
}

#[test]
fn runs_are_joined_and_what_was_deleted_is_gone() {
    let text = r#"<w:p><w:r><w:t xml:space="preserve">Zürich </w:t></w:r><w:ins><w:r><w:t>&amp; 日&#x672c;</w:t></w:r></w:ins><w:del><w:r><w:delText>never</w:delText></w:r></w:del>
      <w:r><w:tab/><w:t>tab</w:t><w:br/><w:t>line</w:t><w:noBreakHyphen/><w:t>end</w:t><w:instrText>PAGE</w:instrText></w:r>
      <w:hyperlink><w:r><w:t> link</w:t></w:r></w:hyperlink></w:p><w:p/>"#;
    assert_eq!(units(&body(text)), [("paragraph", 0, "Zürich & 日本 tab\nline-end link")]);
}

#[test]
fn a_text_box_is_read_once() {
    let text = "<w:p><w:r><w:t>before</w:t></w:r><w:r><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p>\
                </w:txbxContent></mc:Choice><mc:Fallback><w:p><w:r><w:t>boxed</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent></w:r>\
                <w:r><w:t>after</w:t></w:r></w:p>";
    assert_eq!(
        units(&body(text)).iter().map(|unit| unit.2).collect::<Vec<_>>(),
        ["before", "boxed", "after"]
    );
}

#[test]
fn tables_have_rows_under_their_header() {
    let cell = |text: &str| format!("<w:tc>{}{}</w:tc>", p("", text), p("", "x"));
    let row = |a: &str, b: &str| format!("<w:tr>{}{}</w:tr>", cell(a), cell(b));
    let inner = format!("<w:tbl>{}</w:tbl>", row("in", "ner"));
    let text = format!(
        "{}<w:tbl><w:tblPr><w:tblLook w:val=\"04A0\"/></w:tblPr>{}{}<w:tr><w:tc>{inner}{}</w:tc></w:tr></w:tbl>{}",
        p("", "Before."),
        row("Name", "Cost"),
        row("Maps", "10"),
        p("", "z"),
        p("", "After.")
    );
    let document = body(&text);
    assert_eq!(
        units(&document),
        [
            ("paragraph", 0, "Before."),
            ("table", 0, "Name x | Cost x\nMaps x | 10 x\nin x ner x z"),
            ("table-row", 0, "Name x | Cost x"),
            ("table-row", 0, "Maps x | 10 x"),
            ("table-row", 0, "in x ner x z"),
            ("paragraph", 0, "After."),
        ]
    );
    let titles: Vec<_> = document
        .writer
        .units
        .iter()
        .map(|unit| unit.title.clone().map(|at| &document.writer.text[at]))
        .collect();
    assert_eq!(
        titles[1..5],
        [Some("Name x | Cost x"), None, Some("Name x | Cost x"), Some("Name x | Cost x")]
    );
}

#[test]
fn pages_are_those_that_word_laid_out() {
    let text = "<w:p><w:r><w:t>one two </w:t></w:r><w:r><w:lastRenderedPageBreak/><w:t>three</w:t></w:r></w:p>\
                <w:p><w:r><w:lastRenderedPageBreak/><w:t>four</w:t></w:r></w:p>\
                <w:p><w:r><w:br w:type=\"page\"/></w:r></w:p><w:p><w:r><w:lastRenderedPageBreak/></w:r></w:p>";
    let document = body(text);
    let page = |index: usize| {
        let end = document.pages.get(index + 1).copied().unwrap_or(document.writer.text.len());
        &document.writer.text[document.pages[index]..end]
    };
    assert_eq!(
        (0..document.pages.len()).map(page).collect::<Vec<_>>(),
        ["one two ", "three\n\n", "four", ""]
    );
}

#[test]
fn footnotes_follow_and_properties_are_known() {
    let document = parsed(docx(&p("", "Text."))).unwrap();
    assert_eq!(document.writer.text, "Text.\n\nA note.");
    let attrs = [
        ("title", "Hand & book"),
        ("author", "Ann Müller"),
        ("created", "2024-05-01T10:00:00Z"),
    ];
    assert_eq!(document.attrs, attrs.map(|(key, value)| (key, value.to_owned())));
}

#[test]
fn what_cannot_be_read_is_refused_with_what_to_do() {
    let mut old = vec![0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
    old.resize(600, 0);
    assert_eq!(parsed(old).unwrap_err(), Refused::OldOrEncrypted);
    assert_eq!(parsed(b"Dear all".to_vec()).unwrap_err(), Refused::NoDocument);
    assert_eq!(parsed(Vec::new()).unwrap_err(), Refused::NoDocument);
    assert!(matches!(parsed(b"PK".to_vec()).unwrap_err(), Refused::Malformed(_)));
    assert_eq!(
        parsed(archive(&[("xl/workbook.xml", "<workbook/>")])).unwrap_err(),
        Refused::NoDocument
    );
    assert_eq!(
        parsed(archive(&[("word/document.xml", "<workbook/>")])).unwrap_err(),
        Refused::NoDocument
    );
    let error = parsed(archive(&[("word/document.xml", "<w:document><w:p></w:r>")])).unwrap_err();
    assert!(error.to_string().contains("word/document.xml"), "{error}");
    let whole = docx(&p("", "Text."));
    let error = parsed(whole[..whole.len() - 40].to_vec()).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn deep_and_long_documents_are_no_trouble() {
    let deep = format!("{}{}", "<w:sdt>".repeat(100_000), "</w:sdt>".repeat(100_000));
    assert_eq!(body(&deep).writer.text, "");
    let tables = format!(
        "{}{}",
        "<w:tbl><w:tr><w:tc><w:p>".repeat(20_000),
        "</w:p></w:tc></w:tr></w:tbl>".repeat(20_000)
    );
    assert_eq!(body(&tables).writer.text, "");
    let long = p("", "word ").repeat(100_000);
    assert_eq!(body(&long).writer.units.len(), 100_000);
}

fn nodes() -> impl Strategy<Value = String> {
    static NAMES: [&str; 14] = [
        "p",
        "r",
        "t",
        "tbl",
        "tr",
        "tc",
        "pPr",
        "numPr",
        "del",
        "txbxContent",
        "Fallback",
        "tab",
        "br",
        "lastRenderedPageBreak",
    ];
    let leaf = prop_oneof![
        "[a-zé日 \n]{0,8}",
        prop::sample::select(&NAMES[..]).prop_map(|name| format!("<w:{name}/>"))
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        (prop::sample::select(&NAMES[..]), prop::collection::vec(inner, 0..6))
            .prop_map(|(name, inner)| format!("<w:{name}>{}</w:{name}>", inner.concat()))
    })
}

proptest! {
    #[test]
    fn any_nesting_gives_units_in_order(nodes in prop::collection::vec(nodes(), 0..12)) {
        let document = body(&nodes.concat());
        let text = &document.writer.text;
        for unit in &document.writer.units {
            prop_assert!(text.get(unit.at.clone()).is_some_and(|text| !text.is_empty()));
        }
        prop_assert!(document.writer.units.windows(2).all(|pair| pair[0].at.start <= pair[1].at.start));
        prop_assert!(document.pages.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert!(document.pages.iter().all(|at| text.is_char_boundary(*at)));
    }

    #[test]
    fn no_bytes_crash_it(flips in prop::collection::vec((0_usize..3_000, any::<u8>()), 0..20), keep in 0_usize..4_000) {
        let mut bytes = docx(&p(r#"<w:pStyle w:val="Own"/>"#, "Text."));
        let len = bytes.len();
        for (at, byte) in flips {
            bytes[at % len] = byte;
        }
        bytes.truncate(keep);
        let _ = parsed(bytes);
    }
}
