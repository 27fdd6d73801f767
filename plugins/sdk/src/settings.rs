//! The settings of a plugin.

use crate::Failure;
use serde::{Deserialize, de::DeserializeOwned};

/// The settings of a plugin: `config.schema.json` as a struct.
///
/// The host has checked a pipeline's settings against the schema before it opens the plugin. What the schema cannot say is checked
/// here.
///
/// ```
/// use ibid_plugin::Settings;
/// use serde::Deserialize;
///
/// #[derive(Debug, Deserialize)]
/// #[serde(deny_unknown_fields, default)]
/// struct Config {
///     sentences: usize,
///     overlap: usize,
/// }
///
/// impl Default for Config {
///     fn default() -> Self {
///         Self { sentences: 5, overlap: 1 }
///     }
/// }
///
/// impl Settings for Config {
///     fn check(&self) -> Result<(), String> {
///         if self.overlap >= self.sentences {
///             return Err("overlap: must be less than `sentences`".to_owned());
///         }
///         Ok(())
///     }
/// }
///
/// assert_eq!(Config::parse("{}").unwrap().sentences, 5);
/// let failure = Config::parse(r#"{"overlap": 5}"#).unwrap_err();
/// assert_eq!(failure.code, "INVALID_CONFIG");
/// assert_eq!(failure.message, "config: overlap: must be less than `sentences`");
/// let failure = Config::parse(r#"{"overlap": "much"}"#).unwrap_err();
/// assert!(failure.message.starts_with("config: overlap: invalid type: string \"much\""));
/// ```
pub trait Settings: DeserializeOwned {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// One sentence that begins with the key that is wrong.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Parses the JSON object that a pipeline gives, and checks it.
    ///
    /// # Errors
    /// `INVALID_CONFIG` with a sentence that names the key that is wrong.
    fn parse(json: &str) -> Result<Self, Failure> {
        let mut json = serde_json::Deserializer::from_str(json);
        let settings: Self = serde_path_to_error::deserialize(&mut json).map_err(invalid)?;
        settings.check().map_err(invalid)?;
        Ok(settings)
    }
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::invalid_config(format!("config: {error}"))
}

/// The settings of a plugin that has none: only the empty object is valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
// A message speaks of the author's settings, not of this type.
#[serde(deny_unknown_fields, expecting = "struct Config")]
pub struct NoSettings {}

impl Settings for NoSettings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(NoSettings::parse("{}"), Ok(NoSettings {}));
        let failure = NoSettings::parse(r#"{"encoding": "utf-7"}"#).unwrap_err();
        assert!(failure.message.contains("encoding"), "{failure}");
        assert!(NoSettings::parse("").is_err());
    }
}
