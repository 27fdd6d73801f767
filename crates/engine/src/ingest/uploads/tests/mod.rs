//! Tests of uploads over a real catalog and real files.

mod begin;
mod finish;
mod resume;

use crate::fakes::services::TestServices;
use crate::ingest::reports::NewUpload;
use crate::ingest::uploads::Upload;
use bytes::Bytes;
use ibid_catalog::UploadStatus;
use ibid_protocol::{ErrorCode, UploadEvent};
use tokio::sync::broadcast;

/// A file of five bytes whose upload can be resumed.
fn resumable() -> NewUpload {
    NewUpload {
        resumable: true,
        ..plain()
    }
}

/// A file of five bytes that is sent in one request.
fn plain() -> NewUpload {
    NewUpload {
        filename: "a.txt".to_owned(),
        size: Some(5),
        ..NewUpload::default()
    }
}

fn code<T>(result: Result<T, ibid_protocol::ApiError>) -> Option<ErrorCode> {
    result.err().map(|error| error.code)
}

impl TestServices {
    async fn begin(&self, new: NewUpload) -> Upload {
        self.uploads.begin_upload(new).await.expect("an upload")
    }

    fn free_permits(&self) -> usize {
        self.uploads.permits.available_permits()
    }
}

async fn write(upload: &mut Upload, bytes: &'static str) {
    upload.write(Bytes::from_static(bytes.as_bytes())).await.expect("written");
}

/// Returns the kinds of the events that have come so far, and the newest number of received bytes.
fn kinds(live: &mut broadcast::Receiver<std::sync::Arc<crate::UploadNotice>>) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    while let Ok(notice) = live.try_recv() {
        kinds.push(match &notice.event {
            UploadEvent::UploadStarted(_) => "started",
            UploadEvent::UploadProgress(_) => "progress",
            UploadEvent::UploadComplete(_) => "complete",
            _ => "other",
        });
    }
    kinds
}
