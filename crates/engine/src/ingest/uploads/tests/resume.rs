//! Suspended, resumed, taken over, released and expired uploads.

use super::*;
use crate::fakes::peers::FakePeers;
use crate::fakes::services::MAX_OPEN;
use crate::peers::Stop;
use ibid_auth::Subject;
use std::time::Duration;

#[tokio::test]
async fn a_dropped_resumable_upload_is_resumed_at_the_recorded_offset() {
    let services = TestServices::open().await;
    let mut upload = services.begin(resumable()).await;
    write(&mut upload, "abc").await;
    let id = upload.id().to_owned();
    drop(upload);
    services.idle().await;
    assert_eq!(services.free_permits(), MAX_OPEN, "a suspended upload holds no permit");
    let record = services.test.store.catalog.upload(&id).await.unwrap();
    assert_eq!((record.bytes_received, record.status), (3, UploadStatus::Receiving));
    let mut upload = services.uploads.resume_upload(&id).await.expect("resumed");
    assert_eq!((upload.received(), services.free_permits()), (3, MAX_OPEN - 1));
    write(&mut upload, "de").await;
    upload.finish().await.expect("finished");
    let job = services.work.take_jobs().pop().expect("a document");
    assert_eq!(job.document.file_size, 5);
}

#[tokio::test]
async fn bytes_that_are_not_recorded_as_durable_are_sent_again() {
    let services = TestServices::open().await;
    let mut upload = services.begin(resumable()).await;
    write(&mut upload, "ab").await;
    assert_eq!(upload.sync().await.expect("durable"), 2);
    write(&mut upload, "cd").await;
    services.test.files.plan("sync", [crate::fakes::faults::Fault::Outage]);
    let id = upload.id().to_owned();
    drop(upload);
    services.idle().await;
    let upload = services.uploads.resume_upload(&id).await.expect("resumed");
    assert_eq!(upload.received(), 2);
}

#[tokio::test]
async fn a_dropped_upload_of_one_request_is_cancelled() {
    let services = TestServices::open().await;
    let mut live = services.uploads.upload_events().live;
    let mut upload = services.begin(plain()).await;
    write(&mut upload, "ab").await;
    let id = upload.id().to_owned();
    drop(upload);
    services.idle().await;
    assert_eq!(services.upload_status(&id).await, UploadStatus::Cancelled);
    assert_eq!(services.free_permits(), MAX_OPEN);
    assert!(services.test.store.files.staged().await.unwrap().is_empty());
    assert_eq!(code(services.uploads.resume_upload(&id).await), Some(ErrorCode::ResourceNotFound));
    assert_eq!(kinds(&mut live), ["started", "complete"], "a subscriber sees a whole upload");
}

#[tokio::test]
async fn an_upload_of_one_request_cannot_be_resumed() {
    let services = TestServices::open().await;
    let mut upload = services.begin(plain()).await;
    assert_eq!(code(services.uploads.resume_upload(upload.id()).await), Some(ErrorCode::Conflict));
    write(&mut upload, "ab").await;
}

#[tokio::test]
async fn a_second_connection_takes_an_upload_over() {
    let services = TestServices::open().await;
    let mut first = services.begin(resumable()).await;
    write(&mut first, "ab").await;
    let mut second = services.uploads.resume_upload(first.id()).await.expect("resumed");
    assert_eq!(second.received(), 2);
    assert_eq!(code(first.write(Bytes::from_static(b"x")).await), Some(ErrorCode::Conflict));
    assert_eq!(code(first.sync().await), Some(ErrorCode::Conflict));
    drop(first);
    services.idle().await;
    write(&mut second, "cde").await;
    assert_eq!(second.received(), 5, "the first connection's end changes nothing");
}

#[tokio::test]
async fn a_claim_waits_until_a_write_has_put_the_bytes_back() {
    let services = TestServices::open().await;
    let mut first = services.begin(resumable()).await;
    let id = first.id().to_owned();
    let gate = services.test.files.gate("append");
    let writing = tokio::spawn(async move {
        let written = first.write(Bytes::from_static(b"abc")).await;
        (first, written)
    });
    services.test.files.begun("append", 1).await;
    let resuming = tokio::spawn({
        let (uploads, id) = (services.uploads.clone(), id.clone());
        async move { uploads.resume_upload(&id).await }
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!resuming.is_finished(), "the bytes are being written");
    gate.open_once();
    let (_first, written) = writing.await.unwrap();
    assert!(written.is_ok(), "what was begun is written");
    assert_eq!(resuming.await.unwrap().expect("resumed").received(), 3);
}

#[tokio::test]
async fn of_two_claims_at_once_the_later_one_wins() {
    let services = TestServices::open().await;
    let mut first = services.begin(resumable()).await;
    let id = first.id().to_owned();
    let gate = services.test.files.gate("append");
    let writing = tokio::spawn(async move { first.write(Bytes::from_static(b"abc")).await });
    services.test.files.begun("append", 1).await;
    let resume = || {
        let (uploads, id) = (services.uploads.clone(), id.clone());
        tokio::spawn(async move { uploads.resume_upload(&id).await })
    };
    let earlier = resume();
    tokio::task::yield_now().await;
    let later = resume();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    gate.open();
    writing.await.unwrap().expect("written");
    assert_eq!(code(earlier.await.unwrap()), Some(ErrorCode::Conflict));
    assert!(later.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_resume_that_finds_no_permit_leaves_the_upload_suspended() {
    let services = TestServices::open().await;
    let upload = services.begin(resumable()).await;
    let id = upload.id().to_owned();
    drop(upload);
    services.idle().await;
    let mut open = Vec::new();
    for _ in 0..MAX_OPEN {
        open.push(services.begin(plain()).await);
    }
    assert_eq!(code(services.uploads.resume_upload(&id).await), Some(ErrorCode::ServiceUnavailable));
    drop(open);
    services.idle().await;
    assert!(services.uploads.resume_upload(&id).await.is_ok());
}

#[tokio::test]
async fn a_resume_that_cannot_open_the_bytes_can_be_tried_again() {
    let services = TestServices::open().await;
    let upload = services.begin(resumable()).await;
    let id = upload.id().to_owned();
    drop(upload);
    services.idle().await;
    services.test.files.plan("stage", [crate::fakes::faults::Fault::Outage]);
    assert!(services.uploads.resume_upload(&id).await.is_err());
    assert_eq!(services.free_permits(), MAX_OPEN, "the failed try holds no permit");
    assert!(services.uploads.resume_upload(&id).await.is_ok());
}

#[tokio::test]
async fn a_suspended_upload_expires_and_its_bytes_are_removed() {
    let services = TestServices::with(FakePeers::default(), Duration::ZERO).await;
    let mut upload = services.begin(resumable()).await;
    write(&mut upload, "abc").await;
    let id = upload.id().to_owned();
    drop(upload);
    services.idle().await;
    let mut live = services.uploads.upload_events().live;
    let expiring = tokio::spawn(services.uploads.clone().expire());
    while services.upload_status(&id).await != UploadStatus::Cancelled {
        tokio::task::yield_now().await;
    }
    services.test.lifecycle.stopping.cancel();
    expiring.await.unwrap();
    assert!(services.test.store.files.staged().await.unwrap().is_empty());
    assert!(kinds(&mut live).contains(&"complete"));
    assert!(!services.uploads.has(&id));
}

#[tokio::test]
async fn an_open_upload_and_one_that_was_just_suspended_do_not_expire() {
    let services = TestServices::open().await;
    let suspended = services.begin(resumable()).await;
    let id = suspended.id().to_owned();
    drop(suspended);
    services.idle().await;
    let expiring = tokio::spawn(services.uploads.clone().expire());
    while services.test.clock.slept().len() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(services.uploads.has(&id));
    services.test.lifecycle.stopping.cancel();
    expiring.await.unwrap();
}

#[tokio::test]
async fn an_upload_that_is_resumed_while_others_expire_stays_its_clients() {
    let services = TestServices::with(FakePeers::default(), Duration::ZERO).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut upload = services.begin(resumable()).await;
        write(&mut upload, "abc").await;
        ids.push(upload.id().to_owned());
    }
    services.idle().await;
    let gate = services.test.files.gate("discard_staged");
    let expiring = tokio::spawn(services.uploads.clone().expire());
    services.test.files.begun("discard_staged", 1).await;
    let calls = services.test.files.calls();
    let other = ids
        .iter()
        .find(|id| !calls.contains(&format!("discard_staged {id}")))
        .expect("another");
    let mut resumed = services.uploads.resume_upload(other).await.expect("resumed");
    services.test.lifecycle.stopping.cancel();
    gate.open();
    expiring.await.unwrap();
    write(&mut resumed, "de").await;
}

#[tokio::test]
async fn an_upload_at_another_server_is_taken_from_it() {
    let services = TestServices::open_shared().await;
    let mut upload = services.begin(resumable()).await;
    write(&mut upload, "abc").await;
    let id = upload.id().to_owned();
    services.uploads.release(&id).await;
    assert!(!services.uploads.has(&id), "the other server has it");
    assert_eq!(code(upload.write(Bytes::from_static(b"d")).await), Some(ErrorCode::Conflict));
    assert_eq!(services.free_permits(), MAX_OPEN);
    let record = services.test.store.catalog.upload(&id).await.unwrap();
    assert_eq!(record.bytes_received, 3, "its bytes are durable");
    services.peers.hold_upload(record);
    let upload = services.uploads.resume_upload(&id).await.expect("resumed");
    assert_eq!(upload.received(), 3);
    assert_eq!(services.peers.stops(), [Stop::Upload(id)]);
}

#[tokio::test]
async fn only_resumable_uploads_are_released() {
    let services = TestServices::open_shared().await;
    let mut upload = services.begin(plain()).await;
    services.uploads.release(upload.id()).await;
    write(&mut upload, "ab").await;
}

#[tokio::test]
async fn an_upload_says_when_it_expires_while_it_can_be_resumed() {
    let services = TestServices::open().await;
    let upload = services.begin(resumable()).await;
    let info = services.uploads.upload_of(upload.id(), &Subject::anyone()).await.unwrap();
    assert!(info.resumable && info.expires.is_some());
    let plain = services.begin(plain()).await;
    let info = services.uploads.upload_of(plain.id(), &Subject::anyone()).await.unwrap();
    assert!(!info.resumable && info.expires.is_none());
}
