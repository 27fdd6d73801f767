//! The plugin's configuration: `config.schema.json` in Rust.

use serde::Deserialize;

/// How documents are cut.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Sentences in a chunk: 1 to 100.
    pub sentences: usize,
    /// Sentences that neighbours share: fewer than [`Self::sentences`].
    pub overlap: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { sentences: 5, overlap: 1 }
    }
}

impl Config {
    /// Reads a JSON object; what is absent has its default.
    ///
    /// # Errors
    /// One sentence that names the key that is wrong.
    pub fn parse(json: &str) -> Result<Self, String> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let config: Self = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| format!("config: {e}"))?;
        if !(1..=100).contains(&config.sentences) {
            return Err(format!("config: sentences: must be 1 to 100, not {}", config.sentences));
        }
        if config.overlap >= config.sentences {
            let (overlap, sentences) = (config.overlap, config.sentences);
            return Err(format!(
                "config: overlap: must be less than `sentences` ({sentences}), not {overlap}"
            ));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_names_the_key_that_is_wrong() {
        assert_eq!(Config::parse("{}"), Ok(Config::default()));
        assert_eq!(Config::parse(r#"{"sentences": 3}"#), Ok(Config { sentences: 3, overlap: 1 }));
        assert!(Config::parse(r#"{"sentences": 0}"#).unwrap_err().contains("sentences"));
        assert!(Config::parse(r#"{"sentences": 2, "overlap": 2}"#).unwrap_err().contains("overlap"));
        assert!(Config::parse(r#"{"size": 2}"#).unwrap_err().contains("size"));
    }
}
