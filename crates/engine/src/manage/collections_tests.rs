use super::*;
use crate::fakes::faults::Fault;
use crate::fakes::peers::FakePeers;
use crate::fakes::services::{TestServices, key};
use ibid_catalog::{NewReindex, ReindexStatus};
use ibid_protocol::ErrorCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn named(name: &str) -> CreateCollection {
    CreateCollection {
        name: name.to_owned(),
        index: None,
        pipeline: None,
    }
}

fn only(name: &str) -> Subject {
    Subject {
        collections: Some(vec![name.to_owned()]),
        ..Subject::anyone()
    }
}

fn code<T>(result: Result<T, ApiError>) -> Option<ErrorCode> {
    result.err().map(|error| error.code)
}

#[tokio::test]
async fn a_collection_is_created_with_its_index_and_one_event() {
    let services = TestServices::open().await;
    let info = services
        .collections
        .create_collection(named("a"), &Subject::anyone())
        .await
        .expect("created");
    assert_eq!((info.name.as_str(), info.index.as_str()), ("a", "embedded"));
    let collection = services.test.store.catalog.collection("a").await.unwrap();
    assert!(services.test.store.index.count(&key(&collection), None).await.is_ok());
    assert_eq!(services.logged().await, ["collection_created"]);
}

#[tokio::test]
async fn a_pipeline_that_does_not_run_creates_nothing() {
    let services = TestServices::open().await;
    services.pipelines.break_collection("a");
    let created = services.collections.create_collection(named("a"), &Subject::anyone()).await;
    assert_eq!(code(created), Some(ErrorCode::ValidationError));
    assert!(services.test.store.catalog.collections().await.unwrap().is_empty());
    assert_eq!(services.test.index.faults.count("create_collection"), 0);
}

#[tokio::test]
async fn a_collection_whose_index_fails_is_removed_again() {
    let services = TestServices::open().await;
    services.test.index.faults.plan("create_collection", [Fault::Damaged]);
    assert!(
        services
            .collections
            .create_collection(named("a"), &Subject::anyone())
            .await
            .is_err()
    );
    let catalog = &services.test.store.catalog;
    assert!(catalog.collections().await.unwrap().is_empty());
    assert!(catalog.deleting_collections().await.unwrap().is_empty());
    assert_eq!(services.logged().await.last().map(String::as_str), Some("collection_deleted"));
    assert!(
        services.collections.create_collection(named("a"), &Subject::anyone()).await.is_ok(),
        "the name is free"
    );
}

#[tokio::test]
async fn a_collection_that_can_neither_be_indexed_nor_removed_stays_deleting() {
    let services = TestServices::open().await;
    services.test.index.faults.plan("create_collection", [Fault::Damaged]);
    services.test.index.faults.plan("drop_collection", [Fault::Damaged]);
    assert!(
        services
            .collections
            .create_collection(named("a"), &Subject::anyone())
            .await
            .is_err()
    );
    let catalog = &services.test.store.catalog;
    assert!(catalog.collections().await.unwrap().is_empty());
    assert_eq!(catalog.deleting_collections().await.unwrap().len(), 1, "the next start finds it");
}

#[tokio::test]
async fn a_qdrant_server_that_is_away_creates_nothing() {
    let services = TestServices::open().await;
    services.test.remote.faults.plan("health", [Fault::Outage]);
    let new = CreateCollection {
        index: Some("qdrant".to_owned()),
        ..named("a")
    };
    assert!(
        services
            .collections
            .create_collection(new.clone(), &Subject::anyone())
            .await
            .is_err()
    );
    assert!(services.logged().await.is_empty());
    let info = services
        .collections
        .create_collection(new, &Subject::anyone())
        .await
        .expect("created");
    assert_eq!(info.index, "qdrant");
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_and_the_collection_stays() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 1).await;
    assert_eq!(
        code(services.collections.create_collection(named("a"), &Subject::anyone()).await),
        Some(ErrorCode::Conflict)
    );
    assert_eq!(services.test.index.stored(&key(&collection)).len(), 1);
}

#[tokio::test]
async fn an_index_that_there_is_not_is_refused() {
    let services = TestServices::open_shared().await;
    for index in ["other", "embedded"] {
        let new = CreateCollection {
            index: Some(index.to_owned()),
            ..named("a")
        };
        assert_eq!(
            code(services.collections.create_collection(new, &Subject::anyone()).await),
            Some(ErrorCode::ValidationError),
            "{index}"
        );
    }
}

#[tokio::test]
async fn two_first_uploads_at_once_go_to_one_collection() {
    let services = TestServices::open().await;
    let (one, two) = tokio::join!(
        services.collections.collection_for_upload("a"),
        services.collections.collection_for_upload("a")
    );
    assert_eq!(one.expect("a collection").id, two.expect("a collection").id);
    assert_eq!(services.logged().await, ["collection_created"]);
}

#[tokio::test]
async fn a_subject_sees_and_changes_only_its_collections() {
    let services = TestServices::open().await;
    services.collection("a").await;
    services.collection("b").await;
    let subject = only("b");
    let names = |list: CollectionList| list.collections.into_iter().map(|c| c.name).collect::<Vec<_>>();
    assert_eq!(names(services.collections.collections(&subject).await.unwrap()), ["b"]);
    assert!(names(services.collections.collections(&Subject::nobody()).await.unwrap()).is_empty());
    assert_eq!(
        code(services.collections.collection("a", &subject).await),
        Some(ErrorCode::CollectionNotFound)
    );
    assert_eq!(
        code(services.collections.delete_collection("a", &subject).await),
        Some(ErrorCode::CollectionNotFound)
    );
    assert!(services.test.store.catalog.collection("a").await.is_ok());
    for name in ["a", "none"] {
        assert_eq!(
            code(services.collections.create_collection(named(name), &subject).await),
            Some(ErrorCode::AuthorizationFailed),
            "the answer is the same whether or not there is one"
        );
    }
}

#[tokio::test]
async fn a_deleted_collection_leaves_nothing_and_is_announced_once() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.live(&collection, "abc", 2).await;
    let deleted = services
        .collections
        .delete_collection("a", &Subject::anyone())
        .await
        .expect("deleted");
    assert_eq!((deleted.documents_deleted, deleted.chunks_deleted), (1, 2));
    let store = &services.test.store;
    assert!(store.files.open(&document.sha256).await.is_err());
    assert!(store.files.documents().await.unwrap().is_empty());
    assert!(store.index.collections().await.unwrap().is_empty());
    assert!(store.catalog.document(&document.id).await.is_err());
    assert_eq!(services.logged().await, ["collection_deleted"]);
    let announced = store.announcements.take().and_then(|(_, event)| event).map(|event| event.kind);
    assert_eq!(announced.as_deref(), Some("collection_deleted"));
    assert!(store.announcements.take().is_none());
    assert_eq!(services.pipelines.forgotten(), std::slice::from_ref(&collection.id));
    assert_eq!(services.peers.stops(), [Stop::Collection(collection.id)]);
}

#[tokio::test]
async fn a_delete_waits_for_documents_and_re_index_to_stop_before_it_removes_anything() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.received(&collection, "abc").await;
    let ingesting = services.jobs.ingesting.begin(&document.id, CancellationToken::new());
    let reindexing = services.jobs.reindexing.begin(&collection.id, CancellationToken::new());
    let cancels = (ingesting.cancel.clone(), reindexing.cancel.clone());
    let deleting = tokio::spawn({
        let collections = services.collections.clone();
        async move { collections.delete_collection("a", &Subject::anyone()).await }
    });
    cancels.0.cancelled().await;
    drop(ingesting);
    cancels.1.cancelled().await;
    assert_eq!(services.test.index.faults.count("drop_collection"), 0);
    assert!(services.test.store.files.open(&document.sha256).await.is_ok());
    drop(reindexing);
    deleting.await.unwrap().expect("deleted");
    assert!(services.test.store.index.collections().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_delete_stops_a_move_and_removes_both_copies() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 1).await;
    let gate = services.test.remote.faults.gate("upsert");
    services
        .placement
        .move_collection("a", IndexBackend::Qdrant, &Subject::anyone())
        .await
        .expect("moving");
    services.test.remote.faults.begun("upsert", 1).await;
    services
        .collections
        .delete_collection("a", &Subject::anyone())
        .await
        .expect("deleted");
    gate.open();
    assert!(
        services.test.store.index.collections().await.unwrap().is_empty(),
        "in neither index"
    );
}

#[tokio::test]
async fn a_delete_removes_the_generation_that_a_re_index_makes() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let new = NewReindex {
        scope: "re-embed".to_owned(),
        at_least: "re-embed".to_owned(),
        pipeline: collection.pipeline.clone(),
        lock: collection.lock.clone(),
    };
    let event = NewEvent::new("reindex_started", json!({}));
    let (reindex, _) = services
        .test
        .store
        .catalog
        .begin_reindex(&collection.id, &new, event)
        .await
        .expect("begun");
    assert_eq!(reindex.status, ReindexStatus::Running);
    let next = CollectionKey::of_generation(&collection.id, reindex.generation).unwrap();
    let schema = Schema { dimension: 4 };
    services.test.store.index.create_collection(&next, &schema).await.unwrap();
    services
        .collections
        .delete_collection("a", &Subject::anyone())
        .await
        .expect("deleted");
    assert!(services.test.store.index.collections().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_delete_that_the_index_fails_keeps_the_rows_for_the_next_start() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.live(&collection, "abc", 1).await;
    services.test.index.faults.plan("drop_collection", [Fault::Damaged]);
    assert!(services.collections.delete_collection("a", &Subject::anyone()).await.is_err());
    let catalog = &services.test.store.catalog;
    assert_eq!(catalog.deleting_collections().await.unwrap().len(), 1);
    assert_eq!(catalog.deleting_documents(Some(&collection.id)).await.unwrap().len(), 1);
    assert!(services.test.store.files.open(&document.sha256).await.is_ok());
}

#[tokio::test]
async fn a_peer_that_does_not_stop_keeps_the_collection_deleting() {
    let services = TestServices::with(FakePeers::sharing(), Duration::ZERO).await;
    services.qdrant("a").await;
    services.peers.faults.plan("stop", [Fault::Outage]);
    assert!(services.collections.delete_collection("a", &Subject::anyone()).await.is_err());
    assert_eq!(
        services.test.remote.faults.count("drop_collection"),
        0,
        "nothing is removed under its hands"
    );
}

#[tokio::test]
async fn events_are_replayed_after_a_number_and_only_of_wanted_collections() {
    let services = TestServices::open().await;
    services.collection("a").await;
    services.collection("b").await;
    let all = services.collections.collection_events(Some(0), |_| true).await.expect("events");
    assert_eq!(all.replay.len(), 2);
    let after = all.replay.first().map(|event| event.seq);
    let later = services.collections.collection_events(after, |_| true).await.expect("events");
    assert_eq!(later.replay.len(), 1);
    let other = services
        .collections
        .collection_events(Some(0), |name| name == "a")
        .await
        .expect("events");
    assert!(other.replay.iter().all(|event| event.collection == "a"));
    assert!(
        services
            .collections
            .collection_events(None, |_| true)
            .await
            .expect("events")
            .replay
            .is_empty()
    );
    assert!(services.collections.collection_events(Some(-1), |_| true).await.is_err());
}
