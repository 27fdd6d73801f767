//! Byte ranges (RFC 9110, section 14) and file names in headers (RFC 6266, RFC 8187). Plain text in and out.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a `Range` field asks for, of a file whose size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteRange {
    /// All of it: no range, one that cannot be read, or several, which a server may answer so.
    Whole,
    /// From `start` up to and without `end`; never empty.
    Part {
        /// First byte.
        start: u64,
        /// After the last byte.
        end: u64,
    },
    /// Nothing that the file has.
    Unsatisfiable,
}

impl ByteRange {
    /// Reads `bytes=0-499`, `bytes=500-` or `bytes=-500` for a file of `size` bytes.
    pub fn parse(field: &str, size: u64) -> Self {
        let Some(spec) = field.trim().strip_prefix("bytes=").map(str::trim) else {
            return Self::Whole;
        };
        let Some((first, last)) = spec.split_once('-') else {
            return Self::Whole;
        };
        match (first.trim(), last.trim()) {
            ("", suffix) => match number(suffix) {
                Some(0) => Self::Unsatisfiable,
                Some(_) if size == 0 => Self::Unsatisfiable,
                Some(n) => Self::Part {
                    start: size.saturating_sub(n),
                    end: size,
                },
                None => Self::Whole,
            },
            (first, last) => {
                let Some(start) = number(first) else { return Self::Whole };
                let last = match last {
                    "" => u64::MAX,
                    last => match number(last) {
                        Some(last) if last >= start => last,
                        _ => return Self::Whole,
                    },
                };
                if start >= size {
                    Self::Unsatisfiable
                } else {
                    Self::Part {
                        start,
                        end: last.saturating_add(1).min(size),
                    }
                }
            }
        }
    }
}

/// A number too large for 64 bits lies beyond any file, as the largest one does.
fn number(digits: &str) -> Option<u64> {
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether `etag` is among those of an `If-None-Match` or `If-Range` field.
pub(super) fn names_etag(field: &str, etag: &str) -> bool {
    field
        .split(',')
        .map(str::trim)
        .any(|candidate| candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == etag)
}

/// What RFC 8187 lets stand in an extended value as it is.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `Content-Disposition` for a file called `filename`: the name in ASCII for old clients, and whole for others.
pub(super) fn content_disposition(filename: &str, attachment: bool) -> String {
    let kind = if attachment { "attachment" } else { "inline" };
    let plain: String = filename
        .chars()
        .map(|c| {
            if (' '..='~').contains(&c) && !matches!(c, '"' | '\\' | '%') {
                c
            } else {
                '_'
            }
        })
        .collect();
    if plain == filename {
        format!("{kind}; filename=\"{plain}\"")
    } else {
        format!(
            "{kind}; filename=\"{plain}\"; filename*=UTF-8''{}",
            utf8_percent_encode(filename, ATTR_CHAR)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    #[test]
    fn ranges() {
        use ByteRange::*;
        for (field, size, expected) in [
            ("bytes=0-499", 1000, Part { start: 0, end: 500 }),
            ("bytes=500-", 1000, Part { start: 500, end: 1000 }),
            ("bytes=-500", 1000, Part { start: 500, end: 1000 }),
            ("bytes=-5000", 1000, Part { start: 0, end: 1000 }),
            ("bytes=0-0", 1, Part { start: 0, end: 1 }),
            ("bytes=900-5000", 1000, Part { start: 900, end: 1000 }),
            ("bytes=5-99999999999999999999999", 10, Part { start: 5, end: 10 }),
            ("bytes=1000-", 1000, Unsatisfiable),
            ("bytes=99999999999999999999999-", 1000, Unsatisfiable),
            ("bytes=-0", 1000, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-1", 0, Unsatisfiable),
            ("bytes=5-4", 1000, Whole),
            ("bytes=0-1,5-6", 1000, Whole),
            ("items=0-1", 1000, Whole),
            ("bytes=a-b", 1000, Whole),
            ("bytes=-", 1000, Whole),
            ("bytes=+1-2", 1000, Whole),
            ("", 1000, Whole),
        ] {
            assert_eq!(ByteRange::parse(field, size), expected, "{field} of {size}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(content_disposition("a b.pdf", false), "inline; filename=\"a b.pdf\"");
        assert_eq!(
            content_disposition("naïve\".pdf", true),
            "attachment; filename=\"na_ve_.pdf\"; filename*=UTF-8''na%C3%AFve%22.pdf"
        );
    }

    #[test]
    fn etags() {
        assert!(names_etag("\"a\", W/\"b\"", "\"b\""));
        assert!(names_etag("*", "\"b\""));
        assert!(!names_etag("\"bc\"", "\"b\""));
    }

    proptest! {
        #[test]
        fn a_part_lies_in_the_file(field in "bytes=[0-9]{0,22}-[0-9]{0,22}", size in any::<u64>()) {
            if let ByteRange::Part { start, end } = ByteRange::parse(&field, size) {
                prop_assert!(start < end && end <= size);
            }
        }

        #[test]
        fn no_field_panics(field in ".{0,60}", size in any::<u64>()) {
            let _ = ByteRange::parse(&field, size);
        }

        #[test]
        fn any_name_makes_a_header(name in ".{0,60}") {
            let value = content_disposition(&name, false);
            prop_assert!(HeaderValue::from_str(&value).is_ok());
            let quoted = value.split('"').count();
            prop_assert_eq!(quoted, 3);
        }
    }
}
