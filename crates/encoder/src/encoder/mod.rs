//! A model: its shape, its weights, and the pass over its layers.

use std::sync::{Mutex, PoisonError};

use pulp::Arch;
use serde::{Deserialize, Serialize};

use crate::{
    attention::{self, Attention},
    floats::{Floats, Level},
    functions::{AddNorm, Norm},
    product::{self, Linear},
};

/// What a model is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Layers.
    pub layers: usize,
    /// Attention heads in each; at least 1.
    pub heads: usize,
    /// Components of a token's vector; a multiple of `heads`.
    pub hidden: usize,
    /// Components between the two steps of a layer's feed-forward part.
    pub inner: usize,
    /// Rows of the table of words.
    pub vocabulary: usize,
    /// The longest text, in tokens.
    pub positions: usize,
    /// Rows of the table of types, at least 2, if tokens of a second text are told apart by them.
    pub types: Option<usize>,
    /// Added to the variance before a normalisation divides by its root.
    pub epsilon: f32,
    /// Between the two steps of a layer's feed-forward part.
    pub activation: Activation,
    /// Whether attention scores have a bias by distance, as MPNet's do.
    pub distance_bias: bool,
    /// What becomes of tokens' vectors.
    pub output: Output,
}

/// The function between a layer's two feed-forward steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The exact Gelu, by the error function.
    Gelu,
    /// Gelu by its tanh approximation; only for models that were trained with it.
    GeluTanh,
    /// The larger of the number and 0.
    Relu,
}

/// What becomes of tokens' vectors.
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

/// Where weights come from, by the names that BERT's have. The scale of attention scores is part of the query's.
pub trait Weights {
    /// Why there is none.
    type Error;

    /// A weight of this shape, in row-major order: `name` is such as `encoder.layer.0.output.dense.bias`. The tables are
    /// `embeddings.word_embeddings.weight`, `embeddings.position_embeddings.weight`, `embeddings.token_type_embeddings.weight` (or, where
    /// types are not told apart, its one row `embeddings.token_type_embeddings.0`) and `encoder.distance_bias`
    /// (`[1, heads, positions, positions]`); a score's layers are `head.dense` and `head.score`.
    ///
    /// # Errors
    /// The source's own.
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Self::Error>;

    /// The weight of the linear layer `name.weight` as `inputs` rows of `outputs`.
    ///
    /// # Errors
    /// The source's own.
    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Vec<f32>, Self::Error>;
}

/// A text as the model reads it.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Token ids; at least one.
    pub ids: &'a [u32],
    /// Where the second text of a pair begins among them; their number if there is none.
    pub second: usize,
}

/// Why texts cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// There is nothing to attend to.
    #[error("a text has no tokens")]
    Empty,
    /// There is no position for its last tokens.
    #[error("a text has {tokens} tokens, the model reads {positions}")]
    TooLong {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens that the model reads.
        positions: usize,
    },
    /// The table of words has no such row.
    #[error("a token has the id {id}, the model has {vocabulary} words")]
    UnknownWord {
        /// The id of the token.
        id: u32,
        /// Rows of the table.
        vocabulary: usize,
    },
}

/// Why a model cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// The processor lacks what was asked for.
    #[error("this processor has no {0:?}")]
    Level(Level),
    /// A size is too small, or vectors cannot be divided among the heads.
    #[error("the model's sizes do not fit one another")]
    Shape,
    /// A weight is not as large as it was asked for.
    #[error("the weight {name} has {found} numbers instead of {expected}")]
    Size {
        /// The name of the weight.
        name: String,
        /// Numbers that the model's sizes ask for.
        expected: usize,
        /// Numbers that it has.
        found: usize,
    },
    /// There is no such weight.
    #[error(transparent)]
    Weights(E),
}

/// A model that is ready to be run, by any number of threads at once.
#[derive(Debug)]
pub struct Encoder {
    shape: Shape,
    arch: Arch,
    words: Vec<f32>,
    positions: Vec<f32>,
    types: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    distance_bias: Option<Vec<f32>>,
    head: Option<(Linear, Linear)>,
    /// Memory of runs that have ended; as many as ever ran at a time, and none that is large.
    scratch: Mutex<Vec<Scratch>>,
}

#[derive(Debug)]
struct Layer {
    /// To queries, keys and values.
    projection: Linear,
    attended: Linear,
    attended_norm: Norm,
    inner: Linear,
    output: Linear,
    output_norm: Norm,
}

/// What a run writes to.
#[derive(Debug, Default)]
struct Scratch {
    hidden: Floats,
    projections: Floats,
    context: Floats,
    inner: Floats,
    added: Floats,
    attention: attention::Scratch,
}

/// Floats of a scratch that is kept, at most: 64 MiB.
const KEPT: usize = 1 << 24;

impl Scratch {
    fn capacity(&self) -> usize {
        let own = [&self.hidden, &self.projections, &self.context, &self.inner, &self.added];
        own.iter().map(|floats| floats.capacity()).sum::<usize>() + self.attention.capacity()
    }
}

impl Encoder {
    /// Reads a model's weights.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn new<W: Weights>(level: Level, shape: Shape, weights: &W) -> Result<Self, BuildError<W::Error>> {
        let arch = level.arch().ok_or(BuildError::Level(level))?;
        let sizes = [shape.heads, shape.hidden, shape.inner, shape.vocabulary, shape.positions];
        let types = shape.types.unwrap_or(2);
        if sizes.contains(&0) || types < 2 || !shape.hidden.is_multiple_of(shape.heads) {
            return Err(BuildError::Shape);
        }
        Reader { level, shape, weights }.read(arch)
    }

    /// Components of what becomes of a text.
    #[must_use]
    pub fn dimension(&self) -> usize {
        match self.shape.output {
            Output::Vector { .. } => self.shape.hidden,
            Output::Score(_) => 1,
        }
    }

    /// One vector, or one score, for each text, one after the other.
    ///
    /// # Errors
    /// [`RunError`] for a text that the model cannot read; nothing is computed then.
    pub fn run(&self, texts: &[Text]) -> Result<Vec<f32>, RunError> {
        let Shape { positions, vocabulary, .. } = self.shape;
        for text in texts {
            match text.ids.len() {
                0 => return Err(RunError::Empty),
                tokens if tokens > positions => return Err(RunError::TooLong { tokens, positions }),
                _ => {}
            }
            if let Some(id) = text.ids.iter().copied().find(|id| *id as usize >= vocabulary) {
                return Err(RunError::UnknownWord { id, vocabulary });
            }
        }
        let taken = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = taken.unwrap_or_default();
        let out = self.compute(texts, &mut scratch);
        if scratch.capacity() <= KEPT {
            self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        }
        Ok(out)
    }

    fn compute(&self, texts: &[Text], scratch: &mut Scratch) -> Vec<f32> {
        let Shape { hidden: width, inner, .. } = self.shape;
        let tokens: usize = texts.iter().map(|text| text.ids.len()).sum();
        scratch.hidden.grow(tokens * width);
        scratch.projections.grow(tokens * 3 * width);
        scratch.context.grow(tokens * width);
        let block = tokens.min(product::BLOCK);
        scratch.inner.grow(block * inner);
        scratch.added.grow(block * width);
        self.embed(texts, scratch.hidden.first_mut(tokens * width));
        // Of the last layer only the first tokens' vectors are needed where the others are not looked at.
        let firsts_only = !matches!(
            self.shape.output,
            Output::Vector {
                pooling: Pooling::Mean,
                ..
            }
        );
        let mut rows = tokens;
        for (index, layer) in self.layers.iter().enumerate() {
            let firsts = firsts_only && index + 1 == self.layers.len();
            rows = self.layer(layer, texts, tokens, firsts, scratch);
        }
        if self.layers.is_empty() && firsts_only {
            rows = firsts_of(texts, width, scratch.hidden.first_mut(tokens * width));
        }
        self.finish(texts, scratch.hidden.first(rows * width))
    }

    /// Words, places and types, summed and normalised.
    fn embed(&self, texts: &[Text], hidden: &mut [f32]) {
        let width = self.shape.hidden;
        let mut rows = hidden.chunks_exact_mut(width);
        for text in texts {
            let places = self.positions.chunks_exact(width);
            for ((place, (id, position)), row) in text.ids.iter().zip(places).enumerate().zip(&mut rows) {
                let kind = usize::from(place >= text.second && self.shape.types.is_some());
                let word = &self.words[*id as usize * width..][..width];
                let kind = &self.types[kind * width..][..width];
                for (((cell, word), kind), position) in row.iter_mut().zip(word).zip(kind).zip(position) {
                    *cell = (word + kind) + position;
                }
            }
        }
        self.arch.dispatch(AddNorm {
            norm: &self.norm,
            rows: hidden,
            added: None,
        });
    }

    /// Replaces the first rows of `hidden`, and returns their number: all tokens, or with `firsts` one for each text.
    fn layer(&self, layer: &Layer, texts: &[Text], tokens: usize, firsts: bool, scratch: &mut Scratch) -> usize {
        let Shape {
            hidden: width,
            inner,
            heads,
            ..
        } = self.shape;
        let hidden = scratch.hidden.first_mut(tokens * width);
        let projections = scratch.projections.first_mut(tokens * 3 * width);
        layer.projection.run(self.arch, hidden, None, projections);
        let (mut from, mut rows) = (0, 0);
        for text in texts {
            let length = text.ids.len();
            let queries = if firsts { 1 } else { length };
            self.arch.dispatch(Attention {
                projections: &projections[from * 3 * width..][..length * 3 * width],
                heads,
                hidden: width,
                distance_bias: self.distance_bias.as_deref().map(|table| (table, self.shape.positions)),
                queries,
                scratch: &mut scratch.attention,
                out: &mut scratch.context.first_mut(tokens * width)[rows * width..][..queries * width],
            });
            from += length;
            rows += queries;
        }
        if firsts {
            firsts_of(texts, width, hidden);
        }
        let context = scratch.context.first(rows * width);
        // A block's inner components stay in the cache from one step to the next.
        let block = product::block(rows) * width;
        let blocks = hidden[..rows * width].chunks_mut(block).zip(context.chunks(block));
        for (hidden, context) in blocks {
            let added = scratch.added.first_mut(hidden.len());
            layer.attended.run(self.arch, context, None, added);
            self.arch.dispatch(AddNorm {
                norm: &layer.attended_norm,
                rows: hidden,
                added: Some(added),
            });
            let wide = scratch.inner.first_mut(hidden.len() / width * inner);
            layer.inner.run(self.arch, hidden, Some(self.shape.activation), wide);
            layer.output.run(self.arch, wide, None, added);
            self.arch.dispatch(AddNorm {
                norm: &layer.output_norm,
                rows: hidden,
                added: Some(added),
            });
        }
        rows
    }

    /// From tokens' vectors, or of each text the first token's, to what was asked for.
    fn finish(&self, texts: &[Text], hidden: &[f32]) -> Vec<f32> {
        let width = self.shape.hidden;
        match self.shape.output {
            Output::Vector { pooling, normalized } => {
                let mut vectors = vec![0.0; texts.len() * width];
                let mut rows = hidden.chunks_exact(width);
                for (text, vector) in texts.iter().zip(vectors.chunks_exact_mut(width)) {
                    let count = if pooling == Pooling::Mean { text.ids.len() } else { 1 };
                    mean(rows.by_ref().take(count), vector);
                    if normalized {
                        normalize(vector);
                    }
                }
                vectors
            }
            Output::Score(head) => {
                let mut scores = vec![0.0; texts.len()];
                if let Some((dense, score)) = &self.head {
                    let mut wide = vec![0.0; texts.len() * width];
                    dense.run(self.arch, hidden, (head == Head::Relu).then_some(Activation::Relu), &mut wide);
                    if head == Head::Tanh {
                        wide.iter_mut().for_each(|x| *x = x.tanh());
                    }
                    score.run(self.arch, &wide, None, &mut scores);
                }
                scores
            }
        }
    }
}

/// Adds the rows to `sum`, which is zeros, and divides it by their number, which is at least 1.
pub fn mean<'a>(rows: impl Iterator<Item = &'a [f32]>, sum: &mut [f32]) {
    let mut count = 0;
    for row in rows {
        sum.iter_mut().zip(row).for_each(|(sum, component)| *sum += component);
        count += 1;
    }
    sum.iter_mut().for_each(|sum| *sum /= count.max(1) as f32);
}

/// Gives a vector the length 1, unless it is 0.
pub fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|component| component * component).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|component| *component /= length);
}

/// Moves the row of each text's first token to the front, and returns how many they are.
fn firsts_of(texts: &[Text], width: usize, hidden: &mut [f32]) -> usize {
    let mut from = 0;
    for (index, text) in texts.iter().enumerate() {
        hidden.copy_within(from * width..(from + 1) * width, index * width);
        from += text.ids.len();
    }
    texts.len()
}

struct Reader<'a, W> {
    level: Level,
    shape: Shape,
    weights: &'a W,
}

impl<W: Weights> Reader<'_, W> {
    fn read(&self, arch: Arch) -> Result<Encoder, BuildError<W::Error>> {
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
        // One matrix of three: each input's weights for queries, keys and values, one after the other.
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
