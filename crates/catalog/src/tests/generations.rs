//! A re-index: made beside what queries see, swapped as a whole, and ended without a trace.

use super::{TestCatalog, chunks, collection, event, file, found, live, received};
use crate::{
    Catalog, CatalogError, Collection, Creation, DocumentRecord, DocumentState, Extracted, NewReindex, Reindex, ReindexStatus,
    ReindexedDocument, ReindexedState, Swap,
};
use ibid_types::ErrorCode;
use serde_json::json;
use std::sync::Arc;

async fn begin(catalog: &Arc<Catalog>, collection: &Collection) -> Reindex {
    let new = NewReindex {
        scope: "re-chunk".to_owned(),
        at_least: "nothing".to_owned(),
        pipeline: json!({ "chunker": { "plugin": "sentences" } }),
        lock: json!({ "digest": "d2" }),
    };
    catalog
        .begin_reindex(&collection.id, &new, event("reindex_started"))
        .await
        .unwrap()
        .0
}

/// Makes a document anew, with `n` chunks of which `reused` keep their vectors.
async fn reprocess(catalog: &Arc<Catalog>, document: &DocumentRecord, reindex: &Reindex, n: u32, reused: u32) {
    let begun = ReindexedDocument::begin(document, reindex.generation, json!({ "digest": "d2" }));
    let mut reindexed = catalog.begin_reprocess(&begun).await.unwrap().unwrap();
    assert_eq!((reindexed.state, reindexed.attempts), (ReindexedState::Begun, 1));
    reindexed.state = ReindexedState::Chunked;
    reindexed.chunks_total = n;
    assert!(catalog.save_reindexed(&reindexed, Some(&chunks(n))).await.unwrap());
    (reindexed.chunks_indexed, reindexed.chunks_reused) = (n, reused);
    reindexed.state = ReindexedState::Ready;
    assert!(catalog.save_reindexed(&reindexed, None).await.unwrap());
}

async fn sweep(catalog: &Arc<Catalog>, collection: &Collection) -> u64 {
    let mut gone = 0;
    loop {
        match catalog.sweep_generations(&collection.id).await.unwrap() {
            0 => return gone,
            n => gone += n,
        }
    }
}

#[tokio::test]
async fn a_swap_is_one_step_and_waits_for_every_document() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let (one, two) = (live(&catalog, &papers, 1, 5).await, live(&catalog, &papers, 2, 3).await);
    let midway = received(&catalog, &papers, 3).await;
    catalog.set_extracted(&midway.id, &found()).await.unwrap();
    catalog.set_chunked(&midway.id, &chunks(2)).await.unwrap();
    let waiting = received(&catalog, &papers, 4).await;

    let reindex = begin(&catalog, &papers).await;
    assert_eq!((reindex.generation, reindex.status), (1, ReindexStatus::Running));
    let next = async |after: Option<&str>| {
        catalog
            .next_to_reprocess(&papers.id, 1, after)
            .await
            .unwrap()
            .map(|document| document.id)
    };
    assert_eq!(next(None).await.as_ref(), Some(&one.id));
    reprocess(&catalog, &one, &reindex, 7, 4).await;
    assert_eq!(next(None).await.as_ref(), Some(&two.id));
    let swap = async || {
        catalog
            .swap_generation(&papers.id, 1, vec![event("reindex_complete")])
            .await
            .unwrap()
    };
    assert_eq!(swap().await, Swap::NotReady);
    // What queries see is as it was.
    let refs = [(one.id.clone(), 4), (one.id.clone(), 6)];
    assert_eq!(catalog.chunks_by_refs(0, &refs).await.unwrap().len(), 1);
    assert_eq!(catalog.collection("papers").await.unwrap(), papers);
    assert_eq!(catalog.document(&one.id).await.unwrap(), one);

    let catalog = catalog.reopened().await;
    reprocess(&catalog, &two, &reindex, 2, 0).await;
    assert_eq!(catalog.next_to_reprocess(&papers.id, 1, None).await.unwrap(), None);
    let running = catalog.reindex(&papers.id).await.unwrap().unwrap();
    let counts = running.counts;
    assert_eq!(
        (
            counts.documents_total,
            counts.documents_done,
            counts.chunks_done,
            counts.chunks_reused
        ),
        (2, 2, 9, 4)
    );
    let Swap::Done(events) = catalog
        .swap_generation(&papers.id, 1, vec![event("reindex_complete")])
        .await
        .unwrap()
    else {
        panic!("every document is ready")
    };
    assert_eq!(events.len(), 1);
    let now = catalog.collection("papers").await.unwrap();
    assert_eq!((now.generation, now.revision, &now.lock), (1, 1, &json!({ "digest": "d2" })));
    assert_eq!(now.pipeline["chunker"]["plugin"], "sentences");
    let reprocessed = catalog.document(&one.id).await.unwrap();
    assert_eq!(
        (
            reprocessed.generation,
            reprocessed.chunks_total,
            reprocessed.chunks_indexed,
            &reprocessed.lock
        ),
        (1, 7, 7, &json!({ "digest": "d2" }))
    );
    // Documents on their way begin anew, and what was under way for the old generation does not count.
    for id in [&midway.id, &waiting.id] {
        let document = catalog.document(id).await.unwrap();
        assert_eq!(
            (document.state, document.generation, document.chunks_total),
            (DocumentState::Received, 1, 0)
        );
        assert!(!catalog.set_extracted(id, &found()).await.unwrap());
        assert!(!catalog.set_progress(id, 1).await.unwrap());
        let anew = Extracted { generation: 1, ..found() };
        assert!(catalog.set_extracted(id, &anew).await.unwrap());
        assert!(catalog.set_chunked(id, &chunks(1)).await.unwrap());
    }
    // A query that began before reads the old chunks until they are swept.
    assert_eq!(catalog.chunks_by_refs(0, &refs).await.unwrap().len(), 1);
    assert_eq!(catalog.chunks_by_refs(1, &refs).await.unwrap().len(), 2);
    assert_eq!(sweep(&catalog, &papers).await, 5 + 3 + 2);
    assert!(catalog.chunks_by_refs(0, &refs).await.unwrap().is_empty());
    assert_eq!(catalog.chunks_by_refs(1, &refs).await.unwrap().len(), 2);
    let ended = catalog.reindex(&papers.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.counts), (ReindexStatus::Success, counts));
    assert_eq!(catalog.swap_generation(&papers.id, 1, Vec::new()).await.unwrap(), Swap::Ended);
    assert!(catalog.running_reindexes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_re_index_that_ends_without_a_swap_changes_nothing_and_its_generation_is_not_used_again() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let one = live(&catalog, &papers, 1, 5).await;
    let reindex = begin(&catalog, &papers).await;
    let again = NewReindex {
        scope: String::new(),
        at_least: String::new(),
        pipeline: json!({}),
        lock: json!({}),
    };
    let refused = catalog
        .begin_reindex(&papers.id, &again, event("reindex_started"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    reprocess(&catalog, &one, &reindex, 7, 0).await;
    let error = Some(("PLUGIN_ERROR", "it broke"));
    let ended = catalog
        .end_reindex(&reindex, ReindexStatus::Failed, error, event("reindex_complete"))
        .await
        .unwrap();
    assert!(ended.is_some());
    let twice = catalog
        .end_reindex(&reindex, ReindexStatus::Cancelled, None, event("reindex_complete"))
        .await
        .unwrap();
    assert!(twice.is_none(), "it had ended");
    let last = catalog.reindex(&papers.id).await.unwrap().unwrap();
    assert_eq!(last.error, Some(("PLUGIN_ERROR".to_owned(), "it broke".to_owned())));
    assert_eq!(last.counts.chunks_done, 7, "how far it came");
    assert_eq!(sweep(&catalog, &papers).await, 7);
    assert_eq!(catalog.document(&one.id).await.unwrap(), one);
    assert_eq!(catalog.chunks(&one.id, 0, 0, 10).await.unwrap(), chunks(5));
    assert_eq!(begin(&catalog, &papers).await.generation, 2);
    assert_eq!(catalog.collection("papers").await.unwrap(), papers);
}

#[tokio::test]
async fn documents_that_go_while_a_collection_is_re_indexed_are_not_waited_for() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let (one, two) = (live(&catalog, &papers, 1, 5).await, live(&catalog, &papers, 2, 3).await);
    let reindex = begin(&catalog, &papers).await;
    reprocess(&catalog, &one, &reindex, 7, 0).await;
    let begun = ReindexedDocument::begin(&two, 1, json!({}));
    let halfway = catalog.begin_reprocess(&begun).await.unwrap().unwrap();
    for id in [&one.id, &two.id] {
        catalog.begin_delete(id).await.unwrap();
    }
    assert!(
        !catalog.save_reindexed(&halfway, Some(&chunks(2))).await.unwrap(),
        "it is being deleted"
    );
    assert_eq!(catalog.begin_reprocess(&begun).await.unwrap(), None);
    let (receipt, _) = catalog.finish_delete(&one.id, None).await.unwrap().unwrap();
    assert_eq!(receipt.chunks, 5, "those that could be found");
    catalog.finish_delete(&two.id, None).await.unwrap();
    assert!(matches!(
        catalog.swap_generation(&papers.id, 1, Vec::new()).await.unwrap(),
        Swap::Done(_)
    ));
    // And of a collection that goes nothing is left.
    begin(&catalog, &papers).await;
    catalog.begin_delete_collection("papers").await.unwrap();
    assert_eq!(catalog.swap_generation(&papers.id, 2, Vec::new()).await.unwrap(), Swap::Ended);
    assert!(
        catalog
            .finish_delete_collection(&papers.id, event("collection_deleted"))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(catalog.reindex(&papers.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_document_is_not_made_by_a_pipeline_that_was_replaced_meanwhile() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let changed = catalog
        .set_pipeline(&papers.id, &json!({}), &json!({}), event("pipeline_changed"))
        .await
        .unwrap();
    assert!(changed.is_some());
    assert!(matches!(
        catalog.create_document(file(&papers, 1)).await,
        Err(CatalogError::Outdated)
    ));
    let papers = catalog.collection("papers").await.unwrap();
    assert!(matches!(catalog.create_document(file(&papers, 1)).await, Ok(Creation::Created(_))));
}
