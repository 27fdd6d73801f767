//! What fails for good, what passes, and what is waited for.

use super::{called, ends, lines, others};
use crate::fakes::clock::FakeClock;
use crate::fakes::faults::Fault;
use crate::fakes::ingest::{PERMITS, TestIngest};
use crate::ingest::MAX_ATTEMPTS;
use crate::peers::Alone;
use crate::retry::{FIRST_PAUSE, MAX_TRIES};
use ibid_catalog::DocumentState;
use ibid_index::{Schema, VectorIndex};
use ibid_protocol::UploadStatus;
use ibid_system::disk::DiskError;
use ibid_types::IndexBackend;
use std::sync::Arc;

#[tokio::test]
async fn a_document_that_fails_is_marked_with_the_reason_and_the_step() {
    let test = TestIngest::open().await;
    test.processors.faults.plan("chunk", [Fault::Damaged]);
    let document = test.received("a.txt", "one").await;
    let failed = test.process(&document).await.expect_err("a failure");
    assert_eq!(failed.error.message, "planned");
    let record = test.record(&document.id).await;
    let error = record.error.expect("a reason");
    assert_eq!((record.state, error.stage), (DocumentState::Failed, DocumentState::Extracted));
    assert_eq!((error.code.as_str(), error.message.as_str()), ("PROCESSING_ERROR", "planned"));
    let ends = ends(&test);
    assert_eq!((ends.len(), ends[0].status), (1, UploadStatus::Failed));
}

#[tokio::test]
async fn nothing_is_left_of_a_document_that_failed() {
    let test = TestIngest::open().await;
    let document = test.received("a.txt", &lines(130)).await;
    let gate = test.processors.faults.gate("embed");
    let outcome = test.start(&document).await;
    gate.open_once();
    test.processors.faults.begun("embed", 2).await;
    assert_eq!(test.points(0, &document.id).await.len(), 128, "the first window");
    test.processors.faults.plan("embed", [Fault::Damaged]);
    gate.open();
    assert!(outcome.await.expect("an outcome").is_err());
    assert!(test.points(0, &document.id).await.is_empty());
    let files = &test.test.store.files;
    assert!(files.documents().await.expect("texts").is_empty());
    assert_eq!(files.size(&document.sha256).await.expect("a look"), None);
    let chunks = test.test.store.catalog.chunks(&document.id, 0, 0, 10).await;
    assert!(chunks.expect("read").is_empty());
}

#[tokio::test]
async fn a_failure_before_the_first_chunk_leaves_the_index_alone() {
    let test = TestIngest::open().await;
    test.processors.faults.plan("extract", [Fault::Damaged]);
    let document = test.received("a.txt", "one").await;
    assert!(test.process(&document).await.is_err());
    assert_eq!(test.test.index.faults.count("delete_document"), 0);
    assert_eq!(test.state(&document.id).await, DocumentState::Failed);
}

#[tokio::test]
async fn a_file_without_text_fails() {
    let test = TestIngest::open().await;
    let document = test.received("a.txt", " \n ").await;
    let failed = test.process(&document).await.expect_err("a failure");
    assert_eq!(failed.error.message, "`a.txt` holds no text");
    assert_eq!(called(&test), ["extract"]);
}

#[tokio::test]
async fn a_document_that_waits_for_a_server_gives_its_permit_to_others_and_goes_on() {
    let test = TestIngest::with(FakeClock::standing(), Arc::new(Alone)).await;
    test.processors.faults.plan("embed", [Fault::Outage]);
    let (one, two) = (test.received("a.txt", "one").await, test.received("b.txt", "two").await);
    let waiting = test.start(&one).await;
    while test.test.clock.slept().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(test.test.clock.slept(), [FIRST_PAUSE]);
    assert_eq!(test.ingest.permits.available_permits(), PERMITS);
    assert_eq!(test.state(&one.id).await, DocumentState::Chunked, "it keeps its state");
    test.process(&two).await.expect("another document");
    test.test.clock.advance(FIRST_PAUSE);
    waiting.await.expect("an outcome").expect("live");
}

#[tokio::test]
async fn an_outage_is_no_attempt_however_long_it_lasts() {
    let test = TestIngest::open().await;
    test.processors.faults.plan("embed", [Fault::Outage; 30]);
    let record = test.live("a.txt", "one").await;
    assert_eq!((record.attempts, test.test.clock.slept().len()), (1, 30));
}

#[tokio::test]
async fn a_document_that_needs_an_index_that_is_away_does_not_begin() {
    let test = TestIngest::open().await;
    let document = test.document_in(DocumentState::Chunked, "a.txt", "one").await;
    test.test.store.index.put(&test.key(0), IndexBackend::Qdrant);
    let schema = Schema { dimension: 4 };
    test.test.remote.create_collection(&test.key(0), &schema).await.expect("an index");
    test.test.store.index.set_away(true);
    let outcome = test.start(&document).await;
    others().await;
    assert_eq!(test.record(&document.id).await.attempts, 0);
    assert_eq!(test.ingest.permits.available_permits(), PERMITS);
    test.test.store.index.set_away(false);
    outcome.await.expect("an outcome").expect("live");
    assert_eq!(test.test.remote.stored(&test.key(0)).len(), 1);
}

#[tokio::test]
async fn a_document_is_extracted_while_its_index_is_away() {
    let test = TestIngest::open().await;
    test.test.store.index.put(&test.key(0), IndexBackend::Qdrant);
    test.test.store.index.set_away(true);
    let gate = test.processors.faults.gate("embed");
    let document = test.received("a.txt", "one").await;
    let _outcome = test.start(&document).await;
    test.processors.faults.begun("embed", 1).await;
    assert_eq!(test.state(&document.id).await, DocumentState::Chunked);
    drop(gate);
}

#[tokio::test]
async fn no_document_begins_while_the_disk_is_full() {
    let test = TestIngest::open().await;
    test.test.store.disk.note(DiskError::Full);
    let document = test.received("a.txt", "one").await;
    let outcome = test.start(&document).await;
    others().await;
    assert!(called(&test).is_empty());
    assert_eq!(test.record(&document.id).await.attempts, 0);
    test.test.store.disk.recovered();
    outcome.await.expect("an outcome").expect("live");
}

#[tokio::test]
async fn a_document_that_meets_a_full_disk_waits_until_it_is_writable() {
    let test = TestIngest::open().await;
    test.test.index.faults.plan("upsert", [Fault::DiskFull]);
    let document = test.received("a.txt", "one").await;
    let outcome = test.start(&document).await;
    while test.test.clock.slept().is_empty() {
        tokio::task::yield_now().await;
    }
    others().await;
    assert_eq!(test.test.index.faults.count("upsert"), 1, "not tried while it is full");
    assert_eq!(test.ingest.permits.available_permits(), PERMITS);
    test.test.store.disk.recovered();
    outcome.await.expect("an outcome").expect("live");
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again() {
    let test = TestIngest::open().await;
    test.test.index.faults.plan("upsert", [Fault::Damaged; MAX_TRIES as usize - 1]);
    let record = test.live("a.txt", "one").await;
    assert_eq!(record.attempts, 1);
    assert_eq!(test.test.index.faults.count("upsert"), MAX_TRIES as usize);
}

#[tokio::test]
async fn a_failure_that_does_not_pass_in_time_is_final() {
    let test = TestIngest::open().await;
    test.test.index.faults.plan("upsert", [Fault::Damaged; MAX_TRIES as usize]);
    let document = test.received("a.txt", "one").await;
    assert!(test.process(&document).await.is_err());
    assert_eq!(test.state(&document.id).await, DocumentState::Failed);
    assert_eq!(test.test.index.faults.count("upsert"), MAX_TRIES as usize);
}

#[tokio::test]
async fn a_document_whose_processing_never_ended_is_given_up() {
    let test = TestIngest::open().await;
    let document = test.received("a.txt", "one").await;
    for _ in 0..MAX_ATTEMPTS {
        test.test.store.catalog.begin_attempt(&document.id).await.expect("counted");
    }
    let failed = test.process(&document).await.expect_err("a failure");
    assert!(failed.error.message.starts_with("given up after 10 attempts"), "{}", failed.error);
    assert!(called(&test).is_empty());
}

#[tokio::test]
async fn the_last_attempt_is_still_made() {
    let test = TestIngest::open().await;
    let document = test.received("a.txt", "one").await;
    for _ in 1..MAX_ATTEMPTS {
        test.test.store.catalog.begin_attempt(&document.id).await.expect("counted");
    }
    test.process(&document).await.expect("live");
}

#[tokio::test]
async fn a_failed_document_gives_its_permit_back() {
    let test = TestIngest::open().await;
    test.processors.faults.plan("extract", [Fault::Damaged; 3]);
    for name in ["a.txt", "b.txt", "c.txt"] {
        let document = test.received(name, name).await;
        assert!(test.process(&document).await.is_err());
    }
    assert_eq!(test.ingest.permits.available_permits(), PERMITS);
}
