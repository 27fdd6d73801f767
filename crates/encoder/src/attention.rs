//! Attention within one text.
//!
//! For each head, the keys are transposed and the values copied into panels, then tiles of queries run through them. A tile's scores over
//! the whole text, 24 kB for 512 tokens, are computed, turned into weights and used before they leave the processor's first-level cache.

use pulp::{Simd, WithSimd};

use crate::{
    floats::Floats,
    functions,
    product::{self, for_rows},
};

/// Vectors in a row of a panel.
const VECTORS: usize = 2;

/// Buffers that are reused between texts.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Panels of keys: as many rows as a head is wide.
    keys: Floats,
    /// Panels of values: as many rows as there are tokens.
    values: Floats,
    /// The scores of a tile.
    scores: Floats,
}

impl Scratch {
    pub fn capacity(&self) -> usize {
        self.keys.capacity() + self.values.capacity() + self.scores.capacity()
    }
}

/// The attention of a text's first `queries` tokens to all of its tokens.
pub struct Attention<'a> {
    /// For each token its queries, keys and values, of all heads; the queries include the scale of scores.
    pub projections: &'a [f32],
    pub heads: usize,
    /// The width of all heads together.
    pub hidden: usize,
    /// The bias that is added to scores, `[heads, positions, positions]`, and the number of positions.
    pub distance_bias: Option<(&'a [f32], usize)>,
    pub queries: usize,
    pub scratch: &'a mut Scratch,
    /// The output, `[queries, hidden]`.
    pub out: &'a mut [f32],
}

impl WithSimd for Attention<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            projections,
            heads,
            hidden,
            distance_bias,
            queries,
            scratch,
            out,
        } = self;
        let stride = 3 * hidden;
        let tokens = projections.len() / stride;
        let head_width = hidden / heads;
        // With panels of two vectors a tile has twelve rows, and no panel is half empty for heads of 32.
        let width = VECTORS * S::F32_LANES;
        let padded = tokens.next_multiple_of(width);
        let padded_head = head_width.next_multiple_of(width);
        let most = product::most_rows::<S, VECTORS>();
        scratch.keys.grow(padded * head_width);
        scratch.values.grow(padded_head * tokens);
        scratch.scores.grow(most * padded);
        let keys = scratch.keys.first_mut(padded * head_width);
        let values = scratch.values.first_mut(padded_head * tokens);
        let scores = scratch.scores.first_mut(most * padded);
        let zeros = vec![0.0; head_width];
        for head in 0..heads {
            let first = head * head_width;
            let part = |part: usize| projections[part * hidden + first..].chunks(stride);
            simd.vectorize(
                #[inline(always)]
                || {
                    turn(part(1), &zeros, head_width, width, keys);
                    product::pack(part(2), head_width, width, values);
                },
            );
            product::tiles::<S, VECTORS>(queries, |from, rows| {
                let tile = Tile {
                    queries: &projections[from * stride + first..],
                    stride,
                    head_width,
                    tokens,
                    keys,
                    values,
                    distance_bias: distance_bias.map(|(table, positions)| (&table[(head * positions + from) * positions..], positions)),
                    scores,
                    out: &mut out[from * hidden + first..],
                    out_stride: hidden,
                };
                macro_rules! run {
                    ($rows:literal) => {
                        simd.vectorize(
                            #[inline(always)]
                            || tile.run::<S, $rows>(simd),
                        )
                    };
                }
                for_rows!(rows, most, run);
            });
        }
    }
}

/// Several queries of one head.
struct Tile<'a> {
    /// The queries, beginning with the tile's first one.
    queries: &'a [f32],
    /// The distance between two queries, in floats.
    stride: usize,
    head_width: usize,
    tokens: usize,
    keys: &'a [f32],
    values: &'a [f32],
    /// The bias, beginning with the first query's, and the number of floats for each.
    distance_bias: Option<(&'a [f32], usize)>,
    scores: &'a mut [f32],
    /// The output, beginning with the first query's.
    out: &'a mut [f32],
    /// The distance between two outputs, in floats.
    out_stride: usize,
}

impl Tile<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let Self { head_width, tokens, .. } = self;
        let width = VECTORS * S::F32_LANES;
        let padded = tokens.next_multiple_of(width);
        let none = [[simd.splat_f32s(0.0); VECTORS]; R];
        let queries: [&[f32]; R] = std::array::from_fn(|row| &self.queries[row * self.stride..][..head_width]);
        for (keys, column) in self.keys.chunks_exact(head_width * width).zip((0..).step_by(width)) {
            let sums = product::multiply(simd, queries, product::in_vectors::<S, VECTORS>(keys), &[], none);
            for row in 0..R {
                product::store(simd, sums[row], &mut self.scores[row * padded + column..][..width]);
            }
        }
        let mut factors = [0.0; R];
        for row in 0..R {
            let scores = &mut self.scores[row * padded..][..tokens.next_multiple_of(S::F32_LANES)];
            if let Some((bias, positions)) = self.distance_bias {
                let bias = &bias[row * positions..][..tokens];
                scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
            scores[tokens..].fill(f32::NEG_INFINITY);
            factors[row] = functions::softmax(simd, scores).recip();
        }
        let shares: [&[f32]; R] = std::array::from_fn(|row| &self.scores[row * padded..][..tokens]);
        for (values, column) in self.values.chunks_exact(tokens * width).zip((0..head_width).step_by(width)) {
            let sums = product::multiply(simd, shares, product::in_vectors::<S, VECTORS>(values), &[], none);
            let columns = width.min(head_width - column);
            for row in 0..R {
                let factor = simd.splat_f32s(factors[row]);
                let sums = sums[row].map(
                    #[inline(always)]
                    |sum| simd.mul_f32s(sum, factor),
                );
                product::store(simd, sums, &mut self.out[row * self.out_stride + column..][..columns]);
            }
        }
    }
}

/// Transposes rows into columns of panels; missing columns of the last panel are zeros.
#[inline(always)]
fn turn<'a>(mut rows: impl Iterator<Item = &'a [f32]>, none: &'a [f32], length: usize, width: usize, panels: &mut [f32]) {
    // Four rows at a time: four adjacent floats are one store.
    const AT_ONCE: usize = 4;
    for panel in panels.chunks_exact_mut(width * length) {
        for first in (0..width).step_by(AT_ONCE) {
            let four: [&[f32]; AT_ONCE] = std::array::from_fn(|_| rows.next().map_or(none, |row| &row[..length]));
            for (index, cells) in panel.chunks_exact_mut(width).enumerate() {
                if let Some(cells) = cells[first..].first_chunk_mut::<AT_ONCE>() {
                    *cells = four.map(|row| row[index]);
                }
            }
        }
    }
}
