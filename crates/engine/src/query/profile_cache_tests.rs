//! Tests of the cache of profiles.

use super::*;
use crate::fakes::query::add_document;
use crate::fakes::store::TestStore;
use ibid_catalog::Collection;
use serde_json::json;

struct Test {
    test: TestStore,
    collection: Collection,
    cache: ProfileCache,
}

async fn cache() -> Test {
    let test = TestStore::open().await;
    let collection = test.collection("documents", json!({})).await;
    Test {
        cache: ProfileCache {
            store: test.store.clone(),
            known: KnownProfiles::default(),
        },
        collection,
        test,
    }
}

impl Test {
    async fn profiles(&self) -> Arc<Profiles> {
        let profiles = self.cache.profiles(&self.collection.id).await.unwrap();
        // How long that took must not decide what the next call finds.
        if let Some(known) = self.cache.known_profiles().get_mut(&self.collection.id) {
            known.took = Duration::ZERO;
        }
        profiles
    }
}

#[tokio::test]
async fn profiles_are_made_once_while_nothing_changes() {
    let test = cache().await;
    let id = add_document(&test.test, &test.collection, "a.txt", &[("alpha", 1.0)]).await;
    let first = test.profiles().await;
    assert!(first.get(&id).is_some());
    assert!(Arc::ptr_eq(&first, &test.profiles().await));
}

#[tokio::test]
async fn profiles_are_renewed_when_a_document_has_come() {
    let test = cache().await;
    test.profiles().await;
    let id = add_document(&test.test, &test.collection, "a.txt", &[("alpha", 1.0)]).await;
    test.test.store.visibility.show(&test.collection.id, &id);
    assert!(test.profiles().await.get(&id).is_some());
}

#[tokio::test]
async fn a_change_during_the_reading_is_found_the_next_time() {
    let test = cache().await;
    test.profiles().await;
    let known = test.cache.known_profiles().get(&test.collection.id).cloned().unwrap();
    test.test.store.visibility.changed();
    assert!(!known.is_fresh(test.test.store.visibility.changes(), Duration::ZERO));
}

#[test]
fn profiles_grow_old_however_little_changes() {
    let known = Known {
        profiles: Arc::default(),
        changes: 1,
        made: Instant::now(),
        took: Duration::ZERO,
    };
    assert!(known.is_fresh(1, FRESH - Duration::from_millis(1)));
    assert!(!known.is_fresh(1, FRESH));
}

#[test]
fn while_documents_come_in_a_stream_renewing_takes_a_tenth_of_the_time_at_most() {
    let known = Known {
        profiles: Arc::default(),
        changes: 1,
        made: Instant::now(),
        took: Duration::from_secs(1),
    };
    assert!(known.is_fresh(2, Duration::from_millis(9_999)));
    assert!(!known.is_fresh(2, Duration::from_secs(10)));
}

#[tokio::test]
async fn a_collection_of_too_many_documents_has_no_profiles() {
    let mut test = cache().await;
    test.cache.known.most_documents = 1;
    let first = add_document(&test.test, &test.collection, "a.txt", &[("alpha", 1.0)]).await;
    assert!(test.profiles().await.get(&first).is_some(), "as many as may be");
    let second = add_document(&test.test, &test.collection, "b.txt", &[("beta", 1.0)]).await;
    test.test.store.visibility.show(&test.collection.id, &second);
    let profiles = test.profiles().await;
    assert!(profiles.get(&first).is_none() && profiles.get(&second).is_none());
}

#[tokio::test]
async fn a_collection_that_is_forgotten_is_read_again() {
    let test = cache().await;
    let first = test.profiles().await;
    test.cache.forget(&test.collection.id);
    assert!(test.cache.known_profiles().is_empty());
    assert!(!Arc::ptr_eq(&first, &test.profiles().await));
}
