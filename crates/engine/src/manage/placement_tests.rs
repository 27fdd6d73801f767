use super::*;
use crate::fakes::faults::Fault;
use crate::fakes::services::{TestServices, key};

const QDRANT: IndexBackend = IndexBackend::Qdrant;
const EMBEDDED: IndexBackend = IndexBackend::Embedded;

impl TestServices {
    async fn start_move(&self, to: IndexBackend) -> Result<CollectionPlace, ApiError> {
        self.placement.move_collection("a", to, &Subject::anyone()).await
    }

    async fn place(&self) -> CollectionPlace {
        self.placement
            .collection_place("a", &Subject::anyone())
            .await
            .expect("a collection")
    }
}

fn status(place: &CollectionPlace) -> &str {
    place.last_move.as_ref().map_or("", |last| last.status.as_str())
}

#[tokio::test]
async fn a_moved_collection_is_in_the_other_index_alone() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 300).await;
    services.live(&collection, "abcd", 2).await;
    services.start_move(QDRANT).await.expect("moving");
    services.idle().await;
    let place = services.place().await;
    assert_eq!((place.index.as_str(), status(&place)), ("qdrant", "moved"));
    assert_eq!(
        place.last_move.map(|last| (last.chunks_copied, last.chunks_total)),
        Some((302, 302))
    );
    assert_eq!(services.test.remote.stored(&key(&collection)).len(), 302);
    assert!(services.test.index.stored(&key(&collection)).is_empty());
    assert_eq!(services.test.store.index.place(&key(&collection)), QDRANT);
    let moves = services.logged().await.into_iter().filter(|kind| kind == "collection_moved");
    assert_eq!(moves.count(), 1);
}

#[tokio::test]
async fn what_changes_while_it_is_copied_is_in_the_copy() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let gone = services.live(&collection, "abc", 2).await;
    let gate = services.test.remote.faults.gate("upsert");
    services.start_move(QDRANT).await.expect("moving");
    services.test.remote.faults.begun("upsert", 1).await;
    // The last difference is copied with writes held back, so these wait for the switch.
    let write = tokio::spawn({
        let (index, key, id) = (services.test.store.index.clone(), key(&collection), gone.id.clone());
        async move { index.delete_document(&key, &id).await }
    });
    tokio::task::yield_now().await;
    gate.open();
    services.idle().await;
    assert_eq!(write.await.unwrap().expect("deleted"), 2);
    assert!(
        services.test.remote.stored(&key(&collection)).is_empty(),
        "the delete went to the new index"
    );
    assert_eq!(services.place().await.index, "qdrant");
}

#[tokio::test]
async fn a_document_that_is_deleted_after_it_was_copied_goes_from_the_copy() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let small = services.live(&collection, "abc", 1).await;
    services.live(&collection, "abcd", LAST_POINTS as u32 + 1).await;
    let gate = services.test.remote.faults.gate("upsert");
    services.start_move(QDRANT).await.expect("moving");
    services.test.remote.faults.begun("upsert", 1).await;
    gate.open_once();
    services.test.remote.faults.begun("upsert", 2).await;
    let index = &services.test.store.index;
    assert_eq!(index.delete_document(&key(&collection), &small.id).await.expect("deleted"), 1);
    gate.open();
    services.idle().await;
    assert_eq!(services.place().await.index, "qdrant");
    assert_eq!(services.test.remote.stored(&key(&collection)).len() as u64, LAST_POINTS + 1);
}

#[tokio::test]
async fn a_copy_that_an_earlier_move_left_is_removed_first() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 1).await;
    services.index_at_remote(&collection, "doc_stray").await;
    services.start_move(QDRANT).await.expect("moving");
    services.idle().await;
    assert_eq!(services.test.remote.stored(&key(&collection)).len(), 1);
}

#[tokio::test]
async fn a_stopped_move_leaves_the_collection_where_it_was() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 2).await;
    let _gate = services.test.remote.faults.gate("upsert");
    services.start_move(QDRANT).await.expect("moving");
    services.test.remote.faults.begun("upsert", 1).await;
    assert_eq!(status(&services.place().await), "moving");
    let place = services.start_move(EMBEDDED).await.expect("stopped");
    assert_eq!((place.index.as_str(), status(&place)), ("embedded", "failed"));
    let now = services.test.store.catalog.collection("a").await.unwrap();
    assert_eq!(now.moving_to, None);
    assert!(services.test.remote.stored(&key(&collection)).is_empty(), "the copy is removed");
    assert_eq!(services.test.index.stored(&key(&collection)).len(), 2);
}

#[tokio::test]
async fn a_move_waits_for_a_server_that_is_away() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 2).await;
    services.test.remote.faults.plan("upsert", [Fault::Outage]);
    services.start_move(QDRANT).await.expect("moving");
    services.test.remote.faults.begun("upsert", 1).await;
    while services.test.clock.slept().is_empty() {
        tokio::task::yield_now().await;
    }
    let place = services.place().await;
    assert_eq!(status(&place), "moving");
    assert!(place.last_move.is_some_and(|last| last.message.is_some()), "it says why it waits");
    services.test.store.index.set_away(false);
    services.idle().await;
    let place = services.place().await;
    assert_eq!((place.index.as_str(), status(&place)), ("qdrant", "moved"));
    assert_eq!(place.last_move.and_then(|last| last.message), None);
}

#[tokio::test]
async fn a_move_that_fails_leaves_the_collection_where_it_was() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 2).await;
    services.test.remote.faults.plan("upsert", [Fault::Damaged]);
    services.start_move(QDRANT).await.expect("moving");
    services.idle().await;
    let place = services.place().await;
    assert_eq!((place.index.as_str(), status(&place)), ("embedded", "failed"));
    assert_eq!(services.test.store.catalog.collection("a").await.unwrap().moving_to, None);
    assert!(services.test.remote.stored(&key(&collection)).is_empty());
    assert_eq!(services.test.index.stored(&key(&collection)).len(), 2);
    services.start_move(QDRANT).await.expect("moving again");
    services.idle().await;
    assert_eq!(services.place().await.index, "qdrant");
}

#[tokio::test]
async fn a_full_disk_holds_a_move_until_it_is_writable() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 2).await;
    services.test.remote.faults.plan("upsert", [Fault::DiskFull]);
    services.start_move(QDRANT).await.expect("moving");
    while services.test.clock.slept().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&services.place().await), "moving");
    services.test.store.disk.recovered();
    services.idle().await;
    assert_eq!(services.place().await.index, "qdrant");
}

#[tokio::test]
async fn an_index_that_cannot_be_reached_begins_no_move() {
    let services = TestServices::open().await;
    services.collection("a").await;
    services.test.remote.faults.plan("health", [Fault::Outage]);
    assert!(services.start_move(QDRANT).await.is_err());
    assert_eq!(services.test.store.catalog.collection("a").await.unwrap().moving_to, None);
}

#[tokio::test]
async fn a_move_whose_old_copy_cannot_be_removed_is_not_begun() {
    let services = TestServices::open().await;
    services.collection("a").await;
    services.test.remote.faults.plan("drop_collection", [Fault::Damaged]);
    assert!(services.start_move(QDRANT).await.is_err());
    assert_eq!(services.test.store.catalog.collection("a").await.unwrap().moving_to, None);
}

#[tokio::test]
async fn a_move_is_continued_after_a_restart_and_parked_by_a_stop() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    services.live(&collection, "abc", 2).await;
    let catalog = &services.test.store.catalog;
    assert!(catalog.begin_move(&collection.id, QDRANT).await.unwrap());
    services.placement.go_on_moving(catalog.collection("a").await.unwrap());
    services.idle().await;
    assert_eq!(services.place().await.index, "qdrant");
    assert!(catalog.begin_move(&collection.id, EMBEDDED).await.unwrap());
    let _gate = services.test.index.faults.gate("upsert");
    services.placement.go_on_moving(catalog.collection("a").await.unwrap());
    services.test.index.faults.begun("upsert", 2).await;
    services.test.lifecycle.stop().await;
    let now = catalog.collection("a").await.unwrap();
    assert_eq!((now.place, now.moving_to), (QDRANT, Some(EMBEDDED)), "the next start goes on");
}

#[tokio::test]
async fn servers_that_share_collections_move_none_to_their_own_disk() {
    let services = TestServices::open_shared().await;
    services.qdrant("a").await;
    assert_eq!(
        services.start_move(EMBEDDED).await.expect_err("refused").code,
        ErrorCode::ValidationError
    );
    let unseen = services.placement.move_collection("a", QDRANT, &Subject::nobody()).await;
    assert_eq!(unseen.expect_err("not seen").code, ErrorCode::CollectionNotFound);
}

#[tokio::test]
async fn places_are_read_from_the_catalog_at_start() {
    let services = TestServices::open().await;
    let (a, b) = (services.collection("a").await, services.qdrant("b").await);
    let index = &services.test.store.index;
    for collection in [&a, &b] {
        index.forget(&key(collection));
    }
    services.placement.load_places().await.expect("loaded");
    assert_eq!((index.place(&key(&a)), index.place(&key(&b))), (EMBEDDED, QDRANT));
}
