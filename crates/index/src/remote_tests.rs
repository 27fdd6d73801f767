//! The remote index: the contract against the server at `IBID_TEST_QDRANT_URL`, or else a stand-in that keeps it too; and what happens
//! where there is no server.

#[path = "../../../tests/support/qdrant_double.rs"]
#[allow(dead_code, reason = "other tests look into it")]
mod qdrant_double;

use super::contract::{self, DIMENSION, chunk, create, dense, found, key};
use super::*;
use ibid_types::ErrorCode;
use ibid_types::IndexBackend;
use ibid_types::secret::Secret;
use qdrant_double::AnyQdrant;
use std::io::Write;
use std::sync::Once;

const EAST: [f32; 4] = [1.0, 0.0, 0.0, 0.0];

/// Returns the real server's address. Without one, prints once that these tests do not run, past the capture of their output.
fn server() -> Option<String> {
    static SKIPPED: Once = Once::new();
    let url = std::env::var("IBID_TEST_QDRANT_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        SKIPPED.call_once(|| {
            let _ = writeln!(
                std::io::stderr(),
                "NOT RUN: tests of the remote index that need a real Qdrant server: set IBID_TEST_QDRANT_URL to its gRPC address"
            );
        });
    }
    url
}

/// Options with names of their own, so that tests do not meet in the server.
fn options(url: &str) -> RemoteOptions {
    RemoteOptions {
        prefix: format!("test-{}-", uuid::Uuid::new_v4().simple()),
        api_key: std::env::var("IBID_TEST_QDRANT_API_KEY").ok().map(Secret::new),
        ..RemoteOptions::new(url)
    }
}

async fn with_options(change: impl FnOnce(&mut RemoteOptions), check: impl AsyncFn(&dyn VectorIndex)) {
    let server = AnyQdrant::new().await;
    let mut options = options(&server.url());
    change(&mut options);
    let index = RemoteIndex::new(options).unwrap();
    check(&index).await;
    for collection in index.collections().await.unwrap() {
        index.drop_collection(&collection).await.unwrap();
    }
    index.close().await.unwrap();
}

async fn with_remote(check: impl AsyncFn(&dyn VectorIndex)) {
    with_options(|_| {}, check).await;
}

contract::tests!(with_remote);

fn points(document: &str, count: u32) -> Vec<Point> {
    (0..count).map(|i| chunk(document, i, EAST, &format!("word{i} common"))).collect()
}

#[tokio::test]
async fn a_batch_larger_than_a_request_is_stored_whole() {
    let small = |options: &mut RemoteOptions| options.request_bytes = 1000;
    with_options(small, async |index| {
        let key = create(index, "large").await;
        index.upsert(&key, points("a", 300)).await.unwrap();
        assert_eq!(index.count(&key, Some("a")).await.unwrap(), 300);
        assert_eq!(index.documents(&key).await.unwrap(), BTreeMap::from([("a".to_owned(), 300)]));
    })
    .await;
}

#[tokio::test]
async fn every_way_of_keeping_a_collection_is_taken() {
    for quantization in [Quantization::Scalar, Quantization::Binary, Quantization::Product] {
        let change = |options: &mut RemoteOptions| {
            options.quantization = quantization;
            options.shards = Some(2);
            options.graph_on_disk = true;
            options.vectors_on_disk = false;
            options.payload_on_disk = false;
        };
        with_options(change, async |index| {
            let key = create(index, "kept").await;
            index.upsert(&key, points("a", 50)).await.unwrap();
            let first = found(index, &key, dense(EAST, 3)).await;
            assert_eq!(first, ["a/0", "a/1", "a/2"], "{quantization:?}");
            assert_eq!(index.points(&key, "a", 7..8).await.unwrap(), points("a", 50)[7..8]);
        })
        .await;
    }
}

#[tokio::test]
async fn two_prefixes_do_not_see_each_other() {
    with_remote(async |one| {
        with_remote(async |other| {
            let key = create(one, "mine").await;
            assert_eq!(other.collections().await.unwrap(), []);
            assert_eq!(one.collections().await.unwrap(), [key]);
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn both_places_are_one_index() {
    let Some(url) = server() else { return };
    let directory = tempfile::tempdir().unwrap();
    let embedded = EmbeddedIndex::open(directory.path(), EmbeddedOptions::default()).unwrap();
    let index = RoutedIndex::new(embedded, Some(RemoteIndex::new(options(&url)).unwrap()));
    let (here, there) = (key("here"), key("there"));
    index.put(&there, IndexBackend::Qdrant);
    for key in [&here, &there] {
        index.create_collection(key, &Schema { dimension: DIMENSION }).await.unwrap();
        index.upsert(key, points("a", 3)).await.unwrap();
        assert_eq!(index.count(key, None).await.unwrap(), 3);
    }
    assert_eq!(index.collections().await.unwrap(), [here.clone(), there.clone()]);
    assert_eq!(index.at(IndexBackend::Embedded).unwrap().collections().await.unwrap(), [here]);
    assert_eq!(
        index.at(IndexBackend::Qdrant).unwrap().collections().await.unwrap(),
        std::slice::from_ref(&there)
    );
    index.health().await.unwrap();
    index.drop_collection(&there).await.unwrap();
    assert_eq!(index.at(IndexBackend::Qdrant).unwrap().collections().await.unwrap(), []);
    index.close().await.unwrap();
}

/// Returns a port at which nothing listens.
fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_outage_with_a_remedy() {
    let index = RemoteIndex::new(RemoteOptions {
        retries: 1,
        ..options(&closed_port())
    })
    .unwrap();
    let key = key("away");
    let errors = [
        index.health().await.unwrap_err(),
        index.create_collection(&key, &Schema { dimension: 4 }).await.unwrap_err(),
        index.upsert(&key, points("a", 1)).await.unwrap_err(),
        index.search(&key, vec![dense(EAST, 1)]).await.unwrap_err(),
        index.delete_document(&key, "a").await.unwrap_err(),
        index.collections().await.unwrap_err(),
        index.drop_collection(&key).await.unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(
                error,
                IndexError::Unavailable {
                    outage: Outage::Unreachable,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(error.code(), ErrorCode::VectorStoreError);
        assert!(error.is_transient() && error.to_string().contains("`qdrant.url`"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_an_outage() {
    // It accepts connections, as the operating system does for it, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let index = RemoteIndex::new(RemoteOptions {
        timeout: Duration::from_millis(200),
        ..options(&format!("http://{}", listener.local_addr().unwrap()))
    })
    .unwrap();
    let error = index.health().await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
}

#[tokio::test]
async fn without_a_server_what_lives_in_one_is_an_outage_and_the_rest_works() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = EmbeddedIndex::open(directory.path(), EmbeddedOptions::default()).unwrap();
    let index = RoutedIndex::new(embedded, None::<RemoteIndex>);
    let (here, there) = (create(&index, "here").await, key("there"));
    index.put(&there, IndexBackend::Qdrant);
    let error = index.count(&there, None).await.unwrap_err();
    assert!(error.is_outage() && error.to_string().contains("`qdrant.url`"), "{error}");
    assert_eq!(index.count(&here, None).await.unwrap(), 0);
    index.health().await.unwrap();
    index.close().await.unwrap();
}

#[tokio::test]
async fn a_held_collection_keeps_writes_back_and_answers() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = EmbeddedIndex::open(directory.path(), EmbeddedOptions::default()).unwrap();
    let index = RoutedIndex::new(embedded, None::<RemoteIndex>);
    let key = create(&index, "held").await;
    index.upsert(&key, points("a", 2)).await.unwrap();
    let held = index.hold(&key).await.unwrap();
    let mut write = Box::pin(index.upsert(&key, points("b", 1)));
    tokio::select! {
        biased;
        _ = &mut write => panic!("it was not kept back"),
        counted = index.count(&key, None) => assert_eq!(counted.unwrap(), 2),
    }
    assert_eq!(found(&index, &key, dense(EAST, 9)).await, ["a/0", "a/1"]);
    drop(held);
    write.await.unwrap();
    assert_eq!(index.count(&key, None).await.unwrap(), 3);
    index.close().await.unwrap();
}

#[test]
fn addresses_and_prefixes_that_cannot_be_are_refused_by_name() {
    for (url, prefix, setting) in [
        ("localhost:6334", "ibid_", "`qdrant.url`"),
        ("ftp://localhost", "ibid_", "`qdrant.url`"),
        ("http://", "ibid_", "`qdrant.url`"),
        ("http://localhost:6334", "a/b", "`qdrant.collection_prefix`"),
        ("http://localhost:6334", &"x".repeat(101), "`qdrant.collection_prefix`"),
    ] {
        let options = RemoteOptions {
            prefix: prefix.to_owned(),
            ..RemoteOptions::new(url)
        };
        let error = RemoteIndex::new(options).unwrap_err();
        assert!(error.to_string().contains(setting), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_the_setting_that_holds_it() {
    // Only a server that was started with a key tells.
    let (Some(url), Ok(good)) = (server(), std::env::var("IBID_TEST_QDRANT_API_KEY")) else {
        return;
    };
    for (key, works) in [(Some(good), true), (Some("wrong".to_owned()), false), (None, false)] {
        let options = RemoteOptions {
            api_key: key.map(Secret::new),
            ..options(&url)
        };
        let health = RemoteIndex::new(options).unwrap().health().await;
        match health {
            Ok(_) => assert!(works),
            Err(error) => assert!(!works && error.to_string().contains("`qdrant.api_key`"), "{error}"),
        }
    }
}
