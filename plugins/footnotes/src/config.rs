//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// How citations are written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether a note names the headings above the passage.
    pub section: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { section: true }
    }
}

impl Settings for Config {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_names_the_key_that_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config { section: true }));
        assert_eq!(Config::parse(r#"{"section": false}"#), Ok(Config { section: false }));
        assert!(Config::parse(r#"{"section": 1}"#).unwrap_err().message.contains("section"));
    }
}
