//! Splits PDF syntax without indirect objects (content streams, CMaps) into tokens. Never fails: what cannot be read is skipped, as
//! viewers do.

use std::borrow::Cow;

/// A piece of PDF syntax. Names and strings that stand in the source as they are meant are borrowed from it: nearly all do, and a page
/// holds thousands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    Number(f32),
    /// A name without its slash, `#xx` resolved.
    Name(Cow<'a, [u8]>),
    /// A literal or hexadecimal string, decoded.
    String(Cow<'a, [u8]>),
    ArrayStart,
    ArrayEnd,
    DictStart,
    DictEnd,
    /// Anything else that is a word: an operator, `true`, `null`.
    Word(&'a [u8]),
}

/// Reads tokens from bytes.
pub(crate) struct Lexer<'a> {
    data: &'a [u8],
    at: usize,
}

/// What a byte is: the lexer looks at each of a page's, and a table is quicker than a dozen comparisons.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut next = 0;
    let spaces = [0, 9, 10, 12, 13, 32];
    while next < spaces.len() {
        classes[spaces[next]] = SPACE;
        next += 1;
    }
    next = 0;
    let delimiters = b"()<>[]{}/%";
    while next < delimiters.len() {
        classes[delimiters[next] as usize] = DELIMITER;
        next += 1;
    }
    classes
};
const SPACE: u8 = 1;
const DELIMITER: u8 = 2;

fn is_space(byte: u8) -> bool {
    CLASSES[usize::from(byte)] == SPACE
}

/// The value of each hexadecimal digit; 255 of what is none.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        digits[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

fn hex(byte: u8) -> Option<u8> {
    Some(DIGITS[usize::from(byte)]).filter(|digit| *digit < 16)
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Lexer { data, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while let Some(byte) = self.peek() {
            if is_space(byte) {
                self.at += 1;
            } else if byte == b'%' {
                while let Some(byte) = self.peek() {
                    if byte == b'\n' || byte == b'\r' {
                        break;
                    }
                    self.at += 1;
                }
            } else {
                break;
            }
        }
    }

    /// Bytes up to the next white space or delimiter.
    fn word(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|byte| CLASSES[usize::from(*byte)] != 0).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    #[inline(never)]
    fn name(&mut self) -> Cow<'a, [u8]> {
        let raw = self.word();
        if !raw.contains(&b'#') {
            return Cow::Borrowed(raw);
        }
        let mut name = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte == b'#'
                && let [high, low, after @ ..] = after
                && let (Some(high), Some(low)) = (hex(*high), hex(*low))
            {
                name.push(high << 4 | low);
                rest = after;
            } else {
                name.push(byte);
            }
        }
        Cow::Owned(name)
    }

    #[inline(never)]
    fn literal_string(&mut self) -> Cow<'a, [u8]> {
        let rest = self.rest();
        let plain = rest
            .iter()
            .position(|byte| matches!(byte, b'(' | b')' | b'\\'))
            .unwrap_or(rest.len());
        let (start, rest) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        self.at += plain;
        if rest.first().is_none_or(|byte| *byte == b')') {
            self.at += 1;
            return Cow::Borrowed(start);
        }
        let mut out = Vec::with_capacity(plain + 32);
        out.extend_from_slice(start);
        let mut depth = 1u32;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'(' => {
                    depth += 1;
                    out.push(byte);
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    out.push(byte);
                }
                b'\\' => {
                    let Some(escaped) = self.peek() else { break };
                    self.at += 1;
                    match escaped {
                        b'n' => out.push(b'\n'),
                        b'r' => out.push(b'\r'),
                        b't' => out.push(b'\t'),
                        b'b' => out.push(8),
                        b'f' => out.push(12),
                        b'\r' => {
                            if self.peek() == Some(b'\n') {
                                self.at += 1;
                            }
                        }
                        b'\n' => {}
                        b'0'..=b'7' => {
                            let mut value = u32::from(escaped - b'0');
                            for _ in 0..2 {
                                match self.peek() {
                                    Some(digit @ b'0'..=b'7') => {
                                        value = value * 8 + u32::from(digit - b'0');
                                        self.at += 1;
                                    }
                                    _ => break,
                                }
                            }
                            out.push(value as u8);
                        }
                        other => out.push(other),
                    }
                }
                _ => out.push(byte),
            }
        }
        Cow::Owned(out)
    }

    #[inline(never)]
    fn hex_string(&mut self) -> Cow<'a, [u8]> {
        let rest = self.rest();
        let end = rest.iter().position(|byte| *byte == b'>').unwrap_or(rest.len());
        let digits = rest.get(..end).unwrap_or_default();
        self.at += end + 1;
        let (pairs, _) = digits.as_chunks::<2>();
        // All pairs as if they were digits, which nearly always they are: one look at the end is quicker than one at each.
        let mut out = vec![0; end.div_ceil(2)];
        let mut others = 0;
        for (byte, pair) in out.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| DIGITS[usize::from(digit)]);
            *byte = high << 4 | low;
            others |= high | low;
        }
        let read = match others {
            0..16 => pairs.len(),
            _ => pairs
                .iter()
                .take_while(|pair| pair.iter().all(|digit| hex(*digit).is_some()))
                .count(),
        };
        out.truncate(read);
        // From the first pair on that is none: white space among the digits, or an odd one at the end.
        let mut high = None;
        for digit in digits.get(2 * out.len()..).unwrap_or_default().iter().filter_map(|byte| hex(*byte)) {
            match high.take() {
                None => high = Some(digit),
                Some(first) => out.push(first << 4 | digit),
            }
        }
        if let Some(first) = high {
            out.push(first << 4);
        }
        Cow::Owned(out)
    }

    /// Skips the data of an inline image: call it after the word `ID`.
    pub(crate) fn skip_inline_image(&mut self) {
        self.at += 1;
        loop {
            let rest = self.rest();
            let Some(found) = rest.windows(2).position(|pair| pair == b"EI") else {
                self.at = self.data.len();
                return;
            };
            let before = found == 0 || rest.get(found - 1).copied().is_some_and(is_space);
            let after = rest.get(found + 2..).unwrap_or_default();
            // Image data may hold "EI" by chance; what follows the real one reads as text.
            let readable = after.iter().take(12).all(|&byte| is_space(byte) || (32..127).contains(&byte));
            let ends = after.first().is_none_or(|&byte| is_space(byte));
            self.at += found + 2;
            if before && ends && readable {
                return;
            }
        }
    }
}

/// Powers of ten, for as many digits as real files write after the point.
const SCALES: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// What eight bytes are as digits: how many the first of them are, and their value. All eight at once, since numbers are most of a page
/// and their lengths cannot be foretold.
fn leading_digits(bytes: [u8; 8]) -> (usize, u64) {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // A digit is below ten then, and the first one in the lowest byte.
    let word = u64::from_le_bytes(bytes) ^ (ONES * u64::from(b'0'));
    // No byte carries into the next: without its high bit it is below 128.
    let others = (((word & !HIGH) + ONES * (128 - 10)) | word) & HIGH;
    let count = others.trailing_zeros() as usize / 8;
    // Noughts in front do not matter.
    let digits = word.checked_shl(64 - 8 * count as u32).unwrap_or(0);
    // Two, four and eight neighbours together.
    let pairs = digits.wrapping_mul((10 << 8) + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul((100 << 16) + 1) >> 16 & 0x0000_ffff_0000_ffff;
    (count, fours.wrapping_mul((10_000 << 32) + 1) >> 32)
}

/// A number as nearly all are written, a minus perhaps and a few digits on each side of a point, and how many bytes it takes; none
/// for all else. What it is worth is what [`number`] says.
#[inline(never)]
fn plain_number(bytes: &[u8]) -> Option<(f32, usize)> {
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let (whole_digits, whole) = leading_digits(*bytes.get(sign..)?.first_chunk()?);
    let point = sign + whole_digits;
    let (mut end, mut digits, mut fraction) = (point, 0, 0);
    if bytes.get(point) == Some(&b'.') {
        (digits, fraction) = leading_digits(*bytes.get(point + 1..)?.first_chunk()?);
        // Some programs write nine digits in all.
        if digits == 8
            && let Some(last @ b'0'..=b'9') = bytes.get(point + 9)
        {
            digits += 1;
            fraction = fraction * 10 + u64::from(last - b'0');
        }
        end += 1 + digits;
    }
    let is_plain = whole_digits < 8 && (1..=15).contains(&(whole_digits + digits));
    if !is_plain || bytes.get(end).is_some_and(|byte| CLASSES[usize::from(*byte)] == 0) {
        return None;
    }
    // Up to seven digits are a whole number of an `f32`, up to fifteen of an `f64`.
    let value = match SCALES.get(digits)? {
        _ if fraction == 0 => whole as f32,
        scale => ((whole as f64 * scale + fraction as f64) / scale) as f32,
    };
    Some((if sign == 1 { -value } else { value }, end))
}

/// Reads a number as PDF writers write them: `-.5`, `4.`, `--3`, `1.2-3`.
#[inline(never)]
fn number(word: &[u8]) -> Option<f32> {
    let mut negative = false;
    let mut digits = word;
    while let Some((&sign @ (b'+' | b'-'), rest)) = digits.split_first() {
        negative |= sign == b'-';
        digits = rest;
    }
    // Digits past the 18th change no `f32`.
    let (mut value, mut scale, mut zeros, mut count, mut fraction, mut any) = (0u64, 0usize, 0u32, 0u32, false, false);
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                any = true;
                if count < 18 {
                    value = value * 10 + u64::from(byte - b'0');
                    count += u32::from(value > 0);
                    scale += usize::from(fraction);
                } else if !fraction {
                    zeros += 1;
                }
            }
            b'.' if !fraction => fraction = true,
            b'-' if any => break,
            _ => return None,
        }
    }
    if !any && !fraction {
        return None;
    }
    let value = match (SCALES.get(scale), zeros) {
        (Some(scale), 0) => (value as f64 / scale) as f32,
        _ => (value as f64 * 10f64.powi(zeros as i32 - i32::try_from(scale).unwrap_or(i32::MAX))) as f32,
    };
    if !value.is_finite() {
        return Some(0.0);
    }
    Some(if negative { -value } else { value })
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.skip_space();
            let byte = self.peek()?;
            match byte {
                b'/' => {
                    self.at += 1;
                    return Some(Token::Name(self.name()));
                }
                b'(' => {
                    self.at += 1;
                    return Some(Token::String(self.literal_string()));
                }
                b'<' => {
                    self.at += 1;
                    if self.peek() == Some(b'<') {
                        self.at += 1;
                        return Some(Token::DictStart);
                    }
                    return Some(Token::String(self.hex_string()));
                }
                b'>' => {
                    self.at += 1;
                    if self.peek() == Some(b'>') {
                        self.at += 1;
                        return Some(Token::DictEnd);
                    }
                }
                b'[' => {
                    self.at += 1;
                    return Some(Token::ArrayStart);
                }
                b']' => {
                    self.at += 1;
                    return Some(Token::ArrayEnd);
                }
                b')' | b'{' | b'}' => self.at += 1,
                b'0'..=b'9' | b'+' | b'-' | b'.' => {
                    // Half of a page's numbers are one digit.
                    if let [digit @ b'0'..=b'9', end, ..] = self.rest()
                        && CLASSES[usize::from(*end)] != 0
                    {
                        self.at += 1;
                        return Some(Token::Number(f32::from(digit - b'0')));
                    }
                    if let Some((number, length)) = plain_number(self.rest()) {
                        self.at += length;
                        return Some(Token::Number(number));
                    }
                    let word = self.word();
                    return Some(number(word).map_or(Token::Word(word), Token::Number));
                }
                _ => return Some(Token::Word(self.word())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(source: &[u8]) -> Vec<Token<'_>> {
        Lexer::new(source).collect()
    }

    #[test]
    fn reads_every_kind_of_token() {
        assert_eq!(
            tokens(b"/F#31 -.5 [(a\\)\\101(b)) <48 6>] TJ % note\n<< /K 1 >> T* '"),
            vec![
                Token::Name(b"F1".to_vec().into()),
                Token::Number(-0.5),
                Token::ArrayStart,
                Token::String(b"a)A(b)".to_vec().into()),
                Token::String(b"H`".to_vec().into()),
                Token::ArrayEnd,
                Token::Word(b"TJ"),
                Token::DictStart,
                Token::Name(b"K".to_vec().into()),
                Token::Number(1.0),
                Token::DictEnd,
                Token::Word(b"T*"),
                Token::Word(b"'"),
            ]
        );
    }

    #[test]
    fn odd_numbers_are_read_as_viewers_read_them() {
        assert_eq!(
            tokens(b"12345678901234567890123 0.00000000000000000000125 .5 -0.0625 4. --3 1.2-3 +7 ."),
            vec![
                Token::Number(1.234_567_9e22),
                Token::Number(1.25e-21),
                Token::Number(0.5),
                Token::Number(-0.0625),
                Token::Number(4.0),
                Token::Number(-3.0),
                Token::Number(1.2),
                Token::Number(7.0),
                Token::Number(0.0)
            ]
        );
    }

    proptest! {
        /// The quick way and the thorough one agree, whatever follows.
        #[test]
        fn plain_numbers_are_numbers(word in "-?[0-9]{0,9}(\\.[0-9]{0,11})?", after in "[ /\\[\\]()<>\r\n][0-9. -]{0,20}") {
            let source = format!("{word}{after}");
            if let Some((value, length)) = plain_number(source.as_bytes()) {
                prop_assert_eq!(length, word.len());
                prop_assert_eq!(Some(value.to_bits()), number(word.as_bytes()).map(f32::to_bits));
            }
        }

        #[test]
        fn what_goes_on_is_no_plain_number(word in "-?[0-9]{0,7}(\\.[0-9]{0,7})?[a-z+-]", after in " {16}") {
            prop_assert_eq!(plain_number(format!("{word}{after}").as_bytes()), None);
        }
    }

    #[test]
    fn most_numbers_are_plain() {
        for (source, value, length) in [
            ("0 0 0 0 0 0 0 0 0 0 0", 0.0, 1),
            ("-12.375 Td (text) Tj ET", -12.375, 7),
            (".5 1234567.1234567 1 1", 0.5, 2),
            ("4.] TJ                ", 4.0, 2),
        ] {
            assert_eq!(plain_number(source.as_bytes()), Some((value, length)));
        }
    }

    #[test]
    fn an_inline_image_ends_at_the_real_end() {
        let source = b"ID \x00\x01 EI\xff\xfe\x80 EI Q (x) Tj";
        let mut lexer = Lexer::new(source);
        assert_eq!(lexer.next(), Some(Token::Word(b"ID")));
        lexer.skip_inline_image();
        assert_eq!(lexer.next(), Some(Token::Word(b"Q")));
    }
}
