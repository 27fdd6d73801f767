//! Fonts as far as text needs them: what a code means, how wide it is, how wide a space is.

mod cid_text;
mod cmap;
mod embedded;
mod encoding;
#[rustfmt::skip]
mod glyph_names;
mod legacy;
mod memo;
#[rustfmt::skip]
mod standard_widths;
#[rustfmt::skip]
mod tables;
mod widths;

use lopdf::{Dictionary, Document, Object};
use std::cell::RefCell;

use crate::failure::Failure;
use crate::file::stream_bytes;
use crate::limits::Budget;
use crate::matrix::Matrix;
use crate::object;
use cid_text::CidTexts;
use cmap::CMap;
use embedded::GlyphUnicodes;
use legacy::Legacy;
use memo::Memo;
use widths::{CidWidths, SimpleWidths};

/// A font that is ready to decode strings.
pub(crate) struct Font {
    coding: Coding,
    to_unicode: CMap,
    /// Width of a space as a part of the font size; what a gap between words is measured by.
    pub(crate) space: f32,
    /// Whether the face is bold by its name or its descriptor.
    pub(crate) bold: bool,
    /// Whether text runs from top to bottom.
    pub(crate) vertical: bool,
}

enum Coding {
    Simple {
        /// By its Unicode map where that knows a code, else by its encoding.
        texts: encoding::CodeTexts,
        widths: SimpleWidths,
    },
    Composite {
        codes: Box<CMap>,
        legacy: Option<Legacy>,
        widths: CidWidths,
        /// Text by CID, where the CIDs are those of one of Adobe's collections.
        collection: Option<&'static CidTexts>,
        /// Unicode by CID from the font program, where nothing better is known.
        glyphs: Option<GlyphUnicodes>,
        /// What was found out so far, where all codes have two bytes.
        memo: Option<RefCell<Memo>>,
    },
}

/// One code of a shown string.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    /// Advance as a part of the font size; downwards if the font is vertical.
    pub(crate) advance: f32,
    /// Whether it is the one-byte code 32, to which word spacing applies.
    pub(crate) word_space: bool,
}

impl Font {
    /// Reads a font dictionary. Damage in it costs text or widths, never the page; only a limit
    /// is an error.
    pub(crate) fn load(doc: &Document, dict: &Dictionary, budget: &mut Budget) -> Result<Font, Failure> {
        let is_composite = object::name(doc, dict, b"Subtype") == Some(b"Type0");
        let to_unicode = match object::get(doc, dict, b"ToUnicode") {
            Some(Object::Stream(stream)) => CMap::parse(&stream_bytes(doc, stream, budget)?.unwrap_or_default()),
            Some(Object::Name(name)) if is_composite && name.starts_with(b"Identity") => CMap::unicode_identity(),
            _ => CMap::default(),
        };
        let base_font = object::name(doc, dict, b"BaseFont")
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .unwrap_or_default();
        match object::name(doc, dict, b"Subtype") {
            Some(b"Type0") => Self::composite(doc, dict, &base_font, to_unicode, budget),
            subtype => {
                let type3 = subtype == Some(b"Type3");
                Self::simple(doc, dict, &base_font, type3, to_unicode, budget)
            }
        }
    }

    /// What text is set in when its font cannot be found: Helvetica in standard encoding.
    pub(crate) fn fallback() -> Font {
        let (doc, dict) = (Document::new(), Dictionary::new());
        let texts = encoding::simple(&doc, &dict, "Helvetica", None);
        let widths = SimpleWidths::load(&doc, &dict, "Helvetica", 0.001, &texts);
        Font {
            coding: Coding::Simple { texts, widths },
            to_unicode: CMap::default(),
            space: 0.278,
            bold: false,
            vertical: false,
        }
    }

    fn simple(
        doc: &Document,
        dict: &Dictionary,
        base_font: &str,
        type3: bool,
        to_unicode: CMap,
        budget: &mut Budget,
    ) -> Result<Font, Failure> {
        let descriptor = object::dict(doc, dict, b"FontDescriptor");
        let needs_program = !to_unicode.has_unicode() && !type3;
        let program = match descriptor.and_then(|d| object::get(doc, d, b"FontFile")) {
            Some(Object::Stream(stream)) if needs_program => stream_bytes(doc, stream, budget)?,
            _ => None,
        };
        let texts = encoding::simple(doc, dict, base_font, program.as_deref());
        let unit = if type3 {
            object::numbers(doc, dict, b"FontMatrix")
                .and_then(|v| Matrix::from_slice(&v))
                .map_or(0.001, |matrix| matrix.a.abs())
        } else {
            0.001
        };
        let widths = SimpleWidths::load(doc, dict, base_font, unit, &texts);
        let mut font = Font {
            bold: is_bold(doc, base_font, descriptor),
            coding: Coding::Simple { texts, widths },
            to_unicode,
            space: 0.0,
            vertical: false,
        };
        font.space = font.space_width();
        if let Coding::Simple { texts, .. } = &mut font.coding {
            for (code, text) in (0u32..).zip(texts) {
                let mut mapped = String::new();
                if font.to_unicode.text(code, &mut mapped) {
                    *text = mapped.into_boxed_str();
                }
            }
        }
        Ok(font)
    }

    fn composite(doc: &Document, dict: &Dictionary, base_font: &str, to_unicode: CMap, budget: &mut Budget) -> Result<Font, Failure> {
        let descendant = object::array(doc, dict, b"DescendantFonts")
            .and_then(<[Object]>::first)
            .and_then(|item| object::resolve(doc, item))
            .and_then(object::as_dict);
        let mut legacy = None;
        let mut codes = match object::get(doc, dict, b"Encoding") {
            Some(Object::Stream(stream)) => {
                let codes = CMap::parse(&stream_bytes(doc, stream, budget)?.unwrap_or_default());
                let base = codes.base.as_deref().or_else(|| object::name(doc, &stream.dict, b"UseCMap"));
                legacy = base.filter(|_| !codes.has_cids()).and_then(Legacy::named);
                codes
            }
            Some(Object::Name(name)) => {
                legacy = Legacy::named(name);
                let mut codes = CMap::identity();
                codes.vertical = name.ends_with(b"V");
                codes
            }
            _ => CMap::identity(),
        };
        if !codes.has_codespaces() {
            let vertical = codes.vertical;
            codes = CMap::identity();
            codes.vertical = vertical;
        }
        let collection = descendant.filter(|_| legacy.is_none()).and_then(|font| collection(doc, font, dict));
        let descriptor = descendant.and_then(|d| object::dict(doc, d, b"FontDescriptor"));
        let needs_program = !to_unicode.has_unicode() && legacy.is_none() && collection.is_none();
        let program = descriptor.filter(|_| needs_program).and_then(|d| {
            let program = object::get(doc, d, b"FontFile2").or_else(|| object::get(doc, d, b"FontFile3"));
            program.and_then(object::as_stream)
        });
        let mut glyphs = match program {
            Some(stream) => stream_bytes(doc, stream, budget)?.as_deref().and_then(GlyphUnicodes::parse),
            None => None,
        };
        if let Some(glyphs) = &mut glyphs
            && let Some(Object::Stream(map)) = descendant.and_then(|d| object::get(doc, d, b"CIDToGIDMap"))
        {
            glyphs.set_cids(&stream_bytes(doc, map, budget)?.unwrap_or_default());
        }
        let memo = (legacy.is_none() && codes.is_two_bytes()).then(RefCell::default);
        let mut font = Font {
            bold: is_bold(doc, base_font, descriptor),
            vertical: codes.vertical,
            coding: Coding::Composite {
                codes: Box::new(codes),
                legacy,
                memo,
                widths: CidWidths::load(doc, descendant),
                collection,
                glyphs,
            },
            to_unicode,
            space: 0.0,
        };
        font.space = font.space_width();
        Ok(font)
    }

    fn space_width(&self) -> f32 {
        let width = match &self.coding {
            Coding::Simple { texts, widths } => {
                let blank = |code: usize| texts.get(code).is_some_and(|text| &**text == " ");
                let code = if blank(32) {
                    Some(32)
                } else {
                    self.to_unicode
                        .code_of(' ')
                        .or_else(|| (0u32..256).find(|&code| blank(code as usize)))
                };
                code.map_or(0.0, |code| widths.get(code))
            }
            Coding::Composite { codes, widths, .. } => self
                .to_unicode
                .code_of(' ')
                .and_then(|code| codes.cid(code))
                .map_or(0.0, |cid| widths.get(cid)),
        };
        // Subset fonts may carry a space of no or absurd width.
        if (0.1..=0.8).contains(&width) { width } else { 0.25 }
    }

    /// Decodes a shown string code by code: `each` gets the code and its text, which may be empty.
    pub(crate) fn decode<E>(
        &self,
        mut bytes: &[u8],
        text: &mut String,
        mut each: impl FnMut(Code, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        let (codes, legacy, widths, collection, glyphs, memo) = match &self.coding {
            Coding::Simple { texts, widths } => {
                for &byte in bytes {
                    let code = Code {
                        advance: widths.get(u32::from(byte)),
                        word_space: byte == 32,
                    };
                    each(code, texts.get(usize::from(byte)).map_or("", |text| text))?;
                }
                return Ok(());
            }
            Coding::Composite {
                codes,
                legacy,
                widths,
                collection,
                glyphs,
                memo,
            } => (codes, legacy, widths, collection, glyphs, memo),
        };
        let look_up = |value: u32, text: &mut String| {
            let cid = codes.cid(value).unwrap_or(value);
            if self.to_unicode.text(value, text) {
                // It is known.
            } else if let Some(collection) = collection {
                text.push_str(collection.get(cid));
            } else if let Some(c) = glyphs.as_ref().and_then(|g| g.char_of(cid)) {
                text.push(c);
            }
            if self.vertical { widths.down(cid) } else { widths.get(cid) }
        };
        if let Some(memo) = memo {
            let mut memo = memo.borrow_mut();
            let (pairs, rest) = bytes.as_chunks::<2>();
            for pair in pairs {
                let (advance, text) = memo.get(*pair, look_up);
                let word_space = false;
                each(Code { advance, word_space }, text)?;
            }
            bytes = rest;
        }
        while !bytes.is_empty() {
            text.clear();
            let (advance, taken, value) = if let Some(legacy) = legacy {
                let (value, taken, known) = legacy.next(bytes);
                if !self.to_unicode.text(value, text) {
                    text.push_str(&known);
                }
                let advance = match self.vertical {
                    true => widths.down(u32::MAX),
                    false => legacy.advance(value, taken, widths),
                };
                (advance, taken, value)
            } else {
                let (value, taken) = codes.next_code(bytes);
                (look_up(value, text), taken, value)
            };
            bytes = bytes.get(taken..).unwrap_or_default();
            let code = Code {
                advance,
                word_space: taken == 1 && value == 32,
            };
            each(code, text)?;
        }
        Ok(())
    }
}

/// The character collection that the CIDs of a font are from, by what the font or its name of a Unicode map says.
fn collection(doc: &Document, descendant: &Dictionary, font: &Dictionary) -> Option<&'static CidTexts> {
    let named = object::name(doc, font, b"ToUnicode").and_then(CidTexts::named);
    named.or_else(|| {
        let system = object::dict(doc, descendant, b"CIDSystemInfo")?;
        match object::get(doc, system, b"Ordering")? {
            Object::String(ordering, _) | Object::Name(ordering) => CidTexts::of(ordering),
            _ => None,
        }
    })
}

fn is_bold(doc: &Document, base_font: &str, descriptor: Option<&Dictionary>) -> bool {
    let name = base_font.to_ascii_lowercase();
    if ["bold", "black", "heavy", "demi"].iter().any(|weight| name.contains(weight)) {
        return true;
    }
    let Some(descriptor) = descriptor else {
        return false;
    };
    let flags = object::integer(doc, descriptor, b"Flags").unwrap_or(0);
    let weight = object::number(doc, descriptor, b"FontWeight").unwrap_or(0.0);
    flags & (1 << 18) != 0 || weight >= 600.0
}
