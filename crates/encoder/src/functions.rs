//! Elementwise functions, and normalisation.

use pulp::{Simd, WithSimd};

use crate::encoder::Activation;

/// Returns 2 to the power of each lane, within 2 units in the last place; for lanes below -126, some 1e-38.
///
/// x is n + f with |f| at most a half: a polynomial (fitted for the least maximal relative error, 7.5e-8) gives 2^f, and n goes to the
/// exponent's bits.
#[inline(always)]
fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |value| simd.splat_f32s(value);
    // Adding this rounds to a whole number, which then stands in the lowest bits.
    let shift = splat(12_582_912.0);
    let x = simd.max_f32s(x, splat(-126.0));
    let shifted = simd.add_f32s(x, shift);
    let f = simd.sub_f32s(x, simd.sub_f32s(shifted, shift));
    let power = polynomial(
        simd,
        f,
        [1.000_000_1, 0.693_146_94, 0.240_221_2, 0.055_507_13, 0.009_675_541, 0.001_327_647_1],
    );
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(power), exponent))
}

/// Evaluates the polynomial of these coefficients, lowest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(0.0);
    for (index, coefficient) in coefficients.into_iter().enumerate().rev() {
        let coefficient = simd.splat_f32s(coefficient);
        sum = if index + 1 == N {
            coefficient
        } else {
            simd.mul_add_f32s(sum, x, coefficient)
        };
    }
    sum
}

/// Applies an activation to each float.
#[inline(always)]
pub fn activate<S: Simd>(simd: S, activation: Activation, floats: &mut [f32]) {
    match activation {
        Activation::Gelu => each(
            simd,
            floats,
            #[inline(always)]
            |x| gelu(simd, x),
        ),
        Activation::GeluTanh => each(
            simd,
            floats,
            #[inline(always)]
            |x| gelu_tanh(simd, x),
        ),
        Activation::Relu => each(
            simd,
            floats,
            #[inline(always)]
            |x| simd.max_f32s(x, simd.splat_f32s(0.0)),
        ),
    }
}

#[inline(always)]
fn each<S: Simd>(simd: S, floats: &mut [f32], function: impl Fn(S::f32s) -> S::f32s) {
    let (vectors, rest) = S::as_mut_simd_f32s(floats);
    for vector in vectors {
        *vector = function(*vector);
    }
    if !rest.is_empty() {
        let vector = function(simd.partial_load_f32s(rest));
        simd.partial_store_f32s(rest, vector);
    }
}

/// Returns x times the normal distribution function of x, with an absolute error below 1e-6.
///
/// The distribution function is 1/2 + x g(x^2), where g is a polynomial over |x| < 5.2 (fitted for the least maximal error of x g, 1e-8).
/// Beyond that range it is taken as 0 or 1, which is off by less than 1e-7. No division, no case for small x.
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const LIMIT: f32 = 5.2;
    let splat = |value| simd.splat_f32s(value);
    // Maps x^2 to -1 to 1, where a polynomial's coefficients stay small.
    let u = simd.mul_add_f32s(simd.mul_f32s(x, x), splat(2.0 / (LIMIT * LIMIT)), splat(-1.0));
    let g = polynomial(
        simd,
        u,
        [
            0.135_949_98,
            -0.067_743_81,
            0.050_026_11,
            -0.039_925_396,
            0.031_962_324,
            -0.024_763_45,
            0.018_133_925,
            -0.012_353_357,
            0.008_010_079,
            -0.005_067_373,
            0.002_662_458_2,
            -0.000_978_511_3,
            0.000_600_747_65,
            -0.000_562_291_9,
            0.000_202_393_48,
        ],
    );
    let share = simd.mul_add_f32s(x, g, splat(0.5));
    let inside = simd.less_than_f32s(simd.abs_f32s(x), splat(LIMIT));
    simd.select_f32s(inside, simd.mul_f32s(x, share), simd.max_f32s(x, splat(0.0)))
}

/// Returns Gelu by tanh: x / (1 + e^(-2u)) with u = sqrt(2/pi) (x + 0.044715 x^3).
#[inline(always)]
fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // For a power of 2 instead of e.
    const SLOPE: f32 = -2.0 * 0.797_884_6 * std::f32::consts::LOG2_E;
    let splat = |value| simd.splat_f32s(value);
    let inner = simd.mul_add_f32s(simd.mul_f32s(x, x), splat(SLOPE * 0.044_715), splat(SLOPE));
    // Beyond 126 the quotient is 0 to a float's precision, and the power would overflow.
    let power = exp2(simd, simd.min_f32s(simd.mul_f32s(x, inner), splat(126.0)));
    simd.div_f32s(x, simd.add_f32s(splat(1.0), power))
}

/// Replaces each score by e^(score - the largest score), and returns their sum. Lanes of the last vector behind the scores must be negative
/// infinity.
#[inline(always)]
pub fn softmax<S: Simd>(simd: S, scores: &mut [f32]) -> f32 {
    let (scores, _) = S::as_mut_simd_f32s(scores);
    let mut greatest = simd.splat_f32s(f32::NEG_INFINITY);
    for score in scores.iter() {
        greatest = simd.max_f32s(greatest, *score);
    }
    let scale = simd.splat_f32s(std::f32::consts::LOG2_E);
    let offset = simd.splat_f32s(-simd.reduce_max_f32s(greatest) * std::f32::consts::LOG2_E);
    let mut sum = simd.splat_f32s(0.0);
    for score in scores {
        *score = exp2(simd, simd.mul_add_f32s(*score, scale, offset));
        sum = simd.add_f32s(sum, *score);
    }
    simd.reduce_sum_f32s(sum)
}

/// The parameters of a normalisation.
#[derive(Debug)]
pub struct Norm {
    pub scale: Vec<f32>,
    pub offset: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Adds `added` to `rows` if it is present, and normalises each row.
pub struct AddNorm<'a> {
    pub norm: &'a Norm,
    pub rows: &'a mut [f32],
    pub added: Option<&'a [f32]>,
}

impl WithSimd for AddNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.norm.scale.len().max(1);
        for (index, row) in self.rows.chunks_exact_mut(width).enumerate() {
            let added = self.added.map(|added| &added[index * width..][..width]);
            norm_row(simd, self.norm, row, added);
        }
    }
}

#[inline(always)]
fn norm_row<S: Simd>(simd: S, norm: &Norm, row: &mut [f32], added: Option<&[f32]>) {
    let width = row.len() as f32;
    let mut sum = simd.splat_f32s(0.0);
    let (vectors, rest) = S::as_mut_simd_f32s(row);
    let tail = if let Some(added) = added {
        let (added, added_rest) = S::as_simd_f32s(added);
        for (x, added) in vectors.iter_mut().zip(added) {
            *x = simd.add_f32s(*x, *added);
            sum = simd.add_f32s(sum, *x);
        }
        simd.add_f32s(simd.partial_load_f32s(rest), simd.partial_load_f32s(added_rest))
    } else {
        for x in vectors.iter() {
            sum = simd.add_f32s(sum, *x);
        }
        simd.partial_load_f32s(rest)
    };
    let mean = simd.reduce_sum_f32s(simd.add_f32s(sum, tail)) / width;
    let means = simd.splat_f32s(mean);
    let mut squares = simd.splat_f32s(0.0);
    for x in vectors.iter() {
        let distance = simd.sub_f32s(*x, means);
        squares = simd.mul_add_f32s(distance, distance, squares);
    }
    // Lanes beyond the row must not count.
    let mut ones = [0.0; 16];
    ones[..rest.len()].fill(1.0);
    let (ones, _) = S::as_simd_f32s(&ones);
    let distance = simd.mul_f32s(simd.sub_f32s(tail, means), ones[0]);
    squares = simd.mul_add_f32s(distance, distance, squares);
    let variance = simd.reduce_sum_f32s(squares) / width;
    let factor = simd.splat_f32s((variance + norm.epsilon).sqrt().recip());
    let (scale, scale_rest) = S::as_simd_f32s(&norm.scale);
    let (offset, offset_rest) = S::as_simd_f32s(&norm.offset);
    for ((x, scale), offset) in vectors.iter_mut().zip(scale).zip(offset) {
        let even = simd.mul_f32s(simd.sub_f32s(*x, means), factor);
        *x = simd.mul_add_f32s(even, *scale, *offset);
    }
    if !rest.is_empty() {
        let even = simd.mul_f32s(simd.sub_f32s(tail, means), factor);
        let tail = simd.mul_add_f32s(even, simd.partial_load_f32s(scale_rest), simd.partial_load_f32s(offset_rest));
        simd.partial_store_f32s(rest, tail);
    }
}
