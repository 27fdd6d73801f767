//! Tells pages that are pictures of text: scans, letters that are drawn as curves, fonts that say nothing of what they show. Such a page
//! has next to no text, and would be missing without a word.

use crate::file::Page;
use crate::interpret::PageGlyphs;

/// Part of the page that its images cover if it is a scan. Scanners leave margins out at most.
const COVERED: f32 = 0.6;

/// Bytes of text that a scan may have: a number, a date, a stamp of the archive's.
const FEW: usize = 50;

/// Curves that a page without text has if they are its letters: a line of text has some hundred, a drawing rarely so many.
const CURVES: u32 = 1_000;

/// Glyphs of a page that is full of them.
const UNREADABLE: usize = 200;

/// Whether a page shows text that is not there as text.
pub(crate) fn is_picture(page: &Page, glyphs: &PageGlyphs) -> bool {
    let read = glyphs.text.bytes().filter(|byte| *byte != b' ').count();
    let scanned = read < FEW && glyphs.pictured >= COVERED * page.width * page.height;
    let drawn = read == 0 && glyphs.curves >= CURVES;
    let unreadable = glyphs.glyphs.len() >= UNREADABLE && read * 10 < glyphs.glyphs.len();
    scanned || drawn || unreadable
}

/// Whether so many of the pages are pictures that a reader of the text misses something. One is a cover.
pub(crate) fn need_ocr(pictures: &[u32], pages: usize) -> bool {
    pictures.len() == pages || (pictures.len() > 1 && pictures.len() * 10 > pages)
}

/// Numbers in rising order as a reader writes them: `1-3, 7`. No longer than an attribute may be.
pub(crate) fn ranges(numbers: &[u32]) -> String {
    const MAX_BYTES: usize = 1_000;
    let mut out = String::new();
    let mut rest = numbers.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut last = first;
        while let Some(next) = rest.next_if(|next| *next == last + 1) {
            last = next;
        }
        if out.len() > MAX_BYTES {
            out.push_str(", ...");
            break;
        }
        let comma = if out.is_empty() { "" } else { ", " };
        out.push_str(&match first == last {
            true => format!("{comma}{first}"),
            false => format!("{comma}{first}-{last}"),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_row_are_a_range() {
        for (numbers, expected) in [(vec![], ""), (vec![4], "4"), (vec![1, 2, 3, 7, 9, 10], "1-3, 7, 9-10")] {
            assert_eq!(ranges(&numbers), expected);
        }
        let odd: Vec<u32> = (0..10_000).map(|n| 2 * n).collect();
        assert!(ranges(&odd).ends_with(", ..."));
        assert!(ranges(&odd).len() < 1_100);
    }

    #[test]
    fn a_cover_needs_no_ocr() {
        assert!(!need_ocr(&[1], 2));
        assert!(!need_ocr(&[1, 50], 80));
        assert!(need_ocr(&[1], 1));
        assert!(need_ocr(&[1, 2, 3], 20));
    }
}
