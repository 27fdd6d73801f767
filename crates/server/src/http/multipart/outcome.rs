//! The answer to an upload: what became of each file.

use super::ended;
use crate::http::respond::{Failure, Reply, json};
use hyper::StatusCode;
use ibid_engine::PendingIngest;
use ibid_protocol::{ApiError, ErrorCode, FailedDocument, UploadAccepted, UploadResponse, UploadStatistics};
use serde_json::{Map, Value};
use std::time::Instant;

/// A file that was received, or could not be.
pub(super) struct Filed {
    /// Empty if it never became an upload.
    pub upload_id: String,
    /// Bytes that arrived.
    pub bytes: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a file.
pub(super) enum Outcome {
    /// It is being processed.
    Pending(PendingIngest),
    /// It could not be received.
    Failed(FailedDocument),
}

/// A file that failed with `error`.
pub(super) fn failed(upload_id: String, filename: String, error: &ApiError) -> FailedDocument {
    FailedDocument {
        upload_id,
        filename,
        error: Box::new(error.clone()),
    }
}

/// The answer: at once with `wait` false, else when every file has ended.
pub(super) async fn report(filed: Vec<Filed>, wait: bool, begun: Instant) -> Result<Reply, Failure> {
    let upload_ids: Vec<String> = filed
        .iter()
        .map(|file| file.upload_id.clone())
        .filter(|id| !id.is_empty())
        .collect();
    let upload_id = upload_ids.first().cloned().unwrap_or_default();
    let pending = filed.iter().any(|file| matches!(file.outcome, Outcome::Pending(_)));
    if !wait && pending {
        // Dropping what is pending does not stop it.
        return Ok(json(
            StatusCode::ACCEPTED,
            &UploadAccepted {
                upload_id,
                upload_ids,
                status: "accepted".to_owned(),
            },
        ));
    }
    let mut response = UploadResponse {
        upload_id,
        upload_ids,
        uploaded_documents: Vec::new(),
        failed_documents: Vec::new(),
        statistics: UploadStatistics::default(),
    };
    for file in filed {
        response.statistics.total_bytes += file.bytes;
        match ended(file.outcome).await {
            Ok(document) => response.uploaded_documents.push(document),
            Err(document) => response.failed_documents.push(document),
        }
    }
    let statistics = &mut response.statistics;
    statistics.successful = response.uploaded_documents.len();
    statistics.failed = response.failed_documents.len();
    statistics.total_files = statistics.successful + statistics.failed;
    statistics.total_chunks = response.uploaded_documents.iter().map(|document| document.chunks_created).sum();
    statistics.total_time = begun.elapsed().as_secs_f64();
    if response.uploaded_documents.is_empty() {
        Err(nothing_done(&response))
    } else {
        Ok(json(StatusCode::CREATED, &response))
    }
}

/// The error when no file could be processed, with the same body beside it.
fn nothing_done(response: &UploadResponse) -> Failure {
    let all = |code: ErrorCode| response.failed_documents.iter().all(|document| document.error.code == code);
    let shared = [
        ErrorCode::UnsupportedMediaType,
        ErrorCode::PayloadTooLarge,
        ErrorCode::ServiceUnavailable,
    ]
    .into_iter()
    .find(|code| all(*code));
    let status = shared
        .and_then(|code| StatusCode::from_u16(code.http_status()).ok())
        .unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
    let first = response.failed_documents.first();
    let message = first.map_or("no reason was given", |document| document.error.message.as_str());
    let code = first.map_or(ErrorCode::ProcessingError, |document| document.error.code);
    let mut error = ApiError::new(code, format!("No file could be processed. {message}"));
    if let Some(filename) = first.map(|document| document.filename.as_str()) {
        error = error.with("filename", filename);
    }
    let fields = match serde_json::to_value(response) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    Failure::with_status(error, status).beside(fields)
}
