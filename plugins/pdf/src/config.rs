//! The plugin's options.

use serde::Deserialize;

use crate::failure::Failure;
use crate::layout::CellSeparator;
use crate::limits::Limits;

/// Options of an extraction.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bounds on the work.
    pub limits: Limits,
    /// What separates the cells of a table's row.
    pub cell_separator: CellSeparator,
    /// Whether form fields and other visible annotations are read.
    pub annotations: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            limits: Limits::default(),
            cell_separator: CellSeparator::Space,
            annotations: true,
        }
    }
}

/// `config.schema.json` as a type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    max_file_mb: Option<u64>,
    max_pages: Option<usize>,
    cell_separator: Option<Separator>,
    annotations: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Separator {
    Space,
    Tab,
}

impl Config {
    /// Reads the JSON object that the plugin is opened with; empty text counts as `{}`.
    ///
    /// # Errors
    /// [`Failure::InvalidConfig`] for what `config.schema.json` does not admit.
    pub fn from_json(json: &str) -> Result<Config, Failure> {
        let json = if json.trim().is_empty() { "{}" } else { json };
        let options: Options = serde_json::from_str(json).map_err(|error| Failure::InvalidConfig(error.to_string()))?;
        let mut config = Config::default();
        if let Some(mb) = options.max_file_mb {
            if !(1..=2048).contains(&mb) {
                return Err(Failure::InvalidConfig("max_file_mb must be from 1 to 2048".into()));
            }
            config.limits.file_bytes = mb << 20;
        }
        if let Some(pages) = options.max_pages {
            if !(1..=1_000_000).contains(&pages) {
                return Err(Failure::InvalidConfig("max_pages must be from 1 to 1000000".into()));
            }
            config.limits.pages = pages;
        }
        if let Some(Separator::Tab) = options.cell_separator {
            config.cell_separator = CellSeparator::Tab;
        }
        config.annotations = options.annotations.unwrap_or(true);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        assert_eq!(Config::from_json("").expect("empty").limits.pages, Limits::default().pages);
        let config = Config::from_json(r#"{"cell_separator": "tab", "max_file_mb": 1}"#).expect("valid options");
        assert_eq!(config.cell_separator, CellSeparator::Tab);
        assert_eq!(config.limits.file_bytes, 1 << 20);
        for bad in [r#"{"colour": 1}"#, r#"{"max_pages": 0}"#, "[]", "{"] {
            let failure = Config::from_json(bad).expect_err(bad);
            assert_eq!(failure.code(), "INVALID_CONFIG");
        }
    }
}
