//! ONNX models by other producers: finds the file, and reads its inputs, outputs and external weights.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use prost::Message;

use super::{
    super::model::{ModelKind, Pooling, Ready, is_plain},
    ConvertError, Options,
    graph::{ATTENTION_MASK, INPUT_IDS, LOGITS, OUTPUT, TOKEN_TYPES},
    onnx::{FLOAT, INT32, INT64, Outline, ValueInfoProto},
    read as read_file,
    settings::TextSettings,
};

/// Where publishers put an ONNX model, most usual first.
const USUAL_PATHS: [&str; 4] = ["onnx/model.onnx", "model.onnx", "model_optimized.onnx", "onnx/model_quantized.onnx"];

/// An ONNX model and what is known of it.
pub struct ReadyModel {
    pub kind: ModelKind,
    pub bytes: Vec<u8>,
    pub ready: Ready,
    pub dimension: usize,
    pub text: TextSettings,
    /// The files of weights beside it: names and paths.
    pub beside: Vec<(String, PathBuf)>,
}

/// Finds the ONNX model to take from `source`: the one in the options, or the first one if there are no safetensors.
pub fn find(source: &Path, options: &Options) -> Option<PathBuf> {
    if let Some(path) = &options.onnx {
        return Some(source.join(path));
    }
    if source.join(super::SAFETENSORS).exists() {
        return None;
    }
    USUAL_PATHS.iter().map(|path| source.join(path)).find(|path| path.is_file())
}

/// Reads the model at `path`, and the configuration in `source`.
pub fn read(source: &Path, path: &Path) -> Result<ReadyModel, ConvertError> {
    let bytes = read_file(path)?;
    let refuse = |reason: String| ConvertError::Onnx {
        path: path.to_owned(),
        reason,
    };
    let outline = Outline::decode(bytes.as_slice()).map_err(|error| refuse(error.to_string()))?;
    let graph = outline.graph.ok_or_else(|| refuse("it holds no graph".to_owned()))?;
    let constants: Vec<&str> = graph.initializer.iter().map(|constant| constant.name.as_str()).collect();
    let inputs: Vec<&ValueInfoProto> = graph
        .input
        .iter()
        .filter(|input| !constants.contains(&input.name.as_str()))
        .collect();
    for input in &inputs {
        if ![INPUT_IDS, ATTENTION_MASK, TOKEN_TYPES].contains(&input.name.as_str()) {
            return Err(refuse(format!(
                "it reads {}; a text model reads {INPUT_IDS}, and optionally {ATTENTION_MASK} and {TOKEN_TYPES}",
                input.name
            )));
        }
        if ![INT32, INT64].contains(&input.describe().0) {
            return Err(refuse(format!("its input {} is neither int64 nor int32", input.name)));
        }
    }
    if !inputs.iter().any(|input| input.name == INPUT_IDS) {
        return Err(refuse(format!("it has no input {INPUT_IDS}")));
    }
    let (kind, output, pooled, dimension, text) = match is_reranker(&graph.output).map_err(&refuse)? {
        true => (
            ModelKind::Reranker,
            LOGITS.to_owned(),
            true,
            1,
            TextSettings::of_ready_pairs(source)?,
        ),
        false => {
            let (output, pooled, dimension) = output(&graph.output).map_err(&refuse)?;
            let (dimension, mut text) = TextSettings::of_ready(source, dimension)?;
            if pooled {
                text.pooling = Pooling::Mean;
            }
            (ModelKind::Embedding, output, pooled, dimension, text)
        }
    };
    let mut beside = BTreeMap::new();
    for constant in &graph.initializer {
        let Some(location) = constant.external_data.iter().find(|entry| entry.key == "location") else {
            continue;
        };
        let ours = [super::MODEL_FILE, super::TOKENIZER_FILE, super::ModelInfo::FILE];
        if !is_plain(&location.value) || ours.contains(&location.value.as_str()) {
            return Err(refuse(format!(
                "its weights are in {}, which is not a file beside it",
                location.value
            )));
        }
        let weights = path.with_file_name(&location.value);
        beside.entry(location.value.clone()).or_insert(weights);
    }
    let mut external = BTreeMap::new();
    for (name, weights) in &beside {
        external.insert(name.clone(), sha256_of(weights)?);
    }
    Ok(ReadyModel {
        kind,
        bytes,
        ready: Ready { output, pooled, external },
        dimension,
        text,
        beside: beside.into_iter().collect(),
    })
}

/// Returns whether the model scores pairs: whether it has an output `logits` of one number for each row.
fn is_reranker(outputs: &[ValueInfoProto]) -> Result<bool, String> {
    let Some(logits) = outputs.iter().find(|output| output.name == LOGITS) else {
        return Ok(false);
    };
    match logits.describe() {
        (FLOAT, dimensions) if matches!(dimensions.as_slice(), [_, None | Some(1)]) => Ok(true),
        (FLOAT, dimensions) => Err(format!(
            "its output {LOGITS} has the shape {dimensions:?}; a reranker has one score for each row, [batch, 1]"
        )),
        _ => Err(format!("its output {LOGITS} has no 32-bit floats")),
    }
}

/// Returns the output to read, whether it is pooled, and its dimension if the file states it. A pooled output is recognised by its usual
/// name only: a `pooler_output` is something else.
fn output(outputs: &[ValueInfoProto]) -> Result<(String, bool, Option<usize>), String> {
    let of_rank = |rank: usize, names: &[&str]| {
        outputs.iter().find(|output| {
            let (kind, dimensions) = output.describe();
            kind == FLOAT && dimensions.len() == rank && (names.is_empty() || names.contains(&output.name.as_str()))
        })
    };
    let found = of_rank(2, &[OUTPUT, "sentence_embeddings", "embedding", "embeddings", "dense_vecs"])
        .or_else(|| of_rank(3, &["last_hidden_state", "token_embeddings"]))
        .or_else(|| of_rank(3, &[]))
        .ok_or_else(|| {
            let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
            format!("none of its outputs {names:?} is a {OUTPUT} [batch, dimension] or a last_hidden_state [batch, sequence, dimension] of 32-bit floats")
        })?;
    let (_, dimensions) = found.describe();
    let dimension = dimensions.last().copied().flatten().and_then(|size| usize::try_from(size).ok());
    Ok((
        found.name.clone(),
        dimensions.len() == 2,
        dimension.filter(|size| (1..=1 << 14).contains(size)),
    ))
}

/// Returns the SHA-256 of a file that may be too large to read at once.
fn sha256_of(path: &Path) -> Result<String, ConvertError> {
    super::super::model::file_sha256(path).map_err(|error| ConvertError::io(path, error))
}
