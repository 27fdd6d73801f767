//! What `/ws/upload` tells of uploads.

use crate::support::files::{self, File, PAGES};
use crate::support::{Is, Server, Socket, has};
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// In the order in which they come.
const ORDER: [&str; 6] = [
    "upload_started",
    "upload_progress",
    "processing_progress",
    "chunking_progress",
    "embedding_progress",
    "upload_complete",
];

async fn open(collection: &str) -> Socket {
    Server::shared().socket(&format!("/ws/upload?collection={collection}")).await
}

pub(crate) fn is_complete(event: &Value) -> bool {
    event["type"] == "upload_complete"
}

/// The guide's fields and types of one event.
fn check_event(event: &Value) {
    let data = &event["data"];
    has(data, &[("upload_id", Is::Text), ("filename", Is::Text)]);
    match event["type"].as_str() {
        Some("upload_started") => has(data, &[("file_size", Is::Count), ("estimated_time", Is::Count)]),
        Some("upload_progress") => has(
            data,
            &[
                ("bytes_uploaded", Is::Count),
                ("total_bytes", Is::Count),
                ("progress", Is::Share),
                ("speed_mbps", Is::Number),
            ],
        ),
        Some("processing_progress") => has(data, &[("stage", Is::Text), ("progress", Is::Share), ("message", Is::Text)]),
        Some("chunking_progress") => has(
            data,
            &[
                ("chunks_processed", Is::Count),
                ("total_chunks", Is::Count),
                ("progress", Is::Share),
            ],
        ),
        Some("embedding_progress") => has(
            data,
            &[
                ("embeddings_generated", Is::Count),
                ("total_embeddings", Is::Count),
                ("progress", Is::Share),
            ],
        ),
        Some("upload_complete") => has(
            data,
            &[("total_time", Is::Number), ("chunks_created", Is::Count), ("status", Is::Text)],
        ),
        _ => panic!("not of an upload: {event}"),
    }
}

/// Checks the events of one upload, from its start to its end; gives the newest `data` of each type.
pub(crate) fn check_upload(events: &[Value]) -> BTreeMap<&str, &Value> {
    let mut newest: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut step = 0;
    for event in events {
        check_event(event);
        let (kind, data) = (event["type"].as_str().unwrap_or_default(), &event["data"]);
        assert_eq!(data["upload_id"], events[0]["data"]["upload_id"]);
        let next = ORDER.iter().position(|name| *name == kind).expect("a known type");
        assert!(next >= step, "{kind} comes after {}", ORDER[step]);
        step = next;
        if let Some(before) = newest.insert(kind, data) {
            assert!(
                before["progress"].as_f64() <= data["progress"].as_f64(),
                "progress goes back: {before}, {data}"
            );
        }
    }
    assert_eq!((events[0]["type"].as_str(), step), (Some(ORDER[0]), ORDER.len() - 1));
    newest
}

#[tokio::test]
async fn the_events_of_an_upload_come_in_order_from_start_to_end() {
    let api = Server::shared().api();
    let report = files::report("report.pdf");
    for (file, size) in [
        (&report, report.bytes.len()),
        (&files::volume(7, 60), files::volume(7, 60).bytes.len()),
    ] {
        let mut socket = open("uploads-told").await;
        let document = api.ingest("uploads-told", file).await;
        let events = socket.receive_until(is_complete).await;
        let newest = check_upload(&events);
        for kind in ORDER {
            assert!(newest.contains_key(kind), "no {kind}");
            assert_eq!(newest[kind]["filename"], file.name);
        }
        assert_eq!(newest["upload_started"]["file_size"], size);
        assert_eq!(
            (
                &newest["upload_progress"]["bytes_uploaded"],
                &newest["upload_progress"]["total_bytes"]
            ),
            (&json!(size), &json!(size))
        );
        for kind in ["upload_progress", "chunking_progress", "embedding_progress"] {
            assert_eq!(newest[kind]["progress"], 1.0, "{kind} ends with 1.0");
        }
        assert_eq!(newest["processing_progress"]["stage"], "text_extraction");
        let chunks = &document["chunks_created"];
        assert_eq!(
            (
                &newest["chunking_progress"]["chunks_processed"],
                &newest["chunking_progress"]["total_chunks"]
            ),
            (chunks, chunks)
        );
        assert_eq!(
            (
                &newest["embedding_progress"]["embeddings_generated"],
                &newest["embedding_progress"]["total_embeddings"]
            ),
            (chunks, chunks)
        );
        let complete = newest["upload_complete"];
        assert_eq!(
            (&complete["status"], &complete["document_id"], &complete["chunks_created"]),
            (&json!("success"), &document["document_id"], chunks)
        );
        assert_eq!(complete["upload_id"], document["upload_id"]);
        socket.close().await;
    }
}

#[tokio::test]
async fn scanned_pages_are_reported_wherever_the_upload_is() {
    let api = Server::shared().api();
    let mut socket = open("uploads-scanned").await;
    let document = api.ingest("uploads-scanned", &files::half_scanned("scan.pdf")).await;
    let metadata = &document["metadata"];
    assert_eq!(
        (&metadata["needs_ocr"], &metadata["scanned_pages"]),
        (&json!("true"), &json!("2-3"))
    );
    let events = socket.receive_until(is_complete).await;
    let newest = check_upload(&events);
    let (extracted, complete) = (newest["processing_progress"], newest["upload_complete"]);
    assert_eq!((&complete["status"], &complete["needs_ocr"]), (&json!("success"), &json!(true)));
    for event in [extracted, complete] {
        let message = event["message"].as_str().expect("a message");
        assert!(message.starts_with("Pages 2-3 are pictures of text"), "{message}");
    }
    // What can be read is there.
    assert_eq!(document["chunks_created"], 2);
    // A file that can be read says nothing of it.
    api.ingest("uploads-scanned", &files::report("report.pdf")).await;
    let events = socket.receive_until(is_complete).await;
    let complete = check_upload(&events)["upload_complete"];
    assert_eq!((complete.get("needs_ocr"), complete.get("message")), (None, None));
}

#[tokio::test]
async fn a_failed_upload_says_why_and_a_duplicate_says_of_what() {
    let api = Server::shared().api();
    let mut socket = open("uploads-ends").await;
    let secret = File::new("secret.pdf", files::pdf(&PAGES, Some("open sesame")));
    api.upload("", "uploads-ends", &[&secret]).await.error(422, "PROCESSING_ERROR");
    let events = socket.receive_until(is_complete).await;
    let failed = check_upload(&events)["upload_complete"];
    assert_eq!(
        (&failed["status"], &failed["chunks_created"], &failed["document_id"]),
        (&json!("failed"), &json!(0), &Value::Null)
    );
    has(&failed["error"], &[("code", Is::Text), ("message", Is::Text)]);

    let first = api.ingest("uploads-ends", &files::report("report.pdf")).await;
    socket.receive_until(is_complete).await;
    api.ingest("uploads-ends", &files::report("again.pdf")).await;
    let events = socket.receive_until(is_complete).await;
    let duplicate = check_upload(&events)["upload_complete"];
    assert_eq!(
        (&duplicate["status"], &duplicate["document_id"], &duplicate["filename"]),
        (&json!("duplicate"), &first["document_id"], &json!("again.pdf"))
    );
}

#[tokio::test]
async fn an_upload_that_nobody_waits_for_goes_on() {
    let api = Server::shared().api();
    let mut socket = open("uploads-accepted").await;
    let (one, other) = (files::volume(8, 20), files::volume(9, 20));
    let accepted = api.upload("?wait=false", "uploads-accepted", &[&one, &other]).await.expect(202);
    has(
        &accepted,
        &[("upload_id", Is::Text), ("upload_ids", Is::Texts), ("status", Is::Text)],
    );
    assert_eq!(
        (&accepted["status"], &accepted["upload_id"]),
        (&json!("accepted"), &accepted["upload_ids"][0])
    );
    let mut ended = Vec::new();
    for _ in 0..2 {
        let complete = socket.receive_until(is_complete).await.pop().expect("an event");
        assert_eq!(complete["data"]["status"], "success", "{complete}");
        ended.push(complete["data"]["upload_id"].clone());
    }
    assert!(
        accepted["upload_ids"].as_array().expect("ids").iter().all(|id| ended.contains(id)),
        "{accepted} {ended:?}"
    );
    assert_eq!(api.documents("uploads-accepted").await.len(), 2);
}

/// A request to upload `file`, whose bytes come when they are sent through the channel.
fn held_back(file: &File, collection: &str) -> (mpsc::UnboundedSender<Vec<u8>>, tokio::task::JoinHandle<u16>) {
    let (bytes, coming) = mpsc::unbounded_channel::<Vec<u8>>();
    let pieces = stream::unfold(coming, |mut coming| async move {
        Some((Ok::<_, std::io::Error>(coming.recv().await?), coming))
    });
    let length = file.bytes.len() as u64;
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert(reqwest::header::CONTENT_LENGTH, length.into());
    let part = Part::stream_with_length(Body::wrap_stream(pieces), length)
        .file_name(file.name.clone())
        .headers(headers);
    let form = Form::new().text("collection_name", collection.to_owned()).part("files", part);
    let api = Server::shared().api();
    let sending = tokio::spawn(async move {
        api.send(api.request(Method::POST, "/documents/upload").multipart(form))
            .await
            .status
            .as_u16()
    });
    (bytes, sending)
}

#[tokio::test]
async fn a_late_subscriber_gets_the_events_of_uploads_in_flight() {
    let file = files::volume(10, 30);
    let (half, rest) = file.bytes.split_at(file.bytes.len() / 2);
    let mut early = open("uploads-late").await;
    let (bytes, sending) = held_back(&file, "uploads-late");
    bytes.send(half.to_vec()).expect("the request runs");
    let progress = early.receive_until(|event| event["type"] == "upload_progress").await;
    let id = progress[0]["data"]["upload_id"].as_str().expect("an id").to_owned();

    let mut late = open("uploads-late").await;
    let mut narrow = Server::shared().socket(&format!("/ws/upload?upload_id={id}")).await;
    let mut elsewhere = open("uploads-elsewhere").await;
    let mut told = Vec::new();
    for socket in [&mut late, &mut narrow] {
        let mut events = vec![socket.receive().await, socket.receive().await];
        assert_eq!(
            (&events[0], events[1]["type"].as_str()),
            (&progress[0], Some("upload_progress")),
            "its start and its newest progress"
        );
        events.truncate(2);
        told.push(events);
    }
    bytes.send(rest.to_vec()).expect("the request runs");
    // The end of the file: nothing follows.
    drop(bytes);
    assert_eq!(sending.await.expect("an answer"), 201);
    for (socket, mut events) in [&mut late, &mut narrow].into_iter().zip(told) {
        events.extend(socket.receive_until(is_complete).await);
        check_upload(&events);
    }
    // Another collection's socket hears of its own uploads only.
    Server::shared()
        .api()
        .ingest("uploads-elsewhere", &files::report("report.pdf"))
        .await;
    let events = elsewhere.receive_until(is_complete).await;
    assert!(events.iter().all(|event| event["data"]["filename"] == "report.pdf"), "{events:?}");
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_ended_and_leaves_nothing() {
    let file = files::volume(11, 30);
    let mut socket = open("uploads-broken-off").await;
    let (bytes, sending) = held_back(&file, "uploads-broken-off");
    bytes.send(file.bytes[..1_000].to_vec()).expect("the request runs");
    socket.receive_until(|event| event["type"] == "upload_started").await;
    sending.abort();
    let complete = socket.receive_until(is_complete).await.pop().expect("an event");
    let status = complete["data"]["status"].as_str().unwrap_or_default();
    assert!(matches!(status, "cancelled" | "failed"), "{complete}");
    assert_eq!(
        (&complete["data"]["document_id"], &complete["data"]["chunks_created"]),
        (&Value::Null, &json!(0))
    );
    assert_eq!(Server::shared().api().documents("uploads-broken-off").await, Vec::<Value>::new());
}
