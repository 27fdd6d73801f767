//! Uploads whose bytes are still coming: written, suspended, resumed over another connection, cancelled from a third.
//!
//! Each has an [`Entry`], and the entry one owner at a time. Whoever works with the bytes takes them out of the entry and
//! puts them back, so that nothing is locked while the disk works; whoever comes later becomes the owner, and waits until
//! they are back. A connection that was lost unnoticed thus never keeps an upload from its client.

use super::Ingest;
use super::reports::UploadReports;
use crate::error::PipelineError;
use crate::ingest::Job;
use crate::ingest::reporter::Reporter;
use crate::ingest::reports::{Ending, NewUpload, PendingIngest, file_name, media_type};
use crate::lifecycle::Lifecycle;
use crate::manage::collections::Collections;
use crate::peers::{Peers, Stop};
use crate::spec::pipelines::Pipelines;
use crate::store::Store;
use crate::store::events::UploadSubscription;
use crate::store::jobs::Jobs;
use bytes::Bytes;
use ibid_auth::{Scope, Subject};
use ibid_catalog::{self as catalog, CatalogError, Creation, NewDocument, UploadStatus};
use ibid_files::{StageOptions, Staging};
use ibid_protocol::{ApiError, ErrorCode, UploadInfo};
use ibid_telemetry::{
    self,
    catalogue::{self, limit},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

/// Bytes after which a resumable upload is made durable and recorded: what a power cut may cost.
const SYNC_EVERY: u64 = 16 << 20;
/// How long whoever wants an upload waits for the one who has it: a write to a busy disk.
const CLAIM: Duration = Duration::from_secs(30);

/// What a resumption has to know, kept in the catalog.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    pub resumable: bool,
    pub metadata: BTreeMap<String, String>,
    pub chunk_size: Option<u64>,
    pub chunk_overlap: Option<u64>,
    /// As the client sent it, to be sent back.
    pub tus_metadata: Option<String>,
}

impl Options {
    pub fn of(record: &catalog::Upload) -> Self {
        Self::deserialize(&record.options).unwrap_or_default()
    }
}

/// Uploads whose bytes are still coming, by identifier.
#[derive(Default)]
pub(crate) struct UploadSessions(Mutex<HashMap<String, Arc<Entry>>>);

impl UploadSessions {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Arc<Entry>>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries().get(id).cloned()
    }

    fn resumable(&self) -> usize {
        self.entries().values().filter(|entry| entry.resumable).count()
    }
}

/// One of them.
pub(crate) struct Entry {
    reporter: Reporter,
    resumable: bool,
    /// Bytes in all, if the client said so.
    size: Option<u64>,
    /// Bytes that are here.
    received: AtomicU64,
    announced: AtomicBool,
    announced_size: AtomicU64,
    state: Mutex<State>,
    /// Somebody put the bytes back.
    back: Notify,
}

struct State {
    /// Rises with every claim; only the newest owner may write.
    owner: u64,
    place: Place,
    /// When anybody last did anything with it.
    touched: Instant,
}

/// Where an upload's bytes are.
enum Place {
    /// Open, for the owner.
    Held(Box<Receiving>),
    /// Somebody works with them.
    Away,
    /// On disk, until somebody resumes the upload.
    Suspended,
    /// The upload has become a document, or nothing.
    Ended,
}

/// The bytes, and what becomes of them.
struct Receiving {
    staging: Box<dyn Staging>,
    record: catalog::Upload,
    metadata: BTreeMap<String, String>,
    place: OwnedSemaphorePermit,
    /// Bytes that are recorded as durable.
    durable: u64,
}

impl Entry {
    fn new(reporter: Reporter, resumable: bool, size: Option<u64>, received: u64, place: Place) -> Arc<Self> {
        Arc::new(Self {
            reporter,
            resumable,
            size,
            received: AtomicU64::new(received),
            announced: AtomicBool::new(false),
            announced_size: AtomicU64::new(0),
            state: Mutex::new(State {
                owner: 0,
                place,
                touched: Instant::now(),
            }),
            back: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Takes the bytes out, if they are `owner`'s.
    fn take(self: &Arc<Self>, owner: u64) -> Result<Work, ApiError> {
        let mut state = self.state();
        if state.owner != owner {
            return Err(taken_over());
        }
        match std::mem::replace(&mut state.place, Place::Away) {
            Place::Held(receiving) => Ok(Work {
                entry: self.clone(),
                receiving: Some(receiving),
                ended: false,
            }),
            other => {
                state.place = other;
                Err(ended())
            }
        }
    }

    /// Becomes the owner, and takes the bytes out as soon as nobody works with them; none are in it while suspended.
    async fn claim(self: &Arc<Self>) -> Result<(u64, Work), ApiError> {
        let owner = {
            let mut state = self.state();
            state.owner += 1;
            state.owner
        };
        let claimed = async {
            loop {
                let back = self.back.notified();
                tokio::pin!(back);
                back.as_mut().enable();
                {
                    let mut state = self.state();
                    if state.owner != owner {
                        return Err(taken_over());
                    }
                    let receiving = match std::mem::replace(&mut state.place, Place::Away) {
                        Place::Held(receiving) => Some(Some(receiving)),
                        Place::Suspended => Some(None),
                        Place::Away => None,
                        Place::Ended => {
                            state.place = Place::Ended;
                            return Err(ended());
                        }
                    };
                    if let Some(receiving) = receiving {
                        let work = Work {
                            entry: self.clone(),
                            receiving,
                            ended: false,
                        };
                        return Ok((owner, work));
                    }
                }
                back.await;
            }
        };
        tokio::time::timeout(CLAIM, claimed)
            .await
            .map_err(|_| ApiError::new(ErrorCode::ServiceUnavailable, "the upload is being written to: try again"))?
    }

    /// Tells subscribers that the upload began, unless they were told.
    fn announce(&self, uploads: &Uploads, size: u64, exact: bool) {
        if !self.announced.swap(true, Ordering::AcqRel) {
            self.announced_size.store(size, Ordering::Release);
            self.reporter.begun(size, exact, &uploads.reports.pace);
        }
    }

    /// What there is to come in all, as far as that is known.
    fn total(&self) -> u64 {
        let known = self.size.unwrap_or_else(|| self.announced_size.load(Ordering::Acquire));
        known.max(self.received())
    }
}

/// An upload's bytes, out of their entry. Dropping it puts them back.
struct Work {
    entry: Arc<Entry>,
    /// `None`: suspended, or used up.
    receiving: Option<Box<Receiving>>,
    ended: bool,
}

impl Drop for Work {
    fn drop(&mut self) {
        let place = match self.receiving.take() {
            _ if self.ended => Place::Ended,
            Some(receiving) => Place::Held(receiving),
            None => Place::Suspended,
        };
        let mut state = self.entry.state();
        state.place = place;
        state.touched = Instant::now();
        drop(state);
        self.entry.back.notify_waiters();
    }
}

/// An upload whose bytes are still coming. Dropping it suspends a resumable one, and cancels any other.
pub struct Upload {
    uploads: Arc<Uploads>,
    entry: Arc<Entry>,
    owner: u64,
}

/// The limits of uploads.
#[derive(Debug, Clone)]
pub(crate) struct UploadLimits {
    /// Largest file, in bytes.
    pub max_bytes: u64,
    /// Resumable uploads that may wait for their bytes.
    pub max_resumable: usize,
    /// How long a suspended upload waits to be resumed.
    pub resumable_expiry: Duration,
}

/// Receives uploads, and makes documents of them.
pub(crate) struct Uploads {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub pipelines: Arc<Pipelines>,
    pub collections: Arc<Collections>,
    pub ingest: Arc<Ingest>,
    pub jobs: Arc<Jobs>,
    pub reports: Arc<UploadReports>,
    pub lifecycle: Lifecycle,
    pub limits: UploadLimits,
    /// The collection of uploads that name none.
    pub default_collection: String,
    /// Permits for uploads, from their first byte to the end of their processing.
    pub permits: Arc<Semaphore>,
    /// Uploads whose bytes are still coming.
    pub sessions: UploadSessions,
}

impl Uploads {
    /// Begins an upload. Fails if no extractor takes the file's type, if it is too large, or if
    /// too many uploads are open. Nobody is told of it before [`Upload::announce`].
    ///
    /// # Errors
    /// `VALIDATION_ERROR`, `UNSUPPORTED_MEDIA_TYPE`, `PAYLOAD_TOO_LARGE`, `SERVICE_UNAVAILABLE`, or a failure of storage.
    pub async fn begin_upload(self: &Arc<Self>, new: NewUpload) -> Result<Upload, ApiError> {
        // Goes on if the caller goes away: what it leaves half-done would have no owner.
        let begun = self.lifecycle.tasks.spawn(self.clone().begin(new).in_current_span());
        begun.await.map_err(|error| PipelineError::from(error).to_api_error("upload"))?
    }

    async fn begin(self: Arc<Self>, new: NewUpload) -> Result<Upload, ApiError> {
        let filename = file_name(&new.filename)?;
        let content_type = media_type(&filename, new.content_type.as_deref());
        if new.size.is_some_and(|size| size > self.limits.max_bytes) {
            return Err(self.too_large());
        }
        let full = || {
            catalogue::refused(limit::OPEN_UPLOADS);
            ApiError::new(
                ErrorCode::ServiceUnavailable,
                "too many uploads are open or waiting: send it again later",
            )
            .with("retry_after", 10)
        };
        if new.resumable && self.sessions.resumable() >= self.limits.max_resumable {
            return Err(full());
        }
        let place = self.permits.clone().try_acquire_owned().map_err(|_| full())?;
        let name = new.collection_name.as_deref().unwrap_or(&self.default_collection);
        let options = Options {
            resumable: new.resumable,
            metadata: new.metadata,
            chunk_size: new.chunk_size,
            chunk_overlap: new.chunk_overlap,
            tus_metadata: new.tus_metadata,
        };
        let begun = async {
            self.store.disk.admit(new.size.unwrap_or(0)).await?;
            let collection = self.collections.collection_for_upload(name).await?;
            // What cannot be taken is told before the bytes come.
            self.lock_of(&collection, &content_type, &options)?;
            let record = self
                .store
                .catalog
                .create_upload(catalog::NewUpload {
                    collection_id: collection.id.clone(),
                    filename: filename.clone(),
                    content_type: content_type.clone(),
                    file_size: new.size,
                    options: serde_json::to_value(&options).unwrap_or_default(),
                })
                .await?;
            let staging = self.open_staging(&record.id, None, options.resumable).await?;
            Ok::<_, PipelineError>((record, staging))
        };
        let (record, staging) = begun.await.map_err(|error| error.to_api_error("upload"))?;
        let reporter = self.reports.reporter(name, &record.id, &filename);
        let id = record.id.clone();
        let receiving = Receiving {
            staging,
            record,
            metadata: options.metadata,
            place,
            durable: 0,
        };
        let entry = Entry::new(reporter, options.resumable, new.size, 0, Place::Held(Box::new(receiving)));
        self.sessions.entries().insert(id, entry.clone());
        Ok(Upload {
            uploads: self,
            entry,
            owner: 0,
        })
    }

    /// Takes up a resumable upload after the bytes that are here, also from whoever has it now.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if its bytes are not coming any more, `CONFLICT` if it is not resumable, or a failure of storage.
    pub async fn resume_upload(self: &Arc<Self>, id: &str) -> Result<Upload, ApiError> {
        self.adopt_upload(id).await.map_err(|error| error.to_api_error("upload"))?;
        let entry = self.sessions.get(id).ok_or_else(|| no_upload(id))?;
        if !entry.resumable {
            return Err(ApiError::new(
                ErrorCode::Conflict,
                "this upload is one request, and ends with it: it cannot be resumed",
            ));
        }
        let (owner, mut work) = entry.claim().await?;
        if work.receiving.is_none() {
            let receiving = self.reopen(id).await.map_err(|error| error.to_api_error("upload"))?;
            entry.received.store(receiving.staging.written(), Ordering::Release);
            work.receiving = Some(receiving);
        }
        entry.reporter.resumed(entry.received());
        // Put back before there is an owner who could want it.
        drop(work);
        Ok(Upload {
            uploads: self.clone(),
            entry,
            owner,
        })
    }

    /// Opens what is on disk of a suspended upload.
    async fn reopen(&self, id: &str) -> Result<Box<Receiving>, PipelineError> {
        let record = self.store.catalog.upload(id).await?;
        let options = Options::of(&record);
        let collection = self.store.catalog.collection_by_id(&record.collection_id).await?;
        self.lock_of(&collection, &record.content_type, &options)?;
        let place = self.permits.clone().try_acquire_owned().map_err(|_| {
            ApiError::new(
                ErrorCode::ServiceUnavailable,
                "too many uploads are open or waiting: resume it later",
            )
        })?;
        let staging = self.open_staging(id, Some(record.bytes_received), true).await?;
        Ok(Box::new(Receiving {
            durable: staging.written(),
            staging,
            record,
            metadata: options.metadata,
            place,
        }))
    }

    /// Makes an upload this server's, wherever its bytes came to before.
    async fn adopt_upload(self: &Arc<Self>, id: &str) -> Result<(), PipelineError> {
        if self.has(id) {
            return Ok(());
        }
        if let Some(upload) = self.peers.take_upload(id).await?
            && Options::of(&upload).resumable
        {
            self.remember(&upload);
        }
        Ok(())
    }

    fn too_large(&self) -> ApiError {
        catalogue::refused(limit::UPLOAD_BYTES);
        let limit = self.limits.max_bytes;
        ApiError::new(
            ErrorCode::PayloadTooLarge,
            format!("the file is larger than this server takes ({limit} bytes)"),
        )
        .with("limit", limit)
    }

    /// What happens to uploads from now on, and where those in flight stand.
    pub fn upload_events(&self) -> UploadSubscription {
        self.store.events.uploads_from_now()
    }

    async fn open_staging(&self, id: &str, resume: Option<u64>, keep: bool) -> Result<Box<dyn Staging>, PipelineError> {
        let options = StageOptions {
            limit: self.limits.max_bytes,
            resume,
            keep,
        };
        Ok(self.store.files.stage(id, options).await?)
    }

    /// What a document of this upload will be made by; fails if nothing reads its type.
    fn lock_of(&self, collection: &catalog::Collection, content_type: &str, options: &Options) -> Result<Value, PipelineError> {
        let resolved = self.pipelines.resolve_collection(collection)?;
        self.pipelines.extractor(&resolved.pipeline, content_type)?;
        let lock = self
            .pipelines
            .lock_for_upload(&resolved, options.chunk_size, options.chunk_overlap)?;
        Ok(serde_json::to_value(&lock).unwrap_or_default())
    }

    /// An upload, for one who may write to it.
    ///
    /// # Errors
    /// `INSUFFICIENT_SCOPE`; `RESOURCE_NOT_FOUND` if there is none, or none that the subject sees.
    pub async fn upload_of(&self, id: &str, subject: &Subject) -> Result<UploadInfo, ApiError> {
        // First, so that the answer does not tell which uploads there are.
        subject.require(Scope::Write)?;
        let info = self.upload_info(id).await?;
        if subject.sees(&info.collection_name) {
            Ok(info)
        } else {
            Err(no_upload(id))
        }
    }

    /// How far an upload is: also one that has ended, for some days.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, or a failure of storage.
    async fn upload_info(&self, id: &str) -> Result<UploadInfo, ApiError> {
        let record = self.store.catalog.upload(id).await.map_err(|error| match error {
            CatalogError::NotFound { .. } => no_upload(id),
            other => PipelineError::from(other).to_api_error("upload"),
        })?;
        let entry = self.sessions.get(id);
        let options = Options::of(&record);
        let expires = match &entry {
            Some(entry) if entry.resumable => {
                let left = self.limits.resumable_expiry.saturating_sub(entry.state().touched.elapsed());
                Some(crate::timestamp::text(OffsetDateTime::now_utc() + left))
            }
            _ => None,
        };
        Ok(UploadInfo {
            bytes_uploaded: match (record.status, entry) {
                (UploadStatus::Receiving, Some(entry)) => entry.received(),
                (UploadStatus::Processing | UploadStatus::Success | UploadStatus::Duplicate, _) => {
                    record.file_size.unwrap_or(record.bytes_received)
                }
                _ => record.bytes_received,
            },
            upload_id: record.id,
            filename: record.filename,
            collection_name: record.collection,
            total_bytes: record.file_size,
            status: record.status.as_str().to_owned(),
            resumable: options.resumable && record.status == UploadStatus::Receiving,
            expires,
            result: record.result,
            tus_metadata: options.tus_metadata,
        })
    }

    /// Ends an upload without a document, whoever has it, also in the middle of processing.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND`, `CONFLICT` if it has ended, or a failure of storage.
    pub async fn cancel_upload(self: &Arc<Self>, id: &str) -> Result<(), ApiError> {
        self.adopt_upload(id).await.map_err(|error| error.to_api_error("upload"))?;
        if let Some(entry) = self.sessions.get(id)
            && let Ok((_, work)) = entry.claim().await
        {
            let uploads = self.clone();
            let ending = self
                .lifecycle
                .tasks
                .spawn(async move { uploads.end(work, Ending::Cancelled).await }.in_current_span());
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

    /// Ends what is done with a document that is not live yet, and removes it.
    async fn cancel_processing(self: &Arc<Self>, document_id: &str) -> Result<(), ApiError> {
        let (uploads, id) = (self.clone(), document_id.to_owned());
        let work = self.lifecycle.tasks.spawn(async move {
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
        work.await
            .map_err(PipelineError::from)
            .and_then(|done| done)
            .map_err(|error| error.to_api_error("upload"))
    }

    /// Drops an upload's bytes and tells its end.
    async fn end(&self, mut work: Work, ending: Ending) {
        let entry = work.entry.clone();
        let id = entry.reporter.upload_id.to_string();
        let removed = match work.receiving.take() {
            Some(receiving) => receiving.staging.discard().await,
            None => self.store.files.discard_staged(&id).await.map(|_| ()),
        };
        if let Err(error) = removed {
            tracing::warn!(upload = id, %error, "staged bytes were not removed");
        }
        entry.announce(self, entry.total(), entry.size.is_some());
        self.sessions.entries().remove(&id);
        work.ended = true;
        drop(work);
        self.reports.end(entry.reporter.clone(), ending).await;
    }

    /// Makes the bytes of an upload durable, and leaves them for whoever resumes it.
    async fn suspend(&self, mut work: Work) {
        let entry = work.entry.clone();
        let Some(mut receiving) = work.receiving.take() else { return };
        // What is not durable now is sent again by whoever resumes it.
        let _ = self.record_received(&entry, &mut receiving).await;
        entry.reporter.tells(entry.received(), entry.total());
        tracing::debug!(upload = &*entry.reporter.upload_id, bytes = entry.received(), "suspended");
        // Closed before somebody else may open them.
        drop(receiving);
        drop(work);
    }

    /// Makes the bytes durable and records how many they are; what keeps it from that is logged here.
    async fn record_received(&self, entry: &Entry, receiving: &mut Receiving) -> Result<(), PipelineError> {
        let id = &receiving.record.id;
        let durable = match receiving.staging.sync().await {
            Ok(durable) => durable,
            Err(error) => {
                tracing::warn!(upload = id, %error, "what has come of an upload was not made durable");
                return Err(error.into());
            }
        };
        // An append whose caller went away may have come to its end meanwhile.
        entry.received.store(durable, Ordering::Release);
        if let Err(error) = self.store.catalog.set_upload_received(id, durable).await {
            tracing::warn!(upload = id, %error, "what has come of an upload was not recorded");
            return Err(error.into());
        }
        receiving.durable = durable;
        Ok(())
    }

    /// Whether an upload's bytes come to this server.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.sessions.get(id).is_some()
    }

    /// Leaves a resumable upload to another server, with all that has come of it.
    pub(crate) async fn release(&self, id: &str) {
        let Some(entry) = self.sessions.get(id).filter(|entry| entry.resumable) else {
            return;
        };
        let Ok((_, mut work)) = entry.claim().await else { return };
        if let Some(mut receiving) = work.receiving.take() {
            // What is not durable now is sent again by whoever goes on.
            let _ = self.record_received(&entry, &mut receiving).await;
        }
        self.sessions.entries().remove(id);
        work.ended = true;
    }

    /// Takes note, at start, of an upload that was suspended; its subscribers are told that it waits.
    pub(crate) fn remember(&self, record: &catalog::Upload) {
        let reporter = self.reports.reporter(&record.collection, &record.id, &record.filename);
        reporter.interrupted();
        let entry = Entry::new(reporter, true, record.file_size, record.bytes_received, Place::Suspended);
        let idle = (OffsetDateTime::now_utc() - record.updated_at).try_into().unwrap_or(Duration::ZERO);
        entry.state().touched = Instant::now().checked_sub(idle).unwrap_or_else(Instant::now);
        entry.announce(self, entry.total(), true);
        entry.reporter.tells(record.bytes_received, entry.total());
        self.sessions.entries().insert(record.id.clone(), entry);
    }

    /// Ends suspended uploads that nobody has resumed for too long; runs until the uploads stops.
    pub(crate) async fn expire(self: Arc<Self>) {
        let expiry = self.limits.resumable_expiry;
        let pause = (expiry / 4).clamp(Duration::from_millis(100), Duration::from_secs(600));
        loop {
            if !self.lifecycle.sleep(pause).await {
                return;
            }
            let old: Vec<Arc<Entry>> = self
                .sessions
                .entries()
                .values()
                .filter(|entry| {
                    let state = entry.state();
                    matches!(state.place, Place::Suspended) && state.touched.elapsed() >= expiry
                })
                .cloned()
                .collect();
            for entry in old {
                let Ok((_, work)) = entry.claim().await else { continue };
                tracing::info!(upload = &*entry.reporter.upload_id, "an upload that nobody resumed has expired");
                self.end(work, Ending::Cancelled).await;
            }
        }
    }
}

impl Upload {
    /// The upload's identifier.
    pub fn id(&self) -> &str {
        &self.entry.reporter.upload_id
    }

    /// Bytes that are here.
    pub fn received(&self) -> u64 {
        self.entry.received()
    }

    /// Bytes in all, if the client said so.
    pub fn size(&self) -> Option<u64> {
        self.entry.size
    }

    /// Tells subscribers that the upload began, of `size` bytes (`exact`, or at most); once, however often it is called. Until
    /// then nothing is told of it.
    pub fn announce(&self, size: u64, exact: bool) {
        self.entry.announce(&self.uploads, size, exact);
    }

    /// Tells subscribers how many bytes are here now.
    pub fn tell_received(&self) {
        self.entry.reporter.tells(self.received(), self.entry.total());
    }

    /// Takes the next bytes; returns once they are written. Of bytes that would be too many none is taken.
    ///
    /// # Errors
    /// `PAYLOAD_TOO_LARGE`, `VALIDATION_ERROR` for more than were announced, `CONFLICT` if the upload was cancelled or taken over,
    /// or a failure of storage: then ask [`Upload::received`] before going on.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ApiError> {
        let mut work = self.entry.take(self.owner)?;
        let Some(receiving) = work.receiving.as_mut() else {
            return Err(ended());
        };
        let (entry, uploads) = (&self.entry, &self.uploads);
        let after = entry.received().saturating_add(bytes.len() as u64);
        if after > uploads.limits.max_bytes {
            return Err(uploads.too_large());
        }
        if entry.resumable && entry.size.is_some_and(|size| after > size) {
            return Err(ApiError::validation("file_size", "more bytes came than were announced")
                .with("bytes_uploaded", entry.received())
                .with("total_bytes", entry.size));
        }
        let room = uploads.store.disk.admit(bytes.len() as u64).await;
        room.map_err(|trouble| PipelineError::from(trouble).to_api_error("upload"))?;
        let appended = receiving.staging.append(bytes).await;
        entry.received.store(receiving.staging.written(), Ordering::Release);
        let received = appended.map_err(|error| PipelineError::from(error).to_api_error("upload"))?;
        if entry.announced.load(Ordering::Acquire) {
            entry.reporter.received(received, entry.total(), false);
        }
        if entry.resumable && received.saturating_sub(receiving.durable) >= SYNC_EVERY {
            // What is not durable yet is tried again with what comes next.
            let _ = uploads.record_received(entry, receiving).await;
        }
        Ok(())
    }

    /// Makes what has come durable, so that it may be acknowledged; returns how many bytes that is.
    ///
    /// # Errors
    /// `CONFLICT` if the upload was cancelled or taken over, or a failure of storage.
    pub async fn sync(&mut self) -> Result<u64, ApiError> {
        let mut work = self.entry.take(self.owner)?;
        let Some(receiving) = work.receiving.as_mut() else {
            return Err(ended());
        };
        let recorded = self.uploads.record_received(&self.entry, receiving).await;
        recorded.map_err(|error| error.to_api_error("upload"))?;
        Ok(receiving.durable)
    }

    /// Ends the upload: the bytes are durable when this returns, and the document is on its way.
    ///
    /// # Errors
    /// `CONFLICT` if the upload was cancelled or taken over, `SERVICE_UNAVAILABLE` if it is resumable and the store of files is away, or
    /// the disk cannot be written:
    /// then it waits to be resumed.
    pub async fn finish(self) -> Result<PendingIngest, ApiError> {
        let work = self.entry.take(self.owner)?;
        self.announce(self.entry.total(), true);
        let (uploads, reporter) = (self.uploads.clone(), self.entry.reporter.clone());
        let pending = PendingIngest::of(&reporter);
        // Goes on if the caller goes away.
        let commit = async move { uploads.commit(work).await }.in_current_span();
        let committing = self.uploads.lifecycle.tasks.spawn(ibid_telemetry::trace::carried(commit));
        committing
            .await
            .map_err(|error| PipelineError::from(error).to_api_error("upload"))??;
        Ok(pending)
    }

    /// Ends the upload without a document, for a reason that subscribers are told.
    pub async fn abort(self, reason: ApiError) {
        if let Ok(work) = self.entry.take(self.owner) {
            self.uploads.end(work, Ending::Failed(reason)).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Somebody else's by now, or ended: then there is nothing to do.
        let Ok(work) = self.entry.take(self.owner) else { return };
        let uploads = self.uploads.clone();
        self.uploads.lifecycle.tasks.spawn(async move {
            if work.entry.resumable {
                uploads.suspend(work).await;
            } else {
                uploads.end(work, Ending::Cancelled).await;
            }
        });
    }
}

impl Uploads {
    /// Makes a document of the bytes, or ends the upload with the reason why not.
    ///
    /// # Errors
    /// If neither, because the store of files is away or the disk cannot be written: then a resumable upload waits to be resumed.
    async fn commit(self: Arc<Self>, mut work: Work) -> Result<(), ApiError> {
        let entry = work.entry.clone();
        let Some(receiving) = work.receiving.take() else { return Ok(()) };
        let (id, durable) = (receiving.record.id.clone(), receiving.durable);
        work.ended = true;
        let made = self.make_document(*receiving, &entry).await;
        if let Err(error) = &made
            && entry.resumable
            && (error.is_outage() || self.store.disk.explains(error).await.is_some())
        {
            // Of what was durable the last byte is asked for again: an upload that has all of them is resumed by nobody.
            let kept = durable.min(entry.received().saturating_sub(1));
            if let Err(error) = self.store.catalog.set_upload_received(&id, kept).await {
                tracing::warn!(upload = id, %error, "what is left of an upload was not recorded");
            }
            entry.received.store(kept, Ordering::Release);
            work.ended = false;
            drop(work);
            return made.map_err(|error| error.to_api_error("upload"));
        }
        self.sessions.entries().remove(&id);
        drop(work);
        if let Err(error) = made {
            if entry.resumable
                && let Err(error) = self.store.files.discard_staged(&id).await
            {
                tracing::warn!(upload = id, %error, "staged bytes were not removed");
            }
            self.reports
                .end(entry.reporter.clone(), Ending::Failed(error.to_api_error("upload")))
                .await;
        }
        Ok(())
    }

    async fn make_document(self: &Arc<Self>, receiving: Receiving, entry: &Entry) -> Result<(), PipelineError> {
        let Receiving {
            staging,
            record,
            metadata,
            place,
            ..
        } = receiving;
        let (reporter, received) = (entry.reporter.clone(), staging.written());
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
        let options = Options::of(&record);
        let creation = loop {
            // Its pipeline may have changed while the bytes came, and may until the document is there.
            let collection = self.store.catalog.collection_by_id(&record.collection_id).await?;
            match self.lock_of(&collection, &record.content_type, &options) {
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
                self.ingest.start(Job {
                    document: *document,
                    reporter,
                    place: Some(place),
                });
            }
            Creation::Duplicate(document) => self.reports.end(reporter, Ending::Duplicate(document)).await,
        }
        Ok(())
    }
}

fn no_upload(id: &str) -> ApiError {
    ApiError::new(ErrorCode::ResourceNotFound, "there is no such upload, or it has expired").with("upload_id", id)
}

fn ended() -> ApiError {
    ApiError::new(ErrorCode::Conflict, "the upload has ended")
}

fn taken_over() -> ApiError {
    ApiError::new(ErrorCode::Conflict, "the upload was cancelled, or goes on over another connection")
}
