//! Keeps the profiles of collections' documents, and renews them when documents come and go.

use crate::error::PipelineError;
use crate::query::profile::{Profile, Profiles};
use crate::store::Store;
use crate::store::leases::text_id;
use ibid_catalog::{DocumentQuery, DocumentRecord, DocumentState};
use ibid_types::document::Span;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Documents that are listed in one call of the catalog: its limit.
const PAGE: u32 = 1_000;
/// A collection of more documents is searched without: their profiles would take too much memory, and some 3 KB each.
const MOST_DOCUMENTS: u64 = 10_000;
/// Chunks that make the beginning of a document: about its first page.
const OPENING_CHUNKS: u32 = 3;
/// How long profiles are used at most: another server over the same catalog may have changed its documents.
const FRESH: Duration = Duration::from_secs(30);
/// Profiles that took a second to make are used for so many seconds, however many documents come meanwhile.
const SHARE: u32 = 10;

/// The profiles of the collections that were searched.
pub struct KnownProfiles {
    known: Mutex<HashMap<String, Known>>,
    /// Documents of a collection that profiles are kept of; a collection of more has none.
    pub most_documents: u64,
}

impl Default for KnownProfiles {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            most_documents: MOST_DOCUMENTS,
        }
    }
}

#[derive(Clone)]
struct Known {
    profiles: Arc<Profiles>,
    /// How many changes there had been.
    changes: u64,
    made: Instant,
    took: Duration,
}

impl Known {
    /// Returns whether the profiles may still be used, `age` after they were made.
    fn is_fresh(&self, changes: u64, age: Duration) -> bool {
        age < FRESH && (self.changes == changes || age < self.took * SHARE)
    }
}

/// The profiles of the documents of each collection that was searched.
pub(crate) struct ProfileCache {
    pub store: Arc<Store>,
    pub known: KnownProfiles,
}

impl ProfileCache {
    /// Returns the profiles of a collection's documents.
    pub(crate) async fn profiles(&self, collection_id: &str) -> Result<Arc<Profiles>, PipelineError> {
        // Read before the documents: what changes meanwhile is found the next time.
        let changes = self.store.visibility.changes();
        let known = self.known_profiles().get(collection_id).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.is_fresh(changes, known.made.elapsed())) {
            return Ok(known.profiles.clone());
        }
        let start = Instant::now();
        let before = known.map(|known| known.profiles).unwrap_or_default();
        let profiles = Arc::new(self.read_profiles(collection_id, &before).await?);
        let known = Known {
            profiles: profiles.clone(),
            changes,
            made: Instant::now(),
            took: start.elapsed(),
        };
        self.known_profiles().insert(collection_id.to_owned(), known);
        Ok(profiles)
    }

    /// Forgets a collection that is gone.
    pub(crate) fn forget(&self, collection_id: &str) {
        self.known_profiles().remove(collection_id);
    }

    fn known_profiles(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_profiles(&self, collection_id: &str, before: &Profiles) -> Result<Profiles, PipelineError> {
        let mut documents: Vec<(String, Profile)> = Vec::new();
        loop {
            let query = DocumentQuery {
                collection_ids: Some(vec![collection_id.to_owned()]),
                states: vec![DocumentState::Live],
                limit: PAGE,
                offset: documents.len() as u64,
                ..DocumentQuery::default()
            };
            let page = self.store.catalog.list_documents(&query).await?;
            if page.total > self.known.most_documents {
                return Ok(Profiles::default());
            }
            let last = page.items.len() < PAGE as usize;
            for record in page.items {
                let profile = match before.get(&record.id) {
                    Some(known) => known.clone(),
                    None => Profile::new(&record.filename, &self.opening(&record).await?),
                };
                documents.push((record.id, profile));
            }
            if last {
                return Ok(Profiles::new(documents));
            }
        }
    }

    /// A document's title and first page. Empty for one that is being deleted.
    async fn opening(&self, record: &DocumentRecord) -> Result<String, PipelineError> {
        let mut opening = record.metadata.get("title").cloned().unwrap_or_default();
        let chunks = self.store.catalog.chunks(&record.id, record.generation, 0, OPENING_CHUNKS).await?;
        let spans: Vec<Span> = chunks.iter().map(|chunk| chunk.at).collect();
        for text in self
            .store
            .files
            .read_spans(&text_id(&record.id, record.text_generation), &spans)
            .await
            .unwrap_or_default()
        {
            opening.push('\n');
            opening.push_str(&text);
        }
        Ok(opening)
    }
}

#[cfg(test)]
#[path = "profile_cache_tests.rs"]
mod tests;
