//! The plugin's configuration: `config.schema.json` in Rust.

use serde::Deserialize;

/// There is nothing to configure: the empty object is the only one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Config {
    /// Reads a JSON object.
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
    use super::Config;

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config {}));
        assert!(Config::parse(r#"{"encoding": "utf-7"}"#).unwrap_err().contains("encoding"));
        assert!(Config::parse("").is_err());
    }
}
