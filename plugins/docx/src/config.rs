//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// How Word documents are read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether footnotes and endnotes are text, after the text of the document.
    pub footnotes: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { footnotes: true }
    }
}

impl Settings for Config {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_names_the_key_that_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config::default()));
        assert_eq!(Config::parse(r#"{"footnotes": false}"#), Ok(Config { footnotes: false }));
        assert!(Config::parse(r#"{"footnotes": 1}"#).unwrap_err().message.contains("footnotes"));
        assert!(Config::parse(r#"{"notes": true}"#).unwrap_err().message.contains("notes"));
    }
}
