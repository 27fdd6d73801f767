//! Products of rows with a matrix, which take nine tenths of the time.
//!
//! The matrix is stored in panels, in the order in which they are read. A tile of the result, some rows by one panel, is summed in
//! registers: with AVX-512 six rows by four vectors, so that 24 of 32 registers hold sums, and each loaded value is used four or six times.
//! Where two threads share a core, as on most virtual machines, the number of instructions besides multiplications decides: four vectors to
//! a row need the fewest.

use pulp::{Arch, Simd, WithSimd};

use crate::{
    encoder::Activation,
    floats::{self, Floats, Level},
    functions,
};

/// The most inputs that are multiplied at a time, so that this part of a panel, and of the rows, stays in the cache.
const DEPTH: usize = 384;
/// The most rows that run through all panels before the next ones do. Panels come from memory, so each should serve many rows; but the
/// rows' inner components, between the two steps of a feed-forward part, should stay in the cache. A multiple of 12.
pub const BLOCK: usize = 264;

/// A linear layer's weights and bias.
#[derive(Debug)]
pub struct Linear {
    inputs: usize,
    outputs: usize,
    /// The number of columns in a panel.
    width: usize,
    /// Panel after panel, each `inputs` rows of `width`; missing columns of the last one are zeros.
    panels: Floats,
    /// As long as all panels are wide together.
    bias: Floats,
}

impl Linear {
    /// Packs a layer: `weights` are rows of `outputs` floats, one row for each input.
    pub fn new(level: Level, weights: &[f32], bias: &[f32], inputs: usize, outputs: usize) -> Self {
        let width = level.lanes() * vectors(level.lanes());
        let padded = outputs.next_multiple_of(width);
        let mut panels = Floats::zeros(padded * inputs);
        pack(weights.chunks_exact(outputs), outputs, width, panels.first_mut(padded * inputs));
        let mut padded_bias = Floats::zeros(padded);
        padded_bias.first_mut(outputs).copy_from_slice(bias);
        Self {
            inputs,
            outputs,
            width,
            panels,
            bias: padded_bias,
        }
    }

    /// Writes the layer's output for each of `rows`, which are `inputs` long each, to `out`.
    pub fn run(&self, arch: Arch, rows: &[f32], activation: Option<Activation>, out: &mut [f32]) {
        arch.dispatch(Product {
            linear: self,
            rows,
            activation,
            out,
        });
    }
}

/// Returns the number of rows in a block, so that there are as few blocks as possible, of equal size.
pub fn block(rows: usize) -> usize {
    // Tiles have 6 or 12 rows.
    rows.div_ceil(rows.div_ceil(BLOCK).max(1)).next_multiple_of(12).max(12)
}

/// Returns the number of vectors in a panel's row.
const fn vectors(lanes: usize) -> usize {
    if lanes == 16 { 4 } else { 2 }
}

struct Product<'a> {
    linear: &'a Linear,
    rows: &'a [f32],
    activation: Option<Activation>,
    out: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::F32_LANES == 16 {
            self.in_panels_of::<S, { vectors(16) }>(simd);
        } else {
            self.in_panels_of::<S, { vectors(8) }>(simd);
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn in_panels_of<S: Simd, const V: usize>(self, simd: S) {
        let Self {
            linear,
            rows,
            activation,
            out,
        } = self;
        let (inputs, outputs, width) = (linear.inputs, linear.outputs, linear.width);
        let depth = inputs.div_ceil(inputs.div_ceil(DEPTH));
        let weights = linear.panels.first(outputs.next_multiple_of(width) * inputs);
        let block = block(rows.len() / inputs);
        let blocks = rows.chunks(block * inputs).zip(out.chunks_mut(block * outputs));
        for (rows, out) in blocks {
            let count = rows.len() / inputs;
            for first in (0..outputs).step_by(width) {
                let bias = &linear.bias.first(first + width)[first..];
                for from in (0..inputs).step_by(depth) {
                    let depth = depth.min(inputs - from);
                    // Panels lie one after the other, so that memory is read in order.
                    let (panel, later) = weights[first * inputs + from * width..].split_at(depth * width);
                    let mut ahead = floats::parts(&later[..later.len().min(panel.len())], count.div_ceil(most_rows::<S, V>()));
                    let panel = in_vectors::<S, V>(panel);
                    tiles::<S, V>(count, |row, tile_rows| {
                        let tile = Tile {
                            rows: &rows[row * inputs + from..],
                            stride: inputs,
                            panel,
                            ahead: ahead.next().unwrap_or_default(),
                            bias: (from == 0).then_some(bias),
                            out: &mut out[row * outputs + first..],
                            out_stride: outputs,
                            columns: width.min(outputs - first),
                            activation: activation.filter(|_| from + depth == inputs),
                        };
                        tile.run(simd, tile_rows);
                    });
                }
            }
        }
    }
}

/// Returns the most rows in a tile of `V` vectors: as many sums as there are registers for, with some left for the factors.
pub const fn most_rows<S: Simd, const V: usize>() -> usize {
    if S::F32_LANES == 16 { 24 / V } else { 12 / V }
}

/// Divides rows into tiles of equal size, and calls `each` with the first row and the number of rows of each tile.
#[inline(always)]
pub fn tiles<S: Simd, const V: usize>(rows: usize, mut each: impl FnMut(usize, usize)) {
    let count = rows.div_ceil(most_rows::<S, V>());
    let mut from = 0;
    for left in (1..=count).rev() {
        let rows = (rows - from).div_ceil(left);
        each(from, rows);
        from += rows;
    }
}

/// Returns a panel's rows as vectors.
#[inline(always)]
pub fn in_vectors<S: Simd, const V: usize>(panel: &[f32]) -> &[[S::f32s; V]] {
    S::as_simd_f32s(panel).0.as_chunks().0
}

/// Calls a function that is generic over the number of rows, for each number that tiles of `V` vectors may have.
macro_rules! for_rows {
    ($rows:expr, $most:expr, $run:ident) => {
        for_rows!($rows, $most, $run, 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    ($rows:expr, $most:expr, $run:ident, $($count:literal)*) => {
        match $rows {
            $($count if $count <= $most => $run!($count),)*
            _ => {}
        }
    };
}
pub(crate) use for_rows;

/// A tile of a product.
struct Tile<'a, S: Simd, const V: usize> {
    /// The left side, beginning with the tile's first row.
    rows: &'a [f32],
    /// The distance between two of its rows, in floats.
    stride: usize,
    /// The right side; it has as many rows as the left side has columns.
    panel: &'a [[S::f32s; V]],
    /// Memory that is read next, to be prefetched.
    ahead: &'a [f32],
    /// The initial value of the sums, the same for all rows; `None` adds to the result.
    bias: Option<&'a [f32]>,
    /// The result, beginning with the tile's first cell.
    out: &'a mut [f32],
    /// The distance between two of its rows, in floats.
    out_stride: usize,
    /// The number of columns of the result; at most a panel's width.
    columns: usize,
    /// The activation that is applied to the sums at the end.
    activation: Option<Activation>,
}

impl<S: Simd, const V: usize> Tile<'_, S, V> {
    /// Computes a tile of `rows` rows, at most [`most_rows`].
    #[inline(always)]
    fn run(self, simd: S, rows: usize) {
        macro_rules! run {
            ($rows:literal) => {
                simd.vectorize(
                    #[inline(always)]
                    || self.run_rows::<$rows>(simd),
                )
            };
        }
        for_rows!(rows, most_rows::<S, V>(), run);
    }

    #[inline(always)]
    fn run_rows<const R: usize>(self, simd: S) {
        let length = self.panel.len();
        let rows: [&[f32]; R] = std::array::from_fn(|row| &self.rows[row * self.stride..][..length]);
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        if let Some(bias) = self.bias {
            sums = [in_vectors::<S, V>(bias)[0]; R];
        } else {
            for row in 0..R {
                sums[row] = load(simd, &self.out[row * self.out_stride..][..self.columns]);
            }
        }
        let sums = multiply(simd, rows, self.panel, self.ahead, sums);
        for row in 0..R {
            store(simd, sums[row], &mut self.out[row * self.out_stride..][..self.columns]);
        }
        if let Some(activation) = self.activation {
            for row in 0..R {
                functions::activate(simd, activation, &mut self.out[row * self.out_stride..][..self.columns]);
            }
        }
    }
}

/// Packs rows of `length` floats into rows of panels; missing columns of the last panel are zeros.
#[inline(always)]
pub fn pack<'a>(rows: impl Iterator<Item = &'a [f32]> + Clone, length: usize, width: usize, panels: &mut [f32]) {
    let panel_length = panels.len() / length.div_ceil(width);
    for (panel, first) in panels.chunks_exact_mut(panel_length).zip((0..length).step_by(width)) {
        let columns = width.min(length - first);
        for (cells, row) in panel.chunks_exact_mut(width).zip(rows.clone()) {
            cells[..columns].copy_from_slice(&row[first..][..columns]);
            cells[columns..].fill(0.0);
        }
    }
}

/// Reads a row of a tile, or as much of it as exists.
#[inline(always)]
fn load<S: Simd, const V: usize>(simd: S, cells: &[f32]) -> [S::f32s; V] {
    if let Some(sums) = S::as_simd_f32s(cells).0.first_chunk() {
        return *sums;
    }
    let mut sums = [simd.splat_f32s(0.0); V];
    for (column, cells) in cells.chunks(S::F32_LANES).enumerate() {
        sums[column] = simd.partial_load_f32s(cells);
    }
    sums
}

/// Writes a row of a tile, or as much of it as fits: the memory behind it is another row's.
#[inline(always)]
pub fn store<S: Simd, const V: usize>(simd: S, sums: [S::f32s; V], out: &mut [f32]) {
    let (cells, _) = S::as_mut_simd_f32s(out);
    if let Some(cells) = cells.first_chunk_mut() {
        *cells = sums;
    } else {
        for (out, sum) in out.chunks_mut(S::F32_LANES).zip(sums) {
            simd.partial_store_f32s(out, sum);
        }
    }
}

/// Steps between two prefetches, at which the rows' bounds are checked again. A product of few rows waits for memory more than it computes,
/// so it needs prefetches at even intervals.
const STEPS: usize = 16;

/// Adds the products to the sums.
///
/// Two steps at a time, so that one index reaches all rows. With more, the compiler would load the factors ahead and run out of registers.
/// The innermost loops are written out twice for the same reason: a function of their own costs registers.
#[inline(always)]
pub fn multiply<S: Simd, const R: usize, const V: usize>(
    simd: S,
    rows: [&[f32]; R],
    panel: &[[S::f32s; V]],
    ahead: &[f32],
    mut sums: [[S::f32s; V]; R],
) -> [[S::f32s; V]; R] {
    let mut lines = floats::lines(ahead);
    let at_a_time = lines.len().div_ceil(panel.len().div_ceil(STEPS).max(1));
    for (part, weights) in panel.chunks(STEPS).enumerate() {
        lines.by_ref().take(at_a_time).for_each(floats::prefetch);
        let (pairs, odd) = weights.as_chunks::<2>();
        let rows = rows.map(|row| row[part * STEPS..][..weights.len()].as_chunks::<2>());
        for index in 0..pairs.len() {
            for step in 0..2 {
                for row in 0..R {
                    let factor = simd.splat_f32s(rows[row].0[index][step]);
                    for column in 0..V {
                        sums[row][column] = simd.mul_add_e_f32s(factor, pairs[index][step][column], sums[row][column]);
                    }
                }
            }
        }
        for weights in odd {
            for row in 0..R {
                let factor = simd.splat_f32s(rows[row].1[0]);
                for column in 0..V {
                    sums[row][column] = simd.mul_add_e_f32s(factor, weights[column], sums[row][column]);
                }
            }
        }
    }
    sums
}
