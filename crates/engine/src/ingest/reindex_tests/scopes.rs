//! What each scope makes again, and which vectors are used again.

use super::{embedded, with_documents};
use crate::ReindexScope;
use crate::fakes::ingest::TestIngest;
use crate::fakes::processor::{lock, vector_of};
use ibid_catalog::ReindexStatus;

#[tokio::test]
async fn nothing_is_made_again_where_nothing_changed_and_all_vectors_are_copied() {
    let (test, documents) = with_documents(&["a.txt", "b.txt"]).await;
    let before = embedded(&test);
    let old = test.points(0, &documents[0].id).await;
    let ended = test.reindex(ReindexScope::Nothing).await;
    assert_eq!(ended.status, ReindexStatus::Success);
    assert_eq!(
        (ended.counts.documents_done, ended.counts.chunks_done, ended.counts.chunks_reused),
        (2, 4, 4)
    );
    assert_eq!(embedded(&test), before);
    let new = test.points(1, &documents[0].id).await;
    assert_eq!(
        new.iter().map(|point| &point.dense).collect::<Vec<_>>(),
        old.iter().map(|point| &point.dense).collect::<Vec<_>>()
    );
    assert_eq!(test.processors.faults.count("extract"), 2, "by ingest");
    assert_eq!(test.processors.faults.count("chunk"), 2, "by ingest");
}

#[tokio::test]
async fn vectors_of_the_same_model_are_copied_when_only_what_is_indexed_changes() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    let before = embedded(&test);
    let ended = test.reindex(ReindexScope::Embed).await;
    assert_eq!((ended.counts.chunks_reused, embedded(&test)), (2, before));
    assert_eq!(test.record(&documents[0].id).await.text_generation, 0, "the text stays");
}

#[tokio::test]
async fn another_model_makes_all_vectors_again() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    let before = embedded(&test);
    test.processors.settings().lock = lock("two");
    let ended = test.reindex(ReindexScope::Embed).await;
    assert_eq!((ended.counts.chunks_reused, embedded(&test) - before), (0, 2));
    let points = test.points(1, &documents[0].id).await;
    assert_eq!(points[0].dense, vector_of("two", "a\none of a.txt"));
    let record = test.record(&documents[0].id).await;
    assert_eq!(record.lock["model"]["name"], "two");
    assert_eq!(record.lock["plugins"]["extractor"]["name"], "text", "what extracted it stays known");
}

#[tokio::test]
async fn a_text_that_is_cut_otherwise_keeps_the_vectors_of_the_chunks_that_stay() {
    let test = TestIngest::open().await;
    let document = test.live("a.txt", "short\na line that is longer\n").await;
    let before = embedded(&test);
    test.processors.settings().line = 12;
    let ended = test.reindex(ReindexScope::Chunk).await;
    assert_eq!((ended.counts.chunks_done, ended.counts.chunks_reused), (3, 1));
    assert_eq!(embedded(&test) - before, 2);
    assert!(test.processors.faults.calls().contains(&"chunk a.txt OfPipeline".to_owned()));
    assert_eq!(test.processors.faults.count("extract"), 1, "by ingest");
    let record = test.record(&document.id).await;
    assert_eq!((record.chunks_total, record.text_generation), (3, 0));
    let dense: Vec<_> = test.points(1, &document.id).await.into_iter().map(|point| point.dense).collect();
    let expected = ["a\nshort", "a\na line that", "a\nis longer"].map(|text| vector_of("one", text));
    assert_eq!(dense, expected);
}

#[tokio::test]
async fn a_text_that_is_extracted_again_is_written_beside_the_old_one_which_goes_after_the_swap() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    let id = &documents[0].id;
    let gate = test.processors.faults.gate("embed");
    test.processors.settings().lock = lock("two");
    test.begin_reindex(ReindexScope::Extract).await;
    test.processors.faults.begun("embed", 2).await;
    let texts = test.test.store.files.documents().await.expect("texts");
    assert_eq!(texts.len(), 2, "{texts:?}");
    gate.open();
    test.idle().await;
    assert_eq!(test.record(id).await.text_generation, 1);
    assert_eq!(test.test.store.files.documents().await.expect("texts"), [format!("{id}-g1")]);
}

#[tokio::test]
async fn each_document_gets_what_it_needs_also_where_less_was_asked_for() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    test.processors.settings().scope = ReindexScope::Extract;
    test.reindex(ReindexScope::Nothing).await;
    assert_eq!(test.record(&documents[0].id).await.text_generation, 1);
}

#[tokio::test]
async fn a_fallback_of_the_chunker_is_noted_and_forgotten_with_the_next_cut() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    test.processors.settings().warning = Some("it trapped".into());
    test.reindex(ReindexScope::Chunk).await;
    let metadata = test.record(&documents[0].id).await.metadata;
    assert_eq!(metadata.get("warning.chunker").map(String::as_str), Some("it trapped"));
    test.processors.settings().warning = None;
    test.reindex(ReindexScope::Chunk).await;
    assert!(!test.record(&documents[0].id).await.metadata.contains_key("warning.chunker"));
}

#[tokio::test]
async fn long_documents_are_reindexed_in_windows_and_keep_all_vectors() {
    let test = TestIngest::open().await;
    let text: String = (0..300).map(|line| format!("line {line}\n")).collect();
    let document = test.live("a.txt", &text).await;
    let before = test.test.index.faults.count("upsert");
    let ended = test.reindex(ReindexScope::Embed).await;
    assert_eq!(test.test.index.faults.count("upsert") - before, 3);
    assert_eq!((ended.counts.chunks_done, ended.counts.chunks_reused), (300, 300));
    assert_eq!(test.points(1, &document.id).await.len(), 300);
}

#[tokio::test]
async fn a_vector_that_the_old_generation_lost_is_made_again() {
    let (test, documents) = with_documents(&["a.txt"]).await;
    ibid_index::VectorIndex::delete_document(&test.test.index, &test.key(0), &documents[0].id)
        .await
        .expect("deleted");
    let ended = test.reindex(ReindexScope::Embed).await;
    assert_eq!((ended.status, ended.counts.chunks_reused), (ReindexStatus::Success, 0));
    assert_eq!(test.points(1, &documents[0].id).await.len(), 2);
}
