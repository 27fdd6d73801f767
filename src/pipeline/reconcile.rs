//! At start: makes catalog, index and files agree again, and takes up what was unfinished.
//!
//! The catalog decides. What it does not know of goes; what it says is live must be found.

use super::engine::Engine;
use super::error::PipelineError;
use super::ingest::Job;
use super::reception::Options;
use super::upload::Ending;
use crate::catalog::UploadStatus;
use crate::index::{CollectionKey, IndexError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Uploads that ended are remembered this long, for clients that come late to ask how.
const REMEMBER_UPLOADS: time::Duration = time::Duration::days(7);

impl Engine {
    /// Finishes deletions, mends the index, and goes on with documents that are not live yet.
    pub(super) async fn take_up(self: &Arc<Self>) -> Result<(), PipelineError> {
        for collection in self.catalog.deleting_collections().await? {
            self.finish_deleting_collection(&collection).await?;
        }
        for document in self.catalog.deleting_documents(None).await? {
            self.finish_deleting(document).await?;
        }
        self.mend_index().await?;
        self.mend_files().await?;
        self.end_lost_uploads().await?;
        let uploads: BTreeMap<String, crate::catalog::Upload> = self
            .catalog
            .open_uploads()
            .await?
            .into_iter()
            .filter_map(|upload| Some((upload.document_id.clone()?, upload)))
            .collect();
        for document in self.catalog.unfinished().await? {
            tracing::info!(
                document = document.id,
                filename = document.filename,
                state = document.state.as_str(),
                "going on with a document"
            );
            self.visibility.hide(&document.collection_id, &document.id);
            // A document that is indexed again after it was live has no open upload; its own
            // identifier then names the work.
            let upload_id = uploads.get(&document.id).map_or(document.id.as_str(), |upload| upload.id.as_str());
            let reporter = self.reporter(&document.collection, upload_id, &document.filename);
            reporter.begun(document.file_size, true, &self.pace);
            self.ingest(Job {
                document,
                reporter,
                place: None,
            });
        }
        Ok(())
    }

    /// Every collection has its index, with the live documents' chunks and no others.
    async fn mend_index(&self) -> Result<(), PipelineError> {
        let collections = self.catalog.collections().await?;
        for stray in self.index.collections().await? {
            if !collections.iter().any(|collection| collection.id == stray.as_str()) {
                tracing::warn!(collection = %stray, "removing the index of a collection that is gone");
                self.index.drop_collection(&stray).await?;
            }
        }
        for collection in collections {
            let key = CollectionKey::new(&collection.id)?;
            match self.make_index(&collection.id).await {
                // Another model goes by the old one's name: this collection says so when it is used, the others serve.
                Err(PipelineError::Index(error @ IndexError::SchemaMismatch { .. })) => {
                    tracing::error!(collection = collection.name, %error, "a collection is set aside until its model is back");
                    continue;
                }
                other => other?,
            }
            let indexed = match self.index.documents(&key).await {
                Ok(indexed) => indexed,
                Err(error @ IndexError::Corrupt { .. }) => {
                    tracing::error!(collection = collection.name, error = error.detail(), "rebuilding a damaged index");
                    self.index.drop_collection(&key).await?;
                    self.make_index(&collection.id).await?;
                    BTreeMap::new()
                }
                Err(error) => return Err(error.into()),
            };
            let live: BTreeMap<String, u32> = self.catalog.live_chunk_counts(&collection.id).await?.into_iter().collect();
            let unfinished = self.catalog.hidden_documents(&collection.id).await?;
            for stray in indexed.keys().filter(|id| !live.contains_key(*id) && !unfinished.contains(id)) {
                tracing::warn!(document = stray, "removing vectors of a document that is gone");
                self.index.delete_document(&key, stray).await?;
            }
            for (document, chunks) in live {
                if indexed.get(&document).copied().unwrap_or(0) != u64::from(chunks) {
                    tracing::warn!(document, "indexing a document again whose vectors are not all there");
                    self.catalog.reopen(&document).await?;
                }
            }
        }
        Ok(())
    }

    /// Files and texts that no document needs go.
    async fn mend_files(&self) -> Result<(), PipelineError> {
        for shard in 0..=u8::MAX {
            for sha256 in self.files.originals(shard).await? {
                if self.remove_file(&sha256).await? {
                    tracing::warn!(sha256, "removed a file that no document needed");
                }
            }
        }
        for document in self.files.documents().await? {
            let needed = match self.catalog.document(&document).await {
                Ok(record) => record.state.is_processing() || record.state == crate::catalog::DocumentState::Live,
                Err(crate::catalog::CatalogError::NotFound { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            if !needed {
                tracing::warn!(document, "removing a text that no document needs");
                self.files.remove_document(&document).await?;
            }
        }
        Ok(())
    }

    /// Uploads whose bytes were still coming when the server ended wait to be resumed, where they can be; the others ended with
    /// their connection.
    async fn end_lost_uploads(&self) -> Result<(), PipelineError> {
        let mut kept = Vec::new();
        for upload in self.catalog.open_uploads().await? {
            if upload.status != UploadStatus::Receiving {
                continue;
            }
            if Options::of(&upload).resumable {
                self.remember_reception(&upload);
                kept.push(upload.id);
            } else {
                self.end_upload(self.reporter(&upload.collection, &upload.id, &upload.filename), Ending::Cancelled)
                    .await;
            }
        }
        self.files.sweep(&kept).await?;
        self.catalog
            .expire_uploads(time::OffsetDateTime::now_utc() - REMEMBER_UPLOADS)
            .await?;
        Ok(())
    }
}
