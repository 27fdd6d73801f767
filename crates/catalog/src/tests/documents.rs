//! Collections and documents: making them, moving them, counting them.

use super::{TestCatalog, chunks, collection, digest, event, file, found, live, received};
use crate::{CollectionStats, Creation, DocumentState};
use ibid_types::ErrorCode;
use ibid_types::IndexBackend;
use ibid_types::document::Span;
use serde_json::json;

#[tokio::test]
async fn a_new_catalog_is_empty_and_answers() {
    let catalog = TestCatalog::new().await;
    catalog.check().await.unwrap();
    assert!(catalog.collections().await.unwrap().is_empty());
    assert!(catalog.unfinished().await.unwrap().is_empty());
    assert_eq!(catalog.events_since(0, None, 10).await.unwrap().last_seq, 0);
}

#[tokio::test]
async fn names_of_collections_are_checked_and_unique() {
    let catalog = TestCatalog::new().await;
    let longest = "x".repeat(64);
    for good in ["documents", "a", "9-to-5", "a.b_c", &longest] {
        let made = collection(&catalog, good).await;
        assert_eq!(catalog.collection(good).await.unwrap(), made);
        assert_eq!(catalog.collection_by_id(&made.id).await.unwrap(), made);
    }
    let long = "x".repeat(65);
    for bad in ["", " ", "a b", "..", ".hidden", "-x", "a/b", "ä", "a\0", &long] {
        let error = catalog
            .create_collection(bad, &json!({}), &json!({}), IndexBackend::Embedded, event("x"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::ValidationError, "{bad:?}");
    }
    let error = catalog
        .create_collection("a", &json!({}), &json!({}), IndexBackend::Embedded, event("x"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
    assert_eq!(catalog.collection("b").await.unwrap_err().code(), ErrorCode::CollectionNotFound);
    let names: Vec<_> = catalog.collections().await.unwrap().into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["9-to-5", "a", "a.b_c", "documents", &longest]);
}

#[tokio::test]
async fn a_pipeline_is_replaced_with_its_lock() {
    let catalog = TestCatalog::new().await;
    let made = collection(&catalog, "papers").await;
    let event = catalog
        .set_pipeline(&made.id, &json!({"a": 1}), &json!({"b": 2}), event("pipeline_changed"))
        .await;
    assert_eq!(event.unwrap().unwrap().kind, "pipeline_changed");
    let now = catalog.collection("papers").await.unwrap();
    assert_eq!((now.pipeline, now.lock), (json!({"a": 1}), json!({"b": 2})));
    assert!(
        catalog
            .set_pipeline("no", &json!({}), &json!({}), super::event("x"))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_collection_moves_in_one_step_or_not_at_all() {
    let catalog = TestCatalog::new().await;
    let made = collection(&catalog, "papers").await;
    assert_eq!((made.place, made.moving_to), (IndexBackend::Embedded, None));
    assert!(!catalog.begin_move(&made.id, IndexBackend::Embedded).await.unwrap(), "it is there");
    assert!(!catalog.stop_move(&made.id).await.unwrap());
    assert!(catalog.finish_move(&made.id, event("collection_moved")).await.unwrap().is_none());
    assert!(catalog.begin_move(&made.id, IndexBackend::Qdrant).await.unwrap());
    assert!(!catalog.begin_move(&made.id, IndexBackend::Qdrant).await.unwrap(), "it moves");
    let moving = catalog.collection("papers").await.unwrap();
    assert_eq!(
        (moving.place, moving.moving_to),
        (IndexBackend::Embedded, Some(IndexBackend::Qdrant))
    );
    assert!(catalog.stop_move(&made.id).await.unwrap());
    assert_eq!(catalog.collection("papers").await.unwrap().moving_to, None);
    assert!(catalog.begin_move(&made.id, IndexBackend::Qdrant).await.unwrap());
    let catalog = catalog.reopened().await;
    let event = catalog.finish_move(&made.id, event("collection_moved")).await.unwrap().unwrap();
    assert_eq!(event.kind, "collection_moved");
    let moved = catalog.collection("papers").await.unwrap();
    assert_eq!((moved.place, moved.moving_to), (IndexBackend::Qdrant, None));
    assert!(catalog.begin_move(&made.id, IndexBackend::Embedded).await.unwrap());
    catalog.begin_delete_collection("papers").await.unwrap();
    assert!(!catalog.stop_move(&made.id).await.unwrap(), "it is being deleted");
    assert!(catalog.finish_move(&made.id, super::event("x")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_document_keeps_what_each_step_found() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let mut new = file(&papers, 7);
    new.user_metadata.insert("team".to_owned(), json!(["a", 1]));
    let Creation::Created(document) = catalog.create_document(new).await.unwrap() else {
        panic!()
    };
    assert!(document.id.starts_with("doc_") && document.id.len() == 36);
    assert_eq!(document.state, DocumentState::Received);
    assert_eq!(document.collection, "papers");
    assert_eq!(document.created_at, document.updated_at);

    let made = live(&catalog, &papers, 8, 401).await;
    assert_eq!(made.state, DocumentState::Live);
    assert_eq!((made.pages, made.text_bytes, made.text_chars), (3, 500, 490));
    assert_eq!((made.chunks_total, made.chunks_indexed), (401, 401));
    assert_eq!(made.metadata.get("title").map(String::as_str), Some("Übersicht"));
    assert_eq!(made.processing_seconds, Some(1.5));
    assert!(made.processed_at.is_some_and(|at| at >= made.created_at));
    assert_eq!(catalog.chunks(&made.id, 0, 0, 1000).await.unwrap(), chunks(401));
    assert_eq!(catalog.chunks(&made.id, 0, 399, 1000).await.unwrap(), chunks(401)[399..]);
    assert_eq!(catalog.chunks(&made.id, 0, 1, 2).await.unwrap(), chunks(401)[1..3]);

    let again = catalog.document(&document.id).await.unwrap();
    assert_eq!(again, *document);
    assert_eq!(again.user_metadata.get("team"), Some(&json!(["a", 1])));
    assert_eq!(catalog.document("doc_none").await.unwrap_err().code(), ErrorCode::ResourceNotFound);
}

/// Every move, asked for in every state: it happens only in its own.
#[tokio::test]
async fn a_document_moves_only_from_the_state_before() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let id = received(&catalog, &papers, 1).await.id;
    for step in 0..=5 {
        let state = catalog.document(&id).await.unwrap().state;
        assert_eq!(state, DocumentState::ALL[step]);
        // All moves but the one that is due; `set_live` and a repeated step among them.
        if step != 0 {
            assert!(!catalog.set_extracted(&id, &found()).await.unwrap());
        }
        if step != 1 {
            assert!(!catalog.set_chunked(&id, &chunks(2)).await.unwrap());
        }
        if step != 2 {
            assert!(!catalog.set_embedded(&id).await.unwrap());
        }
        if step != 3 {
            assert!(!catalog.set_indexed(&id).await.unwrap());
        }
        if step != 4 {
            assert!(catalog.set_live(&id, 0.0, event("document_added")).await.unwrap().is_none());
        }
        if !(2..=3).contains(&step) {
            assert!(!catalog.set_progress(&id, 1).await.unwrap());
        }
        assert_eq!(catalog.document(&id).await.unwrap().state, state);
        assert_eq!(state.next(), (step < 5).then(|| DocumentState::ALL[step + 1]));
        match step {
            0 => assert!(catalog.set_extracted(&id, &found()).await.unwrap()),
            1 => assert!(catalog.set_chunked(&id, &chunks(3)).await.unwrap()),
            2 => {
                assert!(catalog.set_progress(&id, 2).await.unwrap());
                assert!(catalog.set_progress(&id, 1).await.unwrap(), "an older number is no error");
                assert_eq!(catalog.document(&id).await.unwrap().chunks_indexed, 2);
                assert_eq!(catalog.set_progress(&id, 4).await.unwrap_err().code(), ErrorCode::Conflict);
                assert!(catalog.set_embedded(&id).await.unwrap());
            }
            3 => {
                assert_eq!(catalog.set_indexed(&id).await.unwrap_err().code(), ErrorCode::Conflict);
                assert_eq!(catalog.document(&id).await.unwrap().state, DocumentState::Embedded);
                assert!(catalog.set_progress(&id, 3).await.unwrap());
                assert!(catalog.set_indexed(&id).await.unwrap());
            }
            4 => assert!(catalog.set_live(&id, 2.0, event("document_added")).await.unwrap().is_some()),
            _ => assert!(!catalog.fail(&id, "LATE", "too late").await.unwrap()),
        }
    }
    // Only the one real move to `live` was events.
    let events = catalog.events_since(0, None, 10).await.unwrap().events;
    assert_eq!(events.iter().filter(|e| e.kind == "document_added").count(), 1);
    assert!(!catalog.set_extracted("doc_none", &found()).await.unwrap());
}

#[tokio::test]
async fn chunks_out_of_order_are_refused() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let id = received(&catalog, &papers, 1).await.id;
    catalog.set_extracted(&id, &found()).await.unwrap();
    let mut swapped = chunks(3);
    swapped.swap(0, 1);
    let mut reversed = chunks(2);
    reversed[1].at = Span::new(9, 8);
    for bad in [swapped, reversed, chunks(3)[1..].to_vec()] {
        assert_eq!(catalog.set_chunked(&id, &bad).await.unwrap_err().code(), ErrorCode::ValidationError);
    }
    assert_eq!(catalog.document(&id).await.unwrap().state, DocumentState::Extracted);
    assert!(
        catalog.set_chunked(&id, &[]).await.unwrap(),
        "a document may have nothing worth finding"
    );
}

#[tokio::test]
async fn the_same_bytes_are_once_in_a_collection_until_they_fail() {
    let catalog = TestCatalog::new().await;
    let (papers, books) = (collection(&catalog, "papers").await, collection(&catalog, "books").await);
    let first = received(&catalog, &papers, 1).await;
    let mut same = file(&papers, 1);
    same.filename = "another name.pdf".to_owned();
    assert_eq!(
        catalog.create_document(same.clone()).await.unwrap(),
        Creation::Duplicate(Box::new(first.clone()))
    );
    received(&catalog, &books, 1).await;
    assert_eq!(catalog.file_references(&digest(1)).await.unwrap(), 2);

    assert!(catalog.fail(&first.id, "MALFORMED", "not a PDF").await.unwrap());
    assert_eq!(catalog.file_references(&digest(1)).await.unwrap(), 1);
    let Creation::Created(second) = catalog.create_document(same).await.unwrap() else {
        panic!()
    };
    assert_ne!(second.id, first.id);

    let mut bad = file(&papers, 2);
    bad.sha256 = digest(2).replace('0', "F");
    assert_eq!(catalog.create_document(bad).await.unwrap_err().code(), ErrorCode::ValidationError);
    let mut bad = file(&papers, 2);
    bad.filename = "a\nb".to_owned();
    assert_eq!(catalog.create_document(bad).await.unwrap_err().code(), ErrorCode::ValidationError);
    let mut bad = file(&papers, 2);
    bad.collection_id = "none".to_owned();
    assert_eq!(
        catalog.create_document(bad).await.unwrap_err().code(),
        ErrorCode::CollectionNotFound
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_creations_of_the_same_bytes_one_wins() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    for n in 0..10 {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (catalog, new) = (catalog.catalog.clone(), file(&papers, n));
                tokio::spawn(async move { catalog.create_document(new).await.unwrap() })
            })
            .collect();
        let (mut created, mut duplicates) = (Vec::new(), Vec::new());
        for task in tasks {
            match task.await.unwrap() {
                Creation::Created(document) => created.push(document.id),
                Creation::Duplicate(document) => duplicates.push(document.id),
            }
        }
        assert_eq!(created.len(), 1);
        assert_eq!(duplicates, vec![created[0].clone(); 7]);
    }
}

#[tokio::test]
async fn a_failure_keeps_its_reason_and_nothing_else() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let id = received(&catalog, &papers, 1).await.id;
    assert_eq!(catalog.begin_attempt(&id).await.unwrap(), Some(1));
    assert_eq!(catalog.begin_attempt(&id).await.unwrap(), Some(2));
    catalog.set_extracted(&id, &found()).await.unwrap();
    catalog.set_chunked(&id, &chunks(5)).await.unwrap();
    assert!(catalog.fail(&id, "PLUGIN_ERROR", "the plugin trapped").await.unwrap());
    assert!(!catalog.fail(&id, "OTHER", "again").await.unwrap());
    assert_eq!(catalog.begin_attempt(&id).await.unwrap(), None);
    let document = catalog.document(&id).await.unwrap();
    let error = document.error.unwrap();
    assert_eq!((error.stage, error.code.as_str()), (DocumentState::Chunked, "PLUGIN_ERROR"));
    assert_eq!(error.message, "the plugin trapped");
    assert!(catalog.chunks(&id, 0, 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn counts_are_exact_and_only_live_chunks_are_found() {
    let catalog = TestCatalog::new().await;
    let (papers, books) = (collection(&catalog, "papers").await, collection(&catalog, "books").await);
    let (a, b) = (live(&catalog, &papers, 1, 3).await, live(&catalog, &papers, 2, 4).await);
    let half = received(&catalog, &papers, 3).await.id;
    catalog.set_extracted(&half, &found()).await.unwrap();
    catalog.set_chunked(&half, &chunks(9)).await.unwrap();
    let failed = received(&catalog, &papers, 4).await.id;
    catalog.fail(&failed, "X", "x").await.unwrap();

    let stats = catalog.stats(&papers.id).await.unwrap();
    let expected = CollectionStats {
        documents: 2,
        chunks: 7,
        file_bytes: 2003,
        text_bytes: 1000,
        processing: 1,
        failed: 1,
    };
    assert_eq!(stats, expected);
    let mut all = catalog.all_stats().await.unwrap();
    all.sort_by_key(|(_, stats)| stats.documents);
    assert_eq!(all, [(books.id.clone(), CollectionStats::default()), (papers.id.clone(), expected)]);

    let mut hidden = catalog.hidden_documents(&papers.id).await.unwrap();
    hidden.sort();
    assert_eq!(hidden, [half.clone(), failed.clone()]);
    let mut counts = catalog.live_chunk_counts(&papers.id).await.unwrap();
    counts.sort();
    assert_eq!(counts, [(a.id.clone(), 3), (b.id.clone(), 4)]);

    let refs = [
        (b.id.clone(), 3),
        (half.clone(), 0),
        (a.id.clone(), 0),
        (a.id.clone(), 3),
        (b.id.clone(), 0),
    ];
    let located = catalog.chunks_by_refs(0, &refs).await.unwrap();
    let got: Vec<_> = located.iter().map(|c| (c.document_id.clone(), c.chunk.index)).collect();
    assert_eq!(got, [refs[0].clone(), refs[2].clone(), refs[4].clone()]);
    assert_eq!(located[0].chunk, chunks(4)[3]);
    assert!(catalog.chunks_by_refs(0, &[]).await.unwrap().is_empty());

    let ids = [half, a.id.clone(), "doc_none".to_owned(), failed];
    assert_eq!(catalog.live_documents(&ids).await.unwrap(), [a]);
}
