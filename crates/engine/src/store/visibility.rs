//! Which documents queries must not see, because they are being added or removed. The catalog decides; this saves searches from asking it
//! first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// Documents that are being added or removed, by collection.
#[derive(Default)]
pub struct Visibility {
    hidden: RwLock<BTreeMap<String, BTreeSet<String>>>,
    changes: AtomicU64,
}

impl Visibility {
    /// Hides a document: before its first chunk is indexed, and before its first is removed.
    pub fn hide(&self, collection_id: &str, document_id: &str) {
        let mut hidden = self.hidden.write().unwrap_or_else(PoisonError::into_inner);
        hidden.entry(collection_id.to_owned()).or_default().insert(document_id.to_owned());
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Shows a document that is complete, or forgets one that is removed.
    pub fn show(&self, collection_id: &str, document_id: &str) {
        let mut hidden = self.hidden.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(documents) = hidden.get_mut(collection_id) {
            documents.remove(document_id);
            if documents.is_empty() {
                hidden.remove(collection_id);
            }
        }
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Notes that another server may have added or removed documents.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Returns how often documents were added or removed, in any collection: what was cached at another count may be outdated.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Returns the hidden documents of a collection, in order.
    pub fn hidden(&self, collection_id: &str) -> Vec<String> {
        let hidden = self.hidden.read().unwrap_or_else(PoisonError::into_inner);
        hidden
            .get(collection_id)
            .map(|documents| documents.iter().cloned().collect())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_documents_are_of_their_collection_and_in_order() {
        let visibility = Visibility::default();
        for (collection, document) in [("a", "2"), ("a", "1"), ("b", "3")] {
            visibility.hide(collection, document);
        }
        assert_eq!(visibility.hidden("a"), ["1", "2"]);
        assert_eq!(visibility.hidden("b"), ["3"]);
        visibility.show("a", "1");
        visibility.show("b", "3");
        assert_eq!(visibility.hidden("a"), ["2"]);
        assert!(visibility.hidden("b").is_empty());
    }

    #[test]
    fn a_document_that_is_hidden_twice_is_shown_by_one_show() {
        let visibility = Visibility::default();
        visibility.hide("a", "1");
        visibility.hide("a", "1");
        visibility.show("a", "1");
        assert!(visibility.hidden("a").is_empty());
        visibility.show("a", "1");
    }

    #[test]
    fn every_change_counts_also_one_at_another_server() {
        let visibility = Visibility::default();
        let steps: [&dyn Fn(); 3] = [&|| visibility.hide("a", "1"), &|| visibility.show("a", "1"), &|| {
            visibility.changed()
        }];
        for step in steps {
            let before = visibility.changes();
            step();
            assert_ne!(visibility.changes(), before);
        }
    }
}
