//! CMaps: codes to Unicode (`/ToUnicode`) and codes to CIDs (`/Encoding` of a composite font).

use std::borrow::Cow;

use crate::lexer::{Lexer, Token};

/// Most entries that are kept of one CMap: more codes than two bytes can name are not meant.
const MAX_ENTRIES: usize = 200_000;

#[derive(Debug, Clone)]
enum Target {
    /// Of the first code; later ones count up from it.
    Char(u32),
    Text(Box<str>),
}

#[derive(Debug, Clone)]
struct Mapping<T> {
    low: u32,
    high: u32,
    to: T,
}

#[derive(Debug, Clone, Copy)]
struct CodeSpace {
    bytes: usize,
    low: u32,
    high: u32,
}

/// A parsed CMap.
#[derive(Debug, Clone, Default)]
pub(super) struct CMap {
    spaces: Vec<CodeSpace>,
    unicode: Vec<Mapping<Target>>,
    cids: Vec<Mapping<u32>>,
    /// Whether text that is set with it runs from top to bottom.
    pub(super) vertical: bool,
    /// The name of a CMap that it extends.
    pub(super) base: Option<Box<[u8]>>,
}

enum Operand<'a> {
    Bytes(Cow<'a, [u8]>),
    Int(u32),
    Array(Vec<Cow<'a, [u8]>>),
    Name(Cow<'a, [u8]>),
}

#[derive(Clone, Copy, PartialEq)]
enum Section {
    None,
    CodeSpace,
    BfChar,
    BfRange,
    CidChar,
    CidRange,
}

fn code(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn utf16(bytes: &[u8]) -> Target {
    if let [single] = *bytes {
        return Target::Char(u32::from(single));
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let text = String::from_utf16_lossy(&units);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Target::Char(u32::from(c)),
        _ => Target::Text(text.into_boxed_str()),
    }
}

impl CMap {
    /// Two-byte codes that are CIDs (`Identity-H`).
    pub(super) fn identity() -> Self {
        CMap {
            spaces: vec![CodeSpace {
                bytes: 2,
                low: 0,
                high: 0xFFFF,
            }],
            cids: vec![Mapping {
                low: 0,
                high: 0xFFFF,
                to: 0,
            }],
            ..CMap::default()
        }
    }

    /// Two-byte codes that are UTF-16: `/ToUnicode /Identity-H`.
    pub(super) fn unicode_identity() -> Self {
        CMap {
            unicode: vec![Mapping {
                low: 0,
                high: 0xFFFF,
                to: Target::Char(0),
            }],
            ..CMap::default()
        }
    }

    pub(super) fn parse(source: &[u8]) -> Self {
        let mut cmap = CMap::default();
        let mut section = Section::None;
        let mut operands: Vec<Operand<'_>> = Vec::new();
        let mut array: Option<Vec<Cow<'_, [u8]>>> = None;
        for token in Lexer::new(source) {
            match token {
                Token::Word(word) => {
                    section = match word {
                        b"begincodespacerange" => Section::CodeSpace,
                        b"beginbfchar" => Section::BfChar,
                        b"beginbfrange" => Section::BfRange,
                        b"begincidchar" => Section::CidChar,
                        b"begincidrange" => Section::CidRange,
                        b"def" => {
                            if let [.., Operand::Name(name), Operand::Int(mode)] = operands.as_slice()
                                && name.as_ref() == b"WMode"
                            {
                                cmap.vertical = *mode == 1;
                            }
                            Section::None
                        }
                        b"usecmap" => {
                            if let Some(Operand::Name(name)) = operands.last() {
                                if name.starts_with(b"Identity") {
                                    cmap.cids.extend(CMap::identity().cids);
                                }
                                cmap.base = Some(name.as_ref().into());
                            }
                            Section::None
                        }
                        _ => Section::None,
                    };
                    operands.clear();
                    array = None;
                    continue;
                }
                Token::ArrayStart => array = Some(Vec::new()),
                Token::ArrayEnd => {
                    if let Some(items) = array.take() {
                        operands.push(Operand::Array(items));
                    }
                }
                Token::String(bytes) => match &mut array {
                    Some(items) => items.push(bytes),
                    None => operands.push(Operand::Bytes(bytes)),
                },
                Token::Number(value) => operands.push(Operand::Int(value.max(0.0) as u32)),
                Token::Name(name) => operands.push(Operand::Name(name)),
                Token::DictStart | Token::DictEnd => {}
            }
            if array.is_none() && cmap.take(section, &operands) {
                operands.clear();
            }
            if operands.len() > 64 {
                operands.clear();
            }
            if cmap.unicode.len() + cmap.cids.len() + cmap.spaces.len() > MAX_ENTRIES {
                break;
            }
        }
        // Stable, so that of two entries for a code the later one is found.
        cmap.unicode.sort_by_key(|mapping| mapping.low);
        cmap.cids.sort_by_key(|mapping| mapping.low);
        cmap
    }

    /// Takes one entry of a section once its operands are all there.
    fn take(&mut self, section: Section, operands: &[Operand<'_>]) -> bool {
        match (section, operands) {
            (Section::CodeSpace, [Operand::Bytes(low), Operand::Bytes(high)]) => {
                if (1..=4).contains(&low.len()) {
                    self.spaces.push(CodeSpace {
                        bytes: low.len(),
                        low: code(low),
                        high: code(high),
                    });
                }
            }
            (Section::BfChar, [Operand::Bytes(from), Operand::Bytes(to)]) => {
                self.unicode.push(Mapping {
                    low: code(from),
                    high: code(from),
                    to: utf16(to),
                });
            }
            (Section::BfRange, [Operand::Bytes(low), Operand::Bytes(high), Operand::Bytes(to)]) => {
                let (low, high) = (code(low), code(high));
                match utf16(to) {
                    Target::Char(first) => self.unicode.push(Mapping {
                        low,
                        high,
                        to: Target::Char(first),
                    }),
                    Target::Text(text) => self.text_range(low, high, &text),
                }
            }
            (Section::BfRange, [Operand::Bytes(low), Operand::Bytes(high), Operand::Array(items)]) => {
                let (low, high) = (code(low), code(high));
                for (at, item) in (low..=high).zip(items) {
                    self.unicode.push(Mapping {
                        low: at,
                        high: at,
                        to: utf16(item),
                    });
                }
            }
            (Section::CidChar, [Operand::Bytes(from), Operand::Int(cid)]) => {
                self.cids.push(Mapping {
                    low: code(from),
                    high: code(from),
                    to: *cid,
                });
            }
            (Section::CidRange, [Operand::Bytes(low), Operand::Bytes(high), Operand::Int(cid)]) => {
                self.cids.push(Mapping {
                    low: code(low),
                    high: code(high),
                    to: *cid,
                });
            }
            (Section::None, _) => return false,
            (Section::CodeSpace | Section::BfChar | Section::CidChar, operands) => {
                return operands.len() >= 2;
            }
            (Section::BfRange | Section::CidRange, operands) => return operands.len() >= 3,
        }
        true
    }

    /// A range whose text has several characters counts up in the last one.
    fn text_range(&mut self, low: u32, high: u32, text: &str) {
        let mut chars: Vec<char> = text.chars().collect();
        let Some(last) = chars.pop() else { return };
        for at in low..=high.min(low.saturating_add(255)) {
            let mut target: String = chars.iter().collect();
            if let Some(c) = char::from_u32(u32::from(last).saturating_add(at - low)) {
                target.push(c);
            }
            self.unicode.push(Mapping {
                low: at,
                high: at,
                to: Target::Text(target.into_boxed_str()),
            });
        }
    }

    pub(super) fn has_unicode(&self) -> bool {
        !self.unicode.is_empty()
    }

    pub(super) fn has_cids(&self) -> bool {
        !self.cids.is_empty()
    }

    pub(super) fn has_codespaces(&self) -> bool {
        !self.spaces.is_empty()
    }

    /// Whether every code has two bytes.
    pub(super) fn is_two_bytes(&self) -> bool {
        self.spaces.iter().all(|space| space.bytes == 2)
    }

    /// Appends the text of a code to `out`; `false` if it has none.
    pub(super) fn text(&self, code: u32, out: &mut String) -> bool {
        match find(&self.unicode, code) {
            Some(mapping) => match &mapping.to {
                Target::Char(first) => match char::from_u32(first.saturating_add(code - mapping.low)) {
                    Some(c) => {
                        out.push(c);
                        true
                    }
                    None => false,
                },
                Target::Text(text) => {
                    out.push_str(text);
                    true
                }
            },
            None => false,
        }
    }

    /// The CID of a code.
    pub(super) fn cid(&self, code: u32) -> Option<u32> {
        let mapping = find(&self.cids, code)?;
        Some(mapping.to.saturating_add(code - mapping.low))
    }

    /// The code that means this character, if a plain entry says so.
    pub(super) fn code_of(&self, wanted: char) -> Option<u32> {
        let wanted = u32::from(wanted);
        self.unicode.iter().find_map(|mapping| match mapping.to {
            Target::Char(first) if first <= wanted && wanted - first <= mapping.high.saturating_sub(mapping.low) => {
                Some(mapping.low + (wanted - first))
            }
            _ => None,
        })
    }

    /// Reads the next code: its value and its length in bytes, at least 1.
    pub(super) fn next_code(&self, bytes: &[u8]) -> (u32, usize) {
        let mut value = 0u32;
        for (index, &byte) in bytes.iter().take(4).enumerate() {
            value = value << 8 | u32::from(byte);
            let length = index + 1;
            // Each byte of a code lies between the bytes of the range's ends.
            let fits = self.spaces.iter().any(|space| {
                space.bytes == length
                    && (0..length).all(|i| {
                        let part = |v: u32| v >> (8 * i) & 0xFF;
                        part(space.low) <= part(value) && part(value) <= part(space.high)
                    })
            });
            if fits {
                return (value, length);
            }
        }
        let length = self.spaces.iter().map(|space| space.bytes).min().unwrap_or(2);
        let taken = bytes.get(..length).unwrap_or(bytes);
        (code(taken), taken.len().max(1))
    }
}

fn find<T>(mappings: &[Mapping<T>], code: u32) -> Option<&Mapping<T>> {
    let end = mappings.partition_point(|mapping| mapping.low <= code);
    // An entry for a single code may stand inside a longer range: look back a little.
    mappings.get(..end)?.iter().rev().take(8).find(|mapping| code <= mapping.high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cmap: &CMap, code: u32) -> String {
        let mut out = String::new();
        cmap.text(code, &mut out);
        out
    }

    #[test]
    fn reads_characters_ranges_and_arrays() {
        let cmap = CMap::parse(
            b"1 begincodespacerange <0000> <FFFF> endcodespacerange\n\
              2 beginbfchar <0003> <0020> <0004> <00660069> endbfchar\n\
              3 beginbfrange <0010> <0012> <0041> <0020> <0021> [<0061> <D83DDE00>]\n\
              <0030> <0031> <00780061> endbfrange",
        );
        assert_eq!(text(&cmap, 3), " ");
        assert_eq!(text(&cmap, 4), "fi");
        assert_eq!(text(&cmap, 0x12), "C");
        assert_eq!(text(&cmap, 0x21), "😀");
        assert_eq!(text(&cmap, 0x31), "xb");
        assert_eq!(text(&cmap, 0x40), "");
        assert_eq!(cmap.code_of(' '), Some(3));
        assert_eq!(cmap.next_code(&[0, 3, 0]), (3, 2));
        assert_eq!(cmap.next_code(&[7]), (7, 1));
    }

    #[test]
    fn mixed_code_lengths_follow_the_code_spaces() {
        let cmap = CMap::parse(
            b"2 begincodespacerange <00> <80> <8140> <9FFC> endcodespacerange\n\
              1 begincidrange <8140> <817E> 633 endcidrange /WMode 1 def",
        );
        assert_eq!(cmap.next_code(b"A\x81\x40"), (0x41, 1));
        assert_eq!(cmap.next_code(b"\x81\x41"), (0x8141, 2));
        assert_eq!(cmap.cid(0x8141), Some(634));
        assert!(cmap.vertical);
    }
}
