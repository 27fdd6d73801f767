//! Reads YAML front matter, as far as it is metadata: scalar values of known keys.
//!
//! This is not a YAML parser: nested values are skipped.

/// The longest front matter, in bytes.
const LONGEST: usize = 64 << 10;

/// The keys of front matter, and their names in the contract.
const KEYS: [(&str, &str); 8] = [
    ("title", "title"),
    ("author", "author"),
    ("date", "created"),
    ("created", "created"),
    ("lang", "language"),
    ("language", "language"),
    ("subject", "subject"),
    ("description", "subject"),
];

/// The metadata at the start of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FrontMatter {
    /// Its length in bytes, including its closing line; 0 if there is none.
    pub len: usize,
    /// The contract's names of the keys, with their values.
    pub attrs: Vec<(&'static str, String)>,
}

/// Reads the front matter that `text` starts with: lines of YAML between `---` and `---` or `...`.
pub fn front_matter(text: &str) -> FrontMatter {
    let mut found = FrontMatter::default();
    let mut lines = text.split_inclusive('\n');
    match lines.next() {
        Some(first) if first.trim_end() == "---" => found.len = first.len(),
        _ => return FrontMatter::default(),
    }
    for line in lines {
        found.len += line.len();
        if found.len > LONGEST {
            break;
        }
        let content = line.trim_end();
        if content == "---" || content == "..." {
            return found;
        }
        // A line in another form means that the `---` above was a rule, not front matter.
        if content.is_empty() || content.starts_with(['#', ' ', '\t', '-']) {
            continue;
        }
        let Some((key, value)) = content.split_once(':') else { break };
        if key.contains(char::is_whitespace) || !(value.is_empty() || value.starts_with([' ', '\t'])) {
            break;
        }
        let value = unquote(value.trim());
        let known = KEYS.iter().find(|(name, _)| key.eq_ignore_ascii_case(name));
        if let (Some((_, name)), Some(value)) = (known, value)
            && !found.attrs.iter().any(|(other, _)| other == name)
        {
            found.attrs.push((name, value));
        }
    }
    FrontMatter::default()
}

/// Returns a scalar without its quotes or comment; none if it is empty or not a plain scalar.
fn unquote(value: &str) -> Option<String> {
    let inner = |quote| {
        value
            .strip_prefix(quote)
            .and_then(|rest: &str| rest.split_once(quote))
            .map(|(inner, _)| inner)
    };
    let plain = match value.chars().next()? {
        '"' => inner('"')?,
        '\'' => inner('\'')?,
        '[' | '{' | '|' | '>' | '&' | '*' | '!' | '#' => return None,
        _ => value.split_once(" #").map_or(value, |(value, _)| value),
    };
    Some(plain.trim()).filter(|plain| !plain.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, len: usize, attrs: &[(&'static str, &str)]) {
        let found = front_matter(text);
        let found_attrs: Vec<_> = found.attrs.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!((found.len, found_attrs.as_slice()), (len, attrs), "{text}");
    }

    #[test]
    fn reads_scalars() {
        let text = "---\ntitle: \"A: title\"\nauthor: Ann Lee # me\ntags:\n  - one\ndate: 2024-05-01\n---\nText";
        check(
            text,
            text.len() - 4,
            &[("title", "A: title"), ("author", "Ann Lee"), ("created", "2024-05-01")],
        );
        check("---\r\ntitle: 'One'\r\n...\r\n", 24, &[("title", "One")]);
        let nothing = "---\ntitle: [no, scalar]\ntitle:\n---";
        check(nothing, nothing.len(), &[]);
    }

    #[test]
    fn a_rule_is_no_front_matter() {
        check("---\nSome text: with a colon\n---\n", 0, &[]);
        check("---\ntitle: never closed\n", 0, &[]);
        check("# Title\n---\ntitle: late\n---\n", 0, &[]);
        check("", 0, &[]);
    }

    proptest! {
        #[test]
        fn stays_inside_the_text(text in "(---\n|\\.\\.\\.\n|title: |'|\"|é|a|:| |\n|#){0,20}") {
            prop_assert!(text.is_char_boundary(front_matter(&text).len));
        }
    }
}
