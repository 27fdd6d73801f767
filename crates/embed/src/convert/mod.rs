//! Turns a published embedding model or reranker into the files the embedder runs.
//!
//! The input is a directory as its authors publish it: `model.safetensors` of the BERT family, `config.json`, `modules.json`, the pooling's
//! `config.json`, `sentence_bert_config.json`, `config_sentence_transformers.json` and `tokenizer.json`. The output is a model directory
//! with `model.onnx` (weights, pooling and normalisation in one graph), `tokenizer.json` and `ibid-model.json` ([`ModelInfo`]). A
//! cross-encoder (`...ForSequenceClassification` of one label) becomes a reranker: its head is a part of the graph, which returns one score
//! for each row. A source without safetensors but with an ONNX model keeps that model. The conversion needs neither Python nor ONNX
//! Runtime. If the source needs something that the graph cannot do, the conversion fails and names the key; it never approximates.
//!
//! [`rebuild`] makes the graphs of other precisions from `model.onnx`, in memory, when the embedder opens. [`encoder()`] makes an encoder
//! that needs no runtime.

mod encoder;
mod error;
mod family;
mod graph;
mod half;
mod onnx;
mod packed;
mod quantize;
mod ready;
mod settings;
#[cfg(test)]
pub(super) mod tests;
mod weights;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use ibid_encoder::{BuildError, Encoder, Level};
use prost::Message;
use sha2::{Digest, Sha256};

pub use self::error::ConvertError;
pub(super) use self::{
    graph::{ATTENTION_MASK, INPUT_IDS, LOGITS, OUTPUT, TOKEN_TYPES},
    packed::{OFFSETS, POSITIONS, SHARES, STARTS, TOKENS},
};
use self::{
    graph::{Numbers, Shape},
    settings::Settings,
    weights::{Built, Published},
};
use super::model::{MODEL_FILE, ModelInfo, TOKENIZER_FILE};

/// The version of the converter. It grows whenever the same source would give another graph, so that stored vectors can be traced to the
/// graph that made them.
pub const CONVERTER_VERSION: u32 = 2;

/// The file of published weights.
const SAFETENSORS: &str = "model.safetensors";

/// Protobuf cannot hold a message of 2 GiB or more; a little is left for the graph around the weights.
const MAX_WEIGHT_BYTES: u64 = (1 << 31) - (16 << 20);

/// Options that override a source's own files.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The text before a question, such as `"query: "`.
    pub query_prefix: Option<String>,
    /// The text before a passage, such as `"passage: "`.
    pub document_prefix: Option<String>,
    /// The ONNX model in the source to keep as it is, such as `onnx/model.onnx`.
    pub onnx: Option<PathBuf>,
}

/// A graph that [`rebuild`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Matrix products in 8 bits, for rows padded to one length.
    Eight,
    /// 16-bit floats, for rows padded to one length.
    Half,
    /// 16-bit floats, for packed texts without padding; only for GPUs.
    Packed,
}

/// Converts the directory `source` to the model directory `target`.
///
/// The result is deterministic: the same source files give the same bytes. `target` is written atomically; a directory that exists is
/// replaced. The model's name is the last component of `target`. Blocks, and needs memory of about three times the weights' size.
///
/// # Errors
/// [`ConvertError`] names the file, and the key or the weight, that cannot be converted.
pub fn convert(source: &Path, target: &Path, options: &Options) -> Result<ModelInfo, ConvertError> {
    let name = target
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| ConvertError::Target { path: target.to_owned() })?
        .to_owned();
    let tokenizer = read(&source.join(TOKENIZER_FILE))?;
    let mut info = ModelInfo {
        format: ModelInfo::FORMAT,
        name,
        kind: super::ModelKind::Embedding,
        dimension: 0,
        max_tokens: 0,
        pooling: super::Pooling::Mean,
        normalized: false,
        model_sha256: String::new(),
        tokenizer_sha256: hex_sha256(&tokenizer),
        source_sha256: String::new(),
        converter: CONVERTER_VERSION,
        query_prefix: String::new(),
        document_prefix: String::new(),
        lowercase: false,
        architecture: None,
        ready: None,
    };
    let mut files = vec![(TOKENIZER_FILE.to_owned(), Content::Bytes(&tokenizer))];
    let model;
    if let Some(found) = ready::find(source, options) {
        let ready = ready::read(source, &found)?;
        check_tokenizer(source, &tokenizer, None)?;
        info.kind = ready.kind;
        info.describe(ready.text, options);
        info.dimension = ready.dimension;
        info.source_sha256 = hex_sha256(&ready.bytes);
        info.model_sha256 = info.source_sha256.clone();
        info.ready = Some(ready.ready);
        model = ready.bytes;
        files.extend(ready.beside.into_iter().map(|(name, path)| (name, Content::Copy(path))));
    } else {
        let settings = Settings::read(source)?;
        check_tokenizer(source, &tokenizer, Some(settings.architecture.vocabulary))?;
        let weights_path = source.join(SAFETENSORS);
        let size = fs::metadata(&weights_path)
            .map_err(|error| ConvertError::io(&weights_path, error))?
            .len();
        if size > MAX_WEIGHT_BYTES {
            return Err(ConvertError::weight(
                &weights_path,
                "*",
                "2 GiB of weights or more do not fit one ONNX file",
            ));
        }
        let bytes = read(&weights_path)?;
        let Settings {
            kind,
            family,
            architecture,
            first_position,
            text,
        } = settings;
        let weights = Published::parse(&weights_path, &bytes, family, &architecture, first_position)?;
        let shape = Shape {
            architecture: &architecture,
            pooling: text.pooling,
            normalized: text.normalized,
        };
        model = graph::build(&shape, &weights, Numbers::Single)?.encode_to_vec();
        info.kind = kind;
        info.describe(text, options);
        info.dimension = match kind {
            super::ModelKind::Embedding => architecture.hidden,
            super::ModelKind::Reranker => 1,
        };
        info.source_sha256 = hex_sha256(&bytes);
        info.model_sha256 = hex_sha256(&model);
        info.architecture = Some(architecture);
    }
    let description = info.to_json();
    files.push((MODEL_FILE.to_owned(), Content::Bytes(&model)));
    files.push((ModelInfo::FILE.to_owned(), Content::Bytes(&description)));
    write_directory(target, &files)?;
    Ok(info)
}

impl ModelInfo {
    fn describe(&mut self, text: settings::TextSettings, options: &Options) {
        self.pooling = text.pooling;
        self.normalized = text.normalized;
        self.max_tokens = text.max_tokens;
        self.lowercase = text.lowercase;
        self.query_prefix = options.query_prefix.clone().unwrap_or(text.query_prefix);
        self.document_prefix = options.document_prefix.clone().unwrap_or(text.document_prefix);
    }
}

/// Builds another graph of the model in `directory`, from the weights in its `model.onnx`, as an ONNX file. Blocks, and needs memory of
/// about three times the weights' size.
///
/// # Errors
/// [`ConvertError`], also for a model that this converter did not make.
pub(super) fn rebuild(directory: &Path, info: &ModelInfo, form: Form) -> Result<Vec<u8>, ConvertError> {
    let described = directory.join(ModelInfo::FILE);
    let (shape, weights) = built(directory, info)?;
    let architecture = shape.architecture;
    let model = match form {
        Form::Eight => graph::build(&shape, &weights, Numbers::Eight),
        Form::Half => graph::build(&shape, &weights, Numbers::Half),
        Form::Packed if architecture.distance_bias => {
            return Err(ConvertError::Unsupported {
                path: described,
                key: "distance_bias".to_owned(),
                value: "true".to_owned(),
                reason: "packed attention has no bias by distance".to_owned(),
            });
        }
        Form::Packed if architecture.head.is_some() => {
            return Err(ConvertError::Unsupported {
                path: described,
                key: "kind".to_owned(),
                value: info.kind.name().to_owned(),
                reason: "only texts are packed, and no pairs".to_owned(),
            });
        }
        Form::Packed => packed::build(&shape, &weights),
    }?;
    Ok(model.encode_to_vec())
}

/// Builds the encoder for CPUs of the model in `directory`, from the weights in its `model.onnx`. Blocks, and needs memory of about three
/// times the weights' size.
///
/// # Errors
/// [`ConvertError`], also for a model that this converter did not make.
pub(super) fn encoder(directory: &Path, info: &ModelInfo, level: Level) -> Result<Encoder, BuildError<ConvertError>> {
    let (shape, weights) = built(directory, info).map_err(BuildError::Weights)?;
    encoder::build(level, &shape, &weights)
}

/// Returns the shape and the weights of the graph in `directory`.
fn built<'a>(directory: &Path, info: &'a ModelInfo) -> Result<(Shape<'a>, Built), ConvertError> {
    let path = directory.join(MODEL_FILE);
    let Some(architecture) = &info.architecture else {
        return Err(ConvertError::Unsupported {
            path: directory.join(ModelInfo::FILE),
            key: "architecture".to_owned(),
            value: "absent".to_owned(),
            reason: "only a model that `ibid model convert` made of safetensors has other precisions".to_owned(),
        });
    };
    let model = onnx::ModelProto::decode(read(&path)?.as_slice()).map_err(|error| ConvertError::Onnx {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let shape = Shape {
        architecture,
        pooling: info.pooling,
        normalized: info.normalized,
    };
    Ok((shape, Built::of(&path, model.graph.unwrap_or_default())))
}

/// Returns the file in `source` that [`convert()`] takes the weights from.
#[must_use]
pub fn weights_file(source: &Path, options: &Options) -> PathBuf {
    ready::find(source, options).unwrap_or_else(|| source.join(SAFETENSORS))
}

/// Checks that the embedding table has every token id: a missing one would fail in the middle of a document.
fn check_tokenizer(source: &Path, bytes: &[u8], vocabulary: Option<usize>) -> Result<(), ConvertError> {
    let path = source.join(TOKENIZER_FILE);
    let tokenizer = tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| ConvertError::Tokenizer {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
    if let Some(vocabulary) = vocabulary.filter(|vocabulary| largest as usize >= *vocabulary) {
        let reason = format!("it has token id {largest}, but config.json's vocab_size is {vocabulary}");
        return Err(ConvertError::Tokenizer { path, reason });
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, ConvertError> {
    fs::read(path).map_err(|error| ConvertError::io(path, error))
}

fn hex_sha256(bytes: &[u8]) -> String {
    super::model::hex(&Sha256::digest(bytes))
}

/// The content of a file.
enum Content<'a> {
    Bytes(&'a [u8]),
    Copy(PathBuf),
}

/// Writes the files into a directory beside `target`, syncs them, and renames it to `target`.
fn write_directory(target: &Path, files: &[(String, Content)]) -> Result<(), ConvertError> {
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let at = |error| ConvertError::io(target, error);
    fs::create_dir_all(&parent).map_err(|error| ConvertError::io(&parent, error))?;
    let staging = tempfile::Builder::new().prefix(".ibid-convert-").tempdir_in(&parent).map_err(at)?;
    let fresh = staging.path().join("model");
    fs::create_dir(&fresh).map_err(at)?;
    for (name, content) in files {
        let mut file = fs::File::create(fresh.join(name)).map_err(at)?;
        match content {
            Content::Bytes(bytes) => file.write_all(bytes).map_err(at)?,
            Content::Copy(from) => {
                let mut from = fs::File::open(from).map_err(|error| ConvertError::io(from, error))?;
                std::io::copy(&mut from, &mut file).map_err(at)?;
            }
        }
        file.sync_all().map_err(at)?;
    }
    fs::File::open(&fresh).and_then(|directory| directory.sync_all()).map_err(at)?;
    if target.exists() {
        // A rename cannot replace a directory that is not empty: the old one moves into the staging directory, which is removed with it.
        fs::rename(target, staging.path().join("replaced")).map_err(at)?;
    }
    fs::rename(&fresh, target).map_err(at)?;
    fs::File::open(&parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| ConvertError::io(&parent, error))
}
