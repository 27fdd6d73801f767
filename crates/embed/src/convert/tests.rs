//! Conversion of tiny models made here, checked against BERT's forward pass written out in plain Rust.

use std::{fs, path::Path};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use prost::Message;

use super::{
    super::{
        Embedder, EmbedderSettings, ModelInfo, ModelKind, Precision,
        device::open_form,
        session::{Graph, Place, Rows, SharedSession},
        tests::runtime,
    },
    ConvertError, Form, Options,
    graph::{INPUT_IDS, MICROSOFT, OUTPUT},
    onnx::{
        AttributeProto, DimensionValue, FLOAT, GraphProto, INT32, INT64, ModelProto, NodeProto, OperatorSetId, StringStringEntryProto,
        TensorProto, ValueInfoProto,
    },
    rebuild,
};

fn convert(source: &Path, target: &Path) -> Result<ModelInfo, ConvertError> {
    super::convert(source, target, &Options::default())
}

const HIDDEN: usize = 8;
const HEADS: usize = 2;
const INNER: usize = 12;
const LAYERS: usize = 2;
const WORDS: [&str; 8] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d"];
const POSITIONS: usize = 10;
const EPSILON: f64 = 1e-3;

/// A model in the making: its directory and its weights by name.
pub(crate) struct Tiny {
    directory: TempDir,
    weights: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// MPNet's bias for each pair of places, by head, row of the query and row of the key; 0 for the others.
    bias: fn(usize, usize, usize) -> f64,
    epsilon: f64,
}

impl Tiny {
    /// Weights are arbitrary, and the same in every run.
    pub(crate) fn new(prefix: &str) -> Self {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = |scale: f32, offset: f32| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * scale + offset
        };
        let mut weights = Vec::new();
        let mut add = |name: &str, shape: &[usize], offset: f32| {
            let values = (0..shape.iter().product()).map(|_| random(0.7, offset)).collect();
            weights.push((format!("{prefix}{name}"), shape.to_vec(), values));
        };
        add("embeddings.word_embeddings.weight", &[WORDS.len(), HIDDEN], 0.0);
        add("embeddings.position_embeddings.weight", &[POSITIONS, HIDDEN], 0.0);
        add("embeddings.token_type_embeddings.weight", &[2, HIDDEN], 0.0);
        add("embeddings.LayerNorm.weight", &[HIDDEN], 1.0);
        add("embeddings.LayerNorm.bias", &[HIDDEN], 0.0);
        for layer in 0..LAYERS {
            for (part, outputs, inputs) in [
                ("attention.self.query", HIDDEN, HIDDEN),
                ("attention.self.key", HIDDEN, HIDDEN),
                ("attention.self.value", HIDDEN, HIDDEN),
                ("attention.output.dense", HIDDEN, HIDDEN),
                ("intermediate.dense", INNER, HIDDEN),
                ("output.dense", HIDDEN, INNER),
            ] {
                add(&format!("encoder.layer.{layer}.{part}.weight"), &[outputs, inputs], 0.0);
                add(&format!("encoder.layer.{layer}.{part}.bias"), &[outputs], 0.0);
            }
            for part in ["attention.output", "output"] {
                add(&format!("encoder.layer.{layer}.{part}.LayerNorm.weight"), &[HIDDEN], 1.0);
                add(&format!("encoder.layer.{layer}.{part}.LayerNorm.bias"), &[HIDDEN], 0.0);
            }
        }
        add("pooler.dense.weight", &[HIDDEN, HIDDEN], 0.0);
        let tiny = Self {
            directory: tempfile::tempdir().expect("a directory"),
            weights,
            bias: |_, _, _| 0.0,
            epsilon: EPSILON,
        };
        tiny.write_configuration();
        tiny.write_weights();
        tiny
    }

    /// The same model as its relatives publish it. What they do not have is 0 here.
    fn of(family: &str) -> Self {
        Self::related(family, &[])
    }

    /// A cross-encoder of the family: the encoder with a head of two layers, and one label.
    pub(crate) fn reranker(family: &str) -> Self {
        let (dense, score) = Self::head(family);
        // The last layer first: its name may end another one's.
        let layers = [(score, 1), (dense, HIDDEN)];
        let mut tiny = match family {
            "bert" => {
                let mut tiny = Self::new("bert.");
                tiny.weights.retain(|(name, _, _)| !name.contains("pooler"));
                tiny.add_layers(&[(score, 1), ("bert.pooler.dense", HIDDEN)]);
                tiny.write_weights();
                tiny
            }
            family => Self::related(family, &layers),
        };
        tiny.set("config.json", "", "architectures", json!(["AnyForSequenceClassification"]));
        tiny.set("config.json", "", "id2label", json!({"0": "LABEL_0"}));
        // Nobody publishes these with it.
        for file in ["modules.json", "1_Pooling/config.json"] {
            fs::remove_file(tiny.path().join(file)).expect("removed");
        }
        tiny.epsilon = if family == "distilbert" { 1e-12 } else { EPSILON };
        tiny
    }

    /// The names of the two layers of a family's head.
    fn head(family: &str) -> (&'static str, &'static str) {
        match family {
            "bert" => ("pooler.dense", "classifier"),
            "distilbert" => ("pre_classifier", "classifier"),
            _ => ("classifier.dense", "classifier.out_proj"),
        }
    }

    /// Adds linear layers over the hidden size, by their names and outputs.
    fn add_layers(&mut self, layers: &[(&str, usize)]) {
        for (layer, (name, outputs)) in layers.iter().enumerate() {
            let value = |cell: usize| ((cell * 7 + layer * 3) % 11) as f32 / 8.0 - 0.6;
            let weight = (0..outputs * HIDDEN).map(value).collect();
            self.weights.insert(0, (format!("{name}.weight"), vec![*outputs, HIDDEN], weight));
            self.weights
                .insert(0, (format!("{name}.bias"), vec![*outputs], (0..*outputs).map(value).collect()));
        }
        // What was added first stands first.
        self.weights[..2 * layers.len()].reverse();
    }

    /// What the head makes of a pair, whose second text begins at `second`.
    fn score(&self, family: &str, ids: &[usize], second: usize) -> f64 {
        let (dense, score) = Self::head(family);
        let first = self.forward_pair(ids, second, gelu).swap_remove(0);
        let mut inner = self.linear(dense, &[first]);
        let activation: fn(f64) -> f64 = if family == "distilbert" { |x| x.max(0.0) } else { f64::tanh };
        inner[0].iter_mut().for_each(|value| *value = activation(*value));
        self.linear(score, &inner)[0][0]
    }

    fn related(family: &str, head: &[(&str, usize)]) -> Self {
        let mut tiny = Self::new("");
        tiny.add_layers(head);
        tiny.set("config.json", "", "model_type", json!(family));
        let find = |tiny: &mut Self, name: &str| tiny.weights.iter_mut().position(|(full, _, _)| full == name).expect("a weight");
        let places = find(&mut tiny, "embeddings.position_embeddings.weight");
        let types = find(&mut tiny, "embeddings.token_type_embeddings.weight");
        if family != "distilbert" {
            // Rows for the padding and what is before it, which no text uses.
            let (_, shape, values) = &mut tiny.weights[places];
            shape[0] += 2;
            values.splice(0..0, vec![9.0; 2 * HIDDEN]);
            tiny.set("config.json", "", "max_position_embeddings", json!(POSITIONS + 2));
            tiny.set("config.json", "", "pad_token_id", json!(1));
        }
        if family == "roberta" {
            let (_, shape, values) = &mut tiny.weights[types];
            shape[0] = 1;
            values.truncate(HIDDEN);
            tiny.set("config.json", "", "type_vocab_size", json!(1));
        } else {
            tiny.weights[types].2.fill(0.0);
        }
        let names: &[(&str, &str)] = match family {
            "mpnet" => {
                let table = (0..32 * HEADS).map(|cell| cell as f32 / 16.0).collect();
                tiny.weights
                    .push(("encoder.relative_attention_bias.weight".to_owned(), vec![32, HEADS], table));
                tiny.set("config.json", "", "relative_attention_num_buckets", json!(32));
                // Texts here are short: each distance has a row of its own, and those forwards come second.
                tiny.bias = |head, from, to| {
                    let row = if to > from { 16 + to - from } else { from - to };
                    (row * HEADS + head) as f64 / 16.0
                };
                &[
                    (".attention.self.query.", ".attention.attn.q."),
                    (".attention.self.key.", ".attention.attn.k."),
                    (".attention.self.value.", ".attention.attn.v."),
                    (".attention.output.dense.", ".attention.attn.o."),
                    (".attention.output.LayerNorm.", ".attention.LayerNorm."),
                ]
            }
            "distilbert" => {
                tiny.epsilon = 1e-12;
                for (theirs, ours) in [
                    ("dim", "hidden_size"),
                    ("n_heads", "num_attention_heads"),
                    ("n_layers", "num_hidden_layers"),
                    ("hidden_dim", "intermediate_size"),
                    ("activation", "hidden_act"),
                ] {
                    let config: Value = serde_json::from_slice(&fs::read(tiny.path().join("config.json")).expect("read")).expect("JSON");
                    tiny.set("config.json", "", theirs, config[ours].clone());
                    tiny.set("config.json", "", ours, Value::Null);
                }
                &[
                    ("encoder.layer.", "transformer.layer."),
                    (".attention.self.query.", ".attention.q_lin."),
                    (".attention.self.key.", ".attention.k_lin."),
                    (".attention.self.value.", ".attention.v_lin."),
                    (".attention.output.dense.", ".attention.out_lin."),
                    (".attention.output.LayerNorm.", ".sa_layer_norm."),
                    (".intermediate.dense.", ".ffn.lin1."),
                    (".output.dense.", ".ffn.lin2."),
                    (".output.LayerNorm.", ".output_layer_norm."),
                ]
            }
            _ => &[],
        };
        let ours = tiny.weights.clone();
        for (name, _, _) in &mut tiny.weights {
            *name = names.iter().fold(name.clone(), |name, (ours, theirs)| name.replace(ours, theirs));
        }
        if family != "mpnet" && family != "roberta" {
            tiny.weights.retain(|(name, _, _)| !name.contains("token_type"));
        }
        tiny.write_weights();
        // The plain forward pass reads BERT's names, and positions from 0.
        tiny.weights = ours;
        if family != "distilbert" {
            tiny.weights[places].2.drain(..2 * HIDDEN);
        }
        tiny
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write_configuration(&self) {
        let write = |name: &str, value: Value| fs::write(self.path().join(name), value.to_string()).expect("written");
        fs::create_dir_all(self.path().join("1_Pooling")).expect("made");
        write(
            "config.json",
            json!({"model_type": "bert", "hidden_act": "gelu", "hidden_size": HIDDEN, "num_attention_heads": HEADS,
                "intermediate_size": INNER, "num_hidden_layers": LAYERS, "vocab_size": WORDS.len(), "type_vocab_size": 2,
                "max_position_embeddings": POSITIONS, "layer_norm_eps": EPSILON, "position_embedding_type": "absolute"}),
        );
        write(
            "modules.json",
            json!([{"path": "", "type": "sentence_transformers.models.Transformer"},
                {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]),
        );
        write(
            "1_Pooling/config.json",
            json!({"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": true}),
        );
        write("sentence_bert_config.json", json!({"max_seq_length": 9, "do_lower_case": false}));
        let vocabulary: serde_json::Map<String, Value> =
            WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
        write(
            "tokenizer.json",
            json!({"version": "1.0", "truncation": {"max_length": 4, "stride": 0, "strategy": "LongestFirst", "direction": "Right"},
                "padding": {"strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "[PAD]"},
                "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
                "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
                "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}}),
        );
    }

    fn write_weights(&self) {
        let bytes: Vec<Vec<u8>> = self
            .weights
            .iter()
            .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let views = self.weights.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            (
                name.clone(),
                TensorView::new(Dtype::F32, shape.clone(), bytes).expect("its shape fits"),
            )
        });
        let file = safetensors::serialize(views, None).expect("serialised");
        fs::write(self.path().join("model.safetensors"), file).expect("written");
    }

    /// Sets, or with null removes, the value that a JSON pointer's last key names.
    fn set(&self, file: &str, place: &str, key: &str, value: Value) {
        let path = self.path().join(file);
        let mut json: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        let object = json.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
        match value {
            Value::Null => drop(object.remove(key)),
            value => drop(object.insert(key.to_owned(), value)),
        }
        fs::write(&path, json.to_string()).expect("written");
    }

    /// Gives all numbers of a weight one value.
    pub(crate) fn set_weight(&mut self, name: &str, value: f32) {
        let (_, _, values) = self.weights.iter_mut().find(|(full, _, _)| full.ends_with(name)).expect("a weight");
        values.fill(value);
        self.write_weights();
    }

    fn weight(&self, name: &str) -> Vec<f64> {
        let (_, _, values) = self.weights.iter().find(|(full, _, _)| full.ends_with(name)).expect("a weight");
        values.iter().copied().map(f64::from).collect()
    }

    fn linear(&self, name: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (weight, bias) = (self.weight(&format!("{name}.weight")), self.weight(&format!("{name}.bias")));
        let output = |row: &Vec<f64>| {
            let products = weight
                .chunks(row.len())
                .map(|column| row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>());
            products.zip(&bias).map(|(product, bias)| product + bias).collect()
        };
        rows.iter().map(output).collect()
    }

    fn layer_norm(&self, name: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (scale, bias) = (self.weight(&format!("{name}.weight")), self.weight(&format!("{name}.bias")));
        let normal = |row: &Vec<f64>| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / row.len() as f64;
            let scaled = row.iter().map(|value| (value - mean) / (variance + self.epsilon).sqrt());
            scaled
                .zip(scale.iter().zip(&bias))
                .map(|(value, (scale, bias))| value * scale + bias)
                .collect()
        };
        rows.iter().map(normal).collect()
    }

    /// The encoder's output, token by token.
    fn forward(&self, ids: &[usize], activation: fn(f64) -> f64) -> Vec<Vec<f64>> {
        self.forward_pair(ids, ids.len(), activation)
    }

    /// The same of a pair, whose tokens from `second` on are of type 1.
    fn forward_pair(&self, ids: &[usize], second: usize, activation: fn(f64) -> f64) -> Vec<Vec<f64>> {
        let words = self.weight("embeddings.word_embeddings.weight");
        let places = self.weight("embeddings.position_embeddings.weight");
        let types = self.weight("embeddings.token_type_embeddings.weight");
        let embedded: Vec<Vec<f64>> = ids
            .iter()
            .enumerate()
            .map(|(place, id)| {
                let kind = if place < second { 0 } else { HIDDEN };
                (0..HIDDEN)
                    .map(|i| words[id * HIDDEN + i] + types[kind + i] + places[place * HIDDEN + i])
                    .collect()
            })
            .collect();
        let mut rows = self.layer_norm("embeddings.LayerNorm", &embedded);
        for layer in 0..LAYERS {
            let at = |part: &str| format!("encoder.layer.{layer}.{part}");
            let query = self.linear(&at("attention.self.query"), &rows);
            let key = self.linear(&at("attention.self.key"), &rows);
            let value = self.linear(&at("attention.self.value"), &rows);
            let attended = attention(&query, &key, &value, self.bias);
            let dense = self.linear(&at("attention.output.dense"), &attended);
            let middle = self.layer_norm(&at("attention.output.LayerNorm"), &sum(&dense, &rows));
            let mut wide = self.linear(&at("intermediate.dense"), &middle);
            wide.iter_mut().flatten().for_each(|value| *value = activation(*value));
            let narrow = self.linear(&at("output.dense"), &wide);
            // "output.LayerNorm" alone would also end the name of the attention's.
            rows = self.layer_norm(&format!("layer.{layer}.output.LayerNorm"), &sum(&narrow, &middle));
        }
        rows
    }
}

fn sum(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    a.iter()
        .zip(b)
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect())
        .collect()
}

fn attention(query: &[Vec<f64>], key: &[Vec<f64>], value: &[Vec<f64>], bias: fn(usize, usize, usize) -> f64) -> Vec<Vec<f64>> {
    let width = HIDDEN / HEADS;
    let mut rows = vec![vec![0.0; HIDDEN]; query.len()];
    for head in 0..HEADS {
        let part = head * width..(head + 1) * width;
        for (from, (row, query)) in rows.iter_mut().zip(query).enumerate() {
            let score = |(to, key): (usize, &Vec<f64>)| {
                let product: f64 = query[part.clone()].iter().zip(&key[part.clone()]).map(|(a, b)| a * b).sum();
                (product / (width as f64).sqrt() + bias(head, from, to)).exp()
            };
            let scores: Vec<f64> = key.iter().enumerate().map(score).collect();
            let total: f64 = scores.iter().sum();
            for (score, value) in scores.iter().zip(value) {
                for i in part.clone() {
                    row[i] += score / total * value[i];
                }
            }
        }
    }
    rows
}

fn gelu(x: f64) -> f64 {
    // The error function by its Maclaurin series, which is exact enough for the arguments that occur here.
    let z = x / 2_f64.sqrt();
    let (mut term, mut erf) = (z, z);
    for n in 1..120 {
        term *= -z * z / f64::from(n);
        erf += term / f64::from(2 * n + 1);
    }
    0.5 * x * (1.0 + erf * 2.0 / std::f64::consts::PI.sqrt())
}

fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

/// Converts the model, and compares its vectors with `pool` over the plain forward pass.
async fn check(tiny: &Tiny, activation: fn(f64) -> f64, pool: fn(Vec<Vec<f64>>) -> Vec<f64>) {
    let target = tempfile::tempdir().expect("a directory");
    let info = convert(tiny.path(), &target.path().join("tiny")).expect("converted");
    assert_eq!((info.dimension, info.max_tokens, info.name.as_str()), (HIDDEN, 9, "tiny"));
    assert_eq!(ModelInfo::read(&target.path().join("tiny")).expect("read"), info);
    let embedder = open(&target.path().join("tiny"), Precision::Auto);
    for (text, ids) in [
        ("", vec![2, 3]),
        ("a", vec![2, 4, 3]),
        ("d c b a z", vec![2, 7, 6, 5, 4, 1, 3]),
        // Seven of nine fit between [CLS] and [SEP]; the file's own limit of four is set aside.
        ("a b c d a b c d a", vec![2, 4, 5, 6, 7, 4, 5, 6, 3]),
    ] {
        let expected = pool(tiny.forward(&ids, activation));
        near(&embedder.embed_query(text).await.expect("a vector"), &expected, 2e-6);
        near(&by_the_graph(&target.path().join("tiny"), &ids, ids.len()), &expected, 2e-6);
    }
    embedder.close().await;
}

fn mean(rows: Vec<Vec<f64>>) -> Vec<f64> {
    (0..HIDDEN)
        .map(|i| rows.iter().map(|row| row[i]).sum::<f64>() / rows.len() as f64)
        .collect()
}

fn normalized(vector: Vec<f64>) -> Vec<f64> {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    vector.into_iter().map(|value| value / length).collect()
}

#[tokio::test]
async fn mean_pooling_and_normalisation_equal_the_plain_forward_pass() {
    check(&Tiny::new(""), gelu, |rows| normalized(mean(rows))).await;
}

#[tokio::test]
async fn first_token_pooling_equals_the_plain_forward_pass() {
    let tiny = Tiny::new("bert.");
    tiny.set("config.json", "", "hidden_act", json!("gelu_new"));
    tiny.set("1_Pooling/config.json", "", "pooling_mode_mean_tokens", json!(false));
    tiny.set("1_Pooling/config.json", "", "pooling_mode_cls_token", json!(true));
    check(&tiny, gelu_tanh, |mut rows| normalized(rows.swap_remove(0))).await;
}

#[tokio::test]
async fn vectors_stay_as_long_as_they_are_without_a_normalize_module() {
    let tiny = Tiny::new("");
    tiny.set("config.json", "", "hidden_act", json!("relu"));
    let modules = tiny.path().join("modules.json");
    let mut list: Vec<Value> = serde_json::from_slice(&fs::read(&modules).expect("read")).expect("JSON");
    list.truncate(2);
    fs::write(modules, json!(list).to_string()).expect("written");
    check(&tiny, |x| x.max(0.0), mean).await;
}

#[test]
fn the_same_source_gives_the_same_bytes() {
    let tiny = Tiny::new("");
    let target = tempfile::tempdir().expect("a directory");
    let model = target.path().join("model");
    let first = convert(tiny.path(), &model).expect("converted");
    let bytes = fs::read(model.join("model.onnx")).expect("read");
    // The second conversion replaces the first, with what else lay there.
    fs::write(model.join("stray"), "").expect("written");
    assert_eq!(convert(tiny.path(), &model).expect("converted again"), first);
    assert_eq!(fs::read(model.join("model.onnx")).expect("read"), bytes);
    let mut names: Vec<_> = fs::read_dir(&model)
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["ibid-model.json", "model.onnx", "tokenizer.json"]);
    assert_eq!(
        fs::read_dir(target.path()).expect("listed").count(),
        1,
        "nothing else is left behind"
    );
}

/// Converts, and expects a refusal with this code that names `named`, and no target.
fn refused(tiny: &Tiny, code: &str, named: &str) -> ConvertError {
    let target = tempfile::tempdir().expect("a directory");
    let error = convert(tiny.path(), &target.path().join("model")).expect_err(named);
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(named), "{error} names {named}");
    assert_eq!(fs::read_dir(target.path()).expect("listed").count(), 0, "nothing is left behind");
    error
}

#[test]
fn what_is_not_supported_is_refused_by_its_key() {
    for (file, place, key, value) in [
        ("config.json", "", "model_type", json!("gpt2")),
        ("config.json", "", "model_type", Value::Null),
        ("config.json", "", "hidden_act", json!("silu")),
        ("config.json", "", "position_embedding_type", json!("relative_key")),
        ("config.json", "", "is_decoder", json!(true)),
        ("config.json", "", "num_attention_heads", json!(3)),
        ("config.json", "", "num_attention_heads", json!(0)),
        ("config.json", "", "num_hidden_layers", json!(-1)),
        ("config.json", "", "num_hidden_layers", json!(1_000_000)),
        ("config.json", "", "layer_norm_eps", json!("1e-12")),
        ("config.json", "", "layer_norm_eps", Value::Null),
        ("modules.json", "/2", "type", json!("sentence_transformers.models.Dense")),
        ("modules.json", "/1", "path", json!("../elsewhere")),
        ("1_Pooling/config.json", "", "pooling_mode_max_tokens", json!(true)),
        ("1_Pooling/config.json", "", "pooling_mode_cls_token", json!(true)),
        ("1_Pooling/config.json", "", "pooling_mode_mean_tokens", json!(false)),
        ("1_Pooling/config.json", "", "word_embedding_dimension", json!(9)),
        ("1_Pooling/config.json", "", "pooling_mode", json!("weightedmean")),
        ("1_Pooling/config.json", "", "include_prompt", json!(false)),
        ("sentence_bert_config.json", "", "max_seq_length", json!(11)),
    ] {
        let tiny = Tiny::new("");
        tiny.set(file, place, key, value);
        let error = refused(&tiny, "MODEL_UNSUPPORTED", file);
        assert!(matches!(&error, ConvertError::Unsupported { .. }), "{error}");
        let named = error.to_string();
        assert!(named.contains(key) || named.contains("pooling_mode_"), "{named} names {key}");
    }
}

#[test]
fn prompts_are_read_and_can_be_overridden() {
    let tiny = Tiny::new("");
    let target = tempfile::tempdir().expect("a directory");
    let prefixes = |json: Value, options: &Options| {
        let path = tiny.path().join("config_sentence_transformers.json");
        fs::write(&path, json.to_string()).expect("written");
        let info = super::convert(tiny.path(), &target.path().join("tiny"), options).expect("converted");
        (info.query_prefix, info.document_prefix)
    };
    let check = |json, query: &str, document: &str| {
        assert_eq!(prefixes(json, &Options::default()), (query.to_owned(), document.to_owned()));
    };
    check(json!({}), "", "");
    check(json!({"prompts": {"query": "q: ", "passage": "p: "}}), "q: ", "p: ");
    check(
        json!({"prompts": {"query": "q: ", "all": "t: "}, "default_prompt_name": "all"}),
        "q: ",
        "t: ",
    );
    let options = Options {
        query_prefix: Some("ask: ".to_owned()),
        ..Options::default()
    };
    assert_eq!(
        prefixes(json!({"prompts": {"query": "q: ", "document": "d: "}}), &options),
        ("ask: ".to_owned(), "d: ".to_owned())
    );
    let path = tiny.path().join("config_sentence_transformers.json");
    fs::write(&path, json!({"default_prompt_name": "query"}).to_string()).expect("written");
    refused(&tiny, "MODEL_UNSUPPORTED", "default_prompt_name");
}

#[tokio::test]
async fn prefixes_stand_before_texts_of_their_kind() {
    let tiny = Tiny::new("");
    let target = tempfile::tempdir().expect("a directory");
    let model = target.path().join("tiny");
    let options = Options {
        query_prefix: Some("a ".to_owned()),
        document_prefix: Some("B ".to_owned()),
        onnx: None,
    };
    tiny.set("sentence_bert_config.json", "", "do_lower_case", json!(true));
    super::convert(tiny.path(), &model, &options).expect("converted");
    let embedder = open(&model, Precision::Fp32);
    let expected = |ids: &[usize]| normalized(mean(tiny.forward(ids, gelu)));
    near(&embedder.embed_query("C").await.expect("a vector"), &expected(&[2, 4, 6, 3]), 2e-6);
    let passages = embedder.embed_passages(vec!["c".to_owned()]).await.expect("vectors");
    near(&passages[0], &expected(&[2, 5, 6, 3]), 2e-6);
    let texts = embedder.embed_texts(vec!["d".to_owned()], |_| {}).await.expect("vectors");
    near(&texts[0], &expected(&[2, 5, 7, 3]), 2e-6);
    embedder.close().await;
}

fn open(model: &Path, precision: Precision) -> Embedder {
    let settings = EmbedderSettings {
        threads: 1,
        precision,
        ..EmbedderSettings::default()
    };
    Embedder::open(&runtime(), model, settings).expect("opened")
}

/// What ONNX Runtime makes of the graph in 32 bits, which GPUs and processors without wide vector units have.
fn by_the_graph(model: &Path, ids: &[usize], second: usize) -> Vec<f32> {
    let info = ModelInfo::read(model).expect("read");
    let session = open_form(&runtime(), model, &info, None, Place::Cpu).expect("opened");
    session.run(rows(ids, second)).expect("a vector")
}

/// One row, of which the tokens from `second` on are a second text's.
fn rows(ids: &[usize], second: usize) -> Rows {
    Rows {
        rows: 1,
        length: ids.len(),
        ids: ids.iter().map(|id| i64::try_from(*id).expect("small")).collect(),
        mask: vec![1; ids.len()],
        types: (0..ids.len()).map(|place| i64::from(place >= second)).collect(),
    }
}

fn near(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < tolerance, "{found} is not {expected}");
    }
}

fn cosine(a: &[f32], b: &[f64]) -> f64 {
    let a: Vec<f64> = a.iter().copied().map(f64::from).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&a, b) / (dot(&a, &a) * dot(b, b)).sqrt()
}

const SAMPLES: [(&str, &[usize]); 4] = [
    ("", &[2, 3]),
    ("a", &[2, 4, 3]),
    ("d c b a z", &[2, 7, 6, 5, 4, 1, 3]),
    ("a b c d a b c", &[2, 4, 5, 6, 7, 4, 5, 6, 3]),
];

#[tokio::test]
async fn eight_bits_stay_near_and_alone() {
    let tiny = Tiny::new("");
    let target = tempfile::tempdir().expect("a directory");
    let model = target.path().join("tiny");
    convert(tiny.path(), &model).expect("converted");
    let embedder = open(&model, Precision::Int8);
    assert_eq!(embedder.placement().precision, Precision::Int8);
    let mut texts: Vec<String> = SAMPLES.iter().map(|(text, _)| (*text).to_owned()).collect();
    let together = embedder.embed_texts(texts.clone(), |_| {}).await.expect("vectors");
    for ((text, ids), vector) in SAMPLES.iter().zip(&together) {
        let expected = normalized(mean(tiny.forward(ids, gelu)));
        let cosine = cosine(vector, &expected);
        assert!(cosine > 0.998, "{text:?}: {cosine}");
        assert!(cosine < 0.999_999_999, "{text:?} is computed in 8 bits");
    }
    texts.reverse();
    texts.extend(["b", "c", "d d"].map(str::to_owned));
    let otherwise = embedder.embed_queries(texts).await.expect("vectors");
    for (together, otherwise) in together.iter().rev().zip(&otherwise) {
        assert_eq!(together, otherwise, "a vector does not depend on its batch");
    }
    embedder.close().await;
}

#[test]
fn sixteen_bits_stay_near() {
    for cls in [false, true] {
        let (_target, model, tiny) = converted(cls);
        let info = ModelInfo::read(&model).expect("read");
        let session = open_form(&runtime(), &model, &info, Some(Form::Half), Place::Cpu).expect("opened");
        for (text, ids) in SAMPLES {
            let vector = session.run(rows(ids, ids.len())).expect("a vector");
            let cosine = cosine(&vector, &pooled(&tiny, ids, cls));
            assert!(cosine > 0.9999, "{text:?}: {cosine}");
        }
    }
}

/// A model, converted: with mean pooling, or with that of the first token.
fn converted(cls: bool) -> (TempDir, std::path::PathBuf, Tiny) {
    let tiny = Tiny::new("");
    if cls {
        tiny.set("config.json", "", "hidden_act", json!("gelu_new"));
        tiny.set("1_Pooling/config.json", "", "pooling_mode_mean_tokens", json!(false));
        tiny.set("1_Pooling/config.json", "", "pooling_mode_cls_token", json!(true));
    }
    let target = tempfile::tempdir().expect("a directory");
    let model = target.path().join("tiny");
    convert(tiny.path(), &model).expect("converted");
    (target, model, tiny)
}

fn pooled(tiny: &Tiny, ids: &[usize], cls: bool) -> Vec<f64> {
    if cls {
        normalized(tiny.forward(ids, gelu_tanh).swap_remove(0))
    } else {
        normalized(mean(tiny.forward(ids, gelu)))
    }
}

/// Packed attention exists for GPUs alone. Of one text it is plain attention, for which there is a CPU
/// operator: with that in its place, all the rest of the graph is what it will be on a GPU.
#[test]
fn the_packed_graph_computes_the_same() {
    for cls in [false, true] {
        let (_target, model, tiny) = converted(cls);
        let info = ModelInfo::read(&model).expect("read");
        let bytes = rebuild(&model, &info, Form::Packed).expect("built");
        let mut packed = ModelProto::decode(bytes.as_slice()).expect("decoded");
        let graph = packed.graph.as_mut().expect("a graph");
        let mut nodes = Vec::new();
        for node in std::mem::take(&mut graph.node) {
            let op = |op_type: &str, domain: &str, input: Vec<String>, output: String, attribute| NodeProto {
                name: format!("{output}/{op_type}"),
                op_type: op_type.to_owned(),
                domain: domain.to_owned(),
                input,
                output: vec![output],
                attribute,
            };
            let first = || "axes.0".to_owned();
            match node.op_type.as_str() {
                "PackedMultiHeadAttention" => {
                    let wide = |name: &String| format!("{name}.wide");
                    for input in &node.input[..3] {
                        nodes.push(op("Unsqueeze", "", vec![input.clone(), first()], wide(input), vec![]));
                    }
                    let mut input: Vec<String> = node.input[..3].iter().map(wide).collect();
                    input.push(node.input[3].clone());
                    let output = wide(&node.output[0]);
                    nodes.push(op("MultiHeadAttention", MICROSOFT, input, output.clone(), node.attribute));
                    nodes.push(op("Squeeze", "", vec![output, first()], node.output[0].clone(), vec![]));
                }
                "RestorePadding" => {
                    let input = vec![node.input[0].clone(), first()];
                    nodes.push(op("Unsqueeze", "", input, node.output[0].clone(), vec![]));
                }
                _ => nodes.push(node),
            }
        }
        graph.node = nodes;
        let bytes = packed.encode_to_vec();
        let path = model.join("model.onnx");
        let session = SharedSession::open_untried(&runtime(), &path, &Graph::Bytes(&bytes), &info, Place::Cpu).expect("opened");
        assert!(session.is_packed());
        for (text, ids) in SAMPLES {
            let text_ids: Vec<u32> = ids.iter().map(|id| u32::try_from(*id).expect("small")).collect();
            let vector = session.run_packed(&[&text_ids]).expect("a vector");
            let cosine = cosine(&vector, &pooled(&tiny, ids, cls));
            assert!(cosine > 0.9999, "{text:?}, first token {cls}: {cosine}");
        }
    }
}

/// ONNX Runtime checks all types and shapes before it looks for what computes them.
#[test]
fn the_packed_graph_is_one_for_gpus() {
    let (_target, model, _tiny) = converted(false);
    let info = ModelInfo::read(&model).expect("read");
    let error = open_form(&runtime(), &model, &info, Some(Form::Packed), Place::Cpu)
        .err()
        .expect("a GPU is needed");
    let message = error.to_string();
    assert!(
        message.contains("kernel") && message.contains("PackedMultiHeadAttention"),
        "{message}"
    );
}

#[tokio::test]
async fn relatives_of_bert_equal_the_plain_forward_pass() {
    for family in ["roberta", "mpnet", "distilbert"] {
        let tiny = Tiny::of(family);
        let target = tempfile::tempdir().expect("a directory");
        let model = target.path().join("tiny");
        let info = convert(tiny.path(), &model).expect(family);
        assert_eq!(info.max_tokens, 9, "{family}");
        let embedder = open(&model, Precision::Fp32);
        for (text, ids) in SAMPLES {
            let expected = normalized(mean(tiny.forward(ids, gelu)));
            near(&embedder.embed_query(text).await.expect("a vector"), &expected, 2e-6);
            near(&by_the_graph(&model, ids, ids.len()), &expected, 2e-6);
        }
        embedder.close().await;
        let bytes = rebuild(&model, &info, Form::Packed);
        assert_eq!(bytes.is_err(), family == "mpnet", "only a bias by distance cannot be packed");
    }
}

#[tokio::test]
async fn without_modules_the_mean_is_taken_as_it_is() {
    let tiny = Tiny::new("");
    fs::remove_file(tiny.path().join("modules.json")).expect("removed");
    check(&tiny, gelu, mean).await;
}

/// A ready model: each token's vector is its row of a table, plus a row for its type if it has one.
fn ready_model(directory: &Path, kind: i32, types: bool, beside: bool) {
    let table: Vec<f32> = (0..WORDS.len() * 2).map(|cell| cell as f32).collect();
    let table: Vec<u8> = table.iter().flat_map(|value| value.to_le_bytes()).collect();
    let named = |name: &str| DimensionValue::Named(name.to_owned());
    let input = |name: &str| ValueInfoProto::tensor(name, kind, vec![named("batch"), named("sequence")]);
    let node = |op_type: &str, input: &[&str], output: &str| NodeProto {
        name: output.to_owned(),
        op_type: op_type.to_owned(),
        input: input.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    };
    let mut nodes = vec![node("Gather", &["table", INPUT_IDS], "words")];
    let mut inputs = vec![input(INPUT_IDS), input("attention_mask")];
    if types {
        inputs.push(input("token_type_ids"));
        nodes.push(node("Gather", &["table", "token_type_ids"], "kinds"));
        nodes.push(node("Add", &["words", "kinds"], "last_hidden_state"));
    } else {
        nodes.push(node("Identity", &["words"], "last_hidden_state"));
    }
    let constant = |name: &str, data_type: i32, dims: &[i64], raw_data: Vec<u8>| TensorProto {
        name: name.to_owned(),
        data_type,
        dims: dims.to_vec(),
        raw_data,
    };
    nodes.push(NodeProto {
        attribute: vec![AttributeProto::int("axis", 1)],
        ..node("Gather", &["last_hidden_state", "first"], "pooler_output")
    });
    let dims = [i64::try_from(WORDS.len()).expect("small"), 2];
    let words = constant("table", FLOAT, &dims, if beside { vec![] } else { table.clone() });
    let output = |name: &str, dimensions| ValueInfoProto::tensor(name, FLOAT, dimensions);
    let model = ModelProto {
        ir_version: 10,
        graph: Some(GraphProto {
            node: nodes,
            name: "ready".to_owned(),
            initializer: vec![constant("first", INT64, &[], 0_i64.to_le_bytes().to_vec()), words],
            input: inputs,
            output: vec![
                output("pooler_output", vec![named("batch"), DimensionValue::Fixed(2)]),
                output(
                    "last_hidden_state",
                    vec![named("batch"), named("sequence"), DimensionValue::Fixed(2)],
                ),
            ],
        }),
        opset_import: vec![OperatorSetId {
            domain: String::new(),
            version: 20,
        }],
        ..ModelProto::default()
    };
    let mut bytes = model.encode_to_vec();
    if beside {
        // Messages merge where they are appended: this adds another constant of the same graph.
        #[derive(Clone, PartialEq, prost::Message)]
        struct Beside {
            #[prost(message, optional, tag = "7")]
            graph: Option<BesideGraph>,
        }
        #[derive(Clone, PartialEq, prost::Message)]
        struct BesideGraph {
            #[prost(message, repeated, tag = "5")]
            initializer: Vec<BesideTensor>,
        }
        #[derive(Clone, PartialEq, prost::Message)]
        struct BesideTensor {
            #[prost(int64, repeated, packed = "false", tag = "1")]
            dims: Vec<i64>,
            #[prost(int32, tag = "2")]
            data_type: i32,
            #[prost(string, tag = "8")]
            name: String,
            #[prost(message, repeated, tag = "13")]
            external_data: Vec<StringStringEntryProto>,
            #[prost(int32, tag = "14")]
            data_location: i32,
        }
        let mut model = model;
        model.graph.as_mut().expect("a graph").initializer.pop();
        bytes = model.encode_to_vec();
        let tensor = BesideTensor {
            dims: dims.to_vec(),
            data_type: FLOAT,
            name: "table".to_owned(),
            external_data: vec![StringStringEntryProto {
                key: "location".to_owned(),
                value: "model.onnx_data".to_owned(),
            }],
            data_location: 1,
        };
        let graph = Some(BesideGraph { initializer: vec![tensor] });
        bytes.extend(Beside { graph }.encode_to_vec());
        fs::write(directory.join("onnx/model.onnx_data"), table).expect("written");
    }
    fs::write(directory.join("onnx/model.onnx"), bytes).expect("written");
}

#[tokio::test]
async fn ready_models_run_as_they_are() {
    for (kind, types, beside) in [(INT64, false, false), (INT32, true, false), (INT64, true, true)] {
        let tiny = Tiny::new("");
        fs::remove_file(tiny.path().join("model.safetensors")).expect("removed");
        fs::create_dir(tiny.path().join("onnx")).expect("made");
        tiny.set("1_Pooling/config.json", "", "word_embedding_dimension", json!(2));
        ready_model(tiny.path(), kind, types, beside);
        let target = tempfile::tempdir().expect("a directory");
        let model = target.path().join("ready");
        let info = convert(tiny.path(), &model).expect("taken");
        assert_eq!((info.dimension, info.max_tokens), (2, 9));
        let embedder = open(&model, Precision::Int8);
        assert_eq!(embedder.placement().precision, Precision::Fp32, "its numbers are its maker's");
        let offset = if types { [0.0, 1.0] } else { [0.0, 0.0] };
        for (text, ids) in SAMPLES {
            let rows: Vec<[f64; 2]> = ids
                .iter()
                .map(|id| [2.0 * *id as f64 + offset[0], 2.0 * *id as f64 + 1.0 + offset[1]])
                .collect();
            let sum = rows.iter().fold([0.0, 0.0], |sum, row| [sum[0] + row[0], sum[1] + row[1]]);
            let vector = embedder.embed_query(text).await.expect("a vector");
            near(&vector, &normalized(sum.to_vec()), 1e-6);
        }
        embedder.close().await;
        if beside {
            fs::write(model.join("model.onnx_data"), "damaged").expect("written");
            let error = Embedder::open(&runtime(), &model, EmbedderSettings::default()).expect_err("it is damaged");
            assert!(error.to_string().contains("model.onnx_data"), "{error}");
        }
    }
}

#[tokio::test]
async fn ready_models_that_pool_are_not_pooled_again() {
    let tiny = Tiny::new("");
    let target = tempfile::tempdir().expect("a directory");
    convert(tiny.path(), &target.path().join("first")).expect("converted");
    fs::remove_file(tiny.path().join("model.safetensors")).expect("removed");
    fs::copy(target.path().join("first/model.onnx"), tiny.path().join("model.onnx")).expect("copied");
    let info = convert(tiny.path(), &target.path().join("second")).expect("taken");
    assert!(info.ready.expect("a ready model").pooled);
    let embedder = open(&target.path().join("second"), Precision::Auto);
    for (text, ids) in SAMPLES {
        let vector = embedder.embed_query(text).await.expect("a vector");
        near(&vector, &normalized(mean(tiny.forward(ids, gelu))), 2e-6);
    }
    embedder.close().await;
}

#[test]
fn ready_models_that_are_no_text_models_are_refused() {
    let tiny = Tiny::new("");
    fs::remove_file(tiny.path().join("model.safetensors")).expect("removed");
    let onnx = tiny.path().join("model.onnx");
    fs::write(&onnx, [0xff; 8]).expect("written");
    refused(&tiny, "MODEL_ONNX_INVALID", "model.onnx");
    let tensor = |name: &str, kind| ValueInfoProto::tensor(name, kind, vec![DimensionValue::Fixed(1); 2]);
    for (inputs, outputs, named) in [
        (vec![tensor("pixel_values", FLOAT)], vec![], "pixel_values"),
        (vec![tensor("attention_mask", INT64)], vec![], INPUT_IDS),
        (vec![tensor(INPUT_IDS, FLOAT)], vec![], "neither"),
        (
            vec![tensor(INPUT_IDS, INT64)],
            vec![tensor("pooler_output", FLOAT)],
            "pooler_output",
        ),
        (vec![tensor(INPUT_IDS, INT64)], vec![tensor(OUTPUT, INT64)], OUTPUT),
    ] {
        let graph = GraphProto {
            input: inputs,
            output: outputs,
            ..GraphProto::default()
        };
        let model = ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        };
        fs::write(&onnx, model.encode_to_vec()).expect("written");
        refused(&tiny, "MODEL_ONNX_INVALID", named);
    }
}

#[test]
fn a_wrong_dimension_shows_when_the_model_opens() {
    let (_target, model, _tiny) = converted(false);
    let mut info: Value = serde_json::from_slice(&fs::read(model.join(ModelInfo::FILE)).expect("read")).expect("JSON");
    info["dimension"] = json!(HIDDEN + 1);
    info.as_object_mut().expect("an object").remove("architecture");
    fs::write(model.join(ModelInfo::FILE), info.to_string()).expect("written");
    let error = Embedder::open(&runtime(), &model, EmbedderSettings::default()).expect_err("the vectors are shorter");
    assert_eq!(error.code(), ibid_types::ErrorCode::ServiceUnavailable);
    assert!(error.to_string().contains("model.onnx"), "{error}");
}

#[test]
fn missing_and_broken_files_are_named() {
    for file in ["config.json", "1_Pooling/config.json", "model.safetensors", "tokenizer.json"] {
        let tiny = Tiny::new("");
        fs::remove_file(tiny.path().join(file)).expect("removed");
        refused(&tiny, "MODEL_IO", file);
    }
    for file in ["config.json", "modules.json", "sentence_bert_config.json"] {
        let tiny = Tiny::new("");
        fs::write(tiny.path().join(file), "{").expect("written");
        refused(&tiny, "MODEL_CONFIG_INVALID", file);
    }
    let tiny = Tiny::new("");
    fs::write(tiny.path().join("tokenizer.json"), "{}").expect("written");
    refused(&tiny, "MODEL_TOKENIZER_INVALID", "tokenizer.json");
    fs::write(tiny.path().join("model.safetensors"), [0xff; 64]).expect("written");
    let tiny = Tiny::new("");
    fs::write(tiny.path().join("model.safetensors"), [0xff; 64]).expect("written");
    refused(&tiny, "MODEL_WEIGHTS_INVALID", "model.safetensors");
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let name = "encoder.layer.1.output.dense.weight";
    let mut tiny = Tiny::new("");
    tiny.weights.retain(|(full, _, _)| full != name);
    tiny.write_weights();
    refused(&tiny, "MODEL_WEIGHTS_INVALID", name);

    let tiny = Tiny::new("");
    tiny.set("config.json", "", "intermediate_size", json!(INNER + 1));
    refused(&tiny, "MODEL_WEIGHTS_INVALID", "encoder.layer.0.intermediate.dense.weight");

    let tiny = Tiny::new("");
    tiny.set("tokenizer.json", "/model/vocab", "e", json!(WORDS.len()));
    refused(&tiny, "MODEL_TOKENIZER_INVALID", "vocab_size");
}

/// A question, a passage, the ids that are read of them, and where the passage begins.
const PAIRS: [(&str, &str, &[usize], usize); 5] = [
    ("a", "b", &[2, 4, 3, 5, 3], 3),
    ("a b", "", &[2, 4, 5, 3, 3], 4),
    ("", "d d z", &[2, 3, 7, 7, 1, 3], 2),
    // Six of nine are left beside the special ones: what is too much is cut off the passage,
    ("a b", "c d a b c d", &[2, 4, 5, 3, 6, 7, 4, 5, 3], 4),
    // and off the question what would take more than half of them from it.
    ("a b c d a b c", "d d d d", &[2, 4, 5, 6, 3, 7, 7, 7, 3], 5),
];

#[tokio::test]
async fn rerankers_equal_the_plain_forward_pass() {
    for family in ["bert", "roberta", "mpnet", "distilbert"] {
        let tiny = Tiny::reranker(family);
        let target = tempfile::tempdir().expect("a directory");
        let model = target.path().join("judge");
        let info = convert(tiny.path(), &model).expect(family);
        assert_eq!(
            (info.kind, info.dimension, info.max_tokens),
            (ModelKind::Reranker, 1, 9),
            "{family}"
        );
        assert_eq!(ModelInfo::read(&model).expect("read"), info);
        let reranker = open(&model, Precision::Fp32);
        // Only BERT of them has types.
        let typed = family == "bert";
        for (question, passage, ids, second) in PAIRS {
            let expected = tiny.score(family, ids, if typed { second } else { ids.len() });
            let found = reranker.score(question, vec![passage.to_owned()]).await.expect("a score");
            near(&found, &[expected], 1e-5);
            near(&by_the_graph(&model, ids, second), &[expected], 1e-5);
        }
        reranker.close().await;
        assert!(rebuild(&model, &info, Form::Packed).is_err(), "pairs are not packed");
    }
}

#[tokio::test]
async fn rerankers_in_fewer_bits_stay_near_and_alone() {
    let tiny = Tiny::reranker("bert");
    let target = tempfile::tempdir().expect("a directory");
    let model = target.path().join("judge");
    let info = convert(tiny.path(), &model).expect("converted");
    let passages: Vec<String> = ["b", "", "d d z", "c d a b c d", "c"].map(str::to_owned).to_vec();
    let (single, eight) = (open(&model, Precision::Fp32), open(&model, Precision::Int8));
    let exact = single.score("a b", passages.clone()).await.expect("scores");
    let found = eight.score("a b", passages.clone()).await.expect("scores");
    for ((passage, exact), found) in passages.iter().zip(&exact).zip(&found) {
        assert!((exact - found).abs() < 0.1 && exact != found, "{passage:?}: {exact}, {found}");
        let alone = eight.score("a b", vec![passage.clone()]).await.expect("a score");
        assert_eq!(alone, [*found], "a score does not depend on its batch");
    }
    let half = open_form(&runtime(), &model, &info, Some(Form::Half), Place::Cpu).expect("opened");
    for (_, _, ids, second) in PAIRS {
        let found = half.run(rows(ids, second)).expect("a score");
        near(&found, &[tiny.score("bert", ids, second)], 0.02);
    }
    single.close().await;
    eight.close().await;
}

#[tokio::test]
async fn ready_rerankers_run_as_they_are() {
    let tiny = Tiny::reranker("bert");
    let target = tempfile::tempdir().expect("a directory");
    convert(tiny.path(), &target.path().join("first")).expect("converted");
    fs::remove_file(tiny.path().join("model.safetensors")).expect("removed");
    fs::create_dir(tiny.path().join("onnx")).expect("made");
    fs::copy(target.path().join("first/model.onnx"), tiny.path().join("onnx/model.onnx")).expect("copied");
    let model = target.path().join("second");
    let info = convert(tiny.path(), &model).expect("taken");
    assert_eq!((info.kind, info.dimension, info.max_tokens), (ModelKind::Reranker, 1, 9));
    let reranker = open(&model, Precision::Auto);
    for (question, passage, ids, second) in PAIRS {
        let found = reranker.score(question, vec![passage.to_owned()]).await.expect("a score");
        near(&found, &[tiny.score("bert", ids, second)], 1e-5);
    }
    reranker.close().await;

    // A classifier of three labels says no score.
    let tensor = |name: &str, kind, last| ValueInfoProto::tensor(name, kind, vec![DimensionValue::Named("batch".to_owned()), last]);
    let graph = GraphProto {
        input: vec![tensor(INPUT_IDS, INT64, DimensionValue::Named("sequence".to_owned()))],
        output: vec![tensor("logits", FLOAT, DimensionValue::Fixed(3))],
        ..GraphProto::default()
    };
    let classifier = ModelProto {
        graph: Some(graph),
        ..ModelProto::default()
    };
    fs::write(tiny.path().join("onnx/model.onnx"), classifier.encode_to_vec()).expect("written");
    refused(&tiny, "MODEL_ONNX_INVALID", "logits");
}

#[test]
fn classifiers_that_are_no_rerankers_are_refused() {
    for (key, value) in [
        ("id2label", json!({"0": "no", "1": "yes"})),
        // Two, if nothing is said.
        ("id2label", Value::Null),
    ] {
        let tiny = Tiny::reranker("bert");
        tiny.set("config.json", "", key, value);
        refused(&tiny, "MODEL_UNSUPPORTED", key);
    }
    let mut tiny = Tiny::reranker("bert");
    tiny.weights.retain(|(name, _, _)| name != "classifier.bias");
    tiny.write_weights();
    refused(&tiny, "MODEL_WEIGHTS_INVALID", "classifier.bias");
}

#[test]
fn the_length_of_pairs_is_the_tokenizers_where_nothing_else_says_it() {
    let tiny = Tiny::reranker("bert");
    let target = tempfile::tempdir().expect("a directory");
    let length = || convert(tiny.path(), &target.path().join("judge")).expect("converted").max_tokens;
    fs::remove_file(tiny.path().join("sentence_bert_config.json")).expect("removed");
    assert_eq!(length(), POSITIONS);
    // As who has no limit writes it.
    for (limit, expected) in [("1000000000000000019884624838656", POSITIONS), ("9", 9), ("1", 8)] {
        let text = format!(r#"{{"model_max_length": {limit}}}"#);
        fs::write(tiny.path().join("tokenizer_config.json"), text).expect("written");
        assert_eq!(length(), expected, "{limit}");
    }
}
