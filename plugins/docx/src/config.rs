//! The plugin's configuration: `config.schema.json` in Rust.

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
        assert_eq!(Config::parse(r#"{"footnotes": false}"#), Ok(Config { footnotes: false }));
        assert!(Config::parse(r#"{"footnotes": 1}"#).unwrap_err().contains("footnotes"));
        assert!(Config::parse(r#"{"notes": true}"#).unwrap_err().contains("notes"));
    }
}
