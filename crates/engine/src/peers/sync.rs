//! Acts on what peers send: takes over work, stops work, and keeps plugins and API keys the same at every server.

use super::Stop;
use super::cluster::{Cluster, PeerMessage};
use crate::error::PipelineError;
use crate::ingest::Ingest;
use crate::ingest::reindex::Reindexer;
use crate::ingest::reports::{Ending, UploadReports};
use crate::ingest::uploads::{UploadOptions, Uploads};
use crate::lifecycle::Lifecycle;
use crate::manage::collections::Collections;
use crate::manage::documents::Documents;
use crate::manage::plugins::Plugins;
use crate::spec::pipelines::Pipelines;
use crate::store::Store;
use crate::store::events::UploadNotice;
use crate::store::jobs::Jobs;
use ibid_auth::{ApiKey, KeyError, KeyFile, StoredKey};
use ibid_catalog::Claimed;
use ibid_plugin_host::digest_of;
use ibid_protocol::{ApiError, ErrorCode};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tracing::Instrument;

/// What this server does for its peers.
pub(crate) struct PeerSync {
    /// The other servers.
    pub cluster: Arc<Cluster>,
    pub store: Arc<Store>,
    pub lifecycle: Lifecycle,
    pub jobs: Arc<Jobs>,
    pub pipelines: Arc<Pipelines>,
    pub plugins: Arc<Plugins>,
    pub collections: Arc<Collections>,
    pub documents: Arc<Documents>,
    pub reports: Arc<UploadReports>,
    pub uploads: Arc<Uploads>,
    pub ingest: Arc<Ingest>,
    pub reindexer: Arc<Reindexer>,
    /// The data directory, whose file `server` names the server that last used it.
    pub data_dir: PathBuf,
    /// One permit: to copy API keys from the catalog.
    pub key_copies: Semaphore,
}

impl PeerSync {
    /// Joins the other servers: takes over what this one's last run left behind, and listens. To be called at start, before any
    /// work is resumed.
    pub async fn join(self: &Arc<Self>, outbox: mpsc::Receiver<Arc<UploadNotice>>) -> Result<(), PipelineError> {
        let cluster = &self.cluster;
        cluster.shared.heartbeat().await?;
        self.deregister_last_run(&self.data_dir).await?;
        self.sync_plugins().await?;
        let messages = cluster.listen(&self.lifecycle).await?;
        self.share_own_keys().await?;
        self.sync_keys().await?;
        self.lifecycle.tasks.spawn(self.clone().act_on(messages));
        self.lifecycle
            .tasks
            .spawn(cluster.clone().send_uploads(outbox, self.lifecycle.clone()));
        tracing::info!(
            server = cluster.shared.server(),
            others = cluster.shared.others().await?.len(),
            "joined the other servers"
        );
        Ok(())
    }

    /// Deregisters the server that used this data directory before: the directory is locked, so it is dead whatever its lease says.
    async fn deregister_last_run(&self, data: &Path) -> Result<(), PipelineError> {
        let shared = &self.cluster.shared;
        let path = data.join("server");
        match tokio::fs::read_to_string(&path).await {
            Ok(former) => shared.deregister(former.trim()).await?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "work of this server's last run waits until its lease has expired");
            }
        }
        if let Err(error) = tokio::fs::write(&path, shared.server()).await {
            tracing::warn!(path = %path.display(), %error, "after a crash this server's work waits until its lease has expired");
        }
        Ok(())
    }

    /// Claims the work that no server does, and continues it.
    pub async fn claim(self: &Arc<Self>) -> Result<(), PipelineError> {
        self.take_over(self.cluster.claim().await?).await
    }

    async fn take_over(self: &Arc<Self>, claimed: Claimed) -> Result<(), PipelineError> {
        for upload in claimed.uploads {
            if UploadOptions::of(&upload).resumable {
                self.uploads.remember(&upload);
            } else {
                tracing::info!(upload = upload.id, "an upload ended with its server");
                self.store.files.discard_staged(&upload.id).await?;
                let reporter = self.reports.reporter(&upload.collection, &upload.id, &upload.filename);
                self.reports.end(reporter, Ending::Cancelled).await;
            }
        }
        for collection in claimed.deleting_collections {
            let collections = self.collections.clone();
            self.lifecycle.tasks.spawn(
                async move {
                    if let Err(error) = collections.finish_deleting_collection(&collection).await {
                        tracing::error!(collection = collection.name, %error, "a collection was not wholly deleted");
                    }
                }
                .in_current_span(),
            );
        }
        for document in claimed.deleting_documents {
            let documents = self.documents.clone();
            self.lifecycle.tasks.spawn(
                async move {
                    let id = document.id.clone();
                    if let Err(error) = documents.finish_deleting(document).await {
                        tracing::error!(document = id, %error, "a document was not wholly deleted");
                    }
                }
                .in_current_span(),
            );
        }
        if !claimed.documents.is_empty() {
            let uploads = self.store.uploads_of_documents().await?;
            for document in claimed.documents {
                let upload = uploads.get(&document.id).cloned();
                self.ingest.resume(document, upload);
            }
        }
        for reindex in claimed.reindexes {
            self.reindexer.resume(reindex);
        }
        Ok(())
    }

    /// Acts on messages until the engine stops.
    async fn act_on(self: Arc<Self>, mut messages: mpsc::Receiver<PeerMessage>) {
        loop {
            let message = tokio::select! {
                () = self.lifecycle.stopping.cancelled() => return,
                message = messages.recv() => message,
            };
            let Some(message) = message else { return };
            match message {
                PeerMessage::Event(seq) => self.store.announcements.add_number(seq),
                PeerMessage::Upload { collection, event } => drop(self.store.events.repeat_upload(&collection, event)),
                PeerMessage::PluginsChanged => self.sync_plugins_soon(),
                PeerMessage::ApiKeysChanged => self.sync_keys_soon(),
                PeerMessage::Missed => self.catch_up().await,
                PeerMessage::Claimed(claimed) => {
                    if let Err(error) = self.take_over(*claimed).await {
                        tracing::error!(%error, "work of a dead server was not taken over: the next start does it");
                    }
                }
                PeerMessage::Stop { request, stop } => {
                    let sync = self.clone();
                    self.lifecycle.tasks.spawn(
                        async move {
                            sync.stop_here(&stop).await;
                            if let Err(error) = sync.cluster.stopped(request).await {
                                tracing::warn!(%error, "another server waits for this one's answer");
                            }
                        }
                        .in_current_span(),
                    );
                }
            }
        }
    }

    /// Looks up what may have been sent while this server did not listen.
    async fn catch_up(self: &Arc<Self>) {
        let newest = self
            .store
            .catalog
            .events_since(u64::MAX, None, 1)
            .await
            .map(|replay| replay.last_seq);
        match newest {
            Ok(newest) => self.store.announcements.add_number(newest),
            Err(error) => tracing::warn!(%error, "the log of events cannot be read"),
        }
        self.sync_plugins_soon();
        self.sync_keys_soon();
    }

    async fn stop_here(self: &Arc<Self>, stop: &Stop) {
        match stop {
            Stop::Document(id) => {
                self.jobs.ingesting.stop(id).await;
                self.jobs.reprocessing.stop(id).await;
            }
            Stop::Collection(id) => {
                match self.store.catalog.deleting_documents(Some(id)).await {
                    Ok(documents) => {
                        for document in documents {
                            self.jobs.ingesting.stop(&document.id).await;
                        }
                    }
                    Err(error) => tracing::warn!(%error, "documents of a deleted collection end by themselves"),
                }
                self.jobs.reindexing.stop(id).await;
                self.collections.forget_collection(id);
            }
            Stop::Reindex(id) => self.jobs.reindexing.stop(id).await,
            Stop::Upload(id) => self.uploads.release(id).await,
        }
    }

    fn sync_plugins_soon(self: &Arc<Self>) {
        let sync = self.clone();
        let work = async move { sync.sync_plugins().await };
        self.soon(work, "plugins that other servers installed or removed are not the same here");
    }

    fn sync_keys_soon(self: &Arc<Self>) {
        let sync = self.clone();
        let work = async move { sync.sync_keys().await };
        self.soon(work, "API keys that were made or revoked are not known here");
    }

    /// Does something in the background; `failed` is logged where it fails.
    fn soon(&self, work: impl Future<Output = Result<(), PipelineError>> + Send + 'static, failed: &'static str) {
        self.lifecycle.tasks.spawn(
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
        let shared = &self.cluster.shared;
        let _change = self.pipelines.changes.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        let wanted: BTreeSet<String> = shared.components().await?.into_iter().collect();
        let here = self.plugins.installed().clone();
        for digest in wanted.difference(&here) {
            let Some(component) = shared.component(digest).await? else {
                continue;
            };
            if digest_of(&component) != *digest {
                tracing::error!(digest, "a shared plugin's bytes do not have its digest");
                continue;
            }
            self.plugins.take_component(component).await?;
        }
        for digest in here.difference(&wanted) {
            self.plugins.drop_component(digest).await;
        }
        if wanted != here {
            self.pipelines.forget_all();
        }
        Ok(())
    }

    /// The copy of the shared API keys that this server checks credentials by.
    fn key_file(&self) -> KeyFile {
        KeyFile::in_data_dir(&self.data_dir)
    }

    /// Shares the API keys that were made before this server shared a catalog.
    async fn share_own_keys(&self) -> Result<(), PipelineError> {
        let file = self.key_file();
        let own = tokio::task::spawn_blocking(move || file.own()).await?.map_err(unusable_keys)?;
        for stored in own {
            let ApiKey { id, name, .. } = &stored.key;
            if !self.cluster.shared.add_api_key(id, name, &stored.to_text()).await? {
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
        // One at a time, so that what was read first is not written last.
        let _permit = self.key_copies.acquire().await.map_err(|_| PipelineError::Abandoned)?;
        let mut keys = Vec::new();
        for text in self.cluster.shared.api_keys().await? {
            match StoredKey::parse(&text) {
                Ok(key) => keys.push(key),
                // Of a newer version, most likely.
                Err(issue) => tracing::error!(issue, "a shared API key cannot be understood"),
            }
        }
        let file = self.key_file();
        tokio::task::spawn_blocking(move || file.copy(keys)).await?.map_err(unusable_keys)
    }
}

fn unusable_keys(error: KeyError) -> PipelineError {
    ApiError::new(ErrorCode::InternalError, error.to_string()).into()
}
