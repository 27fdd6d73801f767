//! The way of a document from `received` to `live`, from its beginning and from each state.

use super::{called, ends, lines};
use crate::fakes::clock::FakeClock;
use crate::fakes::ingest::TestIngest;
use crate::fakes::peers::FakePeers;
use crate::ingest::Job;
use crate::store::leases::text_id;
use ibid_catalog::{DocumentState, UploadStatus};
use ibid_protocol::UploadEvent;
use std::sync::Arc;
use tokio::sync::Semaphore;

#[tokio::test]
async fn a_document_goes_from_received_to_live() {
    let test = TestIngest::open().await;
    let document = test.received("a.txt", "one\ntwo\n").await;
    let uploaded = test.process(&document).await.expect("live");
    let record = test.record(&document.id).await;
    assert_eq!((record.state, record.attempts), (DocumentState::Live, 1));
    assert_eq!((record.chunks_total, record.chunks_indexed, record.text_bytes), (2, 2, 8));
    assert_eq!((uploaded.chunks_created, uploaded.status.as_str()), (2, "success"));
    assert_eq!(test.points(0, &record.id).await.len(), 2);
    assert_eq!(called(&test), ["extract", "chunk", "embed", "terms"]);
}

#[tokio::test]
async fn the_documents_own_chunker_cuts_it() {
    let test = TestIngest::open().await;
    test.live("a.txt", "one").await;
    assert!(test.processors.faults.calls().contains(&"chunk a.txt OfDocument".to_owned()));
}

/// Processes a document that stands at a state; returns what was called for that.
async fn resumed_from(state: DocumentState) -> Vec<String> {
    let test = TestIngest::open().await;
    let document = test.document_in(state, "a.txt", "one\ntwo\n").await;
    let before = called(&test).len();
    let upload = test.upload_of(&document).await;
    test.ingest.resume(document.clone(), Some(upload));
    assert_eq!(test.hidden(), std::slice::from_ref(&document.id), "until it is live");
    test.idle().await;
    assert_eq!(test.state(&document.id).await, DocumentState::Live);
    assert_eq!(test.points(0, &document.id).await.len(), 2);
    assert!(test.hidden().is_empty());
    assert_eq!(ends(&test).len(), 1);
    called(&test).split_off(before)
}

#[tokio::test]
async fn a_received_document_goes_on_with_its_extraction() {
    assert_eq!(resumed_from(DocumentState::Received).await, ["extract", "chunk", "embed", "terms"]);
}

#[tokio::test]
async fn an_extracted_document_goes_on_with_its_chunks() {
    assert_eq!(resumed_from(DocumentState::Extracted).await, ["chunk", "embed", "terms"]);
}

#[tokio::test]
async fn a_chunked_document_goes_on_with_its_vectors() {
    assert_eq!(resumed_from(DocumentState::Chunked).await, ["embed", "terms"]);
}

#[tokio::test]
async fn an_embedded_document_is_only_committed() {
    assert!(resumed_from(DocumentState::Embedded).await.is_empty());
}

#[tokio::test]
async fn an_indexed_document_is_only_committed() {
    assert!(resumed_from(DocumentState::Indexed).await.is_empty());
}

#[tokio::test]
async fn a_document_without_an_open_upload_goes_on_under_its_own_identifier() {
    let test = TestIngest::open().await;
    let document = test.document_in(DocumentState::Chunked, "a.txt", "one").await;
    test.ingest.resume(document.clone(), None);
    test.idle().await;
    assert_eq!(ends(&test)[0].upload_id, document.id);
}

#[tokio::test]
async fn a_long_document_is_embedded_in_windows() {
    let test = TestIngest::open().await;
    test.live("a.txt", &lines(130)).await;
    let calls = test.processors.faults.calls();
    let embedded: Vec<_> = calls.iter().filter(|call| call.starts_with("embed")).collect();
    assert_eq!(embedded, ["embed 128", "embed 2"]);
}

#[tokio::test]
async fn a_document_goes_on_after_the_last_window_that_was_recorded() {
    let test = TestIngest::open().await;
    let document = test.document_in(DocumentState::Chunked, "a.txt", &lines(130)).await;
    test.test.store.catalog.set_progress(&document.id, 128).await.expect("progress");
    test.process(&document).await.expect("live");
    assert!(test.processors.faults.calls().contains(&"embed 2".to_owned()));
    assert_eq!(test.processors.faults.count("embed"), 1);
}

#[tokio::test]
async fn queries_do_not_see_a_document_until_it_is_whole() {
    let test = TestIngest::open().await;
    let gate = test.processors.faults.gate("embed");
    let document = test.received("a.txt", "one").await;
    let outcome = test.start(&document).await;
    test.processors.faults.begun("embed", 1).await;
    assert_eq!(test.hidden(), std::slice::from_ref(&document.id));
    assert_eq!(test.logged("document_added").await, 0);
    gate.open();
    outcome.await.expect("an outcome").expect("live");
    assert!(test.hidden().is_empty());
}

#[tokio::test]
async fn a_live_document_is_announced_with_its_chunks() {
    let test = TestIngest::open().await;
    let record = test.live("a.txt", "one\ntwo\n").await;
    let log = test.log().await;
    let added = log.iter().find(|event| event.kind == "document_added").expect("an event");
    assert_eq!(
        (&added.data["document_id"], &added.data["chunks_added"]),
        (&record.id.into(), &2.into())
    );
    let announced: Vec<_> = std::iter::from_fn(|| test.test.store.announcements.take())
        .map(|(seq, _)| seq)
        .collect();
    assert!(announced.contains(&added.seq), "subscribers receive it");
}

#[tokio::test]
async fn subscribers_receive_each_step_and_the_end() {
    let test = TestIngest::open().await;
    test.live("a.txt", "one\ntwo\n").await;
    let kinds: Vec<_> = test
        .notices()
        .iter()
        .map(|event| match event {
            UploadEvent::ProcessingProgress(progress) => format!("extraction {}", progress.progress),
            UploadEvent::ChunkingProgress(progress) => format!("chunks {}", progress.total_chunks),
            UploadEvent::EmbeddingProgress(progress) => format!("embeddings {}", progress.embeddings_generated),
            UploadEvent::UploadComplete(end) => format!("{:?}", end.status),
            other => format!("{other:?}"),
        })
        .collect();
    // Progress between the first and the last of a kind is left out where it comes soon.
    assert_eq!(kinds.first().map(String::as_str), Some("extraction 0"));
    let last = ["extraction 1", "chunks 2", "embeddings 2", "Success"];
    let found: Vec<_> = kinds.iter().filter(|kind| last.contains(&kind.as_str())).collect();
    assert_eq!(found, last, "{kinds:?}");
}

#[tokio::test]
async fn the_end_of_the_upload_is_recorded() {
    let test = TestIngest::open().await;
    let document = test.received("a.txt", "one").await;
    let upload = test.upload_of(&document).await;
    test.process(&document).await.expect("live");
    let upload = test.test.store.catalog.upload(&upload).await.expect("an upload");
    assert_eq!((upload.status, upload.document_id), (UploadStatus::Success, Some(document.id)));
}

#[tokio::test]
async fn the_place_of_the_upload_is_given_back_at_the_end() {
    let test = TestIngest::open().await;
    let places = Arc::new(Semaphore::new(1));
    let document = test.received("a.txt", "one").await;
    let gate = test.processors.faults.gate("extract");
    test.ingest.start(Job {
        reporter: test.ingest.reports.reporter("documents", &test.upload_of(&document).await, "a.txt"),
        document,
        place: places.clone().try_acquire_owned().ok(),
    });
    test.processors.faults.begun("extract", 1).await;
    assert_eq!(places.available_permits(), 0);
    gate.open();
    test.idle().await;
    assert_eq!(places.available_permits(), 1);
}

#[tokio::test]
async fn the_lock_names_the_extractor_and_the_metadata_what_it_found() {
    let test = TestIngest::open().await;
    let record = test.live("a.txt", "one").await;
    assert_eq!(record.lock["plugins"]["extractor"]["name"], "text");
    assert_eq!(record.metadata.get("title").map(String::as_str), Some("Title of a.txt"));
    assert_eq!(record.metadata.get("extractor").map(String::as_str), Some("text@1.0.0"));
    assert!(!record.metadata.keys().any(|key| key.starts_with("warning")));
}

#[tokio::test]
async fn fallbacks_of_extractor_and_chunker_are_noted_in_the_metadata() {
    let test = TestIngest::open().await;
    test.processors.settings().warning = Some("it trapped".into());
    let record = test.live("a.txt", "one").await;
    for key in ["warning.extractor", "warning.chunker"] {
        assert_eq!(record.metadata.get(key).map(String::as_str), Some("it trapped"), "{key}");
    }
}

#[tokio::test]
async fn a_collection_that_is_reindexed_between_two_reads_is_read_again() {
    let test = TestIngest::open().await;
    test.processors.settings().moved = 2;
    let record = test.live("a.txt", "one").await;
    assert_eq!(record.attempts, 1);
    assert_eq!(test.test.clock.slept().len(), 2);
}

#[tokio::test]
async fn a_document_begins_anew_when_its_collection_is_reindexed_meanwhile() {
    for peers in [false, true] {
        let test = match peers {
            true => TestIngest::with(FakeClock::skipping(), Arc::new(FakePeers::sharing())).await,
            false => TestIngest::open().await,
        };
        let gate = test.processors.faults.gate("embed");
        let document = test.received("a.txt", "one\ntwo\n").await;
        let outcome = test.start(&document).await;
        test.processors.faults.begun("embed", 1).await;
        let reindex = test.recorded_reindex(crate::ReindexScope::Nothing).await;
        let schema = ibid_index::Schema {
            dimension: crate::fakes::store::DIMENSION,
        };
        ibid_index::VectorIndex::create_collection(&test.test.index, &test.key(1), &schema)
            .await
            .expect("an index");
        let swap = test
            .test
            .store
            .catalog
            .swap_generation(&test.collection.id, reindex.generation, Vec::new())
            .await;
        assert!(matches!(swap, Ok(ibid_catalog::Swap::Done(_))));
        gate.open();
        outcome.await.expect("an outcome").expect("live");
        let record = test.record(&document.id).await;
        assert_eq!((record.state, record.generation), (DocumentState::Live, 1));
        assert_eq!(test.points(1, &record.id).await.len(), 2);
        assert_eq!(test.processors.faults.count("extract"), 2);
    }
}

#[tokio::test]
async fn the_text_of_a_document_is_stored() {
    let test = TestIngest::open().await;
    let record = test.live("a.txt", "one\ntwo\n").await;
    let text = test.test.store.files.read_document(&text_id(&record.id, 0)).await.expect("a text");
    assert_eq!(text.text, "one\ntwo\n");
}
