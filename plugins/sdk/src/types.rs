//! The records of the contract's interface `types`, field for field.

use std::ops::Range;

/// A half-open range `[start, end)` of a document's text, in UTF-8 bytes.
///
/// A span that a plugin returns must lie inside the text, start no later than it ends, and cut no character in two. Otherwise the
/// host rejects the whole result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset of the byte after the last one.
    pub end: u32,
}

impl Span {
    /// Returns the length in bytes.
    #[inline]
    pub fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Returns whether the span holds no byte.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns whether `other` lies inside this span.
    #[inline]
    pub fn contains(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Returns the span `offset` bytes further on: turns a range of a window into a range of the document.
    #[inline]
    pub fn shifted(self, offset: u32) -> Span {
        Span {
            start: self.start.saturating_add(offset),
            end: self.end.saturating_add(offset),
        }
    }
}

impl From<Range<u32>> for Span {
    fn from(at: Range<u32>) -> Self {
        Self {
            start: at.start,
            end: at.end,
        }
    }
}

/// A document's text is shorter than 4 GiB, so offsets into it fit.
impl From<Range<usize>> for Span {
    fn from(at: Range<usize>) -> Self {
        Self {
            start: at.start as u32,
            end: at.end as u32,
        }
    }
}

/// A named value. The same key may occur several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attr {
    /// Its name: lower case, words joined by `-`, name spaces by `.` (`entity.person`); at most 128 bytes.
    pub key: String,
    /// Its value, at most 64 KiB.
    pub value: String,
}

impl Attr {
    /// Creates a named value.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }

    /// Returns the first value with this key.
    pub fn find<'a>(attrs: &'a [Attr], key: &str) -> Option<&'a str> {
        attrs.iter().find(|attr| attr.key == key).map(|attr| attr.value.as_str())
    }
}

impl<K: Into<String>, V: Into<String>> From<(K, V)> for Attr {
    fn from((key, value): (K, V)) -> Self {
        Self::new(key, value)
    }
}

/// A structural part of a document. Units are ordered by `at.start`, wider ones first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Where the unit stands in the text.
    pub at: Span,
    /// `heading`, `paragraph`, `list`, `list-item`, `table`, `table-row`, `table-cell`, `code`, `quote` or `caption`. Readers treat a
    /// kind that they do not know as `paragraph`.
    pub kind: String,
    /// Depth: of a heading 1 (topmost) to 6, of a list item its nesting from 1; else 0.
    pub level: u8,
    /// The text that names the unit: of a table or a table row its header rows, of a cell the header of its column; else `None`.
    pub title: Option<Span>,
}

impl Unit {
    /// Creates a unit without level and title.
    pub fn new(kind: impl Into<String>, at: impl Into<Span>) -> Self {
        Self {
            at: at.into(),
            kind: kind.into(),
            level: 0,
            title: None,
        }
    }

    /// Sets the level.
    pub fn with_level(self, level: u8) -> Self {
        Self { level, ..self }
    }

    /// Sets the title.
    pub fn with_title(self, title: Option<impl Into<Span>>) -> Self {
        Self {
            title: title.map(Into::into),
            ..self
        }
    }
}

/// A [`Unit`] in numbers alone, which costs a fraction to hand over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodedUnit {
    /// Where the unit stands in the text.
    pub at: Span,
    /// Index of its kind in [`Document::unit_kinds`](crate::Document::unit_kinds).
    pub kind: u32,
    /// As in [`Unit::level`].
    pub level: u8,
    /// As in [`Unit::title`].
    pub title: Option<Span>,
}

/// A page of a paged document. Pages are ordered and do not overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The page's text.
    pub at: Span,
    /// Position in the file, counted from 1. Citations carry this number.
    pub number: u32,
    /// The label that is printed on the page (`iv`, `A-3`), where the file says so.
    pub label: Option<String>,
}

// The bindings take the whole interface from this module.
#[cfg(target_arch = "wasm32")]
pub use crate::failure::Failure;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_half_open_ranges() {
        let span = Span::from(3_usize..7);
        assert_eq!((span.len(), span.is_empty()), (4, false));
        assert!(span.contains(Span::from(5_u32..7)) && !span.contains(Span::from(5_u32..8)));
        assert_eq!(span.shifted(10), Span { start: 13, end: 17 });
        assert!(Span { start: 4, end: 2 }.is_empty());
    }

    #[test]
    fn the_first_value_of_a_key_is_found() {
        let attrs = [Attr::new("title", "One"), Attr::from(("title", "Two")), Attr::new("author", "Lee")];
        assert_eq!(Attr::find(&attrs, "title"), Some("One"));
        assert_eq!(Attr::find(&attrs, "created"), None);
    }

    #[test]
    fn units_are_built_in_steps() {
        let unit = Unit::new("table-row", 4_u32..9).with_level(1).with_title(Some(0_usize..3));
        assert_eq!(unit.at, Span { start: 4, end: 9 });
        assert_eq!(
            (unit.kind.as_str(), unit.level, unit.title),
            ("table-row", 1, Some(Span { start: 0, end: 3 }))
        );
    }
}
