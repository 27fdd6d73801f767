//! Reads weights by name, as little-endian 32-bit floats, in the layout that graphs are built from: BERT's names, matrices in the
//! orientation of MatMul, positions from 0, and the scale of attention scores in the query's weights.
//!
//! They come from a published safetensors file ([`Published`]), or from a graph that was built before ([`Built`]), so that one file on disk
//! serves every precision.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors};

use super::{
    ConvertError,
    family::Family,
    half,
    onnx::{FLOAT, GraphProto, TensorProto},
};
use crate::model::Architecture;

/// Weights by BERT's names, and by these of our own: `head.dense` and `head.score` are the layers of a reranker's head,
/// `embeddings.token_type_embeddings.0` is the row of single texts, and `encoder.distance_bias` is the table of biases by distance.
pub trait Source {
    /// Returns a weight of this shape, in row-major order.
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<u8>, ConvertError>;
    /// Returns a linear layer's weight as `[inputs, outputs]`, in row-major order.
    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Vec<u8>, ConvertError>;
}

/// The weights of a published model file.
pub struct Published<'a> {
    path: PathBuf,
    tensors: SafeTensors<'a>,
    family: Family,
    architecture: &'a Architecture,
    /// The index of the first token's position in the table.
    first_position: usize,
    /// The prefix of names, such as `bert.`, where the encoder was saved inside a larger model.
    prefix: &'static str,
}

impl<'a> Published<'a> {
    /// Parses the file's header, and borrows the weights.
    pub fn parse(
        path: &Path,
        bytes: &'a [u8],
        family: Family,
        architecture: &'a Architecture,
        first_position: usize,
    ) -> Result<Self, ConvertError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| ConvertError::weight(path, "*", error.to_string()))?;
        let words = "embeddings.word_embeddings.weight";
        let prefix = ["", family.prefix()]
            .into_iter()
            .find(|prefix| tensors.tensor(&format!("{prefix}{words}")).is_ok())
            .ok_or_else(|| ConvertError::weight(path, words, "there is none"))?;
        Ok(Self {
            path: path.to_owned(),
            tensors,
            family,
            architecture,
            first_position,
            prefix,
        })
    }

    /// Returns the weight under its published name, if its shape is `shape`.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<u8>, ConvertError> {
        let full = match name.starts_with("head.") {
            true => self.family.published_head(name, self.prefix),
            false => format!("{}{name}", self.prefix),
        };
        let refuse = |reason: String| ConvertError::weight(&self.path, &full, reason);
        let tensor = self.tensors.tensor(&full).map_err(|_| refuse("there is none".to_owned()))?;
        if tensor.shape() != shape {
            return Err(refuse(format!(
                "its shape is {:?}, but config.json asks for {shape:?}",
                tensor.shape()
            )));
        }
        let data = tensor.data();
        match tensor.dtype() {
            Dtype::F32 => Ok(data.to_vec()),
            Dtype::F16 => Ok(half::widen(data)),
            Dtype::BF16 => {
                let (pairs, _) = data.as_chunks::<2>();
                Ok(pairs.iter().flat_map(|[low, high]| [0, 0, *low, *high]).collect())
            }
            other => Err(refuse(format!("its type is {other:?}; F32, F16 and BF16 are converted"))),
        }
    }

    /// Returns the factor that a weight is multiplied by.
    fn factor(&self, name: &str) -> Option<f32> {
        let per_head = self.architecture.hidden / self.architecture.heads;
        name.contains("attention.self.query").then(|| (per_head as f32).sqrt().recip())
    }
}

fn scaled(bytes: Vec<u8>, factor: Option<f32>) -> Vec<u8> {
    let Some(factor) = factor else { return bytes };
    let (values, _) = bytes.as_chunks::<4>();
    values
        .iter()
        .flat_map(|value| (f32::from_le_bytes(*value) * factor).to_le_bytes())
        .collect()
}

impl Source for Published<'_> {
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<u8>, ConvertError> {
        let Architecture { hidden, heads, .. } = *self.architecture;
        match name {
            "embeddings.position_embeddings.weight" => {
                let positions = shape.first().copied().unwrap_or_default();
                let bytes = self.get(name, &[self.first_position + positions, hidden])?;
                let skipped = self.first_position * hidden * size_of::<f32>();
                Ok(bytes.get(skipped..).unwrap_or_default().to_vec())
            }
            // Every token of a single text has type 0, so only one row of that table is ever used.
            "embeddings.token_type_embeddings.0" => {
                let Some(types) = self.family.types(self.architecture.types) else {
                    return Ok(vec![0; hidden * size_of::<f32>()]);
                };
                let mut row = self.get("embeddings.token_type_embeddings.weight", &[types, hidden])?;
                row.truncate(hidden * size_of::<f32>());
                Ok(row)
            }
            "encoder.distance_bias" => {
                let buckets = self.get("encoder.relative_attention_bias.weight", &[super::family::BUCKETS, heads])?;
                Ok(super::family::distance_bias(&buckets, heads, self.architecture.positions))
            }
            _ => Ok(scaled(self.get(&self.family.published(name), shape)?, self.factor(name))),
        }
    }

    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Vec<u8>, ConvertError> {
        let bytes = self.get(&self.family.published(name), &[outputs, inputs])?;
        let (values, _) = bytes.as_chunks::<4>();
        let mut turned = vec![0; bytes.len()];
        let (cells, _) = turned.as_chunks_mut::<4>();
        // In blocks of rows, so that the output stays in the processor's cache.
        const BLOCK: usize = 16;
        for (block, rows) in values.chunks(inputs.max(1) * BLOCK).enumerate() {
            for (offset, row) in rows.chunks_exact(inputs.max(1)).enumerate() {
                let column = block * BLOCK + offset;
                for (value, cell) in row.iter().zip(cells.iter_mut().skip(column).step_by(outputs.max(1))) {
                    *cell = *value;
                }
            }
        }
        Ok(scaled(turned, self.factor(name)))
    }
}

/// The constants of a graph that [`super::graph::build`] made in 32-bit floats.
pub struct Built {
    path: PathBuf,
    constants: HashMap<String, TensorProto>,
}

impl Built {
    pub fn of(path: &Path, graph: GraphProto) -> Self {
        let constants = graph.initializer.into_iter().map(|constant| (constant.name.clone(), constant));
        Self {
            path: path.to_owned(),
            constants: constants.collect(),
        }
    }
}

impl Source for Built {
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<u8>, ConvertError> {
        let constant = self
            .constants
            .get(name)
            .ok_or_else(|| ConvertError::weight(&self.path, name, "there is none"))?;
        let expected: usize = shape.iter().product();
        let fits = constant.data_type == FLOAT
            && constant.raw_data.len() == expected * size_of::<f32>()
            && constant
                .dims
                .iter()
                .copied()
                .eq(shape.iter().map(|size| super::graph::signed(*size)));
        if !fits {
            let reason = format!("its shape is {:?}, but the description asks for {shape:?}", constant.dims);
            return Err(ConvertError::weight(&self.path, name, reason));
        }
        Ok(constant.raw_data.clone())
    }

    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Vec<u8>, ConvertError> {
        self.vector(name, &[inputs, outputs])
    }
}
