//! The description of a model directory: `ibid-model.json`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    io::{self, Read},
    path::Path,
};

pub use ibid_encoder::{Activation, Head, Pooling};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::EmbedError;

/// The graph with its weights.
pub(super) const MODEL_FILE: &str = "model.onnx";
/// The tokenizer, in the format of Hugging Face's library of that name.
pub(super) const TOKENIZER_FILE: &str = "tokenizer.json";

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Turns a text into a vector.
    #[default]
    Embedding,
    /// Scores a passage for a question, both read at once: a cross-encoder.
    Reranker,
}

impl ModelKind {
    /// Returns its name in the API and in `ibid-model.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Reranker => "reranker",
        }
    }

    /// Returns its name with an article, for messages.
    #[must_use]
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Embedding => "an embedding model",
            Self::Reranker => "a reranker",
        }
    }

    fn is_embedding(&self) -> bool {
        *self == Self::Embedding
    }
}

/// The shape of an encoder of the BERT family, from which graphs are built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// The number of layers.
    pub layers: usize,
    /// The number of attention heads in each layer.
    pub heads: usize,
    /// Components of a token's vector; a multiple of `heads`.
    pub hidden: usize,
    /// Components between the two steps of a layer's feed-forward part.
    pub inner: usize,
    /// Rows of the table of words.
    pub vocabulary: usize,
    /// The longest text, in tokens.
    pub positions: usize,
    /// Rows of the published table of types; 0 where there is none.
    pub types: usize,
    /// Added to the variance in a normalisation, before the square root.
    pub epsilon: f32,
    /// The function between the two steps of a layer's feed-forward part.
    pub activation: Activation,
    /// Whether attention scores have a bias by distance, as MPNet's do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distance_bias: bool,
    /// For a reranker, the function between the two layers that score the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
}

/// How to run a ready ONNX model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// The output to read.
    pub output: String,
    /// Whether the output holds texts' vectors; otherwise it holds tokens' vectors, which must be pooled.
    pub pooled: bool,
    /// SHA-256 of each file beside `model.onnx` that holds weights of it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub external: BTreeMap<String, String>,
}

/// A model's description, as the converter writes it. Equal hashes mean equal vectors, or scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// The version of this description: [`ModelInfo::FORMAT`].
    pub format: u32,
    /// The model's name, such as `all-MiniLM-L6-v2`.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "ModelKind::is_embedding")]
    pub kind: ModelKind,
    /// Components of a vector, at least 1; for a reranker 1, the score.
    pub dimension: usize,
    /// The most tokens of a text that the model reads, special tokens included; the rest is cut off. At least 3.
    pub max_tokens: usize,
    /// How tokens' vectors are pooled; graphs of the converter do it themselves.
    pub pooling: Pooling,
    /// Whether vectors come out with length 1, so that the dot product is the cosine.
    pub normalized: bool,
    /// SHA-256 of `model.onnx`, in lower-case hexadecimal digits.
    pub model_sha256: String,
    /// SHA-256 of `tokenizer.json`, in the same form.
    pub tokenizer_sha256: String,
    /// SHA-256 of the weights that the model was converted from, in the same form.
    pub source_sha256: String,
    /// The converter's version, see [`super::convert::CONVERTER_VERSION`].
    pub converter: u32,
    /// The prefix of a question that the model was trained with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query_prefix: String,
    /// The prefix of a passage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub document_prefix: String,
    /// Whether texts are converted to lower case before they are tokenised.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lowercase: bool,
    /// What the graph was built from; other precisions need it. Absent in ready models, and in descriptions of format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// Present if another producer made `model.onnx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
}

impl ModelInfo {
    /// The version of the description that this program writes. It reads all from 1 on.
    pub const FORMAT: u32 = 3;
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
        if !(1..=Self::FORMAT).contains(&info.format) {
            return Err(invalid(format!(
                "its format is {}, but this program reads 1 to {}",
                info.format,
                Self::FORMAT
            )));
        }
        if !(1..=1 << 14).contains(&info.dimension) {
            return Err(invalid(format!("dimension is {}", info.dimension)));
        }
        if info.kind == ModelKind::Reranker && info.dimension != 1 {
            return Err(invalid(format!("it is a reranker, and its dimension is {}", info.dimension)));
        }
        if !(3..=1 << 17).contains(&info.max_tokens) {
            return Err(invalid(format!("max_tokens is {}", info.max_tokens)));
        }
        if let Some(name) = info
            .ready
            .iter()
            .flat_map(|ready| ready.external.keys())
            .find(|name| !is_plain(name))
        {
            return Err(invalid(format!("external file {name}")));
        }
        if let Some(architecture) = &info.architecture {
            let makes = match info.kind {
                ModelKind::Embedding => architecture.head.is_none() && architecture.hidden == info.dimension,
                ModelKind::Reranker => architecture.head.is_some(),
            };
            let fits = makes
                && ![architecture.heads, architecture.hidden, architecture.inner, architecture.vocabulary].contains(&0)
                && architecture.hidden.is_multiple_of(architecture.heads)
                && (info.max_tokens..=1 << 17).contains(&architecture.positions)
                && architecture.layers <= 256
                && architecture.inner <= 1 << 17
                && architecture.vocabulary <= 1 << 22;
            if !fits {
                return Err(invalid("its architecture does not fit its other numbers".to_owned()));
            }
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

/// Returns whether a name is that of a file in the directory itself.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}

/// Checks the file against the hash in its description, so that a damaged model fails rather than embeds wrongly.
pub(super) fn verify(path: &Path, expected: &str) -> Result<(), EmbedError> {
    let found = file_sha256(path).map_err(|source| EmbedError::file(path, source))?;
    if found == expected {
        return Ok(());
    }
    let reason = format!("its SHA-256 is {found}, but {} says {expected}", ModelInfo::FILE);
    Err(EmbedError::ModelInvalid {
        path: path.to_owned(),
        reason,
    })
}

/// Returns the SHA-256 of a file of any size, in lower-case hexadecimal digits.
pub(super) fn file_sha256(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex(&digest.finalize())),
            length => digest.update(block.get(..length).unwrap_or_default()),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
