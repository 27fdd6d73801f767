//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// How documents are divided into chunks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The sentences in a chunk: 1 to 100.
    pub sentences: usize,
    /// The sentences that adjacent chunks share: fewer than [`Self::sentences`].
    pub overlap: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { sentences: 5, overlap: 1 }
    }
}

impl Settings for Config {
    fn check(&self) -> Result<(), String> {
        let Self { sentences, overlap } = self;
        if !(1..=100).contains(sentences) {
            return Err(format!("sentences: must be 1 to 100, not {sentences}"));
        }
        if overlap >= sentences {
            return Err(format!("overlap: must be less than `sentences` ({sentences}), not {overlap}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_names_the_key_that_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config::default()));
        assert_eq!(Config::parse(r#"{"sentences": 3}"#), Ok(Config { sentences: 3, overlap: 1 }));
        assert!(Config::parse(r#"{"sentences": 0}"#).unwrap_err().message.contains("sentences"));
        assert!(
            Config::parse(r#"{"sentences": 2, "overlap": 2}"#)
                .unwrap_err()
                .message
                .contains("overlap")
        );
        assert!(Config::parse(r#"{"size": 2}"#).unwrap_err().message.contains("size"));
    }
}
