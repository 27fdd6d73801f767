//! `/ws/upload`: what happens to uploads, and uploads over the socket itself.
//!
//! Binary frames carry bytes and nothing else: they belong to the upload that the client named last, by `upload` or
//! `resume`. A message or a frame that is refused leaves none named, so that bytes never get into the wrong file or the
//! wrong place of one.

use super::events::{Feed, Telling, tell, written};
use super::frames::Limits;
use super::message::{self, Unnamed, Unreadable, error_frame};
use super::outbox::{Gone, Outbox};
use super::query::Client;
use super::session::Conversation;
use crate::context::Shared;
use crate::limits::Budget;
use ibid_auth::Scope;
use ibid_engine::{Engine, NewUpload, Upload, UploadNotice, UploadSubscription};
use ibid_protocol::{self as protocol, ApiError, ErrorCode, UploadControl, UploadEvent, UploadProgress, UploadRequest, UploadResume};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a binary frame.
const MAX_FRAME: usize = 4 << 20;
/// Uploads that one connection may have open.
const MAX_OPEN: usize = 64;

/// What a client wants to know of.
#[derive(Debug, Default, Deserialize)]
pub(super) struct UploadFilter {
    upload_id: Option<String>,
    collection: Option<String>,
}

/// A subscription, before its socket is open.
pub(super) struct UploadEvents {
    told: Told,
    subscription: UploadSubscription,
}

/// What one peer is told.
struct Told {
    filter: UploadFilter,
    client: Client,
    own: Own,
}

/// Uploads that this connection began or resumed, each with the client's name for it: their events come whatever the filter says.
#[derive(Debug, Clone, Default)]
struct Own(Arc<Mutex<HashMap<String, Option<String>>>>);

impl Own {
    fn uploads(&self) -> MutexGuard<'_, HashMap<String, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as the connection is told it on which the upload was named.
#[derive(Serialize)]
struct Named<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    event: &'a UploadEvent,
}

impl Feed for Told {
    type Event = UploadNotice;

    fn wants(&mut self, notice: &UploadNotice) -> bool {
        let Self { filter, client, own } = self;
        let id = notice.event.upload_id();
        let asked_for = filter.upload_id.as_deref().is_none_or(|only| only == id)
            && filter.collection.as_deref().is_none_or(|name| name == notice.collection);
        (asked_for && client.subject.sees(&notice.collection)) || own.uploads().contains_key(id)
    }

    fn text(&mut self, notice: &UploadNotice) -> Vec<u8> {
        let mut own = self.own.uploads();
        let id = notice.event.upload_id();
        let text = written(&Named {
            request_id: own.get(id).and_then(Option::as_deref),
            event: &notice.event,
        });
        if matches!(notice.event, UploadEvent::UploadComplete(_)) {
            own.remove(id);
        }
        text
    }
}

impl UploadEvents {
    /// From now on nothing is missed; uploads in flight are replayed.
    pub fn subscribe(filter: UploadFilter, client: Client, engine: &Arc<Engine>) -> Self {
        Self {
            told: Told {
                filter,
                client,
                own: Own::default(),
            },
            subscription: engine.upload_events(),
        }
    }

    /// Starts to tell, and to listen.
    pub fn tell(self, shared: Arc<Shared>, outbox: Outbox) -> Uploads {
        let Self {
            mut told,
            subscription: UploadSubscription { mut replay, live },
        } = self;
        replay.retain(|notice| told.wants(notice));
        Uploads {
            shared,
            client: told.client.clone(),
            own: told.own.clone(),
            open: Mutex::default(),
            _telling: tell(outbox.clone(), told, 0, replay, live),
            outbox,
        }
    }
}

/// One connection's uploads. Dropping it suspends them.
pub(super) struct Uploads {
    shared: Arc<Shared>,
    client: Client,
    outbox: Outbox,
    own: Own,
    open: Mutex<Open>,
    _telling: Telling,
}

#[derive(Default)]
struct Open {
    uploads: HashMap<String, Upload>,
    /// The one that binary frames belong to.
    current: Option<String>,
}

impl Uploads {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(&self, message: Unnamed) -> Result<(), Gone> {
        let Unnamed { kind, request_id, data } = message;
        let result = match kind.as_str() {
            "upload" => {
                self.open().current = None;
                self.begin(request_id.as_deref(), data).await
            }
            "resume" => {
                self.open().current = None;
                self.resume(request_id.as_deref(), data).await
            }
            "control" => self.control(data).await,
            // It may have been meant to name another one.
            _ => Err(self.name_none(ApiError::validation("type", "must be `upload`, `resume` or `control`"))),
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.outbox.send(error_frame(request_id.as_deref(), error)).await,
        }
    }

    fn name_none(&self, error: ApiError) -> ApiError {
        self.open().current = None;
        error
    }

    fn check_room(&self) -> Result<(), ApiError> {
        if self.shared.stopping.is_cancelled() {
            let message = "The server is stopping. Connect again in a moment.";
            return Err(ApiError::new(ErrorCode::ServiceUnavailable, message));
        }
        if self.open().uploads.len() >= MAX_OPEN {
            let message = format!("This connection has {MAX_OPEN} uploads open already: finish or cancel one first.");
            return Err(ApiError::new(ErrorCode::RateLimitExceeded, message).with("retry_after", 1));
        }
        Ok(())
    }

    async fn begin(&self, request_id: Option<&str>, data: Value) -> Result<(), ApiError> {
        let request: UploadRequest = protocol::parse(data)?;
        let metadata = request.metadata()?;
        if request.file_size == 0 {
            return Err(ApiError::validation("file_size", "must be at least 1"));
        }
        let engine = &self.shared.engine;
        let collection = engine.collection_or_default(request.collection_name.as_deref());
        self.client.subject.require_in(Scope::Write, collection)?;
        self.check_room()?;
        let Client { address, subject, .. } = &self.client;
        self.shared.limits.take(Budget::Upload, subject, *address)?;
        let new = NewUpload {
            filename: request.filename,
            collection_name: request.collection_name,
            content_type: request.content_type,
            size: Some(request.file_size),
            metadata,
            chunk_size: request.chunk_size,
            chunk_overlap: request.chunk_overlap,
            resumable: true,
            ..NewUpload::default()
        };
        let upload = engine.begin_upload(new).await?;
        self.own.uploads().insert(upload.id().to_owned(), request_id.map(str::to_owned));
        upload.announce(request.file_size, true);
        self.make_current(upload);
        Ok(())
    }

    fn make_current(&self, upload: Upload) {
        let mut open = self.open();
        let id = upload.id().to_owned();
        open.current = Some(id.clone());
        open.uploads.insert(id, upload);
    }

    async fn resume(&self, request_id: Option<&str>, data: Value) -> Result<(), ApiError> {
        let UploadResume { upload_id } = protocol::parse(data)?;
        let engine = &self.shared.engine;
        let info = engine.upload_of(&upload_id, &self.client.subject).await?;
        if !info.resumable {
            return self.tell_end(request_id, info).await;
        }
        if !self.open().uploads.contains_key(&upload_id) {
            self.check_room()?;
        }
        // It may be this connection's already: then it goes on where it is.
        self.own.uploads().insert(upload_id.clone(), request_id.map(str::to_owned));
        let here = self.open().uploads.remove(&upload_id);
        let upload = match here {
            Some(upload) => upload,
            None => engine.resume_upload(&upload_id).await?,
        };
        upload.publish_received();
        let whole = upload.size() == Some(upload.received());
        self.make_current(upload);
        if whole { self.finish().await } else { Ok(()) }
    }

    /// The answer to who wants to go on with an upload whose bytes are all here, or that has ended.
    async fn tell_end(&self, request_id: Option<&str>, info: protocol::UploadInfo) -> Result<(), ApiError> {
        let mut messages = Vec::new();
        let total = info.total_bytes.unwrap_or(info.bytes_uploaded);
        messages.push(json!({ "type": "upload_progress", "data": UploadProgress {
            progress: if total == 0 { 1.0 } else { info.bytes_uploaded as f64 / total as f64 },
            upload_id: info.upload_id,
            filename: info.filename,
            bytes_uploaded: info.bytes_uploaded,
            total_bytes: total,
            speed_mbps: 0.0,
        } }));
        messages.extend(info.result.map(|data| json!({ "type": "upload_complete", "data": data })));
        for mut message in messages {
            if let (Some(object), Some(request_id)) = (message.as_object_mut(), request_id) {
                object.insert("request_id".to_owned(), request_id.into());
            }
            // Whoever is gone needs no answer.
            let _ = self.outbox.send(written(&message)).await;
        }
        Ok(())
    }

    async fn control(&self, data: Value) -> Result<(), ApiError> {
        let UploadControl { upload_id, action } = protocol::parse(data)?;
        if action != "cancel" {
            return Err(ApiError::validation("action", "must be `cancel`"));
        }
        let current = self.open().current.clone();
        let Some(upload_id) = upload_id.or(current) else {
            return Err(ApiError::validation("upload_id", "is missing, and no upload was named before"));
        };
        let engine = &self.shared.engine;
        engine.upload_of(&upload_id, &self.client.subject).await?;
        // Its end is the answer.
        self.own.uploads().entry(upload_id.clone()).or_default();
        let cancelled = engine.cancel_upload(&upload_id).await;
        if cancelled.is_err() {
            self.own.uploads().remove(&upload_id);
        }
        let mut open = self.open();
        open.uploads.remove(&upload_id);
        if open.current.as_ref() == Some(&upload_id) {
            open.current = None;
        }
        cancelled.map_err(|error| error.with("upload_id", upload_id))
    }

    /// Writes a frame to the current upload, which is none's while that goes on.
    async fn write(&self, bytes: Vec<u8>) -> Result<(), ApiError> {
        let current = {
            let mut open = self.open();
            open.current.take().and_then(|id| open.uploads.remove(&id))
        };
        let Some(mut upload) = current else {
            let message = "No upload is named for these bytes: send `upload` or `resume` first.";
            return Err(ApiError::new(ErrorCode::InvalidMessage, message));
        };
        upload
            .write(bytes.into())
            .await
            .map_err(|error| error.with("upload_id", upload.id()))?;
        let whole = upload.size() == Some(upload.received());
        self.make_current(upload);
        if whole { self.finish().await } else { Ok(()) }
    }

    /// All bytes of the current upload are here.
    async fn finish(&self) -> Result<(), ApiError> {
        let upload = {
            let mut open = self.open();
            open.current.take().and_then(|id| open.uploads.remove(&id))
        };
        match upload {
            // The events tell what becomes of it.
            Some(upload) => upload.finish().await.map(drop),
            None => Ok(()),
        }
    }
}

impl Conversation for Uploads {
    async fn text(&self, text: String) -> Result<(), Gone> {
        match message::read_unnamed(&text) {
            Ok(message) => self.handle(message).await,
            Err(Unreadable { request_id, error }) => {
                let error = self.name_none(*error);
                self.outbox.send(error_frame(request_id.as_deref(), error)).await
            }
        }
    }

    async fn binary(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        match self.write(bytes).await {
            Ok(()) => Ok(()),
            Err(error) => self.outbox.send(error_frame(None, error)).await,
        }
    }

    async fn finished(&self) {}

    fn limits(&self, text: usize) -> Limits {
        Limits {
            text,
            binary: text.max(MAX_FRAME),
        }
    }
}
