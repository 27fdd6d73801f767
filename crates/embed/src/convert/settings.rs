//! Reads a model's configuration files, and rejects what the graph cannot do.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    super::model::{Activation, Architecture, ModelKind, Pooling},
    ConvertError,
    family::{self, Family},
};

/// The settings in a source's configuration files.
pub struct Settings {
    pub kind: ModelKind,
    pub family: Family,
    pub architecture: Architecture,
    /// The index of the first token's position in the published table.
    pub first_position: usize,
    pub text: TextSettings,
}

/// The settings around the encoder, of published weights and ready models alike.
pub struct TextSettings {
    pub pooling: Pooling,
    pub normalized: bool,
    pub max_tokens: usize,
    pub lowercase: bool,
    pub query_prefix: String,
    pub document_prefix: String,
}

impl Settings {
    /// Reads `config.json`, and what [`TextSettings::read`] reads, or for a reranker [`TextSettings::of_pairs`].
    pub fn read(source: &Path) -> Result<Self, ConvertError> {
        let config = File::read(source.join("config.json"))?;
        let family = Family::of(config.string("model_type")?).ok_or_else(|| config.unsupported("model_type", Family::KNOWN))?;
        config.must_be_or_absent("position_embedding_type", &["absolute"], "only absolute positions are converted")?;
        for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
            config.must_not_be_set(key, "only encoders are converted")?;
        }
        let key = family.key("hidden_act");
        let activation = match config.string(key)? {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            _ => return Err(config.unsupported(key, "gelu, gelu_new, gelu_pytorch_tanh or relu are converted")),
        };
        let hidden = config.size(family.key("hidden_size"), 1 << 14)?;
        let key = family.key("num_attention_heads");
        let heads = config.size(key, 1 << 10)?;
        if !hidden.is_multiple_of(heads) {
            return Err(config.unsupported(key, &format!("it must divide hidden_size, {hidden}")));
        }
        let table = config.size("max_position_embeddings", 1 << 17)?;
        let first_position = config.first_position(family, table)?;
        let positions = table - first_position;
        let distance_bias = family == Family::Mpnet;
        if distance_bias && config.get("relative_attention_num_buckets").and_then(Value::as_u64) != Some(family::BUCKETS as u64) {
            return Err(config.unsupported("relative_attention_num_buckets", &format!("{} are converted", family::BUCKETS)));
        }
        let epsilon = if family == Family::Distilbert {
            1e-12
        } else {
            config.epsilon("layer_norm_eps")?
        };
        let kind = config.kind();
        if kind == ModelKind::Reranker {
            config.must_have_one_label()?;
        }
        Ok(Self {
            kind,
            family,
            architecture: Architecture {
                layers: config.size(family.key("num_hidden_layers"), 256)?,
                heads,
                hidden,
                inner: config.size(family.key("intermediate_size"), 1 << 17)?,
                vocabulary: config.size("vocab_size", 1 << 22)?,
                positions,
                types: match family.types(0) {
                    Some(_) => config.size("type_vocab_size", 1 << 10)?,
                    None => 0,
                },
                epsilon,
                activation,
                distance_bias,
                head: (kind == ModelKind::Reranker).then(|| family.head()),
            },
            first_position,
            text: match kind {
                ModelKind::Embedding => TextSettings::read(source, hidden, positions)?,
                ModelKind::Reranker => TextSettings::of_pairs(source, positions)?,
            },
        })
    }
}

impl TextSettings {
    /// Reads `modules.json`, the pooling's configuration, `sentence_bert_config.json` and `config_sentence_transformers.json`. Where one is
    /// missing, the defaults of sentence-transformers apply: mean pooling, no normalisation, no prefixes.
    pub fn read(source: &Path, hidden: usize, positions: usize) -> Result<Self, ConvertError> {
        let (pooling, normalized) = match modules(source)? {
            Some((folder, normalized)) => (pooling(&source.join(folder).join("config.json"), hidden)?, normalized),
            None => (Pooling::Mean, false),
        };
        let (max_tokens, lowercase) = max_tokens(source, positions)?;
        let (query_prefix, document_prefix) = prompts(source)?;
        Ok(Self {
            pooling,
            normalized,
            max_tokens,
            lowercase,
            query_prefix,
            document_prefix,
        })
    }

    /// Reads the settings of a reranker: the length of its pairs, from `sentence_bert_config.json` or else `tokenizer_config.json`.
    pub fn of_pairs(source: &Path, positions: usize) -> Result<Self, ConvertError> {
        let (mut max_tokens, lowercase) = max_tokens(source, positions)?;
        if max_tokens == positions
            && let Some(tokenizer) = File::read_if_there(source.join("tokenizer_config.json"))?
            // Tokenizers without a limit have a huge number here.
            && let Some(length) = tokenizer.get("model_max_length").and_then(Value::as_u64)
        {
            max_tokens = usize::try_from(length)
                .unwrap_or(positions)
                .clamp(SHORTEST_PAIR.min(positions), positions);
        }
        Ok(Self {
            pooling: Pooling::Cls,
            normalized: false,
            max_tokens,
            lowercase,
            query_prefix: String::new(),
            document_prefix: String::new(),
        })
    }

    /// Reads the settings of a ready model, whose `config.json` may be incomplete; and the dimension of tokens' vectors if `known` is
    /// `None`.
    pub fn of_ready(source: &Path, known: Option<usize>) -> Result<(usize, Self), ConvertError> {
        let config = File::read_or_empty(source.join("config.json"))?;
        let hidden = match known {
            Some(hidden) => hidden,
            None => ["hidden_size", "dim", "d_model", "n_embd"]
                .into_iter()
                .find(|key| config.get(key).is_some())
                .map_or_else(|| config.size("hidden_size", 1 << 14), |key| config.size(key, 1 << 14))?,
        };
        let positions = config.ready_positions()?;
        Ok((hidden, Self::read(source, hidden, positions)?))
    }

    /// Reads the settings of a ready reranker.
    pub fn of_ready_pairs(source: &Path) -> Result<Self, ConvertError> {
        let config = File::read_or_empty(source.join("config.json"))?;
        if config.kind() == ModelKind::Reranker {
            config.must_have_one_label()?;
        }
        Self::of_pairs(source, config.ready_positions()?)
    }
}

/// The shortest length of a pair: a shorter one has no room for a passage.
const SHORTEST_PAIR: usize = 8;

/// The length of texts that a ready model reads where its configuration gives none.
const READY_POSITIONS: usize = 512;

/// Returns the pooling's folder, and whether a Normalize module ends the chain; none without `modules.json`.
fn modules(source: &Path) -> Result<Option<(String, bool)>, ConvertError> {
    let path = source.join("modules.json");
    let list: Vec<Map<String, Value>> = match parse(&path) {
        Err(ConvertError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
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
    Ok(Some((folder, normalized)))
}

fn pooling(path: &Path, hidden: usize) -> Result<Pooling, ConvertError> {
    let file = File::read(path.to_owned())?;
    let key = ["embedding_dimension", "word_embedding_dimension"]
        .into_iter()
        .find(|key| file.get(key).is_some())
        .unwrap_or("word_embedding_dimension");
    if file.size(key, 1 << 14)? != hidden {
        return Err(file.unsupported(key, &format!("it must equal hidden_size, {hidden}")));
    }
    // Such models pool without the prompt's tokens.
    if file.get("include_prompt") == Some(&Value::Bool(false)) {
        return Err(file.unsupported("include_prompt", "prompts are pooled with their texts"));
    }
    if file.get("pooling_mode").is_some() {
        return match file.string("pooling_mode")? {
            "mean" => Ok(Pooling::Mean),
            "cls" => Ok(Pooling::Cls),
            _ => Err(file.unsupported("pooling_mode", "mean and cls pooling are converted")),
        };
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

/// Returns how many tokens the model reads, and whether in lower case. A model without a limit reads as many as it has positions.
fn max_tokens(source: &Path, positions: usize) -> Result<(usize, bool), ConvertError> {
    let Some(file) = File::read_if_there(source.join("sentence_bert_config.json"))? else {
        return Ok((positions, false));
    };
    let lowercase = file.get("do_lower_case") == Some(&Value::Bool(true));
    if file.get("max_seq_length").is_none_or(Value::is_null) {
        return Ok((positions, lowercase));
    }
    let length = file.size("max_seq_length", 1 << 17)?;
    // [CLS] and [SEP] take two positions.
    if length < 3 || length > positions {
        let reason = format!("it must be between 3 and the model's positions, {positions}");
        return Err(file.unsupported("max_seq_length", &reason));
    }
    Ok((length, lowercase))
}

/// Returns the prefixes of questions and of passages. A model that was trained with them gives poor vectors without.
fn prompts(source: &Path) -> Result<(String, String), ConvertError> {
    let Some(file) = File::read_if_there(source.join("config_sentence_transformers.json"))? else {
        return Ok(Default::default());
    };
    file.must_be_or_absent("similarity_fn_name", &["cosine", "dot"], "similarity is cosine or dot product")?;
    let prompts = file.get("prompts").and_then(Value::as_object);
    let prompt = |name: &str| prompts.and_then(|prompts| prompts.get(name)).and_then(Value::as_str);
    let default = match file.get("default_prompt_name") {
        None | Some(Value::Null) => "",
        Some(name) => name
            .as_str()
            .and_then(prompt)
            .ok_or_else(|| file.unsupported("default_prompt_name", "it must be one of the prompts"))?,
    };
    let query = prompt("query").unwrap_or(default);
    let document = ["document", "passage", "corpus"].into_iter().find_map(prompt).unwrap_or(default);
    Ok((query.to_owned(), document.to_owned()))
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

    fn read_or_empty(path: PathBuf) -> Result<Self, ConvertError> {
        Ok(Self::read_if_there(path.clone())?.unwrap_or(Self { path, keys: Map::new() }))
    }

    /// Returns what the model is for. Rerankers are published as classifiers of pairs of texts.
    fn kind(&self) -> ModelKind {
        let names = self.get("architectures").and_then(Value::as_array).into_iter().flatten();
        let mut names = names.filter_map(Value::as_str);
        match names.any(|name| name.ends_with("ForSequenceClassification")) {
            true => ModelKind::Reranker,
            false => ModelKind::Embedding,
        }
    }

    /// Checks that a classifier has a single label, whose score orders passages. A configuration without labels means two.
    fn must_have_one_label(&self) -> Result<(), ConvertError> {
        let (key, labels) = match (self.get("id2label").and_then(Value::as_object), self.get("num_labels")) {
            (Some(labels), _) => ("id2label", Some(labels.len() as u64)),
            (None, Some(labels)) => ("num_labels", labels.as_u64()),
            (None, None) => ("id2label", None),
        };
        match labels {
            Some(1) => Ok(()),
            _ => Err(self.unsupported(
                key,
                "a reranker has one label, whose score orders passages; classifiers of several are not converted",
            )),
        }
    }

    fn ready_positions(&self) -> Result<usize, ConvertError> {
        match self.get("max_position_embeddings") {
            None | Some(Value::Null) => Ok(READY_POSITIONS),
            Some(_) => {
                let table = self.size("max_position_embeddings", 1 << 17)?;
                let family = self.string("model_type").ok().and_then(Family::of);
                Ok(table - family.map_or(Ok(0), |family| self.first_position(family, table))?)
            }
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

    /// Returns the index of the first token's position in a table of `table` positions.
    fn first_position(&self, family: Family, table: usize) -> Result<usize, ConvertError> {
        if !family.positions_follow_padding() {
            return Ok(0);
        }
        let padding = self.get("pad_token_id").and_then(Value::as_u64).unwrap_or(1);
        usize::try_from(padding)
            .ok()
            .and_then(|padding| padding.checked_add(1))
            .filter(|first| first + 3 <= table)
            .ok_or_else(|| self.unsupported("pad_token_id", "it must leave positions for three tokens"))
    }

    fn string(&self, key: &str) -> Result<&str, ConvertError> {
        self.get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| self.unsupported(key, "a string is needed"))
    }

    /// Returns a whole number of at least 1 and at most `limit`, which keeps the product of two in range.
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

    fn must_be_or_absent(&self, key: &str, allowed: &[&str], reason: &str) -> Result<(), ConvertError> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(value)) if allowed.contains(&value.as_str()) => Ok(()),
            Some(_) => Err(self.unsupported(key, reason)),
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
