//! What a model directory says of itself: `ibid-model.json`.

use std::{fmt::Write, fs, io::Read, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::EmbedError;

/// The graph with its weights.
pub(super) const MODEL_FILE: &str = "model.onnx";
/// The tokenizer, in the format of Hugging Face's library of that name.
pub(super) const TOKENIZER_FILE: &str = "tokenizer.json";

/// How the vectors of a text's tokens become the text's vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over all tokens, padding aside.
    Mean,
    /// The first token's vector.
    Cls,
}

/// An embedding model's description, as written by the converter. Equal hashes mean equal vectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// The version of this description: [`ModelInfo::FORMAT`].
    pub format: u32,
    /// The model's name, such as `all-MiniLM-L6-v2`.
    pub name: String,
    /// Components of a vector; at least 1.
    pub dimension: usize,
    /// The most tokens of a text that are read, special tokens included; what follows is cut off. At least 3.
    pub max_tokens: usize,
    /// How tokens' vectors are pooled; done inside the graph.
    pub pooling: Pooling,
    /// Whether vectors come out with length 1, so that the dot product is the cosine.
    pub normalized: bool,
    /// SHA-256 of `model.onnx`, in lower-case hexadecimal digits.
    pub model_sha256: String,
    /// SHA-256 of `tokenizer.json`, likewise.
    pub tokenizer_sha256: String,
    /// SHA-256 of the weights that the model was converted from, likewise.
    pub source_sha256: String,
    /// The converter's version, see [`super::convert::CONVERTER_VERSION`].
    pub converter: u32,
}

impl ModelInfo {
    /// The version of the description that this program reads and writes.
    pub const FORMAT: u32 = 1;
    /// The description's file name in a model directory.
    pub const FILE: &str = "ibid-model.json";

    /// Reads the description in the model directory `directory`. Blocks.
    ///
    /// # Errors
    /// [`EmbedError::FileMissing`], [`EmbedError::Io`], or [`EmbedError::ModelInvalid`] when it cannot be used.
    pub fn read(directory: &Path) -> Result<Self, EmbedError> {
        let path = directory.join(Self::FILE);
        let bytes = fs::read(&path).map_err(|source| EmbedError::file(&path, source))?;
        let invalid = |reason: String| EmbedError::ModelInvalid {
            path: path.clone(),
            reason,
        };
        let info: Self = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        if info.format != Self::FORMAT {
            return Err(invalid(format!(
                "its format is {}, but this program reads {}",
                info.format,
                Self::FORMAT
            )));
        }
        if !(1..=1 << 14).contains(&info.dimension) {
            return Err(invalid(format!("dimension is {}", info.dimension)));
        }
        if !(3..=1 << 17).contains(&info.max_tokens) {
            return Err(invalid(format!("max_tokens is {}", info.max_tokens)));
        }
        Ok(info)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // A struct of strings and numbers always serialises.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// Checks that the file holds what its description says, so that a damaged model fails rather than embeds wrongly.
pub(super) fn verify(path: &Path, expected: &str) -> Result<(), EmbedError> {
    let mut file = fs::File::open(path).map_err(|source| EmbedError::file(path, source))?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut block).map_err(|source| EmbedError::file(path, source))?;
        if length == 0 {
            break;
        }
        digest.update(block.get(..length).unwrap_or_default());
    }
    let found = hex(&digest.finalize());
    if found == expected {
        return Ok(());
    }
    let reason = format!("its SHA-256 is {found}, but {} says {expected}", ModelInfo::FILE);
    Err(EmbedError::ModelInvalid {
        path: path.to_owned(),
        reason,
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
