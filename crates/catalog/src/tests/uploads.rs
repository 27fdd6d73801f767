//! Uploads: their states, and what outlives a restart.

use super::{TestCatalog, collection, file};
use crate::{Collection, Creation, NewUpload, UploadResult, UploadStatus};
use ibid_types::ErrorCode;
use serde_json::json;
use time::{Duration, OffsetDateTime};

fn coming(collection: &Collection, file_size: Option<u64>) -> NewUpload {
    NewUpload {
        collection_id: collection.id.clone(),
        filename: "report.pdf".to_owned(),
        content_type: "application/pdf".to_owned(),
        file_size,
        options: json!({"processing_mode": "balanced"}),
    }
}

#[tokio::test]
async fn an_upload_becomes_a_document_in_one_step() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let upload = catalog.create_upload(coming(&papers, Some(1001))).await.unwrap();
    assert!(upload.id.starts_with("upload_") && upload.id.len() == 39);
    assert_eq!((upload.status, upload.collection.as_str()), (UploadStatus::Receiving, "papers"));
    assert!(catalog.set_upload_received(&upload.id, 400).await.unwrap());
    assert_eq!(
        catalog.set_upload_received(&upload.id, 1002).await.unwrap_err().code(),
        ErrorCode::Conflict
    );

    let catalog = catalog.reopened().await;
    let open = catalog.open_uploads().await.unwrap();
    assert_eq!((open.len(), open[0].bytes_received, &open[0].options), (1, 400, &upload.options));

    let mut new = file(&papers, 1);
    new.upload_id = Some(upload.id.clone());
    let Creation::Created(document) = catalog.create_document(new.clone()).await.unwrap() else {
        panic!()
    };
    let now = catalog.upload(&upload.id).await.unwrap();
    assert_eq!((now.status, now.bytes_received), (UploadStatus::Processing, 1001));
    assert_eq!(now.document_id.as_deref(), Some(document.id.as_str()));
    assert!(!catalog.set_upload_received(&upload.id, 5).await.unwrap());

    let result = UploadResult {
        status: UploadStatus::Success,
        document_id: None,
        data: json!({"status": "success"}),
    };
    let unfinished = UploadResult {
        status: UploadStatus::Processing,
        ..result.clone()
    };
    assert_eq!(
        catalog.finish_upload(&upload.id, &unfinished).await.unwrap_err().code(),
        ErrorCode::ValidationError
    );
    assert!(catalog.finish_upload(&upload.id, &result).await.unwrap());
    assert!(!catalog.finish_upload(&upload.id, &result).await.unwrap());
    let done = catalog.upload(&upload.id).await.unwrap();
    assert_eq!(
        (done.status, done.result),
        (UploadStatus::Success, Some(json!({"status": "success"})))
    );
    assert_eq!(done.document_id, Some(document.id.clone()));
    assert!(catalog.open_uploads().await.unwrap().is_empty());

    // The same bytes once more: the upload stays open until its end is recorded.
    let second = catalog.create_upload(coming(&papers, None)).await.unwrap();
    new.upload_id = Some(second.id.clone());
    let Creation::Duplicate(there) = catalog.create_document(new.clone()).await.unwrap() else {
        panic!()
    };
    let result = UploadResult {
        status: UploadStatus::Duplicate,
        document_id: Some(there.id.clone()),
        data: json!({}),
    };
    assert!(catalog.finish_upload(&second.id, &result).await.unwrap());
    assert_eq!(catalog.upload(&second.id).await.unwrap().document_id, Some(document.id));

    // A cancelled upload makes no document, and none is left half made.
    let third = catalog.create_upload(coming(&papers, None)).await.unwrap();
    let cancelled = UploadResult {
        status: UploadStatus::Cancelled,
        document_id: None,
        data: json!({}),
    };
    assert!(catalog.finish_upload(&third.id, &cancelled).await.unwrap());
    let mut late = file(&papers, 2);
    late.upload_id = Some(third.id);
    assert_eq!(catalog.create_document(late).await.unwrap_err().code(), ErrorCode::Conflict);
    assert_eq!(catalog.unfinished().await.unwrap().len(), 1);
    assert_eq!(catalog.upload("upload_none").await.unwrap_err().code(), ErrorCode::ResourceNotFound);
}

#[tokio::test]
async fn old_uploads_expire_but_not_those_being_processed() {
    let catalog = TestCatalog::new().await;
    let papers = collection(&catalog, "papers").await;
    let stale = catalog.create_upload(coming(&papers, None)).await.unwrap();
    let working = catalog.create_upload(coming(&papers, None)).await.unwrap();
    let mut new = file(&papers, 1);
    new.upload_id = Some(working.id.clone());
    catalog.create_document(new).await.unwrap();
    let ended = catalog.create_upload(coming(&papers, None)).await.unwrap();
    let failed = UploadResult {
        status: UploadStatus::Failed,
        document_id: None,
        data: json!({}),
    };
    catalog.finish_upload(&ended.id, &failed).await.unwrap();

    let now = OffsetDateTime::now_utc();
    assert!(catalog.expire_uploads(now - Duration::hours(1)).await.unwrap().is_empty());
    assert_eq!(
        catalog.expire_uploads(now + Duration::hours(1)).await.unwrap(),
        std::slice::from_ref(&stale.id)
    );
    assert!(catalog.upload(&stale.id).await.is_err() && catalog.upload(&ended.id).await.is_err());
    assert!(catalog.upload(&working.id).await.is_ok());
}
