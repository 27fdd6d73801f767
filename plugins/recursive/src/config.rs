//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::{Failure, Settings};
use serde::Deserialize;

/// How documents are divided into chunks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The size of a full chunk in tokens, 16 to 8192.
    pub target_tokens: u32,
    /// The tokens that a chunk repeats from the one before it, at most half of `target_tokens`.
    pub overlap_tokens: u32,
    /// The fewest tokens in a chunk, if possible.
    pub min_tokens: u32,
    /// The context of a chunk.
    pub context: Context,
}

/// The context of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Context {
    /// The headings above it and the header of its table.
    Headings,
    /// Nothing.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target_tokens: 200,
            overlap_tokens: 30,
            min_tokens: 100,
            context: Context::Headings,
        }
    }
}

impl Settings for Config {
    fn check(&self) -> Result<(), String> {
        let (overlap, target) = (self.overlap_tokens, self.target_tokens);
        if !(16..=8192).contains(&target) {
            return Err(format!("target_tokens is {target}, but must be from 16 to 8192"));
        }
        if overlap > target / 2 {
            return Err(format!(
                "overlap_tokens is {overlap}, but must be at most half of target_tokens, which is {target}"
            ));
        }
        Ok(())
    }

    fn parse(json: &str) -> Result<Self, Failure> {
        let invalid = |error: String| Failure::invalid_config(format!("config: {error}"));
        let json: serde_json::Value = serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?;
        let has_overlap = json.get("overlap_tokens").is_some();
        let mut config: Self = serde_path_to_error::deserialize(json).map_err(|e| invalid(e.to_string()))?;
        if !has_overlap {
            // A user who sets small chunks need not know that the default overlap is too large for them.
            config.overlap_tokens = config.overlap_tokens.min(config.target_tokens / 2);
        }
        config.check().map_err(invalid)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_defaults() {
        assert_eq!(Config::parse("{}"), Ok(Config::default()));
        assert_eq!(Config::parse(r#"{"target_tokens": 16}"#).unwrap().overlap_tokens, 8);
        let config = Config::parse(r#"{"target_tokens": 64, "overlap_tokens": 0, "context": "none"}"#).unwrap();
        assert_eq!(
            (config.target_tokens, config.overlap_tokens, config.context),
            (64, 0, Context::None)
        );
    }

    #[test]
    fn names_the_key_that_is_wrong() {
        for (json, key) in [
            (r#"{"target_tokens": 5}"#, "target_tokens"),
            (r#"{"target_tokens": "many"}"#, "target_tokens"),
            (r#"{"overlap_tokens": 101}"#, "overlap_tokens"),
            (r#"{"min_tokens": -1}"#, "min_tokens"),
            (r#"{"context": "all"}"#, "context"),
            (r#"{"size": 5}"#, "size"),
        ] {
            let error = Config::parse(json).unwrap_err().message;
            assert!(error.contains(key), "{error}");
        }
    }
}
