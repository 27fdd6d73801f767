//! The plugin's settings: `config.schema.json` as a struct.

use ibid_plugin::Settings;
use serde::Deserialize;

/// How documents are divided into chunks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most tokens of a chunk: 20 to 2,000.
    pub max_tokens: u32,
    /// A shorter chunk, in tokens, is not ended by a change of subject.
    pub min_tokens: u32,
    /// The percentage of boundaries between sentences that count as changes of subject: 1 to 99.
    pub percentile: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_tokens: 200,
            min_tokens: 40,
            percentile: 25,
        }
    }
}

impl Settings for Config {
    fn check(&self) -> Result<(), String> {
        let Self {
            max_tokens,
            min_tokens,
            percentile,
        } = self;
        if !(20..=2_000).contains(max_tokens) {
            return Err(format!("max_tokens: must be 20 to 2000, not {max_tokens}"));
        }
        if min_tokens > max_tokens {
            return Err(format!(
                "min_tokens: must be no more than `max_tokens` ({max_tokens}), not {min_tokens}"
            ));
        }
        if !(1..=99).contains(percentile) {
            return Err(format!("percentile: must be 1 to 99, not {percentile}"));
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
        assert!(Config::parse(r#"{"max_tokens": 1}"#).unwrap_err().message.contains("max_tokens"));
        assert!(Config::parse(r#"{"min_tokens": 300}"#).unwrap_err().message.contains("min_tokens"));
        assert!(Config::parse(r#"{"percentile": 0}"#).unwrap_err().message.contains("percentile"));
        assert!(Config::parse(r#"{"tokens": 2}"#).unwrap_err().message.contains("tokens"));
    }
}
