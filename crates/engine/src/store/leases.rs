//! Generations of a collection: what the index and the files call them, and who still uses one that was replaced.

use ibid_index::CollectionKey;
use ibid_types::document::{generation_of, in_generation};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Returns how the file store calls the text of a document that was extracted for a generation.
pub fn text_id(document_id: &str, generation: u32) -> String {
    in_generation(document_id, generation)
}

/// Returns the document and the generation of a text.
pub fn of_text(id: &str) -> (&str, u32) {
    generation_of(id)
}

/// The right to search a generation of a collection, for as long as it is held.
pub struct Lease {
    released: CancellationToken,
    _release: DropGuard,
}

/// Who uses which generations.
#[derive(Default)]
pub struct Leases(Mutex<Held>);

#[derive(Default)]
struct Held {
    leases: BTreeMap<CollectionKey, Weak<Lease>>,
    retired: BTreeSet<CollectionKey>,
}

impl Leases {
    /// Returns the right to use a generation; `None` once it is retired.
    pub fn take(&self, key: &CollectionKey) -> Option<Arc<Lease>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.retired.contains(key) {
            return None;
        }
        if let Some(lease) = held.leases.get(key).and_then(Weak::upgrade) {
            return Some(lease);
        }
        let released = CancellationToken::new();
        let lease = Arc::new(Lease {
            _release: released.clone().drop_guard(),
            released,
        });
        held.leases.retain(|_, lease| lease.strong_count() > 0);
        held.leases.insert(key.clone(), Arc::downgrade(&lease));
        Some(lease)
    }

    /// Returns whether somebody has the right to use a generation, or waits for its end.
    pub fn is_used(&self, key: &CollectionKey) -> bool {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retired.contains(key) || held.leases.get(key).is_some_and(|lease| lease.strong_count() > 0)
    }

    /// Gives out no more rights to a generation, and waits until those that were are back, or for `most`.
    pub async fn retire(&self, key: &CollectionKey, most: Duration) {
        let released = {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            held.retired.insert(key.clone());
            held.leases
                .remove(key)
                .and_then(|lease| lease.upgrade())
                .map(|lease| lease.released.clone())
        };
        if let Some(released) = released
            && tokio::time::timeout(most, released.cancelled()).await.is_err()
        {
            tracing::warn!(generation = %key, "a generation is removed that somebody still uses");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_generation() {
        for (generation, name) in [(0, "doc_ab"), (1, "doc_ab-g1"), (12, "doc_ab-g12")] {
            assert_eq!(text_id("doc_ab", generation), name);
            assert_eq!(of_text(name), ("doc_ab", generation));
        }
        assert_eq!(of_text("a-green"), ("a-green", 0));
        let id = uuid::Uuid::now_v7().to_string();
        assert_eq!(CollectionKey::of_generation(&id, 0).unwrap().as_str(), id);
        assert!(CollectionKey::of_generation(&id, u32::MAX).is_ok(), "short enough for the index");
    }

    #[tokio::test]
    async fn a_generation_is_retired_when_the_last_lease_is_back() {
        let leases = Arc::new(Leases::default());
        let key = CollectionKey::of_generation("a", 1).unwrap();
        let (one, two) = (leases.take(&key).unwrap(), leases.take(&key).unwrap());
        let retiring = tokio::spawn({
            let (leases, key) = (leases.clone(), key.clone());
            async move { leases.retire(&key, Duration::from_secs(600)).await }
        });
        while leases.take(&key).is_some() {
            tokio::task::yield_now().await;
        }
        drop(one);
        tokio::task::yield_now().await;
        assert!(!retiring.is_finished(), "somebody still uses it");
        drop(two);
        retiring.await.unwrap();
        assert!(leases.take(&key).is_none());
        assert!(leases.take(&CollectionKey::of_generation("a", 2).unwrap()).is_some());
    }

    #[tokio::test]
    async fn a_generation_is_used_while_a_lease_lives_or_once_it_is_retired() {
        let leases = Leases::default();
        let key = CollectionKey::of_generation("a", 1).unwrap();
        assert!(!leases.is_used(&key));
        let lease = leases.take(&key);
        assert!(leases.is_used(&key));
        drop(lease);
        assert!(!leases.is_used(&key));
        leases.retire(&key, Duration::ZERO).await;
        assert!(leases.is_used(&key), "somebody removes it");
    }

    #[tokio::test]
    async fn a_lease_can_be_taken_again_after_the_last_one_is_back() {
        let leases = Leases::default();
        let key = CollectionKey::of_generation("a", 1).unwrap();
        drop(leases.take(&key).unwrap());
        let (one, two) = (leases.take(&key).unwrap(), leases.take(&key).unwrap());
        assert!(Arc::ptr_eq(&one, &two), "one lease for all");
    }

    #[tokio::test]
    async fn retiring_waits_no_longer_than_it_may() {
        let leases = Leases::default();
        let key = CollectionKey::of_generation("a", 1).unwrap();
        let _lease = leases.take(&key).unwrap();
        leases.retire(&key, Duration::ZERO).await;
        assert!(leases.take(&key).is_none());
    }

    #[tokio::test]
    async fn retiring_a_generation_leaves_others_of_the_collection() {
        let leases = Leases::default();
        let (old, new) = (
            CollectionKey::of_generation("a", 0).unwrap(),
            CollectionKey::of_generation("a", 1).unwrap(),
        );
        let _of_new = leases.take(&new).unwrap();
        leases.retire(&old, Duration::from_secs(600)).await;
        assert!(leases.take(&old).is_none() && leases.take(&new).is_some());
    }
}
