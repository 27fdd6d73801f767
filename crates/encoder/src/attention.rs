//! Attention within one text.
//!
//! Head after head: the keys are turned and the values copied into panels, then tiles of queries run through them. A tile's scores over
//! the whole text, 24 kB for 512 tokens, are made, turned into shares and used before they leave the processor's first cache.

use pulp::{Simd, WithSimd};

use crate::{
    floats::Floats,
    functions,
    product::{self, Begin, Tile},
};

/// Vectors in a panel's row.
const VECTORS: usize = 2;

/// Memory that is used again.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Panels of keys: as many rows as a head is wide.
    keys: Floats,
    /// Panels of values: as many rows as there are tokens.
    values: Floats,
    /// A tile's scores.
    scores: Floats,
}

impl Scratch {
    pub fn capacity(&self) -> usize {
        self.keys.capacity() + self.values.capacity() + self.scores.capacity()
    }
}

/// The attention of a text's first `queries` tokens to all of its tokens.
pub struct Attention<'a> {
    /// For each token its queries, keys and values, of all heads; the scale of scores is part of the queries.
    pub projections: &'a [f32],
    pub heads: usize,
    /// Of all heads together.
    pub hidden: usize,
    /// Added to scores, `[heads, positions, positions]`, with the number of positions.
    pub distance_bias: Option<(&'a [f32], usize)>,
    pub queries: usize,
    pub scratch: &'a mut Scratch,
    /// `[queries, hidden]`.
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
                    panel(part(2), head_width, width, values);
                },
            );
            product::tiles::<S, VECTORS>(queries, |from, rows| {
                let keys = keys.chunks_exact(head_width * width);
                for (keys, column) in keys.zip((0..).step_by(width)) {
                    let tile = Tile::<S, VECTORS> {
                        rows: &projections[from * stride + first..],
                        stride,
                        panel: product::in_vectors::<S, VECTORS>(keys),
                        ahead: &[],
                        begin: Begin::Zero,
                        out: &mut scores[column..],
                        out_stride: padded,
                        columns: width,
                        activation: None,
                    };
                    tile.run(simd, rows);
                }
                let mut sums = [0.0; 16];
                simd.vectorize(
                    #[inline(always)]
                    || {
                        for ((row, scores), sum) in (from..).zip(scores.chunks_exact_mut(padded)).take(rows).zip(&mut sums) {
                            if let Some((table, positions)) = distance_bias {
                                let bias = &table[(head * positions + row) * positions..][..tokens];
                                scores.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
                            }
                            let scores = &mut scores[..tokens.next_multiple_of(S::F32_LANES)];
                            scores[tokens..].fill(f32::NEG_INFINITY);
                            *sum = functions::softmax(simd, scores);
                        }
                    },
                );
                for (values, column) in values.chunks_exact(tokens * width).zip((0..head_width).step_by(width)) {
                    let columns = width.min(head_width - column);
                    let tile = Tile::<S, VECTORS> {
                        rows: scores,
                        stride: padded,
                        panel: product::in_vectors::<S, VECTORS>(values),
                        ahead: &[],
                        begin: Begin::Zero,
                        out: &mut out[from * hidden + first + column..],
                        out_stride: hidden,
                        columns,
                        activation: None,
                    };
                    tile.run(simd, rows);
                }
                simd.vectorize(
                    #[inline(always)]
                    || {
                        for (row, sum) in (from..from + rows).zip(sums) {
                            functions::scale(simd, &mut out[row * hidden + first..][..head_width], sum.recip());
                        }
                    },
                );
            });
        }
    }
}

/// Rows become columns of panels; columns that are missing from the last panel are zeros.
#[inline(always)]
fn turn<'a>(mut rows: impl Iterator<Item = &'a [f32]>, none: &'a [f32], length: usize, width: usize, panels: &mut [f32]) {
    // Four rows at a time: four floats that lie side by side are one store.
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

/// Rows become rows of panels; columns that are missing from the last panel are zeros.
#[inline(always)]
fn panel<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone, length: usize, width: usize, panels: &mut [f32]) {
    let tokens = panels.len() / length.next_multiple_of(width);
    for (panel, first) in panels.chunks_exact_mut(tokens * width).zip((0..length).step_by(width)) {
        let columns = width.min(length - first);
        for (cells, row) in panel.chunks_exact_mut(width).zip(rows.clone()) {
            cells[..columns].copy_from_slice(&row[first..][..columns]);
            cells[columns..].fill(0.0);
        }
    }
}
