//! At start: makes catalog, index and files agree again, and takes up what was unfinished.
//!
//! The catalog decides. What it does not know of goes; what it says is live must be found.

use super::Upkeep;
use crate::error::PipelineError;
use crate::ingest::reports::Ending;
use crate::ingest::uploads::Options;
use crate::manage::placement::touches;
use futures_util::stream::{self, StreamExt};
use ibid_catalog::{CatalogError, DocumentState, ReindexStatus, Upload, UploadStatus};
use ibid_index::{CollectionKey, IndexError, VectorIndex};
use ibid_protocol::{ApiError, ErrorCode};
use ibid_types::IndexBackend;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parts of the file store that are looked at side by side.
const LOOKS: usize = 16;
/// Uploads that ended are remembered this long, for clients that come late to ask how.
const REMEMBER_UPLOADS: time::Duration = time::Duration::days(7);

impl Upkeep {
    /// Finishes deletions, mends the embedded index, and goes on with documents that are not live yet and with moves. What is in
    /// a Qdrant server is mended when that is there, which the start does not wait for: see
    /// [`watch_remote`](Self::watch_remote).
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<(), PipelineError> {
        if self.peers.is_shared() {
            return self.resume_shared().await;
        }
        self.placement.load_places().await?;
        self.mend(IndexBackend::Embedded).await?;
        self.reindexer.resume_all().await?;
        self.mend_files().await?;
        self.end_lost_uploads().await?;
        let uploads = self.store.uploads_of_documents().await?;
        for document in self.store.catalog.unfinished().await? {
            let upload = uploads.get(&document.id).cloned();
            self.ingest.resume(document, upload);
        }
        for collection in self.store.catalog.collections().await? {
            self.placement.go_on_moving(collection);
        }
        Ok(())
    }

    /// As [`take_up`](Self::take_up), beside other servers: what they do is left to them. The index is compared with the catalog when
    /// the Qdrant server is there.
    async fn resume_shared(self: &Arc<Self>) -> Result<(), PipelineError> {
        self.placement.load_places().await?;
        for document in self.store.catalog.unfinished().await? {
            self.store.visibility.hide(&document.collection_id, &document.id);
        }
        self.reindexer.resume_all().await?;
        self.mend_files().await?;
        let open = self.store.catalog.open_uploads().await?;
        self.store
            .files
            .sweep(&open.into_iter().map(|upload| upload.id).collect::<Vec<_>>())
            .await?;
        self.expire_uploads().await
    }

    /// Finishes deletions in a place, and makes it hold what the catalog says. May run while documents come and go; documents
    /// that have to be indexed again are taken up.
    pub(crate) async fn mend(self: &Arc<Self>, place: IndexBackend) -> Result<(), PipelineError> {
        self.rebuild_damaged(place).await?;
        self.finish_deletions(place).await?;
        self.remove_stray_copies(place).await?;
        self.mend_index(place).await
    }

    /// Makes indexes anew that cannot be opened; what is missing in them is made again by [`mend_index`](Self::mend_index), or by the
    /// re-index that they are of.
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
                // It is told of where that is looked at.
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

    /// Finishes deletions that were broken off, in a place.
    pub(crate) async fn finish_deletions(self: &Arc<Self>, place: IndexBackend) -> Result<(), PipelineError> {
        // Beside other servers deletions are claimed: some of these are theirs.
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

    /// Removes copies of collections that are not, and do not go, where the copy is.
    async fn remove_stray_copies(&self, place: IndexBackend) -> Result<(), PipelineError> {
        let index = self.store.index.at(place)?;
        for key in index.collections().await? {
            // No move may begin between the look and what follows from it.
            let _right = self.store.placing.acquire().await.map_err(|_| PipelineError::Abandoned)?;
            let (collection, generation) = key.parts();
            match self.store.catalog.collection_by_id(collection).await {
                Ok(collection) if touches(&collection, place) => {
                    let next = self.store.catalog.reindex(&collection.id).await?;
                    let next = next
                        .filter(|next| next.status == ReindexStatus::Running)
                        .map(|next| next.generation);
                    // What was replaced while the server runs is removed by whoever replaced it.
                    let replaced = self.store.leases.is_used(&key);
                    if generation != collection.generation && Some(generation) != next && !replaced {
                        tracing::warn!(collection = collection.name, generation, "removing a generation that nobody sees");
                        index.drop_collection(&key).await?;
                    }
                }
                Ok(collection) => {
                    tracing::warn!(collection = collection.name, %place, "removing a copy of a collection that is elsewhere");
                    index.drop_collection(&key).await?;
                }
                Err(CatalogError::CollectionNotFound(_)) if place == IndexBackend::Embedded => {
                    tracing::warn!(collection = %key, "removing the index of a collection that is gone");
                    index.drop_collection(&key).await?;
                }
                // The server may have other users; nothing that a crash leaves behind is unknown to the catalog.
                Err(CatalogError::CollectionNotFound(_)) => {
                    tracing::warn!(collection = %key, "Qdrant has a collection with this server's prefix that is not in its catalog; it is left alone");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Every collection has its index, with the live documents' chunks and no others.
    async fn mend_index(self: &Arc<Self>, place: IndexBackend) -> Result<(), PipelineError> {
        for collection in self.store.catalog.collections().await? {
            if collection.place != place {
                continue;
            }
            let key = CollectionKey::of_generation(&collection.id, collection.generation)?;
            match self.collections.make_index(&collection).await {
                // Another model goes by the old one's name: this collection says so when it is used, the others serve.
                Err(PipelineError::Index(error @ IndexError::SchemaMismatch { .. })) => {
                    tracing::error!(collection = collection.name, %error, "a collection is set aside until its model is back");
                    continue;
                }
                other => other?,
            }
            // Its documents could not be indexed again now: its model or a plugin is missing, or another one.
            if let Err(error) = self.pipelines.resolve_collection(&collection) {
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
            // In this order: what becomes live meanwhile is in the second list if it is not in the first.
            let unfinished = self.store.catalog.hidden_documents(&collection.id).await?;
            let live: BTreeMap<String, u32> = self.store.catalog.live_chunk_counts(&collection.id).await?.into_iter().collect();
            for stray in indexed.keys().filter(|id| !live.contains_key(*id) && !unfinished.contains(id)) {
                tracing::warn!(document = stray, "removing vectors of a document that is gone");
                self.store.index.delete_document(&key, stray).await?;
            }
            for (document, chunks) in live {
                if indexed.get(&document).copied().unwrap_or(0) == u64::from(chunks) {
                    continue;
                }
                // It may have become live since its vectors were counted.
                if self.store.index.count(&key, Some(&document)).await? == u64::from(chunks) {
                    continue;
                }
                if self.store.catalog.reopen(&document).await? {
                    tracing::warn!(document, "indexing a document again whose vectors are not all there");
                    if place == IndexBackend::Qdrant {
                        self.ingest.resume(self.store.catalog.document(&document).await?, None);
                    }
                }
            }
        }
        Ok(())
    }

    /// Files and texts that no document needs go.
    async fn mend_files(&self) -> Result<(), PipelineError> {
        // Where files are elsewhere, each look waits for a network.
        let shards = stream::iter(0..=u8::MAX)
            .map(|shard| self.store.files.originals(shard))
            .buffered(LOOKS);
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

    /// Uploads whose bytes were still coming when the server ended wait to be resumed, where they can be; the others ended with
    /// their connection. Those whose documents came to their end without a note of it get that.
    async fn end_lost_uploads(&self) -> Result<(), PipelineError> {
        let mut kept = Vec::new();
        for upload in self.store.catalog.open_uploads().await? {
            let ending = match upload.status {
                UploadStatus::Receiving if Options::of(&upload).resumable => {
                    self.uploads.remember(&upload);
                    kept.push(upload.id);
                    continue;
                }
                UploadStatus::Receiving => Some(Ending::Cancelled),
                _ => self.ending_of(&upload).await?,
            };
            if let Some(ending) = ending {
                let reporter = self.reports.reporter(&upload.collection, &upload.id, &upload.filename);
                // How long it took is not known.
                reporter.interrupted();
                self.reports.end(reporter, ending).await;
            }
        }
        self.store.files.sweep(&kept).await?;
        self.expire_uploads().await
    }

    async fn expire_uploads(&self) -> Result<(), PipelineError> {
        let before = time::OffsetDateTime::now_utc() - REMEMBER_UPLOADS;
        self.store.catalog.expire_uploads(before).await?;
        Ok(())
    }

    /// How an upload that counts as being processed has ended, if its document is not on its way any more.
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
