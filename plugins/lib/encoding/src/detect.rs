//! Which encoding a file is in, from all of its bytes.

use crate::{Decoder, Encoding};

/// The file does not look like text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binary;

/// Tells the encoding of a file, read piece by piece: `next(offset)` gives some bytes from `offset`
/// on, none at the end.
///
/// The whole file is read: a single byte that is not UTF-8 may come last.
///
/// # Errors
/// [`Binary`] if more than one byte in 100 is a control character that texts do not hold (of UTF-8
/// only NUL counts, since terminal logs are full of the others), or if the file is UTF-32.
pub fn detect(mut next: impl FnMut(u64) -> Vec<u8>) -> Result<Encoding, Binary> {
    let mut piece = next(0);
    if piece.starts_with(&[0xff, 0xfe, 0, 0]) || piece.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(Binary);
    }
    if piece.starts_with(&[0xff, 0xfe]) {
        return Ok(Encoding::Utf16Le);
    }
    if piece.starts_with(&[0xfe, 0xff]) {
        return Ok(Encoding::Utf16Be);
    }
    let mut utf8 = Decoder::new(Encoding::Utf8);
    let mut is_utf8 = true;
    let (mut bytes, mut nuls, mut controls) = (0_u64, 0_u64, 0_u64);
    while !piece.is_empty() {
        bytes += piece.len() as u64;
        nuls += count(&piece, |byte| byte == 0);
        controls += count(&piece, |byte| byte < 0x20 && !matches!(byte, b'\t'..=b'\r' | 0x1b));
        is_utf8 = is_utf8 && utf8.decode(&piece, |_| ()).is_ok();
        piece = next(bytes);
    }
    is_utf8 = is_utf8 && utf8.finish(|_| ()).is_ok();
    let (suspect, encoding) = if is_utf8 {
        (nuls, Encoding::Utf8)
    } else {
        (controls, Encoding::Windows1252)
    };
    if suspect > bytes / 100 { Err(Binary) } else { Ok(encoding) }
}

fn count(bytes: &[u8], of: impl Fn(u8) -> bool) -> u64 {
    bytes.iter().filter(|&&byte| of(byte)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &[u8], expected: Result<Encoding, Binary>) {
        for window in [1, 3, 1 << 20] {
            let found = detect(|at| file.iter().skip(at as usize).take(window).copied().collect());
            assert_eq!(found, expected, "{file:?} by {window}");
        }
    }

    #[test]
    fn tells_encodings_apart() {
        check(b"", Ok(Encoding::Utf8));
        check("caf\u{e9} \u{1f600}".as_bytes(), Ok(Encoding::Utf8));
        check(b"\xef\xbb\xbfwith a mark", Ok(Encoding::Utf8));
        check(b"caf\xe9", Ok(Encoding::Windows1252));
        check("cut off \u{1f600}".as_bytes().split_last().unwrap().1, Ok(Encoding::Windows1252));
    }

    #[test]
    fn goes_by_byte_order_marks() {
        let detect_whole = |file: &[u8]| detect(|at| file.get(at as usize..).unwrap_or(&[]).to_vec());
        assert_eq!(detect_whole(b"\xff\xfea\0"), Ok(Encoding::Utf16Le));
        assert_eq!(detect_whole(b"\xfe\xff\0a"), Ok(Encoding::Utf16Be));
        assert_eq!(detect_whole(b"\xff\xfe\0\0a\0\0\0"), Err(Binary));
    }

    #[test]
    fn refuses_what_is_not_text() {
        check(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Err(Binary));
        check(&[0; 1000], Err(Binary));
        let mut log = b"a line\n".repeat(100);
        log.push(0);
        check(&log, Ok(Encoding::Utf8));
    }
}
