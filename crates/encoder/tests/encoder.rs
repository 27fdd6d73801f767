//! Small models of odd sizes, beside the forward pass written out in 64 bits.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;

use ibid_encoder::{Activation, BuildError, Encoder, Head, Level, Output, Pooling, RunError, Shape, Text, Weights};

/// Arbitrary weights, the same for the same name.
#[derive(Default)]
struct Arbitrary(RefCell<HashMap<String, Vec<f32>>>);

impl Arbitrary {
    fn get(&self, name: &str, size: usize) -> Vec<f32> {
        let mut known = self.0.borrow_mut();
        let weights = known.entry(name.to_owned()).or_insert_with(|| {
            let mut state = name.bytes().fold(0x2545_F491_4F6C_DD1D_u64, |state, byte| {
                (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
            });
            let offset = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * 0.3 + offset
            };
            (0..size).map(|_| next()).collect()
        });
        assert_eq!(weights.len(), size, "{name}");
        weights.clone()
    }
}

impl Weights for Arbitrary {
    type Error = Infallible;

    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Infallible> {
        Ok(self.get(name, shape.iter().product()))
    }

    fn matrix(&self, name: &str, inputs: usize, outputs: usize) -> Result<Vec<f32>, Infallible> {
        Ok(self.get(&format!("{name}.weight"), inputs * outputs))
    }
}

fn shape() -> Shape {
    Shape {
        layers: 2,
        heads: 3,
        // No multiple of a vector, of a panel or of a head's panel.
        hidden: 57,
        inner: 101,
        vocabulary: 97,
        positions: 170,
        types: None,
        epsilon: 1e-12,
        activation: Activation::Gelu,
        distance_bias: false,
        output: Output::Vector {
            pooling: Pooling::Mean,
            normalized: true,
        },
    }
}

fn ids(length: usize, seed: usize) -> Vec<u32> {
    (0..length).map(|place| ((place * 31 + seed * 7) % 97) as u32).collect()
}

fn text(ids: &[u32]) -> Text<'_> {
    Text { ids, second: ids.len() }
}

/// Returns the forward pass of one text in 64 bits.
fn plain(shape: &Shape, weights: &Arbitrary, text: Text) -> Vec<f64> {
    let wide = |floats: Vec<f32>| floats.into_iter().map(f64::from).collect::<Vec<f64>>();
    let width = shape.hidden;
    let linear = |name: &str, rows: &[Vec<f64>], outputs: usize| -> Vec<Vec<f64>> {
        let matrix = wide(weights.get(&format!("{name}.weight"), rows[0].len() * outputs));
        let bias = wide(weights.get(&format!("{name}.bias"), outputs));
        let cell =
            |row: &[f64], column: usize| bias[column] + row.iter().enumerate().map(|(i, x)| x * matrix[i * outputs + column]).sum::<f64>();
        rows.iter()
            .map(|row| (0..outputs).map(|column| cell(row, column)).collect())
            .collect()
    };
    let norm = |name: &str, rows: &mut [Vec<f64>]| {
        let (scale, offset) = (
            wide(weights.get(&format!("{name}.weight"), width)),
            wide(weights.get(&format!("{name}.bias"), width)),
        );
        for row in rows {
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            for ((x, scale), offset) in row.iter_mut().zip(&scale).zip(&offset) {
                *x = (*x - mean) / (variance + f64::from(shape.epsilon)).sqrt() * scale + offset;
            }
        }
    };
    let activate = |x: f64| match shape.activation {
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / 2_f64.sqrt())),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh()),
        Activation::Relu => x.max(0.0),
    };
    let words = wide(weights.get("embeddings.word_embeddings.weight", shape.vocabulary * width));
    let places = wide(weights.get("embeddings.position_embeddings.weight", shape.positions * width));
    let kinds = match shape.types {
        Some(types) => wide(weights.get("embeddings.token_type_embeddings.weight", types * width)),
        None => wide(weights.get("embeddings.token_type_embeddings.0", width)),
    };
    let mut hidden: Vec<Vec<f64>> = text
        .ids
        .iter()
        .enumerate()
        .map(|(place, id)| {
            let kind = usize::from(shape.types.is_some() && place >= text.second);
            (0..width)
                .map(|i| words[*id as usize * width + i] + places[place * width + i] + kinds[kind * width + i])
                .collect()
        })
        .collect();
    norm("embeddings.LayerNorm", &mut hidden);
    let head_width = width / shape.heads;
    for layer in 0..shape.layers {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        let [query, key, value] = ["query", "key", "value"].map(|part| linear(&at(&format!("attention.self.{part}")), &hidden, width));
        let mut context = vec![vec![0.0; width]; hidden.len()];
        for head in 0..shape.heads {
            let part = head * head_width..(head + 1) * head_width;
            for (row, query) in query.iter().enumerate() {
                let score = |(column, key): (usize, &Vec<f64>)| {
                    let bias = if shape.distance_bias {
                        let table = weights.get("encoder.distance_bias", shape.heads * shape.positions * shape.positions);
                        f64::from(table[(head * shape.positions + row) * shape.positions + column])
                    } else {
                        0.0
                    };
                    (query[part.clone()].iter().zip(&key[part.clone()]).map(|(a, b)| a * b).sum::<f64>() + bias).exp()
                };
                let shares: Vec<f64> = key.iter().enumerate().map(score).collect();
                let sum: f64 = shares.iter().sum();
                for (share, value) in shares.iter().zip(&value) {
                    for i in part.clone() {
                        context[row][i] += share / sum * value[i];
                    }
                }
            }
        }
        let add = |rows: &mut [Vec<f64>], added: Vec<Vec<f64>>| {
            for (row, added) in rows.iter_mut().zip(added) {
                row.iter_mut().zip(added).for_each(|(x, y)| *x += y);
            }
        };
        add(&mut hidden, linear(&at("attention.output.dense"), &context, width));
        norm(&at("attention.output.LayerNorm"), &mut hidden);
        let mut inner = linear(&at("intermediate.dense"), &hidden, shape.inner);
        inner.iter_mut().flatten().for_each(|x| *x = activate(*x));
        add(&mut hidden, linear(&at("output.dense"), &inner, width));
        norm(&at("output.LayerNorm"), &mut hidden);
    }
    match shape.output {
        Output::Vector { pooling, normalized } => {
            let rows = if pooling == Pooling::Mean { hidden.len() } else { 1 };
            let mut vector: Vec<f64> = (0..width)
                .map(|i| hidden[..rows].iter().map(|row| row[i]).sum::<f64>() / rows as f64)
                .collect();
            if normalized {
                let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
                vector.iter_mut().for_each(|x| *x /= length);
            }
            vector
        }
        Output::Score(head) => {
            let mut dense = linear("head.dense", &hidden[..1], width);
            dense[0]
                .iter_mut()
                .for_each(|x| *x = if head == Head::Tanh { x.tanh() } else { x.max(0.0) });
            linear("head.score", &dense, 1).remove(0)
        }
    }
}

/// Returns the error function, by its series.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

/// Lengths around those of tiles, panels and blocks.
const LENGTHS: [usize; 14] = [1, 2, 5, 6, 7, 12, 13, 16, 31, 32, 33, 65, 150, 170];

fn check(shape: &Shape) {
    let weights = Arbitrary::default();
    let texts: Vec<Vec<u32>> = LENGTHS.iter().enumerate().map(|(seed, length)| ids(*length, seed)).collect();
    let texts: Vec<Text> = texts
        .iter()
        .map(|ids| Text {
            ids,
            second: ids.len() / 2,
        })
        .collect();
    let expected: Vec<Vec<f64>> = texts.iter().map(|text| plain(shape, &weights, *text)).collect();
    for level in Level::all() {
        let encoder = Encoder::new(level, *shape, &weights).expect("the weights are there");
        let together = encoder.run(&texts).expect("texts of words");
        assert_eq!(together.len(), texts.len() * encoder.dimension());
        for ((found, expected), text) in together.chunks(encoder.dimension()).zip(&expected).zip(&texts) {
            let largest = expected.iter().fold(1.0_f64, |largest, x| largest.max(x.abs()));
            for (found, expected) in found.iter().zip(expected) {
                let error = (f64::from(*found) - expected).abs();
                assert!(
                    error < 3e-6 * largest,
                    "{level:?}, {} tokens: {found} instead of {expected}",
                    text.ids.len()
                );
            }
            let alone = encoder.run(&[*text]).expect("a text of words");
            assert_eq!(alone, found, "a text's neighbours change it");
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn levels_are_those_that_the_processor_has() {
    let levels: Vec<Level> = Level::all().collect();
    assert_eq!(
        levels.contains(&Level::Avx2),
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    );
    assert_eq!(
        levels.contains(&Level::Avx512),
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
    );
    assert_eq!(Level::widest(), levels.last().copied());
}

#[test]
fn vectors_equal_the_plain_forward_pass_and_do_not_depend_on_neighbours() {
    check(&shape());
}

#[test]
fn the_first_tokens_vector_is_one_of_the_last_layer_too() {
    let mut shape = shape();
    shape.output = Output::Vector {
        pooling: Pooling::Cls,
        normalized: false,
    };
    check(&shape);
    shape.layers = 0;
    check(&shape);
}

#[test]
fn scores_types_and_distances_equal_the_plain_forward_pass() {
    let mut shape = shape();
    shape.types = Some(2);
    shape.output = Output::Score(Head::Tanh);
    check(&shape);
    shape.output = Output::Score(Head::Relu);
    shape.activation = Activation::GeluTanh;
    shape.distance_bias = true;
    shape.layers = 1;
    check(&shape);
}

#[test]
fn wide_heads_and_deep_products_equal_the_plain_forward_pass() {
    let mut shape = shape();
    shape.layers = 1;
    shape.heads = 1;
    shape.hidden = 80;
    // More than is multiplied at a time.
    shape.inner = 500;
    shape.activation = Activation::Relu;
    check(&shape);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let weights = Arbitrary::default();
    let Some(level) = Level::widest() else { return };
    let encoder = Encoder::new(level, shape(), &weights).expect("the weights are there");
    assert_eq!(encoder.run(&[]), Ok(Vec::new()));
    assert_eq!(encoder.run(&[text(&[1]), text(&[])]), Err(RunError::Empty));
    assert_eq!(
        encoder.run(&[text(&ids(171, 0))]),
        Err(RunError::TooLong {
            tokens: 171,
            positions: 170
        })
    );
    assert_eq!(
        encoder.run(&[text(&[96, 97])]),
        Err(RunError::UnknownWord { id: 97, vocabulary: 97 })
    );
    let refused = |change: fn(&mut Shape)| {
        let mut shape = shape();
        change(&mut shape);
        Encoder::new(level, shape, &weights).expect_err("sizes that do not fit")
    };
    assert_eq!(refused(|shape| shape.heads = 4), BuildError::Shape);
    assert_eq!(refused(|shape| shape.inner = 0), BuildError::Shape);
    assert_eq!(refused(|shape| shape.types = Some(1)), BuildError::Shape);
}

#[test]
fn a_weight_of_another_size_is_refused_by_its_name() {
    struct Short;
    impl Weights for Short {
        type Error = Infallible;
        fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Infallible> {
            let size: usize = shape.iter().product();
            Ok(vec![
                0.5;
                if name == "encoder.layer.1.output.dense.bias" {
                    size - 1
                } else {
                    size
                }
            ])
        }
        fn matrix(&self, _: &str, inputs: usize, outputs: usize) -> Result<Vec<f32>, Infallible> {
            Ok(vec![0.5; inputs * outputs])
        }
    }
    let Some(level) = Level::widest() else { return };
    let refused = Encoder::new(level, shape(), &Short).expect_err("a weight is short");
    assert_eq!(
        refused.to_string(),
        "the weight encoder.layer.1.output.dense.bias has 56 numbers instead of 57"
    );
}
