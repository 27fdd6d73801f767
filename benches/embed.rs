//! The embedder, measured. `make bench` and `benches/gpu/run.sh` drive this program; `benches/README.md` says what they do with it.
//!
//!     embed work  --texts FILE [options]   takes the name of a piece of work per line, answers with what it took
//!     embed fair  --texts FILE [options]   what a query waits for in quiet, and under a full load of documents
//!     embed agree --texts FILE [options]   how near vectors are to those of 32 bits on the CPU
//!     embed model DIR --tokenizer DIR      makes a model of random weights in the shape of BERT-large
//!
//! Options: `--share DIR`, `--runtime FILE`, `--model DIR`, `--device auto|cpu|cuda|required`, `--precision auto|fp32|int8|fp16`,
//! `--threads N`, `--bare` (the model alone: no queue, no tokenizer), `--cuda-libraries DIR` (may be repeated).
//! The file of texts is JSON: `{"chunks": [...], "queries": [...]}`. All answers are JSON, a line each.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use ibid_embed::convert::{self, Options};
use ibid_embed::{Baseline, Device, Embedder, EmbedderSettings, EmbedderStats, Precision, Runtime, RuntimeChoice};
use serde_json::{Value, json};
use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(command) = arguments.next() else {
        // `cargo bench` and `cargo test --benches` without arguments: there is nothing to measure yet.
        println!("make bench runs this; see benches/README.md");
        return;
    };
    let arguments = Arguments(arguments.collect());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    match command.as_str() {
        "work" => runtime.block_on(work(&arguments)),
        "fair" => runtime.block_on(fair(&arguments)),
        "agree" => runtime.block_on(agree(&arguments)),
        "model" => model(&arguments),
        other => panic!("{other} is none of work, fair, agree, model"),
    }
}

struct Arguments(Vec<String>);

impl Arguments {
    fn value(&self, name: &'static str) -> Option<&str> {
        self.values(name).next()
    }

    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        pairs.filter(move |(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    fn share(&self) -> PathBuf {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/share/ibid");
        self.value("--share").map_or(default, PathBuf::from)
    }

    fn model(&self) -> PathBuf {
        let default = self.share().join("models/all-MiniLM-L6-v2");
        self.value("--model").map_or(default, PathBuf::from)
    }

    fn runtime(&self) -> Runtime {
        let choice = RuntimeChoice {
            device: self.settings().device,
            library: self.value("--runtime").map(PathBuf::from),
            cuda_libraries: self.values("--cuda-libraries").map(PathBuf::from).collect(),
        };
        Runtime::find(&self.share(), &choice).expect("ONNX Runtime")
    }

    fn settings(&self) -> EmbedderSettings {
        let word = |name: &'static str, default: &str| Value::String(self.value(name).unwrap_or(default).to_owned());
        let mut settings = EmbedderSettings {
            device: serde_json::from_value::<Device>(word("--device", "cpu")).expect("--device"),
            precision: serde_json::from_value::<Precision>(word("--precision", "auto")).expect("--precision"),
            ..EmbedderSettings::default()
        };
        if let Some(threads) = self.value("--threads") {
            settings.threads = threads.parse().expect("--threads is a number");
        }
        settings
    }

    fn texts(&self) -> Texts {
        let path = self.value("--texts").expect("--texts FILE");
        serde_json::from_slice(&fs::read(path).expect(path)).expect("the texts")
    }
}

#[derive(serde::Deserialize)]
struct Texts {
    chunks: Vec<String>,
    queries: Vec<String>,
}

/// Seconds of processor time that this process has used, over all threads.
fn cpu_seconds() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanoseconds.sum::<u64>() as f64 / 1e9
}

async fn work(arguments: &Arguments) {
    let (runtime, texts) = (arguments.runtime(), arguments.texts());
    let contestant = if arguments.has("--bare") {
        Contestant::Baseline(Box::new(
            Baseline::open(&runtime, &arguments.model(), &arguments.settings()).expect("the model"),
        ))
    } else {
        Contestant::Embedder(Embedder::open(&runtime, &arguments.model(), arguments.settings()).expect("the model"))
    };
    let placement = match &contestant {
        Contestant::Embedder(embedder) => embedder.placement(),
        Contestant::Baseline(bare) => bare.placement(),
    };
    println!(
        "{}",
        json!({"runtime": runtime.version(), "device": placement.device, "precision": placement.precision, "why_not_gpu": placement.why_not_gpu})
    );
    // Without tokenizing, and in batches as the embedder has them.
    let prepared = match &contestant {
        Contestant::Baseline(bare) => Some([
            bare.prepare(&texts.chunks).expect("batches"),
            texts
                .queries
                .iter()
                .flat_map(|query| bare.prepare(std::slice::from_ref(query)).expect("batches"))
                .collect(),
            bare.prepare(&texts.queries).expect("batches"),
        ]),
        Contestant::Embedder(_) => None,
    };
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let (what, seconds) = line.split_once(' ').unwrap_or((&line, "0"));
        let seconds: f64 = seconds.parse().expect("a number of seconds");
        let (kind, tokens) = match what {
            "chunks" => (0, tokens(&contestant, &texts.chunks)),
            "single" => (1, tokens(&contestant, &texts.queries)),
            "queries" => (2, tokens(&contestant, &texts.queries)),
            other => panic!("{other} is none of chunks, single, queries"),
        };
        let count = if kind == 0 { texts.chunks.len() } else { texts.queries.len() };
        let stats = contestant.stats();
        let (cpu, started, mut rounds) = (cpu_seconds(), Instant::now(), 0);
        while rounds == 0 || started.elapsed().as_secs_f64() < seconds {
            match (&contestant, &prepared) {
                (Contestant::Embedder(embedder), _) => embed(embedder, kind, &texts).await,
                (Contestant::Baseline(bare), Some(batches)) => bare.run(&batches[kind]).expect("vectors"),
                (Contestant::Baseline(_), None) => unreachable!("prepared above"),
            }
            rounds += 1;
        }
        let (cpu, wall) = (cpu_seconds() - cpu, started.elapsed().as_secs_f64());
        println!(
            "{}",
            json!({"work": what, "texts": count * rounds, "tokens": tokens * rounds, "cpu": cpu, "wall": wall,
                "reading": (contestant.stats().reading_ms - stats.reading_ms) as f64 / 1e3, "threads": arguments.settings().threads})
        );
    }
}

enum Contestant {
    Embedder(Embedder),
    Baseline(Box<Baseline>),
}

impl Contestant {
    fn stats(&self) -> EmbedderStats {
        match self {
            Self::Embedder(embedder) => embedder.stats(),
            Self::Baseline(_) => EmbedderStats::default(),
        }
    }
}

fn tokens(contestant: &Contestant, texts: &[String]) -> usize {
    let (limit, count): (usize, &dyn Fn(&str) -> usize) = match contestant {
        Contestant::Embedder(embedder) => (embedder.info().max_tokens, &|text| embedder.count_tokens(text)),
        Contestant::Baseline(bare) => (bare.max_tokens(), &|text| bare.count_tokens(text)),
    };
    texts.iter().map(|text| (count(text) + 2).min(limit)).sum()
}

async fn embed(embedder: &Embedder, kind: usize, texts: &Texts) {
    match kind {
        0 => drop(embedder.embed_texts(texts.chunks.clone(), |_| {}).await.expect("vectors")),
        1 => {
            for query in &texts.queries {
                embedder.embed_query(query).await.expect("a vector");
            }
        }
        _ => drop(embedder.embed_queries(texts.queries.clone()).await.expect("vectors")),
    }
}

/// Quiet and load take turns, so that what else the machine does falls on both.
async fn fair(arguments: &Arguments) {
    let (runtime, texts) = (arguments.runtime(), arguments.texts());
    let embedder = Embedder::open(&runtime, &arguments.model(), arguments.settings()).expect("the model");
    let (mut quiet, mut loaded) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        quiet.extend(latencies(&embedder, &texts).await);
        let stop = Arc::new(AtomicBool::new(false));
        // As many documents as the server takes at a time by default.
        let documents: Vec<_> = (0..4)
            .map(|_| {
                let (embedder, stop, chunks) = (embedder.clone(), stop.clone(), texts.chunks.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        embedder.embed_texts(chunks.clone(), |_| {}).await.expect("vectors");
                    }
                })
            })
            .collect();
        while embedder.stats().queued_documents < 64 {
            tokio::task::yield_now().await;
        }
        loaded.extend(latencies(&embedder, &texts).await);
        stop.store(true, Ordering::Relaxed);
        documents.iter().for_each(|document| document.abort());
        while embedder.stats().queued_documents > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let at = |times: &mut Vec<f64>, share: f64| {
        times.sort_by(f64::total_cmp);
        times[(times.len() as f64 * share) as usize]
    };
    let (quiet_50, quiet_95) = (at(&mut quiet, 0.5), at(&mut quiet, 0.95));
    let (loaded_50, loaded_95) = (at(&mut loaded, 0.5), at(&mut loaded, 0.95));
    println!(
        "{}",
        json!({"queries": quiet.len(), "quiet_p50_ms": quiet_50, "quiet_p95_ms": quiet_95, "loaded_p50_ms": loaded_50,
            "loaded_p95_ms": loaded_95, "ratio_p95": loaded_95 / quiet_95})
    );
}

async fn latencies(embedder: &Embedder, texts: &Texts) -> Vec<f64> {
    let mut times = Vec::new();
    for query in texts.queries.iter().take(50) {
        // People pause between questions.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let started = Instant::now();
        embedder.embed_query(query).await.expect("a vector");
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times
}

async fn agree(arguments: &Arguments) {
    let (runtime, texts) = (arguments.runtime(), arguments.texts());
    let mut all = texts.chunks.clone();
    all.extend(texts.queries.iter().cloned());
    // The lengths between.
    all.extend(texts.chunks.iter().enumerate().map(|(n, chunk)| {
        let end = chunk.floor_char_boundary(chunk.len() * (n % 16) / 16);
        chunk[..end].to_owned()
    }));
    let exact = EmbedderSettings {
        device: Device::Cpu,
        precision: Precision::Fp32,
        ..arguments.settings()
    };
    let mut sets = Vec::new();
    let mut placement = None;
    for settings in [exact, arguments.settings()] {
        let embedder = Embedder::open(&runtime, &arguments.model(), settings).expect("the model");
        sets.push(embedder.embed_texts(all.clone(), |_| {}).await.expect("vectors"));
        placement = Some(embedder.placement().clone());
        embedder.close().await;
    }
    let placement = placement.expect("two were opened");
    let mut cosines: Vec<f64> = sets[0].iter().zip(&sets[1]).map(|(a, b)| cosine(a, b)).collect();
    cosines.sort_by(f64::total_cmp);
    println!(
        "{}",
        json!({"device": placement.device, "precision": placement.precision, "why_not_gpu": placement.why_not_gpu, "texts": cosines.len(),
            "cosine_mean": cosines.iter().sum::<f64>() / cosines.len() as f64, "cosine_min": cosines[0]})
    );
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// BERT-large: 24 layers of 1,024 components, 16 heads. Weights are arbitrary: speed does not depend on them.
fn model(arguments: &Arguments) {
    let target = PathBuf::from(arguments.0.first().expect("a directory"));
    let tokenizer = PathBuf::from(arguments.value("--tokenizer").expect("--tokenizer DIR"));
    let (hidden, inner, layers, words) = (1024, 4096, 24, 30_522);
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![words, hidden]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![512, hidden]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, hidden]),
    ];
    let norm = |shapes: &mut Vec<(String, Vec<usize>)>, name: String| {
        shapes.push((format!("{name}.weight"), vec![hidden]));
        shapes.push((format!("{name}.bias"), vec![hidden]));
    };
    norm(&mut shapes, "embeddings.LayerNorm".to_owned());
    for layer in 0..layers {
        for (part, outputs, inputs) in [
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", inner, hidden),
            ("output.dense", hidden, inner),
        ] {
            shapes.push((format!("encoder.layer.{layer}.{part}.weight"), vec![outputs, inputs]));
            shapes.push((format!("encoder.layer.{layer}.{part}.bias"), vec![outputs]));
        }
        norm(&mut shapes, format!("encoder.layer.{layer}.attention.output.LayerNorm"));
        norm(&mut shapes, format!("encoder.layer.{layer}.output.LayerNorm"));
    }
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let offset = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            let size: usize = shape.iter().product();
            let mut bytes = Vec::with_capacity(size * 4);
            for _ in 0..size {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let value = ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * 0.035 + offset;
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            (name, shape, bytes)
        })
        .collect();
    let source = target.join("source");
    fs::create_dir_all(source.join("1_Pooling")).expect("a directory");
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).expect("a tensor");
        (name.as_str(), view)
    });
    let format = [("format".to_owned(), "pt".to_owned())].into();
    fs::write(
        source.join("model.safetensors"),
        safetensors::serialize(views, Some(format)).expect("bytes"),
    )
    .expect("written");
    let write = |name: &str, value: Value| fs::write(source.join(name), value.to_string()).expect("written");
    write(
        "config.json",
        json!({"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": hidden, "num_attention_heads": 16,
            "intermediate_size": inner, "num_hidden_layers": layers, "vocab_size": words, "type_vocab_size": 2,
            "max_position_embeddings": 512, "layer_norm_eps": 1e-12, "position_embedding_type": "absolute", "pad_token_id": 0}),
    );
    write(
        "modules.json",
        json!([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]),
    );
    write(
        "1_Pooling/config.json",
        json!({"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": true}),
    );
    write("sentence_bert_config.json", json!({"max_seq_length": 256, "do_lower_case": false}));
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"] {
        if tokenizer.join(name).exists() {
            fs::copy(tokenizer.join(name), source.join(name)).expect("copied");
        }
    }
    let info = convert::convert(&source, &target.join("bert-large"), &Options::default()).expect("converted");
    println!(
        "{}",
        json!({"source": source, "model": target.join("bert-large"), "dimension": info.dimension})
    );
}
