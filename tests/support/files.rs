//! Files of known content, made on the spot.

use lopdf::encryption::crypt_filters::{Aes128CryptFilter, CryptFilter};
use lopdf::{Dictionary, Document, EncryptionState, EncryptionVersion, Object, Permissions, Stream, dictionary};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// A file to upload.
#[derive(Clone)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl File {
    /// A file of these bytes.
    pub fn new(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            bytes: bytes.into(),
        }
    }
}

/// What stands on the pages of [`report`], line by line.
pub const PAGES: [&[&str]; 4] = [
    &[
        "The Marlin expansion project was approved by the board of directors on 14 March 2023.",
        "Harbour Street remains the head office of the company.",
    ],
    &[
        "The annual budget of the IT department amounts to 4.2 million dollars.",
        "Most of that money pays for servers and for licences.",
    ],
    &[
        "Employees may carry over at most seven days of unused vacation into the next year.",
        "Requests go to the personnel office before the end of November.",
    ],
    &[
        "The warehouse in Rotterdam stores replacement turbines for the northern wind farms.",
        "It was built of red brick and opened in 1987.",
    ],
];

/// Questions about [`report`], and the page that answers each.
pub const QUESTIONS: [(&str, usize); 4] = [
    ("When was the Marlin expansion project approved by the board?", 1),
    ("What is the annual budget of the IT department?", 2),
    ("How many days of unused vacation may employees carry over?", 3),
    ("What does the warehouse in Rotterdam store?", 4),
];

/// A PDF of four pages: [`PAGES`].
pub fn report(name: &str) -> File {
    File::new(name, pdf(&PAGES, None))
}

/// A PDF with a line of text for each string; `user_password` encrypts it (AES-128), the empty one so that everybody can read it.
pub fn pdf(pages: &[&[&str]], user_password: Option<&str>) -> Vec<u8> {
    let content = |lines: &&[&str]| {
        let mut content = String::from("BT /F1 11 Tf 14 TL 72 720 Td\n");
        for line in *lines {
            let _ = writeln!(content, "({line}) Tj T*");
        }
        content + "ET\n"
    };
    pdf_of(pages.iter().map(content).collect(), user_password)
}

/// A PDF of which the second and third page are scans.
pub fn half_scanned(name: &str) -> File {
    let text = |line: &str| format!("BT /F1 11 Tf 72 720 Td ({line}) Tj ET");
    let scan = "q 612 0 0 792 0 0 cm BI /W 1 /H 1 /BPC 8 /CS /G ID x EI Q";
    let pages = vec![text(PAGES[0][0]), scan.to_owned(), scan.to_owned(), text(PAGES[3][0])];
    File::new(name, pdf_of(pages, None))
}

/// A PDF of pages with these contents, Helvetica as `F1`.
fn pdf_of(contents: Vec<String>, user_password: Option<&str>) -> Vec<u8> {
    let mut document = Document::with_version("1.7");
    let tree = document.new_object_id();
    let font = document
        .add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding" });
    let resources = document.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
    let mut kids: Vec<Object> = Vec::new();
    for content in contents {
        let content = document.add_object(Stream::new(Dictionary::new(), content.into_bytes()));
        let page = document.add_object(dictionary! { "Type" => "Page", "Parent" => tree, "Contents" => content, "Resources" => resources });
        kids.push(page.into());
    }
    let count = kids.len() as i64;
    let size: Vec<Object> = [0, 0, 612, 792].map(Object::from).to_vec();
    document.objects.insert(
        tree,
        dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => count, "MediaBox" => size }.into(),
    );
    let root = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    let info = document
        .add_object(dictionary! { "Title" => Object::string_literal("Annual notes"), "Author" => Object::string_literal("A. Writer") });
    document.trailer.set("Root", root);
    document.trailer.set("Info", info);
    if let Some(password) = user_password {
        encrypt(&mut document, password);
    }
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).expect("writing to memory");
    bytes
}

fn encrypt(document: &mut Document, user_password: &str) {
    document.trailer.set(
        "ID",
        vec![
            Object::string_literal(b"0123456789abcdef".to_vec()),
            Object::string_literal(b"0123456789abcdef".to_vec()),
        ],
    );
    let filter: Arc<dyn CryptFilter> = Arc::new(Aes128CryptFilter);
    let version = EncryptionVersion::V4 {
        document,
        encrypt_metadata: true,
        crypt_filters: BTreeMap::from([(b"StdCF".to_vec(), filter)]),
        stream_filter: b"StdCF".to_vec(),
        string_filter: b"StdCF".to_vec(),
        owner_password: "owner",
        user_password,
        permissions: Permissions::all(),
    };
    let state = EncryptionState::try_from(version).expect("an encryption");
    document.encrypt(&state).expect("encrypting");
}

/// Markdown with headings and characters of one to four bytes.
pub fn handbook(name: &str) -> File {
    let text = "# Handbook\n\n## Opening hours\n\nThe café opens at 7:30 on weekdays — except in Zürich, where it opens at 9:00.\r\n\r\n\
                ## Emergencies\n\nIn case of fire, leave by the north stairs 🔥 and gather in the parking lot behind the 体育館.\n\n\
                | Floor | Warden |\n| --- | --- |\n| 1 | Ann Lee |\n| 2 | Jürgen Groß |\n\n\tThe last line has no line break.";
    File::new(name, text)
}

/// A text whose sentences are so long that an answer to "What does the treaty of Lindau say about bridges?" in the mode
/// `comprehensive` does not fit into what a query sends ahead of its reader.
pub fn treaty() -> File {
    let detail = "with the consent of both councils, after a debate of eleven hours, and against the advice of the engineers who had measured the ground in the wet spring before";
    let text: String = (1..=8)
        .map(|n| {
            format!("Clause {n} of the treaty of Lindau says that bridge number {n} belongs to the town on bank {n}, {detail} {n}.\n\n")
        })
        .collect();
    File::new("treaty.txt", text)
}

/// A text of many chunks, different for every `volume`; sentence `n` of volume `v` begins with `Record n of volume v`.
pub fn volume(volume: usize, sentences: usize) -> File {
    const THINGS: [&str; 7] = ["lantern", "compass", "anchor", "telescope", "ledger", "barometer", "sextant"];
    const PLACES: [&str; 5] = [
        "the harbour of Trieste",
        "the old mill",
        "a chapel in the hills",
        "the customs house",
        "a shed by the canal",
    ];
    const KEEPERS: [&str; 6] = [
        "a retired captain",
        "two sisters",
        "the village teacher",
        "a clock maker",
        "the night watch",
        "a family of weavers",
    ];
    let mut text = format!("Inventory of volume {volume}\n\n");
    for n in 0..sentences {
        let (thing, place, keeper) = (
            THINGS[(n + volume) % 7],
            PLACES[(n / 2 + volume) % 5],
            KEEPERS[(n * 3 + volume) % 6],
        );
        let weight = 100 + (n * 37 + volume * 11) % 900;
        let _ = write!(
            text,
            "Record {n} of volume {volume} tells of a {thing} of {weight} grams, found in {place} and kept by {keeper} ever since."
        );
        text.push_str(if n % 6 == 5 { "\n\n" } else { " " });
    }
    File::new(&format!("volume-{volume}.txt"), text)
}
