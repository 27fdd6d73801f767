//! A model: its weights, and the forward pass over its layers.

mod shape;
mod weights;

pub use shape::{Activation, Head, Output, Pooling, Shape};
pub use weights::{BuildError, Weights};

use std::sync::{Mutex, PoisonError};

use pulp::Arch;

use crate::{
    attention::{self, Attention},
    floats::{Floats, Level},
    functions::{AddNorm, Norm},
    product::{self, Linear},
};
use weights::Reader;

/// A tokenised text.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Token ids; at least one.
    pub ids: &'a [u32],
    /// The index of the first token of the second text of a pair; the length of `ids` if there is none.
    pub second: usize,
}

/// Why texts cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A text has no tokens.
    #[error("a text has no tokens")]
    Empty,
    /// The text has more tokens than the model has positions.
    #[error("a text has {tokens} tokens, the model reads {positions}")]
    TooLong {
        /// Tokens of the text.
        tokens: usize,
        /// The most tokens that the model reads.
        positions: usize,
    },
    /// The table of words has no row for the token.
    #[error("a token has the id {id}, the model has {vocabulary} words")]
    UnknownWord {
        /// The id of the token.
        id: u32,
        /// Rows of the table.
        vocabulary: usize,
    },
}

/// A model that is ready to run, shared by any number of threads.
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
    /// Buffers of earlier runs, to be reused: as many as ever ran at a time, and none that is large.
    scratch: Mutex<Vec<Scratch>>,
}

#[derive(Debug)]
struct Layer {
    /// Maps to queries, keys and values.
    projection: Linear,
    attended: Linear,
    attended_norm: Norm,
    inner: Linear,
    output: Linear,
    output_norm: Norm,
}

/// The buffers that a run writes to.
#[derive(Debug, Default)]
struct Scratch {
    hidden: Floats,
    projections: Floats,
    context: Floats,
    inner: Floats,
    added: Floats,
    attention: attention::Scratch,
}

/// The most floats of a buffer that is kept: 64 MiB.
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

    /// Returns the number of components of a text's output.
    #[must_use]
    pub fn dimension(&self) -> usize {
        match self.shape.output {
            Output::Vector { .. } => self.shape.hidden,
            Output::Score(_) => 1,
        }
    }

    /// Computes one vector, or one score, for each text, one after the other.
    ///
    /// # Errors
    /// [`RunError`] if the model cannot read one of the texts; then nothing is computed.
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
        // Where only the first tokens' vectors are used, the last layer computes no others.
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

    /// Sums the embeddings of words, positions and types, and normalises the sums.
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

    /// Computes the output from the tokens' vectors, or from those of each text's first token.
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

/// Scales a vector to length 1, unless it is 0.
pub fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|component| component * component).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|component| *component /= length);
}

/// Moves the row of each text's first token to the front, and returns the number of texts.
fn firsts_of(texts: &[Text], width: usize, hidden: &mut [f32]) -> usize {
    let mut from = 0;
    for (index, text) in texts.iter().enumerate() {
        hidden.copy_within(from * width..(from + 1) * width, index * width);
        from += text.ids.len();
    }
    texts.len()
}
