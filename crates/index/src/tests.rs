//! The embedded index: the contract, and what only a directory can go through.

use super::contract::{self, DIMENSION, chunk, create, dense, found, key};
use super::*;
use ibid_types::ErrorCode;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const EAST: [f32; 4] = [1.0, 0.0, 0.0, 0.0];

/// Never optimizes by itself.
pub(super) fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        indexing_threshold_kib: 10,
        optimize_after_quiet: Duration::from_secs(100_000),
        optimize_after_points: u64::MAX,
        close_wait: Duration::from_secs(60),
        ..EmbeddedOptions::default()
    }
}

fn open(directory: &Path) -> EmbeddedIndex {
    EmbeddedIndex::open(directory, options()).unwrap()
}

async fn with_embedded(check: impl AsyncFn(&dyn VectorIndex)) {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    check(&index).await;
    index.close().await.unwrap();
}

contract::tests!(with_embedded);

/// Searching and counting never see a part of a batch: only one machine can promise that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_counted_wholly_or_not_at_all() {
    with_embedded(async |index| {
        let key = create(index, "whole").await;
        let store = async {
            for round in 0..20u32 {
                let points = (0..20).map(|i| chunk("a", round * 20 + i, EAST, "x")).collect();
                index.upsert(&key, points).await.unwrap();
            }
        };
        let ask = async {
            for _ in 0..40 {
                let count = index.count(&key, Some("a")).await.unwrap();
                assert_eq!(count % 20, 0);
            }
        };
        tokio::join!(store, ask);
    })
    .await;
}

/// Returns what a killed process would have left: a copy, taken while the original is open. Reading sees what the engine has
/// handed to the operating system, and only that.
fn killed(directory: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target);
            } else {
                copy_sparse(&entry.path(), &target);
            }
        }
    }
    let target = tempfile::tempdir().unwrap();
    copy(directory, target.path());
    target
}

/// The engine's files are long and mostly holes.
fn copy_sparse(from: &Path, to: &Path) {
    use std::io::{Seek, SeekFrom, Write};
    let bytes = std::fs::read(from).unwrap();
    let mut file = std::fs::File::create(to).unwrap();
    for (at, block) in bytes.chunks(1 << 16).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start((at as u64) << 16)).unwrap();
            file.write_all(block).unwrap();
        }
    }
    file.set_len(bytes.len() as u64).unwrap();
}

pub(super) fn points(document: &str, count: u32) -> Vec<Point> {
    let direction = |i: u32| [1.0, (i as f32 * 0.7).sin(), (i as f32 * 1.3).cos(), i as f32 / count as f32];
    (0..count)
        .map(|i| chunk(document, i, direction(i), &format!("word{i} common")))
        .collect()
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let key = create(&index, "restart").await;
    index.upsert(&key, points("a", 100)).await.unwrap();
    index.delete_document(&key, "b").await.unwrap();
    let before = found(&index, &key, dense(EAST, 20)).await;
    index.close().await.unwrap();
    assert!(matches!(index.count(&key, None).await.unwrap_err(), IndexError::Closed));
    drop(index);
    let index = open(directory.path());
    assert_eq!(index.collections().await.unwrap(), std::slice::from_ref(&key));
    assert_eq!(index.count(&key, None).await.unwrap(), 100);
    assert_eq!(found(&index, &key, dense(EAST, 20)).await, before);
    index.upsert(&key, points("a", 101)).await.unwrap();
    assert_eq!(index.count(&key, None).await.unwrap(), 101);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let key = create(&index, "kill").await;
    index.upsert(&key, points("flushed", 30)).await.unwrap();
    index.upsert(&key, points("deleted", 30)).await.unwrap();
    index.flush(&key).await.unwrap();
    index.upsert(&key, points("late", 40)).await.unwrap();
    index.upsert(&key, points("late and deleted", 40)).await.unwrap();
    index.delete_document(&key, "deleted").await.unwrap();
    index.delete_document(&key, "late and deleted").await.unwrap();
    let copy = killed(directory.path());
    let expected = BTreeMap::from([("flushed".to_owned(), 30), ("late".to_owned(), 40)]);
    assert_eq!(index.documents(&key).await.unwrap(), expected);
    let revived = open(copy.path());
    assert_eq!(revived.documents(&key).await.unwrap(), expected);
    assert_eq!(revived.count(&key, None).await.unwrap(), 70);
    let all = dense(EAST, 1000);
    assert_eq!(found(&revived, &key, all.clone()).await, found(&index, &key, all).await);
}

#[tokio::test]
async fn a_directory_has_one_user() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path());
    let error = EmbeddedIndex::open(directory.path(), options()).unwrap_err();
    assert!(matches!(error, IndexError::Locked), "{error:?}");
    first.close().await.unwrap();
    drop(first);
    open(directory.path());
}

#[tokio::test]
async fn a_damaged_collection_says_what_to_do_and_harms_no_other() {
    for damage in ["edge_config.json", "segments"] {
        let directory = tempfile::tempdir().unwrap();
        let index = open(directory.path());
        let (bad, good) = (create(&index, "bad").await, create(&index, "good").await);
        index.close().await.unwrap();
        drop(index);
        let path = directory.path().join("bad").join(damage);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).unwrap();
        } else {
            std::fs::write(&path, "{").unwrap();
        }
        let index = open(directory.path());
        let error = index.count(&bad, None).await.unwrap_err();
        assert!(matches!(error, IndexError::Corrupt { .. }), "{damage}: {error:?}");
        let text = error.to_string();
        assert_eq!(
            text,
            "the index of collection 'bad' cannot be opened: run 'ibid doctor' to rebuild it"
        );
        assert!(error.detail().len() > text.len());
        assert_eq!(index.count(&good, None).await.unwrap(), 0);
        // The remedy: drop it, make it anew.
        index.drop_collection(&bad).await.unwrap();
        create(&index, "bad").await;
        assert_eq!(index.count(&bad, None).await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn optimizing_changes_nothing_that_can_be_seen() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let key = create(&index, "optimize").await;
    for document in ["a", "b", "c"] {
        index.upsert(&key, points(document, 1500)).await.unwrap();
    }
    index.delete_document(&key, "b").await.unwrap();
    let query = dense([0.3, 0.2, 0.5, 0.1], 25);
    let before = found(&index, &key, query.clone()).await;
    assert!(index.optimize_now(&key).await.unwrap());
    assert!(!index.optimize_now(&key).await.unwrap(), "there is nothing left to do");
    assert_eq!(found(&index, &key, query.clone()).await, before);
    // Updates while it is at work.
    let meanwhile = async {
        index.upsert(&key, points("d", 1500)).await.unwrap();
        index.delete_document(&key, "a").await.unwrap();
        index.upsert(&key, points("c", 1400)).await.unwrap();
        index.flush(&key).await.unwrap();
        index.documents(&key).await.unwrap()
    };
    index.upsert(&key, points("e", 1500)).await.unwrap();
    let (optimized, seen) = tokio::join!(index.optimize_now(&key), meanwhile);
    optimized.unwrap();
    let expected: BTreeMap<String, u64> = [("c", 1500), ("d", 1500), ("e", 1500)].map(|(d, n)| (d.to_owned(), n)).into();
    assert_eq!(seen, expected);
    assert_eq!(index.documents(&key).await.unwrap(), expected);
    assert_eq!(index.count(&key, None).await.unwrap(), 4500);
    index.drop_collection(&key).await.unwrap();
    index.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_grew_is_optimized_unasked_and_its_log_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    let eager = EmbeddedOptions {
        optimize_after_points: 4000,
        log_limit_bytes: 0,
        ..options()
    };
    let index = EmbeddedIndex::open(directory.path(), eager).unwrap();
    let key = create(&index, "eager").await;
    index.upsert(&key, points("a", 4000)).await.unwrap();
    let mut optimizations = index.optimizations();
    tokio::time::timeout(Duration::from_secs(300), optimizations.wait_for(|count| *count > 0))
        .await
        .unwrap()
        .unwrap();
    assert!(!index.optimize_now(&key).await.unwrap(), "there is nothing left to do");
    index.upsert(&key, points("a", 10)).await.unwrap();
    index.upsert(&key, points("b", 10)).await.unwrap();
    assert_eq!(index.delete_document(&key, "a").await.unwrap(), 4000);
    assert_eq!(index.count(&key, None).await.unwrap(), 10);
    index.close().await.unwrap();
}

#[test]
fn bm25_reduces_words_to_their_stems() {
    let english = Bm25::new("en-GB").unwrap();
    assert_eq!(english.query("Connections, CONNECTED!"), english.query("connecting"));
    assert!(english.query("of the and").is_empty());
    let document = english.document("run runs running");
    assert_eq!(document.indices, english.query("run").indices);
    let german = Bm25::new("German").unwrap();
    assert_eq!(german.query("Häuser"), german.query("Hauses"));
    let error = Bm25::new("klingon").unwrap_err();
    assert_eq!(error.code(), ErrorCode::VectorStoreError);
}

#[test]
fn every_language_that_is_offered_exists() {
    for code in [
        "ar", "zh", "da", "nl", "en", "fi", "fr", "de", "hu", "it", "ja", "no", "pt", "ro", "ru", "es", "sv", "tr",
    ] {
        Bm25::new(code).unwrap();
    }
}

#[test]
fn keys_cannot_leave_the_directory() {
    for bad in ["", ".", "..", "a/b", "a\\b", ".new-x", "a b", "ä", &"x".repeat(65)] {
        assert!(CollectionKey::new(bad).is_err(), "{bad}");
    }
    assert_eq!(CollectionKey::new("Ab_1-2").unwrap().as_str(), "Ab_1-2");
}

#[derive(Debug, Clone)]
enum Step {
    Store(u8, u32),
    Delete(u8),
    Flush,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..4, 1u32..20).prop_map(|(document, count)| Step::Store(document, count)),
        3 => (0u8..4).prop_map(Step::Delete),
        1 => Just(Step::Flush),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Whatever is stored, deleted and killed in whatever order: what was deleted last is found nowhere, what was
    /// stored last everywhere.
    #[test]
    fn the_index_agrees_with_a_map(steps in prop::collection::vec(step(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut directory = tempfile::tempdir().unwrap();
            let mut index = open(directory.path());
            let key = key("model");
            index.create_collection(&key, &Schema { dimension: DIMENSION }).await.unwrap();
            let mut model = BTreeMap::<String, u64>::new();
            for step in steps {
                match step {
                    Step::Store(document, count) => {
                        let document = format!("d{document}");
                        index.upsert(&key, points(&document, count)).await.unwrap();
                        let stored = model.entry(document).or_default();
                        *stored = (*stored).max(u64::from(count));
                    }
                    Step::Delete(document) => {
                        let document = format!("d{document}");
                        let removed = index.delete_document(&key, &document).await.unwrap();
                        assert_eq!(removed, model.remove(&document).unwrap_or(0));
                    }
                    Step::Flush => index.flush(&key).await.unwrap(),
                    Step::Kill => {
                        let copy = killed(directory.path());
                        index.close().await.unwrap();
                        index = open(copy.path());
                        directory = copy;
                    }
                }
                assert_eq!(index.documents(&key).await.unwrap(), model);
                let mut hits = BTreeMap::<String, u64>::new();
                for hit in &index.search(&key, vec![dense(EAST, 1000)]).await.unwrap()[0] {
                    *hits.entry(hit.document_id.clone()).or_default() += 1;
                }
                assert_eq!(hits, model);
            }
            index.close().await.unwrap();
        });
    }
}

/// Not a test: prints what the embedded index does with 20,000 random points of 384 dimensions (32 of them independent).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement; run it alone, in release"]
async fn measure() {
    fn random(state: &mut u64) -> f32 {
        // xorshift64*: repeatable, and good enough to fill a space.
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
    async fn time(index: &EmbeddedIndex, key: &CollectionKey, name: &str, queries: &[Query]) -> Vec<Vec<Hit>> {
        let (mut times, mut results) = (Vec::new(), Vec::new());
        for query in queries {
            let start = std::time::Instant::now();
            results.extend(index.search(key, vec![query.clone()]).await.unwrap());
            times.push(start.elapsed());
        }
        times.sort();
        let at = |percent: usize| times[times.len() * percent / 100];
        println!("{name}: p50 {:?}, p95 {:?}, max {:?}", at(50), at(95), times.last().unwrap());
        results
    }
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path());
    let key = key("measure");
    index.create_collection(&key, &Schema { dimension: 384 }).await.unwrap();
    println!("empty: {} KiB", index.storage_bytes(&key).await.unwrap() / 1024);
    let mut state = 42;
    let bm25 = Bm25::new("en").unwrap();
    let mut text = || {
        (0..60)
            .map(|_| format!("w{} ", (random(&mut state).abs().powi(3) * 20_000.0) as u32))
            .collect::<String>()
    };
    let texts: Vec<String> = (0..20_000).map(|_| text()).collect();
    // Embeddings fill some 32 of their dimensions, not 384.
    let mixing: Vec<[f32; 32]> = (0..384).map(|_| std::array::from_fn(|_| random(&mut state))).collect();
    let vector = |state: &mut u64| {
        let latent: [f32; 32] = std::array::from_fn(|_| random(state));
        mixing
            .iter()
            .map(|row| row.iter().zip(&latent).map(|(a, b)| a * b).sum())
            .collect::<Vec<f32>>()
    };
    let start = std::time::Instant::now();
    let sparse: Vec<SparseVector> = texts.iter().map(|text| bm25.document(text)).collect();
    println!("BM25: {:?} a chunk", start.elapsed() / 20_000);
    let mut batches: Vec<Vec<Point>> = Vec::new();
    for (i, sparse) in sparse.into_iter().enumerate() {
        if i % 100 == 0 {
            batches.push(Vec::new());
        }
        let payload = Payload {
            source: format!("f{}.md", i / 100),
            created: Some(i as i64),
            ..Payload::default()
        };
        let point = Point {
            document_id: format!("d{}", i / 100),
            chunk_index: i as u32 % 100,
            dense: vector(&mut state),
            sparse,
            payload,
        };
        batches.last_mut().unwrap().push(point);
    }
    let start = std::time::Instant::now();
    for batch in batches {
        index.upsert(&key, batch).await.unwrap();
    }
    println!("insert: {:.0} points/s", 20_000.0 / start.elapsed().as_secs_f64());
    let start = std::time::Instant::now();
    index.flush(&key).await.unwrap();
    println!(
        "flush: {:?}; {} KiB",
        start.elapsed(),
        index.storage_bytes(&key).await.unwrap() / 1024
    );
    let query = |vector: QueryVector| Query {
        vector,
        filter: Arc::default(),
        limit: 10,
        score_threshold: None,
    };
    let meaning: Vec<Query> = (0..300).map(|_| query(QueryVector::Dense(vector(&mut state)))).collect();
    let words: Vec<Query> = texts
        .iter()
        .take(300)
        .map(|text| query(QueryVector::Sparse(bm25.query(&text[..30]))))
        .collect();
    let some = Arc::new(Filter {
        sources: (0..5).map(|i| format!("f{i}.md")).collect(),
        ..Filter::default()
    });
    let filtered: Vec<Query> = meaning
        .iter()
        .map(|query| Query {
            filter: Arc::clone(&some),
            ..query.clone()
        })
        .collect();
    let hidden = Arc::new(Filter {
        exclude_documents: (0..3).map(|i| format!("d{i}")).collect(),
        ..Filter::default()
    });
    let hiding: Vec<Query> = meaning
        .iter()
        .map(|query| Query {
            filter: Arc::clone(&hidden),
            ..query.clone()
        })
        .collect();
    let exact = time(&index, &key, "dense, no graph", &meaning).await;
    time(&index, &key, "BM25", &words).await;
    time(&index, &key, "dense, 5 of 200 documents", &filtered).await;
    time(&index, &key, "dense, 3 documents hidden", &hiding).await;
    let searching = async {
        tokio::task::yield_now().await;
        time(&index, &key, "dense, while optimizing", &meaning).await;
    };
    let start = std::time::Instant::now();
    let optimizing = async {
        index.optimize_now(&key).await.unwrap();
        println!("optimize: {:?}", start.elapsed());
    };
    tokio::join!(optimizing, searching);
    let graph = time(&index, &key, "dense, graph", &meaning).await;
    time(&index, &key, "dense, graph, 3 documents hidden", &hiding).await;
    let kept: usize = exact
        .iter()
        .zip(&graph)
        .map(|(a, b)| a.iter().filter(|hit| b.contains(hit)).count())
        .sum();
    println!("recall at 10 of the graph: {:.3}", kept as f64 / 3000.0);
    println!(
        "health: {:?}; {} KiB",
        index.health().await.unwrap(),
        index.storage_bytes(&key).await.unwrap() / 1024
    );
    let start = std::time::Instant::now();
    index.close().await.unwrap();
    drop(index);
    let index = open(directory.path());
    index.count(&key, None).await.unwrap();
    println!("close and open: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    index.delete_document(&key, "d7").await.unwrap();
    println!("delete 100 of 20,000 points: {:?}", start.elapsed());
}
