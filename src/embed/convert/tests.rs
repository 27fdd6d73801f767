//! Conversion of tiny models made here, checked against BERT's forward pass written out in plain Rust.

use std::{fs, path::Path};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    super::{Embedder, EmbedderSettings, ModelInfo, tests::runtime},
    ConvertError, convert,
};

const HIDDEN: usize = 8;
const HEADS: usize = 2;
const INNER: usize = 12;
const LAYERS: usize = 2;
const WORDS: [&str; 8] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d"];
const POSITIONS: usize = 10;
const EPSILON: f64 = 1e-3;

/// A model in the making: its directory and its weights by name.
struct Tiny {
    directory: TempDir,
    weights: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl Tiny {
    /// Weights are arbitrary, and the same in every run.
    fn new(prefix: &str) -> Self {
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
        };
        tiny.write_configuration();
        tiny.write_weights();
        tiny
    }

    fn path(&self) -> &Path {
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
            let scaled = row.iter().map(|value| (value - mean) / (variance + EPSILON).sqrt());
            scaled
                .zip(scale.iter().zip(&bias))
                .map(|(value, (scale, bias))| value * scale + bias)
                .collect()
        };
        rows.iter().map(normal).collect()
    }

    /// The encoder's output, token by token.
    fn forward(&self, ids: &[usize], activation: fn(f64) -> f64) -> Vec<Vec<f64>> {
        let words = self.weight("embeddings.word_embeddings.weight");
        let places = self.weight("embeddings.position_embeddings.weight");
        let types = self.weight("embeddings.token_type_embeddings.weight");
        let embedded: Vec<Vec<f64>> = ids
            .iter()
            .enumerate()
            .map(|(place, id)| {
                (0..HIDDEN)
                    .map(|i| words[id * HIDDEN + i] + types[i] + places[place * HIDDEN + i])
                    .collect()
            })
            .collect();
        let mut rows = self.layer_norm("embeddings.LayerNorm", &embedded);
        for layer in 0..LAYERS {
            let at = |part: &str| format!("encoder.layer.{layer}.{part}");
            let query = self.linear(&at("attention.self.query"), &rows);
            let key = self.linear(&at("attention.self.key"), &rows);
            let value = self.linear(&at("attention.self.value"), &rows);
            let attended = attention(&query, &key, &value);
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

fn attention(query: &[Vec<f64>], key: &[Vec<f64>], value: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = HIDDEN / HEADS;
    let mut rows = vec![vec![0.0; HIDDEN]; query.len()];
    for head in 0..HEADS {
        let part = head * width..(head + 1) * width;
        for (row, query) in rows.iter_mut().zip(query) {
            let score = |key: &Vec<f64>| {
                let product: f64 = query[part.clone()].iter().zip(&key[part.clone()]).map(|(a, b)| a * b).sum();
                (product / (width as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = key.iter().map(score).collect();
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
    let settings = EmbedderSettings {
        threads: 1,
        ..EmbedderSettings::default()
    };
    let embedder = Embedder::open(&runtime(), &target.path().join("tiny"), settings).expect("opened");
    for (text, ids) in [
        ("", vec![2, 3]),
        ("a", vec![2, 4, 3]),
        ("d c b a z", vec![2, 7, 6, 5, 4, 1, 3]),
        // Seven of nine fit between [CLS] and [SEP]; the file's own limit of four is set aside.
        ("a b c d a b c d a", vec![2, 4, 5, 6, 7, 4, 5, 6, 3]),
    ] {
        let expected = pool(tiny.forward(&ids, activation));
        let found = embedder.embed_query(text).await.expect("a vector");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((f64::from(*found) - expected).abs() < 2e-6, "{text:?}: {found} is not {expected}");
        }
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
        ("config.json", "", "model_type", json!("mpnet")),
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
        ("sentence_bert_config.json", "", "do_lower_case", json!(true)),
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
fn a_model_that_wants_prompts_is_refused() {
    let tiny = Tiny::new("");
    let path = tiny.path().join("config_sentence_transformers.json");
    fs::write(&path, json!({"default_prompt_name": "query"}).to_string()).expect("written");
    refused(&tiny, "MODEL_UNSUPPORTED", "default_prompt_name");
}

#[test]
fn missing_and_broken_files_are_named() {
    for file in [
        "config.json",
        "modules.json",
        "1_Pooling/config.json",
        "model.safetensors",
        "tokenizer.json",
    ] {
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
