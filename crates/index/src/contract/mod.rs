//! Tests that every [`VectorIndex`] must pass. Each function takes an index without collections of its name.

mod filters;

pub(super) use filters::filters_restrict_by_every_field;

use super::*;
use ibid_types::ErrorCode;
use std::sync::Arc;

/// Defines the whole contract as tests; `$with` calls a function of it with an index.
macro_rules! tests {
    ($with:path) => {
        $crate::contract::tests! { $with:
            finds_by_meaning_and_by_words_in_one_batch
            a_rare_word_counts_more_than_a_common_one
            equal_hits_come_in_order_of_document_and_chunk
            filters_restrict_by_every_field
            storing_again_replaces
            deleting_a_document_leaves_nothing_of_it
            all_documents_are_listed_and_vectors_come_back
            points_come_back_as_they_were_stored
            collections_come_and_go
            an_unknown_collection_is_an_error_of_its_own
            what_is_invalid_is_refused_whole
            searches_and_updates_run_side_by_side
        }
    };
    ($with:path: $($name:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $with(contract::$name).await;
        })*
    };
}
pub(super) use tests;

pub(super) const DIMENSION: u32 = 4;

pub(super) fn key(name: &str) -> CollectionKey {
    CollectionKey::new(name).unwrap()
}

pub(super) async fn create(index: &dyn VectorIndex, name: &str) -> CollectionKey {
    let key = key(name);
    index.create_collection(&key, &Schema { dimension: DIMENSION }).await.unwrap();
    key
}

/// Returns a chunk of `document` with the dense vector `dense` and the text `text`.
pub(super) fn chunk(document: &str, chunk_index: u32, dense: [f32; 4], text: &str) -> Point {
    Point {
        document_id: document.to_owned(),
        chunk_index,
        dense: dense.to_vec(),
        sparse: Bm25::new("english").unwrap().document(text),
        payload: Payload {
            source: format!("{document}.md"),
            ..Payload::default()
        },
    }
}

pub(super) fn dense(vector: [f32; 4], limit: usize) -> Query {
    Query {
        vector: QueryVector::Dense(vector.to_vec()),
        filter: Arc::default(),
        limit,
        score_threshold: None,
    }
}

fn words(text: &str) -> Query {
    let vector = QueryVector::Sparse(Bm25::new("english").unwrap().query(text));
    Query {
        vector,
        filter: Arc::default(),
        limit: 10,
        score_threshold: None,
    }
}

fn names(hits: &[Hit]) -> Vec<String> {
    hits.iter().map(|hit| format!("{}/{}", hit.document_id, hit.chunk_index)).collect()
}

pub(super) async fn found(index: &dyn VectorIndex, key: &CollectionKey, query: Query) -> Vec<String> {
    let results = index.search(key, vec![query]).await.unwrap();
    assert_eq!(results.len(), 1);
    names(&results[0])
}

const EAST: [f32; 4] = [1.0, 0.0, 0.0, 0.0];
const NORTH: [f32; 4] = [0.0, 1.0, 0.0, 0.0];
const NORTH_EAST: [f32; 4] = [1.0, 1.0, 0.0, 0.0];

pub(super) async fn finds_by_meaning_and_by_words_in_one_batch(index: &dyn VectorIndex) {
    let key = create(index, "batch").await;
    let points = vec![
        chunk("a", 0, EAST, "Whales sing to their calves."),
        chunk("a", 1, NORTH_EAST, "Anchors hold ships."),
        chunk("b", 0, NORTH, "The invoice number is ZX-81-QPR."),
    ];
    index.upsert(&key, points).await.unwrap();
    let batch = vec![
        dense([2.0, 0.0, 0.0, 0.0], 10),
        words("singing whale"),
        words("zx-81-qpr"),
        words("the of and"),
    ];
    let results = index.search(&key, batch).await.unwrap();
    assert_eq!(names(&results[0]), ["a/0", "a/1", "b/0"]);
    assert!(
        (results[0][0].score - 1.0).abs() < 1e-6,
        "cosine does not depend on length: {:?}",
        results[0]
    );
    assert!((results[0][1].score - 0.5f32.sqrt()).abs() < 1e-6, "{:?}", results[0]);
    assert_eq!(names(&results[1]), ["a/0"]);
    assert_eq!(names(&results[2])[0], "b/0");
    assert_eq!(names(&results[3]), [""; 0]);
    let strict = Query {
        score_threshold: Some(0.5),
        ..dense(EAST, 10)
    };
    assert_eq!(found(index, &key, strict).await, ["a/0", "a/1"]);
    assert_eq!(found(index, &key, dense(EAST, 1)).await, ["a/0"]);
    assert_eq!(found(index, &key, dense(EAST, 0)).await, [""; 0]);
    assert_eq!(index.search(&key, Vec::new()).await.unwrap(), Vec::<Vec<Hit>>::new());
}

pub(super) async fn a_rare_word_counts_more_than_a_common_one(index: &dyn VectorIndex) {
    let key = create(index, "rare").await;
    let mut points: Vec<Point> = (0..40)
        .map(|i| chunk("common", i, EAST, "the turbine report lists turbine data"))
        .collect();
    points.push(chunk(
        "rare",
        0,
        EAST,
        "the turbine uses an unobtanium bearing and other parts of little interest",
    ));
    index.upsert(&key, points).await.unwrap();
    let results = index.search(&key, vec![words("turbine unobtanium")]).await.unwrap();
    assert_eq!(names(&results[0])[0], "rare/0");
    // BM25: idf = ln(1 + (N - n + 0.5) / (n + 0.5)); every chunk contains "turbine", one contains "unobtanium".
    let idf = |n: f32| (1.0 + (41.0 - n + 0.5) / (n + 0.5)).ln();
    let bm25 = Bm25::new("english").unwrap();
    let rare = bm25.document("the turbine uses an unobtanium bearing and other parts of little interest");
    let weight = |word: &str| {
        let term = bm25.query(word).indices[0];
        rare.values[rare.indices.iter().position(|index| *index == term).unwrap()]
    };
    let expected = idf(41.0) * weight("turbine") + idf(1.0) * weight("unobtanium");
    let score = results[0][0].score;
    assert!((score - expected).abs() < 1e-3 * expected, "{score} is not BM25's {expected}");
}

pub(super) async fn equal_hits_come_in_order_of_document_and_chunk(index: &dyn VectorIndex) {
    let key = create(index, "ties").await;
    for document in ["d", "b", "c", "a"] {
        let points = (0..30).rev().map(|i| chunk(document, i, EAST, "granite")).collect();
        index.upsert(&key, points).await.unwrap();
    }
    let first: Vec<String> = (0..5).map(|i| format!("a/{i}")).collect();
    assert_eq!(found(index, &key, dense(EAST, 5)).await, first);
    assert_eq!(
        found(
            index,
            &key,
            Query {
                limit: 5,
                ..words("granite")
            }
        )
        .await,
        first
    );
}

pub(super) async fn storing_again_replaces(index: &dyn VectorIndex) {
    let key = create(index, "again").await;
    for _ in 0..3 {
        index
            .upsert(&key, vec![chunk("a", 0, EAST, "apple"), chunk("a", 1, NORTH, "pear")])
            .await
            .unwrap();
    }
    assert_eq!(index.count(&key, None).await.unwrap(), 2);
    index.upsert(&key, vec![chunk("a", 0, NORTH, "plum")]).await.unwrap();
    assert_eq!(index.count(&key, None).await.unwrap(), 2);
    assert_eq!(found(index, &key, words("apple")).await, [""; 0]);
    assert_eq!(found(index, &key, words("plum")).await, ["a/0"]);
    let strict = Query {
        score_threshold: Some(0.9),
        ..dense(NORTH, 10)
    };
    assert_eq!(found(index, &key, strict).await, ["a/0", "a/1"]);
    index.upsert(&key, Vec::new()).await.unwrap();
}

pub(super) async fn deleting_a_document_leaves_nothing_of_it(index: &dyn VectorIndex) {
    let key = create(index, "delete").await;
    let points = |document: &str| (0..50).map(|i| chunk(document, i, EAST, "word")).collect::<Vec<_>>();
    index.upsert(&key, points("gone")).await.unwrap();
    index.upsert(&key, points("stays")).await.unwrap();
    assert_eq!(index.delete_document(&key, "gone").await.unwrap(), 50);
    assert_eq!(index.delete_document(&key, "gone").await.unwrap(), 0);
    assert_eq!(index.count(&key, Some("gone")).await.unwrap(), 0);
    assert_eq!(index.count(&key, Some("stays")).await.unwrap(), 50);
    assert_eq!(index.count(&key, None).await.unwrap(), 50);
    assert_eq!(index.documents(&key).await.unwrap(), BTreeMap::from([("stays".to_owned(), 50)]));
    for query in [
        dense(EAST, 200),
        Query {
            limit: 200,
            ..words("word")
        },
    ] {
        let hits = &index.search(&key, vec![query]).await.unwrap()[0];
        assert_eq!(hits.len(), 50);
        assert!(hits.iter().all(|hit| hit.document_id == "stays"));
    }
    assert_eq!(index.vectors(&key, "gone", 0..2).await.unwrap(), [None, None]);
    index.upsert(&key, points("gone")).await.unwrap();
    assert_eq!(index.count(&key, Some("gone")).await.unwrap(), 50);
}

pub(super) async fn all_documents_are_listed_and_vectors_come_back(index: &dyn VectorIndex) {
    let key = create(index, "listing").await;
    let mut expected = BTreeMap::new();
    for document in 0..120u32 {
        let name = format!("document {document}");
        let chunks = document % 3 + 1;
        let points = (0..chunks).map(|i| chunk(&name, i * 2, NORTH_EAST, "x")).collect();
        index.upsert(&key, points).await.unwrap();
        expected.insert(name, u64::from(chunks));
    }
    assert_eq!(index.documents(&key).await.unwrap(), expected);
    let vectors = index.vectors(&key, "document 2", 0..6).await.unwrap();
    assert_eq!(
        vectors.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false, true, false, true, false]
    );
    let vector = vectors[0].as_ref().unwrap();
    assert!(
        vector
            .iter()
            .zip([0.5f32.sqrt(), 0.5f32.sqrt(), 0.0, 0.0])
            .all(|(a, b)| (a - b).abs() < 1e-6)
    );
    assert!(index.storage_bytes(&key).await.unwrap() > 0);
}

pub(super) async fn points_come_back_as_they_were_stored(index: &dyn VectorIndex) {
    let key = create(index, "copies").await;
    let whole = Point {
        payload: Payload {
            source: "a b.pdf".into(),
            document_type: "pdf".into(),
            authors: vec!["Ada".into(), "Grace".into()],
            created: Some(-86_400),
            metadata: [("team".to_owned(), "red".to_owned()), ("odd.key[0]\"".to_owned(), String::new())].into(),
        },
        ..chunk("a", 0, EAST, "Whales sing to their calves.")
    };
    let bare = Point {
        payload: Payload::default(),
        ..chunk("a", 2, NORTH, "the of and")
    };
    assert!(bare.sparse.is_empty());
    let stored = vec![whole, bare];
    index.upsert(&key, stored.clone()).await.unwrap();
    index.upsert(&key, vec![chunk("b", 0, EAST, "x")]).await.unwrap();
    assert_eq!(index.points(&key, "a", 0..5).await.unwrap(), stored);
    assert_eq!(index.points(&key, "a", 1..2).await.unwrap(), []);
    assert!(matches!(
        index.points(&key, "a", 0..MAX_LIMIT as u32 + 1).await.unwrap_err(),
        IndexError::Invalid { .. }
    ));
}

pub(super) async fn collections_come_and_go(index: &dyn VectorIndex) {
    let key = create(index, "come").await;
    create(index, "come").await;
    let other = index.create_collection(&key, &Schema { dimension: 5 }).await.unwrap_err();
    assert!(matches!(other, IndexError::SchemaMismatch { stored: 4, given: 5, .. }), "{other:?}");
    assert!(index.collections().await.unwrap().contains(&key));
    index.upsert(&key, vec![chunk("a", 0, EAST, "x")]).await.unwrap();
    index.drop_collection(&key).await.unwrap();
    index.drop_collection(&key).await.unwrap();
    assert!(!index.collections().await.unwrap().contains(&key));
    let missing = index.count(&key, None).await.unwrap_err();
    assert_eq!(missing.code(), ErrorCode::CollectionNotFound);
    index.create_collection(&key, &Schema { dimension: 5 }).await.unwrap();
    assert_eq!(index.count(&key, None).await.unwrap(), 0);
}

pub(super) async fn an_unknown_collection_is_an_error_of_its_own(index: &dyn VectorIndex) {
    let key = key("unknown");
    let errors = [
        index.upsert(&key, vec![chunk("a", 0, EAST, "x")]).await.unwrap_err(),
        index.search(&key, vec![dense(EAST, 1)]).await.unwrap_err(),
        index.delete_document(&key, "a").await.unwrap_err(),
        index.documents(&key).await.unwrap_err(),
        index.vectors(&key, "a", 0..1).await.unwrap_err(),
        index.points(&key, "a", 0..1).await.unwrap_err(),
        index.flush(&key).await.unwrap_err(),
        index.storage_bytes(&key).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), ErrorCode::CollectionNotFound);
        assert!(error.to_string().contains("unknown"), "{error}");
    }
    index.drop_collection(&key).await.unwrap();
}

pub(super) async fn what_is_invalid_is_refused_whole(index: &dyn VectorIndex) {
    let key = create(index, "invalid").await;
    let good = chunk("good", 0, EAST, "x");
    let bad = [
        Point {
            dense: vec![1.0; 3],
            ..good.clone()
        },
        Point {
            dense: vec![f32::NAN; 4],
            ..good.clone()
        },
        Point {
            document_id: String::new(),
            ..good.clone()
        },
        Point {
            sparse: SparseVector {
                indices: vec![2, 1],
                values: vec![1.0, 1.0],
            },
            ..good.clone()
        },
        Point {
            sparse: SparseVector {
                indices: vec![1],
                values: vec![],
            },
            ..good.clone()
        },
    ];
    for point in bad {
        let error = index.upsert(&key, vec![good.clone(), point]).await.unwrap_err();
        assert!(matches!(error, IndexError::Invalid { .. }), "{error:?}");
        assert_eq!(error.code(), ErrorCode::VectorStoreError);
    }
    assert_eq!(index.count(&key, None).await.unwrap(), 0);
    let short = Query {
        vector: QueryVector::Dense(vec![1.0; 3]),
        ..dense(EAST, 1)
    };
    let error = index.search(&key, vec![short]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid request to the index: the collection's vectors have dimension 4, not 3"
    );
    for query in [dense(EAST, MAX_LIMIT + 1), dense([f32::INFINITY; 4], 1)] {
        assert!(matches!(
            index.search(&key, vec![query]).await.unwrap_err(),
            IndexError::Invalid { .. }
        ));
    }
    let many = vec![dense(EAST, 1); MAX_BATCH_QUERIES + 1];
    assert!(matches!(index.search(&key, many).await.unwrap_err(), IndexError::Invalid { .. }));
}

pub(super) async fn searches_and_updates_run_side_by_side(index: &dyn VectorIndex) {
    let key = create(index, "side").await;
    index.upsert(&key, vec![chunk("first", 0, EAST, "x")]).await.unwrap();
    let store = async {
        for round in 0..20u32 {
            let points = (0..20).map(|i| chunk("second", round * 20 + i, NORTH, "x")).collect();
            index.upsert(&key, points).await.unwrap();
        }
    };
    let search = async {
        for _ in 0..100 {
            let hits = found(index, &key, dense(EAST, 3)).await;
            assert_eq!(hits.first().map(String::as_str), Some("first/0"));
        }
    };
    let ask = async {
        let mut last = 0;
        for _ in 0..20 {
            let count = index.count(&key, Some("second")).await.unwrap();
            assert!(count >= last, "{last} then {count}");
            last = count;
        }
    };
    tokio::join!(store, search, ask);
    assert_eq!(index.count(&key, None).await.unwrap(), 401);
    index.flush(&key).await.unwrap();
    index.health().await.unwrap();
}
