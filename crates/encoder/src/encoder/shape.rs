//! The architecture of a model.

use serde::{Deserialize, Serialize};

/// The architecture of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The number of layers.
    pub layers: usize,
    /// The number of attention heads in each layer; at least 1.
    pub heads: usize,
    /// Components of a token's vector; a multiple of `heads`.
    pub hidden: usize,
    /// Components between the two steps of a layer's feed-forward part.
    pub inner: usize,
    /// Rows of the table of words.
    pub vocabulary: usize,
    /// The longest text, in tokens.
    pub positions: usize,
    /// Rows of the table of types, at least 2, if types distinguish the tokens of a second text.
    pub types: Option<usize>,
    /// Added to the variance in a normalisation, before the square root.
    pub epsilon: f32,
    /// The function between the two steps of a layer's feed-forward part.
    pub activation: Activation,
    /// Whether attention scores have a bias by distance, as MPNet's do.
    pub distance_bias: bool,
    /// What is computed from the tokens' vectors.
    pub output: Output,
}

/// The function between a layer's two feed-forward steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The exact Gelu, with the error function.
    Gelu,
    /// Gelu with its tanh approximation; only for models that were trained with it.
    GeluTanh,
    /// The larger of the number and 0.
    Relu,
}

/// What is computed from the tokens' vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// One vector for each text, of length 1 if it is `normalized`.
    Vector {
        /// How the vectors of the tokens become one.
        pooling: Pooling,
        /// Whether its length is 1.
        normalized: bool,
    },
    /// One score for each text: two layers over the first token's vector.
    Score(Head),
}

/// How the vectors of a text's tokens become the text's vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over all tokens, padding aside.
    Mean,
    /// The first token's vector.
    Cls,
}

/// The function between the two layers of a reranker's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// The hyperbolic tangent.
    Tanh,
    /// The larger of the number and 0.
    Relu,
}
