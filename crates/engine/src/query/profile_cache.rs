//! Keeps the profiles of collections' documents, and renews them when documents come and go.

use crate::error::PipelineError;
use crate::query::profile::{Profile, Profiles};
use crate::spec::pipelines::Resolved;
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
/// How long profiles are taken for true: another server over the same catalog may have changed its documents.
const FRESH: Duration = Duration::from_secs(30);
/// Share of the time that renewing may take while documents come in a stream.
const SHARE: u32 = 10;

/// The profiles of the collections that were searched.
#[derive(Default)]
pub struct KnownProfiles(Mutex<HashMap<String, Known>>);

#[derive(Clone)]
struct Known {
    profiles: Arc<Profiles>,
    /// How many changes there had been.
    changes: u64,
    made: Instant,
    took: Duration,
}

impl Known {
    fn holds(&self, changes: u64) -> bool {
        let age = self.made.elapsed();
        age < FRESH && (self.changes == changes || age < self.took * SHARE)
    }
}

/// The profiles of the documents of each collection that was searched.
pub(crate) struct ProfileCache {
    pub store: Arc<Store>,
    pub known: KnownProfiles,
}

impl ProfileCache {
    /// What the documents of a collection are called.
    pub(crate) async fn profiles(&self, resolved: &Resolved) -> Result<Arc<Profiles>, PipelineError> {
        // Read before the documents: what changes meanwhile is found the next time.
        let changes = self.store.visibility.changes();
        let known = self.known_profiles().get(&resolved.collection_id).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.holds(changes)) {
            return Ok(known.profiles.clone());
        }
        let start = Instant::now();
        let before = known.map(|known| known.profiles).unwrap_or_default();
        let profiles = Arc::new(self.read_profiles(resolved, &before).await?);
        let known = Known {
            profiles: profiles.clone(),
            changes,
            made: Instant::now(),
            took: start.elapsed(),
        };
        self.known_profiles().insert(resolved.collection_id.clone(), known);
        Ok(profiles)
    }

    /// Forgets a collection that is gone.
    pub(crate) fn forget(&self, collection_id: &str) {
        self.known_profiles().remove(collection_id);
    }

    fn known_profiles(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_profiles(&self, resolved: &Resolved, before: &Profiles) -> Result<Profiles, PipelineError> {
        let mut documents: Vec<(String, Profile)> = Vec::new();
        loop {
            let query = DocumentQuery {
                collection_ids: Some(vec![resolved.collection_id.clone()]),
                states: vec![DocumentState::Live],
                limit: PAGE,
                offset: documents.len() as u64,
                ..DocumentQuery::default()
            };
            let page = self.store.catalog.list_documents(&query).await?;
            if page.total > MOST_DOCUMENTS {
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
