//! Finished, failed and cancelled uploads.

use super::*;
use crate::fakes::faults::Fault;
use crate::fakes::services::MAX_OPEN;
use crate::peers::Stop;
use ibid_catalog::NewEvent;
use ibid_protocol::ApiError;
use serde_json::json;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_finished_upload_is_a_hidden_document_on_its_way() {
    let services = TestServices::open().await;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "abcde").await;
    let id = upload.id().to_owned();
    upload.finish().await.expect("finished");
    let job = services.work.take_jobs().pop().expect("a document");
    assert_eq!(services.upload_status(&id).await, UploadStatus::Processing);
    assert_eq!(&*job.reporter.upload_id, id);
    let store = &services.test.store;
    assert_eq!(
        store.visibility.hidden(&job.document.collection_id),
        std::slice::from_ref(&job.document.id)
    );
    assert!(store.files.open(&job.document.sha256).await.is_ok());
    assert_eq!(services.free_permits(), MAX_OPEN - 1, "the permit goes on with the document");
    drop(job);
    assert_eq!(services.free_permits(), MAX_OPEN);
    assert!(!services.uploads.has(&id));
}

#[tokio::test]
async fn events_come_in_order_and_the_start_is_announced_at_the_latest_by_the_end() {
    let services = TestServices::open().await;
    let mut live = services.uploads.upload_events().live;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "abcde").await;
    upload.finish().await.expect("finished");
    assert_eq!(kinds(&mut live), ["started", "progress"]);
}

#[tokio::test]
async fn the_same_bytes_again_are_a_duplicate() {
    let services = TestServices::open().await;
    let mut first = services.begin(plain()).await;
    write(&mut first, "abcde").await;
    first.finish().await.expect("finished");
    let document = services.work.take_jobs().pop().expect("a document").document;
    let mut live = services.uploads.upload_events().live;
    let mut second = services.begin(plain()).await;
    write(&mut second, "abcde").await;
    let id = second.id().to_owned();
    let outcome = second.finish().await.expect("finished").outcome().await.expect("a document");
    assert_eq!((outcome.status.as_str(), outcome.document_id), ("duplicate", document.id));
    assert_eq!(services.upload_status(&id).await, UploadStatus::Duplicate);
    assert!(services.work.take_jobs().is_empty());
    assert_eq!(services.free_permits(), MAX_OPEN);
    assert_eq!(kinds(&mut live), ["started", "progress", "complete"]);
}

#[tokio::test]
async fn an_empty_file_fails() {
    let services = TestServices::open().await;
    let upload = services.begin(NewUpload { size: Some(0), ..plain() }).await;
    let id = upload.id().to_owned();
    let outcome = upload.finish().await.expect("an outcome").outcome().await;
    assert_eq!(outcome.expect_err("no document").error.code, ErrorCode::ProcessingError);
    assert_eq!(services.upload_status(&id).await, UploadStatus::Failed);
    assert_eq!(services.free_permits(), MAX_OPEN);
    assert!(services.test.store.files.staged().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_outage_at_the_end_leaves_a_resumable_upload_to_be_resumed() {
    let services = TestServices::open().await;
    let mut upload = services.begin(resumable()).await;
    write(&mut upload, "abcde").await;
    upload.sync().await.expect("durable");
    let id = upload.id().to_owned();
    services.test.files.plan("commit", [Fault::Outage]);
    assert_eq!(code(upload.finish().await), Some(ErrorCode::ServiceUnavailable));
    assert_eq!(services.upload_status(&id).await, UploadStatus::Receiving);
    assert_eq!(services.free_permits(), MAX_OPEN);
    let mut again = services.uploads.resume_upload(&id).await.expect("resumed");
    assert_eq!(again.received(), 4, "a client resumes only what lacks a byte");
    write(&mut again, "e").await;
    again.finish().await.expect("finished");
    assert_eq!(services.work.take_jobs().len(), 1);
}

#[tokio::test]
async fn a_full_disk_at_the_end_leaves_a_resumable_upload_to_be_resumed() {
    let services = TestServices::open().await;
    let mut upload = services.begin(resumable()).await;
    write(&mut upload, "abcde").await;
    upload.sync().await.expect("durable");
    let id = upload.id().to_owned();
    services.test.files.plan("commit", [Fault::DiskFull]);
    assert!(upload.finish().await.is_err());
    assert!(services.test.store.disk.disk_error().is_some(), "the disk is known to be full");
    assert!(services.uploads.resume_upload(&id).await.is_ok());
}

#[tokio::test]
async fn an_outage_at_the_end_fails_an_upload_of_one_request() {
    let services = TestServices::open().await;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "abcde").await;
    let id = upload.id().to_owned();
    services.test.files.plan("commit", [Fault::Outage]);
    let outcome = upload.finish().await.expect("an outcome").outcome().await;
    assert_eq!(outcome.expect_err("no document").error.code, ErrorCode::ServiceUnavailable);
    assert_eq!(services.upload_status(&id).await, UploadStatus::Failed);
    assert!(!services.uploads.has(&id));
    assert_eq!(services.free_permits(), MAX_OPEN);
}

#[tokio::test]
async fn damage_at_the_end_fails_a_resumable_upload_and_removes_its_bytes() {
    let services = TestServices::open().await;
    let mut upload = services.begin(resumable()).await;
    write(&mut upload, "abcde").await;
    upload.sync().await.expect("durable");
    let id = upload.id().to_owned();
    services.test.files.plan("commit", [Fault::Damaged]);
    assert!(upload.finish().await.expect("an outcome").outcome().await.is_err());
    assert_eq!(services.upload_status(&id).await, UploadStatus::Failed);
    assert!(services.test.store.files.staged().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pipeline_that_changed_while_the_bytes_came_makes_the_documents_lock() {
    let services = TestServices::open().await;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "abcde").await;
    let catalog = &services.test.store.catalog;
    let before = catalog.collection("documents").await.unwrap();
    let event = NewEvent::new("pipeline_changed", json!({}));
    catalog
        .set_pipeline(&before.id, &before.pipeline, &before.lock, event)
        .await
        .expect("changed");
    services.pipelines.moved.store(2, Ordering::Release);
    upload.finish().await.expect("finished");
    let job = services.work.take_jobs().pop().expect("a document");
    let now = catalog.collection("documents").await.unwrap();
    assert_ne!(now.revision, before.revision);
    assert_eq!(job.document.lock["revision"], json!(now.revision));
}

#[tokio::test]
async fn an_abort_is_published_with_its_reason() {
    let services = TestServices::open().await;
    let mut live = services.uploads.upload_events().live;
    let upload = services.begin(resumable()).await;
    let id = upload.id().to_owned();
    upload.abort(ApiError::new(ErrorCode::ValidationError, "a broken request")).await;
    assert_eq!(services.upload_status(&id).await, UploadStatus::Failed);
    assert_eq!(services.free_permits(), MAX_OPEN);
    assert_eq!(kinds(&mut live), ["started", "complete"]);
    assert_eq!(code(services.uploads.resume_upload(&id).await), Some(ErrorCode::ResourceNotFound));
}

#[tokio::test]
async fn a_cancel_ends_an_upload_whose_bytes_are_coming() {
    let services = TestServices::open().await;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "ab").await;
    let id = upload.id().to_owned();
    services.uploads.cancel_upload(&id).await.expect("cancelled");
    assert_eq!(services.upload_status(&id).await, UploadStatus::Cancelled);
    assert_eq!(services.free_permits(), MAX_OPEN);
    assert_eq!(code(upload.write(Bytes::from_static(b"c")).await), Some(ErrorCode::Conflict));
    assert!(upload.finish().await.is_err());
    assert!(services.work.take_jobs().is_empty());
    assert!(services.test.store.files.staged().await.unwrap().is_empty());
    assert_eq!(code(services.uploads.cancel_upload(&id).await), Some(ErrorCode::Conflict));
}

#[tokio::test]
async fn a_cancel_ends_a_suspended_upload_and_removes_its_bytes() {
    let services = TestServices::open().await;
    let mut upload = services.begin(resumable()).await;
    write(&mut upload, "ab").await;
    let id = upload.id().to_owned();
    drop(upload);
    services.idle().await;
    assert_eq!(services.test.store.files.staged().await.unwrap().len(), 1);
    services.uploads.cancel_upload(&id).await.expect("cancelled");
    assert_eq!(services.upload_status(&id).await, UploadStatus::Cancelled);
    assert!(services.test.store.files.staged().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cancel_during_processing_stops_the_work_and_removes_the_document() {
    let services = TestServices::open().await;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "abcde").await;
    let id = upload.id().to_owned();
    upload.finish().await.expect("finished");
    let document = services.work.take_jobs().pop().expect("a document").document;
    let running = services.jobs.ingesting.begin(&document.id, CancellationToken::new());
    let cancel = running.cancel.clone();
    let cancelling = tokio::spawn({
        let (uploads, id) = (services.uploads.clone(), id.clone());
        async move { uploads.cancel_upload(&id).await }
    });
    cancel.cancelled().await;
    let store = &services.test.store;
    assert!(
        store.catalog.document(&document.id).await.is_ok(),
        "nothing is removed before the work has ended"
    );
    drop(running);
    cancelling.await.unwrap().expect("cancelled");
    assert!(store.catalog.document(&document.id).await.is_err());
    assert!(store.files.open(&document.sha256).await.is_err());
    assert!(store.visibility.hidden(&document.collection_id).is_empty());
    assert_eq!(services.peers.stops(), [Stop::Document(document.id)]);
}

#[tokio::test]
async fn a_cancel_of_work_at_another_server_is_recorded_and_published_here() {
    let services = TestServices::open_shared().await;
    let collection = services.qdrant("documents").await;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "abcde").await;
    let id = upload.id().to_owned();
    upload.finish().await.expect("finished");
    services.work.take_jobs();
    let mut live = services.uploads.upload_events().live;
    services.uploads.cancel_upload(&id).await.expect("cancelled");
    assert_eq!(kinds(&mut live), ["complete"]);
    assert!(services.test.store.visibility.hidden(&collection.id).is_empty());
}

#[tokio::test]
async fn an_upload_that_never_was_cannot_be_cancelled() {
    let services = TestServices::open().await;
    assert_eq!(
        code(services.uploads.cancel_upload("upl_none").await),
        Some(ErrorCode::ResourceNotFound)
    );
}

#[tokio::test]
async fn an_upload_to_a_collection_that_was_deleted_meanwhile_fails() {
    let services = TestServices::open().await;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "abcde").await;
    services
        .collections
        .delete_collection("documents", &ibid_auth::Subject::anyone())
        .await
        .expect("deleted");
    let outcome = upload.finish().await.expect("an outcome").outcome().await;
    assert_eq!(outcome.expect_err("no document").error.code, ErrorCode::CollectionNotFound);
    assert!(services.work.take_jobs().is_empty());
    assert_eq!(services.free_permits(), MAX_OPEN);
}
