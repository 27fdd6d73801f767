//! Detects the encoding of a text file and decodes it in pieces, so that no more of the file than one
//! piece is in memory. Shared by the extractors of text formats.
//!
//! Known are the encodings of the WHATWG Encoding Standard. What a file says of itself is believed if
//! its bytes agree; a file that says nothing is UTF-8 if it can be, else what its bytes suggest. A file
//! that no encoding fits is refused: text that nobody can read is worse than none.

mod declared;
mod decode;
mod detect;
mod file;
mod quality;
mod upload;

pub use declared::{Declared, xml_declaration};
pub use decode::Decoder;
pub use detect::{Detected, detect};
pub use file::{Decoded, Refused, read_text};
pub use upload::{copy_text, read_upload};

use std::fmt;

/// An encoding that [`Decoder`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Encoding {
    /// UTF-8; a byte order mark, if there is one, is part of the text.
    pub const UTF_8: Self = Self(encoding_rs::UTF_8);
    /// UTF-16, low byte first; the byte order mark is not part of the text.
    pub const UTF_16LE: Self = Self(encoding_rs::UTF_16LE);
    /// UTF-16, high byte first; the byte order mark is not part of the text.
    pub const UTF_16BE: Self = Self(encoding_rs::UTF_16BE);
    /// Windows-1252, a superset of ISO 8859-1.
    pub const WINDOWS_1252: Self = Self(encoding_rs::WINDOWS_1252);
    /// The encoding of Japanese mail, which is ASCII with escape sequences.
    const ISO_2022_JP: Self = Self(encoding_rs::ISO_2022_JP);

    /// Returns the encoding that a label of the Encoding Standard names, such as `gb2312` or `latin1`.
    /// A label that can be read is not in UTF-16, so that one that names UTF-16 means UTF-8, as in HTML.
    pub fn labelled(label: &str) -> Option<Self> {
        let found = encoding_rs::Encoding::for_label_no_replacement(label.as_bytes())?;
        match found.output_encoding() == encoding_rs::UTF_8 {
            true => Some(Self::UTF_8),
            false => Some(Self(found)),
        }
    }

    /// Returns the name in the Encoding Standard, in lower case.
    pub fn name(self) -> String {
        self.0.name().to_ascii_lowercase()
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_encodings() {
        let named = |label| Encoding::labelled(label).map(Encoding::name);
        assert_eq!(named("GB2312").as_deref(), Some("gbk"));
        assert_eq!(named(" latin1 ").as_deref(), Some("windows-1252"));
        assert_eq!(named("utf-16").as_deref(), Some("utf-8"));
        assert_eq!((named("iso-2022-kr"), named("no such thing")), (None, None));
    }
}
