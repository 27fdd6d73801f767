//! The plugin's configuration: `config.schema.json` in Rust.

use serde::Deserialize;

/// How questions are searched for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Searches at most, 1 to 8.
    pub max_searches: usize,
    /// Whether questions are searched for in other words as well: abbreviations spelled out, figures by their rows.
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

impl Config {
    /// Reads a JSON object; what is absent has its default.
    ///
    /// # Errors
    /// One sentence that names the key that is wrong.
    pub fn parse(json: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(json);
        let config: Self = serde_path_to_error::deserialize(&mut json).map_err(|e| format!("config: {e}"))?;
        if !(1..=8).contains(&config.max_searches) {
            return Err(format!("config: max_searches is {}, it must be from 1 to 8", config.max_searches));
        }
        Ok(config)
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
            let error = Config::parse(json).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }
}
