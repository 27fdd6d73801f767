use super::*;
use crate::fakes::services::TestServices;
use ibid_catalog::NewUpload as NewRecord;

/// Creates an upload that is being received, and returns its reporter and who waits for its outcome.
async fn receiving(services: &TestServices) -> (Reporter, PendingIngest) {
    let collection = match services.test.store.catalog.collection("documents").await {
        Ok(collection) => collection,
        Err(_) => services.collection("documents").await,
    };
    let new = NewRecord {
        collection_id: collection.id,
        filename: "a.txt".to_owned(),
        content_type: "text/plain".to_owned(),
        file_size: Some(5),
        options: json!({}),
    };
    let record = services.test.store.catalog.create_upload(new).await.expect("an upload");
    let reporter = services.reports.reporter("documents", &record.id, "a.txt");
    let pending = PendingIngest::of(&reporter);
    (reporter, pending)
}

#[tokio::test]
async fn each_ending_is_recorded_published_and_answered_once() {
    let services = TestServices::open().await;
    let (mut live, store) = (services.uploads.upload_events().live, services.test.store.clone());
    let collection = services.collection("documents").await;
    let document = services.live(&collection, "abcde", 2).await;
    let failure = || Ending::Failed(ApiError::new(ErrorCode::ProcessingError, "no text"));
    let cases = [
        (Ending::Live(Box::new(document.clone())), "success", Ok("success")),
        (Ending::Duplicate(Box::new(document.clone())), "duplicate", Ok("duplicate")),
        (failure(), "failed", Err(ErrorCode::ProcessingError)),
        (Ending::Cancelled, "cancelled", Err(ErrorCode::Conflict)),
    ];
    for (ending, recorded, answered) in cases {
        let (reporter, pending) = receiving(&services).await;
        let id = reporter.upload_id.to_string();
        services.reports.end(reporter.clone(), ending).await;
        let record = store.catalog.upload(&id).await.unwrap();
        assert_eq!(record.status.as_str(), recorded);
        match (pending.outcome().await, answered) {
            (Ok(outcome), Ok(status)) => assert_eq!(outcome.status, status),
            (Err(failed), Err(code)) => assert_eq!(failed.error.code, code),
            (outcome, _) => panic!("{recorded}: {outcome:?}"),
        }
        let notice = live.try_recv().expect("an event");
        let UploadEvent::UploadComplete(complete) = &notice.event else {
            panic!("{notice:?}")
        };
        assert_eq!(serde_json::to_value(complete.status).unwrap(), json!(recorded));
        assert_eq!(
            record.result,
            Some(serde_json::to_value(complete).unwrap()),
            "the catalog keeps what was published"
        );
        assert!(live.try_recv().is_err(), "one event");
    }
}

#[tokio::test]
async fn an_outcome_that_nobody_gives_says_that_the_server_stops() {
    let services = TestServices::open().await;
    let (reporter, pending) = receiving(&services).await;
    drop(reporter);
    let failed = pending.outcome().await.expect_err("no document");
    assert_eq!(failed.error.code, ErrorCode::ServiceUnavailable);
}

#[tokio::test]
async fn a_document_that_another_server_goes_on_with_is_answered_and_not_ended() {
    let services = TestServices::open().await;
    let (reporter, pending) = receiving(&services).await;
    services.reports.leave(&reporter);
    assert_eq!(
        pending.outcome().await.expect_err("no outcome").error.code,
        ErrorCode::ServiceUnavailable
    );
    let record = services.test.store.catalog.upload(&reporter.upload_id).await.unwrap();
    assert_eq!(record.status, catalog::UploadStatus::Receiving);
}

#[tokio::test]
async fn a_document_of_pictures_says_what_cannot_be_found() {
    let services = TestServices::open().await;
    let mut live = services.uploads.upload_events().live;
    let collection = services.collection("documents").await;
    let mut document = services.live(&collection, "abcde", 1).await;
    document.metadata.insert("needs_ocr".to_owned(), "true".to_owned());
    document.metadata.insert("scanned_pages".to_owned(), "3".to_owned());
    let (reporter, _pending) = receiving(&services).await;
    services.reports.end(reporter, Ending::Live(Box::new(document))).await;
    let notice = live.try_recv().expect("an event");
    let UploadEvent::UploadComplete(complete) = &notice.event else {
        panic!("{notice:?}")
    };
    assert!(complete.needs_ocr);
    assert!(
        complete
            .message
            .as_deref()
            .is_some_and(|message| message.starts_with("Page 3 is a picture"))
    );
}

#[tokio::test]
async fn only_uploads_that_came_in_one_go_say_how_fast_the_next_will_be() {
    let services = TestServices::open().await;
    let collection = services.collection("documents").await;
    let mut document = services.live(&collection, "abcde", 1).await;
    document.file_size = 1 << 40;
    let before = services.reports.pace.estimate(1 << 40);
    let (reporter, _pending) = receiving(&services).await;
    reporter.interrupted();
    services.reports.end(reporter, Ending::Live(Box::new(document.clone()))).await;
    assert_eq!(services.reports.pace.estimate(1 << 40), before);
    let (reporter, _pending) = receiving(&services).await;
    services.reports.end(reporter, Ending::Live(Box::new(document))).await;
    assert!(services.reports.pace.estimate(1 << 40) < before);
}

#[test]
fn directories_are_left_out_of_a_file_name() {
    for (given, name) in [
        ("a.txt", "a.txt"),
        ("dir/a.txt", "a.txt"),
        ("C:\\dir\\a.txt", "a.txt"),
        (" a ", "a"),
    ] {
        assert_eq!(file_name(given).expect("a name"), name);
    }
    let long = "a".repeat(256);
    for given in ["", ".", "..", "dir/", "a\u{7}.txt", long.as_str()] {
        assert!(file_name(given).is_err(), "{given:?}");
    }
}

#[test]
fn a_client_that_says_no_type_gets_that_of_the_name() {
    assert_eq!(media_type("a.txt", None), "text/plain");
    assert_eq!(media_type("a.txt", Some("application/octet-stream")), "text/plain");
    assert_eq!(media_type("a.txt", Some("Text/HTML; charset=utf-8")), "text/html");
    assert_eq!(media_type("a", None), "application/octet-stream");
}
