//! Detects the encoding of a text file and decodes it in pieces, so that no more of the file than one
//! piece is in memory. Shared by the extractors of text formats.
//!
//! Known are UTF-8, UTF-16 with a byte order mark, and Windows-1252 as the last resort, in which
//! any bytes are text: that is why files that look binary are refused first.

mod decode;
mod detect;
mod file;
mod upload;

pub use decode::{Decoder, Malformed};
pub use detect::{Binary, detect};
pub use file::{Refused, read_text};
pub use upload::{copy_text, read_upload};

/// An encoding that [`Decoder`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8; a byte order mark, if there is one, is part of the text.
    Utf8,
    /// UTF-16, low byte first; the byte order mark is not part of the text.
    Utf16Le,
    /// UTF-16, high byte first; the byte order mark is not part of the text.
    Utf16Be,
    /// Windows-1252, a superset of ISO 8859-1.
    Windows1252,
}

impl Encoding {
    /// The name in the WHATWG Encoding Standard.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::Windows1252 => "windows-1252",
        }
    }
}
