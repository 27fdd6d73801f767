//! The durable state of a server: the catalog, the files, the index, and what is known of them in memory.
//!
//! Services share one [`Store`]. It has the operations that keep its parts consistent: publishing an event, removing what was made of a
//! document, waiting for a disk or an index that is away.

pub(crate) mod announcements;
pub(crate) mod disk;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod leases;
pub(crate) mod statistics;
pub(crate) mod visibility;

use crate::error::PipelineError;
use announcements::Announcements;
use disk::Disk;
use events::Events;
use ibid_catalog::{Catalog, CatalogError, CollectionStats as Counts, DocumentRecord, DocumentState, Event, NewEvent};
use ibid_files::FileStore;
use ibid_index::{CollectionKey, RoutedIndex, VectorIndex};
use ibid_protocol::{ApiError, CollectionStats};
use ibid_types::IndexBackend;
use leases::{Leases, of_text, text_id};
use statistics::ChangedStatistics;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use visibility::Visibility;

/// The durable state that all services share.
pub(crate) struct Store {
    /// Collections, documents, chunks, uploads and events.
    pub catalog: Arc<Catalog>,
    /// Originals and extracted texts.
    pub files: Arc<dyn FileStore>,
    /// Vectors.
    pub index: Arc<RoutedIndex>,
    /// The disk of the data directory.
    pub disk: Disk,
    /// Documents that queries must not see.
    pub visibility: Visibility,
    /// Events that are recorded and not published yet.
    pub announcements: Announcements,
    /// The hub that publishes events to subscribers.
    pub events: Arc<Events>,
    /// Collections whose statistics changed and were not published.
    pub statistics: ChangedStatistics,
    /// Who searches which generation of a collection.
    pub leases: Leases,
    /// One permit: to decide which copy of a collection counts. A re-index and a move each begin under it.
    pub placing: Semaphore,
    /// One permit: to make a backup, or to remove what a backup may be reading.
    pub backing_up: Arc<Semaphore>,
}

impl Store {
    /// Puts the parts together, with nothing hidden, leased or waiting.
    pub fn new(catalog: Arc<Catalog>, files: Arc<dyn FileStore>, index: Arc<RoutedIndex>, disk: Disk, events: Arc<Events>) -> Self {
        Self {
            catalog,
            files,
            index,
            disk,
            visibility: Visibility::default(),
            announcements: Announcements::default(),
            events,
            statistics: ChangedStatistics::default(),
            leases: Leases::default(),
            placing: Semaphore::new(1),
            backing_up: Arc::new(Semaphore::new(1)),
        }
    }

    /// Removes a document's vectors, also those that a re-index has made; returns how many queries could find.
    pub async fn remove_vectors(&self, record: &DocumentRecord) -> Result<u64, PipelineError> {
        let running = self.catalog.reindex(&record.collection_id).await?;
        let next = running.map(|reindex| reindex.generation).filter(|next| *next != record.generation);
        let mut found = 0;
        for generation in next.into_iter().chain([record.generation]) {
            let key = CollectionKey::of_generation(&record.collection_id, generation)?;
            found = match self.index.delete_document(&key, &record.id).await {
                Ok(removed) => removed,
                Err(ibid_index::IndexError::CollectionNotFound { .. }) => 0,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(found)
    }

    /// Removes a document's text, and its file if no other document needs it; returns how many
    /// files went.
    pub async fn remove_files(&self, record: &DocumentRecord) -> Result<u64, PipelineError> {
        let next = self.catalog.reindexed_text(&record.id).await?;
        for generation in next.into_iter().chain([record.text_generation]) {
            self.files.remove_document(&text_id(&record.id, generation)).await?;
        }
        Ok(u64::from(self.remove_file(&record.sha256).await?))
    }

    /// Removes a file that no document needs; tells whether it went.
    pub async fn remove_file(&self, sha256: &str) -> Result<bool, PipelineError> {
        // Held, so that an upload of the same bytes does not count on a file that is going.
        let hold = self.files.hold(sha256).await?;
        if self.catalog.file_references(sha256).await? > 0 {
            return Ok(false);
        }
        Ok(self.files.remove(&hold).await?)
    }

    /// Notes that a collection's statistics changed: subscribers are notified within a second.
    pub fn statistics_changed(&self, collection_id: &str) {
        self.statistics.changed(collection_id);
    }

    /// Publishes an event that the catalog has recorded to subscribers, in the order of the log. Never waits.
    pub fn publish(&self, event: Event) {
        self.announcements.add(event);
    }

    /// Records and publishes a collection's present statistics.
    pub async fn publish_statistics_of(&self, collection_id: &str) -> Result<(), PipelineError> {
        let stats = statistics_of(&self.catalog.stats(collection_id).await?);
        let data = serde_json::to_value(&stats).map_err(unwritable)?;
        match self
            .catalog
            .append_event(collection_id, NewEvent::new("collection_stats", data))
            .await
        {
            Ok(event) => self.publish(event),
            // Deleted meanwhile: there is nothing to count.
            Err(CatalogError::CollectionNotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Waits until the index that holds a collection can be used. Comes back at once where it may be.
    pub async fn wait_for_index(&self, collection_id: &str) -> Result<(), PipelineError> {
        let key = CollectionKey::of_generation(collection_id, 0)?;
        if self.index.place(&key) == IndexBackend::Qdrant {
            // An error only says that the engine is gone.
            let _ = self.index.away().wait_for(|away| !away).await;
        }
        Ok(())
    }

    /// Open uploads by the document that they became.
    pub async fn uploads_of_documents(&self) -> Result<BTreeMap<String, String>, PipelineError> {
        let open = self.catalog.open_uploads().await?;
        Ok(open
            .into_iter()
            .filter_map(|upload| Some((upload.document_id?, upload.id)))
            .collect())
    }

    /// Removes texts that no document needs.
    pub async fn remove_unneeded_texts(&self) -> Result<(), PipelineError> {
        for text in self.files.documents().await? {
            let (document, generation) = of_text(&text);
            let needed = match self.catalog.document(document).await {
                Ok(record) if record.state.is_processing() || record.state == DocumentState::Live => {
                    record.text_generation == generation || self.catalog.reindexed_text(document).await? == Some(generation)
                }
                Ok(_) | Err(CatalogError::NotFound { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            if !needed {
                tracing::info!(text, "removing a text that no document needs");
                self.files.remove_document(&text).await?;
            }
        }
        Ok(())
    }
}

/// A failure to write a value as JSON, logged here.
pub(crate) fn unwritable(error: serde_json::Error) -> PipelineError {
    tracing::error!(%error, "a value could not be written as JSON");
    ApiError::new(ibid_protocol::ErrorCode::InternalError, "a value could not be written as JSON").into()
}

/// Returns a collection's counts as the protocol has them.
pub(crate) fn statistics_of(counts: &Counts) -> CollectionStats {
    CollectionStats {
        total_documents: counts.documents,
        total_chunks: counts.chunks,
        storage_size_mb: (counts.file_bytes + counts.text_bytes) as f64 / 1e6,
        last_updated: crate::timestamp::now(),
    }
}
