//! The plugin's configuration: `config.schema.json` in Rust.

use serde::Deserialize;

/// How web pages are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether menus, sidebars and footers are text as well.
    pub navigation: bool,
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
        assert_eq!(Config::parse(r#"{"navigation": true}"#), Ok(Config { navigation: true }));
        assert!(Config::parse(r#"{"navigation": 1}"#).unwrap_err().contains("navigation"));
        assert!(Config::parse(r#"{"menus": true}"#).unwrap_err().contains("menus"));
    }
}
