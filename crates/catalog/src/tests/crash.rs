//! What was acknowledged outlives the process: dropped without closing, and killed.

use super::{Address, TestCatalog, chunks, collection, digest, event, found, live, received};
use crate::DocumentState;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[tokio::test]
async fn work_is_taken_up_where_it_stopped_oldest_first() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    live(&catalog, &papers, 1, 2).await;
    let (second, third, fourth) = (
        received(&catalog, &papers, 2).await.id,
        received(&catalog, &papers, 3).await.id,
        received(&catalog, &papers, 4).await.id,
    );
    catalog.begin_attempt(&second).await.unwrap();
    catalog.set_extracted(&second, &found()).await.unwrap();
    catalog.set_chunked(&second, &chunks(50)).await.unwrap();
    catalog.set_progress(&second, 32).await.unwrap();
    catalog.fail(&third, "X", "x").await.unwrap();

    let catalog = catalog.reopened().await;
    let unfinished = catalog.unfinished().await.unwrap();
    let seen: Vec<_> = unfinished
        .iter()
        .map(|d| (d.id.as_str(), d.state, d.chunks_indexed, d.attempts))
        .collect();
    assert_eq!(
        seen,
        [
            (second.as_str(), DocumentState::Chunked, 32, 1),
            (fourth.as_str(), DocumentState::Received, 0, 0)
        ]
    );
    assert_eq!(catalog.chunks(&second, 0, 32, 100).await.unwrap(), chunks(50)[32..]);
    assert_eq!(catalog.begin_attempt(&second).await.unwrap(), Some(2));
}

const CHILD: &str = "IBID_TEST_CATALOG_TO_WRITE";

/// Not a test by itself: the process that `a_killed_writer_loses_nothing_it_acknowledged` kills.
#[tokio::test]
async fn writes_until_killed() {
    let Ok(address) = std::env::var(CHILD) else { return };
    let address = match address.starts_with("postgres://") {
        true => Address::Database(address),
        false => Address::File(address.into()),
    };
    let catalog = address.open(10_000).await;
    let papers = catalog.collection("papers").await.unwrap();
    for n in 0..u64::MAX {
        let document = live(&catalog, &papers, n, 5).await;
        println!("\nlive {n} {}", document.id);
    }
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_it_acknowledged() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let address = match &catalog.address {
        Address::File(path) => path.clone().into_os_string(),
        Address::Database(url) => url.into(),
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::writes_until_killed", "--nocapture"])
        .env(CHILD, address)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((n, id)) = line.strip_prefix("live ").and_then(|rest| rest.split_once(' ')) {
            acknowledged.push((n.parse::<u64>().unwrap(), id.to_owned()));
        }
        if acknowledged.len() == 20 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(acknowledged.len(), 20);

    let catalog = catalog.reopened().await;
    for (n, id) in &acknowledged {
        let document = catalog.document(id).await.unwrap();
        assert_eq!((document.state, document.sha256), (DocumentState::Live, digest(*n)));
        assert_eq!(catalog.chunks(id, 0, 0, 10).await.unwrap(), chunks(5));
    }
    // What was under way is whole as well: a document has its chunks exactly from `chunked` on.
    for document in catalog.unfinished().await.unwrap() {
        let expected = if document.chunks_total == 0 { Vec::new() } else { chunks(5) };
        assert_eq!(catalog.chunks(&document.id, 0, 0, 10).await.unwrap(), expected);
    }
    let events = catalog.events_since(0, None, 1000).await.unwrap().events;
    let stats = catalog.stats(&papers.id).await.unwrap();
    assert_eq!(events.iter().filter(|e| e.kind == "document_added").count() as u64, stats.documents);
    assert_eq!(stats.chunks, stats.documents * 5);
    let id = received(&catalog, &papers, 1_000_000).await.id;
    assert!(catalog.fail(&id, "X", "x").await.unwrap());
    catalog.append_event(&papers.id, event("tick")).await.unwrap();
}
