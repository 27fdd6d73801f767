//! Tests of what upkeep publishes, and of what it does when a disk or a server is back.

use crate::fakes::faults::Fault;
use crate::fakes::services::{TestServices, key};
use ibid_catalog::{Event, NewEvent};
use ibid_system::disk::DiskError;
use serde_json::json;

impl TestServices {
    /// Records an event, as another task does that has not published it yet.
    async fn record(&self, collection_id: &str, kind: &str) -> Event {
        let event = NewEvent::new(kind, json!({}));
        self.test.store.catalog.append_event(collection_id, event).await.expect("an event")
    }

    /// Publishes events until as many have come, and returns their numbers.
    async fn published(&self, last: u64, count: usize) -> Vec<i64> {
        let mut live = self.test.store.events.collections_from_now();
        let publishing = tokio::spawn(self.upkeep.clone().publish_events(last));
        let mut seqs = Vec::new();
        while seqs.len() < count {
            seqs.push(live.recv().await.expect("an event").seq);
        }
        self.test.lifecycle.stopping.cancel();
        publishing.await.expect("no panic");
        assert!(live.try_recv().is_err(), "no more than {count}");
        seqs
    }
}

#[tokio::test]
async fn an_event_that_was_not_announced_is_read_from_the_log_in_its_place() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let last = services.upkeep.newest_event().await.unwrap();
    let mut recorded = Vec::new();
    for kind in ["one", "two", "three"] {
        recorded.push(services.record(&collection.id, kind).await);
    }
    let third = recorded.pop().expect("an event");
    services.test.store.publish(third);
    let next = last as i64 + 1;
    assert_eq!(services.published(last, 3).await, [next, next + 1, next + 2]);
}

#[tokio::test]
async fn an_event_that_was_read_from_the_log_is_not_published_twice() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let last = services.upkeep.newest_event().await.unwrap();
    let one = services.record(&collection.id, "one").await;
    let two = services.record(&collection.id, "two").await;
    let mut live = services.test.store.events.collections_from_now();
    let publishing = tokio::spawn(services.upkeep.clone().publish_events(last));
    services.test.store.publish(two);
    for _ in 0..2 {
        live.recv().await.expect("an event");
    }
    services.test.store.publish(one);
    let three = services.record(&collection.id, "three").await;
    let seq = three.seq as i64;
    services.test.store.publish(three);
    assert_eq!(live.recv().await.expect("an event").seq, seq, "the late one is left out");
    services.test.lifecycle.stopping.cancel();
    publishing.await.unwrap();
}

#[tokio::test]
async fn a_number_of_another_server_is_read_from_the_log_and_drops_what_is_cached() {
    let services = TestServices::open_shared().await;
    let collection = services.qdrant("a").await;
    let last = services.upkeep.newest_event().await.unwrap();
    let event = services.record(&collection.id, "collection_deleted").await;
    let changes = services.test.store.visibility.changes();
    services.test.store.announcements.add_number(event.seq);
    assert_eq!(services.published(last, 1).await, [event.seq as i64]);
    assert!(services.test.store.visibility.changes() > changes);
    assert_eq!(services.pipelines.forgotten(), [collection.id]);
}

#[tokio::test]
async fn changed_statistics_are_published_once_however_often_they_changed() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    for _ in 0..3 {
        services.test.store.statistics_changed(&collection.id);
    }
    let publishing = tokio::spawn(services.upkeep.clone().publish_statistics());
    while services.test.clock.slept().is_empty() {
        tokio::task::yield_now().await;
    }
    services.test.lifecycle.stopping.cancel();
    publishing.await.unwrap();
    assert_eq!(services.logged().await, ["collection_created", "collection_stats"]);
}

#[tokio::test]
async fn statistics_of_a_deleted_collection_are_not_published() {
    let services = TestServices::open().await;
    services.test.store.publish_statistics_of("gone").await.expect("nothing to count");
    assert!(services.test.store.announcements.take().is_none());
}

#[tokio::test]
async fn deletions_that_a_full_disk_interrupted_are_finished_before_it_counts_as_writable() {
    let services = TestServices::open().await;
    let collection = services.collection("a").await;
    let document = services.live(&collection, "abc", 2).await;
    services.test.store.catalog.begin_delete(&document.id).await.unwrap();
    services.test.store.disk.note(DiskError::Full);
    let gate = services.test.index.faults.gate("delete_document");
    let watching = tokio::spawn(services.upkeep.clone().watch_disk());
    services.test.index.faults.begun("delete_document", 1).await;
    assert!(services.test.store.disk.disk_error().is_some());
    gate.open();
    services.test.store.disk.wait_until_writable().await;
    assert!(services.test.store.catalog.document(&document.id).await.is_err());
    services.test.lifecycle.stopping.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn a_qdrant_server_that_is_back_is_repaired_before_anyone_goes_on() {
    let services = TestServices::open().await;
    let collection = services.qdrant("a").await;
    services.index(&collection, "doc_stray", 2).await;
    services.test.store.index.set_away(true);
    services.test.remote.faults.plan("health", [Fault::Outage, Fault::Outage]);
    let watching = tokio::spawn(services.upkeep.clone().watch_remote());
    let mut away = services.test.store.index.away();
    away.wait_for(|away| !away).await.expect("an index");
    assert!(services.test.remote.stored(&key(&collection)).is_empty());
    assert_eq!(services.test.clock.slept().len(), 2, "it was waited for");
    services.test.lifecycle.stopping.cancel();
    watching.await.unwrap();
}
