//! The text of Adobe's character collections, by CID. `data/README.md` says where the tables come from.

use std::io::Read;
use std::sync::OnceLock;

/// Most bytes that a table unpacks to.
const MAX_BYTES: u64 = 1 << 20;

/// The text of each CID of a collection.
#[derive(Debug, Default)]
pub(super) struct CidTexts {
    text: String,
    /// Where the text of each CID ends.
    ends: Vec<u32>,
}

impl CidTexts {
    /// The collection of an ordering: `Japan1`, `GB1`, `CNS1` or `Korea1`.
    pub(super) fn of(ordering: &[u8]) -> Option<&'static CidTexts> {
        static TABLES: [OnceLock<CidTexts>; 4] = [const { OnceLock::new() }; 4];
        let (table, packed): (_, &[u8]) = match ordering {
            b"Japan1" => (&TABLES[0], include_bytes!("../../data/japan1.bin")),
            b"GB1" => (&TABLES[1], include_bytes!("../../data/gb1.bin")),
            b"CNS1" => (&TABLES[2], include_bytes!("../../data/cns1.bin")),
            b"Korea1" => (&TABLES[3], include_bytes!("../../data/korea1.bin")),
            _ => return None,
        };
        Some(table.get_or_init(|| Self::unpack(packed)))
    }

    /// The collection that a name such as `Adobe-Japan1-UCS2` is about.
    pub(super) fn named(name: &[u8]) -> Option<&'static CidTexts> {
        let ordering = name.strip_prefix(b"Adobe-")?.strip_suffix(b"-UCS2")?;
        Self::of(ordering)
    }

    /// The text of a CID; empty where it has none.
    pub(super) fn get(&self, cid: u32) -> &str {
        let cid = cid as usize;
        let start = cid.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let (Some(start), Some(end)) = (start, self.ends.get(cid)) else {
            return "";
        };
        self.text.get(start as usize..*end as usize).unwrap_or_default()
    }

    fn unpack(packed: &[u8]) -> Self {
        let mut bytes = Vec::new();
        let unpacked = flate2::read::ZlibDecoder::new(packed).take(MAX_BYTES).read_to_end(&mut bytes);
        if unpacked.is_err() {
            return Self::default();
        }
        let mut numbers = Numbers(&bytes);
        let mut texts = Self::default();
        let mut previous = 0_i64;
        while let Some(number) = numbers.next() {
            let zigzag = i64::from(number >> 1);
            previous += (zigzag >> 1) ^ -(zigzag & 1);
            let more = if number & 1 == 1 { numbers.next().unwrap_or(0) } else { 0 };
            let first = u32::try_from(previous).ok();
            for code in first.into_iter().chain((&mut numbers).take(more as usize)) {
                texts.text.extend(char::from_u32(code).filter(|c| *c != '\0'));
            }
            texts.ends.push(u32::try_from(texts.text.len()).unwrap_or(u32::MAX));
        }
        texts
    }
}

/// Reads LEB128.
struct Numbers<'a>(&'a [u8]);

impl Iterator for Numbers<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_have_the_text_of_their_cids() {
        for (ordering, cid, text) in [
            ("Japan1", 1, " "),
            ("Japan1", 34, "A"),
            ("Japan1", 843, "あ"),
            ("Japan1", 1125, "亜"),
            ("Japan1", 7888, "。"),
            ("Japan1", 8322, "財団法人"),
            ("GB1", 4559, "中"),
            ("CNS1", 595, "一"),
            ("Korea1", 1086, "가"),
            ("Japan1", 0, ""),
            ("Japan1", 60_000, ""),
        ] {
            let texts = CidTexts::of(ordering.as_bytes()).expect("known");
            assert_eq!(texts.get(cid), text, "{ordering} {cid}");
        }
        assert!(CidTexts::of(b"Identity").is_none());
        assert!(CidTexts::named(b"Adobe-GB1-UCS2").is_some());
    }
}
