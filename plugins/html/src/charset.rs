//! What a page says of its encoding: `<meta charset>`, its older form, or an XML declaration.

use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use ibid_encoding::{Encoding, xml_declaration};
use std::cell::Cell;

/// How much of a page is looked at, in bytes. Browsers look at 1,024; pages that put scripts first still mean what they say.
const LOOKED_AT: usize = 16 << 10;

/// Returns the encoding that a page declares in its first bytes.
pub fn declared(start: &[u8]) -> Option<Encoding> {
    if let Some(encoding) = xml_declaration(start) {
        return Some(encoding);
    }
    // Tags are ASCII in every encoding that can be declared this way.
    let text: String = start.iter().take(LOOKED_AT).map(|&byte| char::from(byte)).collect();
    let input = BufferQueue::default();
    input.push_back(text.into());
    let tokenizer = Tokenizer::new(Sink::default(), TokenizerOpts::default());
    while !input.is_empty() && tokenizer.sink.found.get().is_none() {
        let _ = tokenizer.feed(&input);
    }
    tokenizer.sink.found.get()
}

/// Waits for the first declaration.
#[derive(Default)]
struct Sink {
    found: Cell<Option<Encoding>>,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else {
            return TokenSinkResult::Continue;
        };
        if tag.kind != TagKind::StartTag {
            return TokenSinkResult::Continue;
        }
        match &*tag.name {
            "meta" if self.found.get().is_none() => self.found.set(of_meta(&tag)),
            "script" => return TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "noscript" | "iframe" | "xmp" => return TokenSinkResult::RawData(RawKind::Rawtext),
            "title" | "textarea" => return TokenSinkResult::RawData(RawKind::Rcdata),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

fn of_meta(tag: &Tag) -> Option<Encoding> {
    let attribute = |name: &str| {
        let found = tag.attrs.iter().find(|attribute| &*attribute.name.local == name);
        found.map(|attribute| &*attribute.value)
    };
    if let Some(label) = attribute("charset") {
        return Encoding::labelled(label);
    }
    if !attribute("http-equiv")?.trim().eq_ignore_ascii_case("content-type") {
        return None;
    }
    // As in `text/html; charset=gb2312`.
    let content = attribute("content")?.to_ascii_lowercase();
    let value = content.split_once("charset")?.1.trim_start().strip_prefix('=')?;
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    Encoding::labelled(value.split(|c: char| c.is_whitespace() || matches!(c, ';' | '"' | '\'')).next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_declares_its_encoding() {
        for (page, expected) in [
            (&b"<!doctype html><html><head><meta charset=gb2312><title>x"[..], Some("gbk")),
            (
                b"<META HTTP-EQUIV='Content-Type' CONTENT=\"text/html; CHARSET = 'Shift_JIS'; x\">",
                Some("shift_jis"),
            ),
            (b"<?xml version='1.0' encoding='koi8-r'?><html>", Some("koi8-r")),
            (b"<meta charset=utf-16>", Some("utf-8")),
            (
                b"<!-- <meta charset=gbk> --><meta name=a content='charset=gbk'><meta charset=euc-kr>",
                Some("euc-kr"),
            ),
            (b"<script>'<meta charset=gbk>'</script><title><meta charset=gbk></title>", None),
            (b"<meta charset=unknown><meta charset=big5>", Some("big5")),
            (b"<meta http-equiv=content-type content=charset>", None),
            (b"<meta", None),
            (b"", None),
        ] {
            let found = declared(page).map(Encoding::name);
            assert_eq!(found.as_deref(), expected, "{}", String::from_utf8_lossy(page));
        }
    }
}
