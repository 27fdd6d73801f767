//! Simple encodings: what each of 256 codes means.

use lopdf::{Dictionary, Document, Object};

use super::glyph_names::GLYPH_NAMES;
use super::tables;
use crate::object;

/// The text of each code of a simple font; empty where it is not known.
pub(super) type CodeTexts = Vec<Box<str>>;

/// Unicode for a glyph's name: the Adobe Glyph List, `uniXXXX`, `uXXXXX`, parts joined by `_`,
/// variants after a `.`.
pub(super) fn glyph_text(name: &str) -> Option<String> {
    let base = match name.split_once('.') {
        Some(("", _)) => return None,
        Some((base, _)) => base,
        None => name,
    };
    if let Some(found) = single(base) {
        return Some(found.to_string());
    }
    if let Some(digits) = base.strip_prefix("uni")
        && digits.len() >= 4
        && digits.len() % 4 == 0
        && digits.is_ascii()
    {
        let units: Option<Vec<u16>> = (0..digits.len() / 4)
            .map(|i| u16::from_str_radix(digits.get(i * 4..i * 4 + 4)?, 16).ok())
            .collect();
        return String::from_utf16(&units?).ok();
    }
    if let Some(digits) = base.strip_prefix('u')
        && (4..=6).contains(&digits.len())
        && let Ok(value) = u32::from_str_radix(digits, 16)
    {
        return char::from_u32(value).map(String::from);
    }
    if base.contains('_') {
        let parts: Option<String> = base.split('_').map(single).collect();
        return parts;
    }
    None
}

fn single(name: &str) -> Option<char> {
    let at = GLYPH_NAMES
        .binary_search_by(|(known, _)| known.as_bytes().cmp(name.as_bytes()))
        .ok()?;
    char::from_u32(u32::from(GLYPH_NAMES.get(at)?.1))
}

fn base_table(name: &[u8]) -> Option<&'static [u16; 256]> {
    Some(match name {
        b"WinAnsiEncoding" => &tables::WIN_ANSI,
        b"MacRomanEncoding" => &tables::MAC_ROMAN,
        b"StandardEncoding" => &tables::STANDARD,
        b"PDFDocEncoding" => &tables::PDF_DOC,
        _ => return None,
    })
}

fn from_table(table: &[u16; 256]) -> CodeTexts {
    table
        .iter()
        .map(|&unit| match char::from_u32(u32::from(unit)) {
            Some(c) if unit != 0 => c.to_string().into_boxed_str(),
            _ => Box::default(),
        })
        .collect()
}

/// What the codes of a simple font mean by its `/Encoding`, its name and its own font program.
///
/// `embedded` is the decompressed font program of a Type 1 font, if there is one.
pub(super) fn simple(doc: &Document, font: &Dictionary, base_font: &str, embedded: Option<&[u8]>) -> CodeTexts {
    let encoding = object::get(doc, font, b"Encoding");
    let named = match encoding {
        Some(Object::Name(name)) => base_table(name),
        Some(other) => object::as_dict(other)
            .and_then(|dict| object::name(doc, dict, b"BaseEncoding"))
            .and_then(base_table),
        None => None,
    };
    let own = match named {
        Some(_) => None,
        None => embedded.and_then(type1_encoding),
    };
    let mut texts = match (named, own) {
        (Some(table), _) => from_table(table),
        (None, Some(own)) => own,
        (None, None) if base_font.contains("ZapfDingbats") => from_table(&tables::ZAPF_DINGBATS),
        (None, None) if is_symbol(base_font) => from_table(&tables::SYMBOL),
        (None, None) if is_wingdings(base_font) => wingdings(),
        (None, None) if object::name(doc, font, b"Subtype") == Some(b"TrueType") => from_table(&tables::WIN_ANSI),
        (None, None) => from_table(&tables::STANDARD),
    };
    if let Some(differences) = encoding
        .and_then(object::as_dict)
        .and_then(|dict| object::array(doc, dict, b"Differences"))
    {
        let mut code = 0usize;
        // More than this cannot be meant: there are 256 codes.
        for item in differences.iter().take(2048) {
            match object::resolve(doc, item) {
                Some(Object::Integer(value)) => code = usize::try_from(*value).unwrap_or(256),
                Some(Object::Name(name)) => {
                    if let Some(slot) = texts.get_mut(code) {
                        *slot = std::str::from_utf8(name)
                            .ok()
                            .and_then(glyph_text)
                            .unwrap_or_default()
                            .into_boxed_str();
                    }
                    code += 1;
                }
                _ => {}
            }
        }
    }
    texts
}

fn is_symbol(base_font: &str) -> bool {
    let name = base_font.split_once('+').map_or(base_font, |(_, name)| name);
    name == "Symbol" || name.starts_with("Symbol,") || name == "SymbolMT"
}

fn is_wingdings(base_font: &str) -> bool {
    base_font.contains("Wingdings")
}

/// The few Wingdings that documents use: bullets, check boxes, arrows.
fn wingdings() -> CodeTexts {
    let mut texts = vec![Box::<str>::default(); 256];
    for (code, text) in [
        (0x20, " "),
        (0x6C, "●"),
        (0x6E, "■"),
        (0x6F, "☐"),
        (0x71, "❑"),
        (0x75, "◆"),
        (0x76, "❖"),
        (0x78, "☒"),
        (0x9F, "•"),
        (0xA7, "▪"),
        (0xA8, "☐"),
        (0xD8, "➢"),
        (0xE0, "→"),
        (0xFB, "✗"),
        (0xFC, "✓"),
        (0xFD, "☒"),
        (0xFE, "☑"),
    ] {
        if let Some(slot) = texts.get_mut(code) {
            *slot = text.into();
        }
    }
    texts
}

/// The `/Encoding` array in the clear text of a Type 1 font program: `dup 65 /A put`.
fn type1_encoding(program: &[u8]) -> Option<CodeTexts> {
    let clear_end = program.windows(5).position(|w| w == b"eexec").unwrap_or(program.len().min(1 << 16));
    let clear = program.get(..clear_end)?;
    let start = clear.windows(9).position(|w| w == b"/Encoding")?;
    let section = clear.get(start..)?;
    let section = match std::str::from_utf8(section) {
        Ok(section) => section,
        Err(error) => std::str::from_utf8(section.get(..error.valid_up_to())?).ok()?,
    };
    let mut words = section.split_ascii_whitespace().skip(1).peekable();
    if words.peek() == Some(&"StandardEncoding") {
        return Some(from_table(&tables::STANDARD));
    }
    let mut texts = vec![Box::<str>::default(); 256];
    let mut found = false;
    while let Some(word) = words.next() {
        match word {
            "dup" => {
                let Some(code) = words.next().and_then(|w| w.parse::<usize>().ok()) else {
                    continue;
                };
                let Some(name) = words.next().and_then(|w| w.strip_prefix('/')) else {
                    continue;
                };
                if let (Some(slot), Some(text)) = (texts.get_mut(code), glyph_text(name)) {
                    *slot = text.into_boxed_str();
                    found = true;
                }
            }
            "def" | "readonly" if found => break,
            _ => {}
        }
    }
    found.then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyph_names_become_text() {
        for (name, text) in [
            ("A", Some("A")),
            ("quotedblleft", Some("\u{201C}")),
            ("uni20AC", Some("€")),
            ("uni00410042", Some("AB")),
            ("u1F600", Some("😀")),
            ("f_i", Some("fi")),
            ("one.oldstyle", Some("1")),
            (".notdef", None),
            ("g123", None),
            ("uniZZZZ", None),
        ] {
            assert_eq!(glyph_text(name).as_deref(), text, "{name}");
        }
    }

    #[test]
    fn names_are_sorted_for_the_search() {
        assert!(GLYPH_NAMES.windows(2).all(|pair| pair[0].0.as_bytes() < pair[1].0.as_bytes()));
    }

    #[test]
    fn the_clear_text_of_a_type1_program_names_its_codes() {
        let program = b"/Encoding 256 array\n0 1 255 {1 index exch /.notdef put} for\n\
            dup 27 /ff put\ndup 65 /A put\nreadonly def\ncurrentfile eexec\xff\xfe";
        let texts = type1_encoding(program).expect("an encoding");
        assert_eq!(&*texts[27], "\u{FB00}");
        assert_eq!(&*texts[65], "A");
        assert_eq!(&*texts[66], "");
    }
}
