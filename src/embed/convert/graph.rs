//! Builds the ONNX graph: token ids and mask in, one pooled vector per row out.
//!
//! Plain operators only: on CPU, ONNX Runtime runs them faster than the fused ones of its own domain. Sums over
//! tokens and over the vector are matrix products, because reductions would need cuDNN on a GPU.

use super::{
    super::model::Pooling,
    ConvertError,
    onnx::{AttributeProto, DimensionValue, FLOAT, GraphProto, INT64, ModelProto, NodeProto, OperatorSetId, TensorProto, ValueInfoProto},
    settings::{Activation, Settings},
    weights::Weights,
};

/// The graph's inputs: `int64 [batch, sequence]` each.
pub const INPUT_IDS: &str = "input_ids";
/// 1 for a token, 0 for padding.
pub const ATTENTION_MASK: &str = "attention_mask";
/// The graph's output: `float [batch, dimension]`.
pub const OUTPUT: &str = "sentence_embedding";

const IR_VERSION: i64 = 10;
const OPSET: i64 = 20;

/// The whole model, weights included.
pub fn build(settings: &Settings, weights: &Weights) -> Result<ModelProto, ConvertError> {
    let mut graph = Builder {
        settings,
        weights,
        nodes: Vec::new(),
        constants: Vec::new(),
    };
    graph.shared_constants();
    let mask = graph.node("mask", "Cast", &[ATTENTION_MASK], vec![AttributeProto::int("to", i64::from(FLOAT))]);
    let bias = graph.attention_bias(&mask);
    let mut hidden = graph.embeddings()?;
    for layer in 0..settings.layers {
        hidden = graph.layer(layer, hidden, &bias)?;
    }
    graph.pool(&hidden, &mask);

    let named = |name: &str| DimensionValue::Named(name.to_owned());
    let input = |name: &str| ValueInfoProto::tensor(name, INT64, vec![named("batch"), named("sequence")]);
    let output = ValueInfoProto::tensor(OUTPUT, FLOAT, vec![named("batch"), DimensionValue::Fixed(signed(settings.hidden))]);
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "ibid".to_owned(),
        producer_version: super::CONVERTER_VERSION.to_string(),
        graph: Some(GraphProto {
            node: graph.nodes,
            name: "sentence-embedding".to_owned(),
            initializer: graph.constants,
            input: vec![input(INPUT_IDS), input(ATTENTION_MASK)],
            output: vec![output],
        }),
        opset_import: vec![OperatorSetId {
            domain: String::new(),
            version: OPSET,
        }],
    })
}

struct Builder<'a> {
    settings: &'a Settings,
    weights: &'a Weights<'a>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Builder<'_> {
    /// Adds an operation whose only output is called `name`, and returns that name.
    fn node(&mut self, name: &str, op_type: &str, input: &[&str], attribute: Vec<AttributeProto>) -> String {
        self.nodes.push(NodeProto {
            input: input.iter().map(|&name| name.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: format!("{name}/{op_type}"),
            op_type: op_type.to_owned(),
            attribute,
        });
        name.to_owned()
    }

    fn constant(&mut self, name: &str, shape: &[usize], raw_data: Vec<u8>) {
        let dims = shape.iter().copied().map(signed).collect();
        self.constants.push(TensorProto {
            dims,
            data_type: FLOAT,
            name: name.to_owned(),
            raw_data,
        });
    }

    fn scalar(&mut self, name: &str, value: f32) {
        self.constant(name, &[], value.to_le_bytes().to_vec());
    }

    fn integers(&mut self, name: &str, values: &[i64]) {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constants.push(TensorProto {
            dims: vec![signed(values.len())],
            data_type: INT64,
            name: name.to_owned(),
            raw_data,
        });
    }

    /// A weight under its own name and shape.
    fn weight(&mut self, name: &str, shape: &[usize]) -> Result<(), ConvertError> {
        let bytes = self.weights.get(name, shape)?;
        self.constant(name, shape, bytes);
        Ok(())
    }

    fn shared_constants(&mut self) {
        let per_head = self.settings.hidden / self.settings.heads;
        self.integers("axes.0", &[0]);
        self.integers("axes.1", &[1]);
        self.integers("axes.1.2", &[1, 2]);
        self.integers("shape.heads", &[0, 0, signed(self.settings.heads), signed(per_head)]);
        self.integers("shape.hidden", &[0, 0, signed(self.settings.hidden)]);
        self.scalar("one", 1.0);
        self.scalar("masked", f32::MIN);
        self.scalar("attention.scale", (per_head as f32).sqrt().recip());
        self.scalar("count.floor", 1e-9);
        self.scalar("norm.floor", 1e-12);
    }

    /// Added to attention scores: 0 for a token, the smallest float for padding; `[batch, 1, 1, sequence]`.
    fn attention_bias(&mut self, mask: &str) -> String {
        let wide = self.node("mask.wide", "Unsqueeze", &[mask, "axes.1.2"], vec![]);
        let absent = self.node("mask.absent", "Sub", &["one", &wide], vec![]);
        self.node("mask.bias", "Mul", &[&absent, "masked"], vec![])
    }

    fn embeddings(&mut self) -> Result<String, ConvertError> {
        let Settings {
            hidden,
            vocabulary,
            positions,
            types,
            ..
        } = *self.settings;
        self.weight("embeddings.word_embeddings.weight", &[vocabulary, hidden])?;
        self.weight("embeddings.position_embeddings.weight", &[positions, hidden])?;
        // Every token of a single text has type 0, so one row of that table is all that is ever used.
        let mut row = self.weights.get("embeddings.token_type_embeddings.weight", &[types, hidden])?;
        row.truncate(hidden * size_of::<f32>());
        self.constant("embeddings.token_type_embeddings.0", &[hidden], row);

        let words = self.node(
            "embeddings.words",
            "Gather",
            &["embeddings.word_embeddings.weight", INPUT_IDS],
            vec![],
        );
        let typed = self.node("embeddings.typed", "Add", &[&words, "embeddings.token_type_embeddings.0"], vec![]);
        let range = vec![AttributeProto::int("start", 1), AttributeProto::int("end", 2)];
        let length = self.node("sequence", "Shape", &[INPUT_IDS], range);
        let table = "embeddings.position_embeddings.weight";
        let places = self.node("embeddings.places", "Slice", &[table, "axes.0", &length, "axes.0"], vec![]);
        let sum = self.node("embeddings.sum", "Add", &[&typed, &places], vec![]);
        self.layer_norm("embeddings.LayerNorm", &sum)
    }

    fn layer_norm(&mut self, name: &str, input: &str) -> Result<String, ConvertError> {
        let hidden = self.settings.hidden;
        let (scale, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        self.weight(&scale, &[hidden])?;
        self.weight(&bias, &[hidden])?;
        let attributes = vec![
            AttributeProto::int("axis", -1),
            AttributeProto::float("epsilon", self.settings.epsilon),
        ];
        Ok(self.node(name, "LayerNormalization", &[input, &scale, &bias], attributes))
    }

    fn linear(&mut self, name: &str, input: &str, inputs: usize, outputs: usize) -> Result<String, ConvertError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let turned = self.weights.transposed(&weight, outputs, inputs)?;
        self.constant(&weight, &[inputs, outputs], turned);
        self.weight(&bias, &[outputs])?;
        let product = self.node(&format!("{name}.product"), "MatMul", &[input, &weight], vec![]);
        Ok(self.node(name, "Add", &[&product, &bias], vec![]))
    }

    /// A projection split into heads; `order` says how its axes (batch, sequence, head, width) come out.
    fn heads(&mut self, name: &str, input: &str, order: [i64; 4]) -> Result<String, ConvertError> {
        let hidden = self.settings.hidden;
        let flat = self.linear(name, input, hidden, hidden)?;
        let split = self.node(&format!("{name}.split"), "Reshape", &[&flat, "shape.heads"], vec![]);
        let attributes = vec![AttributeProto::ints("perm", &order)];
        Ok(self.node(&format!("{name}.heads"), "Transpose", &[&split], attributes))
    }

    fn layer(&mut self, index: usize, input: String, bias: &str) -> Result<String, ConvertError> {
        let at = |part: &str| format!("encoder.layer.{index}.{part}");
        let Settings { hidden, inner, .. } = *self.settings;

        let query = self.heads(&at("attention.self.query"), &input, [0, 2, 1, 3])?;
        let key = self.heads(&at("attention.self.key"), &input, [0, 2, 3, 1])?;
        let value = self.heads(&at("attention.self.value"), &input, [0, 2, 1, 3])?;
        let scores = self.node(&at("attention.scores"), "MatMul", &[&query, &key], vec![]);
        let scaled = self.node(&at("attention.scaled"), "Mul", &[&scores, "attention.scale"], vec![]);
        let masked = self.node(&at("attention.masked"), "Add", &[&scaled, bias], vec![]);
        let shares = self.node(
            &at("attention.shares"),
            "Softmax",
            &[&masked],
            vec![AttributeProto::int("axis", -1)],
        );
        let mixed = self.node(&at("attention.mixed"), "MatMul", &[&shares, &value], vec![]);
        let order = vec![AttributeProto::ints("perm", &[0, 2, 1, 3])];
        let joined = self.node(&at("attention.joined"), "Transpose", &[&mixed], order);
        let flat = self.node(&at("attention.flat"), "Reshape", &[&joined, "shape.hidden"], vec![]);
        let attended = self.linear(&at("attention.output.dense"), &flat, hidden, hidden)?;
        let sum = self.node(&at("attention.sum"), "Add", &[&attended, &input], vec![]);
        let middle = self.layer_norm(&at("attention.output.LayerNorm"), &sum)?;

        let wide = self.linear(&at("intermediate.dense"), &middle, hidden, inner)?;
        let active = self.activation(&at("intermediate.active"), &wide);
        let narrow = self.linear(&at("output.dense"), &active, inner, hidden)?;
        let sum = self.node(&at("output.sum"), "Add", &[&narrow, &middle], vec![]);
        self.layer_norm(&at("output.LayerNorm"), &sum)
    }

    fn activation(&mut self, name: &str, input: &str) -> String {
        let gelu = |approximation| vec![AttributeProto::string("approximate", approximation)];
        match self.settings.activation {
            Activation::Gelu => self.node(name, "Gelu", &[input], gelu("none")),
            Activation::GeluTanh => self.node(name, "Gelu", &[input], gelu("tanh")),
            Activation::Relu => self.node(name, "Relu", &[input], vec![]),
        }
    }

    /// `[batch, sequence, dimension]` to `[batch, dimension]`.
    fn pool(&mut self, hidden: &str, mask: &str) {
        let turn = || vec![AttributeProto::ints("perm", &[0, 2, 1])];
        let pooled = match self.settings.pooling {
            Pooling::Mean => {
                let row = self.node("pool.mask", "Unsqueeze", &[mask, "axes.1"], vec![]);
                let sum = self.node("pool.sum", "MatMul", &[&row, hidden], vec![]);
                // The mask is 0 or 1, so its product with itself counts the tokens.
                let column = self.node("pool.mask.column", "Transpose", &[&row], turn());
                let count = self.node("pool.count", "MatMul", &[&row, &column], vec![]);
                let divisor = self.node("pool.divisor", "Max", &[&count, "count.floor"], vec![]);
                self.node("pool.mean", "Div", &[&sum, &divisor], vec![])
            }
            Pooling::Cls => self.node("pool.first", "Slice", &[hidden, "axes.0", "axes.1", "axes.1"], vec![]),
        };
        let vector = if self.settings.normalized {
            let column = self.node("norm.column", "Transpose", &[&pooled], turn());
            let square = self.node("norm.square", "MatMul", &[&pooled, &column], vec![]);
            let length = self.node("norm.length", "Sqrt", &[&square], vec![]);
            let divisor = self.node("norm.divisor", "Max", &[&length, "norm.floor"], vec![]);
            self.node("norm", "Div", &[&pooled, &divisor], vec![])
        } else {
            pooled
        };
        self.node(OUTPUT, "Squeeze", &[&vector, "axes.1"], vec![]);
    }
}

/// Sizes are far below 2^63: the settings are bounded.
fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
