//! How an upload ends: as a document, cancelled, failed, or suspended until it is resumed.

use super::session::{Receiving, TakenBytes, UploadOptions, UploadSession, ended};
use super::{Uploads, no_upload};
use crate::error::PipelineError;
use crate::ingest::Job;
use crate::ingest::reports::Ending;
use crate::peers::Stop;
use ibid_catalog::{CatalogError, Creation, NewDocument, UploadStatus};
use ibid_protocol::{ApiError, ErrorCode};
use ibid_telemetry::catalogue;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing::Instrument;

impl Uploads {
    /// Cancels an upload, whichever connection owns it, also while its document is being processed.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, `CONFLICT` if it has ended, or a failure of storage.
    pub async fn cancel_upload(self: &Arc<Self>, id: &str) -> Result<(), ApiError> {
        self.adopt_upload(id).await.map_err(|error| error.to_api_error("upload"))?;
        if let Some(session) = self.sessions.get(id)
            && let Ok((_, taken)) = session.claim().await
        {
            let uploads = self.clone();
            let ending = self
                .lifecycle
                .tasks
                .spawn(async move { uploads.end(taken, Ending::Cancelled).await }.in_current_span());
            return ending.await.map_err(|error| PipelineError::from(error).to_api_error("upload"));
        }
        let info = self.store.catalog.upload(id).await.map_err(|error| match error {
            CatalogError::NotFound { .. } => no_upload(id),
            other => PipelineError::from(other).to_api_error("upload"),
        })?;
        match (info.status, info.document_id.clone()) {
            (UploadStatus::Processing, Some(document)) => {
                let elsewhere = self.peers.is_shared() && !self.jobs.ingesting.has(&document);
                self.cancel_processing(&document).await?;
                if elsewhere {
                    let reporter = self.reports.reporter(&info.collection, id, &info.filename);
                    self.reports.end(reporter, Ending::Cancelled).await;
                }
                Ok(())
            }
            (UploadStatus::Receiving, _) => Err(ApiError::new(
                ErrorCode::ServiceUnavailable,
                "the upload is just beginning: try again",
            )),
            _ => Err(ended()),
        }
    }

    /// Stops the processing of a document that is not live yet, and removes the document.
    async fn cancel_processing(self: &Arc<Self>, document_id: &str) -> Result<(), ApiError> {
        let (uploads, id) = (self.clone(), document_id.to_owned());
        let removal = self.lifecycle.tasks.spawn(async move {
            uploads.jobs.ingesting.stop(&id).await;
            uploads.peers.stop(Stop::Document(id.clone())).await?;
            let document = uploads.store.catalog.document(&id).await?;
            uploads.store.remove_vectors(&document).await?;
            if !uploads.store.catalog.fail(&id, "CANCELLED", "the upload was cancelled").await? {
                return Err(ended().into());
            }
            uploads.store.remove_files(&document).await?;
            uploads.store.catalog.begin_delete(&id).await?;
            uploads.store.catalog.finish_delete(&id, None).await?;
            uploads.store.visibility.show(&document.collection_id, &id);
            uploads.store.statistics_changed(&document.collection_id);
            Ok::<_, PipelineError>(())
        });
        removal
            .await
            .map_err(PipelineError::from)
            .and_then(|done| done)
            .map_err(|error| error.to_api_error("upload"))
    }

    /// Removes an upload's bytes, and records and publishes how it ended.
    pub(super) async fn end(&self, mut taken: TakenBytes, ending: Ending) {
        let session = taken.session.clone();
        let id = session.reporter.upload_id.to_string();
        let removed = match taken.receiving.take() {
            Some(receiving) => receiving.staging.discard().await,
            None => self.store.files.discard_staged(&id).await.map(|_| ()),
        };
        if let Err(error) = removed {
            tracing::warn!(upload = id, %error, "staged bytes were not removed");
        }
        session.announce(&self.reports.pace, session.total(), session.size.is_some());
        self.sessions.lock().remove(&id);
        taken.ended = true;
        drop(taken);
        self.reports.end(session.reporter.clone(), ending).await;
    }

    /// Makes the bytes of an upload durable and closes them, until a client resumes it.
    pub(super) async fn suspend(&self, mut taken: TakenBytes) {
        let session = taken.session.clone();
        let Some(mut receiving) = taken.receiving.take() else { return };
        // If that fails, the client sends again what is not durable.
        let _ = self.record_received(&session, &mut receiving).await;
        session.reporter.publish_received(session.received(), session.total());
        tracing::debug!(upload = &*session.reporter.upload_id, bytes = session.received(), "suspended");
        // The bytes are closed before another connection can open them.
        drop(receiving);
        drop(taken);
    }

    /// Makes the bytes durable and records how many they are. A failure is logged here.
    pub(super) async fn record_received(&self, session: &UploadSession, receiving: &mut Receiving) -> Result<(), PipelineError> {
        let id = &receiving.record.id;
        let durable = match receiving.staging.sync().await {
            Ok(durable) => durable,
            Err(error) => {
                tracing::warn!(upload = id, %error, "the bytes of an upload were not made durable");
                return Err(error.into());
            }
        };
        // An append whose caller went away may have ended meanwhile.
        session.received.store(durable, Ordering::Release);
        if let Err(error) = self.store.catalog.set_upload_received(id, durable).await {
            tracing::warn!(upload = id, %error, "the number of an upload's bytes was not recorded");
            return Err(error.into());
        }
        receiving.durable = durable;
        Ok(())
    }

    /// Makes a document of the bytes, or ends the upload as failed.
    ///
    /// # Errors
    /// The file store is away or the disk cannot be written: then a resumable upload waits to be resumed.
    pub(super) async fn commit(self: Arc<Self>, mut taken: TakenBytes) -> Result<(), ApiError> {
        let session = taken.session.clone();
        let Some(receiving) = taken.receiving.take() else { return Ok(()) };
        let (id, durable) = (receiving.record.id.clone(), receiving.durable);
        taken.ended = true;
        let made = self.make_document(*receiving, &session).await;
        if let Err(error) = &made
            && session.resumable
            && (error.is_outage() || self.store.disk.explains(error).await.is_some())
        {
            // One byte less than all: no client resumes an upload that has all of its bytes.
            let kept = durable.min(session.received().saturating_sub(1));
            if let Err(error) = self.store.catalog.set_upload_received(&id, kept).await {
                tracing::warn!(upload = id, %error, "the number of an upload's bytes was not recorded");
            }
            session.received.store(kept, Ordering::Release);
            taken.ended = false;
            drop(taken);
            return made.map_err(|error| error.to_api_error("upload"));
        }
        self.sessions.lock().remove(&id);
        drop(taken);
        if let Err(error) = made {
            if session.resumable
                && let Err(error) = self.store.files.discard_staged(&id).await
            {
                tracing::warn!(upload = id, %error, "staged bytes were not removed");
            }
            self.reports
                .end(session.reporter.clone(), Ending::Failed(error.to_api_error("upload")))
                .await;
        }
        Ok(())
    }

    /// Stores the bytes as a file, creates the document, and starts its processing.
    async fn make_document(self: &Arc<Self>, receiving: Receiving, session: &UploadSession) -> Result<(), PipelineError> {
        let Receiving {
            staging,
            record,
            metadata,
            permit,
            ..
        } = receiving;
        let (reporter, received) = (session.reporter.clone(), staging.written());
        if received == 0 {
            staging.discard().await?;
            return Err(ApiError::new(ErrorCode::ProcessingError, format!("`{}` is empty", record.filename)).into());
        }
        reporter.received(received, received, true);
        catalogue::UPLOADED_BYTES.only().increment(received);
        let stored = staging.commit().await?;
        let mut new = NewDocument {
            collection_id: record.collection_id.clone(),
            upload_id: Some(record.id.clone()),
            filename: record.filename.clone(),
            content_type: record.content_type.clone(),
            file_size: stored.size,
            sha256: stored.sha256,
            user_metadata: metadata.into_iter().map(|(key, value)| (key, Value::String(value))).collect(),
            lock: Value::Null,
            revision: 0,
        };
        let options = UploadOptions::of(&record);
        let creation = loop {
            // The pipeline may have changed while the bytes came, and may change until the document is created.
            let collection = self.store.catalog.collection_by_id(&record.collection_id).await?;
            match self.lock_for(&collection, &record.content_type, &options) {
                Err(PipelineError::Moved) => continue,
                lock => new.lock = lock?,
            }
            new.revision = collection.revision;
            match self.store.catalog.create_document(new.clone()).await {
                Err(CatalogError::Outdated) => {}
                creation => break creation?,
            }
        };
        drop(stored.hold);
        match creation {
            Creation::Created(document) => {
                self.store.visibility.hide(&document.collection_id, &document.id);
                self.ingest.clone().start(Job {
                    document: *document,
                    reporter,
                    place: Some(permit),
                });
            }
            Creation::Duplicate(document) => self.reports.end(reporter, Ending::Duplicate(document)).await,
        }
        Ok(())
    }
}
