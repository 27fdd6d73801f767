//! `/uploads`: tus 1.0.0, rule by rule.

use crate::support::files::{self, File};
use crate::support::{Api, Is, Reply, Server, has};
use crate::uploads::{check_upload, is_complete};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const BYTES: &str = "application/offset+octet-stream";

fn tus(api: &Api, method: Method, path: &str) -> RequestBuilder {
    api.request(method, path).header("Tus-Resumable", "1.0.0")
}

fn metadata(file: &File, collection: &str) -> String {
    let encode = |text: &str| STANDARD.encode(text);
    format!(
        "filename {},collection_name {},author {}",
        encode(&file.name),
        encode(collection),
        encode("A. Writer")
    )
}

/// Creates an upload; gives its path.
pub async fn create(api: &Api, file: &File, collection: &str) -> String {
    let request = tus(api, Method::POST, "/api/v1/uploads")
        .header("Upload-Length", file.bytes.len())
        .header("Upload-Metadata", metadata(file, collection));
    let reply = api.send(request).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("tus-resumable")),
        (201, "1.0.0"),
        "{}",
        reply.text()
    );
    assert!(!reply.header("upload-expires").is_empty());
    let path = reply.header("location").to_owned();
    assert!(path.starts_with("/api/v1/uploads/upload_"), "{path}");
    path
}

pub async fn patch(api: &Api, path: &str, offset: usize, bytes: &[u8]) -> Reply {
    let request = tus(api, Method::PATCH, path)
        .header("Content-Type", BYTES)
        .header("Upload-Offset", offset)
        .body(bytes.to_vec());
    api.send(request).await
}

/// The offset that HEAD tells.
pub async fn offset(api: &Api, path: &str) -> usize {
    let reply = api.send(tus(api, Method::HEAD, path)).await;
    assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (200, "no-store"));
    reply.header("upload-offset").parse().expect("a number")
}

#[tokio::test]
async fn options_tells_what_the_server_can() {
    let api = Server::shared().api();
    for path in ["/uploads", "/api/v1/uploads", "/uploads/upload_x"] {
        let reply = api.send(api.request(Method::OPTIONS, path)).await;
        assert_eq!(reply.status.as_u16(), 204);
        assert_eq!((reply.header("tus-resumable"), reply.header("tus-version")), ("1.0.0", "1.0.0"));
        assert_eq!(reply.header("tus-max-size"), "4194304");
        let extensions: Vec<&str> = reply.header("tus-extension").split(',').collect();
        assert!(
            extensions.contains(&"creation") && extensions.contains(&"termination"),
            "{extensions:?}"
        );
    }
}

#[tokio::test]
async fn a_file_in_pieces_becomes_a_document_with_the_same_events() {
    let server = Server::shared();
    let api = server.api();
    let mut socket = server.socket("/ws/upload?collection=tus-pieces").await;
    let file = files::volume(50, 20);
    let path = create(&api, &file, "tus-pieces").await;
    let mut at = 0;
    for piece in file.bytes.chunks(700) {
        assert_eq!(offset(&api, &path).await, at);
        let reply = patch(&api, &path, at, piece).await;
        at += piece.len();
        assert_eq!(
            (reply.status.as_u16(), reply.header("upload-offset")),
            (204, at.to_string().as_str()),
            "{}",
            reply.text()
        );
        assert_eq!(reply.header("tus-resumable"), "1.0.0");
    }
    let events = socket.receive_until(is_complete).await;
    let newest = check_upload(&events);
    assert_eq!(
        (&newest["upload_started"]["file_size"], &newest["upload_complete"]["status"]),
        (&json!(file.bytes.len()), &json!("success"))
    );
    for kind in ["upload_progress", "chunking_progress", "embedding_progress"] {
        assert_eq!(newest[kind]["progress"], 1.0, "{kind}");
    }
    let id = newest["upload_complete"]["document_id"].as_str().expect("a document");
    assert!(api.get(&format!("/documents/{id}/file")).await.body == file.bytes);
    let document = api.get(&format!("/documents/{id}")).await.expect(200);
    assert_eq!(document["metadata"]["author"], "A. Writer");
    // What has ended can still be asked for.
    assert_eq!(offset(&api, &path).await, file.bytes.len());
    let info = api.get(&path).await.expect(200);
    has(
        &info,
        &[
            ("upload_id", Is::Text),
            ("filename", Is::Text),
            ("collection_name", Is::Text),
            ("status", Is::Text),
            ("bytes_uploaded", Is::Count),
            ("total_bytes", Is::Count),
            ("resumable", Is::Bool),
            ("result", Is::Object),
        ],
    );
    assert_eq!(
        (&info["status"], &info["resumable"], &info["result"]["document_id"]),
        (&json!("success"), &json!(false), &json!(id))
    );
}

#[tokio::test]
async fn head_tells_length_offset_and_metadata_as_it_came() {
    let api = Server::shared().api();
    let file = files::volume(51, 20);
    let path = create(&api, &file, "tus-head").await;
    patch(&api, &path, 0, &file.bytes[..10]).await;
    let reply = api.send(tus(&api, Method::HEAD, &path)).await;
    assert_eq!(reply.header("upload-length"), file.bytes.len().to_string());
    assert_eq!((reply.header("upload-offset"), reply.header("tus-resumable")), ("10", "1.0.0"));
    assert_eq!(reply.header("upload-metadata"), metadata(&file, "tus-head"));
    assert!(reply.body.is_empty());
}

#[tokio::test]
async fn a_wrong_offset_is_a_conflict_and_changes_nothing() {
    let api = Server::shared().api();
    let file = files::volume(52, 20);
    let path = create(&api, &file, "tus-conflict").await;
    patch(&api, &path, 0, &file.bytes[..100]).await;
    for wrong in [0, 99, 101] {
        let reply = patch(&api, &path, wrong, b"x").await;
        reply.error(409, "CONFLICT");
        assert_eq!((reply.header("upload-offset"), reply.header("tus-resumable")), ("100", "1.0.0"));
    }
    assert_eq!(offset(&api, &path).await, 100);
}

#[tokio::test]
async fn the_version_must_be_one_that_is_spoken() {
    let api = Server::shared().api();
    let file = files::volume(53, 5);
    let path = create(&api, &file, "tus-version").await;
    for (method, path) in [
        (Method::POST, "/uploads"),
        (Method::HEAD, &path),
        (Method::PATCH, &path),
        (Method::DELETE, &path),
    ] {
        for version in [None, Some("0.2.2")] {
            let request = api.request(method.clone(), path).header("Upload-Length", 5);
            let request = version
                .map(|version| request.try_clone().expect("no body").header("Tus-Resumable", version))
                .unwrap_or(request);
            let reply = api.send(request).await;
            assert_eq!(
                (reply.status.as_u16(), reply.header("tus-version")),
                (412, "1.0.0"),
                "{method} {version:?}"
            );
        }
    }
    assert_eq!(offset(&api, &path).await, 0);
}

#[tokio::test]
async fn errors_say_what_is_wrong_with_a_creation() {
    let api = Server::shared().api();
    let create = |length: &str, metadata: &str| {
        tus(&api, Method::POST, "/uploads")
            .header("Upload-Length", length)
            .header("Upload-Metadata", metadata)
    };
    let name = |name: &str| format!("filename {}", STANDARD.encode(name));
    let error = api.send(create("4194305", &name("a.txt"))).await.error(413, "PAYLOAD_TOO_LARGE");
    assert!(error["details"]["limit"].is_u64(), "{error}");
    api.send(create("5", &name("a.exe"))).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    for (length, metadata) in [
        ("-1", name("a.txt")),
        ("x", name("a.txt")),
        ("5", String::new()),
        ("5", "filename %".to_owned()),
    ] {
        api.send(create(length, &metadata)).await.error(400, "VALIDATION_ERROR");
    }
    let deferred = tus(&api, Method::POST, "/uploads")
        .header("Upload-Defer-Length", 1)
        .header("Upload-Metadata", name("a.txt"));
    assert_eq!(
        api.send(deferred).await.error(400, "VALIDATION_ERROR")["details"]["field"],
        "Upload-Length"
    );
    for (method, status) in [(Method::HEAD, 404), (Method::PATCH, 404), (Method::DELETE, 404)] {
        let request = tus(&api, method, "/uploads/upload_none")
            .header("Upload-Offset", 0)
            .header("Content-Type", BYTES);
        assert_eq!(api.send(request).await.status.as_u16(), status);
    }
}

#[tokio::test]
async fn errors_say_what_is_wrong_with_a_piece() {
    let api = Server::shared().api();
    let file = files::volume(54, 5);
    let path = create(&api, &file, "tus-piece").await;
    let untyped = tus(&api, Method::PATCH, &path).header("Upload-Offset", 0).body("x");
    api.send(untyped).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    let unplaced = tus(&api, Method::PATCH, &path).header("Content-Type", BYTES).body("x");
    api.send(unplaced).await.error(400, "VALIDATION_ERROR");
    let long = [file.bytes.as_slice(), b"x"].concat();
    patch(&api, &path, 0, &long).await.error(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(offset(&api, &path).await, 0);
}

#[tokio::test]
async fn a_piece_that_breaks_off_is_kept_as_far_as_it_came() {
    let server = Server::shared();
    let api = server.api();
    let file = files::volume(55, 20);
    let path = create(&api, &file, "tus-broken").await;
    let mut socket = server.socket("/ws/upload?collection=tus-broken").await;
    let (pieces, coming) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let stream = futures_util::stream::unfold(coming, |mut coming| async move {
        Some((Ok::<_, std::io::Error>(coming.recv().await?), coming))
    });
    let request = tus(&api, Method::PATCH, &path)
        .header("Content-Type", BYTES)
        .header("Upload-Offset", 0)
        .body(reqwest::Body::wrap_stream(stream));
    let sending = tokio::spawn(request.send());
    pieces.send(file.bytes[..300].to_vec()).expect("the request runs");
    socket.receive_until(|event| event["data"]["bytes_uploaded"] == 300).await;
    sending.abort();
    let _ = sending.await;
    // Over whichever door: it is one upload.
    assert_eq!(offset(&api, &path).await, 300);
    let id = path.rsplit('/').next().expect("an id");
    socket.send(json!({ "type": "resume", "data": { "upload_id": id } })).await;
    socket.bytes(&file.bytes[300..]).await;
    let complete = socket.receive_until(is_complete).await.pop().expect("an event");
    assert_eq!(complete["data"]["status"], "success", "{complete}");
}

#[tokio::test]
async fn a_creation_may_bring_the_bytes_along() {
    let server = Server::shared();
    let api = server.api();
    let mut socket = server.socket("/ws/upload?collection=tus-along").await;
    let file = files::volume(56, 10);
    let request = tus(&api, Method::POST, "/uploads")
        .header("Upload-Length", file.bytes.len())
        .header("Upload-Metadata", metadata(&file, "tus-along"))
        .header("Content-Type", BYTES)
        .body(file.bytes.clone());
    let reply = api.send(request).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("upload-offset")),
        (201, file.bytes.len().to_string().as_str())
    );
    let events = socket.receive_until(is_complete).await;
    assert_eq!(check_upload(&events)["upload_complete"]["status"], "success");
}

#[tokio::test]
async fn termination_frees_everything() {
    let server = Server::start("tus-terminated", &[]);
    let api = server.api();
    let mut socket = server.socket("/ws/upload").await;
    let file = files::volume(57, 20);
    let path = create(&api, &file, "documents").await;
    patch(&api, &path, 0, &file.bytes[..100]).await;
    let reply = api.send(tus(&api, Method::DELETE, &path)).await;
    assert_eq!((reply.status.as_u16(), reply.header("tus-resumable")), (204, "1.0.0"));
    let complete = socket.receive_until(is_complete).await.pop().expect("an event");
    assert_eq!(complete["data"]["status"], "cancelled");
    let gone = api.send(tus(&api, Method::HEAD, &path)).await;
    assert_eq!(gone.status.as_u16(), 410);
    assert_eq!(patch(&api, &path, 100, b"x").await.status.as_u16(), 410);
    let incoming = std::fs::read_dir(server.data_dir().join("files/incoming")).map_or(0, Iterator::count);
    assert_eq!(incoming, 0);
}

#[tokio::test]
async fn a_post_may_stand_for_another_method_and_a_get_may_not() {
    let api = Server::shared().api();
    let file = files::volume(58, 20);
    let path = create(&api, &file, "tus-override").await;
    let request = tus(&api, Method::POST, &path)
        .header("X-HTTP-Method-Override", "PATCH")
        .header("Content-Type", BYTES)
        .header("Upload-Offset", 0)
        .body("some");
    assert_eq!(api.send(request).await.header("upload-offset"), "4");
    let request = tus(&api, Method::GET, &path).header("X-HTTP-Method-Override", "DELETE");
    assert_eq!(api.send(request).await.expect(200)["status"], "receiving");
    assert_eq!(offset(&api, &path).await, 4);
    api.send(tus(&api, Method::POST, &path)).await.error(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let mut server = Server::start("tus-restarted", &[]);
    let file = files::volume(59, 20);
    let path = create(&server.api(), &file, "documents").await;
    // What was acknowledged is durable.
    assert_eq!(patch(&server.api(), &path, 0, &file.bytes[..900]).await.status.as_u16(), 204);
    server.kill9();
    server.restart();
    let api = server.api();
    assert_eq!(offset(&api, &path).await, 900);
    let mut socket = server.socket("/ws/upload").await;
    assert_eq!(patch(&api, &path, 900, &file.bytes[900..]).await.status.as_u16(), 204);
    let complete: Value = socket.receive_until(is_complete).await.pop().expect("an event");
    let id = complete["data"]["document_id"].as_str().expect("a document");
    assert!(api.get(&format!("/documents/{id}/file")).await.body == file.bytes);
}

#[tokio::test]
async fn pages_elsewhere_may_use_it_where_they_may_use_the_server() {
    let server = Server::start("tus-origins", &["server.allowed_origins=https://app.example.org"]);
    let api = server.api();
    let asked = |origin: &str| {
        api.request(Method::OPTIONS, "/uploads")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
    };
    let reply = api.send(asked("https://app.example.org")).await;
    let allowed = reply.header("access-control-allow-headers").to_lowercase();
    for name in ["tus-resumable", "upload-length", "upload-offset", "upload-metadata", "content-type"] {
        assert!(allowed.contains(name), "{name}: {allowed}");
    }
    let shown = reply.header("access-control-expose-headers").to_lowercase();
    for name in ["location", "upload-offset", "upload-length", "tus-version", "tus-max-size"] {
        assert!(shown.contains(name), "{name}: {shown}");
    }
    let foreign = tus(&api, Method::POST, "/uploads")
        .header("Origin", "https://evil.example")
        .header("Upload-Length", 1);
    api.send(foreign).await.error(403, "AUTHORIZATION_FAILED");
}
