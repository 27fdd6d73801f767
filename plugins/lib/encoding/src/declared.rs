//! What a file says of its own encoding.

use crate::Encoding;

/// Finds what the first bytes of a file say of its encoding.
pub type Declared = fn(&[u8]) -> Option<Encoding>;

/// Longest XML declaration that is looked at, in bytes.
const MAX_DECLARATION: usize = 256;

/// Returns the encoding that an XML declaration names: `<?xml version="1.0" encoding="gbk"?>`.
pub fn xml_declaration(start: &[u8]) -> Option<Encoding> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let start = start.get(..start.len().min(MAX_DECLARATION))?;
    let declaration = start.strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(declaration.get(..end)?).ok()?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    Encoding::labelled(value.get(1..)?.split(quote).next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_xml_declaration_names_its_encoding() {
        for (start, expected) in [
            (&b"<?xml version=\"1.0\" encoding=\"Shift_JIS\"?><a>"[..], Some("shift_jis")),
            (
                b"\xef\xbb\xbf<?xml version='1.0' encoding = 'ISO-8859-2' standalone='yes' ?>",
                Some("iso-8859-2"),
            ),
            (b"<?xml version=\"1.0\"?><a encoding=\"gbk\">", None),
            (b"<?xml encoding=\"gbk\"", None),
            (b"<?xml encoding=\"\"?>", None),
            (b"<?xml encoding=\xff?>", None),
            (b"text", None),
        ] {
            assert_eq!(xml_declaration(start).map(Encoding::name).as_deref(), expected, "{start:?}");
        }
    }
}
