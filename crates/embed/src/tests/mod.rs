//! The embedder with the model that `make setup` fetches, and its parts without one.

mod queue;

use self::queue::{text, ticket};

use ibid_types::ErrorCode;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Semaphore, mpsc};

use super::{
    batch::{self, Batch, Limits, Padding},
    device,
    engine::Engine,
    queue::{Job, Lane, Outcome, Queue, Role, Row, Text, Ticket},
    session::{Graph, Processor, SharedSession},
    stats::Counters,
    tokens::Tokens,
    worker::Worker,
    *,
};

pub(super) fn share() -> PathBuf {
    std::env::var_os("IBID_SHARE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/share/ibid"),
        PathBuf::from,
    )
}

pub(super) fn runtime() -> Runtime {
    Runtime::load(&share().join("lib/libonnxruntime.so")).expect("run `make setup` first")
}

fn model_dir() -> PathBuf {
    share().join("models/all-MiniLM-L6-v2")
}

fn open(settings: EmbedderSettings) -> Embedder {
    Embedder::open(&runtime(), &model_dir(), settings).expect("run `make setup` first")
}

fn embedder() -> Embedder {
    open(EmbedderSettings {
        threads: 2,
        ..EmbedderSettings::default()
    })
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Texts of many lengths, the same in every run.
fn texts(count: usize) -> Vec<String> {
    let words = [
        "river",
        "invoice",
        "the",
        "of",
        "quarterly",
        "revenue",
        "citation",
        "grew",
        "naïve",
        "文書",
        "42",
        "?",
    ];
    (0..count)
        .map(|text| {
            (0..1 + text * 7 % 61)
                .map(|word| words[(text * 5 + word * word) % words.len()])
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

#[tokio::test]
async fn close_meanings_are_close() {
    let embedder = embedder();
    let pairs = [
        (
            "How many people live in London?",
            "The population of London is around nine million.",
            "Cats sleep most of the day.",
        ),
        (
            "a man is eating pasta",
            "someone eats a plate of noodles",
            "the stock market fell sharply",
        ),
        (
            "revenue growth in the third quarter",
            "sales rose 7% in Q3",
            "how to change a bicycle tyre",
        ),
    ];
    for (text, near, far) in pairs {
        let vectors = embedder
            .embed_queries([text, near, far].map(str::to_owned).to_vec())
            .await
            .expect("vectors");
        let [text, near, far] = vectors.as_slice() else {
            panic!("three vectors for three texts")
        };
        assert_eq!(text.len(), embedder.info().dimension);
        assert!((cosine(text, text) - 1.0).abs() < 1e-5, "vectors are normalised");
        assert!(cosine(text, near) > 0.45, "{}", cosine(text, near));
        assert!(cosine(text, far) < 0.2, "{}", cosine(text, far));
    }
}

#[tokio::test]
async fn a_vector_does_not_depend_on_its_batch() {
    let embedder = embedder();
    let texts = texts(150);
    let documents = embedder.embed_texts(texts.clone(), |_| {}).await.expect("vectors");
    let reversed = embedder
        .embed_queries(texts.iter().rev().cloned().collect())
        .await
        .expect("vectors");
    for (index, text) in texts.iter().enumerate() {
        let alone = embedder.embed_query(text).await.expect("a vector");
        assert_eq!(alone, documents[index], "text {index} as a document's");
        assert_eq!(alone, reversed[texts.len() - 1 - index], "text {index} among queries");
    }
}

/// Returns the niceness of the process's threads whose names begin like this.
#[cfg(target_os = "linux")]
fn niceness(of: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let found = tasks.filter_map(|task| {
        // `TID (NAME) STATE ...`: the niceness is the 17th field after the name.
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        name.starts_with(of)
            .then(|| rest.split_whitespace().nth(16)?.parse().ok())
            .flatten()
    });
    found.collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn threads_for_documents_give_way_to_those_for_queries() {
    let embedder = embedder();
    // One of each kind has begun once its work is done. Other tests' threads are like these, but may only just begin.
    embedder.embed_texts(texts(64), |_| {}).await.expect("vectors");
    embedder.embed_query("a question").await.expect("a vector");
    let (documents, queries) = (niceness("embed-doc-"), niceness("embed-query-"));
    let (Some(documents), Some(queries)) = (documents.iter().max(), queries.iter().max()) else {
        panic!("no such threads: {documents:?}, {queries:?}");
    };
    // Where all run at the lowest priority there is no lower one.
    assert!(documents > queries || *queries == 19, "documents {documents}, queries {queries}");
}

#[tokio::test]
async fn concurrent_requests_get_their_own_vectors() {
    let embedder = embedder();
    let texts = texts(24);
    let expected = embedder.embed_texts(texts.clone(), |_| {}).await.expect("vectors");
    let mut running = tokio::task::JoinSet::new();
    for index in 0..texts.len() {
        let (embedder, text) = (embedder.clone(), texts[index].clone());
        let part = texts[index..].to_vec();
        running.spawn(async move {
            let query = embedder.embed_query(&text).await.expect("a vector");
            (index, query, embedder.embed_texts(part, |_| {}).await.expect("vectors"))
        });
    }
    while let Some(done) = running.join_next().await {
        let (index, query, part) = done.expect("no panic");
        assert_eq!(query, expected[index]);
        assert_eq!(part, expected[index..]);
    }
}

#[tokio::test]
async fn odd_texts_have_vectors() {
    let embedder = embedder();
    let odd = [
        "",
        " ",
        "\0",
        "\u{feff}",
        "文書検索",
        "مرحبا",
        "👩‍👩‍👧‍👦",
        &"x".repeat(5_000),
        &"word ".repeat(200_000),
    ];
    for vector in embedder
        .embed_texts(odd.map(str::to_owned).to_vec(), |_| {})
        .await
        .expect("vectors")
    {
        assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-5);
    }
    assert!(embedder.embed_texts(vec![], |_| {}).await.expect("nothing").is_empty());
}

#[tokio::test]
async fn texts_are_read_up_to_the_models_limit() {
    let embedder = embedder();
    assert_eq!(embedder.info().max_tokens, 256);
    let full = "word ".repeat(254);
    let vectors = embedder
        .embed_queries(vec![full.clone(), format!("{full} and much more"), "word ".repeat(253)])
        .await
        .expect("vectors");
    assert_eq!(vectors[0], vectors[1], "[CLS], 254 tokens and [SEP] are read");
    assert_ne!(vectors[0], vectors[2], "not fewer");
}

#[test]
fn tokens_are_counted_without_limit() {
    let embedder = embedder();
    let check = |text: &str, expected: usize| assert_eq!(embedder.count_tokens(text), expected, "{text:.40}");
    check("", 0);
    check("hello world", 2);
    check("Unbelievably, yes!", 8);
    check(&"word ".repeat(1_000), 1_000);
}

#[tokio::test]
async fn progress_grows_to_the_number_of_texts() {
    let embedder = open(EmbedderSettings {
        threads: 1,
        queue: 16,
        ..EmbedderSettings::default()
    });
    let last = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&last);
    let progress = move |done| assert!(seen.swap(done, Ordering::Relaxed) < done, "each call says more");
    let vectors = embedder.embed_texts(texts(50), progress).await.expect("vectors");
    assert_eq!((vectors.len(), last.load(Ordering::Relaxed)), (50, 50));
    let stats = embedder.stats();
    assert_eq!((stats.texts, stats.failed, stats.abandoned), (50, 0, 0));
    assert!(stats.tokens > 50 && stats.batches > 0);
}

#[tokio::test]
async fn a_request_that_is_dropped_stops() {
    let embedder = open(EmbedderSettings {
        threads: 1,
        queue: 32,
        ..EmbedderSettings::default()
    });
    let (first, mut called) = mpsc::channel(1);
    let many = embedder.embed_texts(texts(2_000), move |_| {
        let _ = first.try_send(());
    });
    tokio::select! {
        _ = many => panic!("2,000 texts are not the first batch"),
        _ = called.recv() => {}
    }
    // What was admitted is passed over before this one, which came later.
    embedder.embed_texts(texts(1), |_| {}).await.expect("a vector");
    let stats = embedder.stats();
    assert!(stats.texts < 200, "{stats:?}");
}

#[tokio::test]
async fn abandoned_texts_are_not_computed() {
    let info = ModelInfo::read(&model_dir()).expect("run `make setup` first");
    let path = model_dir().join("model.onnx");
    let session = SharedSession::open(&runtime(), &path, &Graph::File(&path), &info, Processor::Cpu).expect("a session");
    let queue = Arc::new(Queue::new(64, 256));
    let counters = Arc::new(Counters::default());
    let worker = Worker {
        queue: Arc::clone(&queue),
        engine: Arc::new(Engine::Onnx(session)),
        tokens: Arc::new(Tokens::read(&model_dir().join("tokenizer.json"), &info).expect("a tokenizer")),
        counters: Arc::clone(&counters),
        limits: Limits {
            padding: Some(Padding {
                step: batch::STEP,
                longest: 256,
            }),
            tokens: 512,
            rows: 32,
        },
    };
    let (abandoned, outcomes) = mpsc::unbounded_channel();
    queue.push(Lane::Queries, (0..20).map(|position| text(position, &abandoned)));
    drop(outcomes);
    let (wanted, mut outcomes) = mpsc::unbounded_channel();
    queue.push(Lane::Queries, [text(0, &wanted)]);
    let thread = std::thread::spawn(move || worker.serve(&[Lane::Queries], Role::Both));
    let (position, vector) = outcomes.recv().await.expect("an outcome").expect("a vector");
    assert_eq!((position, vector.len()), (0, 384));
    queue.close();
    thread.join().expect("no panic");
    let stats = counters.read(0, 0);
    assert_eq!((stats.texts, stats.abandoned, stats.batches), (1, 20, 1));
}

/// As beside a GPU: some threads read, others run what was read, in large pieces.
#[tokio::test]
async fn readers_and_runners_give_each_text_its_vector() {
    let info = ModelInfo::read(&model_dir()).expect("run `make setup` first");
    let path = model_dir().join("model.onnx");
    let session = SharedSession::open(&runtime(), &path, &Graph::File(&path), &info, Processor::Cpu).expect("a session");
    let queue = Arc::new(Queue::new(64, 8));
    let worker = Arc::new(Worker {
        queue: Arc::clone(&queue),
        engine: Arc::new(Engine::Onnx(session)),
        tokens: Arc::new(Tokens::read(&model_dir().join("tokenizer.json"), &info).expect("a tokenizer")),
        counters: Arc::new(Counters::default()),
        limits: Limits {
            padding: Some(Padding {
                step: batch::GPU_STEP,
                longest: info.max_tokens,
            }),
            tokens: 600,
            rows: usize::MAX,
        },
    });
    let threads: Vec<_> = [Role::Read, Role::Read, Role::Run { tokens: 600 }, Role::Run { tokens: 600 }]
        .into_iter()
        .map(|role| {
            let worker = Arc::clone(&worker);
            std::thread::spawn(move || worker.serve(&[Lane::Queries, Lane::Documents], role))
        })
        .collect();
    let texts = texts(60);
    let (sender, mut outcomes) = mpsc::unbounded_channel();
    let queued = texts.iter().enumerate().map(|(position, text)| Text {
        text: text.clone().into(),
        ticket: ticket(position, &sender),
    });
    queue.push(Lane::Documents, queued);
    drop(sender);
    let expected = embedder().embed_texts(texts, |_| {}).await.expect("vectors");
    let mut seen = 0;
    while let Some(outcome) = outcomes.recv().await {
        let (position, vector) = outcome.expect("a vector");
        assert!(cosine(&vector, &expected[position]) > 0.999_99, "text {position}");
        seen += 1;
    }
    assert_eq!(seen, 60);
    let stats = worker.counters.read(0, 0);
    assert!(stats.batches < 60, "{stats:?}");
    queue.close();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

#[tokio::test]
async fn a_closed_embedder_refuses() {
    let embedder = embedder();
    let waiting = tokio::spawn({
        let embedder = embedder.clone();
        async move { embedder.embed_texts(texts(5_000), |_| {}).await }
    });
    embedder.embed_query("first").await.expect("a vector");
    embedder.close().await;
    assert!(matches!(waiting.await.expect("no panic"), Err(EmbedError::Closed)));
    let error = embedder.embed_query("second").await.expect_err("it is closed");
    assert_eq!(error.code(), ErrorCode::ServiceUnavailable);
}

#[test]
fn what_is_missing_is_named() {
    let empty = tempfile::tempdir().expect("a directory");
    let error = Embedder::open(&runtime(), empty.path(), EmbedderSettings::default()).expect_err("it is empty");
    let message = error.to_string();
    assert!(matches!(error, EmbedError::FileMissing { .. }), "{message}");
    assert!(message.contains("ibid-model.json") && message.contains("make setup"), "{message}");

    let error = Runtime::load(&empty.path().join("libonnxruntime.so")).expect_err("there is none");
    assert!(matches!(error, EmbedError::FileMissing { .. }), "{error}");
    let other = empty.path().join("other.so");
    std::fs::write(&other, "not a library").expect("written");
    let error = Runtime::load(&other).expect_err("another is loaded");
    assert!(matches!(error, EmbedError::RuntimeLoaded { .. }), "{error}");
    assert!(!runtime().version().is_empty());
}

#[test]
fn a_damaged_model_is_refused() {
    let copy = tempfile::tempdir().expect("a directory");
    for name in ["ibid-model.json", "tokenizer.json"] {
        std::fs::copy(model_dir().join(name), copy.path().join(name)).expect("copied");
    }
    let check = |file: &str| {
        let error = Embedder::open(&runtime(), copy.path(), EmbedderSettings::default()).expect_err("it is damaged");
        assert!(
            matches!(&error, EmbedError::ModelInvalid { path, .. } if path.ends_with(file)),
            "{error}"
        );
    };
    std::fs::write(copy.path().join("model.onnx"), "not a model").expect("written");
    check("model.onnx");
    std::fs::write(copy.path().join("tokenizer.json"), "{}").expect("written");
    check("tokenizer.json");
    std::fs::write(copy.path().join("ibid-model.json"), "{}").expect("written");
    check("ibid-model.json");
}

#[tokio::test]
async fn a_gpu_that_must_be_there_is_asked_for_by_name() {
    let settings = |device| EmbedderSettings {
        threads: 1,
        device,
        ..EmbedderSettings::default()
    };
    // Tests run with the build for CPUs.
    let error = Embedder::open(&runtime(), &model_dir(), settings(Device::Required)).expect_err("there is no GPU");
    assert!(matches!(error, EmbedError::GpuMissing { .. }), "{error}");
    assert!(error.to_string().contains("fetch-assets --gpu"), "{error}");
    let embedder = open(settings(Device::Cuda));
    let placement = embedder.placement();
    assert_eq!((placement.device.as_str(), placement.precision), ("cpu", Precision::Fp32));
    assert!(placement.why_not_gpu.is_some());
    embedder.embed_query("It works on the CPU.").await.expect("a vector");
    assert_eq!(open(settings(Device::Auto)).placement().why_not_gpu, None, "nobody asked for one");
}

/// The encoder of our own beside ONNX Runtime's run of the same model, with texts of all lengths.
#[test]
fn both_engines_give_the_same_vectors() {
    let info = ModelInfo::read(&model_dir()).expect("run `make setup` first");
    let tokens = Tokens::read(&model_dir().join("tokenizer.json"), &info).expect("a tokenizer");
    let long = texts(40).join(" ");
    let mut texts = texts(60);
    texts.extend([String::new(), long]);
    let rows: Vec<Vec<u32>> = texts.iter().map(|text| tokens.ids(text).expect("ids")).collect();
    let opened = [device::fastest as device::OnCpu, device::onnx]
        .map(|open| open(&runtime(), &model_dir(), &info, Precision::Fp32).expect("opened"));
    let [own, onnx] = &opened;
    assert_eq!(matches!(own, Engine::Own(_)), ibid_encoder::Level::widest().is_some());
    assert!(matches!(onnx, Engine::Onnx(_)));
    assert_eq!(rows.last().expect("texts").len(), info.max_tokens);
    let vectors = |engine: &Engine, row: &[u32]| {
        let rows = vec![row];
        engine.run(&Batch { length: None, rows }).expect("a vector")
    };
    for (row, text) in rows.iter().zip(&texts) {
        let (own, onnx) = (vectors(own, row), vectors(onnx, row));
        for (own, onnx) in own.iter().zip(&onnx) {
            assert!((own - onnx).abs() < 2e-6, "{text:?}: {own}, {onnx}");
        }
    }
}
