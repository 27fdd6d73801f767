//! How well bytes read in an encoding.

use crate::{Decoder, Encoding};

/// What a file holds, read in one encoding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Quality {
    /// All characters.
    pub(crate) characters: u64,
    /// What is no character of the encoding.
    pub(crate) lost: u64,
    /// Control characters that texts do not hold, without NUL.
    pub(crate) controls: u64,
    pub(crate) nuls: u64,
    /// Characters of the scripts and signs that most texts of today consist of.
    common: u64,
}

impl Quality {
    /// Reads a whole file, which `next` gives piece by piece.
    pub(crate) fn of(encoding: Encoding, next: &mut impl FnMut(u64) -> Vec<u8>) -> Self {
        let mut quality = Self::default();
        let mut decoder = Decoder::new(encoding);
        let mut offset = 0;
        loop {
            let piece = next(offset);
            if piece.is_empty() {
                decoder.finish(|text| quality.add(text));
                quality.lost = decoder.lost();
                return quality;
            }
            offset += piece.len() as u64;
            decoder.decode(&piece, |text| quality.add(text));
        }
    }

    fn add(&mut self, text: &str) {
        for character in text.chars() {
            self.characters += 1;
            self.nuls += u64::from(character == '\0');
            self.controls += u64::from(is_control(character));
            self.common += u64::from(is_common(character));
        }
    }

    /// Whether no more than one character in 100 is lost, and none is NUL.
    pub(crate) fn is_text(self) -> bool {
        self.nuls == 0 && (self.lost + self.controls) * 100 <= self.characters
    }

    /// Whether it is text, nearly all of it of common characters.
    pub(crate) fn is_common_text(self) -> bool {
        self.is_text() && self.common * 100 >= self.characters * 95
    }

    /// Whether it looks like a binary file rather than like text in another encoding.
    pub(crate) fn is_binary(self) -> bool {
        self.nuls > 0 || self.controls * 100 > self.characters
    }
}

fn is_control(character: char) -> bool {
    character.is_control() && !matches!(character, '\0' | '\t'..='\r' | '\u{1b}' | '\u{85}')
}

fn is_common(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{a0}'..='\u{52f}' | '\u{590}'..='\u{6ff}' | '\u{900}'..='\u{97f}' | '\u{e00}'..='\u{e7f}'
        | '\u{1e00}'..='\u{1fff}' | '\u{2010}'..='\u{203a}' | '\u{20ac}' | '\u{3000}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}' | '\u{ff01}'..='\u{ff9f}' | '\u{1f300}'..='\u{1faff}')
}
