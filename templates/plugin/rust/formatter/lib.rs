//! Marks citations by letters: ` [a]`, ` [b]`, ..., ` [aa]`.

use ibid_plugin::{Failure, Formatter, Settings, Source};
use serde::Deserialize;

/// The settings: `config.schema.json` as a struct.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Whether letters are capital.
    pub capital: bool,
}

impl Settings for Config {}

/// The formatter: its settings are all that it keeps.
struct Plugin(Config);

ibid_plugin::formatter!(Plugin);

impl Formatter for Plugin {
    fn open(config: &str) -> Result<Self, Failure> {
        Config::parse(config).map(Self)
    }

    /// Follows each statement, with the passages that support it.
    fn mark(&self, cited: &[Source]) -> Result<String, Failure> {
        let letters: Vec<String> = cited.iter().map(|source| letters(source.citation_id, &self.0)).collect();
        Ok(format!(" [{}]", letters.join(", ")))
    }

    /// The reference for a list of sources, as clients show it.
    fn entry(&self, cited: &Source) -> Result<String, Failure> {
        let page = cited.page.map(|page| format!(", p. {page}")).unwrap_or_default();
        Ok(format!("[{}] {}{page}", letters(cited.citation_id, &self.0), cited.name))
    }
}

/// The letters of a number from 1: a to z, then aa, ab and so on.
pub fn letters(number: u32, config: &Config) -> String {
    let mut rest = number;
    let mut letters = Vec::new();
    while rest > 0 {
        rest -= 1;
        let first = if config.capital { b'A' } else { b'a' };
        letters.push(char::from(first + (rest % 26) as u8));
        rest /= 26;
    }
    letters.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_letters() {
        let check = |number, expected| assert_eq!(letters(number, &Config::default()), expected);
        check(1, "a");
        check(26, "z");
        check(27, "aa");
        check(703, "aaa");
        assert_eq!(letters(2, &Config { capital: true }), "B");
    }

    #[test]
    fn references_name_file_and_page() {
        let source = Source {
            citation_id: 2,
            name: "report.pdf".to_owned(),
            page: Some(15),
            ..Source::default()
        };
        let plugin = Plugin::open("{}").unwrap();
        assert_eq!(plugin.entry(&source), Ok("[b] report.pdf, p. 15".to_owned()));
        assert_eq!(plugin.mark(&[source]), Ok(" [b]".to_owned()));
    }
}
