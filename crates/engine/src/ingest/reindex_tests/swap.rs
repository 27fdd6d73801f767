//! The swap of generations, documents that come and go meanwhile, and going on after a stop.

use super::{embedded, others, with_documents};
use crate::ReindexScope;
use crate::fakes::clock::FakeClock;
use crate::fakes::ingest::TestIngest;
use crate::fakes::peers::FakePeers;
use crate::fakes::processor::lock;
use ibid_auth::Subject;
use ibid_catalog::{DocumentState, NewEvent, ReindexStatus};
use ibid_index::{Payload, Point, SparseVector, VectorIndex};
use ibid_types::IndexBackend;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

#[tokio::test]
async fn queries_see_the_new_generation_and_subscribers_receive_its_events() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    let ended = test.reindex(ReindexScope::Embed).await;
    assert_eq!((ended.status, test.generation().await), (ReindexStatus::Success, 1));
    assert_eq!(test.record(&documents[0].id).await.generation, 1);
    assert_eq!(
        *test.processors.forgotten.lock().expect("a lock"),
        std::slice::from_ref(&test.collection.id)
    );
    for kind in ["reindex_started", "pipeline_changed", "reindex_complete"] {
        assert_eq!(test.logged(kind).await, 1, "{kind}");
    }
    let log = test.log().await;
    let complete = log.iter().find(|event| event.kind == "reindex_complete").expect("an event");
    assert_eq!(
        (&complete.data["status"], &complete.data["progress"]),
        (&json!("success"), &json!(1.0))
    );
    let announced: Vec<_> = std::iter::from_fn(|| test.test.store.announcements.take())
        .map(|(seq, _)| seq)
        .collect();
    assert!(announced.contains(&complete.seq));
}

#[tokio::test]
async fn a_pipeline_that_stays_the_same_is_not_announced() {
    let (test, _) = with_documents(&["a.txt"]).await;
    test.reindex(ReindexScope::Embed).await;
    test.reindex(ReindexScope::Embed).await;
    assert_eq!(test.logged("pipeline_changed").await, 1, "by the first");
    assert_eq!(test.logged("reindex_complete").await, 2);
}

#[tokio::test]
async fn an_empty_collection_is_swapped_at_once() {
    let test = TestIngest::open().await;
    let ended = test.reindex(ReindexScope::Extract).await;
    assert_eq!((ended.status, test.generation().await), (ReindexStatus::Success, 1));
}

#[tokio::test]
async fn a_document_that_becomes_live_meanwhile_is_in_the_new_generation() {
    let (test, _) = with_documents(&["a.txt"]).await;
    test.processors.settings().lock = lock("two");
    let gate = test.processors.faults.gate("embed");
    test.begin_reindex(ReindexScope::Embed).await;
    test.processors.faults.begun("embed", 2).await;
    let late = test.document_in(DocumentState::Indexed, "b.txt", "late").await;
    let event = NewEvent::new("document_added", json!({}));
    test.test.store.catalog.set_live(&late.id, 0.0, event).await.expect("live");
    gate.open();
    test.idle().await;
    assert_eq!(test.reindex_status().await, ReindexStatus::Success);
    assert_eq!(test.record(&late.id).await.generation, 1);
    assert_eq!(test.points(1, &late.id).await.len(), 1);
}

#[tokio::test]
async fn a_document_that_is_deleted_meanwhile_is_not_in_the_new_generation() {
    let (test, documents) = with_documents(&["a.txt", "b.txt"]).await;
    test.processors.settings().lock = lock("two");
    let gate = test.processors.faults.gate("embed");
    test.begin_reindex(ReindexScope::Embed).await;
    test.processors.faults.begun("embed", 3).await;
    test.documents
        .delete_document(&documents[0].id, &Subject::anyone())
        .await
        .expect("deleted");
    gate.open();
    test.idle().await;
    assert_eq!(test.reindex_status().await, ReindexStatus::Success);
    assert!(test.points(1, &documents[0].id).await.is_empty());
    assert_eq!(test.points(1, &documents[1].id).await.len(), 2);
}

#[tokio::test]
async fn a_deletion_waits_for_the_vectors_that_a_reindex_writes() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    let gate = test.test.index.faults.gate("upsert");
    test.begin_reindex(ReindexScope::Embed).await;
    test.test.index.faults.begun("upsert", 2).await;
    let deleting = tokio::spawn({
        let (documents, id) = (test.documents.clone(), documents[0].id.clone());
        async move { documents.delete_document(&id, &Subject::anyone()).await }
    });
    while test.state(&documents[0].id).await != DocumentState::Deleting {
        tokio::task::yield_now().await;
    }
    others().await;
    assert!(!deleting.is_finished());
    gate.open();
    deleting.await.expect("no panic").expect("deleted");
    test.idle().await;
    assert!(test.points(1, &documents[0].id).await.is_empty());
    assert_eq!(test.reindex_status().await, ReindexStatus::Success);
}

#[tokio::test]
async fn one_document_is_reprocessed_at_a_time() {
    let (test, _) = with_documents(&["a.txt", "b.txt"]).await;
    test.processors.settings().lock = lock("two");
    let gate = test.processors.faults.gate("embed");
    test.begin_reindex(ReindexScope::Embed).await;
    test.processors.faults.begun("embed", 3).await;
    assert_eq!(test.reindexer.permit.available_permits(), 0);
    gate.open();
    test.idle().await;
    assert_eq!(test.reindexer.permit.available_permits(), 1);
}

#[tokio::test]
async fn progress_is_published_and_no_more_than_once_a_second() {
    let names: Vec<String> = (0..12).map(|n| format!("{n}.txt")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (test, _) = with_documents(&names).await;
    let start = Instant::now();
    test.reindex(ReindexScope::Embed).await;
    let most = 1 + start.elapsed().as_secs() as usize;
    let published = test.logged("reindex_progress").await;
    assert!((1..=most).contains(&published), "{published} events, at most {most}");
}

#[tokio::test]
async fn a_collection_is_not_reindexed_twice_at_a_time() {
    let (test, _) = with_documents(&["a.txt"]).await;
    test.recorded_reindex(ReindexScope::Embed).await;
    let again = test.reindexer.begin(&test.collection, test.new_reindex(ReindexScope::Embed)).await;
    assert!(again.is_err());
    assert!(!test.jobs.reindexing.has(&test.collection.id));
}

#[tokio::test]
async fn a_collection_that_moves_to_another_index_is_not_reindexed() {
    let (test, _) = with_documents(&["a.txt"]).await;
    let moving = test.test.store.catalog.begin_move(&test.collection.id, IndexBackend::Qdrant).await;
    moving.expect("moving");
    let begun = test.reindexer.begin(&test.collection, test.new_reindex(ReindexScope::Embed)).await;
    assert!(begun.expect_err("a conflict").to_string().contains("is being moved"));
    assert!(test.test.store.catalog.reindex(&test.collection.id).await.expect("read").is_none());
}

#[tokio::test]
async fn a_reindex_that_runs_goes_on_at_start_where_it_was() {
    let (test, documents) = with_documents(&["a.txt", "b.txt"]).await;
    test.processors.settings().lock = lock("two");
    let gate = test.processors.faults.gate("embed");
    test.begin_reindex(ReindexScope::Embed).await;
    gate.open_once();
    test.processors.faults.begun("embed", 4).await;
    assert!(test.jobs.reindexing.has(&test.collection.id));
    test.test.lifecycle.stopping.cancel();
    test.idle().await;
    assert_eq!(test.reindex_status().await, ReindexStatus::Running, "parked");
    assert_eq!(test.generation().await, 0);
    gate.open();
    let before = embedded(&test);
    let next = restarted(&test);
    next.resume_all().await.expect("resumed");
    next.lifecycle.tasks.close();
    next.lifecycle.tasks.wait().await;
    assert_eq!((test.reindex_status().await, test.generation().await), (ReindexStatus::Success, 1));
    assert_eq!(embedded(&test) - before, 2, "the first document was ready");
    for document in &documents {
        assert_eq!(test.points(1, &document.id).await.len(), 2);
    }
}

/// Returns the re-indexer of the server after a restart, over the same store.
fn restarted(test: &TestIngest) -> Arc<crate::ingest::reindex::Reindexer> {
    let (old, lifecycle) = (&test.reindexer, crate::lifecycle::Lifecycle::with_clock(test.test.clock.clone()));
    Arc::new(crate::ingest::reindex::Reindexer {
        store: old.store.clone(),
        peers: old.peers.clone(),
        processors: old.processors.clone(),
        profiles: old.profiles.clone(),
        steps: old.steps.clone(),
        jobs: old.jobs.clone(),
        documents: old.documents.clone(),
        tuned: old.tuned.clone(),
        lifecycle,
        percent: 100,
        permit: tokio::sync::Semaphore::new(1),
    })
}

#[tokio::test]
async fn a_server_among_several_goes_on_only_with_what_it_claims() {
    let test = TestIngest::with(FakeClock::skipping(), Arc::new(FakePeers::sharing())).await;
    test.recorded_reindex(ReindexScope::Embed).await;
    test.reindexer.resume_all().await.expect("resumed");
    assert!(!test.jobs.reindexing.has(&test.collection.id));
}

#[tokio::test]
async fn a_reindex_begins_anew_where_another_plugin_is_installed_since() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    let reindex = test.recorded_reindex(ReindexScope::Embed).await;
    // What it had made so far.
    let schema = ibid_index::Schema { dimension: 4 };
    test.test.index.create_collection(&test.key(1), &schema).await.expect("an index");
    test.processors.settings().lock = lock("two");
    test.reindexer.resume(reindex);
    test.idle().await;
    assert_eq!(test.reindex_status().await, ReindexStatus::Success);
    assert_eq!(test.last_reindex().await.lock["model"]["name"], "two");
    let calls = test.test.index.faults.calls();
    assert!(
        calls.contains(&format!("drop_collection {}", test.key(1))),
        "what it had made is dropped"
    );
    let record = test.record(&documents[0].id).await;
    assert_eq!(record.lock["model"]["name"], "two");
}

fn point(document: &str, chunk_index: u32) -> Point {
    Point {
        document_id: document.to_owned(),
        chunk_index,
        dense: vec![0.0; 4],
        sparse: SparseVector::default(),
        payload: Payload::default(),
    }
}

#[tokio::test]
async fn vectors_of_documents_that_the_catalog_does_not_know_are_removed_before_the_swap() {
    let (test, _) = with_documents(&["a.txt"]).await;
    let reindex = test.recorded_reindex(ReindexScope::Embed).await;
    let schema = ibid_index::Schema { dimension: 4 };
    test.test.index.create_collection(&test.key(1), &schema).await.expect("an index");
    test.test
        .index
        .upsert(&test.key(1), vec![point("stray", 0)])
        .await
        .expect("indexed");
    test.reindexer.resume(reindex);
    test.idle().await;
    assert_eq!(test.generation().await, 1);
    assert!(test.points(1, "stray").await.is_empty());
}

#[tokio::test]
async fn a_document_whose_new_vectors_are_not_all_there_is_made_again() {
    let (test, documents) = with_documents(&["a.txt", "b.txt"]).await;
    test.processors.settings().lock = lock("two");
    let gate = test.processors.faults.gate("embed");
    test.begin_reindex(ReindexScope::Embed).await;
    gate.open_once();
    test.processors.faults.begun("embed", 4).await;
    test.test.index.delete_document(&test.key(1), &documents[0].id).await.expect("lost");
    gate.open();
    test.idle().await;
    assert_eq!(test.reindex_status().await, ReindexStatus::Success);
    assert_eq!(test.points(1, &documents[0].id).await.len(), 2);
}
