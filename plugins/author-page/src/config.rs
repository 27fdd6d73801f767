//! The plugin's configuration: `config.schema.json` in Rust.

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

impl Config {
    /// Reads a JSON object; what is absent has its default.
    ///
    /// # Errors
    /// One sentence that names the key that is wrong.
    pub fn parse(json: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(json);
        serde_path_to_error::deserialize(&mut json).map_err(|e| format!("config: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_names_the_key_that_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config::default()));
        assert_eq!(Config::parse(r#"{"year": false}"#), Ok(Config { year: false, list: true }));
        assert!(Config::parse(r#"{"list": 1}"#).unwrap_err().contains("list"));
        assert!(Config::parse(r#"{"style": "x"}"#).unwrap_err().contains("style"));
    }
}
