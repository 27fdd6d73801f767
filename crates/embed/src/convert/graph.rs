//! Builds the ONNX graph. An embedding model's graph takes token ids and a mask, and returns one pooled vector per row. A reranker's graph
//! takes token types as well, and returns one score per row.
//!
//! It uses standard operators only: on CPU, ONNX Runtime runs them faster than the fused ones of its own domain. Sums over tokens and over
//! the vector are matrix products, because reductions would need cuDNN on a GPU. [`super::packed`] builds the graph for GPUs from the same
//! parts.

use std::collections::HashMap;

use super::{
    super::model::{Activation, Architecture, Head, Pooling},
    ConvertError, half,
    onnx::{
        AttributeProto, DimensionValue, FLOAT, FLOAT16, GraphProto, INT8, INT64, ModelProto, NodeProto, OperatorSetId, TensorProto, UINT8,
        ValueInfoProto,
    },
    quantize::quantize,
    weights::Source,
};

/// The graph's inputs: `int64 [batch, sequence]` each.
pub const INPUT_IDS: &str = "input_ids";
/// 1 for a token, 0 for padding.
pub const ATTENTION_MASK: &str = "attention_mask";
/// 0 for a token of the question, 1 for one of the passage; an input of rerankers that distinguish them.
pub const TOKEN_TYPES: &str = "token_type_ids";
/// The graph's output: `float [batch, dimension]`.
pub const OUTPUT: &str = "sentence_embedding";
/// The output of a reranker: `float [batch, 1]`.
pub const LOGITS: &str = "logits";

const IR_VERSION: i64 = 10;
const OPSET: i64 = 20;
/// ONNX Runtime's own operators.
pub const MICROSOFT: &str = "com.microsoft";

/// The number format that a graph computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// 32-bit floats throughout.
    Single,
    /// Weights and the inputs of matrix products in 8 bits, with one scale per weight column and one per token; the rest in 32-bit floats.
    /// A token's scale depends on the token alone, so rows do not influence each other.
    Eight,
    /// 16-bit floats, except in pooling.
    Half,
}

/// What a graph computes.
pub struct Shape<'a> {
    pub architecture: &'a Architecture,
    pub pooling: Pooling,
    pub normalized: bool,
}

impl Shape<'_> {
    /// Returns whether token types distinguish the two texts of a pair.
    pub fn is_typed(&self) -> bool {
        self.architecture.head.is_some() && self.architecture.types > 1
    }
}

/// Builds the whole model, weights included, for rows padded to one length.
pub fn build(shape: &Shape, weights: &dyn Source, numbers: Numbers) -> Result<ModelProto, ConvertError> {
    let mut graph = Builder::new(shape, weights, numbers);
    let per_head = graph.shape.architecture.hidden / graph.shape.architecture.heads;
    graph.integers("axes.1.2", &[1, 2]);
    graph.integers("shape.heads", &[0, 0, signed(graph.shape.architecture.heads), signed(per_head)]);
    graph.integers("shape.hidden", &[0, 0, signed(graph.shape.architecture.hidden)]);
    graph.scalar("one", 1.0);
    // The smallest number of the format.
    graph.scalar("masked", if numbers == Numbers::Half { -65504.0 } else { f32::MIN });

    let mask = graph.node("mask", "Cast", &[ATTENTION_MASK], vec![AttributeProto::int("to", i64::from(FLOAT))]);
    let range = vec![AttributeProto::int("start", 1), AttributeProto::int("end", 2)];
    let length = graph.node("sequence", "Shape", &[INPUT_IDS], range);
    let bias = graph.attention_bias(&length)?;
    let mut hidden = graph.embeddings(&length)?;
    for layer in 0..graph.shape.architecture.layers {
        hidden = graph.layer(layer, hidden, &bias)?;
    }
    let hidden = graph.single("hidden.single", hidden);
    let input = |name: &str| ValueInfoProto::tensor(name, INT64, vec![named("batch"), named("sequence")]);
    let mut inputs = vec![input(INPUT_IDS), input(ATTENTION_MASK)];
    if graph.shape.is_typed() {
        inputs.push(input(TOKEN_TYPES));
    }
    if let Some(head) = graph.shape.architecture.head {
        graph.score(&hidden, head)?;
        return Ok(graph.model(inputs));
    }
    let pooled = match graph.shape.pooling {
        Pooling::Mean => {
            graph.scalar32("count.floor", 1e-9);
            let row = graph.node("pool.mask", "Unsqueeze", &[&mask, "axes.1"], vec![]);
            let sum = graph.node("pool.sum", "MatMul", &[&row, &hidden], vec![]);
            // The mask is 0 or 1, so its product with itself counts the tokens.
            let column = graph.node("pool.mask.column", "Transpose", &[&row], turn());
            let count = graph.node("pool.count", "MatMul", &[&row, &column], vec![]);
            let divisor = graph.node("pool.divisor", "Max", &[&count, "count.floor"], vec![]);
            graph.node("pool.mean", "Div", &[&sum, &divisor], vec![])
        }
        Pooling::Cls => graph.first_token(&hidden),
    };
    graph.finish(&pooled);
    Ok(graph.model(inputs))
}

/// Makes a dimension that is known at run time only.
pub fn named(name: &str) -> DimensionValue {
    DimensionValue::Named(name.to_owned())
}

/// Swaps the last two of three axes.
fn turn() -> Vec<AttributeProto> {
    vec![AttributeProto::ints("perm", &[0, 2, 1])]
}

/// A graph under construction.
pub struct Builder<'a> {
    pub shape: &'a Shape<'a>,
    weights: &'a dyn Source,
    numbers: Numbers,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// The tensors that were quantised already: each tensor's 8-bit form and its tokens' scales.
    quantized: HashMap<String, (String, String)>,
}

impl<'a> Builder<'a> {
    pub fn new(shape: &'a Shape<'a>, weights: &'a dyn Source, numbers: Numbers) -> Self {
        let mut graph = Self {
            shape,
            weights,
            numbers,
            nodes: Vec::new(),
            constants: Vec::new(),
            quantized: HashMap::new(),
        };
        graph.integers("axes.0", &[0]);
        graph.integers("axes.1", &[1]);
        if numbers == Numbers::Eight {
            graph.integers("axes.last", &[-1]);
            graph.scalar("quantize.one", 1.0);
            graph.scalar("quantize.range", 127.0);
            graph.scalar("quantize.step", 1.0 / 127.0);
            // The divisor for a token that is all zeros.
            graph.scalar("quantize.floor", 1e-9);
            graph.raw("quantize.zero", UINT8, &[], vec![128]);
        }
        graph
    }

    /// Adds an operation of ONNX with one output called `name`, and returns that name.
    pub fn node(&mut self, name: &str, op_type: &str, input: &[&str], attribute: Vec<AttributeProto>) -> String {
        self.node_of("", name, op_type, input, attribute)
    }

    /// Adds an operation of the operator set `domain`.
    pub fn node_of(&mut self, domain: &str, name: &str, op_type: &str, input: &[&str], attribute: Vec<AttributeProto>) -> String {
        self.nodes.push(NodeProto {
            input: input.iter().map(|&name| name.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: format!("{name}/{op_type}"),
            op_type: op_type.to_owned(),
            attribute,
            domain: domain.to_owned(),
        });
        name.to_owned()
    }

    fn raw(&mut self, name: &str, data_type: i32, shape: &[usize], raw_data: Vec<u8>) {
        let dims = shape.iter().copied().map(signed).collect();
        self.constants.push(TensorProto {
            dims,
            data_type,
            name: name.to_owned(),
            raw_data,
        });
    }

    /// Adds a constant in the graph's own float format, given as little-endian 32-bit floats.
    pub fn constant(&mut self, name: &str, shape: &[usize], floats: Vec<u8>) {
        if self.numbers == Numbers::Half {
            self.raw(name, FLOAT16, shape, half::narrow(&floats));
        } else {
            self.raw(name, FLOAT, shape, floats);
        }
    }

    fn scalar(&mut self, name: &str, value: f32) {
        self.constant(name, &[], value.to_le_bytes().to_vec());
    }

    /// Adds a constant for the part of the graph that always computes in 32 bits.
    fn scalar32(&mut self, name: &str, value: f32) {
        self.raw(name, FLOAT, &[], value.to_le_bytes().to_vec());
    }

    pub fn integers(&mut self, name: &str, values: &[i64]) {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(name, INT64, &[values.len()], raw_data);
    }

    /// Adds a weight under its own name and shape.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> Result<(), ConvertError> {
        let bytes = self.weights.vector(name, shape)?;
        self.constant(name, shape, bytes);
        Ok(())
    }

    /// Returns a weight as little-endian 32-bit floats, for a constant under another name.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<u8>, ConvertError> {
        self.weights.vector(name, shape)
    }

    /// Adds a linear layer's weight `name.weight`, laid out `[inputs, outputs]`, and returns its name.
    pub fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<String, ConvertError> {
        let weight = format!("{name}.weight");
        let bytes = self.weights.matrix(&weight, inputs, outputs)?;
        self.constant(&weight, &[inputs, outputs], bytes);
        Ok(weight)
    }

    /// Adds what is added to attention scores: 0 for a token, the smallest number for padding, and the bias by distance if the model has
    /// one; `[batch, 1 or heads, 1 or sequence, sequence]`.
    fn attention_bias(&mut self, length: &str) -> Result<String, ConvertError> {
        let kind = if self.numbers == Numbers::Half { FLOAT16 } else { FLOAT };
        let mask = self.node(
            "mask.bias.mask",
            "Cast",
            &[ATTENTION_MASK],
            vec![AttributeProto::int("to", i64::from(kind))],
        );
        let wide = self.node("mask.wide", "Unsqueeze", &[&mask, "axes.1.2"], vec![]);
        let absent = self.node("mask.absent", "Sub", &["one", &wide], vec![]);
        let bias = self.node("mask.bias", "Mul", &[&absent, "masked"], vec![]);
        let Architecture { heads, positions, .. } = *self.shape.architecture;
        if !self.shape.architecture.distance_bias {
            return Ok(bias);
        }
        let table = "encoder.distance_bias";
        self.weight(table, &[1, heads, positions, positions])?;
        self.integers("axes.2.3", &[2, 3]);
        self.integers("zeros", &[0, 0]);
        let concat = vec![AttributeProto::int("axis", 0)];
        let ends = self.node("distance.ends", "Concat", &[length, length], concat);
        let near = self.node("distance.bias", "Slice", &[table, "zeros", &ends, "axes.2.3"], vec![]);
        Ok(self.node("attention.bias", "Add", &[&near, &bias], vec![]))
    }

    /// Adds the tables of words and positions, and that of types, or the one type that single texts have.
    pub fn embedding_tables(&mut self) -> Result<(), ConvertError> {
        let Architecture {
            hidden,
            vocabulary,
            positions,
            types,
            ..
        } = *self.shape.architecture;
        self.weight("embeddings.word_embeddings.weight", &[vocabulary, hidden])?;
        self.weight("embeddings.position_embeddings.weight", &[positions, hidden])?;
        if self.shape.is_typed() {
            return self.weight("embeddings.token_type_embeddings.weight", &[types, hidden]);
        }
        self.weight("embeddings.token_type_embeddings.0", &[hidden])
    }

    fn embeddings(&mut self, length: &str) -> Result<String, ConvertError> {
        self.embedding_tables()?;
        let words = self.node(
            "embeddings.words",
            "Gather",
            &["embeddings.word_embeddings.weight", INPUT_IDS],
            vec![],
        );
        let table = "embeddings.position_embeddings.weight";
        let positions = self.node("embeddings.places", "Slice", &[table, "axes.0", length, "axes.0"], vec![]);
        self.embedded(&words, &positions)
    }

    /// Adds the encoder's input: the sum of each token's word and position.
    pub fn embedded(&mut self, words: &str, positions: &str) -> Result<String, ConvertError> {
        let kind = if self.shape.is_typed() {
            let table = "embeddings.token_type_embeddings.weight";
            self.node("embeddings.kinds", "Gather", &[table, TOKEN_TYPES], vec![])
        } else {
            "embeddings.token_type_embeddings.0".to_owned()
        };
        let typed = self.node("embeddings.typed", "Add", &[words, &kind], vec![]);
        let sum = self.node("embeddings.sum", "Add", &[&typed, positions], vec![]);
        self.layer_norm("embeddings.LayerNorm", &sum)
    }

    fn layer_norm(&mut self, name: &str, input: &str) -> Result<String, ConvertError> {
        let hidden = self.shape.architecture.hidden;
        let (scale, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        self.weight(&scale, &[hidden])?;
        self.weight(&bias, &[hidden])?;
        let attributes = vec![
            AttributeProto::int("axis", -1),
            AttributeProto::float("epsilon", self.shape.architecture.epsilon),
        ];
        Ok(self.node(name, "LayerNormalization", &[input, &scale, &bias], attributes))
    }

    fn linear(&mut self, name: &str, input: &str, inputs: usize, outputs: usize) -> Result<String, ConvertError> {
        let bias = format!("{name}.bias");
        // The values would bring half of the error of 8 bits, and save a twelfth of the time: they stay in 32 bits.
        let product = if self.numbers == Numbers::Eight && !name.ends_with("attention.self.value") {
            self.product_of_eight(name, input, inputs, outputs)?
        } else {
            let weight = self.matrix(name, inputs, outputs)?;
            self.node(&format!("{name}.product"), "MatMul", &[input, &weight], vec![])
        };
        self.weight(&bias, &[outputs])?;
        Ok(self.node(name, "Add", &[&product, &bias], vec![]))
    }

    fn product_of_eight(&mut self, name: &str, input: &str, inputs: usize, outputs: usize) -> Result<String, ConvertError> {
        let (eight, scale) = self.quantized(input);
        let weight = format!("{name}.weight");
        let (values, scales) = quantize(&self.weights.matrix(&weight, inputs, outputs)?, outputs);
        self.raw(&weight, INT8, &[inputs, outputs], values);
        let steps = format!("{name}.scale");
        self.raw(&steps, FLOAT, &[outputs], scales);
        let product = self.node_of(
            MICROSOFT,
            &format!("{name}.product.eight"),
            "MatMulIntegerToFloat",
            &[&eight, &weight, "quantize.one", &steps, "quantize.zero"],
            vec![],
        );
        Ok(self.node(&format!("{name}.product"), "Mul", &[&product, &scale], vec![]))
    }

    /// Quantises a tensor to 8 bits, and returns it with the scale of each token. Every token has its own scale: the runtime's own operator
    /// takes one scale for the whole batch, which is coarser, and lets a text change its neighbours.
    fn quantized(&mut self, input: &str) -> (String, String) {
        if let Some(done) = self.quantized.get(input) {
            return done.clone();
        }
        let at = |part: &str| format!("{input}.{part}");
        let size = self.node(&at("size"), "Abs", &[input], vec![]);
        let peak = self.node(&at("peak"), "ReduceMax", &[&size, "axes.last"], vec![]);
        let peak = self.node(&at("peak.safe"), "Max", &[&peak, "quantize.floor"], vec![]);
        let factor = self.node(&at("factor"), "Div", &["quantize.range", &peak], vec![]);
        let wide = self.node(&at("wide"), "Mul", &[input, &factor], vec![]);
        let eight = self.node(&at("eight"), "QuantizeLinear", &[&wide, "quantize.one", "quantize.zero"], vec![]);
        let scale = self.node(&at("scale"), "Mul", &[&peak, "quantize.step"], vec![]);
        self.quantized.insert(input.to_owned(), (eight.clone(), scale.clone()));
        (eight, scale)
    }

    /// Adds a projection split into heads; `order` is the order of the output's axes (batch, sequence, head, width).
    fn heads(&mut self, name: &str, input: &str, order: [i64; 4]) -> Result<String, ConvertError> {
        let hidden = self.shape.architecture.hidden;
        let flat = self.linear(name, input, hidden, hidden)?;
        let split = self.node(&format!("{name}.split"), "Reshape", &[&flat, "shape.heads"], vec![]);
        let attributes = vec![AttributeProto::ints("perm", &order)];
        Ok(self.node(&format!("{name}.heads"), "Transpose", &[&split], attributes))
    }

    fn layer(&mut self, index: usize, input: String, bias: &str) -> Result<String, ConvertError> {
        let at = |part: &str| format!("encoder.layer.{index}.{part}");
        let Architecture { hidden, inner, .. } = *self.shape.architecture;

        // The scale of attention scores is part of the query's weights.
        let query = self.heads(&at("attention.self.query"), &input, [0, 2, 1, 3])?;
        let key = self.heads(&at("attention.self.key"), &input, [0, 2, 3, 1])?;
        let value = self.heads(&at("attention.self.value"), &input, [0, 2, 1, 3])?;
        let scores = self.node(&at("attention.scores"), "MatMul", &[&query, &key], vec![]);
        let masked = self.node(&at("attention.masked"), "Add", &[&scores, bias], vec![]);
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
        match self.shape.architecture.activation {
            Activation::Gelu => self.node(name, "Gelu", &[input], gelu("none")),
            Activation::GeluTanh => self.node(name, "Gelu", &[input], gelu("tanh")),
            Activation::Relu => self.node(name, "Relu", &[input], vec![]),
        }
    }

    /// Returns the tensor in 32-bit floats.
    pub fn single(&mut self, name: &str, input: String) -> String {
        match self.numbers {
            Numbers::Half => self.node(name, "Cast", &[&input], vec![AttributeProto::int("to", i64::from(FLOAT))]),
            Numbers::Single | Numbers::Eight => input,
        }
    }

    /// Returns the first token's vector, `[batch, 1, hidden]`.
    fn first_token(&mut self, hidden: &str) -> String {
        self.node("pool.first", "Slice", &[hidden, "axes.0", "axes.1", "axes.1"], vec![])
    }

    /// From tokens' vectors to a reranker's scores: two layers over the first token. They are a thousandth of the work, and stay in
    /// 32-bit floats.
    fn score(&mut self, hidden: &str, head: Head) -> Result<(), ConvertError> {
        let width = self.shape.architecture.hidden;
        let first = self.first_token(hidden);
        let dense = self.layer32("head.dense", &first, width, width)?;
        let active = match head {
            Head::Tanh => self.node("head.active", "Tanh", &[&dense], vec![]),
            Head::Relu => self.node("head.active", "Relu", &[&dense], vec![]),
        };
        let score = self.layer32("head.score", &active, width, 1)?;
        self.node(LOGITS, "Squeeze", &[&score, "axes.1"], vec![]);
        Ok(())
    }

    /// Returns a linear layer in 32-bit floats, whatever the rest of the graph computes in.
    fn layer32(&mut self, name: &str, input: &str, inputs: usize, outputs: usize) -> Result<String, ConvertError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let matrix = self.weights.matrix(&weight, inputs, outputs)?;
        self.raw(&weight, FLOAT, &[inputs, outputs], matrix);
        let offsets = self.weights.vector(&bias, &[outputs])?;
        self.raw(&bias, FLOAT, &[outputs], offsets);
        let product = self.node(&format!("{name}.product"), "MatMul", &[input, &weight], vec![]);
        Ok(self.node(name, "Add", &[&product, &bias], vec![]))
    }

    /// From pooled vectors, `float [batch, 1, dimension]`, to the graph's output.
    pub fn finish(&mut self, pooled: &str) {
        let vector = if self.shape.normalized {
            self.scalar32("norm.floor", 1e-12);
            let column = self.node("norm.column", "Transpose", &[pooled], turn());
            let square = self.node("norm.square", "MatMul", &[pooled, &column], vec![]);
            let length = self.node("norm.length", "Sqrt", &[&square], vec![]);
            let divisor = self.node("norm.divisor", "Max", &[&length, "norm.floor"], vec![]);
            self.node("norm", "Div", &[pooled, &divisor], vec![])
        } else {
            pooled.to_owned()
        };
        self.node(OUTPUT, "Squeeze", &[&vector, "axes.1"], vec![]);
    }

    /// Returns the finished model with these inputs.
    pub fn model(self, input: Vec<ValueInfoProto>) -> ModelProto {
        let (name, output, dimension) = match self.shape.architecture.head {
            None => ("sentence-embedding", OUTPUT, self.shape.architecture.hidden),
            Some(_) => ("reranker", LOGITS, 1),
        };
        let dimension = DimensionValue::Fixed(signed(dimension));
        let output = ValueInfoProto::tensor(output, FLOAT, vec![named("batch"), dimension]);
        let set = |domain: &str, version| OperatorSetId {
            domain: domain.to_owned(),
            version,
        };
        let mut opset_import = vec![set("", OPSET)];
        if self.nodes.iter().any(|node| node.domain == MICROSOFT) {
            opset_import.push(set(MICROSOFT, 1));
        }
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: "ibid".to_owned(),
            producer_version: super::CONVERTER_VERSION.to_string(),
            graph: Some(GraphProto {
                node: self.nodes,
                name: name.to_owned(),
                initializer: self.constants,
                input,
                output: vec![output],
            }),
            opset_import,
        }
    }
}

/// Sizes are far below 2^63: the settings are bounded.
pub fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
