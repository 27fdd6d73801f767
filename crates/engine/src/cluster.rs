//! Servers over one catalog: what they tell each other, whose work is whose, and how one's work is stopped by another.
//!
//! Work belongs to the server that began it. A server says every few seconds that it is alive, and takes what belongs to servers
//! that do not. What one server's subscribers are told the others tell theirs: events of collections by their numbers, from the
//! catalog's log; events of uploads as they are. Whoever removes something asks the others first to stop what they do with it, and
//! waits until they have, or are dead.
//!
//! Where the catalog is one server's own, nothing of this happens.

use super::engine::Engine;
use super::error::PipelineError;
use super::generation::text_id;
use super::upload::Ending;
use crate::events::UploadNotice;
use async_trait::async_trait;
use ibid_auth::{ApiKey, KeyError, KeyFile, StoredKey};
use ibid_catalog::{CatalogError, Claimed, DocumentRecord, DocumentState, HEARTBEAT, LEASE, Notification, Shared};
use ibid_files::{Exclusion, FileError};
use ibid_index::{CollectionKey, IndexError, VectorIndex};
use ibid_plugin_host::digest_of;
use ibid_protocol::{ApiError, ErrorCode, UploadEvent};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, mpsc};
use tracing::Instrument;

/// Messages that wait to be said; progress that does not find a place is left out.
const OUTBOX: usize = 1_024;
/// What PostgreSQL takes at a time, less what surrounds it.
const LONGEST: usize = 7_000;
/// Bytes of an error's message that is told to other servers' subscribers.
const SHORTENED: usize = 1_000;
/// How often it is looked whether a server that is waited for still lives.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after the catalog could not be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// Rights to files that hold among all servers of a catalog.
pub(super) struct SharedExclusion(pub Arc<Shared>);

#[async_trait]
impl Exclusion for SharedExclusion {
    async fn exclusive(&self, name: &str) -> Result<Box<dyn Send + Sync>, FileError> {
        let held = self.0.exclusive(name).await;
        held.map_err(|error| FileError::away("the catalog", std::io::Error::other(error)))
    }
}

/// What another server does with something that is to be removed, or to go on here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", content = "id", rename_all = "snake_case")]
pub(super) enum Stop {
    /// Processing and re-indexing of a document.
    Document(String),
    /// All that is done with a collection that is being deleted.
    Collection(String),
    /// A re-index, by its collection.
    Reindex(String),
    /// An upload's bytes: they go on elsewhere.
    Upload(String),
}

/// What servers say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Said {
    /// Something happened to an upload.
    Upload { collection: String, event: UploadEvent },
    /// Stop this, then say so.
    Stop { request: String, stop: Stop },
    /// It is stopped.
    Stopped { request: String },
    /// Plugins were installed or removed.
    Plugins,
}

/// A message, and who says it.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    from: String,
    said: Said,
}

/// The other servers, as this one knows them.
pub(super) struct Cluster {
    pub shared: Arc<Shared>,
    /// Requests to stop something, and who has not yet.
    requests: Mutex<HashMap<String, BTreeSet<String>>>,
    answered: Notify,
    outbox: Mutex<Option<mpsc::Receiver<Arc<UploadNotice>>>>,
    /// Since when this server has been known to be alive without a gap.
    alive_since: Mutex<Instant>,
    /// The right to copy API keys from the catalog.
    key_copies: Semaphore,
}

impl Cluster {
    /// The cluster of a catalog that servers share.
    pub fn new(shared: Arc<Shared>, outbox: mpsc::Receiver<Arc<UploadNotice>>) -> Self {
        Self {
            shared,
            requests: Mutex::default(),
            answered: Notify::new(),
            outbox: Mutex::new(Some(outbox)),
            alive_since: Mutex::new(Instant::now()),
            key_copies: Semaphore::new(1),
        }
    }

    /// A way for uploads' events to the other servers.
    pub fn outbox() -> (mpsc::Sender<Arc<UploadNotice>>, mpsc::Receiver<Arc<UploadNotice>>) {
        mpsc::channel(OUTBOX)
    }

    async fn say(&self, said: Said) -> Result<(), PipelineError> {
        let message = Message {
            from: self.shared.server().to_owned(),
            said,
        };
        let text = serde_json::to_string(&message).unwrap_or_default();
        Ok(self.shared.send(&text).await?)
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, HashMap<String, BTreeSet<String>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Whether other servers may be at work on the same collections.
    pub(super) fn is_shared(&self) -> bool {
        self.cluster.is_some()
    }

    /// Joins the other servers: takes what this one's last life left behind, and listens. To be called at start, before anything
    /// is taken up.
    pub(super) async fn join(self: &Arc<Self>, data: &Path) -> Result<(), PipelineError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        cluster.shared.heartbeat().await?;
        self.bury_former_self(data).await?;
        self.sync_plugins().await?;
        let listener = cluster.shared.listen().await?;
        self.share_own_keys().await?;
        self.sync_keys().await?;
        let outbox = cluster.outbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.tasks.spawn(self.clone().listen(listener));
        self.tasks.spawn(self.clone().stay_alive());
        if let Some(outbox) = outbox {
            self.tasks.spawn(self.clone().tell_others(outbox));
        }
        tracing::info!(
            server = cluster.shared.server(),
            others = cluster.shared.others().await?.len(),
            "joined the other servers"
        );
        Ok(())
    }

    /// The server that had this data directory before is dead, however lately it said otherwise: the directory is locked.
    async fn bury_former_self(&self, data: &Path) -> Result<(), PipelineError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let path = data.join("server");
        match tokio::fs::read_to_string(&path).await {
            Ok(former) => cluster.shared.deregister(former.trim()).await?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "work of this server's last life waits until that counts as dead"),
        }
        if let Err(error) = tokio::fs::write(&path, cluster.shared.server()).await {
            tracing::warn!(path = %path.display(), %error, "after a crash this server's work waits until it counts as dead");
        }
        Ok(())
    }

    /// Takes work that nobody does, also from servers that seem dead if this one has been alive for long enough to know.
    pub(super) async fn claim(self: &Arc<Self>) -> Result<(), PipelineError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        // After an outage of the catalog all servers look dead: they are given time to say that they are not.
        let since = *cluster.alive_since.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = cluster.shared.claim(since.elapsed() >= LEASE).await?;
        self.take_over(claimed).await
    }

    async fn take_over(self: &Arc<Self>, claimed: Claimed) -> Result<(), PipelineError> {
        for upload in claimed.uploads {
            if super::reception::Options::of(&upload).resumable {
                self.remember_reception(&upload);
            } else {
                tracing::info!(upload = upload.id, "an upload ended with its server");
                self.files.discard_staged(&upload.id).await?;
                self.end_upload(self.reporter(&upload.collection, &upload.id, &upload.filename), Ending::Cancelled)
                    .await;
            }
        }
        for collection in claimed.deleting_collections {
            let engine = self.clone();
            self.tasks.spawn(
                async move {
                    if let Err(error) = engine.finish_deleting_collection(&collection).await {
                        tracing::error!(collection = collection.name, %error, "a collection was not wholly deleted");
                    }
                }
                .in_current_span(),
            );
        }
        for document in claimed.deleting_documents {
            let engine = self.clone();
            self.tasks.spawn(
                async move {
                    let id = document.id.clone();
                    if let Err(error) = engine.finish_deleting(document).await {
                        tracing::error!(document = id, %error, "a document was not wholly deleted");
                    }
                }
                .in_current_span(),
            );
        }
        if !claimed.documents.is_empty() {
            let uploads = self.uploads_of_documents().await?;
            for document in claimed.documents {
                let upload = uploads.get(&document.id).cloned();
                self.go_on(document, upload);
            }
        }
        for reindex in claimed.reindexes {
            self.go_on_with(reindex);
        }
        Ok(())
    }

    /// Says that this server is alive, and takes what belongs to those that are not; runs until the engine stops.
    async fn stay_alive(self: Arc<Self>) {
        let Some(cluster) = &self.cluster else { return };
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            let beat = async {
                if !cluster.shared.heartbeat().await? {
                    tracing::warn!("this server was silent for so long that others may have taken its work");
                    *cluster.alive_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                }
                self.claim().await
            };
            if let Err(error) = beat.await {
                tracing::warn!(%error, "the catalog was not told that this server is alive");
                *cluster.alive_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
        }
    }

    /// Hears what other servers say; runs until the engine stops.
    async fn listen(self: Arc<Self>, mut listener: ibid_catalog::Listener) {
        let Some(cluster) = &self.cluster else { return };
        loop {
            let heard = tokio::select! {
                () = self.stopping.cancelled() => return,
                received = listener.recv() => received,
            };
            match heard {
                Ok(Notification::Event(seq)) => self.announcements.add_number(seq),
                Ok(Notification::Message(text)) => self.hear(cluster, &text),
                Ok(Notification::ApiKeys) => self.sync_keys_soon(),
                Ok(Notification::Missed) => self.catch_up().await,
                Err(error) => {
                    tracing::warn!(%error, "what other servers say cannot be heard");
                    tokio::select! {
                        () = self.stopping.cancelled() => return,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                    match cluster.shared.listen().await {
                        Ok(again) => {
                            listener = again;
                            self.catch_up().await;
                        }
                        Err(error) => tracing::debug!(%error, "listening again failed"),
                    }
                }
            }
        }
    }

    /// Looks up what may have been said while nobody listened.
    async fn catch_up(self: &Arc<Self>) {
        let newest = self.catalog.events_since(u64::MAX, None, 1).await.map(|replay| replay.last_seq);
        match newest {
            Ok(newest) => self.announcements.add_number(newest),
            Err(error) => tracing::warn!(%error, "the log of events cannot be read"),
        }
        self.sync_plugins_soon();
        self.sync_keys_soon();
    }

    fn hear(self: &Arc<Self>, cluster: &Cluster, text: &str) {
        let message: Message = match serde_json::from_str(text) {
            Ok(message) => message,
            // Of a newer version, most likely.
            Err(error) => return tracing::debug!(%error, "a server said what this one does not understand"),
        };
        if message.from == cluster.shared.server() {
            return;
        }
        match message.said {
            Said::Upload { collection, event } => drop(self.events.repeat_upload(&collection, event)),
            Said::Plugins => self.sync_plugins_soon(),
            Said::Stopped { request } => {
                if let Some(waiting) = cluster.requests().get_mut(&request) {
                    waiting.remove(&message.from);
                }
                cluster.answered.notify_waiters();
            }
            Said::Stop { request, stop } => {
                let engine = self.clone();
                self.tasks.spawn(
                    async move {
                        engine.stop_here(&stop).await;
                        let Some(cluster) = &engine.cluster else { return };
                        if let Err(error) = cluster.say(Said::Stopped { request }).await {
                            tracing::warn!(%error, "another server waits for this one");
                        }
                    }
                    .in_current_span(),
                );
            }
        }
    }

    async fn stop_here(self: &Arc<Self>, stop: &Stop) {
        match stop {
            Stop::Document(id) => {
                self.in_process.stop(id).await;
                self.remaking.stop(id).await;
            }
            Stop::Collection(id) => {
                match self.catalog.deleting_documents(Some(id)).await {
                    Ok(documents) => {
                        for document in documents {
                            self.in_process.stop(&document.id).await;
                        }
                    }
                    Err(error) => tracing::warn!(%error, "documents of a deleted collection end by themselves"),
                }
                self.reindexing.stop(id).await;
                self.forget_collection(id);
            }
            Stop::Reindex(id) => self.reindexing.stop(id).await,
            Stop::Upload(id) => self.release_reception(id).await,
        }
    }

    /// Has every other server stop what it does with something, and waits until they have.
    pub(super) async fn stop_elsewhere(&self, stop: Stop) -> Result<(), PipelineError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let others = cluster.shared.others().await?;
        if others.is_empty() {
            return Ok(());
        }
        let request = uuid::Uuid::new_v4().simple().to_string();
        cluster.requests().insert(request.clone(), others.into_iter().collect());
        let stopped = async {
            cluster
                .say(Said::Stop {
                    request: request.clone(),
                    stop,
                })
                .await?;
            loop {
                let answered = cluster.answered.notified();
                tokio::pin!(answered);
                answered.as_mut().enable();
                if cluster.requests().get(&request).is_none_or(BTreeSet::is_empty) {
                    return Ok::<_, PipelineError>(());
                }
                if tokio::time::timeout(LOOK, answered).await.is_err() {
                    let alive: BTreeSet<String> = cluster.shared.others().await?.into_iter().collect();
                    if let Some(waiting) = cluster.requests().get_mut(&request) {
                        waiting.retain(|server| alive.contains(server));
                    }
                }
            }
        };
        let outcome = stopped.await;
        cluster.requests().remove(&request);
        outcome
    }

    /// Whether a document is still somebody's work, though not this server's any more.
    pub(super) async fn goes_on_elsewhere(&self, document_id: &str) -> bool {
        let state = match self.is_shared() {
            true => self.catalog.document(document_id).await.map(|document| document.state),
            false => return false,
        };
        state.is_ok_and(|state| state.is_processing() || state == DocumentState::Live)
    }

    /// Ends work on a document that another server deletes, or has deleted, and tells whether it is so. What was written of it in a
    /// generation goes in the background: the other one waits for work here, but not for a server that it takes for dead, which may have
    /// been suspended or cut off.
    pub(super) async fn end_if_deleted(self: &Arc<Self>, document: &DocumentRecord, generation: u32, text_generation: u32) -> bool {
        if !self.is_shared() {
            return false;
        }
        match self.catalog.document(&document.id).await {
            Ok(now) if now.state == DocumentState::Deleting => {}
            Err(CatalogError::NotFound { .. }) => {}
            _ => return false,
        }
        let writes = self.in_process.writes(&document.id);
        let (engine, document) = (self.clone(), document.clone());
        self.tasks.spawn(
            async move {
                // What was begun is written to its end, also if the work was stopped.
                writes.close();
                writes.wait().await;
                let removed = tokio::select! {
                    // The next start compares the index and the files with the catalog.
                    () = engine.stopping.cancelled() => return,
                    removed = engine.remove_late_writes(&document, generation, text_generation) => removed,
                };
                if let Err(error) = removed {
                    tracing::error!(document = document.id, %error, "what was written of a document that is deleted was not removed");
                }
            }
            .in_current_span(),
        );
        true
    }

    async fn remove_late_writes(&self, document: &DocumentRecord, generation: u32, text_generation: u32) -> Result<(), PipelineError> {
        // Who deletes it counts what it finds, and may still be about to.
        loop {
            match self.catalog.document(&document.id).await {
                Ok(now) if now.state == DocumentState::Deleting => tokio::time::sleep(LOOK).await,
                Err(CatalogError::NotFound { .. }) => break,
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        let key = CollectionKey::of_generation(&document.collection_id, generation)?;
        let vectors = match self.index.delete_document(&key, &document.id).await {
            Err(IndexError::CollectionNotFound { .. }) => 0,
            removed => removed?,
        };
        self.files.remove_document(&text_id(&document.id, text_generation)).await?;
        tracing::info!(
            document = document.id,
            vectors,
            "nothing is left here of a document that another server has deleted"
        );
        Ok(())
    }

    /// Makes an upload this server's, wherever its bytes came to before.
    pub(super) async fn adopt_upload(self: &Arc<Self>, id: &str) -> Result<(), PipelineError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        if self.has_reception(id) {
            return Ok(());
        }
        self.stop_elsewhere(Stop::Upload(id.to_owned())).await?;
        if let Some(upload) = cluster.shared.take_upload(id).await?
            && super::reception::Options::of(&upload).resumable
        {
            self.remember_reception(&upload);
        }
        Ok(())
    }

    /// Waits for queries of other servers that may still use what was replaced.
    pub(super) async fn wait_for_others(&self, most: Duration) {
        let Some(cluster) = &self.cluster else { return };
        if cluster.shared.others().await.is_ok_and(|others| others.is_empty()) {
            return;
        }
        tokio::time::sleep(most).await;
    }

    /// Tells the other servers what happens to this one's uploads; runs until the engine stops.
    async fn tell_others(self: Arc<Self>, mut outbox: mpsc::Receiver<Arc<UploadNotice>>) {
        let Some(cluster) = &self.cluster else { return };
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                taken = outbox.recv_many(&mut batch, OUTBOX) => if taken == 0 { return },
            }
            for notice in newest(batch.drain(..)) {
                let said = Said::Upload {
                    collection: notice.collection.clone(),
                    event: shortened(notice.event.clone()),
                };
                if let Err(error) = cluster.say(said).await {
                    tracing::debug!(%error, "other servers were not told of an upload");
                }
            }
        }
    }

    fn sync_plugins_soon(self: &Arc<Self>) {
        let engine = self.clone();
        let work = async move { engine.sync_plugins().await };
        self.soon(work, "plugins that other servers installed or removed are not as they are there");
    }

    fn sync_keys_soon(self: &Arc<Self>) {
        let engine = self.clone();
        let work = async move { engine.sync_keys().await };
        self.soon(work, "API keys that were made or revoked are not known here");
    }

    /// Does something in the background; `failed` is what is logged where it fails.
    fn soon(&self, work: impl Future<Output = Result<(), PipelineError>> + Send + 'static, failed: &'static str) {
        self.tasks.spawn(
            async move {
                if let Err(error) = work.await {
                    tracing::error!(%error, "{failed}");
                }
            }
            .in_current_span(),
        );
    }

    /// Makes what is installed here what the servers share.
    async fn sync_plugins(self: &Arc<Self>) -> Result<(), PipelineError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let _change = self.plugin_changes.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        let wanted: BTreeSet<String> = cluster.shared.components().await?.into_iter().collect();
        let here = self.installed().clone();
        for digest in wanted.difference(&here) {
            let Some(component) = cluster.shared.component(digest).await? else {
                continue;
            };
            if digest_of(&component) != *digest {
                tracing::error!(digest, "a shared plugin is not what it is called");
                continue;
            }
            self.take_component(component).await?;
        }
        for digest in here.difference(&wanted) {
            self.drop_component(digest).await;
        }
        if wanted != here {
            self.forget_pipelines();
        }
        Ok(())
    }

    /// The copy of the shared API keys that this server checks credentials by.
    fn key_file(&self) -> KeyFile {
        KeyFile::in_data_dir(&self.settings.data_dir)
    }

    /// API keys that were made before this server shared a catalog become all servers'.
    async fn share_own_keys(&self) -> Result<(), PipelineError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let file = self.key_file();
        let own = tokio::task::spawn_blocking(move || file.own()).await?.map_err(unusable_keys)?;
        for stored in own {
            let ApiKey { id, name, .. } = &stored.key;
            if !cluster.shared.add_api_key(id, name, &stored.to_text()).await? {
                tracing::error!(
                    name,
                    "an API key of this server is gone: the servers share another one of that name"
                );
            }
        }
        Ok(())
    }

    /// Makes this server's API keys those that the servers share.
    async fn sync_keys(&self) -> Result<(), PipelineError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        // One at a time, so that what was read first is not written last.
        let _right = cluster.key_copies.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        let mut keys = Vec::new();
        for text in cluster.shared.api_keys().await? {
            match StoredKey::parse(&text) {
                Ok(key) => keys.push(key),
                // Of a newer version, most likely.
                Err(issue) => tracing::error!(issue, "a shared API key cannot be understood"),
            }
        }
        let file = self.key_file();
        tokio::task::spawn_blocking(move || file.copy(keys)).await?.map_err(unusable_keys)
    }

    /// Shares what was installed or removed here.
    pub(super) async fn share_plugin(&self, added: Option<(&str, &[u8])>, removed: Option<&str>) -> Result<(), PipelineError> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        if let Some((digest, component)) = added {
            cluster.shared.add_component(digest, component).await?;
        }
        if let Some(digest) = removed {
            cluster.shared.remove_component(digest).await?;
        }
        cluster.say(Said::Plugins).await
    }

    /// Leaves the other servers: what this one did is theirs from now on.
    pub(super) async fn leave(&self) {
        if let Some(cluster) = &self.cluster
            && let Err(error) = cluster.shared.leave().await
        {
            tracing::warn!(%error, "other servers go on with this one's work when it counts as dead");
        }
    }
}

fn unusable_keys(error: KeyError) -> PipelineError {
    ApiError::new(ErrorCode::InternalError, error.to_string()).into()
}

/// Of each upload's progress of one kind only the newest, in the order in which they came.
fn newest(notices: impl Iterator<Item = Arc<UploadNotice>>) -> Vec<Arc<UploadNotice>> {
    let mut kept: Vec<Arc<UploadNotice>> = Vec::new();
    let mut seen = HashSet::new();
    let mut all: Vec<_> = notices.collect();
    while let Some(notice) = all.pop() {
        if seen.insert((notice.event.upload_id().to_owned(), std::mem::discriminant(&notice.event))) {
            kept.push(notice);
        }
    }
    kept.reverse();
    kept
}

/// An event that fits into a message.
fn shortened(event: UploadEvent) -> UploadEvent {
    match event {
        UploadEvent::UploadComplete(mut complete) if serde_json::to_string(&complete).map_or(0, |text| text.len()) > LONGEST => {
            if let Some(message) = complete.error.as_mut().and_then(|error| error.get_mut("message"))
                && let Some(text) = message.as_str()
            {
                *message = text.chars().take(SHORTENED).collect::<String>().into();
            }
            complete.message = complete.message.map(|message| message.chars().take(SHORTENED).collect());
            UploadEvent::UploadComplete(complete)
        }
        other => other,
    }
}
