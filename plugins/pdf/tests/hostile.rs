//! Files that are damaged, locked, or meant to do harm.

mod support;

use ibid_plugin_pdf::{Collected, Config, extract};
use lopdf::{Dictionary, Object, Stream, dictionary};
use proptest::prelude::*;
use support::{Encryption, Pdf, check, encrypt, encrypt_by, read, save, shows};

fn code(bytes: &[u8]) -> &'static str {
    read(bytes).map_or_else(|failure| failure.code(), |_| "none")
}

fn small() -> Vec<u8> {
    let mut pdf = Pdf::new();
    for page in 0..3 {
        pdf.page(&shows(&[
            ("F2", 14.0, 72.0, 740.0, &format!("Heading {page}")),
            ("F1", 10.0, 72.0, 700.0, "Some text (with parentheses left out)"),
            ("F1", 10.0, 300.0, 700.0, "1,234"),
        ]));
    }
    pdf.bytes()
}

#[test]
fn a_password_is_asked_for() {
    let mut pdf = Pdf::new();
    pdf.page(&shows(&[("F1", 10.0, 72.0, 700.0, "secret")]));
    let mut doc = pdf.finish(Dictionary::new());
    encrypt(&mut doc, "tell nobody");
    assert_eq!(code(&save(&mut doc)), "ENCRYPTED");
}

#[test]
fn a_password_is_asked_for_in_every_kind_of_encryption() {
    let kinds = [
        Encryption::Rc4 { bits: 40 },
        Encryption::Rc4 { bits: 128 },
        Encryption::Aes128,
        Encryption::Aes256,
    ];
    for kind in kinds {
        let encrypted = |password: &str| {
            let mut pdf = Pdf::new();
            pdf.page(&shows(&[("F1", 10.0, 72.0, 700.0, "protected")]));
            let mut doc = pdf.finish(Dictionary::new());
            encrypt_by(&mut doc, password, kind);
            save(&mut doc)
        };
        let locked = encrypted("a secret");
        assert_eq!(code(&locked), "ENCRYPTED", "{kind:?}");
        let open = read(&encrypted("")).expect("readable");
        assert_eq!(open.text, "protected\n\n", "{kind:?}");
        // As after a transfer that spoiled the end of the file.
        let text = String::from_utf8_lossy(&locked);
        let end = text.rfind("startxref").map_or(0, |at| text.len() - at);
        let spoiled = [&locked[..locked.len() - end], b"startxref\n7\n%%EOF"].concat();
        assert_eq!(code(&spoiled), "ENCRYPTED", "{kind:?}");
    }
}

#[test]
fn what_is_no_pdf_is_malformed() {
    for bytes in [
        &b""[..],
        b"hello",
        b"%PDF-1.7\n",
        b"%PDF-1.4\n%%EOF",
        b"%PDF-1.7\ntrailer << /Root 1 0 R >>\nstartxref\n0\n%%EOF",
        &[0xFF; 4096],
    ] {
        assert_eq!(code(bytes), "MALFORMED", "{bytes:?}");
    }
}

#[test]
fn a_truncated_file_gives_what_is_left() {
    let bytes = small();
    let cut = &bytes[..bytes.len() * 9 / 10];
    if let Ok(read) = read(cut) {
        assert!(read.text.is_empty() || read.text.contains("Heading"));
    }
}

#[test]
fn a_circular_page_tree_ends() {
    let mut pdf = Pdf::new();
    pdf.page(&shows(&[("F1", 10.0, 72.0, 700.0, "once")]));
    let root = pdf.pages_id;
    pdf.kids.push(root.into());
    pdf.kids.push(root.into());
    let read = read(&pdf.bytes()).expect("readable");
    assert_eq!(read.text, "once\n\n");
    let mut alone = Pdf::new();
    let root = alone.pages_id;
    alone.kids.push(root.into());
    assert_eq!(code(&alone.bytes()), "MALFORMED");
}

#[test]
fn a_bomb_ends_in_a_limit() {
    let mut pdf = Pdf::new();
    let mut bomb = Stream::new(dictionary! {}, vec![b' '; 80 << 20]);
    bomb.compress().expect("compressible");
    assert!(bomb.content.len() < 1 << 20);
    let bomb = pdf.doc.add_object(bomb);
    pdf.page_with("", dictionary! { "Contents" => bomb });
    assert_eq!(code(&pdf.bytes()), "LIMIT_EXCEEDED");
}

#[test]
fn a_bomb_of_operators_ends_in_a_limit() {
    let mut pdf = Pdf::new();
    pdf.page(&"q ".repeat(5_100_000));
    assert_eq!(code(&pdf.bytes()), "LIMIT_EXCEEDED");
}

#[test]
fn forms_that_double_end_in_a_limit() {
    let mut pdf = Pdf::new();
    let mut next: Option<lopdf::ObjectId> = None;
    for _ in 0..15 {
        let mut dict = dictionary! { "Subtype" => "Form" };
        if let Some(id) = next {
            dict.set("Resources", dictionary! { "XObject" => dictionary! { "X" => id } });
        }
        next = Some(pdf.doc.add_object(Stream::new(dict, b"/X Do /X Do /X Do".to_vec())));
    }
    pdf.xobjects.set("X", next.expect("a form"));
    pdf.page("/X Do");
    assert_eq!(code(&pdf.bytes()), "LIMIT_EXCEEDED");
}

#[test]
fn limits_of_the_configuration_hold() {
    let bytes = small();
    let mut config = Config::from_json(r#"{"max_pages": 2}"#).expect("valid");
    let failure = extract(&bytes, &config, &mut Collected::default()).expect_err("three pages");
    assert_eq!(failure.code(), "LIMIT_EXCEEDED");
    config.limits.pages = 3;
    config.limits.file_bytes = 10;
    let failure = extract(&bytes, &config, &mut Collected::default()).expect_err("too large");
    assert_eq!(failure.code(), "LIMIT_EXCEEDED");
}

#[test]
fn nesting_without_end_is_harmless() {
    let mut pdf = Pdf::new();
    let text = shows(&[("F1", 10.0, 72.0, 700.0, "still here")]);
    pdf.page(&format!(
        "{} {} {} {text}",
        "[".repeat(100_000),
        "<<".repeat(100_000),
        "/A BMC ".repeat(10_000)
    ));
    assert_eq!(read(&pdf.bytes()).expect("readable").text, "still here\n\n");
}

#[test]
fn numbers_that_overflow_are_harmless() {
    let mut pdf = Pdf::new();
    let big = "9".repeat(60);
    pdf.page(&format!(
        "BT /F1 {big} Tf {big} {big} Td (x) Tj {big} 0 0 {big} {big} {big} Tm (y) Tj ET \
         {big} 0 0 {big} 0 0 cm {big} 0 0 {big} 0 0 cm BT /F1 1 Tf (z) Tj [({big}) -{big} (a)] TJ ET",
    ));
    let mut doc = pdf.finish(dictionary! {
        "PageLabels" => dictionary! { "Nums" => vec![
            Object::Integer(0),
            dictionary! { "S" => "R", "St" => i64::MAX }.into(),
        ] },
    });
    read(&save(&mut doc)).expect("readable");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut file = b"%PDF-1.5\n".to_vec();
        file.extend(bytes);
        let _ = read(&file);
    }

    #[test]
    fn random_content_never_panics(content in "[ -~]{0,400}", operators in proptest::collection::vec(
        prop_oneof!["BT", "ET", "Tj", "TJ", "Td", "Tm", "q", "Q", "cm", "\\(a\\)", "<00>", "\\[", "\\]",
            "/F1", "Tf", "-?[0-9]{1,9}", "Do", "BDC", "EMC", "BI", "ID", "EI", "'", "\""], 0..200))
    {
        let mut pdf = Pdf::new();
        pdf.page(&content);
        pdf.page(&operators.join(" "));
        let mut collected = Collected::default();
        extract(&pdf.bytes(), &Config::default(), &mut collected).expect("pages are there");
        check(&collected);
    }

    #[test]
    fn mutated_files_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(), truncate in any::<bool>())
    {
        let mut bytes = small();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read(&bytes);
    }
}
