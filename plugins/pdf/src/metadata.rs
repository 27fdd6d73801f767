//! What a file says of itself: title, author, dates, language, page labels.

use std::collections::HashSet;

use lopdf::{Dictionary, Document, Object};

use crate::file;
use crate::object;

/// Metadata by the keys of the plugin contract, as far as the file gives it.
pub(crate) fn attrs(doc: &Document) -> Vec<(&'static str, String)> {
    let mut attrs = Vec::new();
    if let Some(info) = object::dict(doc, &doc.trailer, b"Info") {
        for (key, name) in [
            ("title", b"Title".as_slice()),
            ("author", b"Author"),
            ("subject", b"Subject"),
            ("producer", b"Producer"),
        ] {
            if let Some(value) = object::text(doc, info, name) {
                attrs.push((key, value));
            }
        }
        if let Some(created) = object::text(doc, info, b"CreationDate").and_then(|date| rfc3339(&date)) {
            attrs.push(("created", created));
        }
    }
    if let Some(language) = file::catalog(doc)
        .and_then(|catalog| object::text(doc, catalog, b"Lang"))
        .filter(|tag| tag.len() <= 35 && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
    {
        attrs.push(("language", language));
    }
    attrs
}

/// A PDF date (`D:YYYYMMDDHHmmSSOHH'mm'`, everything after the year optional) as RFC 3339. A
/// missing time zone counts as UTC; a date that cannot be is `None`.
fn rfc3339(date: &str) -> Option<String> {
    let date = date.strip_prefix("D:").unwrap_or(date).trim();
    let digits: String = date.chars().take_while(char::is_ascii_digit).collect();
    let field = |from: usize, to: usize, default: u32| -> Option<u32> {
        match digits.get(from..to) {
            Some(part) => part.parse().ok(),
            None => Some(default),
        }
    };
    digits.get(0..4)?;
    let (year, month, day) = (field(0, 4, 0)?, field(4, 6, 1)?, field(6, 8, 1)?);
    let (hour, minute, second) = (field(8, 10, 0)?, field(10, 12, 0)?, field(12, 14, 0)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let zone = date.get(digits.len()..).unwrap_or_default();
    let zone = match zone.chars().next() {
        Some(sign @ ('+' | '-')) => {
            let offset: String = zone.chars().filter(char::is_ascii_digit).collect();
            let hours: u32 = offset.get(0..2)?.parse().ok()?;
            let minutes: u32 = offset.get(2..4).map_or(Some(0), |m| m.parse().ok())?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            format!("{sign}{hours:02}:{minutes:02}")
        }
        _ => "Z".to_owned(),
    };
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}"))
}

/// Most nodes of a number tree that are visited.
const MAX_NODES: usize = 20_000;

/// The printed labels of pages.
#[derive(Default)]
pub(crate) struct Labels {
    /// First page (counted from 0), style, prefix, first number; sorted by page.
    ranges: Vec<(usize, Option<u8>, String, u32)>,
}

impl Labels {
    pub(crate) fn load(doc: &Document) -> Labels {
        let mut labels = Labels::default();
        let root = file::catalog(doc).and_then(|c| object::dict(doc, c, b"PageLabels"));
        let mut seen = HashSet::new();
        let mut stack: Vec<&Dictionary> = root.into_iter().collect();
        while let Some(node) = stack.pop() {
            if seen.len() >= MAX_NODES || !seen.insert(std::ptr::from_ref(node)) {
                continue;
            }
            for kid in object::array(doc, node, b"Kids").unwrap_or_default() {
                if stack.len() < MAX_NODES
                    && let Some(kid) = object::resolve(doc, kid).and_then(object::as_dict)
                {
                    stack.push(kid);
                }
            }
            for pair in object::array(doc, node, b"Nums").unwrap_or_default().chunks_exact(2) {
                if let [Object::Integer(page), label] = pair
                    && let Ok(page) = usize::try_from(*page)
                    && let Some(label) = object::resolve(doc, label).and_then(object::as_dict)
                    && labels.ranges.len() < MAX_NODES
                {
                    let style = object::name(doc, label, b"S").and_then(|s| s.first().copied());
                    let prefix = object::text(doc, label, b"P").unwrap_or_default().chars().take(64).collect();
                    let first = object::integer(doc, label, b"St").and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
                    labels.ranges.push((page, style, prefix, first));
                }
            }
        }
        labels.ranges.sort_by_key(|range| range.0);
        labels
    }

    /// The label of a page, counted from 0; `None` where the file gives none.
    pub(crate) fn get(&self, page: usize) -> Option<String> {
        let end = self.ranges.partition_point(|range| range.0 <= page);
        let (first_page, style, prefix, first) = self.ranges.get(end.checked_sub(1)?)?;
        let offset = u32::try_from(page - first_page).ok()?;
        let number = first.saturating_add(offset);
        let numeral = match style {
            Some(b'D') => number.to_string(),
            Some(b'r') => roman(number).to_lowercase(),
            Some(b'R') => roman(number),
            Some(b'a') => letters(number).to_lowercase(),
            Some(b'A') => letters(number),
            _ => String::new(),
        };
        let label = format!("{prefix}{numeral}");
        (!label.is_empty()).then_some(label)
    }
}

/// Roman numerals; plain digits past where they are read.
fn roman(number: u32) -> String {
    if number == 0 || number > 4999 {
        return number.to_string();
    }
    let mut left = number;
    let mut out = String::new();
    for (value, numeral) in [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ] {
        while left >= value {
            out.push_str(numeral);
            left -= value;
        }
    }
    out
}

/// `A` to `Z`, then `AA` to `ZZ`, and so on.
fn letters(number: u32) -> String {
    let Some(index) = number.checked_sub(1) else {
        return String::new();
    };
    let letter = char::from(b'A' + (index % 26) as u8);
    let times = (index / 26 + 1).min(64) as usize;
    std::iter::repeat_n(letter, times).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_rfc_3339() {
        for (date, expected) in [
            ("D:20230830154500-04'00'", Some("2023-08-30T15:45:00-04:00")),
            ("D:20230830154500Z", Some("2023-08-30T15:45:00Z")),
            ("D:2019", Some("2019-01-01T00:00:00Z")),
            ("20191231", Some("2019-12-31T00:00:00Z")),
            ("D:20230230", None),
            ("D:20231340", None),
            ("yesterday", None),
            ("D:20230830154500+99'00'", None),
        ] {
            assert_eq!(rfc3339(date).as_deref(), expected, "{date}");
        }
    }

    #[test]
    fn numerals() {
        assert_eq!(roman(1994), "MCMXCIV");
        assert_eq!(roman(0), "0");
        assert_eq!(letters(1), "A");
        assert_eq!(letters(28), "BB");
        assert_eq!(letters(0), "");
    }
}
