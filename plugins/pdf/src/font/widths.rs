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

/// Numbers by CID: the first and last CID of a range; one value for each, or one for all. Sorted.
#[derive(Default)]
struct Ranges(Vec<(u32, u32, Vec<f32>)>);

impl Ranges {
    /// Reads `/W` and `/W2`: `first [value ...]` and `first last value`. A value has so many numbers, of which the first one counts.
    fn load(doc: &Document, items: &[Object], numbers: usize) -> Self {
        let mut ranges = Vec::new();
        let value = |item: &Object| object::resolve(doc, item).and_then(object::as_number).unwrap_or(0.0) / 1000.0;
        let mut items = items.iter().filter_map(|item| object::resolve(doc, item));
        while let Some(first) = items.next() {
            let Some(first) = cid(first) else { continue };
            match items.next() {
                Some(Object::Array(list)) => {
                    let list: Vec<f32> = list.iter().step_by(numbers).take(0x1_0000).map(value).collect();
                    let last = first.saturating_add(list.len().saturating_sub(1) as u32);
                    if !list.is_empty() {
                        ranges.push((first, last, list));
                    }
                }
                Some(last) => {
                    let width = items.next().map_or(0.0, value);
                    for _ in 1..numbers {
                        items.next();
                    }
                    if let Some(last) = cid(last) {
                        ranges.push((first, last, vec![width]));
                    }
                }
                None => break,
            }
        }
        ranges.sort_by_key(|range| range.0);
        Self(ranges)
    }

    fn get(&self, cid: u32) -> Option<f32> {
        let end = self.0.partition_point(|range| range.0 <= cid);
        let (first, last, list) = end.checked_sub(1).and_then(|at| self.0.get(at))?;
        if cid > *last {
            return None;
        }
        match list.as_slice() {
            [single] => Some(*single),
            list => list.get((cid - first) as usize).copied(),
        }
    }
}

/// Widths of a CID font, as parts of the font size.
pub(super) struct CidWidths {
    widths: Ranges,
    default: f32,
    downs: Ranges,
    default_down: f32,
}

impl CidWidths {
    pub(super) fn load(doc: &Document, font: Option<&Dictionary>) -> Self {
        let ranges = |key: &[u8], numbers| {
            let items = font.and_then(|font| object::array(doc, font, key));
            items.map_or_else(Ranges::default, |items| Ranges::load(doc, items, numbers))
        };
        let default = font.and_then(|font| object::number(doc, font, b"DW"));
        let down = match font.and_then(|font| object::numbers(doc, font, b"DW2")).as_deref() {
            Some([_, down]) => Some(*down),
            _ => None,
        };
        CidWidths {
            widths: ranges(b"W", 1),
            default: default.map_or(1.0, |width| width / 1000.0),
            downs: ranges(b"W2", 3),
            default_down: down.map_or(-1.0, |down| down / 1000.0),
        }
    }

    pub(super) fn get(&self, cid: u32) -> f32 {
        self.widths.get(cid).unwrap_or(self.default)
    }

    /// The advance in vertical text, which is negative: downwards.
    pub(super) fn down(&self, cid: u32) -> f32 {
        self.downs.get(cid).unwrap_or(self.default_down)
    }
}

fn cid(object: &Object) -> Option<u32> {
    object::as_number(object).map(|value| value.max(0.0) as u32)
}
