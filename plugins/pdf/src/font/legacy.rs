//! The predefined CMaps whose codes are a character set of their own: Unicode, Shift-JIS, EUC,
//! GBK, Big5. Their text is known without CID tables.

use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GB18030, SHIFT_JIS};

use super::widths::CidWidths;

/// How the codes of a predefined CMap read.
#[derive(Clone, Copy)]
pub(super) enum Legacy {
    /// UTF-16, or UCS-2, which is a part of it.
    Utf16,
    /// One or two bytes of this character set.
    Charset(&'static Encoding),
}

impl Legacy {
    /// The character set of a predefined CMap; `None` for `Identity-H` and unknown ones.
    pub(super) fn named(name: &[u8]) -> Option<Legacy> {
        let name = std::str::from_utf8(name).ok()?;
        if name.contains("UCS2") || name.contains("UTF16") {
            return Some(Legacy::Utf16);
        }
        let charset = match name.rsplit_once('-')?.0 {
            "GB-EUC" | "GBpc-EUC" | "GBK-EUC" | "GBKp-EUC" | "GBK2K" => GB18030,
            "B5pc" | "ETen-B5" | "ETenms-B5" | "HKscs-B5" => BIG5,
            "83pv-RKSJ" | "90ms-RKSJ" | "90msp-RKSJ" | "90pv-RKSJ" | "Add-RKSJ" | "Ext-RKSJ" => SHIFT_JIS,
            "EUC" => EUC_JP,
            "KSC-EUC" | "KSCms-UHC" | "KSCms-UHC-HW" | "KSCpc-EUC" => EUC_KR,
            _ => return None,
        };
        Some(Legacy::Charset(charset))
    }

    /// The next code of a string that is not empty: its value, its length, its text.
    pub(super) fn next(self, bytes: &[u8]) -> (u32, usize, String) {
        let number = |part: &[u8]| part.iter().fold(0u32, |v, &b| v << 8 | u32::from(b));
        match self {
            Legacy::Utf16 => {
                let surrogate = bytes.first().is_some_and(|b| (0xD8..=0xDB).contains(b));
                let taken = if surrogate { 4 } else { 2 }.min(bytes.len());
                let part = bytes.get(..taken).unwrap_or(bytes);
                let units: Vec<u16> = part.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
                let text = char::decode_utf16(units).filter_map(Result::ok).collect();
                (number(part), taken.max(1), text)
            }
            Legacy::Charset(charset) => {
                let lead = bytes.first().copied().unwrap_or(0);
                let single = lead < 0x81 || (charset == SHIFT_JIS && (0xA0..=0xDF).contains(&lead));
                let taken = if single { 1 } else { 2 }.min(bytes.len());
                let part = bytes.get(..taken).unwrap_or(bytes);
                let text = charset
                    .decode_without_bom_handling_and_without_replacement(part)
                    .unwrap_or_default()
                    .into_owned();
                (number(part), taken.max(1), text)
            }
        }
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
        assert!(Legacy::named(b"Identity-H").is_none());
    }
}
