//! The plugin's configuration: `config.schema.json` in Rust.

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
        assert_eq!(Config::parse("{}"), Ok(Config { section: true }));
        assert_eq!(Config::parse(r#"{"section": false}"#), Ok(Config { section: false }));
        assert!(Config::parse(r#"{"section": 1}"#).unwrap_err().contains("section"));
    }
}
