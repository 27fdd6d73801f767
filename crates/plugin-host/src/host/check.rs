//! Checks that a plugin's output follows the contract.

use super::bindings::import::types;
use ibid_types::document::{Attrs, Span};

/// The longest key and value of an attribute, and the most attributes in one list. A value is a title or a list of authors; a key joins a
/// few words.
const MAX_KEY_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Returns what is wrong with a span of `text`, as the end of a sentence that starts with "the span of ...".
pub fn span(at: Span, text: &str) -> Result<(), String> {
    let Span { start, end } = at;
    let length = text.len();
    if start > end {
        return Err(format!("{start}..{end} ends before it starts"));
    }
    if end as usize > length {
        return Err(format!("{start}..{end} reaches past the text's {length} bytes"));
    }
    for offset in [start, end] {
        if !text.is_char_boundary(offset as usize) {
            return Err(format!("{start}..{end} cuts the character at {offset} in two"));
        }
    }
    Ok(())
}

/// Converts attributes, if their keys are well-formed and they are not too long.
pub fn attrs(given: Vec<types::Attr>) -> Result<Attrs, String> {
    given
        .into_iter()
        .map(|types::Attr { key, value }| {
            if !is_key(&key) {
                let key = key.chars().take(MAX_KEY_BYTES).collect::<String>().escape_debug().to_string();
                return Err(format!("the key `{key}` is not lower case words joined by `-` and `.`"));
            }
            if value.len() > MAX_VALUE_BYTES {
                return Err(format!("the value of `{key}` is longer than {} KiB", MAX_VALUE_BYTES / 1024));
            }
            Ok((key, value))
        })
        .collect()
}

fn is_key(key: &str) -> bool {
    key.len() <= MAX_KEY_BYTES
        && key
            .split(['-', '.'])
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

/// Returns the size of a list of attributes in bytes.
pub fn size(attrs: &Attrs) -> usize {
    attrs.iter().map(|(key, value)| key.len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lie_in_the_text_and_cut_no_character() {
        let check = |start, end, expected: &str| {
            let got = span(Span::new(start, end), "aé日").err().unwrap_or_default();
            assert!(
                got.contains(expected) && got.is_empty() == expected.is_empty(),
                "{start}..{end}: {got}"
            );
        };
        check(0, 6, "");
        check(1, 1, "");
        check(6, 6, "");
        check(2, 1, "ends before");
        check(0, 7, "reaches past");
        check(u32::MAX, u32::MAX, "reaches past");
        check(0, 2, "cuts the character at 2");
        check(4, 6, "cuts the character at 4");
    }

    #[test]
    fn keys_are_lower_case_words() {
        for key in ["title", "media-type", "entity.person", "h2"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "Title", "a b", "a..b", "-a", "a-", "ä", &"x".repeat(129)] {
            assert!(!is_key(key), "{key}");
        }
    }
}
