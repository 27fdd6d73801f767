//! Reads tables of comma-separated values (RFC 4180). The text stays as it is, so that citations quote the file itself.

#[cfg(target_arch = "wasm32")]
mod component;

use serde::Deserialize;
use std::ops::Range;

/// The settings: `config.schema.json` in Rust.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What stands between the values of a row.
    pub separator: char,
}

impl Default for Config {
    fn default() -> Self {
        Self { separator: ',' }
    }
}

/// Where the rows of a table stand: bytes, without the line break. A line break between quotation marks ends no row.
pub fn rows(text: &str) -> Vec<Range<usize>> {
    let mut rows = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    let mut add = |row: Range<usize>| {
        let content = text[row.clone()].trim_end_matches(['\r', '\n']);
        if !content.trim().is_empty() {
            rows.push(row.start..row.start + content.len());
        }
    };
    for (at, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '\n' if !quoted => {
                add(start..at + 1);
                start = at + 1;
            }
            _ => {}
        }
    }
    add(start..text.len());
    rows
}

/// How many values a row has.
pub fn columns(row: &str, config: &Config) -> usize {
    let mut quoted = false;
    1 + row
        .chars()
        .filter(|character| {
            quoted ^= *character == '"';
            *character == config.separator && !quoted
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_may_hold_line_breaks_in_quotation_marks() {
        let text = "name,note\r\nAnn,\"two\nlines\"\n\nJürgen,日本";
        let found: Vec<&str> = rows(text).into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, ["name,note", "Ann,\"two\nlines\"", "Jürgen,日本"]);
    }

    #[test]
    fn separators_in_quotation_marks_separate_nothing() {
        assert_eq!(columns("a,\"b,c\",d", &Config::default()), 3);
        assert_eq!(columns("a;b", &Config { separator: ';' }), 2);
    }
}
