//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// There is nothing to configure: the empty object is the only one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Settings for Config {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config {}));
        assert!(Config::parse(r#"{"encoding": "utf-7"}"#).unwrap_err().message.contains("encoding"));
        assert!(Config::parse("").is_err());
    }
}
