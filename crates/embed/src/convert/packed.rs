//! The graph for GPUs: texts of all lengths are packed without padding, in 16-bit floats.
//!
//! Matrix products see one long row of tokens. Attention runs within each text, by ONNX Runtime's packed operator, which has flash kernels.
//! A sum with a residual and its normalisation, and a bias with its activation, are one kernel each, because memory traffic dominates such
//! steps on a GPU.

use super::{
    super::model::{Activation, Architecture, Pooling},
    ConvertError,
    graph::{Builder, MICROSOFT, Numbers, Shape, named},
    onnx::{AttributeProto, FLOAT, FLOAT16, INT32, ModelProto, ValueInfoProto},
    weights::Source,
};

/// `int32 [tokens]`: the ids of all texts, one text after the other.
pub const TOKENS: &str = "tokens";
/// `int32 [tokens]`: each token's position in its text, from 0.
pub const POSITIONS: &str = "places";
/// `int32 [batch, longest]`: the indices that tokens would have in rows padded to the longest text: first those of all tokens in order,
/// then those of all padding.
pub const OFFSETS: &str = "offsets";
/// `int32 [batch + 1]`: the index of each text's first token, and the number of tokens.
pub const STARTS: &str = "starts";
/// `float [batch, 1, longest]`: each token's weight in its text's mean, 0 for padding. Only for mean pooling.
pub const SHARES: &str = "shares";

/// Builds the whole model, weights included.
pub fn build(shape: &Shape, weights: &dyn Source) -> Result<ModelProto, ConvertError> {
    let mut graph = Builder::new(shape, weights, Numbers::Half);
    let to = |kind: i32| vec![AttributeProto::int("to", i64::from(kind))];
    graph.embedding_tables()?;
    let words = graph.node("embeddings.words", "Gather", &["embeddings.word_embeddings.weight", TOKENS], vec![]);
    let table = "embeddings.position_embeddings.weight";
    let positions = graph.node("embeddings.places", "Gather", &[table, POSITIONS], vec![]);
    let mut hidden = graph.embedded(&words, &positions)?;
    for layer in 0..shape.architecture.layers {
        hidden = graph.packed_layer(layer, hidden)?;
    }
    let integers =
        |name: &str, dimensions: &[&str]| ValueInfoProto::tensor(name, INT32, dimensions.iter().map(|name| named(name)).collect());
    let mut inputs = vec![
        integers(TOKENS, &["tokens"]),
        integers(POSITIONS, &["tokens"]),
        integers(OFFSETS, &["batch", "longest"]),
        integers(STARTS, &["batch_and_one"]),
    ];
    let pooled = match shape.pooling {
        Pooling::Mean => {
            let one = super::onnx::DimensionValue::Fixed(1);
            inputs.push(ValueInfoProto::tensor(SHARES, FLOAT, vec![named("batch"), one, named("longest")]));
            let rows = graph.node_of(MICROSOFT, "pool.rows", "RestorePadding", &[&hidden, OFFSETS], vec![]);
            let shares = graph.node("pool.shares", "Cast", &[SHARES], to(FLOAT16));
            graph.node("pool.mean", "MatMul", &[&shares, &rows], vec![])
        }
        Pooling::Cls => {
            graph.integers("last", &[-1]);
            let first = graph.node("pool.places", "Slice", &[STARTS, "axes.0", "last", "axes.0"], vec![]);
            let first = graph.node("pool.first", "Gather", &[&hidden, &first], vec![]);
            graph.node("pool.rows", "Unsqueeze", &[&first, "axes.1"], vec![])
        }
    };
    let pooled = graph.single("pool.single", pooled);
    graph.finish(&pooled);
    Ok(graph.model(inputs))
}

impl Builder<'_> {
    fn packed_layer(&mut self, index: usize, input: String) -> Result<String, ConvertError> {
        let at = |part: &str| format!("encoder.layer.{index}.{part}");
        let Architecture { hidden, inner, heads, .. } = *self.shape.architecture;

        let mut projections = Vec::with_capacity(3);
        let mut biases = Vec::new();
        for part in ["query", "key", "value"] {
            let name = at(&format!("attention.self.{part}"));
            projections.push(self.product(&name, &input, hidden, hidden)?);
            biases.extend(self.read(&format!("{name}.bias"), &[hidden])?);
        }
        let bias = at("attention.self.bias");
        self.constant(&bias, &[3 * hidden], biases);
        let mut inputs: Vec<&str> = projections.iter().map(String::as_str).collect();
        inputs.extend([bias.as_str(), OFFSETS, STARTS]);
        // The scale of attention scores is part of the query's weights.
        let attributes = vec![
            AttributeProto::int("num_heads", super::graph::signed(heads)),
            AttributeProto::float("scale", 1.0),
        ];
        let mixed = self.node_of(MICROSOFT, &at("attention.mixed"), "PackedMultiHeadAttention", &inputs, attributes);
        let attended = self.product(&at("attention.output.dense"), &mixed, hidden, hidden)?;
        let middle = self.sum_and_norm(&at("attention.output"), &attended, &input)?;

        let wide = self.product(&at("intermediate.dense"), &middle, hidden, inner)?;
        let bias = at("intermediate.dense.bias");
        self.weight(&bias, &[inner])?;
        let name = at("intermediate.active");
        let active = match self.shape.architecture.activation {
            Activation::Gelu => self.node_of(MICROSOFT, &name, "BiasGelu", &[&wide, &bias], vec![]),
            Activation::GeluTanh => self.node_of(MICROSOFT, &name, "FastGelu", &[&wide, &bias], vec![]),
            Activation::Relu => {
                let sum = self.node(&at("intermediate.sum"), "Add", &[&wide, &bias], vec![]);
                self.node(&name, "Relu", &[&sum], vec![])
            }
        };
        let narrow = self.product(&at("output.dense"), &active, inner, hidden)?;
        self.sum_and_norm(&at("output"), &narrow, &middle)
    }

    fn product(&mut self, name: &str, input: &str, inputs: usize, outputs: usize) -> Result<String, ConvertError> {
        let weight = self.matrix(name, inputs, outputs)?;
        Ok(self.node(&format!("{name}.product"), "MatMul", &[input, &weight], vec![]))
    }

    /// Adds a matrix product with its bias, the sum with `skip`, and a normalisation.
    fn sum_and_norm(&mut self, name: &str, product: &str, skip: &str) -> Result<String, ConvertError> {
        let hidden = self.shape.architecture.hidden;
        let (scale, offset) = (format!("{name}.LayerNorm.weight"), format!("{name}.LayerNorm.bias"));
        let bias = format!("{name}.dense.bias");
        for weight in [&scale, &offset, &bias] {
            self.weight(weight, &[hidden])?;
        }
        let epsilon = vec![AttributeProto::float("epsilon", self.shape.architecture.epsilon)];
        Ok(self.node_of(
            MICROSOFT,
            &format!("{name}.LayerNorm"),
            "SkipLayerNormalization",
            &[product, skip, &scale, &offset, &bias],
            epsilon,
        ))
    }
}
