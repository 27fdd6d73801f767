//! What ends a re-index without a swap, what is tried again, and what is waited for.

use super::{others, with_documents};
use crate::ReindexScope;
use crate::fakes::faults::Fault;
use crate::fakes::processor::lock;
use crate::ingest::MAX_ATTEMPTS;
use crate::retry::MAX_TRIES;
use ibid_catalog::{ReindexStatus, ReindexedDocument};
use serde_json::json;

#[tokio::test]
async fn a_cancelled_reindex_leaves_the_collection_as_it_was() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    test.processors.settings().lock = lock("two");
    let _gate = test.processors.faults.gate("embed");
    test.begin_reindex(ReindexScope::Extract).await;
    test.processors.faults.begun("embed", 2).await;
    test.jobs.reindexing.stop(&test.collection.id).await;
    test.idle().await;
    assert_eq!(
        (test.reindex_status().await, test.generation().await),
        (ReindexStatus::Cancelled, 0)
    );
    assert_eq!(test.points(0, &documents[0].id).await.len(), 2);
    assert!(test.test.index.stored(&test.key(1)).is_empty(), "what it made is removed");
    assert_eq!(
        test.test.store.files.documents().await.expect("texts"),
        std::slice::from_ref(&documents[0].id)
    );
    let log = test.log().await;
    let end = log.iter().find(|event| event.kind == "reindex_complete").expect("an event");
    assert_eq!(end.data["status"], "cancelled");
    assert_eq!(test.reindexer.permit.available_permits(), 1);
}

#[tokio::test]
async fn a_document_that_fails_ends_the_reindex_which_names_it_and_leaves_the_collection_as_it_was() {
    let (test, documents) = with_documents(&["a.txt", "b.txt"]).await;
    test.processors.faults.plan("chunk", [Fault::Damaged]);
    let ended = test.reindex(ReindexScope::Chunk).await;
    assert_eq!((ended.status, test.generation().await), (ReindexStatus::Failed, 0));
    let (code, message) = ended.error.expect("a reason");
    assert_eq!((code.as_str(), message.as_str()), ("PROCESSING_ERROR", "`a.txt`: planned"));
    for document in &documents {
        assert_eq!(test.points(0, &document.id).await.len(), 2);
    }
    assert!(test.test.index.stored(&test.key(1)).is_empty());
    assert_eq!(test.logged("reindex_complete").await, 1);
}

#[tokio::test]
async fn a_collection_can_be_reindexed_again_after_a_failure() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    test.processors.faults.plan("chunk", [Fault::Damaged]);
    test.reindex(ReindexScope::Chunk).await;
    let ended = test.reindex(ReindexScope::Chunk).await;
    assert_eq!(
        (ended.status, ended.generation),
        (ReindexStatus::Success, 2),
        "a number is not used again"
    );
    assert_eq!(test.points(2, &documents[0].id).await.len(), 2);
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    test.test.index.faults.plan("upsert", [Fault::Outage; 5]);
    let ended = test.reindex(ReindexScope::Embed).await;
    assert_eq!(ended.status, ReindexStatus::Success);
    assert_eq!(test.points(1, &documents[0].id).await.len(), 2);
}

#[tokio::test]
async fn an_index_that_is_away_keeps_a_reindex_from_beginning() {
    let (test, _) = with_documents(&["a.txt"]).await;
    let calls = test.test.index.faults.calls().len();
    test.test.store.index.put(&test.key(0), ibid_types::IndexBackend::Qdrant);
    test.test.store.index.set_away(true);
    test.begin_reindex(ReindexScope::Embed).await;
    others().await;
    assert_eq!(test.test.remote.faults.calls().len(), 0);
    test.test.store.index.put(&test.key(0), ibid_types::IndexBackend::Embedded);
    test.test.store.index.set_away(false);
    test.idle().await;
    assert_eq!(test.reindex_status().await, ReindexStatus::Success);
    assert!(test.test.index.faults.calls().len() > calls);
}

#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let (test, _) = with_documents(&["a.txt"]).await;
    test.test.index.faults.plan("upsert", [Fault::DiskFull]);
    test.begin_reindex(ReindexScope::Embed).await;
    let slept = test.test.clock.slept().len();
    test.test.index.faults.begun("upsert", 2).await;
    while test.test.store.disk.disk_error().is_none() || test.test.clock.slept().len() == slept {
        tokio::task::yield_now().await;
    }
    others().await;
    assert_eq!(test.test.index.faults.count("upsert"), 2, "not tried while it is full");
    test.test.store.disk.recovered();
    test.idle().await;
    assert_eq!(test.reindex_status().await, ReindexStatus::Success);
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again_with_the_document() {
    let (test, _) = with_documents(&["a.txt"]).await;
    test.test.index.faults.plan("upsert", [Fault::Damaged; MAX_TRIES as usize - 1]);
    let ended = test.reindex(ReindexScope::Embed).await;
    assert_eq!(ended.status, ReindexStatus::Success);
    assert_eq!(ended.counts.chunks_done, 2);
}

#[tokio::test]
async fn a_failure_that_does_not_pass_in_time_ends_the_reindex() {
    let (test, _) = with_documents(&["a.txt"]).await;
    test.test.index.faults.plan("upsert", [Fault::Damaged; MAX_TRIES as usize]);
    let ended = test.reindex(ReindexScope::Embed).await;
    assert_eq!((ended.status, test.generation().await), (ReindexStatus::Failed, 0));
}

#[tokio::test]
async fn a_document_whose_reprocessing_never_ended_ends_the_reindex() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    let reindex = test.recorded_reindex(ReindexScope::Embed).await;
    let begun = ReindexedDocument::begin(&documents[0], reindex.generation, json!({}));
    for _ in 0..MAX_ATTEMPTS {
        test.test.store.catalog.begin_reprocess(&begun).await.expect("counted");
    }
    test.reindexer.resume(reindex);
    test.idle().await;
    let (_, message) = test.last_reindex().await.error.expect("a reason");
    assert!(message.starts_with("`a.txt`: given up after 10 attempts"), "{message}");
}

#[tokio::test]
async fn a_reindex_ends_only_once() {
    let (test, _) = with_documents(&["a.txt"]).await;
    let reindex = test.recorded_reindex(ReindexScope::Embed).await;
    for _ in 0..2 {
        let ended = test.reindexer.end_without_swap(&reindex, ReindexStatus::Cancelled, None).await;
        ended.expect("ended");
    }
    test.idle().await;
    assert_eq!(test.logged("reindex_complete").await, 1);
}

#[tokio::test]
async fn a_reindex_whose_collection_is_being_deleted_just_ends() {
    let (test, _) = with_documents(&["a.txt"]).await;
    let gate = test.test.index.faults.gate("flush");
    test.begin_reindex(ReindexScope::Embed).await;
    test.test.index.faults.begun("flush", 2).await;
    test.test
        .store
        .catalog
        .begin_delete_collection("documents")
        .await
        .expect("deleting");
    gate.open();
    test.idle().await;
    assert_eq!(test.logged("reindex_complete").await, 0);
    assert!(!test.jobs.reindexing.has(&test.collection.id));
}

#[tokio::test]
async fn an_index_in_the_making_that_is_damaged_is_made_again() {
    let (test, _) = with_documents(&["a.txt"]).await;
    test.test.index.faults.plan("create_collection", [Fault::Damaged]);
    let ended = test.reindex(ReindexScope::Embed).await;
    assert_eq!(ended.status, ReindexStatus::Success);
    assert!(test.test.index.faults.calls().contains(&format!("drop_collection {}", test.key(1))));
}

#[tokio::test]
async fn a_server_that_stops_parks_its_reindex() {
    let (test, _) = with_documents(&["a.txt"]).await;
    test.processors.settings().lock = lock("two");
    let _gate = test.processors.faults.gate("embed");
    test.begin_reindex(ReindexScope::Embed).await;
    test.processors.faults.begun("embed", 2).await;
    test.test.lifecycle.stop().await;
    assert_eq!(test.reindex_status().await, ReindexStatus::Running);
    assert_eq!(test.logged("reindex_complete").await, 0);
}
