//! Errors of conversions.

use std::path::{Path, PathBuf};

/// Why a model could not be converted. Each message names the file, and the key or weight in it.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A file is missing, cannot be read, or cannot be written.
    #[error("{}: {source}{}", path.display(), lacking(source))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A configuration file is not valid JSON of the expected form.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// The model needs something that the converter does not support.
    #[error("{}: {key} is {value}: {reason}", path.display())]
    Unsupported {
        /// The configuration file.
        path: PathBuf,
        /// The key in it.
        key: String,
        /// Its value, as JSON.
        value: String,
        /// What is supported.
        reason: String,
    },
    /// A weight is missing, or has a shape or type that does not fit the configuration.
    #[error("{}: weight {name}: {reason}", path.display())]
    Weight {
        /// The weights' file.
        path: PathBuf,
        /// The weight's name; `*` means the whole file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer cannot be used with this model.
    #[error("{}: {reason}", path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An ONNX file cannot be used.
    #[error("{}: {reason}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The target's last component is not a usable model name.
    #[error("{}: the target must end in the model's name, in UTF-8", path.display())]
    Target {
        /// The target as given.
        path: PathBuf,
    },
}

/// Returns a hint to what a model directory must have, for a file that is missing.
fn lacking(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            ". A model's directory has config.json, tokenizer.json and model.safetensors, or an ONNX model in the place of the last, as a hub gives them"
        }
        _ => "",
    }
}

impl ConvertError {
    /// Returns a stable name for the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "MODEL_IO",
            Self::Json { .. } => "MODEL_CONFIG_INVALID",
            Self::Unsupported { .. } => "MODEL_UNSUPPORTED",
            Self::Weight { .. } => "MODEL_WEIGHTS_INVALID",
            Self::Tokenizer { .. } => "MODEL_TOKENIZER_INVALID",
            Self::Onnx { .. } => "MODEL_ONNX_INVALID",
            Self::Target { .. } => "MODEL_TARGET_INVALID",
        }
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn weight(path: &Path, name: &str, reason: impl Into<String>) -> Self {
        Self::Weight {
            path: path.to_owned(),
            name: name.to_owned(),
            reason: reason.into(),
        }
    }
}
