//! Builds the encoder for CPUs from the weights of a graph.

use ibid_encoder::{BuildError, Encoder, Level, Output, Weights};

use super::{super::model::Architecture, ConvertError, graph::Shape, weights::Source};

/// Builds the encoder that computes the same as the graph of this shape.
pub fn build(level: Level, shape: &Shape, weights: &dyn Source) -> Result<Encoder, BuildError<ConvertError>> {
    Encoder::new(level, described(shape), &Floats(weights))
}

fn described(shape: &Shape) -> ibid_encoder::Shape {
    let Architecture {
        layers,
        heads,
        hidden,
        inner,
        vocabulary,
        positions,
        types,
        epsilon,
        activation,
        distance_bias,
        head,
    } = *shape.architecture;
    ibid_encoder::Shape {
        layers,
        heads,
        hidden,
        inner,
        vocabulary,
        positions,
        types: shape.is_typed().then_some(types),
        epsilon,
        activation,
        distance_bias,
        output: match head {
            Some(head) => Output::Score(head),
            None => Output::Vector {
                pooling: shape.pooling,
                normalized: shape.normalized,
            },
        },
    }
}

/// The source's little-endian bytes as numbers.
struct Floats<'a>(&'a dyn Source);

impl Weights for Floats<'_> {
    type Error = ConvertError;

    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ConvertError> {
        self.0.vector(name, shape).map(|bytes| floats(&bytes))
    }

    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Vec<f32>, ConvertError> {
        self.0
            .matrix(&format!("{name}.weight"), inputs, outputs)
            .map(|bytes| floats(&bytes))
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}
