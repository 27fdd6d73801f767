//! Reads the weights of a model.

use std::sync::Mutex;

use pulp::Arch;

use super::{Encoder, Layer, Output, Shape};
use crate::{floats::Level, functions::Norm, product::Linear};

/// A source of weights, by BERT's names. The weights of queries include the scale of attention scores.
pub trait Weights {
    /// Why a weight is unavailable.
    type Error;

    /// Returns a weight of this shape, in row-major order: `name` is such as `encoder.layer.0.output.dense.bias`. The tables are
    /// `embeddings.word_embeddings.weight`, `embeddings.position_embeddings.weight`, `embeddings.token_type_embeddings.weight` (or, where
    /// types are not distinguished, its one row `embeddings.token_type_embeddings.0`) and `encoder.distance_bias` (`[1, heads, positions,
    /// positions]`). A score's layers are `head.dense` and `head.score`.
    ///
    /// # Errors
    /// The source's own.
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Self::Error>;

    /// Returns the weight of the linear layer `name.weight` as `inputs` rows of `outputs`.
    ///
    /// # Errors
    /// The source's own.
    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Vec<f32>, Self::Error>;
}

/// Why a model cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// The processor does not have these vector units.
    #[error("this processor has no {0:?}")]
    Level(Level),
    /// A size is too small, or not a multiple of the number of heads.
    #[error("the model's sizes do not fit one another")]
    Shape,
    /// A weight has the wrong size.
    #[error("the weight {name} has {found} numbers instead of {expected}")]
    Size {
        /// The name of the weight.
        name: String,
        /// The size that the model's shape requires.
        expected: usize,
        /// The size that it has.
        found: usize,
    },
    /// The source could not return a weight.
    #[error(transparent)]
    Weights(E),
}

pub(super) struct Reader<'a, W> {
    pub(super) level: Level,
    pub(super) shape: Shape,
    pub(super) weights: &'a W,
}

impl<W: Weights> Reader<'_, W> {
    pub(super) fn read(&self, arch: Arch) -> Result<Encoder, BuildError<W::Error>> {
        let Shape {
            hidden,
            vocabulary,
            positions,
            heads,
            ..
        } = self.shape;
        let types = match self.shape.types {
            Some(types) => self.vector("embeddings.token_type_embeddings.weight", &[types, hidden])?,
            None => self.vector("embeddings.token_type_embeddings.0", &[hidden])?,
        };
        let head = match self.shape.output {
            Output::Score(_) => Some((self.linear("head.dense", hidden, hidden)?, self.linear("head.score", hidden, 1)?)),
            Output::Vector { .. } => None,
        };
        let distance_bias = self
            .shape
            .distance_bias
            .then(|| self.vector("encoder.distance_bias", &[1, heads, positions, positions]))
            .transpose()?;
        Ok(Encoder {
            arch,
            words: self.vector("embeddings.word_embeddings.weight", &[vocabulary, hidden])?,
            positions: self.vector("embeddings.position_embeddings.weight", &[positions, hidden])?,
            types,
            norm: self.norm("embeddings.LayerNorm")?,
            layers: (0..self.shape.layers).map(|index| self.layer(index)).collect::<Result<_, _>>()?,
            distance_bias,
            head,
            scratch: Mutex::default(),
            shape: self.shape,
        })
    }

    fn layer(&self, index: usize) -> Result<Layer, BuildError<W::Error>> {
        let Shape { hidden, inner, .. } = self.shape;
        let at = |part: &str| format!("encoder.layer.{index}.{part}");
        // One matrix for all three: each input's weights for queries, keys and values, one after the other.
        let (mut matrices, mut bias) = (Vec::with_capacity(3), Vec::with_capacity(3 * hidden));
        for part in ["query", "key", "value"] {
            let name = at(&format!("attention.self.{part}"));
            matrices.push(self.matrix(&name, hidden, hidden)?);
            bias.extend(self.vector(&format!("{name}.bias"), &[hidden])?);
        }
        let mut joined = Vec::with_capacity(3 * hidden * hidden);
        for row in 0..hidden {
            for matrix in &matrices {
                joined.extend_from_slice(&matrix[row * hidden..][..hidden]);
            }
        }
        Ok(Layer {
            projection: Linear::new(self.level, &joined, &bias, hidden, 3 * hidden),
            attended: self.linear(&at("attention.output.dense"), hidden, hidden)?,
            attended_norm: self.norm(&at("attention.output.LayerNorm"))?,
            inner: self.linear(&at("intermediate.dense"), hidden, inner)?,
            output: self.linear(&at("output.dense"), inner, hidden)?,
            output_norm: self.norm(&at("output.LayerNorm"))?,
        })
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, BuildError<W::Error>> {
        let weights = self.matrix(name, inputs, outputs)?;
        let bias = self.vector(&format!("{name}.bias"), &[outputs])?;
        Ok(Linear::new(self.level, &weights, &bias, inputs, outputs))
    }

    fn norm(&self, name: &str) -> Result<Norm, BuildError<W::Error>> {
        let vector = |part: &str| self.vector(&format!("{name}.{part}"), &[self.shape.hidden]);
        Ok(Norm {
            scale: vector("weight")?,
            offset: vector("bias")?,
            epsilon: self.shape.epsilon,
        })
    }

    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BuildError<W::Error>> {
        sized(name, self.weights.vector(name, shape), shape.iter().product())
    }

    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Vec<f32>, BuildError<W::Error>> {
        sized(name, self.weights.matrix(name, inputs, outputs), inputs * outputs)
    }
}

fn sized<E>(name: &str, read: Result<Vec<f32>, E>, expected: usize) -> Result<Vec<f32>, BuildError<E>> {
    let floats = read.map_err(BuildError::Weights)?;
    if floats.len() == expected {
        return Ok(floats);
    }
    Err(BuildError::Size {
        name: name.to_owned(),
        expected,
        found: floats.len(),
    })
}
