//! Tiny embedding models and rerankers of the test's own, and share directories that hold them.

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
    write_tokenizer(directory);
    let mut state = seed;
    let mut weights: Weights = Vec::new();
    let mut add = |name: &str, shape: &[usize], offset: f32| {
        let number = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0 + offset
        };
        let numbers = (0..shape.iter().product::<usize>()).map(number);
        weights.push((name.to_owned(), shape.to_vec(), numbers.collect()));
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
    write_weights(directory, &weights);
}

fn write_tokenizer(directory: &Path) {
    let write = |name: &str, value: Value| fs::write(directory.join(name), value.to_string()).expect("written");
    let vocabulary: Map<String, Value> = WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    write(
        "tokenizer.json",
        json!({ "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": { "type": "Lowercase" },
            "pre_tokenizer": { "type": "Whitespace" }, "decoder": null,
            "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2] },
            "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" } }),
    );
}

/// Weights by name, with their shapes.
type Weights = Vec<(String, Vec<usize>, Vec<f32>)>;

fn write_weights(directory: &Path, weights: &Weights) {
    let bytes: Vec<Vec<u8>> = weights
        .iter()
        .map(|(_, _, numbers)| numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
        .collect();
    let views = weights
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("its shape fits")));
    let file = safetensors::serialize(views, None).expect("serialised");
    fs::write(directory.join("model.safetensors"), file).expect("written");
}

/// Writes a cross-encoder of one layer, as they are published, that scores a pair the higher the more of its words are `apple`.
pub fn publish_reranker(directory: &Path) {
    const WIDE: usize = 8;
    write_tokenizer(directory);
    let config = json!({ "model_type": "bert", "architectures": ["BertForSequenceClassification"], "id2label": { "0": "LABEL_0" },
        "hidden_act": "gelu", "hidden_size": WIDE, "num_attention_heads": 2, "intermediate_size": 12, "num_hidden_layers": 1,
        "vocab_size": WORDS.len(), "type_vocab_size": 2, "max_position_embeddings": 66, "layer_norm_eps": 1e-3 });
    fs::write(directory.join("config.json"), config.to_string()).expect("written");
    let mut weights: Weights = Vec::new();
    // All nothing, but for what is said.
    let mut add = |name: &str, shape: &[usize], set: &[(usize, f32)], rest: f32| {
        let mut numbers = vec![rest; shape.iter().product()];
        for (place, number) in set {
            numbers[*place] = *number;
        }
        weights.push((name.to_owned(), shape.to_vec(), numbers));
    };
    // The one word has the first component, all others the second.
    let words: Vec<(usize, f32)> = (0..WORDS.len())
        .map(|word| (word * WIDE + usize::from(WORDS[word] != "apple"), 4.0))
        .collect();
    add("bert.embeddings.word_embeddings.weight", &[WORDS.len(), WIDE], &words, 0.0);
    add("bert.embeddings.position_embeddings.weight", &[66, WIDE], &[], 0.0);
    add("bert.embeddings.token_type_embeddings.weight", &[2, WIDE], &[], 0.0);
    for (part, outputs, inputs, set) in [
        // Every token looks at all alike, and takes their mean first component.
        ("attention.self.query", WIDE, WIDE, None),
        ("attention.self.key", WIDE, WIDE, None),
        ("attention.self.value", WIDE, WIDE, Some((0, 1.0))),
        ("attention.output.dense", WIDE, WIDE, Some((0, 4.0))),
        ("intermediate.dense", 12, WIDE, None),
        ("output.dense", WIDE, 12, None),
    ] {
        let set: Vec<(usize, f32)> = set.into_iter().collect();
        add(&format!("bert.encoder.layer.0.{part}.weight"), &[outputs, inputs], &set, 0.0);
        add(&format!("bert.encoder.layer.0.{part}.bias"), &[outputs], &[], 0.0);
    }
    for part in ["embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"] {
        add(&format!("bert.{part}.LayerNorm.weight"), &[WIDE], &[], 1.0);
        add(&format!("bert.{part}.LayerNorm.bias"), &[WIDE], &[], 0.0);
    }
    add("bert.pooler.dense.weight", &[WIDE, WIDE], &[(0, 1.0)], 0.0);
    add("bert.pooler.dense.bias", &[WIDE], &[], 0.0);
    add("classifier.weight", &[1, WIDE], &[(0, 3.0)], 0.0);
    add("classifier.bias", &[1], &[], 0.0);
    write_weights(directory, &weights);
}

/// Makes such a model and installs it, by the program's own converter, in place of one that goes by the name already.
pub fn install(share: &Path, name: &str, dimension: usize, seed: u64) {
    let source = tempfile::tempdir().expect("a directory");
    publish(source.path(), dimension, seed);
    convert(source.path(), share, name);
}

/// The same of a reranker.
pub fn install_reranker(share: &Path, name: &str) {
    let source = tempfile::tempdir().expect("a directory");
    publish_reranker(source.path());
    convert(source.path(), share, name);
}

fn convert(source: &Path, share: &Path, name: &str) {
    let converted = program(share)
        .args(["model", "convert", "--force"])
        .args([source, &share.join("models").join(name)])
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
