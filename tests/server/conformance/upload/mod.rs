//! Uploads over `/ws/upload`: begun, written, lost, resumed, cancelled, forgotten.

mod resume;

use crate::support::files::{self, File};
use crate::support::raw::{BINARY, Raw, TEXT, frame, head};
use crate::support::{Api, Is, Server, Socket, has, within};
use crate::uploads::{check_upload, is_complete};
use serde_json::{Value, json};

async fn open(server: &Server, collection: &str) -> Socket {
    server.socket(&format!("/ws/upload?collection={collection}")).await
}

fn upload(file: &File, collection: &str) -> Value {
    json!({ "type": "upload", "data": { "filename": file.name, "file_size": file.bytes.len(), "collection_name": collection } })
}

fn resume(id: &str) -> Value {
    json!({ "type": "resume", "data": { "upload_id": id } })
}

fn cancel(id: &str) -> Value {
    json!({ "type": "control", "data": { "upload_id": id, "action": "cancel" } })
}

/// Begins an upload; gives its identifier.
async fn begin(socket: &mut Socket, file: &File, collection: &str) -> String {
    socket.send(upload(file, collection)).await;
    let started = socket
        .receive_until(|event| event["type"] == "upload_started")
        .await
        .pop()
        .expect("an event");
    assert_eq!(
        (&started["data"]["filename"], &started["data"]["file_size"]),
        (&json!(file.name), &json!(file.bytes.len()))
    );
    started["data"]["upload_id"].as_str().expect("an id").to_owned()
}

/// Events up to the one that tells so many bytes.
async fn until_bytes(socket: &mut Socket, id: &str, bytes: usize) -> Value {
    let told = |event: &Value| event["data"]["upload_id"] == id && event["data"]["bytes_uploaded"] == bytes;
    socket.receive_until(told).await.pop().expect("an event")
}

/// The answer to `resume`.
async fn resumed(socket: &mut Socket, id: &str) -> Value {
    let mut message = resume(id);
    message["request_id"] = json!("again");
    socket.send(message).await;
    let answers = socket
        .receive_until(|event| event["request_id"] == "again" && event["type"] == "upload_progress" && event["data"]["upload_id"] == id)
        .await;
    let answer = answers.last().expect("an answer").clone();
    has(
        &answer["data"],
        &[
            ("upload_id", Is::Text),
            ("filename", Is::Text),
            ("bytes_uploaded", Is::Count),
            ("total_bytes", Is::Count),
            ("progress", Is::Share),
            ("speed_mbps", Is::Number),
        ],
    );
    assert_eq!(answer["data"]["upload_id"], id);
    answer["data"].clone()
}

/// The end of an upload, which must be this.
async fn ends(socket: &mut Socket, id: &str, status: &str) -> Value {
    let last = socket
        .receive_until(|event| is_complete(event) && event["data"]["upload_id"] == id)
        .await
        .pop()
        .expect("an event");
    assert_eq!(last["data"]["status"], status, "{last}");
    last["data"].clone()
}

/// The stored document is the file, byte for byte.
async fn is_stored(api: &Api, complete: &Value, file: &File) {
    let id = complete["document_id"].as_str().expect("a document");
    let stored = api.get(&format!("/documents/{id}/file")).await;
    assert!(
        stored.body == file.bytes,
        "{} bytes instead of {}",
        stored.body.len(),
        file.bytes.len()
    );
}

#[tokio::test]
async fn a_file_comes_in_binary_frames_and_has_the_same_events_as_any_other() {
    let server = Server::shared();
    let mut socket = open(server, "over-socket").await;
    let file = files::volume(30, 20);
    let mut message = upload(&file, "over-socket");
    message["request_id"] = json!("mine");
    message["data"]["metadata"] = json!({ "author": "A. Writer", "year": 2024 });
    socket.send(message).await;
    // Without waiting for the identifier: the frames belong to the upload that was named last.
    for piece in file.bytes.chunks(700) {
        socket.bytes(piece).await;
    }
    let events = socket.receive_until(is_complete).await;
    let newest = check_upload(&events);
    assert!(
        events.iter().all(|event| event["request_id"] == "mine"),
        "the client's own name for it: {events:?}"
    );
    assert_eq!(newest["upload_started"]["file_size"], file.bytes.len());
    assert_eq!(newest["upload_progress"]["bytes_uploaded"], file.bytes.len());
    for kind in ["upload_progress", "chunking_progress", "embedding_progress"] {
        assert_eq!(newest[kind]["progress"], 1.0, "{kind}");
    }
    let complete = newest["upload_complete"];
    assert_eq!(complete["status"], "success");
    let api = server.api();
    is_stored(&api, complete, &file).await;
    let id = complete["document_id"].as_str().expect("an id");
    let document = api.get(&format!("/documents/{id}")).await.expect(200);
    assert_eq!(
        (&document["metadata"]["author"], &document["metadata"]["year"]),
        (&json!("A. Writer"), &json!("2024"))
    );
}

/// Files below a directory.
fn stored_files(directory: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .filter(|entry| entry.file_name() != ".lock")
        .map(|entry| if entry.path().is_dir() { stored_files(&entry.path()) } else { 1 })
        .sum()
}

#[tokio::test]
async fn bytes_that_no_upload_is_named_for_are_refused() {
    let server = Server::shared();
    let mut socket = open(server, "over-unnamed").await;
    socket.bytes(b"bytes").await;
    socket.error(Value::Null, "INVALID_MESSAGE").await;
    // What follows an `upload` that was refused must not get into the one before it.
    let file = files::volume(38, 20);
    let id = begin(&mut socket, &file, "over-unnamed").await;
    for refused in [
        json!({ "type": "upload", "data": { "filename": "a.txt" } }).to_string(),
        json!({ "type": "resume", "data": { "upload_id": "upload_none" } }).to_string(),
        "{".to_owned(),
        json!({ "type": "uplaod", "data": {} }).to_string(),
    ] {
        socket.send(resume(&id)).await;
        socket.send_text(&refused).await;
        socket.bytes(b"bytes").await;
        let errors = socket
            .receive_until(|event| event["data"]["code"] == "INVALID_MESSAGE" && event["request_id"].is_null())
            .await;
        assert!(!errors.is_empty());
        if refused == "{" {
            socket.receive_until(|event| event["data"]["code"] == "INVALID_MESSAGE").await;
        }
    }
    assert_eq!(resumed(&mut socket, &id).await["bytes_uploaded"], 0);
}

#[tokio::test]
async fn more_bytes_than_were_announced_are_refused_and_none_of_them_is_taken() {
    let server = Server::shared();
    let mut socket = open(server, "over-full").await;
    let file = files::volume(39, 20);
    let id = begin(&mut socket, &file, "over-full").await;
    socket.bytes(&file.bytes[..500]).await;
    socket.bytes(&[&file.bytes[500..], b"x"].concat()).await;
    let refused = socket
        .receive_until(|event| event["type"] == "error")
        .await
        .pop()
        .expect("an error");
    assert_eq!(refused["data"]["code"], "VALIDATION_ERROR");
    assert_eq!(refused["data"]["details"]["field"], "file_size");
    assert_eq!(resumed(&mut socket, &id).await["bytes_uploaded"], 500);
    socket.bytes(&file.bytes[500..]).await;
    let complete = ends(&mut socket, &id, "success").await;
    is_stored(&server.api(), &complete, &file).await;
}

#[tokio::test]
async fn an_invalid_message_is_an_error_that_names_the_field_and_the_connection_stays_open() {
    let server = Server::shared();
    let mut socket = open(server, "over-wrong").await;
    let data = |more: Value| {
        let mut data = json!({ "filename": "a.txt", "file_size": 5, "collection_name": "over-wrong" });
        for (key, value) in more.as_object().expect("an object") {
            data[key] = value.clone();
        }
        json!({ "type": "upload", "request_id": "u", "data": data })
    };
    for (message, code, field) in [
        (
            json!({ "type": "upload", "request_id": "u", "data": { "file_size": 5 } }),
            "VALIDATION_ERROR",
            "filename",
        ),
        (
            json!({ "type": "upload", "request_id": "u", "data": { "filename": "a.txt" } }),
            "VALIDATION_ERROR",
            "file_size",
        ),
        (data(json!({ "file_size": 0 })), "VALIDATION_ERROR", "file_size"),
        (data(json!({ "file_size": -1 })), "VALIDATION_ERROR", "file_size"),
        (data(json!({ "file_size": "many" })), "VALIDATION_ERROR", "file_size"),
        (data(json!({ "filename": "" })), "VALIDATION_ERROR", "filename"),
        (data(json!({ "metadata": { "a": [] } })), "VALIDATION_ERROR", "metadata.a"),
        (data(json!({ "file_size": 1u64 << 40 })), "PAYLOAD_TOO_LARGE", ""),
        (data(json!({ "filename": "a.exe" })), "UNSUPPORTED_MEDIA_TYPE", ""),
        (
            json!({ "type": "uplaod", "request_id": "u", "data": {} }),
            "VALIDATION_ERROR",
            "type",
        ),
        (
            json!({ "type": "upload", "request_id": "u", "data": [] }),
            "VALIDATION_ERROR",
            "data",
        ),
        (
            json!({ "type": "resume", "request_id": "u", "data": {} }),
            "VALIDATION_ERROR",
            "upload_id",
        ),
        (
            json!({ "type": "resume", "request_id": "u", "data": { "upload_id": "upload_none" } }),
            "RESOURCE_NOT_FOUND",
            "",
        ),
        (
            json!({ "type": "control", "request_id": "u", "data": { "upload_id": "upload_none", "action": "cancel" } }),
            "RESOURCE_NOT_FOUND",
            "",
        ),
        (
            json!({ "type": "control", "request_id": "u", "data": { "upload_id": "upload_none", "action": "pause" } }),
            "VALIDATION_ERROR",
            "action",
        ),
        (
            json!({ "type": "control", "request_id": "u", "data": { "action": "cancel" } }),
            "VALIDATION_ERROR",
            "upload_id",
        ),
    ] {
        socket.send(message.clone()).await;
        let error = socket.error(json!("u"), code).await;
        if !field.is_empty() {
            assert_eq!(error["details"]["field"], field, "{message}");
        }
    }
    for (message, request_id) in [
        ("[]".to_owned(), Value::Null),
        ("{".to_owned(), Value::Null),
        (json!({ "request_id": "u" }).to_string(), json!("u")),
        (json!({ "type": "upload", "request_id": 7, "data": {} }).to_string(), Value::Null),
    ] {
        socket.send_text(&message).await;
        socket.error(request_id, "INVALID_MESSAGE").await;
    }
    let file = files::volume(40, 5);
    let id = begin(&mut socket, &file, "over-wrong").await;
    socket.bytes(&file.bytes).await;
    ends(&mut socket, &id, "success").await;
}

#[tokio::test]
async fn an_upload_in_one_request_cannot_be_resumed_but_its_end_is_reported() {
    let server = Server::shared();
    let document = server.api().ingest("over-request", &files::report("report.pdf")).await;
    let id = document["upload_id"].as_str().expect("an id");
    let mut socket = server.socket("/ws/upload?upload_id=none").await;
    assert_eq!(resumed(&mut socket, id).await["progress"], 1.0);
    assert_eq!(ends(&mut socket, id, "success").await["document_id"], document["document_id"]);
}

#[tokio::test]
async fn binary_frames_have_up_to_4_mib_and_text_frames_no_more_than_elsewhere() {
    let server = Server::start("frames-of-uploads", &[]);
    let path = "/ws/upload?collection=documents";
    let mut raw = Raw::connect(server.address(), path).await;
    let message = json!({ "type": "upload", "data": { "filename": "large.txt", "file_size": 9 << 20 } });
    raw.send(&frame(true, TEXT, message.to_string().as_bytes())).await;
    let (_, started) = raw.receive().await;
    let started: Value = serde_json::from_slice(&started).expect("JSON");
    assert_eq!(started["type"], "upload_started", "{started}");
    let piece = vec![b'x'; 4 << 20];
    raw.send(&frame(true, BINARY, &piece)).await;
    let (_, progress) = raw.receive().await;
    let progress: Value = serde_json::from_slice(&progress).expect("JSON");
    assert_eq!(progress["data"]["bytes_uploaded"], 4 << 20, "{progress}");
    raw.send(&head(true, BINARY, (4 << 20) + 1, true)).await;
    raw.send(&[0; 4]).await;
    let (opcode, payload) = raw.receive().await;
    assert_eq!((opcode, &payload[..2]), (crate::support::raw::CLOSE, &1009u16.to_be_bytes()[..]));

    let mut raw = Raw::connect(server.address(), path).await;
    let (_, replayed) = raw.receive().await;
    assert!(
        String::from_utf8(replayed).expect("UTF-8").contains("upload_started"),
        "it waits to be resumed"
    );
    raw.send(&frame(true, TEXT, &vec![b' '; (1 << 20) + 1])).await;
    let closed = loop {
        // What is told of the upload meanwhile.
        let (opcode, payload) = raw.receive().await;
        if opcode == crate::support::raw::CLOSE {
            break payload;
        }
    };
    assert_eq!(closed[..2], 1009u16.to_be_bytes());
}

#[tokio::test]
async fn file_size_is_true_also_where_no_part_of_the_form_says_it() {
    use reqwest::Method;
    use reqwest::multipart::{Form, Part};
    let server = Server::shared();
    let api = server.api();
    let mut socket = open(server, "over-sizes").await;
    // As browsers and curl send it.
    for file in [files::report("report.pdf"), files::volume(43, 20)] {
        let part = Part::bytes(file.bytes.clone()).file_name(file.name.clone());
        let form = Form::new().text("collection_name", "over-sizes").part("files", part);
        api.send(api.request(Method::POST, "/documents/upload").multipart(form))
            .await
            .expect(201);
        let events = socket.receive_until(is_complete).await;
        let newest = check_upload(&events);
        assert_eq!(newest["upload_started"]["file_size"], file.bytes.len());
        assert!(newest["upload_started"].get("size_is_estimate").is_none());
        assert_eq!(newest["upload_progress"]["total_bytes"], file.bytes.len());
        assert_eq!(newest["upload_progress"]["bytes_uploaded"], file.bytes.len());
    }
    // A slow one: it is told of before all of it is here, and what is left of the request is the file.
    let file = files::volume(44, 20);
    let (pieces, coming) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let stream = futures_util::stream::unfold(coming, |mut coming| async move {
        Some((Ok::<_, std::io::Error>(coming.recv().await?), coming))
    });
    let part = Part::stream_with_length(reqwest::Body::wrap_stream(stream), file.bytes.len() as u64).file_name(file.name.clone());
    let form = Form::new().text("collection_name", "over-sizes").part("files", part);
    let sending = tokio::spawn(async move {
        api.send(api.request(Method::POST, "/documents/upload").multipart(form))
            .await
            .status
    });
    pieces.send(file.bytes[..100].to_vec()).expect("the request runs");
    let started = socket.receive().await;
    assert_eq!(
        (&started["data"]["file_size"], &started["data"]["size_is_estimate"]),
        (&json!(file.bytes.len()), &json!(true)),
        "{started}"
    );
    pieces.send(file.bytes[100..].to_vec()).expect("the request runs");
    drop(pieces);
    assert_eq!(sending.await.expect("an answer"), 201);
    let mut events = vec![started];
    events.extend(socket.receive_until(is_complete).await);
    assert_eq!(check_upload(&events)["upload_progress"]["total_bytes"], file.bytes.len());
}
