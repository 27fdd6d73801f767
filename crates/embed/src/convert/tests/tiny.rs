//! A tiny model: its files, and BERT's forward pass in plain Rust.

use super::*;

pub(super) const HIDDEN: usize = 8;
pub(super) const HEADS: usize = 2;
pub(super) const INNER: usize = 12;
pub(super) const LAYERS: usize = 2;
pub(super) const WORDS: [&str; 8] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d"];
pub(super) const POSITIONS: usize = 10;
pub(super) const EPSILON: f64 = 1e-3;

/// A model in the making: its directory and its weights by name.
pub(crate) struct Tiny {
    pub(super) directory: TempDir,
    pub(super) weights: Vec<(String, Vec<usize>, Vec<f32>)>,
    /// MPNet's bias for each pair of positions, by head, row of the query and row of the key; 0 for the others.
    pub(super) bias: fn(usize, usize, usize) -> f64,
    pub(super) epsilon: f64,
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
    pub(super) fn of(family: &str) -> Self {
        Self::related(family, &[])
    }

    /// Makes a cross-encoder of the family: the encoder with a head of two layers, and one label.
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

    /// Returns the names of the two layers of a family's head.
    pub(super) fn head(family: &str) -> (&'static str, &'static str) {
        match family {
            "bert" => ("pooler.dense", "classifier"),
            "distilbert" => ("pre_classifier", "classifier"),
            _ => ("classifier.dense", "classifier.out_proj"),
        }
    }

    /// Adds linear layers over the hidden size, by their names and outputs.
    pub(super) fn add_layers(&mut self, layers: &[(&str, usize)]) {
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

    /// Returns what the head makes of a pair, whose second text begins at `second`.
    pub(super) fn score(&self, family: &str, ids: &[usize], second: usize) -> f64 {
        let (dense, score) = Self::head(family);
        let first = self.forward_pair(ids, second, gelu).swap_remove(0);
        let mut inner = self.linear(dense, &[first]);
        let activation: fn(f64) -> f64 = if family == "distilbert" { |x| x.max(0.0) } else { f64::tanh };
        inner[0].iter_mut().for_each(|value| *value = activation(*value));
        self.linear(score, &inner)[0][0]
    }

    pub(super) fn related(family: &str, head: &[(&str, usize)]) -> Self {
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

    pub(super) fn write_configuration(&self) {
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

    pub(super) fn write_weights(&self) {
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
    pub(super) fn set(&self, file: &str, place: &str, key: &str, value: Value) {
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

    pub(super) fn weight(&self, name: &str) -> Vec<f64> {
        let (_, _, values) = self.weights.iter().find(|(full, _, _)| full.ends_with(name)).expect("a weight");
        values.iter().copied().map(f64::from).collect()
    }

    pub(super) fn linear(&self, name: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (weight, bias) = (self.weight(&format!("{name}.weight")), self.weight(&format!("{name}.bias")));
        let output = |row: &Vec<f64>| {
            let products = weight
                .chunks(row.len())
                .map(|column| row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>());
            products.zip(&bias).map(|(product, bias)| product + bias).collect()
        };
        rows.iter().map(output).collect()
    }

    pub(super) fn layer_norm(&self, name: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
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

    /// Returns the encoder's output, token by token.
    pub(super) fn forward(&self, ids: &[usize], activation: fn(f64) -> f64) -> Vec<Vec<f64>> {
        self.forward_pair(ids, ids.len(), activation)
    }

    /// Returns the same of a pair, whose tokens from `second` on are of type 1.
    pub(super) fn forward_pair(&self, ids: &[usize], second: usize, activation: fn(f64) -> f64) -> Vec<Vec<f64>> {
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

pub(super) fn sum(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    a.iter()
        .zip(b)
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect())
        .collect()
}

pub(super) fn attention(query: &[Vec<f64>], key: &[Vec<f64>], value: &[Vec<f64>], bias: fn(usize, usize, usize) -> f64) -> Vec<Vec<f64>> {
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

pub(super) fn gelu(x: f64) -> f64 {
    // The error function by its Maclaurin series, which is exact enough for the arguments that occur here.
    let z = x / 2_f64.sqrt();
    let (mut term, mut erf) = (z, z);
    for n in 1..120 {
        term *= -z * z / f64::from(n);
        erf += term / f64::from(2 * n + 1);
    }
    0.5 * x * (1.0 + erf * 2.0 / std::f64::consts::PI.sqrt())
}

pub(super) fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}
