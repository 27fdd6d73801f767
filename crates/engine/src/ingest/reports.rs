//! New uploads, and the reports of how each one ends.

use crate::ingest::reporter::{Outcome, Pace, Reporter, missing_text};
use crate::manage::documents::all_metadata;
use crate::store::Store;
use crate::upkeep::observe;
use ibid_catalog::{self as catalog, DocumentRecord, UploadResult};
use ibid_protocol::{ApiError, ErrorCode, FailedDocument, UploadComplete, UploadEvent, UploadStatus, UploadedDocument};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A file that is about to be uploaded.
#[derive(Debug, Clone, Default)]
pub struct NewUpload {
    /// The file's name. Directories in it are dropped.
    pub filename: String,
    /// The collection that it goes to; absent: the default one. Created if it does not exist.
    pub collection_name: Option<String>,
    /// The media type, where the client sent it.
    pub content_type: Option<String>,
    /// The size in bytes, where the client sent it.
    pub size: Option<u64>,
    /// Metadata that is kept with the document.
    pub metadata: BTreeMap<String, String>,
    /// Size of this document's chunks, in the chunker's unit (`recursive`: tokens); absent: as the
    /// collection's pipeline says.
    pub chunk_size: Option<u64>,
    /// Overlap of this document's chunks, likewise.
    pub chunk_overlap: Option<u64>,
    /// Whether the bytes stay when the connection is lost, so that the upload can be resumed. Needs `size`.
    pub resumable: bool,
    /// tus's `Upload-Metadata`, returned as the client sent it.
    pub tus_metadata: Option<String>,
}

/// How an upload ended.
pub(crate) enum Ending {
    Live(Box<DocumentRecord>),
    Duplicate(Box<DocumentRecord>),
    Failed(ApiError),
    Cancelled,
}

/// An upload whose bytes are complete. Dropping it does not stop the processing.
pub struct PendingIngest {
    upload_id: String,
    filename: String,
    outcome: oneshot::Receiver<Outcome>,
}

impl PendingIngest {
    /// Waits for the outcome that `reporter` will give.
    pub(crate) fn of(reporter: &Reporter) -> Self {
        let (reply, outcome) = oneshot::channel();
        reporter.reply_to(reply);
        Self {
            upload_id: reporter.upload_id.to_string(),
            filename: reporter.filename.to_string(),
            outcome,
        }
    }

    /// Returns the upload's identifier.
    pub fn upload_id(&self) -> &str {
        &self.upload_id
    }

    /// Waits for the document to be live, or to fail.
    pub async fn outcome(self) -> Outcome {
        self.outcome.await.unwrap_or_else(|_| {
            let message = "the server is shutting down; it goes on with this document when it starts again";
            Err(failed(
                &self.upload_id,
                &self.filename,
                &ApiError::new(ErrorCode::ServiceUnavailable, message),
            ))
        })
    }
}

/// Reports the progress and the end of uploads to subscribers, to the catalog, and to the request that waits for the outcome.
pub(crate) struct UploadReports {
    pub store: Arc<Store>,
    /// How fast uploads are processed.
    pub pace: Pace,
}

impl UploadReports {
    /// Makes the reporter of an upload.
    pub(crate) fn reporter(&self, collection: &str, upload_id: &str, filename: &str) -> Reporter {
        Reporter::new(self.store.events.clone(), collection, upload_id, filename)
    }

    /// Records how an upload ended, publishes it, and gives the outcome to the request that waits for it.
    pub(crate) async fn end(&self, reporter: Reporter, ending: Ending) {
        let total_time = reporter.started.elapsed().as_secs_f64();
        let (status, recorded) = match &ending {
            Ending::Live(_) => (UploadStatus::Success, catalog::UploadStatus::Success),
            Ending::Duplicate(_) => (UploadStatus::Duplicate, catalog::UploadStatus::Duplicate),
            Ending::Failed(_) => (UploadStatus::Failed, catalog::UploadStatus::Failed),
            Ending::Cancelled => (UploadStatus::Cancelled, catalog::UploadStatus::Cancelled),
        };
        let document = match &ending {
            Ending::Live(record) | Ending::Duplicate(record) => Some(record),
            Ending::Failed(_) | Ending::Cancelled => None,
        };
        if let Ending::Live(record) = &ending
            && reporter.was_whole()
        {
            self.pace.learn(record.file_size, reporter.started.elapsed());
        }
        observe::upload_ended(&ending, total_time);
        let message = document.and_then(|record| missing_text(&record.metadata));
        let complete = UploadComplete {
            upload_id: reporter.upload_id.to_string(),
            filename: reporter.filename.to_string(),
            document_id: document.map(|record| record.id.clone()),
            total_time,
            chunks_created: document.map_or(0, |record| u64::from(record.chunks_total)),
            status,
            error: match &ending {
                Ending::Failed(error) => Some(json!({ "code": error.code, "message": error.message })),
                _ => None,
            },
            needs_ocr: message.is_some(),
            message,
        };
        let result = UploadResult {
            status: recorded,
            document_id: complete.document_id.clone(),
            data: serde_json::to_value(&complete).unwrap_or_default(),
        };
        if let Err(error) = self.store.catalog.finish_upload(&reporter.upload_id, &result).await {
            tracing::warn!(upload = &*reporter.upload_id, %error, "the end of an upload was not recorded");
        }
        let outcome = match ending {
            Ending::Live(record) => Ok(uploaded(&reporter, *record, "success", total_time)),
            Ending::Duplicate(record) => Ok(uploaded(&reporter, *record, "duplicate", total_time)),
            Ending::Failed(error) => Err(failed(&reporter.upload_id, &reporter.filename, &error)),
            Ending::Cancelled => Err(failed(
                &reporter.upload_id,
                &reporter.filename,
                &ApiError::new(ErrorCode::Conflict, "the upload was cancelled"),
            )),
        };
        reporter.publish(UploadEvent::UploadComplete(complete));
        reporter.answer(outcome);
    }

    /// Answers the request that waits for an upload which another server continues. That server reports its end.
    pub(crate) fn leave(&self, reporter: &Reporter) {
        tracing::info!(upload = &*reporter.upload_id, "another server goes on with it");
        let error = ApiError::new(
            ErrorCode::ServiceUnavailable,
            "another server goes on with this document: GET /uploads/{id} tells how it ends",
        );
        reporter.answer(Err(failed(&reporter.upload_id, &reporter.filename, &error)));
    }
}

fn uploaded(reporter: &Reporter, record: DocumentRecord, status: &str, total_time: f64) -> UploadedDocument {
    UploadedDocument {
        metadata: all_metadata(&record),
        document_id: record.id,
        upload_id: reporter.upload_id.to_string(),
        filename: reporter.filename.to_string(),
        status: status.to_owned(),
        file_size: record.file_size,
        pages: (record.pages > 0).then_some(record.pages),
        chunks_created: u64::from(record.chunks_total),
        embeddings_generated: u64::from(record.chunks_indexed),
        processing_time: total_time,
    }
}

fn failed(upload_id: &str, filename: &str, error: &ApiError) -> FailedDocument {
    FailedDocument {
        upload_id: upload_id.to_owned(),
        filename: filename.to_owned(),
        error: Box::new(error.clone()),
    }
}

/// Returns the last component of the name that the client sent.
pub(crate) fn file_name(given: &str) -> Result<String, ApiError> {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if name.is_empty() || name == "." || name == ".." || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(ApiError::validation(
            "filename",
            "must be a file name of 1 to 255 bytes without control characters",
        ));
    }
    Ok(name.to_owned())
}

/// Returns the media type that the client sent, or that of the name where the client's says nothing.
pub(crate) fn media_type(filename: &str, given: Option<&str>) -> String {
    let given = given
        .map(|given| given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .unwrap_or_default();
    if !matches!(given.as_str(), "" | "application/octet-stream" | "binary/octet-stream") {
        return given;
    }
    mime_guess::from_path(filename)
        .first_raw()
        .unwrap_or("application/octet-stream")
        .to_owned()
}

#[cfg(test)]
#[path = "reports_tests.rs"]
mod tests;
