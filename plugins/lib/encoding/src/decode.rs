//! Decoding piece by piece.

use crate::Encoding;

/// The bytes are not UTF-8. The other encodings never fail: what they cannot read becomes U+FFFD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Decodes a file that comes in pieces, which may cut characters in two.
#[derive(Debug)]
pub struct Decoder {
    encoding: Encoding,
    /// Start of a character whose end is in the next piece; at most 3 bytes.
    rest: Vec<u8>,
    /// First half of a surrogate pair whose second is in the next piece.
    high: Option<u16>,
    at_start: bool,
}

impl Decoder {
    /// A decoder at the start of a file.
    pub fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            rest: Vec::new(),
            high: None,
            at_start: true,
        }
    }

    /// Decodes the next piece; `sink` gets the text, possibly in several parts.
    ///
    /// # Errors
    /// [`Malformed`] if the encoding is UTF-8 and the bytes are not.
    pub fn decode(&mut self, bytes: &[u8], mut sink: impl FnMut(&str)) -> Result<(), Malformed> {
        match self.encoding {
            Encoding::Utf8 => return self.utf8(bytes, sink),
            Encoding::Utf16Le => self.utf16(bytes, u16::from_le_bytes, sink),
            Encoding::Utf16Be => self.utf16(bytes, u16::from_be_bytes, sink),
            Encoding::Windows1252 => sink(&bytes.iter().map(|&byte| windows_1252(byte)).collect::<String>()),
        }
        Ok(())
    }

    /// Says that there are no more pieces.
    ///
    /// # Errors
    /// [`Malformed`] if the encoding is UTF-8 and the last character is cut off.
    pub fn finish(&mut self, mut sink: impl FnMut(&str)) -> Result<(), Malformed> {
        let cut_off = self.high.take().is_some() | !std::mem::take(&mut self.rest).is_empty();
        match self.encoding {
            _ if !cut_off => Ok(()),
            Encoding::Utf8 => Err(Malformed),
            _ => {
                sink("\u{fffd}");
                Ok(())
            }
        }
    }

    fn utf8(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&str)) -> Result<(), Malformed> {
        while !self.rest.is_empty() {
            let Some((&byte, after)) = bytes.split_first() else { return Ok(()) };
            self.rest.push(byte);
            bytes = after;
            match std::str::from_utf8(&self.rest) {
                Ok(character) => {
                    sink(character);
                    self.rest.clear();
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Malformed),
            }
        }
        // The common case, a whole piece, is passed on without a copy.
        let mut chunks = bytes.utf8_chunks();
        if let Some(first) = chunks.next() {
            if !first.valid().is_empty() {
                sink(first.valid());
            }
            let invalid = first.invalid();
            let is_cut = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if !invalid.is_empty() && (chunks.next().is_some() || !is_cut) {
                return Err(Malformed);
            }
            self.rest.extend_from_slice(invalid);
        }
        Ok(())
    }

    fn utf16(&mut self, bytes: &[u8], unit: fn([u8; 2]) -> u16, mut sink: impl FnMut(&str)) {
        let mut units = Vec::with_capacity(bytes.len() / 2 + 2);
        units.extend(self.high.take());
        for &byte in bytes {
            match self.rest.pop() {
                Some(first) => units.push(unit([first, byte])),
                None => self.rest.push(byte),
            }
        }
        if units.last().is_some_and(|last| (0xd800..0xdc00).contains(last)) {
            self.high = units.pop();
        }
        if self.at_start && !units.is_empty() {
            self.at_start = false;
            if units.first() == Some(&0xfeff) {
                units.remove(0);
            }
        }
        sink(&String::from_utf16_lossy(&units));
    }
}

/// Windows-1252 by the WHATWG Encoding Standard, which gives the five unassigned bytes a meaning.
fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}', '\u{2030}', '\u{160}',
        '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}',
        '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
    ];
    let high = byte.checked_sub(0x80).and_then(|index| HIGH.get(usize::from(index)));
    high.copied().unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(encoding: Encoding, bytes: &[u8], window: usize) -> Result<String, Malformed> {
        let mut text = String::new();
        let mut decoder = Decoder::new(encoding);
        for piece in bytes.chunks(window) {
            decoder.decode(piece, |part| text.push_str(part))?;
        }
        decoder.finish(|part| text.push_str(part))?;
        Ok(text)
    }

    #[test]
    fn windows_1252_text_becomes_what_it_shows() {
        let text = decode(Encoding::Windows1252, b"\x93caf\xe9\x94 \x80 5", 3);
        assert_eq!(text.unwrap(), "\u{201c}caf\u{e9}\u{201d} \u{20ac} 5");
    }

    #[test]
    fn lone_surrogates_and_cut_characters_are_replaced() {
        assert_eq!(decode(Encoding::Utf16Le, b"\xff\xfe\x3d\xd8a\0", 2).unwrap(), "\u{fffd}a");
        assert_eq!(decode(Encoding::Utf16Le, b"\xff\xfea\0b", 2).unwrap(), "a\u{fffd}");
        assert_eq!(decode(Encoding::Utf16Be, b"\xfe\xff\xd8\x3d", 1).unwrap(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn windows_do_not_matter(text in "\\PC{0,40}", window in 1_usize..9) {
            let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let text = Ok(text);
            let marked = |mark: [u8; 2], rest: &[u8]| [&mark[..], rest].concat();
            prop_assert_eq!(&decode(Encoding::Utf16Le, &marked([0xff, 0xfe], &le), window), &text);
            prop_assert_eq!(&decode(Encoding::Utf16Be, &marked([0xfe, 0xff], &be), window), &text);
            prop_assert_eq!(&decode(Encoding::Utf8, text.as_ref().unwrap().as_bytes(), window), &text);
        }

        #[test]
        fn utf8_is_accepted_exactly_if_it_is(
            bytes in prop::collection::vec(prop::sample::select(&b"a\xc3\xa9\xf0\x9f\x98\x80\xff"[..]), 0..12),
            window in 1_usize..9,
        ) {
            let expected = String::from_utf8(bytes.clone()).map_err(|_| Malformed);
            prop_assert_eq!(decode(Encoding::Utf8, &bytes, window), expected);
        }
    }
}
