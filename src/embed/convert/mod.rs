//! Turns a published sentence-transformers model of the BERT family into the files the embedder runs.
//!
//! Input is a directory as its authors publish it: `model.safetensors`, `config.json`, `modules.json`, the
//! pooling's `config.json`, `sentence_bert_config.json` and `tokenizer.json`. Output is a model directory with
//! `model.onnx` (weights, pooling and normalisation in one graph), `tokenizer.json` and `ibid-model.json`
//! ([`ModelInfo`]). No Python and no ONNX Runtime are needed; what the source asks for and the graph
//! cannot do is refused by the key that asks for it, never approximated.
//!
//! May depend on: files, serialisation crates, [`ModelInfo`]. Knows nothing of sessions, queues or the server.

mod error;
mod graph;
mod onnx;
mod settings;
#[cfg(test)]
mod tests;
mod weights;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use prost::Message;
use sha2::{Digest, Sha256};

pub use self::error::ConvertError;
use self::{settings::Settings, weights::Weights};
use super::model::{MODEL_FILE, ModelInfo, TOKENIZER_FILE};

/// Grows by one whenever the same source would give another graph, so that a vector's origin can be told.
pub const CONVERTER_VERSION: u32 = 1;

/// Protobuf cannot hold a message of 2 GiB or more; a little is left for the graph around the weights.
const MAX_WEIGHT_BYTES: u64 = (1 << 31) - (16 << 20);

/// Converts the sentence-transformers directory `source` to the model directory `target`.
///
/// The result is deterministic: the same source files give the same bytes. `target` appears whole or not at
/// all; a directory that is there already is replaced. The model's name is the last component of `target`.
/// Blocks, and needs memory of about three times the weights' size.
///
/// # Errors
/// [`ConvertError`] names the file, and the key or the weight, that stood in the way.
pub fn convert(source: &Path, target: &Path) -> Result<ModelInfo, ConvertError> {
    let name = target
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| ConvertError::Target { path: target.to_owned() })?
        .to_owned();
    let settings = Settings::read(source)?;
    let tokenizer = read(&source.join(TOKENIZER_FILE))?;
    check_tokenizer(source, &tokenizer, &settings)?;

    let weights_path = source.join("model.safetensors");
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
    let source_sha256 = hex_sha256(&bytes);
    let weights = Weights::parse(&weights_path, &bytes)?;
    let model = graph::build(&settings, &weights)?.encode_to_vec();
    drop(bytes);

    let info = ModelInfo {
        format: ModelInfo::FORMAT,
        name,
        dimension: settings.hidden,
        max_tokens: settings.max_tokens,
        pooling: settings.pooling,
        normalized: settings.normalized,
        model_sha256: hex_sha256(&model),
        tokenizer_sha256: hex_sha256(&tokenizer),
        source_sha256,
        converter: CONVERTER_VERSION,
    };
    write_directory(
        target,
        &[
            (MODEL_FILE, &model),
            (TOKENIZER_FILE, &tokenizer),
            (ModelInfo::FILE, &info.to_json()),
        ],
    )?;
    Ok(info)
}

/// An id that the embedding table does not have would fail in the middle of a document, so it fails here.
fn check_tokenizer(source: &Path, bytes: &[u8], settings: &Settings) -> Result<(), ConvertError> {
    let path = source.join(TOKENIZER_FILE);
    let tokenizer = tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| ConvertError::Tokenizer {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
    if largest as usize >= settings.vocabulary {
        let reason = format!("it has token id {largest}, but config.json's vocab_size is {}", settings.vocabulary);
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

/// Writes the files into a directory beside `target`, syncs them, then swaps it in.
fn write_directory(target: &Path, files: &[(&str, &[u8])]) -> Result<(), ConvertError> {
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let at = |error| ConvertError::io(target, error);
    fs::create_dir_all(&parent).map_err(|error| ConvertError::io(&parent, error))?;
    let staging = tempfile::Builder::new().prefix(".ibid-convert-").tempdir_in(&parent).map_err(at)?;
    let fresh = staging.path().join("model");
    fs::create_dir(&fresh).map_err(at)?;
    for (name, bytes) in files {
        let mut file = fs::File::create(fresh.join(name)).map_err(at)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at)?;
    }
    fs::File::open(&fresh).and_then(|directory| directory.sync_all()).map_err(at)?;
    if target.exists() {
        // A rename cannot replace a directory that has something in it: the old one steps aside, and goes
        // away with the staging directory.
        fs::rename(target, staging.path().join("replaced")).map_err(at)?;
    }
    fs::rename(&fresh, target).map_err(at)?;
    fs::File::open(&parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| ConvertError::io(&parent, error))
}
