//! The predefined CMaps whose codes are a character set of their own: Unicode, Shift-JIS, EUC,
//! GBK, Big5. Their text is known without CID tables.

use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GB18030, SHIFT_JIS};

use super::widths::CidWidths;

/// How the codes of a predefined CMap read.
#[derive(Clone, Copy)]
pub(super) enum Legacy {
    Utf8,
    /// UTF-16, or UCS-2, which is a part of it.
    Utf16,
    Utf32,
    /// One or two bytes of this character set; of GB 18030 also four.
    Charset(&'static Encoding),
    /// Two bytes of this character set without their highest bits.
    SevenBits(&'static Encoding),
    /// A character set that is not known here: two bytes without a text.
    Unknown,
}

impl Legacy {
    /// The character set of a predefined CMap; `None` for `Identity-H` and `Identity-V`, whose codes are CIDs.
    pub(super) fn named(name: &[u8]) -> Option<Legacy> {
        let name = String::from_utf8_lossy(name);
        if name.starts_with("Identity") {
            return None;
        }
        for (part, legacy) in [
            ("UCS2", Legacy::Utf16),
            ("UTF16", Legacy::Utf16),
            ("UTF8", Legacy::Utf8),
            ("UTF32", Legacy::Utf32),
        ] {
            if name.contains(part) {
                return Some(legacy);
            }
        }
        let name = name.strip_suffix(['H', 'V']).unwrap_or(&name);
        Some(match name.strip_suffix('-').unwrap_or(name) {
            "GB-EUC" | "GBpc-EUC" | "GBK-EUC" | "GBKp-EUC" | "GBK2K" | "GBT-EUC" | "GBTpc-EUC" => Legacy::Charset(GB18030),
            "B5pc" | "ETen-B5" | "ETenms-B5" | "HKscs-B5" | "HKdla-B5" | "HKdlb-B5" | "HKgccs-B5" | "HKm314-B5" | "HKm471-B5"
            | "ETHK-B5" => Legacy::Charset(BIG5),
            "83pv-RKSJ" | "90ms-RKSJ" | "90msp-RKSJ" | "90pv-RKSJ" | "Add-RKSJ" | "Ext-RKSJ" | "78-RKSJ" | "78ms-RKSJ" | "RKSJ" => {
                Legacy::Charset(SHIFT_JIS)
            }
            "EUC" | "78-EUC" => Legacy::Charset(EUC_JP),
            "KSC-EUC" | "KSCms-UHC" | "KSCms-UHC-HW" | "KSCpc-EUC" => Legacy::Charset(EUC_KR),
            // The names `H` and `V` have nothing before their end.
            "" | "78" | "Add" | "Ext" | "NWP" => Legacy::SevenBits(EUC_JP),
            "GB" | "GBT" => Legacy::SevenBits(GB18030),
            "KSC" => Legacy::SevenBits(EUC_KR),
            _ => Legacy::Unknown,
        })
    }

    /// The next code of a string that is not empty: its value, its length, its text.
    pub(super) fn next(self, bytes: &[u8]) -> (u32, usize, String) {
        let lead = bytes.first().copied().unwrap_or(0);
        let length = match self {
            Legacy::Utf8 => match lead {
                0..0xC0 => 1,
                0xC0..0xE0 => 2,
                0xE0..0xF0 => 3,
                0xF0.. => 4,
            },
            Legacy::Utf16 if (0xD8..=0xDB).contains(&lead) => 4,
            Legacy::Utf16 | Legacy::SevenBits(_) | Legacy::Unknown => 2,
            Legacy::Utf32 => 4,
            Legacy::Charset(set) if lead < 0x81 || (set == SHIFT_JIS && (0xA0..=0xDF).contains(&lead)) => 1,
            Legacy::Charset(set) if set == GB18030 && bytes.get(1).is_some_and(u8::is_ascii_digit) => 4,
            Legacy::Charset(_) => 2,
        };
        let part = bytes.get(..length).unwrap_or(bytes);
        let text = match self {
            Legacy::Utf8 => std::str::from_utf8(part).unwrap_or_default().to_owned(),
            Legacy::Utf16 => {
                let units = part.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                char::decode_utf16(units).filter_map(Result::ok).collect()
            }
            Legacy::Utf32 => char::from_u32(number(part)).map(String::from).unwrap_or_default(),
            Legacy::Charset(set) => decode(set, part),
            Legacy::SevenBits(set) => decode(set, &part.iter().map(|byte| byte | 0x80).collect::<Vec<u8>>()),
            Legacy::Unknown => String::new(),
        };
        (number(part), part.len().max(1), text)
    }

    /// The advance of a code. Its CID is not known here, but these fonts are full width for two
    /// bytes, and their Latin CIDs start at 1 with the space.
    pub(super) fn advance(self, value: u32, taken: usize, widths: &CidWidths) -> f32 {
        let ascii = (32..127).contains(&value);
        match self {
            _ if ascii => {
                let width = widths.get(value - 31);
                if width >= 0.99 { 0.5 } else { width }
            }
            Legacy::Charset(_) if taken == 1 => 0.5,
            _ => widths.get(u32::MAX),
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |value, &byte| value << 8 | u32::from(byte))
}

fn decode(set: &'static Encoding, bytes: &[u8]) -> String {
    let text = set.decode_without_bom_handling_and_without_replacement(bytes);
    text.unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predefined_cmaps_give_their_text() {
        let gbk = Legacy::named(b"GBK-EUC-H").expect("known");
        assert_eq!(gbk.next(b"\xd6\xd0A"), (0xD6D0, 2, "中".to_owned()));
        let sjis = Legacy::named(b"90ms-RKSJ-V").expect("known");
        assert_eq!(sjis.next(b"\x93\xfa"), (0x93FA, 2, "日".to_owned()));
        let ucs2 = Legacy::named(b"UniJIS-UCS2-H").expect("known");
        assert_eq!(ucs2.next(b"\x65\xe5\x67"), (0x65E5, 2, "日".to_owned()));
        assert_eq!(ucs2.next(b"\x65"), (0x65, 1, String::new()));
        let next = |name: &[u8], bytes: &[u8]| Legacy::named(name).expect("known").next(bytes);
        assert_eq!(next(b"V", b"\x30\x21"), (0x3021, 2, "亜".to_owned()));
        assert_eq!(next(b"GB-H", b"\x56\x50"), (0x5650, 2, "中".to_owned()));
        assert_eq!(next(b"KSC-V", b"\x30\x21"), (0x3021, 2, "가".to_owned()));
        assert_eq!(next(b"GBK2K-H", b"\x81\x30\x84\x36x").1, 4);
        assert_eq!(next(b"UniJIS-UTF8-H", "日本".as_bytes()).2, "日");
        assert_eq!(next(b"UniGB-UTF32-V", b"\0\0\x4e\x2dx"), (0x4E2D, 4, "中".to_owned()));
        assert_eq!(next(b"CNS1-H", b"\x24\x21\x24"), (0x2421, 2, String::new()));
        assert!(Legacy::named(b"Identity-H").is_none());
        assert!(Legacy::named(b"Identity-V").is_none());
    }
}
