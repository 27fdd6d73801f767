//! Tiny embedding models of the test's own, and share directories that hold them.

use super::process::{program, share};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const WORDS: [&str; 16] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "river", "stone", "apple", "bread", "night", "water", "the", "of", "and", "is", "where", ".",
];

/// Writes a BERT of one layer, as models are published, whose vectors have `dimension` numbers; another seed gives other weights.
pub fn publish(directory: &Path, dimension: usize, seed: u64) {
    fs::create_dir_all(directory.join("1_Pooling")).expect("made");
    let write = |name: &str, value: Value| fs::write(directory.join(name), value.to_string()).expect("written");
    write(
        "config.json",
        json!({ "model_type": "bert", "hidden_act": "gelu", "hidden_size": dimension, "num_attention_heads": 2, "intermediate_size": 12,
            "num_hidden_layers": 1, "vocab_size": WORDS.len(), "type_vocab_size": 2, "max_position_embeddings": 66,
            "layer_norm_eps": 1e-3, "position_embedding_type": "absolute" }),
    );
    write(
        "modules.json",
        json!([{ "path": "", "type": "sentence_transformers.models.Transformer" },
            { "path": "1_Pooling", "type": "sentence_transformers.models.Pooling" },
            { "path": "2_Normalize", "type": "sentence_transformers.models.Normalize" }]),
    );
    write(
        "1_Pooling/config.json",
        json!({ "word_embedding_dimension": dimension, "pooling_mode_mean_tokens": true }),
    );
    write("sentence_bert_config.json", json!({ "max_seq_length": 64, "do_lower_case": false }));
    let vocabulary: Map<String, Value> = WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    write(
        "tokenizer.json",
        json!({ "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": { "type": "Lowercase" },
            "pre_tokenizer": { "type": "Whitespace" }, "decoder": null,
            "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] },
            "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" } }),
    );
    let mut state = seed;
    let mut weights: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, shape: &[usize], offset: f32| {
        let number = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0 + offset
        };
        let numbers = (0..shape.iter().product::<usize>()).map(number);
        weights.push((name.to_owned(), shape.to_vec(), numbers.flat_map(f32::to_le_bytes).collect()));
    };
    add("embeddings.word_embeddings.weight", &[WORDS.len(), dimension], 0.0);
    add("embeddings.position_embeddings.weight", &[66, dimension], 0.0);
    add("embeddings.token_type_embeddings.weight", &[2, dimension], 0.0);
    for (part, outputs, inputs) in [
        ("attention.self.query", dimension, dimension),
        ("attention.self.key", dimension, dimension),
        ("attention.self.value", dimension, dimension),
        ("attention.output.dense", dimension, dimension),
        ("intermediate.dense", 12, dimension),
        ("output.dense", dimension, 12),
    ] {
        add(&format!("encoder.layer.0.{part}.weight"), &[outputs, inputs], 0.0);
        add(&format!("encoder.layer.0.{part}.bias"), &[outputs], 0.0);
    }
    for part in ["embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"] {
        add(&format!("{part}.LayerNorm.weight"), &[dimension], 1.0);
        add(&format!("{part}.LayerNorm.bias"), &[dimension], 0.0);
    }
    let views = weights
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("its shape fits")));
    let file = safetensors::serialize(views, None).expect("serialised");
    fs::write(directory.join("model.safetensors"), file).expect("written");
}

/// Makes such a model and installs it, by the program's own converter, in place of one that goes by the name already.
pub fn install(share: &Path, name: &str, dimension: usize, seed: u64) {
    let source = tempfile::tempdir().expect("a directory");
    publish(source.path(), dimension, seed);
    let converted = program(share)
        .args(["model", "convert", "--force"])
        .args([source.path(), &share.join("models").join(name)])
        .output()
        .expect("the converter");
    assert!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));
}

/// A share directory with the library, the plugins and the model of the usual one, to which models can be added.
pub fn own_share() -> TempDir {
    let own = tempfile::tempdir().expect("a directory");
    fs::create_dir(own.path().join("models")).expect("made");
    for part in ["lib", "plugins", "models/all-MiniLM-L6-v2"] {
        std::os::unix::fs::symlink(share().join(part), own.path().join(part)).expect("a link");
    }
    own
}
