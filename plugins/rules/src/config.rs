//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// How to search for a question.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most searches, 1 to 8.
    pub max_searches: usize,
    /// Whether to search for other words as well: abbreviations are spelled out, figures are searched for by their rows.
    pub expansion: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_searches: 3,
            expansion: true,
        }
    }
}

impl Settings for Config {
    fn check(&self) -> Result<(), String> {
        if !(1..=8).contains(&self.max_searches) {
            return Err(format!("max_searches is {}, but must be from 1 to 8", self.max_searches));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_defaults() {
        assert_eq!(
            Config::parse("{}"),
            Ok(Config {
                max_searches: 3,
                expansion: true
            })
        );
        assert_eq!(
            Config::parse(r#"{"max_searches": 1, "expansion": false}"#),
            Ok(Config {
                max_searches: 1,
                expansion: false
            })
        );
    }

    #[test]
    fn names_the_key_that_is_wrong() {
        for (json, key) in [
            (r#"{"max_searches": 0}"#, "max_searches"),
            (r#"{"expansion": "no"}"#, "expansion"),
            (r#"{"max": 1}"#, "max"),
        ] {
            let error = Config::parse(json).unwrap_err().message;
            assert!(error.contains(key), "{error}");
        }
    }
}
