//! Makes small PDFs for the tests.
#![allow(dead_code)]

use std::collections::BTreeMap;

use ibid_plugin_pdf::{Collected, Config, Failure, extract};
use lopdf::{Dictionary, Document, Object, ObjectId, Stream, dictionary};

/// A PDF in the making.
pub struct Pdf {
    pub doc: Document,
    pub pages_id: ObjectId,
    pub kids: Vec<Object>,
    pub fonts: Dictionary,
    pub xobjects: Dictionary,
}

impl Pdf {
    /// A document whose pages have Helvetica as `F1` and Helvetica-Bold as `F2`.
    pub fn new() -> Pdf {
        let mut doc = Document::with_version("1.7");
        let pages_id = doc.new_object_id();
        let mut fonts = Dictionary::new();
        for (name, base) in [("F1", "Helvetica"), ("F2", "Helvetica-Bold")] {
            let id = doc.add_object(dictionary! {
                "Type" => "Font",
                "Subtype" => "Type1",
                "BaseFont" => base,
                "Encoding" => "WinAnsiEncoding",
            });
            fonts.set(name, id);
        }
        Pdf {
            doc,
            pages_id,
            kids: Vec::new(),
            fonts,
            xobjects: Dictionary::new(),
        }
    }

    /// Adds a page with this content, `extra` entries in its dictionary.
    pub fn page_with(&mut self, content: &str, extra: Dictionary) -> ObjectId {
        let content = self.doc.add_object(Stream::new(dictionary! {}, content.as_bytes().to_vec()));
        let mut page = dictionary! {
            "Type" => "Page",
            "Parent" => self.pages_id,
            "Contents" => content,
        };
        page.extend(&extra);
        let id = self.doc.add_object(page);
        self.kids.push(id.into());
        id
    }

    pub fn page(&mut self, content: &str) -> ObjectId {
        self.page_with(content, Dictionary::new())
    }

    /// Adds a composite font with these entries, whose CIDs are of an ordering of Adobe's; `cid_font` are entries of its CID font.
    pub fn composite(&mut self, name: &str, ordering: &str, font: Dictionary, cid_font: Dictionary) {
        let mut descendant = dictionary! {
            "Type" => "Font", "Subtype" => "CIDFontType0", "BaseFont" => "ABCDEF+Font", "DW" => 1000,
            "CIDSystemInfo" => dictionary! {
                "Registry" => Object::string_literal("Adobe"), "Ordering" => Object::string_literal(ordering), "Supplement" => 2,
            },
        };
        for (key, value) in &cid_font {
            descendant.set(key.clone(), value.clone());
        }
        let descendant = self.doc.add_object(descendant);
        let mut dict = dictionary! {
            "Type" => "Font", "Subtype" => "Type0", "BaseFont" => "ABCDEF+Font", "Encoding" => "Identity-H",
            "DescendantFonts" => vec![Object::from(descendant)],
        };
        for (key, value) in &font {
            dict.set(key.clone(), value.clone());
        }
        let font = self.doc.add_object(dict);
        self.fonts.set(name, font);
    }

    /// Adds a stream without a filter.
    pub fn stream(&mut self, bytes: &[u8]) -> ObjectId {
        self.doc.add_object(Stream::new(dictionary! {}, bytes.to_vec()))
    }

    /// Adds a font `F9` of which each code from 1 shows one of these characters, half as wide as high.
    pub fn characters(&mut self, characters: &str) {
        let mut map = String::from("1 begincodespacerange <00> <FF> endcodespacerange 99 beginbfchar\n");
        for (code, c) in (1..).zip(characters.chars()) {
            map.push_str(&format!("<{code:02x}> <{:04x}>\n", u32::from(c)));
        }
        let map = self.stream(map.as_bytes());
        let font = self.doc.add_object(dictionary! {
            "Type" => "Font", "Subtype" => "TrueType", "BaseFont" => "ABCDEF+Font", "FirstChar" => 0,
            "Widths" => vec![Object::from(500); 256], "ToUnicode" => map,
        });
        self.fonts.set("F9", font);
    }

    /// Writes page tree, catalog and trailer; `catalog` are more entries of the catalog.
    pub fn finish(mut self, catalog: Dictionary) -> Document {
        let resources = self.doc.add_object(dictionary! {
            "Font" => self.fonts,
            "XObject" => self.xobjects,
        });
        let count = self.kids.len() as i64;
        self.doc.objects.insert(
            self.pages_id,
            dictionary! {
                "Type" => "Pages",
                "Kids" => self.kids,
                "Count" => count,
                "Resources" => resources,
                "MediaBox" => vec![0.into(), 0.into(), 612.into(), 792.into()],
            }
            .into(),
        );
        let mut root = dictionary! { "Type" => "Catalog", "Pages" => self.pages_id };
        root.extend(&catalog);
        let root = self.doc.add_object(root);
        self.doc.trailer.set("Root", root);
        self.doc
    }

    pub fn bytes(self) -> Vec<u8> {
        save(&mut self.finish(Dictionary::new()))
    }
}

pub fn save(doc: &mut Document) -> Vec<u8> {
    let mut bytes = Vec::new();
    doc.save_to(&mut bytes).expect("writing to memory");
    bytes
}

/// Content that shows text in the font that [`Pdf::characters`] made of these characters.
pub fn shows_characters(characters: &str, x: f32, y: f32, text: &str) -> String {
    let code = |c| characters.chars().position(|known| known == c).expect("a character of the font") + 1;
    let codes: String = text.chars().map(|c| format!("{:02x}", code(c))).collect();
    format!("BT /F9 10 Tf 1 0 0 1 {x} {y} Tm <{codes}> Tj ET\n")
}

/// Content that shows lines at positions, each with its font and size.
pub fn shows(lines: &[(&str, f32, f32, f32, &str)]) -> String {
    lines
        .iter()
        .map(|(font, size, x, y, text)| format!("BT /{font} {size} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj ET\n"))
        .collect()
}

pub fn read(bytes: &[u8]) -> Result<Collected, Failure> {
    let mut collected = Collected::default();
    extract(bytes, &Config::default(), &mut collected)?;
    check(&collected);
    Ok(collected)
}

/// The rules of the plugin contract for spans and pages.
pub fn check(collected: &Collected) {
    let text = &collected.text;
    let mut last = (0, u32::MAX);
    for unit in &collected.units {
        for span in std::iter::once(unit.at).chain(unit.title) {
            assert!(span.start <= span.end);
            assert!(text.is_char_boundary(span.start as usize));
            assert!(text.is_char_boundary(span.end as usize));
        }
        let order = (unit.at.start, u32::MAX - unit.at.end);
        assert!(order >= last || last.1 == u32::MAX, "units are in order");
        last = order;
    }
    let numbers: Vec<u32> = collected.pages.iter().map(|page| page.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
}

/// Units of a kind, as text.
pub fn units<'a>(collected: &'a Collected, kind: &str) -> Vec<&'a str> {
    collected
        .units
        .iter()
        .filter(|unit| unit.kind == kind)
        .filter_map(|unit| collected.at(unit.at))
        .collect()
}

/// How a file is encrypted.
#[derive(Debug, Clone, Copy)]
pub enum Encryption {
    Rc4 { bits: usize },
    Aes128,
    Aes256,
}

/// Encrypts with AES-128, as most files are.
pub fn encrypt(doc: &mut Document, user_password: &str) {
    encrypt_by(doc, user_password, Encryption::Aes128);
}

/// Encrypts.
pub fn encrypt_by(doc: &mut Document, user_password: &str, encryption: Encryption) {
    use lopdf::encryption::crypt_filters::{Aes128CryptFilter, Aes256CryptFilter, CryptFilter};
    use lopdf::{EncryptionState, EncryptionVersion, Permissions};
    use std::sync::Arc;
    doc.trailer.set(
        "ID",
        vec![
            Object::string_literal(b"0123456789abcdef".to_vec()),
            Object::string_literal(b"0123456789abcdef".to_vec()),
        ],
    );
    let filters = |filter: Arc<dyn CryptFilter>| BTreeMap::from([(b"StdCF".to_vec(), filter)]);
    let permissions = Permissions::all();
    let owner_password = "owner";
    let version = match encryption {
        Encryption::Rc4 { bits: 40 } => EncryptionVersion::V1 {
            document: doc,
            owner_password,
            user_password,
            permissions,
        },
        Encryption::Rc4 { bits } => EncryptionVersion::V2 {
            document: doc,
            owner_password,
            user_password,
            key_length: bits,
            permissions,
        },
        Encryption::Aes128 => EncryptionVersion::V4 {
            document: doc,
            encrypt_metadata: true,
            crypt_filters: filters(Arc::new(Aes128CryptFilter)),
            stream_filter: b"StdCF".to_vec(),
            string_filter: b"StdCF".to_vec(),
            owner_password,
            user_password,
            permissions,
        },
        Encryption::Aes256 => EncryptionVersion::V5 {
            encrypt_metadata: true,
            crypt_filters: filters(Arc::new(Aes256CryptFilter)),
            file_encryption_key: &[7; 32],
            stream_filter: b"StdCF".to_vec(),
            string_filter: b"StdCF".to_vec(),
            owner_password,
            user_password,
            permissions,
        },
    };
    let state = EncryptionState::try_from(version).expect("an encryption");
    doc.encrypt(&state).expect("encrypting");
}
