//! Decoding piece by piece.

use crate::Encoding;
use encoding_rs::DecoderResult;

/// Stands for what could not be decoded.
const REPLACEMENT: &str = "\u{fffd}";

/// Decodes a file that comes in pieces, which may cut characters in two. What is no character of the encoding becomes U+FFFD, and is
/// counted.
pub struct Decoder {
    inner: Inner,
    at_start: bool,
    lost: u64,
    lost_bytes: u64,
}

enum Inner {
    /// UTF-8 passes through without a copy. Holds the start of a character whose end is in the next piece; at most 3 bytes.
    Utf8(Vec<u8>),
    Other(encoding_rs::Decoder),
}

impl Decoder {
    /// Creates a decoder at the start of a file.
    pub fn new(encoding: Encoding) -> Self {
        Self {
            inner: match encoding == Encoding::UTF_8 {
                true => Inner::Utf8(Vec::new()),
                false => Inner::Other(encoding.0.new_decoder_without_bom_handling()),
            },
            at_start: true,
            lost: 0,
            lost_bytes: 0,
        }
    }

    /// Decodes the next piece; `sink` gets the text, possibly in several parts.
    pub fn decode(&mut self, bytes: &[u8], sink: impl FnMut(&str)) {
        self.step(bytes, false, sink);
    }

    /// Says that there are no more pieces. Returns the length of a character that the file's end cuts off, in bytes; 0 if there is none.
    pub fn finish(&mut self, mut sink: impl FnMut(&str)) -> usize {
        let Inner::Utf8(rest) = &mut self.inner else {
            self.step(&[], true, sink);
            return 0;
        };
        let cut = std::mem::take(rest).len();
        if cut > 0 {
            self.lose(cut, &mut sink);
        }
        cut
    }

    /// Returns how many characters were lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns how many bytes of UTF-8 were lost so far.
    pub(crate) fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }

    fn lose(&mut self, bytes: usize, sink: &mut impl FnMut(&str)) {
        self.lost += 1;
        self.lost_bytes += bytes as u64;
        sink(REPLACEMENT);
    }

    fn step(&mut self, bytes: &[u8], is_last: bool, mut sink: impl FnMut(&str)) {
        let Inner::Other(decoder) = &mut self.inner else {
            return self.utf8(bytes, sink);
        };
        let mut text = String::new();
        let mut rest = bytes;
        loop {
            // One character may be left over in the decoder, and is never longer than this.
            text.reserve(rest.len() + rest.len() / 2 + 16);
            let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, is_last);
            rest = rest.get(read..).unwrap_or_default();
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    self.lost += 1;
                    text.push_str(REPLACEMENT);
                }
            }
        }
        if self.at_start && !text.is_empty() {
            self.at_start = false;
            if text.starts_with('\u{feff}') {
                text.remove(0);
            }
        }
        if !text.is_empty() {
            sink(&text);
        }
    }

    fn utf8(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&str)) {
        while let Inner::Utf8(rest) = &mut self.inner
            && !rest.is_empty()
        {
            let Some((&byte, after)) = bytes.split_first() else { return };
            rest.push(byte);
            match std::str::from_utf8(rest) {
                Ok(character) => {
                    sink(character);
                    rest.clear();
                    bytes = after;
                }
                Err(error) if error.error_len().is_none() => bytes = after,
                // The byte is not part of the character, and is read again by itself.
                Err(_) => {
                    let cut = rest.len() - 1;
                    rest.clear();
                    self.lose(cut, &mut sink);
                }
            }
        }
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            if !chunk.valid().is_empty() {
                sink(chunk.valid());
            }
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let is_cut = chunks.peek().is_none() && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            match &mut self.inner {
                Inner::Utf8(rest) if is_cut => rest.extend_from_slice(invalid),
                _ => self.lose(invalid.len(), &mut sink),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text, and how many characters were lost.
    fn decode(encoding: Encoding, bytes: &[u8], window: usize) -> (String, u64) {
        let mut text = String::new();
        let mut decoder = Decoder::new(encoding);
        for piece in bytes.chunks(window) {
            decoder.decode(piece, |part| text.push_str(part));
        }
        decoder.finish(|part| text.push_str(part));
        (text, decoder.lost())
    }

    #[test]
    fn windows_1252_text_becomes_what_it_shows() {
        let text = decode(Encoding::WINDOWS_1252, b"\x93caf\xe9\x94 \x80 5", 3);
        assert_eq!(text, ("\u{201c}caf\u{e9}\u{201d} \u{20ac} 5".into(), 0));
    }

    #[test]
    fn lone_surrogates_and_cut_characters_are_replaced() {
        for (encoding, bytes, text, lost) in [
            (Encoding::UTF_16LE, &b"\xff\xfe\x3d\xd8a\0"[..], "\u{fffd}a", 1),
            (Encoding::UTF_16LE, b"\xff\xfea\0b", "a\u{fffd}", 1),
            (Encoding::UTF_16BE, b"\xfe\xff\xd8\x3d", "\u{fffd}", 1),
            (Encoding::UTF_8, b"a\xff\xe9\x98\x80b\xe9\x98", "a\u{fffd}阀b\u{fffd}", 2),
        ] {
            for window in [1, 2, 100] {
                assert_eq!(decode(encoding, bytes, window), (text.into(), lost), "{bytes:?} by {window}");
            }
        }
    }

    #[test]
    fn characters_of_several_bytes_may_be_cut_by_pieces() {
        let gb18030 = Encoding::labelled("gb18030").unwrap();
        for window in [1, 2, 3, 5] {
            assert_eq!(
                decode(gb18030, b"\xb7\xa7\xc3\xc5 \x81\x30\x84\x36", window),
                ("阀门 \u{a5}".into(), 0)
            );
        }
    }

    proptest! {
        #[test]
        fn windows_do_not_matter(text in "\\PC{0,40}", window in 1_usize..9) {
            let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let text = (text, 0);
            let marked = |mark: [u8; 2], rest: &[u8]| [&mark[..], rest].concat();
            prop_assert_eq!(&decode(Encoding::UTF_16LE, &marked([0xff, 0xfe], &le), window), &text);
            prop_assert_eq!(&decode(Encoding::UTF_16BE, &marked([0xfe, 0xff], &be), window), &text);
            prop_assert_eq!(&decode(Encoding::UTF_8, text.0.as_bytes(), window), &text);
        }

        #[test]
        fn utf8_is_repaired_as_the_standard_library_does(
            bytes in prop::collection::vec(prop::sample::select(&b"a\xc3\xa9\xf0\x9f\x98\x80\xff\xe3\x81"[..]), 0..14),
            window in 1_usize..9,
        ) {
            let expected = String::from_utf8_lossy(&bytes).into_owned();
            let lost = expected.matches('\u{fffd}').count() as u64;
            prop_assert_eq!(decode(Encoding::UTF_8, &bytes, window), (expected, lost));
        }
    }
}
