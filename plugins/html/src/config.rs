//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// How web pages are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether menus, sidebars and footers are text as well.
    pub navigation: bool,
}

impl Settings for Config {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_names_the_key_that_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config::default()));
        assert_eq!(Config::parse(r#"{"navigation": true}"#), Ok(Config { navigation: true }));
        assert!(Config::parse(r#"{"navigation": 1}"#).unwrap_err().message.contains("navigation"));
        assert!(Config::parse(r#"{"menus": true}"#).unwrap_err().message.contains("menus"));
    }
}
