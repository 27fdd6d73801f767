//! Tests of the steps that ingest and re-index share.

use super::*;
use crate::fakes::faults::Fault;
use crate::fakes::ingest::TestIngest;
use crate::fakes::processor::{terms_of, vector_of};
use crate::ingest::processor::Processors;
use crate::store::leases::text_id;
use ibid_catalog::DocumentState;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const TEXT: &str = "one\ntwo\nthree\n";

/// A document of three chunks, what processes it, and its texts.
async fn prepared(test: &TestIngest) -> (DocumentRecord, Arc<dyn Processor>, Vec<Chunk>, Vec<String>) {
    let record = test.document_in(DocumentState::Chunked, "big_file.txt", TEXT).await;
    let processor = test.processors.of_collection(&test.collection).expect("a processor");
    let chunks = test.test.store.catalog.chunks(&record.id, 0, 0, 10).await.expect("chunks");
    let texts = test.ingest.steps.texts_to_embed(&text_id(&record.id, 0), &chunks).await;
    (record, processor, chunks, texts.expect("texts"))
}

#[test]
fn a_file_name_is_read_as_words() {
    assert_eq!(readable_name("3M_2018-annual report.final.pdf"), "3M 2018 annual report.final");
    assert_eq!(readable_name("README"), "README");
}

#[tokio::test]
async fn a_text_to_embed_is_the_context_and_then_the_chunk() {
    let test = TestIngest::open().await;
    let (record, _, mut chunks, texts) = prepared(&test).await;
    assert_eq!(texts, ["one", "two", "three"]);
    let (heading, other) = (chunks[0].at, chunks[1].at);
    chunks[2].context = vec![heading, other];
    let texts = test.ingest.steps.texts_to_embed(&text_id(&record.id, 0), &chunks).await;
    assert_eq!(texts.expect("texts"), ["one", "two", "one\ntwo\nthree"]);
}

#[tokio::test]
async fn the_embedder_reads_the_name_and_the_text_and_the_sparse_vector_the_text_alone() {
    let test = TestIngest::open().await;
    let (record, processor, chunks, texts) = prepared(&test).await;
    let job = test.jobs.ingesting.begin(&record.id, CancellationToken::new());
    let window = Window {
        document: &Indexed::of(&record),
        chunks: &chunks,
        texts,
        vectors: Vec::new(),
    };
    let known = test.ingest.steps.index_window(&*processor, window, Box::new(|_| {}), &job).await;
    assert_eq!(known.expect("indexed"), Some(0));
    let points = test.points(0, &record.id).await;
    assert_eq!(points.len(), 3);
    assert_eq!(points[1].dense, vector_of("one", "big file\ntwo"));
    assert_eq!(points[1].sparse, terms_of("two"));
}

#[tokio::test]
async fn only_missing_vectors_are_computed_and_each_goes_to_its_chunk() {
    let test = TestIngest::open().await;
    let (record, processor, chunks, texts) = prepared(&test).await;
    let job = test.jobs.ingesting.begin(&record.id, CancellationToken::new());
    let window = Window {
        document: &Indexed::of(&record),
        chunks: &chunks,
        texts,
        vectors: vec![None, Some(vec![9.0; 4]), None],
    };
    let known = test.ingest.steps.index_window(&*processor, window, Box::new(|_| {}), &job).await;
    assert_eq!(known.expect("indexed"), Some(1));
    let dense: Vec<_> = test.points(0, &record.id).await.into_iter().map(|point| point.dense).collect();
    let expected = [vector_of("one", "big file\none"), vec![9.0; 4], vector_of("one", "big file\nthree")];
    assert_eq!(dense, expected);
}

#[tokio::test]
async fn the_embedder_is_not_called_where_all_vectors_are_known() {
    let test = TestIngest::open().await;
    let (record, processor, chunks, texts) = prepared(&test).await;
    let job = test.jobs.ingesting.begin(&record.id, CancellationToken::new());
    let window = Window {
        document: &Indexed::of(&record),
        chunks: &chunks,
        texts,
        vectors: vec![Some(vec![9.0; 4]); 3],
    };
    let known = test.ingest.steps.index_window(&*processor, window, Box::new(|_| {}), &job).await;
    assert_eq!((known.expect("indexed"), test.processors.faults.count("embed")), (Some(3), 0));
}

#[tokio::test]
async fn a_window_is_made_durable_after_it_is_indexed() {
    let test = TestIngest::open().await;
    let (record, processor, chunks, texts) = prepared(&test).await;
    let job = test.jobs.ingesting.begin(&record.id, CancellationToken::new());
    let before = test.test.index.faults.calls().len();
    let window = Window {
        document: &Indexed::of(&record),
        chunks: &chunks,
        texts,
        vectors: Vec::new(),
    };
    let indexed = test.ingest.steps.index_window(&*processor, window, Box::new(|_| {}), &job).await;
    indexed.expect("indexed");
    let calls = test.test.index.faults.calls();
    let calls: Vec<_> = calls[before..].iter().filter_map(|call| call.split(' ').next()).collect();
    assert_eq!(calls, ["upsert", "flush"]);
}

#[tokio::test]
async fn a_job_that_is_stopped_while_it_embeds_indexes_nothing() {
    let test = TestIngest::open().await;
    let (record, processor, chunks, texts) = prepared(&test).await;
    let cancel = CancellationToken::new();
    let job = test.jobs.ingesting.begin(&record.id, cancel.clone());
    let _gate = test.processors.faults.gate("embed");
    let document = Indexed::of(&record);
    let window = Window {
        document: &document,
        chunks: &chunks,
        texts,
        vectors: Vec::new(),
    };
    let indexing = test.ingest.steps.index_window(&*processor, window, Box::new(|_| {}), &job);
    let cancelling = async {
        test.processors.faults.begun("embed", 1).await;
        cancel.cancel();
    };
    let (indexed, ()) = tokio::join!(indexing, cancelling);
    assert_eq!(indexed.expect("no failure"), None);
    assert!(test.points(0, &record.id).await.is_empty());
}

#[tokio::test]
async fn a_write_goes_on_when_its_job_is_gone_and_who_stops_it_waits_for_that() {
    let test = TestIngest::open().await;
    let (record, ..) = prepared(&test).await;
    let job = test.jobs.ingesting.begin(&record.id, CancellationToken::new());
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let (done, finished) = tokio::sync::oneshot::channel::<()>();
    let mut write = Box::pin(job.write(async move {
        let _ = released.await;
        let _ = done.send(());
        Ok(())
    }));
    assert!(futures_now(&mut write).await.is_none(), "it waits");
    drop(write);
    let writes = job.writes.clone();
    drop(job);
    assert_eq!(writes.len(), 1, "it still writes");
    release.send(()).expect("a write that waits");
    finished.await.expect("written to the end");
}

/// Polls a future once.
async fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        done = future => Some(done),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test]
async fn a_failure_of_the_index_is_returned() {
    let test = TestIngest::open().await;
    let (record, processor, chunks, texts) = prepared(&test).await;
    let job = test.jobs.ingesting.begin(&record.id, CancellationToken::new());
    test.test.index.faults.plan("flush", [Fault::Outage]);
    let window = Window {
        document: &Indexed::of(&record),
        chunks: &chunks,
        texts,
        vectors: Vec::new(),
    };
    let indexed = test.ingest.steps.index_window(&*processor, window, Box::new(|_| {}), &job).await;
    assert!(indexed.expect_err("a failure").is_outage());
}

#[tokio::test]
async fn a_text_is_not_written_to_a_disk_that_is_full() {
    let test = TestIngest::open().await;
    let job = test.jobs.ingesting.begin("doc", CancellationToken::new());
    test.test.store.disk.note(ibid_system::disk::DiskError::Full);
    let document = Document {
        text: "text".into(),
        units: Vec::new(),
        pages: Vec::new(),
        attrs: Vec::new(),
    };
    let written = test.ingest.steps.write_text("doc".to_owned(), document, &job).await;
    assert!(written.expect_err("refused").disk_error().is_some());
    assert!(test.test.store.files.documents().await.expect("texts").is_empty());
}

#[tokio::test]
async fn filters_can_ask_for_the_name_the_type_the_authors_and_the_clients_metadata() {
    let test = TestIngest::open().await;
    let mut record = test.received("Report.PDF", "text").await;
    record.metadata.insert("author".into(), "Ada; Grace ".into());
    record.metadata.insert("team".into(), "file".into());
    record.user_metadata.insert("team".into(), json!("client"));
    let payload = payload(&record);
    assert_eq!((payload.source.as_str(), payload.document_type.as_str()), ("Report.PDF", "pdf"));
    assert_eq!(payload.authors, ["Ada", "Grace"]);
    assert_eq!(payload.metadata.get("team").map(String::as_str), Some("client"));
}
