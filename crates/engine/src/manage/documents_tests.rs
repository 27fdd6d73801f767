use super::*;
use crate::fakes::faults::Fault;
use crate::fakes::services::{TestServices, key};
use tokio_util::sync::CancellationToken;

impl TestServices {
    async fn delete(&self, id: &str) -> Result<DeletedDocument, ApiError> {
        self.documents.delete_document(id, &Subject::anyone()).await
    }
}

#[tokio::test]
async fn a_deleted_document_leaves_nothing_and_is_announced_once() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.live(&collection, "abc", 2).await;
    let deleted = services.delete(&document.id).await.expect("deleted");
    assert_eq!((deleted.vectors_deleted, deleted.chunks_deleted, deleted.files_deleted), (2, 2, 1));
    let store = &services.test.store;
    assert!(services.test.index.stored(&key(&collection)).is_empty());
    assert!(store.files.open(&document.sha256).await.is_err());
    assert!(store.files.documents().await.unwrap().is_empty());
    assert!(store.visibility.hidden(&collection.id).is_empty());
    let deletions = services.logged().await.into_iter().filter(|kind| kind == "document_deleted");
    assert_eq!(deletions.count(), 1);
    assert_eq!(
        store
            .announcements
            .take()
            .and_then(|(_, event)| event)
            .map(|event| event.kind)
            .as_deref(),
        Some("document_deleted")
    );
    assert_eq!(store.statistics.take().into_iter().collect::<Vec<_>>(), [collection.id]);
}

#[tokio::test]
async fn a_delete_hides_then_stops_then_removes_vectors_then_files_then_the_row_then_shows() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.live(&collection, "abc", 2).await;
    let (store, index, files) = (&services.test.store, &services.test.index, &services.test.files);
    let hidden = || store.visibility.hidden(&collection.id) == std::slice::from_ref(&document.id);
    let reprocessing = services.jobs.reprocessing.begin(&document.id, CancellationToken::new());
    let cancel = reprocessing.cancel.clone();
    let (stop, vectors) = (services.peers.faults.gate("stop"), index.faults.gate("delete_document"));
    let removal = files.gate("remove_document");
    let deleting = tokio::spawn({
        let (documents, id) = (services.documents.clone(), document.id.clone());
        async move { documents.delete_document(&id, &Subject::anyone()).await }
    });
    cancel.cancelled().await;
    assert!(hidden(), "hidden before the work on it stops");
    assert!(services.peers.stops().is_empty(), "others are asked when the work here has ended");
    drop(reprocessing);
    services.peers.faults.begun("stop", 1).await;
    assert_eq!(
        index.faults.count("delete_document"),
        0,
        "vectors stay until other servers have stopped"
    );
    stop.open();
    index.faults.begun("delete_document", 1).await;
    assert!(hidden());
    assert_eq!(files.count("remove_document"), 0);
    vectors.open();
    files.begun("remove_document", 1).await;
    assert!(index.stored(&key(&collection)).is_empty(), "vectors go before files");
    assert_eq!(
        store.catalog.document(&document.id).await.unwrap().state,
        DocumentState::Deleting,
        "the row goes last"
    );
    assert!(hidden());
    removal.open();
    deleting.await.unwrap().expect("deleted");
    assert!(store.catalog.document(&document.id).await.is_err());
    assert!(!hidden());
}

#[tokio::test]
async fn a_delete_waits_for_the_processing_of_the_document_to_end() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.received(&collection, "abc").await;
    let running = services.jobs.ingesting.begin(&document.id, CancellationToken::new());
    let cancel = running.cancel.clone();
    let deleting = tokio::spawn({
        let (documents, id) = (services.documents.clone(), document.id.clone());
        async move { documents.delete_document(&id, &Subject::anyone()).await }
    });
    cancel.cancelled().await;
    assert!(services.test.store.files.open(&document.sha256).await.is_ok());
    drop(running);
    deleting.await.unwrap().expect("deleted");
}

#[tokio::test]
async fn a_file_that_another_document_needs_stays() {
    let services = TestServices::open().await;
    let (a, b) = (services.collection("a").await, services.collection("b").await);
    let document = services.live(&a, "abc", 1).await;
    let other = services.live(&b, "abc", 1).await;
    assert_eq!(services.delete(&document.id).await.expect("deleted").files_deleted, 0);
    assert!(services.test.store.files.open(&other.sha256).await.is_ok());
    assert_eq!(services.test.index.stored(&key(&b)).len(), 1);
    assert_eq!(services.delete(&other.id).await.expect("deleted").files_deleted, 1);
    assert!(services.test.store.files.open(&other.sha256).await.is_err());
}

#[tokio::test]
async fn a_delete_does_not_reveal_that_a_collection_out_of_sight_has_the_same_bytes() {
    let services = TestServices::open().await;
    let (a, b) = (services.collection("a").await, services.collection("b").await);
    let document = services.live(&a, "abc", 1).await;
    services.live(&b, "abc", 1).await;
    let subject = Subject {
        collections: Some(vec!["a".to_owned()]),
        ..Subject::anyone()
    };
    let deleted = services.documents.delete_document(&document.id, &subject).await.expect("deleted");
    assert_eq!(deleted.files_deleted, 1);
}

#[tokio::test]
async fn a_delete_that_the_index_fails_stays_hidden_and_is_finished_later() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.live(&collection, "abc", 1).await;
    services.test.index.faults.plan("delete_document", [Fault::Damaged]);
    assert!(services.delete(&document.id).await.is_err());
    let store = &services.test.store;
    assert_eq!(store.visibility.hidden(&collection.id), std::slice::from_ref(&document.id));
    assert!(store.files.open(&document.sha256).await.is_ok());
    assert!(services.delete(&document.id).await.is_err(), "to clients it is gone");
    let record = store.catalog.document(&document.id).await.unwrap();
    services.documents.finish_deleting(record).await.expect("deleted");
    assert!(store.catalog.document(&document.id).await.is_err());
    assert!(store.visibility.hidden(&collection.id).is_empty());
}

#[tokio::test]
async fn a_document_of_another_collection_or_one_that_is_being_deleted_is_not_found() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.live(&collection, "abc", 1).await;
    let subject = Subject {
        collections: Some(vec!["b".to_owned()]),
        ..Subject::anyone()
    };
    let refused = services.documents.delete_document(&document.id, &subject).await;
    assert_eq!(refused.expect_err("not seen").code, ErrorCode::ResourceNotFound);
    assert!(services.documents.visible(&document.id, &Subject::anyone()).await.is_ok());
    services.test.store.catalog.begin_delete(&document.id).await.unwrap();
    assert!(services.documents.visible(&document.id, &Subject::anyone()).await.is_err());
}

#[tokio::test]
async fn what_was_written_of_a_document_that_another_server_deleted_is_removed() {
    let services = TestServices::open_shared().await;
    let collection = services.qdrant("a").await;
    let document = services.live(&collection, "abc", 2).await;
    assert!(!services.documents.end_if_deleted(&document, 0, 0).await, "it is not deleted");
    let catalog = &services.test.store.catalog;
    catalog.begin_delete(&document.id).await.unwrap();
    let running = services.jobs.ingesting.begin(&document.id, CancellationToken::new());
    assert!(services.documents.end_if_deleted(&document, 0, 0).await);
    drop(running);
    while services.test.clock.slept().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        services.test.remote.stored(&key(&collection)).len(),
        2,
        "the other server still counts them"
    );
    catalog.finish_delete(&document.id, None).await.unwrap();
    services.idle().await;
    assert!(services.test.remote.stored(&key(&collection)).is_empty());
    assert!(services.test.store.files.documents().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_is_alone_knows_of_every_deletion_itself() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.live(&collection, "abc", 2).await;
    services.test.store.catalog.begin_delete(&document.id).await.unwrap();
    assert!(!services.documents.end_if_deleted(&document, 0, 0).await);
    assert!(!services.documents.goes_on_elsewhere(&document.id).await);
}

#[tokio::test]
async fn a_document_goes_on_elsewhere_while_it_is_processed_or_live() {
    let services = TestServices::open_shared().await;
    let collection = services.qdrant("a").await;
    let document = services.received(&collection, "abc").await;
    assert!(services.documents.goes_on_elsewhere(&document.id).await);
    services.test.store.catalog.begin_delete(&document.id).await.unwrap();
    assert!(!services.documents.goes_on_elsewhere(&document.id).await);
    assert!(!services.documents.goes_on_elsewhere("doc_none").await);
}
