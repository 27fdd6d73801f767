//! Advance widths: `/Widths` of simple fonts, `/W` of CID fonts, and the standard 14 fonts.

use lopdf::{Dictionary, Document, Object};

use super::encoding::CodeTexts;
use super::standard_widths::{SYMBOL_WIDTHS, TEXT_WIDTHS, ZAPF_DINGBATS_WIDTHS};
use crate::object;

/// Widths of a simple font's 256 codes, as parts of the font size.
pub(super) struct SimpleWidths(Vec<f32>);

impl SimpleWidths {
    /// `unit` is what one width unit is as a part of the font size: a thousandth, except in
    /// Type 3 fonts.
    pub(super) fn load(doc: &Document, font: &Dictionary, base_font: &str, unit: f32, texts: &CodeTexts) -> Self {
        let Some(given) = object::array(doc, font, b"Widths") else {
            return SimpleWidths(standard(base_font, texts));
        };
        let missing = object::dict(doc, font, b"FontDescriptor")
            .and_then(|descriptor| object::number(doc, descriptor, b"MissingWidth"))
            .unwrap_or(0.0);
        let first = object::integer(doc, font, b"FirstChar").unwrap_or(0);
        let mut widths = vec![missing * unit; 256];
        for (slot, width) in widths.iter_mut().skip(usize::try_from(first).unwrap_or(0)).zip(given) {
            if let Some(width) = object::resolve(doc, width).and_then(object::as_number) {
                *slot = width * unit;
            }
        }
        SimpleWidths(widths)
    }

    pub(super) fn get(&self, code: u32) -> f32 {
        self.0.get(code as usize).copied().unwrap_or(0.0)
    }
}

/// Widths of the standard font that is nearest to this name.
fn standard(base_font: &str, texts: &CodeTexts) -> Vec<f32> {
    let name = base_font.to_ascii_lowercase();
    let scaled = |widths: &[u16; 256]| widths.iter().map(|&w| f32::from(w) / 1000.0).collect();
    if name.contains("zapfdingbats") {
        return scaled(&ZAPF_DINGBATS_WIDTHS);
    }
    if name.contains("symbol") {
        return scaled(&SYMBOL_WIDTHS);
    }
    if name.contains("courier") {
        return vec![0.6; 256];
    }
    let bold = name.contains("bold");
    let italic = name.contains("italic") || name.contains("oblique");
    let column = match (name.contains("times"), bold, italic) {
        (false, false, _) => 0,
        (false, true, _) => 1,
        (true, false, false) => 2,
        (true, true, false) => 3,
        (true, false, true) => 4,
        (true, true, true) => 5,
    };
    texts
        .iter()
        .map(|text| {
            let Some(c) = text.chars().next().and_then(|c| u16::try_from(u32::from(c)).ok()) else {
                return 0.0;
            };
            TEXT_WIDTHS
                .binary_search_by_key(&c, |(known, _)| *known)
                .ok()
                .and_then(|at| TEXT_WIDTHS.get(at))
                .and_then(|(_, widths)| widths.get(column))
                .map_or(0.5, |&width| f32::from(width) / 1000.0)
        })
        .collect()
}

/// Widths of a CID font, as parts of the font size.
pub(super) struct CidWidths {
    /// First and last CID of a range; the widths of its CIDs, or one for all. Sorted.
    ranges: Vec<(u32, u32, Vec<f32>)>,
    default: f32,
    /// Advance of vertical text.
    pub(super) down: f32,
}

impl CidWidths {
    pub(super) fn load(doc: &Document, font: Option<&Dictionary>) -> Self {
        let mut widths = CidWidths {
            ranges: Vec::new(),
            default: 1.0,
            down: -1.0,
        };
        let Some(font) = font else { return widths };
        if let Some(default) = object::number(doc, font, b"DW") {
            widths.default = default / 1000.0;
        }
        if let Some([_, down]) = object::numbers(doc, font, b"DW2").as_deref() {
            widths.down = down / 1000.0;
        }
        let Some(items) = object::array(doc, font, b"W") else {
            return widths;
        };
        let mut items = items.iter().filter_map(|item| object::resolve(doc, item));
        while let Some(first) = items.next() {
            let Some(first) = cid(first) else { continue };
            match items.next() {
                Some(Object::Array(list)) => {
                    let list: Vec<f32> = list
                        .iter()
                        .take(0x1_0000)
                        .map(|item| object::resolve(doc, item).and_then(object::as_number).unwrap_or(0.0) / 1000.0)
                        .collect();
                    let last = first.saturating_add(list.len().saturating_sub(1) as u32);
                    if !list.is_empty() {
                        widths.ranges.push((first, last, list));
                    }
                }
                Some(last) => {
                    let width = items.next().and_then(object::as_number).unwrap_or(0.0);
                    if let Some(last) = cid(last) {
                        widths.ranges.push((first, last, vec![width / 1000.0]));
                    }
                }
                None => break,
            }
        }
        widths.ranges.sort_by_key(|range| range.0);
        widths
    }

    pub(super) fn get(&self, cid: u32) -> f32 {
        let end = self.ranges.partition_point(|range| range.0 <= cid);
        let Some((first, last, list)) = end.checked_sub(1).and_then(|at| self.ranges.get(at)) else {
            return self.default;
        };
        if cid > *last {
            return self.default;
        }
        match list.as_slice() {
            [single] => *single,
            list => list.get((cid - first) as usize).copied().unwrap_or(self.default),
        }
    }
}

fn cid(object: &Object) -> Option<u32> {
    object::as_number(object).map(|value| value.max(0.0) as u32)
}
