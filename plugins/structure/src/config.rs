//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// How documents are divided into chunks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most tokens of a chunk, 16 to 8192.
    pub max_tokens: u32,
    /// A section's introduction with fewer tokens is joined with the text after it.
    pub min_tokens: u32,
    /// The context of a chunk.
    pub context: Context,
}

/// The context of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Context {
    /// The path of headings above it and the header of its table.
    Headings,
    /// Nothing.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_tokens: 240,
            min_tokens: 40,
            context: Context::Headings,
        }
    }
}

impl Settings for Config {
    fn check(&self) -> Result<(), String> {
        match self.max_tokens {
            16..=8192 => Ok(()),
            other => Err(format!("max_tokens is {other}, but must be from 16 to 8192")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_names_the_key_that_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config::default()));
        assert_eq!(
            Config::parse(r#"{"max_tokens": 16, "context": "none"}"#).unwrap().context,
            Context::None
        );
        for (json, key) in [
            (r#"{"max_tokens": 5}"#, "max_tokens"),
            (r#"{"min_tokens": -1}"#, "min_tokens"),
            (r#"{"context": "all"}"#, "context"),
            (r#"{"size": 5}"#, "size"),
        ] {
            let error = Config::parse(json).unwrap_err().message;
            assert!(error.contains(key), "{error}");
        }
    }
}
