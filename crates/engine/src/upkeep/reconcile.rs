//! The repair at start: makes the catalog, the index and the files consistent, and continues unfinished work.
//!
//! The catalog decides. What it does not know is removed; what it says is live must be in the index.

use super::Upkeep;
use crate::error::PipelineError;
use crate::ingest::reports::Ending;
use crate::ingest::uploads::UploadOptions;
use crate::manage::placement::touches;
use futures_util::stream::{self, StreamExt};
use ibid_catalog::{CatalogError, DocumentState, ReindexStatus, Upload, UploadStatus};
use ibid_index::{CollectionKey, IndexError, VectorIndex};
use ibid_protocol::{ApiError, ErrorCode};
use ibid_types::IndexBackend;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parts of the file store that are listed at the same time.
const CONCURRENT_LISTS: usize = 16;
/// How long the state of an upload that ended can still be requested.
const KEEP_ENDED_UPLOADS: time::Duration = time::Duration::days(7);

impl Upkeep {
    /// Finishes deletions, repairs the embedded index, and continues documents that are not live yet and moves. Collections in a Qdrant server
    /// are repaired when it can be reached, which the start does not wait for: see [`watch_remote`](Self::watch_remote).
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), PipelineError> {
        if self.peers.is_shared() {
            return self.resume_shared().await;
        }
        self.placement.load_places().await?;
        self.mend(IndexBackend::Embedded).await?;
        self.unfinished.resume_reindexes().await?;
        self.mend_files().await?;
        self.end_lost_uploads().await?;
        let uploads = self.store.uploads_of_documents().await?;
        for document in self.store.catalog.unfinished().await? {
            let upload = uploads.get(&document.id).cloned();
            self.unfinished.resume_document(document, upload);
        }
        for collection in self.store.catalog.collections().await? {
            self.placement.go_on_moving(collection);
        }
        Ok(())
    }

    /// As [`resume`](Self::resume), where other servers share the catalog: their work is left to them. The index is compared with the catalog
    /// when the Qdrant server can be reached.
    async fn resume_shared(self: &Arc<Self>) -> Result<(), PipelineError> {
        self.placement.load_places().await?;
        for document in self.store.catalog.unfinished().await? {
            self.store.visibility.hide(&document.collection_id, &document.id);
        }
        self.unfinished.resume_reindexes().await?;
        self.mend_files().await?;
        let open = self.store.catalog.open_uploads().await?;
        self.store
            .files
            .sweep(&open.into_iter().map(|upload| upload.id).collect::<Vec<_>>())
            .await?;
        self.expire_uploads().await
    }

    /// Finishes deletions in one index, and makes it hold what the catalog says. May run while documents are added and deleted. Documents
    /// whose vectors are missing are indexed again.
    pub(crate) async fn mend(self: &Arc<Self>, place: IndexBackend) -> Result<(), PipelineError> {
        self.rebuild_damaged(place).await?;
        self.finish_deletions(place).await?;
        self.remove_stray_copies(place).await?;
        self.mend_index(place).await
    }

    /// Creates indexes anew that cannot be opened. Their vectors are made again by [`mend_index`](Self::mend_index), or by the re-index that
    /// they belong to.
    async fn rebuild_damaged(&self, place: IndexBackend) -> Result<(), PipelineError> {
        let here = self.store.catalog.collections().await?.into_iter();
        for collection in here.filter(|collection| collection.place == place) {
            let key = CollectionKey::of_generation(&collection.id, collection.generation)?;
            match self.collections.make_index(&collection).await {
                Err(PipelineError::Index(error @ IndexError::Corrupt { .. })) => {
                    tracing::error!(collection = collection.name, error = error.detail(), "rebuilding a damaged index");
                    self.store.index.drop_collection(&key).await?;
                    self.collections.make_index(&collection).await?;
                }
                // `mend_index` reports it.
                Err(PipelineError::Index(IndexError::SchemaMismatch { .. })) => {}
                other => other?,
            }
            let next = self.store.catalog.reindex(&collection.id).await?;
            if let Some(next) = next.filter(|next| next.status == ReindexStatus::Running) {
                let key = CollectionKey::of_generation(&collection.id, next.generation)?;
                if let Err(IndexError::Corrupt { .. }) = self.store.index.count(&key, None).await {
                    self.store.index.drop_collection(&key).await?;
                }
            }
        }
        Ok(())
    }

    /// Finishes interrupted deletions in one index.
    pub(crate) async fn finish_deletions(self: &Arc<Self>, place: IndexBackend) -> Result<(), PipelineError> {
        // Where servers share the catalog, each finishes the deletions that it has claimed.
        if self.peers.is_shared() {
            return Ok(());
        }
        let remote = place == IndexBackend::Qdrant;
        for collection in self.store.catalog.deleting_collections().await? {
            if touches(&collection, IndexBackend::Qdrant) == remote {
                for document in self.store.catalog.deleting_documents(Some(&collection.id)).await? {
                    self.store.visibility.hide(&collection.id, &document.id);
                }
                self.collections.finish_deleting_collection(&collection).await?;
            }
        }
        for document in self.store.catalog.deleting_documents(None).await? {
            let collection = self.store.catalog.collection_by_id(&document.collection_id).await?;
            if touches(&collection, IndexBackend::Qdrant) == remote {
                self.documents.finish_deleting(document).await?;
            }
        }
        Ok(())
    }

    /// Removes from one index the collections that are kept elsewhere and are not moving there, and the generations that are not used.
    async fn remove_stray_copies(&self, place: IndexBackend) -> Result<(), PipelineError> {
        let index = self.store.index.at(place)?;
        for key in index.collections().await? {
            // No move may begin between the check and the removal.
            let _right = self.store.placing.acquire().await.map_err(|_| PipelineError::Abandoned)?;
            let (collection, generation) = key.parts();
            match self.store.catalog.collection_by_id(collection).await {
                Ok(collection) if touches(&collection, place) => {
                    let next = self.store.catalog.reindex(&collection.id).await?;
                    let next = next
                        .filter(|next| next.status == ReindexStatus::Running)
                        .map(|next| next.generation);
                    // A generation that was replaced while the server runs is removed by the re-index that replaced it.
                    let replaced = self.store.leases.is_used(&key);
                    if generation != collection.generation && Some(generation) != next && !replaced {
                        tracing::warn!(collection = collection.name, generation, "removing a generation that no query uses");
                        index.drop_collection(&key).await?;
                    }
                }
                Ok(collection) => {
                    tracing::warn!(collection = collection.name, %place, "removing a copy of a collection that is kept elsewhere");
                    index.drop_collection(&key).await?;
                }
                Err(CatalogError::CollectionNotFound(_)) if place == IndexBackend::Embedded => {
                    tracing::warn!(collection = %key, "removing the index of a collection that does not exist");
                    index.drop_collection(&key).await?;
                }
                // The Qdrant server may have other users, and a crash leaves nothing there that the catalog does not know.
                Err(CatalogError::CollectionNotFound(_)) => {
                    tracing::warn!(collection = %key, "Qdrant has a collection with this server's prefix that is not in its catalog; it is left alone");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes every collection's index hold the chunks of its live documents and no others.
    async fn mend_index(self: &Arc<Self>, place: IndexBackend) -> Result<(), PipelineError> {
        for collection in self.store.catalog.collections().await? {
            if collection.place != place {
                continue;
            }
            let key = CollectionKey::of_generation(&collection.id, collection.generation)?;
            match self.collections.make_index(&collection).await {
                // Another model has the old one's name: requests to this collection say so, the others work.
                Err(PipelineError::Index(error @ IndexError::SchemaMismatch { .. })) => {
                    tracing::error!(collection = collection.name, %error, "a collection is set aside until its model is back");
                    continue;
                }
                other => other?,
            }
            // Its documents could not be indexed again now: its model or a plugin is missing, or is another one.
            if let Err(error) = self.pipelines.check_collection(&collection) {
                tracing::error!(collection = collection.name, %error, "a collection is set aside until its pipeline runs again");
                continue;
            }
            let indexed = match self.store.index.documents(&key).await {
                Ok(indexed) => indexed,
                Err(error @ IndexError::Corrupt { .. }) => {
                    tracing::error!(collection = collection.name, error = error.detail(), "rebuilding a damaged index");
                    self.store.index.drop_collection(&key).await?;
                    self.collections.make_index(&collection).await?;
                    BTreeMap::new()
                }
                Err(error) => return Err(error.into()),
            };
            // In this order: a document that becomes live meanwhile is in the second list if it is not in the first.
            let unfinished = self.store.catalog.hidden_documents(&collection.id).await?;
            let live: BTreeMap<String, u32> = self.store.catalog.live_chunk_counts(&collection.id).await?.into_iter().collect();
            for stray in indexed.keys().filter(|id| !live.contains_key(*id) && !unfinished.contains(id)) {
                tracing::warn!(document = stray, "removing vectors of a document that does not exist");
                self.store.index.delete_document(&key, stray).await?;
            }
            for (document, chunks) in live {
                if indexed.get(&document).copied().unwrap_or(0) == u64::from(chunks) {
                    continue;
                }
                // It may have become live after its vectors were counted.
                if self.store.index.count(&key, Some(&document)).await? == u64::from(chunks) {
                    continue;
                }
                if self.store.catalog.reopen(&document).await? {
                    tracing::warn!(document, "indexing a document again whose vectors are missing");
                    if place == IndexBackend::Qdrant {
                        self.unfinished.resume_document(self.store.catalog.document(&document).await?, None);
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes files and texts that no document needs.
    async fn mend_files(&self) -> Result<(), PipelineError> {
        // With an object store, each list waits for the network.
        let shards = stream::iter(0..=u8::MAX)
            .map(|shard| self.store.files.originals(shard))
            .buffered(CONCURRENT_LISTS);
        let mut shards = std::pin::pin!(shards);
        while let Some(shard) = shards.next().await {
            for sha256 in shard? {
                if self.store.remove_file(&sha256).await? {
                    tracing::warn!(sha256, "removed a file that no document needed");
                }
            }
        }
        self.store.remove_unneeded_texts().await
    }

    /// Keeps resumable uploads whose bytes were still coming when the server stopped, and ends the others as cancelled. Records the end of
    /// uploads whose documents ended without a record.
    async fn end_lost_uploads(&self) -> Result<(), PipelineError> {
        let mut kept = Vec::new();
        for upload in self.store.catalog.open_uploads().await? {
            let ending = match upload.status {
                UploadStatus::Receiving if UploadOptions::of(&upload).resumable => {
                    self.uploads.remember(&upload);
                    kept.push(upload.id);
                    continue;
                }
                UploadStatus::Receiving => Some(Ending::Cancelled),
                _ => self.ending_of(&upload).await?,
            };
            if let Some(ending) = ending {
                let reporter = self.reports.reporter(&upload.collection, &upload.id, &upload.filename);
                // How long it took is unknown.
                reporter.interrupted();
                self.reports.end(reporter, ending).await;
            }
        }
        self.store.files.sweep(&kept).await?;
        self.expire_uploads().await
    }

    async fn expire_uploads(&self) -> Result<(), PipelineError> {
        let before = time::OffsetDateTime::now_utc() - KEEP_ENDED_UPLOADS;
        self.store.catalog.expire_uploads(before).await?;
        Ok(())
    }

    /// Returns how an upload that is recorded as processing has ended; `None` while its document is being processed.
    async fn ending_of(&self, upload: &Upload) -> Result<Option<Ending>, PipelineError> {
        let Some(id) = &upload.document_id else { return Ok(None) };
        Ok(match self.store.catalog.document(id).await {
            Ok(document) if document.state == DocumentState::Live => Some(Ending::Live(Box::new(document))),
            Ok(document) if document.state == DocumentState::Failed => {
                let (code, message) = document.error.map(|error| (error.code, error.message)).unwrap_or_default();
                let code = ErrorCode::parse(&code).unwrap_or(ErrorCode::ProcessingError);
                Some(Ending::Failed(ApiError::new(code, message)))
            }
            Ok(_) => None,
            Err(CatalogError::NotFound { .. }) => Some(Ending::Cancelled),
            Err(error) => return Err(error.into()),
        })
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
