//! One of several servers over a catalog.
//!
//! Work belongs to the server that began it. A server sends a heartbeat every few seconds, and claims the work of servers that
//! do not. Events of collections reach the other servers by their numbers in the catalog's log, events of uploads as they are. Whoever
//! removes something first asks the others to stop their work on it, and waits until they have, or count as dead.
//!
//! What peers send arrives as a [`PeerMessage`]; [`super::sync`] acts on it.

use super::message::{Content, Message, newest, shortened};
use super::{Peers, Stop};
use crate::error::PipelineError;
use crate::lifecycle::Lifecycle;
use crate::store::events::UploadNotice;
use async_trait::async_trait;
use ibid_catalog::{Claimed, HEARTBEAT, LEASE, Listener, Notification, Shared, Upload};
use ibid_files::{Exclusion, FileError};
use ibid_protocol::UploadEvent;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// Messages that wait to be sent; progress beyond that is left out.
const OUTBOX: usize = 1_024;
/// Messages of peers that wait to be acted on.
const INBOX: usize = 1_024;
/// How often a server that is waited for is checked for its heartbeat.
const CHECK_PEERS: Duration = Duration::from_secs(1);
/// Pause after the catalog could not be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// Exclusive access to files among all servers of a catalog.
pub(crate) struct SharedExclusion(pub Arc<Shared>);

#[async_trait]
impl Exclusion for SharedExclusion {
    async fn exclusive(&self, name: &str) -> Result<Box<dyn Send + Sync>, FileError> {
        let held = self.0.exclusive(name).await;
        held.map_err(|error| FileError::away("the catalog", std::io::Error::other(error)))
    }
}

/// What another server sent, or what its death leaves to this one.
#[derive(Debug)]
pub(crate) enum PeerMessage {
    /// An event of this number is in the catalog's log.
    Event(u64),
    /// An event of an upload at another server.
    Upload {
        /// Name of the collection.
        collection: String,
        /// The event.
        event: UploadEvent,
    },
    /// Work to stop; whoever asked waits for [`Cluster::stopped`].
    Stop {
        /// The request's identifier.
        request: String,
        /// What to stop.
        stop: Stop,
    },
    /// Plugins were installed or removed.
    PluginsChanged,
    /// API keys were made or revoked.
    ApiKeysChanged,
    /// Messages may have been missed: anything may have changed.
    Missed,
    /// Work of dead servers that is this server's now.
    Claimed(Box<Claimed>),
}

/// The other servers over this one's catalog.
pub(crate) struct Cluster {
    /// The shared part of the catalog.
    pub shared: Arc<Shared>,
    /// Requests to stop something, and the servers that have not answered yet.
    requests: Mutex<HashMap<String, BTreeSet<String>>>,
    answered: Notify,
    /// Since when this server's heartbeat has had no gap.
    alive_since: Mutex<Instant>,
}

impl Cluster {
    /// The cluster of a catalog that servers share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            requests: Mutex::default(),
            answered: Notify::new(),
            alive_since: Mutex::new(Instant::now()),
        }
    }

    /// A bounded queue of uploads' events for the other servers.
    pub fn outbox() -> (mpsc::Sender<Arc<UploadNotice>>, mpsc::Receiver<Arc<UploadNotice>>) {
        mpsc::channel(OUTBOX)
    }

    /// Starts to listen, and returns what peers send. Registers this server as alive before it returns.
    pub async fn listen(self: &Arc<Self>, lifecycle: &Lifecycle) -> Result<mpsc::Receiver<PeerMessage>, PipelineError> {
        let listener = self.shared.listen().await?;
        let (sender, receiver) = mpsc::channel(INBOX);
        lifecycle
            .tasks
            .spawn(self.clone().receive(listener, sender.clone(), lifecycle.clone()));
        lifecycle.tasks.spawn(self.clone().send_heartbeats(sender, lifecycle.clone()));
        Ok(receiver)
    }

    /// Sends this server's upload events to the others, until the engine stops.
    pub async fn send_uploads(self: Arc<Self>, mut outbox: mpsc::Receiver<Arc<UploadNotice>>, lifecycle: Lifecycle) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = lifecycle.stopping.cancelled() => return,
                taken = outbox.recv_many(&mut batch, OUTBOX) => if taken == 0 { return },
            }
            for notice in newest(batch.drain(..)) {
                let content = Content::Upload {
                    collection: notice.collection.clone(),
                    event: shortened(notice.event.clone()),
                };
                if let Err(error) = self.send(content).await {
                    tracing::debug!(%error, "an upload's event was not sent to other servers");
                }
            }
        }
    }

    /// Claims the work that no server does, also of servers that seem dead if this one has been alive for long enough to know.
    pub async fn claim(&self) -> Result<Claimed, PipelineError> {
        // After an outage of the catalog every server looks dead: each gets the time of a lease to send a heartbeat.
        let since = *self.alive_since.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.shared.claim(since.elapsed() >= LEASE).await?)
    }

    /// Answers a [`PeerMessage::Stop`]: the work has stopped here.
    pub async fn stopped(&self, request: String) -> Result<(), PipelineError> {
        self.send(Content::Stopped { request }).await
    }

    async fn send(&self, content: Content) -> Result<(), PipelineError> {
        let message = Message {
            from: self.shared.server().to_owned(),
            content,
        };
        let text = serde_json::to_string(&message).unwrap_or_default();
        Ok(self.shared.send(&text).await?)
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, HashMap<String, BTreeSet<String>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restart_lease(&self) {
        *self.alive_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Sends heartbeats and claims dead servers' work, until the engine stops.
    async fn send_heartbeats(self: Arc<Self>, messages: mpsc::Sender<PeerMessage>, lifecycle: Lifecycle) {
        loop {
            if !lifecycle.sleep(HEARTBEAT).await {
                return;
            }
            let claimed = async {
                if !self.shared.heartbeat().await? {
                    tracing::warn!("this server sent no heartbeat for so long that others may have taken its work");
                    self.restart_lease();
                }
                self.claim().await
            };
            match claimed.await {
                Ok(claimed) if is_empty(&claimed) => {}
                Ok(claimed) => {
                    tokio::select! {
                        () = lifecycle.stopping.cancelled() => return,
                        sent = messages.send(PeerMessage::Claimed(Box::new(claimed))) => if sent.is_err() { return },
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "this server's heartbeat did not reach the catalog");
                    self.restart_lease();
                }
            }
        }
    }

    /// Receives what other servers send, until the engine stops.
    async fn receive(self: Arc<Self>, mut listener: Listener, messages: mpsc::Sender<PeerMessage>, lifecycle: Lifecycle) {
        loop {
            let received = tokio::select! {
                () = lifecycle.stopping.cancelled() => return,
                received = listener.recv() => received,
            };
            let message = match received {
                Ok(Notification::Event(seq)) => Some(PeerMessage::Event(seq)),
                Ok(Notification::Message(text)) => self.read(&text),
                Ok(Notification::ApiKeys) => Some(PeerMessage::ApiKeysChanged),
                Ok(Notification::Missed) => Some(PeerMessage::Missed),
                Err(error) => {
                    tracing::warn!(%error, "messages of other servers cannot be received");
                    if !lifecycle.sleep(PAUSE).await {
                        return;
                    }
                    match self.shared.listen().await {
                        Ok(again) => {
                            listener = again;
                            Some(PeerMessage::Missed)
                        }
                        Err(error) => {
                            tracing::debug!(%error, "listening again failed");
                            None
                        }
                    }
                }
            };
            let Some(message) = message else { continue };
            tokio::select! {
                () = lifecycle.stopping.cancelled() => return,
                sent = messages.send(message) => if sent.is_err() { return },
            }
        }
    }

    /// Reads a message; what only the cluster itself has to know goes no further.
    fn read(&self, text: &str) -> Option<PeerMessage> {
        let message: Message = match serde_json::from_str(text) {
            Ok(message) => message,
            // Of a newer version, most likely.
            Err(error) => {
                tracing::debug!(%error, "a message of another server was not understood");
                return None;
            }
        };
        if message.from == self.shared.server() {
            return None;
        }
        match message.content {
            Content::Upload { collection, event } => Some(PeerMessage::Upload { collection, event }),
            Content::Plugins => Some(PeerMessage::PluginsChanged),
            Content::Stop { request, stop } => Some(PeerMessage::Stop { request, stop }),
            Content::Stopped { request } => {
                if let Some(waiting) = self.requests().get_mut(&request) {
                    waiting.remove(&message.from);
                }
                self.answered.notify_waiters();
                None
            }
        }
    }
}

#[async_trait]
impl Peers for Cluster {
    fn is_shared(&self) -> bool {
        true
    }

    async fn stop(&self, stop: Stop) -> Result<(), PipelineError> {
        let others = self.shared.others().await?;
        if others.is_empty() {
            return Ok(());
        }
        let request = uuid::Uuid::new_v4().simple().to_string();
        self.requests().insert(request.clone(), others.into_iter().collect());
        let stopped = async {
            self.send(Content::Stop {
                request: request.clone(),
                stop,
            })
            .await?;
            loop {
                let answered = self.answered.notified();
                tokio::pin!(answered);
                answered.as_mut().enable();
                if self.requests().get(&request).is_none_or(BTreeSet::is_empty) {
                    return Ok::<_, PipelineError>(());
                }
                if tokio::time::timeout(CHECK_PEERS, answered).await.is_err() {
                    let alive: BTreeSet<String> = self.shared.others().await?.into_iter().collect();
                    if let Some(waiting) = self.requests().get_mut(&request) {
                        waiting.retain(|server| alive.contains(server));
                    }
                }
            }
        };
        let outcome = stopped.await;
        self.requests().remove(&request);
        outcome
    }

    async fn wait_for_queries(&self, longest: Duration) {
        if self.shared.others().await.is_ok_and(|others| others.is_empty()) {
            return;
        }
        tokio::time::sleep(longest).await;
    }

    async fn take_upload(&self, id: &str) -> Result<Option<Upload>, PipelineError> {
        self.stop(Stop::Upload(id.to_owned())).await?;
        Ok(self.shared.take_upload(id).await?)
    }

    async fn share_plugin(&self, added: Option<(&str, &[u8])>, removed: Option<&str>) -> Result<(), PipelineError> {
        if let Some((digest, component)) = added {
            self.shared.add_component(digest, component).await?;
        }
        if let Some(digest) = removed {
            self.shared.remove_component(digest).await?;
        }
        self.send(Content::Plugins).await
    }

    async fn leave(&self) {
        if let Err(error) = self.shared.leave().await {
            tracing::warn!(%error, "other servers take this one's work when its lease has expired");
        }
    }
}

fn is_empty(claimed: &Claimed) -> bool {
    let Claimed {
        documents,
        deleting_documents,
        deleting_collections,
        reindexes,
        uploads,
    } = claimed;
    documents.is_empty() && deleting_documents.is_empty() && deleting_collections.is_empty() && reindexes.is_empty() && uploads.is_empty()
}
