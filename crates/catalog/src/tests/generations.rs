//! A re-index: made beside what queries see, swapped as a whole, and ended without a trace.

use super::{Place, chunks, collection, event, file, found, live, received};
use crate::{
    Catalog, CatalogError, Collection, Creation, DocumentRecord, DocumentState, Extracted, NewReindex, Reindex, ReindexStatus, Remade,
    RemadeState, Swap,
};
use serde_json::json;
use std::sync::Arc;

async fn begin(catalog: &Arc<dyn Catalog>, collection: &Collection) -> Reindex {
    let new = NewReindex {
        redo: "re-chunk".to_owned(),
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
async fn remake(catalog: &Arc<dyn Catalog>, document: &DocumentRecord, reindex: &Reindex, n: u32, reused: u32) {
    let begun = Remade::begin(document, reindex.generation, json!({ "digest": "d2" }));
    let mut remade = catalog.begin_remake(&begun).await.unwrap().unwrap();
    assert_eq!((remade.state, remade.attempts), (RemadeState::Begun, 1));
    remade.state = RemadeState::Chunked;
    remade.chunks_total = n;
    assert!(catalog.save_remade(&remade, Some(&chunks(n))).await.unwrap());
    (remade.chunks_indexed, remade.chunks_reused) = (n, reused);
    remade.state = RemadeState::Ready;
    assert!(catalog.save_remade(&remade, None).await.unwrap());
}

async fn sweep(catalog: &Arc<dyn Catalog>, collection: &Collection) -> u64 {
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
    let place = Place::new().await;
    let papers = collection(&place, "papers").await;
    let (one, two) = (live(&place, &papers, 1, 5).await, live(&place, &papers, 2, 3).await);
    let midway = received(&place, &papers, 3).await;
    place.set_extracted(&midway.id, &found()).await.unwrap();
    place.set_chunked(&midway.id, &chunks(2)).await.unwrap();
    let waiting = received(&place, &papers, 4).await;

    let reindex = begin(&place, &papers).await;
    assert_eq!((reindex.generation, reindex.status), (1, ReindexStatus::Running));
    let next = async |after: Option<&str>| {
        place
            .next_to_remake(&papers.id, 1, after)
            .await
            .unwrap()
            .map(|document| document.id)
    };
    assert_eq!(next(None).await.as_ref(), Some(&one.id));
    remake(&place, &one, &reindex, 7, 4).await;
    assert_eq!(next(None).await.as_ref(), Some(&two.id));
    let swap = async || place.swap_generation(&papers.id, 1, vec![event("reindex_complete")]).await.unwrap();
    assert_eq!(swap().await, Swap::NotReady);
    // What queries see is as it was.
    let refs = [(one.id.clone(), 4), (one.id.clone(), 6)];
    assert_eq!(place.chunks_by_refs(0, &refs).await.unwrap().len(), 1);
    assert_eq!(place.collection("papers").await.unwrap(), papers);
    assert_eq!(place.document(&one.id).await.unwrap(), one);

    let place = place.reopened().await;
    remake(&place, &two, &reindex, 2, 0).await;
    assert_eq!(place.next_to_remake(&papers.id, 1, None).await.unwrap(), None);
    let running = place.reindex(&papers.id).await.unwrap().unwrap();
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
    let Swap::Done(events) = place.swap_generation(&papers.id, 1, vec![event("reindex_complete")]).await.unwrap() else {
        panic!("every document is ready")
    };
    assert_eq!(events.len(), 1);
    let now = place.collection("papers").await.unwrap();
    assert_eq!((now.generation, now.revision, &now.lock), (1, 1, &json!({ "digest": "d2" })));
    assert_eq!(now.pipeline["chunker"]["plugin"], "sentences");
    let remade = place.document(&one.id).await.unwrap();
    assert_eq!(
        (remade.generation, remade.chunks_total, remade.chunks_indexed, &remade.lock),
        (1, 7, 7, &json!({ "digest": "d2" }))
    );
    // Documents on their way begin anew, and what was under way for the old generation does not count.
    for id in [&midway.id, &waiting.id] {
        let document = place.document(id).await.unwrap();
        assert_eq!(
            (document.state, document.generation, document.chunks_total),
            (DocumentState::Received, 1, 0)
        );
        assert!(!place.set_extracted(id, &found()).await.unwrap());
        assert!(!place.set_progress(id, 1).await.unwrap());
        let anew = Extracted { generation: 1, ..found() };
        assert!(place.set_extracted(id, &anew).await.unwrap());
        assert!(place.set_chunked(id, &chunks(1)).await.unwrap());
    }
    // A query that began before reads the old chunks until they are swept.
    assert_eq!(place.chunks_by_refs(0, &refs).await.unwrap().len(), 1);
    assert_eq!(place.chunks_by_refs(1, &refs).await.unwrap().len(), 2);
    assert_eq!(sweep(&place, &papers).await, 5 + 3 + 2);
    assert!(place.chunks_by_refs(0, &refs).await.unwrap().is_empty());
    assert_eq!(place.chunks_by_refs(1, &refs).await.unwrap().len(), 2);
    let ended = place.reindex(&papers.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.counts), (ReindexStatus::Success, counts));
    assert_eq!(place.swap_generation(&papers.id, 1, Vec::new()).await.unwrap(), Swap::Ended);
    assert!(place.running_reindexes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_re_index_that_ends_without_a_swap_changes_nothing_and_its_generation_is_not_used_again() {
    let place = Place::new().await;
    let papers = collection(&place, "papers").await;
    let one = live(&place, &papers, 1, 5).await;
    let reindex = begin(&place, &papers).await;
    let again = NewReindex {
        redo: String::new(),
        at_least: String::new(),
        pipeline: json!({}),
        lock: json!({}),
    };
    let refused = place.begin_reindex(&papers.id, &again, event("reindex_started")).await.unwrap_err();
    assert_eq!(refused.code(), "CONFLICT");
    remake(&place, &one, &reindex, 7, 0).await;
    let error = Some(("PLUGIN_ERROR", "it broke"));
    let ended = place
        .end_reindex(&reindex, ReindexStatus::Failed, error, event("reindex_complete"))
        .await
        .unwrap();
    assert!(ended.is_some());
    let twice = place
        .end_reindex(&reindex, ReindexStatus::Cancelled, None, event("reindex_complete"))
        .await
        .unwrap();
    assert!(twice.is_none(), "it had ended");
    let last = place.reindex(&papers.id).await.unwrap().unwrap();
    assert_eq!(last.error, Some(("PLUGIN_ERROR".to_owned(), "it broke".to_owned())));
    assert_eq!(last.counts.chunks_done, 7, "how far it came");
    assert_eq!(sweep(&place, &papers).await, 7);
    assert_eq!(place.document(&one.id).await.unwrap(), one);
    assert_eq!(place.chunks(&one.id, 0, 0, 10).await.unwrap(), chunks(5));
    assert_eq!(begin(&place, &papers).await.generation, 2);
    assert_eq!(place.collection("papers").await.unwrap(), papers);
}

#[tokio::test]
async fn documents_that_go_while_a_collection_is_re_indexed_are_not_waited_for() {
    let place = Place::new().await;
    let papers = collection(&place, "papers").await;
    let (one, two) = (live(&place, &papers, 1, 5).await, live(&place, &papers, 2, 3).await);
    let reindex = begin(&place, &papers).await;
    remake(&place, &one, &reindex, 7, 0).await;
    let begun = Remade::begin(&two, 1, json!({}));
    let halfway = place.begin_remake(&begun).await.unwrap().unwrap();
    for id in [&one.id, &two.id] {
        place.begin_delete(id).await.unwrap();
    }
    assert!(!place.save_remade(&halfway, Some(&chunks(2))).await.unwrap(), "it is being deleted");
    assert_eq!(place.begin_remake(&begun).await.unwrap(), None);
    let (receipt, _) = place.finish_delete(&one.id, None).await.unwrap().unwrap();
    assert_eq!(receipt.chunks, 5, "those that could be found");
    place.finish_delete(&two.id, None).await.unwrap();
    assert!(matches!(
        place.swap_generation(&papers.id, 1, Vec::new()).await.unwrap(),
        Swap::Done(_)
    ));
    // And of a collection that goes nothing is left.
    begin(&place, &papers).await;
    place.begin_delete_collection("papers").await.unwrap();
    assert_eq!(place.swap_generation(&papers.id, 2, Vec::new()).await.unwrap(), Swap::Ended);
    assert!(
        place
            .finish_delete_collection(&papers.id, event("collection_deleted"))
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(place.reindex(&papers.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_document_is_not_made_by_a_pipeline_that_was_replaced_meanwhile() {
    let place = Place::new().await;
    let papers = collection(&place, "papers").await;
    let changed = place
        .set_pipeline(&papers.id, &json!({}), &json!({}), event("pipeline_changed"))
        .await
        .unwrap();
    assert!(changed.is_some());
    assert!(matches!(place.create_document(file(&papers, 1)).await, Err(CatalogError::Outdated)));
    let papers = place.collection("papers").await.unwrap();
    assert!(matches!(place.create_document(file(&papers, 1)).await, Ok(Creation::Created(_))));
}
