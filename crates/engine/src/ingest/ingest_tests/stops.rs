//! Cancelled, deleted and parked documents, and the permits of those in processing.

use super::{called, ends, others};
use crate::fakes::clock::FakeClock;
use crate::fakes::ingest::{PERMITS, TestIngest};
use crate::fakes::peers::FakePeers;
use ibid_auth::Subject;
use ibid_catalog::DocumentState;
use ibid_protocol::{ErrorCode, UploadStatus};
use std::sync::Arc;

#[tokio::test]
async fn a_document_that_is_cancelled_before_it_begins_keeps_its_state() {
    for state in DocumentState::ALL.iter().copied().filter(|state| state.is_processing()) {
        let test = TestIngest::open().await;
        let document = test.document_in(state, "a.txt", "one").await;
        let before = called(&test).len();
        let outcome = test.start(&document).await;
        test.jobs.ingesting.stop(&document.id).await;
        let failed = outcome.await.expect("an outcome").expect_err("cancelled");
        assert_eq!(failed.error.code, ErrorCode::Conflict);
        assert_eq!(test.state(&document.id).await, state);
        assert_eq!(called(&test).len(), before, "nothing was begun");
        assert_eq!(ends(&test)[0].status, UploadStatus::Cancelled);
    }
}

/// Cancels a document while a step of its processor goes on; it stays in `state`.
async fn cancelled_during(step: &'static str, state: DocumentState) {
    let test = TestIngest::open().await;
    let _gate = test.processors.faults.gate(step);
    let document = test.received("a.txt", "one").await;
    let outcome = test.start(&document).await;
    test.processors.faults.begun(step, 1).await;
    test.jobs.ingesting.stop(&document.id).await;
    assert!(outcome.await.expect("an outcome").is_err());
    assert_eq!(test.state(&document.id).await, state);
    assert_eq!(ends(&test)[0].status, UploadStatus::Cancelled);
    assert_eq!(test.ingest.permits.available_permits(), PERMITS);
    assert!(!test.jobs.ingesting.has(&document.id));
}

#[tokio::test]
async fn a_document_is_cancelled_while_it_is_extracted() {
    cancelled_during("extract", DocumentState::Received).await;
}

#[tokio::test]
async fn a_document_is_cancelled_while_it_is_cut() {
    cancelled_during("chunk", DocumentState::Extracted).await;
}

#[tokio::test]
async fn a_document_is_cancelled_while_it_is_embedded() {
    cancelled_during("embed", DocumentState::Chunked).await;
}

#[tokio::test]
async fn stopping_a_document_waits_for_the_window_that_is_written() {
    let test = TestIngest::open().await;
    let gate = test.test.index.faults.gate("upsert");
    let document = test.received("a.txt", "one").await;
    let _outcome = test.start(&document).await;
    test.test.index.faults.begun("upsert", 1).await;
    let stopping = tokio::spawn({
        let (jobs, id) = (test.jobs.clone(), document.id.clone());
        async move { jobs.ingesting.stop(&id).await }
    });
    while test.jobs.ingesting.has(&document.id) {
        tokio::task::yield_now().await;
    }
    others().await;
    assert!(!stopping.is_finished(), "vectors are being written");
    gate.open();
    stopping.await.expect("stopped");
    assert_eq!(test.points(0, &document.id).await.len(), 1);
}

/// Deletes a document while a step goes on; nothing is left of it.
async fn deleted_during(step: &'static str) {
    let test = TestIngest::open().await;
    let _gate = test.processors.faults.gate(step);
    let document = test.received("a.txt", "one").await;
    let outcome = test.start(&document).await;
    test.processors.faults.begun(step, 1).await;
    test.documents
        .delete_document(&document.id, &Subject::anyone())
        .await
        .expect("deleted");
    assert!(outcome.await.expect("an outcome").is_err());
    assert_nothing_left(&test, &document).await;
}

async fn assert_nothing_left(test: &TestIngest, document: &ibid_catalog::DocumentRecord) {
    assert!(test.test.store.catalog.document(&document.id).await.is_err());
    assert!(test.points(0, &document.id).await.is_empty());
    assert!(test.test.store.files.documents().await.expect("texts").is_empty());
    assert_eq!(test.test.store.files.size(&document.sha256).await.expect("a look"), None);
    assert!(test.hidden().is_empty());
    assert_eq!(ends(test)[0].status, UploadStatus::Cancelled);
}

#[tokio::test]
async fn a_document_is_deleted_while_it_is_extracted() {
    deleted_during("extract").await;
}

#[tokio::test]
async fn a_document_is_deleted_while_it_is_cut() {
    deleted_during("chunk").await;
}

#[tokio::test]
async fn a_document_is_deleted_while_it_is_embedded() {
    deleted_during("embed").await;
}

#[tokio::test]
async fn a_document_that_is_deleted_while_its_vectors_are_written_leaves_none() {
    let test = TestIngest::open().await;
    let gate = test.test.index.faults.gate("upsert");
    let document = test.received("a.txt", "one").await;
    let _outcome = test.start(&document).await;
    test.test.index.faults.begun("upsert", 1).await;
    let deleting = tokio::spawn({
        let (documents, id) = (test.documents.clone(), document.id.clone());
        async move { documents.delete_document(&id, &Subject::anyone()).await }
    });
    while test.jobs.ingesting.has(&document.id) {
        tokio::task::yield_now().await;
    }
    gate.open();
    deleting.await.expect("no panic").expect("deleted");
    assert_nothing_left(&test, &document).await;
}

#[tokio::test]
async fn a_document_that_is_gone_before_it_begins_ends_as_cancelled() {
    let test = TestIngest::open().await;
    let document = test.received("a.txt", "one").await;
    test.documents
        .delete_document(&document.id, &Subject::anyone())
        .await
        .expect("deleted");
    assert!(test.process(&document).await.is_err());
    assert!(called(&test).is_empty());
}

#[tokio::test]
async fn a_server_that_stops_parks_its_documents() {
    let test = TestIngest::open().await;
    let _gate = test.processors.faults.gate("embed");
    let document = test.received("a.txt", "one").await;
    let outcome = test.start(&document).await;
    test.processors.faults.begun("embed", 1).await;
    test.test.lifecycle.stop().await;
    assert_eq!(test.state(&document.id).await, DocumentState::Chunked);
    assert!(ends(&test).is_empty(), "the upload goes on at the next start");
    assert!(outcome.await.is_err(), "nobody answers");
    assert!(
        test.test
            .store
            .uploads_of_documents()
            .await
            .expect("uploads")
            .contains_key(&document.id)
    );
}

#[tokio::test]
async fn a_server_that_stops_parks_documents_that_wait_for_a_permit() {
    let test = TestIngest::open().await;
    let _all = test.ingest.permits.clone().acquire_many_owned(PERMITS as u32).await;
    let document = test.received("a.txt", "one").await;
    let _outcome = test.start(&document).await;
    others().await;
    test.test.lifecycle.stop().await;
    assert_eq!(test.state(&document.id).await, DocumentState::Received);
    assert!(ends(&test).is_empty());
}

#[tokio::test]
async fn each_document_in_processing_has_a_permit_and_others_wait() {
    let test = TestIngest::open().await;
    let gate = test.processors.faults.gate("extract");
    let mut outcomes = Vec::new();
    for name in ["a.txt", "b.txt", "c.txt", "d.txt"] {
        let document = test.received(name, name).await;
        outcomes.push(test.start(&document).await);
    }
    test.processors.faults.begun("extract", PERMITS).await;
    assert_eq!(test.ingest.permits.available_permits(), 0);
    others().await;
    assert_eq!(test.processors.faults.count("extract"), PERMITS);
    gate.open();
    for outcome in outcomes {
        outcome.await.expect("an outcome").expect("live");
    }
    assert_eq!(test.ingest.permits.available_permits(), PERMITS);
}

#[tokio::test]
async fn a_document_that_another_server_takes_over_is_left_to_it() {
    let test = TestIngest::with(FakeClock::skipping(), Arc::new(FakePeers::sharing())).await;
    let _gate = test.processors.faults.gate("embed");
    let document = test.received("a.txt", "one").await;
    let outcome = test.start(&document).await;
    test.processors.faults.begun("embed", 1).await;
    test.jobs.ingesting.stop(&document.id).await;
    let failed = outcome.await.expect("an outcome").expect_err("left");
    assert_eq!(failed.error.code, ErrorCode::ServiceUnavailable);
    assert!(ends(&test).is_empty(), "the other server tells the end");
}

#[tokio::test]
async fn what_was_written_of_a_document_that_another_server_deletes_is_removed_after_it() {
    let test = TestIngest::with(FakeClock::skipping(), Arc::new(FakePeers::sharing())).await;
    let gate = test.test.index.faults.gate("upsert");
    let document = test.received("a.txt", "one").await;
    let outcome = test.start(&document).await;
    test.test.index.faults.begun("upsert", 1).await;
    let catalog = &test.test.store.catalog;
    catalog.begin_delete(&document.id).await.expect("deleting");
    gate.open();
    assert!(outcome.await.expect("an outcome").is_err());
    assert_eq!(ends(&test)[0].status, UploadStatus::Cancelled);
    assert_eq!(test.points(0, &document.id).await.len(), 1, "the other server counts what it finds");
    catalog.finish_delete(&document.id, None).await.expect("deleted");
    test.idle().await;
    assert!(test.points(0, &document.id).await.is_empty());
    assert!(test.test.store.files.documents().await.expect("texts").is_empty());
}
