//! What is refused before any bytes come, and how bytes are written.

use super::*;
use crate::fakes::pipelines::UNREADABLE;
use crate::fakes::services::{MAX_BYTES, MAX_OPEN};
use ibid_auth::Subject;
use ibid_system::disk::DiskError;

#[tokio::test]
async fn a_type_that_no_extractor_reads_is_refused_before_bytes_come() {
    let services = TestServices::open().await;
    let new = NewUpload {
        content_type: Some(UNREADABLE.to_owned()),
        ..plain()
    };
    assert_eq!(
        code(services.uploads.begin_upload(new).await),
        Some(ErrorCode::UnsupportedMediaType)
    );
    assert_eq!(services.free_permits(), MAX_OPEN, "its permit is free");
    assert!(services.test.store.catalog.open_uploads().await.unwrap().is_empty());
    assert_eq!(services.test.files.count("stage"), 0);
}

#[tokio::test]
async fn a_file_that_is_announced_too_large_is_refused_before_bytes_come() {
    let services = TestServices::open().await;
    let of = |size| NewUpload {
        size: Some(size),
        ..plain()
    };
    assert_eq!(
        code(services.uploads.begin_upload(of(MAX_BYTES + 1)).await),
        Some(ErrorCode::PayloadTooLarge)
    );
    assert!(
        services.test.store.catalog.collections().await.unwrap().is_empty(),
        "nothing was created"
    );
    assert!(services.uploads.begin_upload(of(MAX_BYTES)).await.is_ok());
}

#[tokio::test]
async fn one_upload_more_than_may_be_open_is_refused() {
    let services = TestServices::open().await;
    let mut open = Vec::new();
    for _ in 0..MAX_OPEN {
        open.push(services.begin(plain()).await);
    }
    assert_eq!(
        code(services.uploads.begin_upload(plain()).await),
        Some(ErrorCode::ServiceUnavailable)
    );
    open.pop();
    services.idle().await;
    assert!(services.uploads.begin_upload(plain()).await.is_ok());
}

#[tokio::test]
async fn suspended_uploads_count_among_the_resumable_ones() {
    let services = TestServices::open().await;
    for _ in 0..2 {
        drop(services.begin(resumable()).await);
    }
    services.idle().await;
    assert_eq!(services.free_permits(), MAX_OPEN);
    assert_eq!(
        code(services.uploads.begin_upload(resumable()).await),
        Some(ErrorCode::ServiceUnavailable)
    );
    assert!(services.uploads.begin_upload(plain()).await.is_ok(), "others are not counted");
}

#[tokio::test]
async fn a_full_disk_refuses_an_upload() {
    let services = TestServices::open().await;
    services.test.store.disk.note(DiskError::Full);
    assert!(services.uploads.begin_upload(plain()).await.is_err());
    assert_eq!(services.free_permits(), MAX_OPEN);
    assert!(services.test.store.catalog.collections().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_name_without_a_name_is_refused() {
    let services = TestServices::open().await;
    let new = NewUpload {
        filename: "dir/..".to_owned(),
        ..plain()
    };
    assert_eq!(code(services.uploads.begin_upload(new).await), Some(ErrorCode::ValidationError));
}

#[tokio::test]
async fn bytes_are_counted_as_they_are_written() {
    let services = TestServices::open().await;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "ab").await;
    write(&mut upload, "c").await;
    assert_eq!(upload.received(), 3);
    let info = services.uploads.upload_of(upload.id(), &Subject::anyone()).await.unwrap();
    assert_eq!((info.bytes_uploaded, info.status.as_str()), (3, "receiving"));
}

#[tokio::test]
async fn more_bytes_than_the_limit_are_refused_and_none_of_them_is_taken() {
    let services = TestServices::open().await;
    let mut upload = services.begin(NewUpload { size: None, ..plain() }).await;
    write(&mut upload, "ab").await;
    let many = Bytes::from(vec![b'x'; MAX_BYTES as usize - 1]);
    assert_eq!(code(upload.write(many).await), Some(ErrorCode::PayloadTooLarge));
    assert_eq!(upload.received(), 2);
    assert_eq!(services.test.files.count("append"), 1, "the file store was not asked");
}

#[tokio::test]
async fn more_bytes_than_a_resumable_upload_announced_are_refused() {
    let services = TestServices::open().await;
    let mut upload = services.begin(resumable()).await;
    write(&mut upload, "abcd").await;
    assert_eq!(
        code(upload.write(Bytes::from_static(b"ef")).await),
        Some(ErrorCode::ValidationError)
    );
    write(&mut upload, "e").await;
    assert_eq!(upload.received(), 5);
}

#[tokio::test]
async fn a_failed_write_can_be_followed_by_another() {
    let services = TestServices::open().await;
    let mut upload = services.begin(plain()).await;
    services.test.files.plan("append", [crate::fakes::faults::Fault::Outage]);
    assert!(upload.write(Bytes::from_static(b"ab")).await.is_err());
    assert_eq!(upload.received(), 0);
    write(&mut upload, "ab").await;
    assert_eq!(upload.received(), 2);
}

#[tokio::test]
async fn no_event_is_published_before_an_upload_is_announced_and_then_one() {
    let services = TestServices::open().await;
    let mut live = services.uploads.upload_events().live;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "ab").await;
    assert!(kinds(&mut live).is_empty());
    upload.announce(5, true);
    upload.announce(5, true);
    assert_eq!(kinds(&mut live), ["started"]);
    upload.publish_received();
    assert_eq!(kinds(&mut live), ["progress"]);
}

#[tokio::test]
async fn an_upload_that_the_subject_does_not_see_is_not_found() {
    let services = TestServices::open().await;
    let upload = services.begin(plain()).await;
    let subject = Subject {
        collections: Some(vec!["other".to_owned()]),
        ..Subject::anyone()
    };
    assert_eq!(
        code(services.uploads.upload_of(upload.id(), &subject).await),
        Some(ErrorCode::ResourceNotFound)
    );
    let reader = services.uploads.upload_of(upload.id(), &Subject::nobody()).await;
    assert_eq!(code(reader), Some(ErrorCode::InsufficientScope));
}
