//! The character map of an embedded TrueType program, turned round: which character a glyph shows. Used where a file says nothing else of
//! its codes.

/// Characters by glyph.
pub(super) struct GlyphUnicodes {
    pairs: Vec<(u16, char)>,
    /// The glyph of each CID, where they are not the same.
    glyphs: Vec<u16>,
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

impl GlyphUnicodes {
    /// Reads the Unicode subtable of `cmap` (formats 4 and 12); `None` if there is none.
    pub(super) fn parse(program: &[u8]) -> Option<Self> {
        let tables = usize::from(u16_at(program, 4)?);
        let cmap = (0..tables).find_map(|i| {
            let record = 12 + 16 * i;
            (program.get(record..record + 4)? == b"cmap")
                .then(|| u32_at(program, record + 8))?
                .and_then(|offset| program.get(offset as usize..))
        })?;
        let count = usize::from(u16_at(cmap, 2)?).min(64);
        let mut best: Option<(u8, &[u8])> = None;
        for i in 0..count {
            let record = 4 + 8 * i;
            let rank = match (u16_at(cmap, record)?, u16_at(cmap, record + 2)?) {
                (3, 10) | (0, 4 | 6) => 2,
                (3, 1) | (0, _) => 1,
                _ => continue,
            };
            if let Some(table) = cmap.get(u32_at(cmap, record + 4)? as usize..)
                && best.is_none_or(|(known, _)| known < rank)
            {
                best = Some((rank, table));
            }
        }
        let table = best?.1;
        let mut pairs = match u16_at(table, 0)? {
            4 => format4(table)?,
            12 => format12(table)?,
            _ => return None,
        };
        pairs.sort();
        pairs.dedup_by_key(|pair| pair.0);
        (!pairs.is_empty()).then(|| GlyphUnicodes { pairs, glyphs: Vec::new() })
    }

    /// Takes over a `CIDToGIDMap`: two bytes for each CID.
    pub(super) fn set_cids(&mut self, map: &[u8]) {
        let (pairs, _) = map.as_chunks::<2>();
        self.glyphs = pairs.iter().take(0x1_0000).map(|pair| u16::from_be_bytes(*pair)).collect();
    }

    pub(super) fn char_of(&self, cid: u32) -> Option<char> {
        let glyph = match self.glyphs.is_empty() {
            true => u16::try_from(cid).ok()?,
            false => *self.glyphs.get(cid as usize)?,
        };
        let at = self.pairs.binary_search_by_key(&glyph, |pair| pair.0).ok()?;
        self.pairs.get(at).map(|pair| pair.1)
    }
}

fn format4(table: &[u8]) -> Option<Vec<(u16, char)>> {
    let segments = usize::from(u16_at(table, 6)?) / 2;
    let mut pairs = Vec::new();
    for i in 0..segments {
        let end = u16_at(table, 14 + 2 * i)?;
        let start = u16_at(table, 16 + 2 * segments + 2 * i)?;
        let delta = u16_at(table, 16 + 4 * segments + 2 * i)?;
        let range_at = 16 + 6 * segments + 2 * i;
        let range = u16_at(table, range_at)?;
        // Overlapping segments would repeat work without end.
        if pairs.len() > 0x2_0000 {
            break;
        }
        for code in start..=end {
            let glyph = if range == 0 {
                code.wrapping_add(delta)
            } else {
                let at = range_at + usize::from(range) + 2 * usize::from(code - start);
                match u16_at(table, at) {
                    Some(0) | None => 0,
                    Some(glyph) => glyph.wrapping_add(delta),
                }
            };
            if glyph != 0
                && let Some(c) = char::from_u32(u32::from(code))
            {
                pairs.push((glyph, c));
            }
        }
    }
    Some(pairs)
}

fn format12(table: &[u8]) -> Option<Vec<(u16, char)>> {
    let groups = u32_at(table, 12)?.min(0x1_0000);
    let mut pairs = Vec::new();
    for i in 0..groups as usize {
        let at = 16 + 12 * i;
        let (Some(start), Some(end), Some(glyph)) = (u32_at(table, at), u32_at(table, at + 4), u32_at(table, at + 8)) else {
            break;
        };
        for offset in 0..=end.saturating_sub(start).min(0xFFFF) {
            if pairs.len() > 0x2_0000 {
                return Some(pairs);
            }
            if let (Ok(glyph), Some(c)) = (
                u16::try_from(glyph.saturating_add(offset)),
                char::from_u32(start.saturating_add(offset)),
            ) {
                pairs.push((glyph, c));
            }
        }
    }
    Some(pairs)
}
