//! Which encoding a file is in, from all of its bytes.

use crate::quality::Quality;
use crate::{Declared, Decoder, Encoding, Refused};
use chardetng::EncodingDetector;

/// An encoding, and what reading in it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    /// The encoding.
    pub encoding: Encoding,
    /// How many characters it cannot decode.
    pub lost: u64,
}

/// So many characters beyond ASCII that are well-formed UTF-8, and nothing that is not, are no accident, whatever a file says of itself.
const CERTAIN: u64 = 5;

/// Detects the encoding of a file, read piece by piece: `next(offset)` gives some bytes from `offset` on, none at the end.
///
/// A byte order mark comes first, then UTF-8 where at least 99 bytes in 100 are UTF-8 and characters beyond ASCII show that they are meant
/// as such, then what the file says of itself, then what its bytes suggest.
///
/// The whole file is read: a single byte that is not UTF-8 may come last.
///
/// # Errors
/// [`Refused`] if more than one character in 100 would be lost or is a control character that texts do not hold, or if one is NUL. Of
/// well-formed UTF-8 only NUL counts, if it is more than one byte in 100: terminal logs are full of control characters.
pub fn detect(mut next: impl FnMut(u64) -> Vec<u8>, declared: Declared) -> Result<Detected, Refused> {
    let first = next(0);
    if first.starts_with(&[0xff, 0xfe, 0, 0]) || first.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(Refused::Binary);
    }
    if first.starts_with(&[0xff, 0xfe]) {
        return accept(Encoding::UTF_16LE, &mut next);
    }
    if first.starts_with(&[0xfe, 0xff]) {
        return accept(Encoding::UTF_16BE, &mut next);
    }
    let has_mark = first.starts_with(b"\xef\xbb\xbf");
    let is_mail = first.windows(3).any(|bytes| matches!(bytes, b"\x1b$B" | b"\x1b$@"));
    let declared = declared(&first).filter(|_| !has_mark);
    let scan = Scan::of(first, &mut next);
    for &encoding in scan.utf16() {
        let quality = Quality::of(encoding, &mut next);
        if quality.is_common_text() {
            return Ok(Detected {
                encoding,
                lost: quality.lost,
            });
        }
    }
    let utf8 = Ok(Detected {
        encoding: Encoding::UTF_8,
        lost: scan.lost,
    });
    let declared_or = |otherwise, next: &mut _| match declared.filter(|encoding| *encoding != Encoding::UTF_8) {
        Some(encoding) => accept(encoding, next).or(otherwise),
        None => otherwise,
    };
    if scan.lost == 0 {
        return match () {
            () if scan.nuls > scan.bytes / 100 => Err(Refused::Binary),
            () if scan.nuls > 0 || has_mark || scan.good >= CERTAIN => utf8,
            () if is_mail => accept(Encoding::ISO_2022_JP, &mut next).or(utf8),
            // ASCII is the same in nearly all of them.
            () if scan.good == 0 => utf8,
            () => declared_or(utf8, &mut next),
        };
    }
    let is_nearly_utf8 = scan.lost_bytes * 100 <= scan.bytes && scan.nuls == 0;
    if is_nearly_utf8 && (has_mark || declared == Some(Encoding::UTF_8) || scan.good >= scan.lost) {
        return utf8;
    }
    // UTF-8 that is damaged beyond use reads without loss in encodings of one byte, as garbage.
    if scan.good >= CERTAIN && scan.good >= 2 * scan.lost {
        return accept(Encoding::UTF_8, &mut next);
    }
    let guessed = if has_mark { Encoding::UTF_8 } else { guess(&mut next) };
    let found = declared_or(accept(guessed, &mut next), &mut next);
    match found {
        // ASCII with few other bytes, of which these two are hardly ever letters.
        Ok(_) if is_nearly_utf8 && scan.unlikely > 0 => utf8,
        Err(_) if is_nearly_utf8 => utf8,
        found => found,
    }
}

/// Accepts an encoding if a file is text in it.
fn accept(encoding: Encoding, next: &mut impl FnMut(u64) -> Vec<u8>) -> Result<Detected, Refused> {
    let quality = Quality::of(encoding, next);
    if quality.is_text() {
        return Ok(Detected {
            encoding,
            lost: quality.lost,
        });
    }
    Err(match quality.is_binary() {
        true => Refused::Binary,
        false => Refused::Undecodable {
            best: encoding,
            lost: quality.lost + quality.controls,
            characters: quality.characters,
        },
    })
}

/// The encoding that the bytes of a file suggest, which is not UTF-8.
fn guess(next: &mut impl FnMut(u64) -> Vec<u8>) -> Encoding {
    let mut detector = EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    let mut offset = 0;
    loop {
        let piece = next(offset);
        offset += piece.len() as u64;
        detector.feed(&piece, piece.is_empty());
        if piece.is_empty() {
            return Encoding(detector.guess(None, chardetng::Utf8Detection::Deny));
        }
    }
}

/// What a first look at a file counts.
#[derive(Debug, Default)]
struct Scan {
    bytes: u64,
    /// NUL bytes at even and odd offsets, and all.
    nuls_at: [u64; 2],
    nuls: u64,
    /// Characters beyond ASCII that are well-formed UTF-8.
    good: u64,
    /// What is not UTF-8. A character that the end of a file cuts off counts by [`Self::lost`] alone.
    lost: u64,
    lost_bytes: u64,
    /// Bytes that are in no UTF-8 and, but for Cyrillic, in hardly any text.
    unlikely: u64,
}

impl Scan {
    fn of(first: Vec<u8>, next: &mut impl FnMut(u64) -> Vec<u8>) -> Self {
        let mut scan = Self::default();
        let mut utf8 = Decoder::new(Encoding::UTF_8);
        let mut piece = first;
        while !piece.is_empty() {
            let nuls = count(&piece, |byte| byte == 0);
            if nuls > 0 {
                scan.nuls += nuls;
                for (at, _) in (scan.bytes..).zip(&piece).filter(|(_, byte)| **byte == 0) {
                    scan.nuls_at[(at % 2) as usize] += 1;
                }
            }
            scan.unlikely += count(&piece, |byte| byte >= 0xfe);
            utf8.decode(&piece, |text| {
                if !text.is_ascii() && text != "\u{fffd}" {
                    scan.good += count(text.as_bytes(), |byte| byte >= 0xc0);
                }
            });
            scan.bytes += piece.len() as u64;
            piece = next(scan.bytes);
        }
        let cut = utf8.finish(|_| ());
        scan.lost = utf8.lost();
        scan.lost_bytes = utf8.lost_bytes();
        // One byte of it alone may as well be a letter of another encoding.
        if scan.good > 0 || cut > 1 {
            scan.lost_bytes -= cut as u64;
            scan.good += u64::from(cut > 0);
        }
        scan
    }

    /// The byte orders in which this may be UTF-16 without a mark, the likelier one first: letters of Latin scripts, blanks and line ends
    /// have a NUL in one half.
    fn utf16(&self) -> &'static [Encoding] {
        const LOW_FIRST: &[Encoding] = &[Encoding::UTF_16LE, Encoding::UTF_16BE];
        const HIGH_FIRST: &[Encoding] = &[Encoding::UTF_16BE, Encoding::UTF_16LE];
        let [even, odd] = self.nuls_at;
        match () {
            () if self.nuls == 0 => &[],
            () if odd >= even => LOW_FIRST,
            () => HIGH_FIRST,
        }
    }
}

fn count(bytes: &[u8], of: impl Fn(u8) -> bool) -> u64 {
    bytes.iter().filter(|&&byte| of(byte)).count() as u64
}

#[cfg(test)]
mod tests;
