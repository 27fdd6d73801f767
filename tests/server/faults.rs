//! The server is stopped, and killed, at bad moments.

use crate::support::files::{self, File, QUESTIONS};
use crate::support::{Api, Server, Socket, answered, within};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Documents of the tests that interrupt their ingest, and sentences in each: some ten chunks, so that there is a middle.
const VOLUMES: usize = 6;
const SENTENCES: usize = 70;

fn volumes() -> Vec<File> {
    (0..VOLUMES).map(|n| files::volume(20 + n, SENTENCES)).collect()
}

/// Uploads the volumes; returns once the server has taken all their bytes.
async fn begin(server: &Server) {
    let files = volumes();
    let files: Vec<&File> = files.iter().collect();
    server.api().upload("?wait=false", "documents", &files).await.expect(202);
}

/// Documents of which all chunks are found, by name. Fails if of any document some are found and some are not.
async fn visible(api: &Api) -> BTreeMap<String, usize> {
    let mut visible = BTreeMap::new();
    for document in api.documents("documents").await {
        let (name, id) = (
            document["filename"].as_str().expect("a name"),
            document["document_id"].as_str().expect("an id"),
        );
        let found = api.found_chunks("documents", id).await;
        if found > 0 {
            // Read after the search: a document that is found has its final count.
            let detail = api.get(&format!("/documents/{id}")).await.expect(200);
            assert_eq!(detail["statistics"]["chunks"], found, "{name} is half visible: {detail}");
            visible.insert(name.to_owned(), found);
        }
    }
    visible
}

/// Waits until no document is in processing, looking at what can be seen all the while.
async fn settled(server: &Server) {
    let api = server.api();
    within("all documents to be done", async {
        loop {
            // Made before the look, so that no end is missed between the two.
            let mut socket = server.socket("/ws/upload").await;
            visible(&api).await;
            let list = api.documents("documents").await;
            if list.iter().all(|document| document["status"] != "processing") {
                return;
            }
            socket.receive_until(|event| event["type"] == "upload_complete").await;
        }
    })
    .await;
}

/// Waits for an event that is `wanted`. False if every document is done before it comes: a fast machine may be through
/// with what is left before a socket is open.
async fn comes(socket: &mut Socket, api: &Api, wanted: impl Fn(&Value) -> bool) -> bool {
    loop {
        if api
            .documents("documents")
            .await
            .iter()
            .all(|document| document["status"] != "processing")
        {
            return false;
        }
        let events = socket
            .receive_until(|event| wanted(event) || event["type"] == "upload_complete")
            .await;
        if events.last().is_some_and(&wanted) {
            return true;
        }
    }
}

/// Every volume is there once, whole, and can be found by its own sentences; and the counts agree.
async fn expect_all_whole(api: &Api) {
    let documents = api.documents("documents").await;
    let names: Vec<&str> = documents.iter().filter_map(|document| document["filename"].as_str()).collect();
    assert_eq!(names, volumes().iter().map(|file| file.name.as_str()).collect::<Vec<_>>());
    let found = visible(api).await;
    let mut chunks = 0;
    for (document, file) in documents.iter().zip(volumes()) {
        assert_eq!(
            (&document["status"], document["chunks"].as_u64()),
            (&json!("ready"), found.get(&file.name).map(|n| *n as u64)),
            "{document}"
        );
        assert!(found[&file.name] > 3, "too small a document to be interrupted");
        chunks += found[&file.name];
        let id = document["document_id"].as_str().expect("an id");
        assert_eq!(api.text(id, "").await.into_bytes(), file.bytes);
        let last = SENTENCES - 1;
        let volume = file.name.trim_start_matches("volume-").trim_end_matches(".txt");
        let request = json!({ "query": format!("Record {last} of volume {volume}"), "search_type": "keyword", "limit": 1, "filters": { "document_ids": [id] } });
        let hit = &api.search(request).await[0];
        assert!(
            hit["content"]
                .as_str()
                .is_some_and(|text| text.contains(&format!("of volume {volume} "))),
            "{hit}"
        );
    }
    let info = api.get("/collections/documents/info").await.expect(200);
    assert_eq!(
        (&info["total_documents"], &info["total_chunks"], &info["processing_documents"]),
        (&json!(VOLUMES), &json!(chunks), &json!(0))
    );
}

#[tokio::test]
async fn after_kill_9_in_the_middle_of_an_ingest_each_document_is_wholly_in_or_resumed() {
    let mut server = Server::start("kill", &[]);
    let mut socket = server.socket("/ws/upload").await;
    begin(&server).await;
    let mut before = BTreeMap::new();
    // In the middle of extraction, of embedding, and when some are done and others are not.
    for kind in ["processing_progress", "embedding_progress", "upload_complete"] {
        let in_the_middle = |event: &Value| event["type"] == kind && event["data"]["progress"].as_f64().is_none_or(|done| done < 1.0);
        if !comes(&mut socket, &server.api(), in_the_middle).await {
            break;
        }
        server.kill9();
        server.restart();
        socket = server.socket("/ws/upload").await;
        let now = visible(&server.api()).await;
        assert!(
            before.iter().all(|(name, chunks)| now.get(name) == Some(chunks)),
            "what was in is gone: {before:?}, {now:?}"
        );
        before = now;
    }
    settled(&server).await;
    expect_all_whole(&server.api()).await;
    // And once more, with nothing to do.
    server.kill9();
    server.restart();
    expect_all_whole(&server.api()).await;
}

#[tokio::test]
async fn a_stop_in_the_middle_of_an_ingest_is_resumed() {
    let mut server = Server::start("stop", &[]);
    let mut socket = server.socket("/ws/upload").await;
    begin(&server).await;
    socket.receive_until(|event| event["type"] == "embedding_progress").await;
    server.terminate();
    assert!(server.stopped().await.success());
    server.restart();
    settled(&server).await;
    expect_all_whole(&server.api()).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let mut server = Server::start("acknowledged", &[]);
    let api = server.api();
    let kept = api.ingest("documents", &files::report("report.pdf")).await;
    let deleted = api.ingest("documents", &files::volume(30, 20)).await;
    let (kept, deleted) = (
        kept["document_id"].as_str().expect("an id"),
        deleted["document_id"].as_str().expect("an id"),
    );
    api.delete(&format!("/documents/{deleted}")).await.expect(200);
    // Half of an upload: its bytes never come.
    let mut half = TcpStream::connect(server.address()).await.expect("a connection");
    let form = "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"half.txt\"\r\n\r\nThe first half of";
    let head = format!(
        "POST /documents/upload HTTP/1.1\r\nHost: {}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n{form}",
        server.address()
    );
    let mut socket = server.socket("/ws/upload").await;
    half.write_all(head.as_bytes()).await.expect("sending");
    socket.receive_until(|event| event["data"]["filename"] == "half.txt").await;
    server.kill9();
    server.restart();

    let api = server.api();
    let names: Vec<Value> = api
        .documents("documents")
        .await
        .iter()
        .map(|document| document["filename"].clone())
        .collect();
    assert_eq!(names, ["report.pdf"]);
    api.get(&format!("/documents/{deleted}")).await.error(404, "RESOURCE_NOT_FOUND");
    assert_eq!(api.found_chunks("documents", deleted).await, 0);
    let answer = api.post("/query", json!({ "query": QUESTIONS[1].0 })).await.expect(200);
    assert_eq!(
        (
            &answer["sources"][0]["metadata"]["document_id"],
            &answer["sources"][0]["metadata"]["page"]
        ),
        (&json!(kept), &json!(2))
    );
    // The bytes of what is gone are gone too.
    let left = files_under(&server.data_dir().join("files"));
    let contents: Vec<Vec<u8>> = left.iter().map(|path| std::fs::read(path).unwrap_or_default()).collect();
    let holds = |text: &str| {
        contents
            .iter()
            .any(|content| content.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    assert!(holds("%PDF") && !holds("of volume 30") && !holds("The first half of"), "{left:?}");
}

pub fn files_under(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_under(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_stop_closes_idle_sockets_with_1001() {
    let mut server = Server::start("idle", &[]);
    let mut sockets = Vec::new();
    for path in ["/ws/query", "/ws/upload", "/ws/collections"] {
        sockets.push(server.socket(path).await);
    }
    server.terminate();
    for socket in &mut sockets {
        assert_eq!(u16::from(socket.closed().await.code), 1001);
    }
    assert!(server.stopped().await.success());
}

#[tokio::test]
async fn a_stop_lets_a_query_in_flight_finish() {
    let mut server = Server::start("in-flight", &["server.shutdown_deadline_seconds=120"]);
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let mut socket = server.socket("/ws/query").await;
    socket
        .query("last", json!({ "query": QUESTIONS[2].0, "mode": "comprehensive" }))
        .await;
    let mut messages = vec![socket.receive().await];
    server.terminate();
    messages.extend(socket.answer("last").await);
    let answer = answered(&messages);
    assert_eq!(answer.citations[0]["page"], 3);
    assert_eq!(u16::from(socket.closed().await.code), 1001);
    assert!(server.stopped().await.success());
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start("first", &[]);
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let mut command = crate::support::process::program(&server.data_dir());
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(server.data_dir())
        .arg("--share-dir")
        .arg(crate::support::process::share());
    let second = within(
        "the second server to give up",
        tokio::process::Command::from(command).kill_on_drop(true).output(),
    )
    .await
    .expect("running it");
    assert!(!second.status.success(), "{}", String::from_utf8_lossy(&second.stdout));
    let answer = server.api().post("/query", json!({ "query": QUESTIONS[0].0 })).await.expect(200);
    assert_eq!(answer["sources"][0]["metadata"]["page"], 1, "the first one goes on");
}

#[tokio::test]
async fn a_plugin_beyond_its_budget_fails_its_own_call_and_is_named() {
    let server = Server::shared();
    let api = server.api();
    // Less memory than any of the plugins begins with.
    let pipeline = json!({ "limits": { "memory_mb": 1 } });
    api.post("/collections", json!({ "name": "faults-memory", "pipeline": pipeline }))
        .await
        .expect(201);
    let mut socket = server.socket("/ws/query").await;
    socket
        .query("a", json!({ "query": QUESTIONS[0].0, "collection_name": "faults-memory" }))
        .await;
    let end = socket.answer("a").await.pop().expect("an end");
    let details = &end["data"]["details"];
    assert_eq!(
        (&end["type"], &end["data"]["code"]),
        (&json!("error"), &json!("PLUGIN_ERROR")),
        "{end}"
    );
    assert_eq!(details["stage"], "query_analysis", "{end}");
    assert!(
        details["plugin"].as_str().is_some_and(|plugin| plugin.starts_with("rules@")),
        "{end}"
    );
    let reply = api.upload("", "faults-memory", &[&files::report("report.pdf")]).await;
    let error = reply.error(422, "PLUGIN_ERROR");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("pdf")), "{error}");

    // Nobody else notices.
    api.ingest("faults-fine", &files::report("report.pdf")).await;
    socket
        .query("b", json!({ "query": QUESTIONS[0].0, "collection_name": "faults-fine" }))
        .await;
    assert_eq!(answered(&socket.answer("b").await).citations[0]["page"], 1);
}
