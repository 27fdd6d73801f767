use super::*;
use crate::fakes::faults::Fault;
use crate::fakes::services::{TestServices, key};
use ibid_catalog::{NewUpload, UploadResult};
use ibid_index::Schema;
use serde_json::json;

const EMBEDDED: IndexBackend = IndexBackend::Embedded;
const QDRANT: IndexBackend = IndexBackend::Qdrant;

impl TestServices {
    /// Creates an upload that was being received when the server stopped.
    async fn interrupted(&self, collection_id: &str, resumable: bool) -> String {
        let new = NewUpload {
            collection_id: collection_id.to_owned(),
            filename: "a.txt".to_owned(),
            content_type: "text/plain".to_owned(),
            file_size: Some(5),
            options: json!({ "resumable": resumable }),
        };
        self.test.store.catalog.create_upload(new).await.expect("an upload").id
    }
}

#[tokio::test]
async fn vectors_of_a_document_that_does_not_exist_are_removed_and_others_stay() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let live = services.live(&collection, "abc", 2).await;
    let processing = services.received(&collection, "abcd").await;
    services.index(&collection, "doc_stray", 3).await;
    services.index(&collection, &processing.id, 1).await;
    services.upkeep.mend(EMBEDDED).await.expect("repaired");
    let left: Vec<String> = services
        .test
        .index
        .stored(&key(&collection))
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(left, [live.id.clone(), live.id, processing.id]);
}

#[tokio::test]
async fn a_live_document_whose_vectors_are_missing_is_processed_again() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let whole = services.live(&collection, "abc", 2).await;
    let lacking = services.live(&collection, "abcd", 2).await;
    services
        .test
        .store
        .index
        .delete_document(&key(&collection), &lacking.id)
        .await
        .unwrap();
    services.upkeep.resume().await.expect("resumed");
    let state = |id: String| {
        let catalog = services.test.store.catalog.clone();
        async move { catalog.document(&id).await.unwrap().state }
    };
    assert_eq!(state(whole.id).await, DocumentState::Live);
    assert!(state(lacking.id.clone()).await.is_processing());
    assert_eq!(services.work.resumed(), [(lacking.id, None)]);
    assert_eq!(services.work.reindexes(), 1);
}

#[tokio::test]
async fn a_collection_whose_pipeline_does_not_run_is_left_as_it_is() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let lacking = services.live(&collection, "abcd", 2).await;
    services
        .test
        .store
        .index
        .delete_document(&key(&collection), &lacking.id)
        .await
        .unwrap();
    services.pipelines.break_collection("a");
    services.upkeep.mend(EMBEDDED).await.expect("repaired");
    let now = services.test.store.catalog.document(&lacking.id).await.unwrap();
    assert_eq!(now.state, DocumentState::Live, "it could not be indexed again now");
}

#[tokio::test]
async fn a_damaged_index_is_created_anew_and_its_documents_are_processed_again() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.live(&collection, "abc", 2).await;
    services.test.index.faults.plan("create_collection", [Fault::Damaged]);
    services.upkeep.mend(EMBEDDED).await.expect("repaired");
    assert!(services.test.index.stored(&key(&collection)).is_empty());
    assert!(services.test.store.index.count(&key(&collection), None).await.is_ok());
    assert!(
        services
            .test
            .store
            .catalog
            .document(&document.id)
            .await
            .unwrap()
            .state
            .is_processing()
    );
}

#[tokio::test]
async fn an_index_without_a_collection_and_a_generation_that_no_query_uses_are_removed() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let schema = Schema { dimension: 4 };
    let (unknown, old) = (
        CollectionKey::of_generation("unknown", 0).unwrap(),
        CollectionKey::of_generation(&collection.id, 7).unwrap(),
    );
    for key in [&unknown, &old] {
        services.test.index.create_collection(key, &schema).await.unwrap();
        services.test.remote.create_collection(key, &schema).await.unwrap();
    }
    services.upkeep.mend(EMBEDDED).await.expect("repaired");
    assert_eq!(services.test.index.collections().await.unwrap(), [key(&collection)]);
    services.upkeep.mend(QDRANT).await.expect("repaired");
    assert_eq!(
        services.test.remote.collections().await.unwrap(),
        [unknown],
        "the server may have other users; copies of this one's collections go"
    );
}

#[tokio::test]
async fn a_generation_that_a_query_still_uses_stays() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let old = CollectionKey::of_generation(&collection.id, 7).unwrap();
    services.test.index.create_collection(&old, &Schema { dimension: 4 }).await.unwrap();
    let lease = services.test.store.leases.take(&old);
    services.upkeep.mend(EMBEDDED).await.expect("repaired");
    assert_eq!(services.test.index.collections().await.unwrap().len(), 2);
    drop(lease);
    services.upkeep.mend(EMBEDDED).await.expect("repaired");
    assert_eq!(services.test.index.collections().await.unwrap().len(), 1);
}

#[tokio::test]
async fn interrupted_deletions_are_finished() {
    let services = TestServices::open().await;
    let (a, b) = (services.collection("a").await, services.collection("b").await);
    let document = services.live(&a, "abc", 2).await;
    let other = services.live(&b, "abcd", 1).await;
    let catalog = &services.test.store.catalog;
    catalog.begin_delete(&document.id).await.unwrap();
    catalog.begin_delete_collection("b").await.unwrap();
    services.upkeep.resume().await.expect("resumed");
    assert!(catalog.document(&document.id).await.is_err());
    assert!(catalog.document(&other.id).await.is_err());
    assert!(catalog.deleting_collections().await.unwrap().is_empty());
    assert_eq!(services.test.index.collections().await.unwrap(), [key(&a)]);
    assert!(services.test.index.stored(&key(&a)).is_empty());
    assert!(services.test.store.visibility.hidden(&a.id).is_empty());
}

#[tokio::test]
async fn deletions_in_the_qdrant_server_wait_for_it() {
    let services = TestServices::open().await;
    let collection = services.qdrant("a").await;
    let document = services.live(&collection, "abc", 2).await;
    let catalog = &services.test.store.catalog;
    catalog.begin_delete(&document.id).await.unwrap();
    services.upkeep.resume().await.expect("the start does not wait for it");
    assert!(catalog.document(&document.id).await.is_ok());
    services.upkeep.mend(QDRANT).await.expect("repaired");
    assert!(catalog.document(&document.id).await.is_err());
}

#[tokio::test]
async fn beside_other_servers_deletions_are_left_to_whoever_claimed_them() {
    let services = TestServices::open_shared().await;
    let collection = services.qdrant("a").await;
    let document = services.live(&collection, "abc", 2).await;
    let processing = services.received(&collection, "abcd").await;
    let catalog = &services.test.store.catalog;
    catalog.begin_delete(&document.id).await.unwrap();
    services.upkeep.resume().await.expect("resumed");
    services.upkeep.mend(QDRANT).await.expect("repaired");
    assert!(catalog.document(&document.id).await.is_ok());
    assert_eq!(
        services.test.store.visibility.hidden(&collection.id),
        std::slice::from_ref(&processing.id)
    );
    assert!(services.work.resumed().is_empty(), "its documents too");
}

#[tokio::test]
async fn lost_uploads_are_ended_and_resumable_ones_wait() {
    let services = TestServices::open().await;
    let mut live = services.uploads.upload_events().live;
    let collection = services.collection("a").await;
    let lost = services.interrupted(&collection.id, false).await;
    let waits = services.interrupted(&collection.id, true).await;
    services.upkeep.resume().await.expect("resumed");
    assert_eq!(services.upload_status(&lost).await, UploadStatus::Cancelled);
    assert_eq!(services.upload_status(&waits).await, UploadStatus::Receiving);
    assert!(services.uploads.has(&waits) && !services.uploads.has(&lost));
    let mut events = Vec::new();
    while let Ok(notice) = live.try_recv() {
        events.push(notice.event.upload_id().to_owned());
    }
    assert!(events.contains(&lost) && events.contains(&waits), "subscribers hear of both");
}

#[tokio::test]
async fn an_upload_whose_document_ended_without_a_record_gets_its_end() {
    let services = TestServices::open().await;
    let collection = services.collection("documents").await;
    let mut ids = Vec::new();
    for (bytes, _) in [("abc", 0), ("abcd", 1), ("abcde", 2)] {
        let new = crate::NewUpload {
            filename: "a.txt".to_owned(),
            ..crate::NewUpload::default()
        };
        let mut upload = services.uploads.begin_upload(new).await.expect("begun");
        upload.write(bytes.into()).await.expect("written");
        let id = upload.id().to_owned();
        upload.finish().await.expect("finished");
        ids.push((id, services.work.take_jobs().pop().expect("a document").document.id));
    }
    let catalog = &services.test.store.catalog;
    let [(failed, document), (processing, _), (ended, _)] = ids.as_slice() else {
        panic!("{ids:?}")
    };
    catalog.fail(document, "PLUGIN_ERROR", "it crashed").await.unwrap();
    let result = UploadResult {
        status: UploadStatus::Success,
        document_id: None,
        data: json!({}),
    };
    catalog.finish_upload(ended, &result).await.unwrap();
    services.upkeep.resume().await.expect("resumed");
    assert_eq!(services.upload_status(failed).await, UploadStatus::Failed);
    let recorded = catalog.upload(failed).await.unwrap().result.expect("a result");
    assert_eq!(recorded["error"]["code"], "PLUGIN_ERROR");
    assert_eq!(services.upload_status(processing).await, UploadStatus::Processing);
    assert_eq!(
        services.upload_status(ended).await,
        UploadStatus::Success,
        "what was recorded stays"
    );
    let resumed = services.work.resumed();
    assert!(resumed.iter().any(|(_, upload)| upload.as_deref() == Some(processing.as_str())));
    assert_eq!(resumed.len(), 2, "failed documents are not taken up: {}", collection.name);
}

#[tokio::test]
async fn files_and_texts_that_no_document_needs_are_removed() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let live = services.live(&collection, "abc", 1).await;
    let failed = services.live(&collection, "abcd", 1).await;
    let store = &services.test.store;
    assert!(store.catalog.reopen(&failed.id).await.unwrap());
    assert!(store.catalog.fail(&failed.id, "PLUGIN_ERROR", "it crashed").await.unwrap());
    let text = Arc::new(store.files.read_document(&live.id).await.unwrap());
    store.files.write_document("doc_none", text).await.unwrap();
    let gone = services.received(&collection, "abcde").await;
    store.catalog.begin_delete(&gone.id).await.unwrap();
    store.catalog.finish_delete(&gone.id, None).await.unwrap();
    services.upkeep.resume().await.expect("resumed");
    assert!(store.files.open(&live.sha256).await.is_ok());
    assert!(store.files.open(&gone.sha256).await.is_err());
    assert_eq!(store.files.documents().await.unwrap(), [live.id]);
}

#[tokio::test]
async fn a_move_that_a_stop_interrupted_goes_on_at_the_start() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 2).await;
    services.test.store.catalog.begin_move(&collection.id, QDRANT).await.unwrap();
    services.upkeep.resume().await.expect("resumed");
    services.idle().await;
    assert_eq!(services.test.store.catalog.collection("a").await.unwrap().place, QDRANT);
}

#[tokio::test]
async fn a_repair_that_meets_an_outage_says_so() {
    let services = TestServices::open().await;
    services.qdrant("a").await;
    services.test.remote.faults.plan("documents", [Fault::Outage]);
    let error = services.upkeep.mend(QDRANT).await.expect_err("an outage");
    assert!(error.is_outage());
    services.upkeep.mend(QDRANT).await.expect("repaired");
}
