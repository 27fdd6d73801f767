//! What servers send each other through the catalog's database, and how an upload's events are made to fit.

use crate::store::events::UploadNotice;
use ibid_protocol::UploadEvent;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// Bytes that PostgreSQL takes in one notification, less what surrounds them.
const LONGEST: usize = 7_000;
/// Characters of an error's message that other servers' subscribers receive where the whole is too long.
const SHORTENED: usize = 1_000;

/// Work that another server is to stop, because its object is to be removed or continued here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", content = "id", rename_all = "snake_case")]
pub(crate) enum Stop {
    /// Processing and re-indexing of a document.
    Document(String),
    /// All work on a collection that is being deleted.
    Collection(String),
    /// A re-index, by its collection.
    Reindex(String),
    /// The receiving of an upload's bytes, which another server continues.
    Upload(String),
}

/// The content of a message. Field and variant names are the format on the wire between servers of neighbouring versions.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Content {
    /// An event of an upload.
    Upload { collection: String, event: UploadEvent },
    /// A request to stop something, and to answer with `Stopped`.
    Stop { request: String, stop: Stop },
    /// The answer to `Stop`.
    Stopped { request: String },
    /// Plugins were installed or removed.
    Plugins,
}

/// A message and the server that sent it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub from: String,
    #[serde(rename = "said")]
    pub content: Content,
}

/// Returns, of each upload's progress of one kind, only the newest, in the order in which they came.
pub(super) fn newest(notices: impl Iterator<Item = Arc<UploadNotice>>) -> Vec<Arc<UploadNotice>> {
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

/// Returns an event that fits into a message.
pub(super) fn shortened(event: UploadEvent) -> UploadEvent {
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

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
