//! Reads a model's configuration files into what the graph needs, and refuses what it cannot do.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{super::model::Pooling, ConvertError};

/// The shape of a BERT encoder and what follows it.
pub struct Settings {
    pub layers: usize,
    pub heads: usize,
    pub hidden: usize,
    pub inner: usize,
    pub vocabulary: usize,
    pub positions: usize,
    pub types: usize,
    pub epsilon: f32,
    pub activation: Activation,
    pub pooling: Pooling,
    pub normalized: bool,
    pub max_tokens: usize,
}

/// The function between a layer's two feed-forward steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The exact Gelu, by the error function.
    Gelu,
    /// Gelu by its tanh approximation; only for models that were trained with it.
    GeluTanh,
    Relu,
}

impl Settings {
    /// Reads `config.json`, `modules.json`, the pooling's configuration and `sentence_bert_config.json`.
    pub fn read(source: &Path) -> Result<Self, ConvertError> {
        let config = File::read(source.join("config.json"))?;
        config.must_be("model_type", &["bert"], "only the BERT architecture is converted")?;
        config.must_be_or_absent("position_embedding_type", &["absolute"], "only absolute positions are converted")?;
        for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
            config.must_not_be_set(key, "only encoders are converted")?;
        }
        let activation = match config.string("hidden_act")? {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            _ => return Err(config.unsupported("hidden_act", "gelu, gelu_new, gelu_pytorch_tanh or relu are converted")),
        };
        let hidden = config.size("hidden_size", 1 << 14)?;
        let heads = config.size("num_attention_heads", 1 << 10)?;
        if !hidden.is_multiple_of(heads) {
            return Err(config.unsupported("num_attention_heads", &format!("it must divide hidden_size, {hidden}")));
        }
        let positions = config.size("max_position_embeddings", 1 << 17)?;

        let (pooling_path, normalized) = modules(source)?;
        let pooling = pooling(&source.join(pooling_path).join("config.json"), hidden)?;
        let max_tokens = max_tokens(source, positions)?;
        prompts(source)?;
        Ok(Self {
            layers: config.size("num_hidden_layers", 256)?,
            heads,
            hidden,
            inner: config.size("intermediate_size", 1 << 17)?,
            vocabulary: config.size("vocab_size", 1 << 22)?,
            positions,
            types: config.size("type_vocab_size", 1 << 10)?,
            epsilon: config.epsilon("layer_norm_eps")?,
            activation,
            pooling,
            normalized,
            max_tokens,
        })
    }
}

/// The pooling's folder, and whether a Normalize module ends the chain.
fn modules(source: &Path) -> Result<(String, bool), ConvertError> {
    let path = source.join("modules.json");
    let list: Vec<Map<String, Value>> = parse(&path)?;
    let text = |module: &Map<String, Value>, key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kinds: Vec<String> = list
        .iter()
        .map(|module| text(module, "type").rsplit('.').next().unwrap_or_default().to_owned())
        .collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let (pooling, normalized) = match kinds.as_slice() {
        ["Transformer", "Pooling"] => (list.get(1), false),
        ["Transformer", "Pooling", "Normalize"] => (list.get(1), true),
        _ => {
            return Err(ConvertError::Unsupported {
                path,
                key: "type".to_owned(),
                value: format!("{kinds:?}"),
                reason: "Transformer, Pooling and an optional Normalize are converted, in this order".to_owned(),
            });
        }
    };
    if list.first().is_some_and(|module| !text(module, "path").is_empty()) {
        return Err(ConvertError::Unsupported {
            path,
            key: "path".to_owned(),
            value: list.first().map(|module| text(module, "path")).unwrap_or_default(),
            reason: "the Transformer must lie in the directory itself".to_owned(),
        });
    }
    let folder = pooling.map(|module| text(module, "path")).unwrap_or_default();
    if folder.is_empty() || folder.contains(['/', '\\']) || folder.starts_with('.') {
        return Err(ConvertError::Unsupported {
            path,
            key: "path".to_owned(),
            value: folder,
            reason: "the Pooling must lie in a folder of the directory".to_owned(),
        });
    }
    Ok((folder, normalized))
}

fn pooling(path: &Path, hidden: usize) -> Result<Pooling, ConvertError> {
    let file = File::read(path.to_owned())?;
    if file.size("word_embedding_dimension", 1 << 14)? != hidden {
        return Err(file.unsupported("word_embedding_dimension", &format!("it must equal hidden_size, {hidden}")));
    }
    let mut mode = None;
    for (key, value) in &file.keys {
        if !key.starts_with("pooling_mode_") || value != &Value::Bool(true) {
            continue;
        }
        let wanted = match key.as_str() {
            "pooling_mode_mean_tokens" => Pooling::Mean,
            "pooling_mode_cls_token" => Pooling::Cls,
            _ => return Err(file.unsupported(key, "mean and cls pooling are converted")),
        };
        if mode.replace(wanted).is_some() {
            return Err(file.unsupported(key, "only one pooling mode at a time is converted"));
        }
    }
    mode.ok_or_else(|| file.unsupported("pooling_mode_mean_tokens", "a mean or cls pooling mode must be on"))
}

/// A model without `sentence_bert_config.json` takes as many tokens as it has positions.
fn max_tokens(source: &Path, positions: usize) -> Result<usize, ConvertError> {
    let Some(file) = File::read_if_there(source.join("sentence_bert_config.json"))? else {
        return Ok(positions);
    };
    file.must_not_be_set("do_lower_case", "lower-casing belongs into tokenizer.json")?;
    if file.get("max_seq_length").is_none_or(Value::is_null) {
        return Ok(positions);
    }
    let length = file.size("max_seq_length", 1 << 17)?;
    // [CLS] and [SEP] take two places.
    if length < 3 || length > positions {
        let reason = format!("it must be between 3 and max_position_embeddings, {positions}");
        return Err(file.unsupported("max_seq_length", &reason));
    }
    Ok(length)
}

/// A model that was trained with prompts gives poor vectors without them.
fn prompts(source: &Path) -> Result<(), ConvertError> {
    let Some(file) = File::read_if_there(source.join("config_sentence_transformers.json"))? else {
        return Ok(());
    };
    if file.get("default_prompt_name").is_some_and(|value| !value.is_null()) {
        return Err(file.unsupported("default_prompt_name", "prompts are not applied"));
    }
    file.must_be_or_absent("similarity_fn_name", &["cosine", "dot"], "similarity is cosine or dot product")
}

/// One JSON object on disk, so that an error can name file and key.
struct File {
    path: PathBuf,
    keys: Map<String, Value>,
}

impl File {
    fn read(path: PathBuf) -> Result<Self, ConvertError> {
        let keys = parse(&path)?;
        Ok(Self { path, keys })
    }

    fn read_if_there(path: PathBuf) -> Result<Option<Self>, ConvertError> {
        match Self::read(path) {
            Err(ConvertError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key)
    }

    fn unsupported(&self, key: &str, reason: &str) -> ConvertError {
        ConvertError::Unsupported {
            path: self.path.clone(),
            key: key.to_owned(),
            value: self.get(key).map_or_else(|| "absent".to_owned(), Value::to_string),
            reason: reason.to_owned(),
        }
    }

    fn string(&self, key: &str) -> Result<&str, ConvertError> {
        self.get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| self.unsupported(key, "a string is needed"))
    }

    /// A whole number of at least 1 and at most `limit`, which keeps products of two in range.
    fn size(&self, key: &str, limit: usize) -> Result<usize, ConvertError> {
        self.get(key)
            .and_then(Value::as_u64)
            .and_then(|value| usize::try_from(value).ok())
            .filter(|value| (1..=limit).contains(value))
            .ok_or_else(|| self.unsupported(key, &format!("a whole number from 1 to {limit} is needed")))
    }

    fn epsilon(&self, key: &str) -> Result<f32, ConvertError> {
        self.get(key)
            .and_then(Value::as_f64)
            .filter(|value| (0.0..1.0).contains(value))
            .map(|value| value as f32)
            .ok_or_else(|| self.unsupported(key, "a number from 0 to below 1 is needed"))
    }

    fn must_be(&self, key: &str, allowed: &[&str], reason: &str) -> Result<(), ConvertError> {
        match self.get(key).and_then(Value::as_str) {
            Some(value) if allowed.contains(&value) => Ok(()),
            _ => Err(self.unsupported(key, reason)),
        }
    }

    fn must_be_or_absent(&self, key: &str, allowed: &[&str], reason: &str) -> Result<(), ConvertError> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(_) => self.must_be(key, allowed, reason),
        }
    }

    fn must_not_be_set(&self, key: &str, reason: &str) -> Result<(), ConvertError> {
        match self.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(()),
            Some(_) => Err(self.unsupported(key, reason)),
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConvertError> {
    let bytes = std::fs::read(path).map_err(|error| ConvertError::io(path, error))?;
    serde_json::from_slice(&bytes).map_err(|source| ConvertError::Json {
        path: path.to_owned(),
        source,
    })
}
