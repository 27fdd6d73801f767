//! What can be wrong with settings. Each message names the key, where it was set, and the remedy.

use std::path::PathBuf;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The settings file cannot be read.
    #[error("cannot read the settings file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The settings file is not TOML.
    #[error("the settings file {} is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        message: String,
    },
    /// There is no such key.
    #[error("{origin}: there is no setting `{key}`{}; `ibid config` lists all of them", suggestion(meant))]
    UnknownKey {
        /// The key or variable as it was written.
        key: String,
        /// Where it was written.
        origin: String,
        /// What was probably meant.
        meant: Option<String>,
    },
    /// The value cannot be what the key stands for.
    #[error("{origin}: `{key}` {issue}")]
    Invalid {
        /// The key.
        key: String,
        /// Where the value was written.
        origin: String,
        /// What is wrong and what would be right.
        issue: String,
    },
}

fn suggestion(meant: &Option<String>) -> String {
    meant
        .as_ref()
        .map(|meant| format!(" (did you mean `{meant}`?)"))
        .unwrap_or_default()
}
