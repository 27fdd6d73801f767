//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// How citations are written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the year follows the author.
    pub year: bool,
    /// Whether a list of the sources ends the answer.
    pub list: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { year: true, list: true }
    }
}

impl Settings for Config {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_names_the_key_that_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config::default()));
        assert_eq!(Config::parse(r#"{"year": false}"#), Ok(Config { year: false, list: true }));
        assert!(Config::parse(r#"{"list": 1}"#).unwrap_err().message.contains("list"));
        assert!(Config::parse(r#"{"style": "x"}"#).unwrap_err().message.contains("style"));
    }
}
