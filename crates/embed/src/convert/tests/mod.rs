//! Conversion of tiny models made here, checked against BERT's forward pass written out in plain Rust.

mod precision;
mod ready;
mod rerankers;
mod tiny;

pub(crate) use tiny::Tiny;
use tiny::*;

use std::{fs, path::Path};

use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use prost::Message;

use super::{
    super::{
        Embedder, EmbedderSettings, ModelInfo, ModelKind, Precision,
        device::open_form,
        session::{Graph, Processor, Rows, SharedSession},
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

/// Returns what ONNX Runtime makes of the graph in 32 bits, which GPUs and processors without wide vector units have.
fn by_the_graph(model: &Path, ids: &[usize], second: usize) -> Vec<f32> {
    let info = ModelInfo::read(model).expect("read");
    let session = open_form(&runtime(), model, &info, None, Processor::Cpu).expect("opened");
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

/// Converts a model with mean pooling, or with pooling by the first token.
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
