//! Reads tables of comma-separated values (RFC 4180). The text stays as it is, so that citations quote the file itself.

use ibid_plugin::{Attr, Draft, Extractor, Failure, Settings, Unit, Upload};
use serde::Deserialize;
use std::ops::Range;

/// The settings: `config.schema.json` as a struct.
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

impl Settings for Config {}

/// The extractor: its settings are all that it keeps.
struct Plugin(Config);

ibid_plugin::extractor!(Plugin);

impl Extractor for Plugin {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    fn extract(&self, upload: &impl Upload, draft: &mut impl Draft) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for window in upload.windows(4 << 20) {
            bytes.extend_from_slice(&window);
            draft.progress(bytes.len() as f32 / upload.len() as f32 / 2.0);
        }
        let text =
            String::from_utf8(bytes).map_err(|_| Failure::malformed("The file is not UTF-8: save it as UTF-8 and upload it again."))?;
        let rows = rows(&text);
        draft.write(&text);
        // Each row names the header that it stands under: chunkers and answers keep the two together.
        let header = rows.first();
        let units: Vec<Unit> = rows
            .iter()
            .map(|row| Unit::new("table-row", row.clone()).with_title(header.cloned()))
            .collect();
        draft.add_units(&units);
        let width = header.and_then(|row| text.get(row.clone())).map_or(0, |row| columns(row, &self.0));
        draft.add_attrs(&[
            Attr::new("rows", rows.len().saturating_sub(1).to_string()),
            Attr::new("columns", width.to_string()),
        ]);
        Ok(())
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
    use ibid_plugin::testing::{Collected, File};

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

    #[test]
    fn rows_are_units_under_their_header() {
        let mut draft = Collected::default();
        let plugin = Plugin::open("{}").unwrap();
        plugin.extract(&File::new("name,note\nAnn,two\n"), &mut draft).unwrap();
        let row = &draft.units[1];
        assert_eq!(draft.at(row.at), Some("Ann,two"));
        assert_eq!(row.title.and_then(|at| draft.at(at)), Some("name,note"));
        assert_eq!((draft.attr("rows"), draft.attr("columns")), (Some("1"), Some("2")));
        assert_eq!(plugin.extract(&File::new([0xff]), &mut draft).unwrap_err().code, "MALFORMED");
    }
}
