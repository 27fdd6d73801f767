//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// How citations are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Style of the markers.
    pub style: Style,
    /// Whether a list of the sources ends the answer.
    pub list: bool,
}

/// A style of markers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// ` [1][2]`
    #[default]
    Brackets,
    /// Superscript digits.
    Superscript,
}

impl Settings for Config {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_defaults() {
        let plain = Config {
            style: Style::Brackets,
            list: false,
        };
        assert_eq!(Config::parse("{}"), Ok(plain));
        let other = Config {
            style: Style::Superscript,
            list: true,
        };
        assert_eq!(Config::parse(r#"{"style": "superscript", "list": true}"#), Ok(other));
    }

    #[test]
    fn names_the_key_that_is_wrong() {
        assert!(Config::parse(r#"{"style": "roman"}"#).unwrap_err().message.contains("style"));
        assert!(Config::parse(r#"{"list": 1}"#).unwrap_err().message.contains("list"));
        assert!(Config::parse(r#"{"lists": true}"#).unwrap_err().message.contains("lists"));
    }
}
