//! A whole file as text, read in windows.

use crate::{Declared, Decoder, Detected, Encoding, detect};

/// Why a file could not be read as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It does not look like text.
    Binary,
    /// It looks like text in an encoding that is not known.
    Undecodable {
        /// The encoding that fits best.
        best: Encoding,
        /// How many characters would be lost.
        lost: u64,
        /// Of how many.
        characters: u64,
    },
    /// The sink asked to stop.
    Stopped,
    /// It was not the same when it was read again.
    Changed,
}

/// How a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Its encoding.
    pub encoding: Encoding,
    /// How many characters could not be decoded; each is U+FFFD in the text.
    pub lost: u64,
}

/// Reads a file several times, first to detect its encoding and then to pass its text on in pieces.
///
/// `read(offset)` gives some bytes from `offset` on, none at the end; the larger, the faster. `declared` finds what the first of them say
/// of the encoding. `sink` gets each piece of text and how many bytes of the file are read so far, and returns whether to go on.
///
/// # Errors
/// See [`Refused`].
pub fn read_text(
    mut read: impl FnMut(u64) -> Vec<u8>,
    declared: Declared,
    mut sink: impl FnMut(&str, u64) -> bool,
) -> Result<Decoded, Refused> {
    let Detected { encoding, lost } = detect(&mut read, declared)?;
    let mut decoder = Decoder::new(encoding);
    let mut offset = 0;
    let mut go_on = true;
    loop {
        let bytes = read(offset);
        offset += bytes.len() as u64;
        let pass_on = |text: &str| go_on = go_on && (text.is_empty() || sink(text, offset));
        match bytes.is_empty() {
            true => _ = decoder.finish(pass_on),
            false => decoder.decode(&bytes, pass_on),
        }
        if decoder.lost() > lost {
            return Err(Refused::Changed);
        }
        if !go_on {
            return Err(Refused::Stopped);
        }
        if bytes.is_empty() {
            return Ok(Decoded { encoding, lost });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(file: &[u8]) -> impl FnMut(u64) -> Vec<u8> {
        |at| file.iter().skip(at as usize).take(4).copied().collect()
    }

    #[test]
    fn passes_the_text_on_in_order() {
        let mut text = String::new();
        let mut last = 0;
        let decoded = read_text(
            window("gr\u{fc}n wie Gr\u{fc}nkohl".as_bytes()),
            |_| None,
            |piece, done| {
                text.push_str(piece);
                last = done;
                true
            },
        );
        let expected = Decoded {
            encoding: Encoding::UTF_8,
            lost: 0,
        };
        assert_eq!((decoded, text.as_str(), last), (Ok(expected), "gr\u{fc}n wie Gr\u{fc}nkohl", 19));
    }

    #[test]
    fn stops_when_told_to() {
        let mut pieces = 0;
        let refused = read_text(
            window(b"one two three four"),
            |_| None,
            |_, _| {
                pieces += 1;
                pieces < 2
            },
        );
        assert_eq!((refused, pieces), (Err(Refused::Stopped), 2));
    }

    #[test]
    fn notices_a_file_that_changes() {
        let mut reads = 0;
        let refused = read_text(
            |at| {
                reads += 1;
                if at > 0 {
                    Vec::new()
                } else if reads == 1 {
                    b"abc".to_vec()
                } else {
                    vec![0xff]
                }
            },
            |_| None,
            |_, _| true,
        );
        assert_eq!(refused, Err(Refused::Changed));
    }
}
