//! A whole file as text, read in windows.

use crate::{Decoder, Encoding, detect};

/// Why a file could not be read as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It does not look like text.
    Binary,
    /// The sink asked to stop.
    Stopped,
    /// It was not the same when it was read again.
    Changed,
}

/// Reads a file twice, first to tell its encoding and then to pass its text on in pieces.
///
/// `read(offset)` gives some bytes from `offset` on, none at the end; the larger, the faster.
/// `sink` gets each piece of text and how many bytes of the file are read so far, and returns
/// whether to go on.
///
/// # Errors
/// See [`Refused`].
pub fn read_text(mut read: impl FnMut(u64) -> Vec<u8>, mut sink: impl FnMut(&str, u64) -> bool) -> Result<Encoding, Refused> {
    let encoding = detect(&mut read).map_err(|_| Refused::Binary)?;
    let mut decoder = Decoder::new(encoding);
    let mut offset = 0;
    let mut go_on = true;
    loop {
        let bytes = read(offset);
        offset += bytes.len() as u64;
        let pass_on = |text: &str| go_on = go_on && (text.is_empty() || sink(text, offset));
        let decoded = match bytes.is_empty() {
            true => decoder.finish(pass_on),
            false => decoder.decode(&bytes, pass_on),
        };
        decoded.map_err(|_| Refused::Changed)?;
        if !go_on {
            return Err(Refused::Stopped);
        }
        if bytes.is_empty() {
            return Ok(encoding);
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
        let encoding = read_text(window("gr\u{fc}n wie Gr\u{fc}nkohl".as_bytes()), |piece, done| {
            text.push_str(piece);
            last = done;
            true
        });
        assert_eq!(
            (encoding, text.as_str(), last),
            (Ok(Encoding::Utf8), "gr\u{fc}n wie Gr\u{fc}nkohl", 19)
        );
    }

    #[test]
    fn stops_when_told_to() {
        let mut pieces = 0;
        let refused = read_text(window(b"one two three four"), |_, _| {
            pieces += 1;
            pieces < 2
        });
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
            |_, _| true,
        );
        assert_eq!(refused, Err(Refused::Changed));
    }
}
