//! `docs/websocket-guide.md` itself: its messages against what the server sends, and its clients against the server.

use crate::plugins::{GUESTS, install};
use crate::support::files;
use crate::support::guide::{self, Clients};
use crate::support::socket::{control, query};
use crate::support::{Server, Socket};
use crate::uploads::is_complete;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Fails unless `real` has every field of `example`, each of its JSON type. What is in `details` is the server's affair.
fn conforms(example: &Value, real: &Value, at: &str) {
    let same = match (example, real) {
        (Value::Object(fields), Value::Object(_)) => {
            for (name, example) in fields.iter().filter(|_| !at.ends_with(".details")) {
                let field = real.get(name).unwrap_or_else(|| panic!("{at}.{name} is missing: {real}"));
                conforms(example, field, &format!("{at}.{name}"));
            }
            true
        }
        (Value::Array(examples), Value::Array(items)) => {
            if let Some(example) = examples.first() {
                items.iter().for_each(|item| conforms(example, item, &format!("{at}[]")));
            }
            true
        }
        (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_)) | (Value::Bool(_), Value::Bool(_)) => true,
        _ => false,
    };
    assert!(same, "{at} is {real}, where the guide has {example}");
}

/// The first message of each type.
#[derive(Default)]
struct Seen(BTreeMap<String, Value>);

impl Seen {
    fn take(&mut self, messages: impl IntoIterator<Item = Value>) {
        for message in messages {
            let kind = message["type"].as_str().expect("a type").to_owned();
            self.0.entry(kind).or_insert(message);
        }
    }

    async fn take_one(&mut self, socket: &mut Socket, kind: &str) {
        let messages = socket.receive_until(|message| message["type"] == kind).await;
        self.take(messages);
    }
}

#[tokio::test]
async fn every_message_of_the_guide_has_every_field_of_its_type() {
    let server = Server::start("guide-messages", &["monitor.memory_alert_percent=1"]);
    let api = server.api();
    let examples = guide::messages();
    let mut seen = Seen::default();

    let mut uploads = server.socket("/ws/upload").await;
    let mut collections = server.socket("/ws/collections").await;
    api.ingest("documents", &files::report("document.pdf")).await;
    seen.take(uploads.receive_until(is_complete).await);
    seen.take_one(&mut collections, "document_added").await;
    seen.take_one(&mut collections, "collection_stats").await;

    // The guide's own messages, as they stand.
    let mut queries = server.socket("/ws/query").await;
    queries.send(examples["config"].clone()).await;
    assert_eq!(queries.receive().await["data"]["stage"], "configured");
    queries.send(examples["query"].clone()).await;
    seen.take(queries.answer("req_12345").await);
    queries.send(examples["control"].clone()).await;
    queries.error(json!("req_12347"), "UNKNOWN_REQUEST").await;
    queries.send(query("e", json!({ "query": "?", "collection_name": "none" }))).await;
    seen.take(queries.answer("e").await);

    let mut monitor = server.socket("/ws/monitor").await;
    for kind in ["system_metrics", "service_status", "error_alert"] {
        if !seen.0.contains_key(kind) {
            seen.take_one(&mut monitor, kind).await;
        }
    }
    for (kind, example) in &examples {
        // What clients send; and what is told to those whose credentials are wrong, which has tests of its own.
        if ["query", "config", "control", "auth_error"].contains(&kind.as_str()) {
            continue;
        }
        let real = seen.0.get(kind).unwrap_or_else(|| panic!("no {kind} was sent"));
        conforms(example, real, kind);
    }
    assert_eq!(examples.len(), 20, "{:?}", examples.keys());
}

/// A server whose only place for queries is taken, so that another one waits.
async fn busy(name: &'static str) -> (Server, Socket) {
    let server = Server::start(name, &["query.max_concurrent=1"]);
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let mut holder = server.socket("/ws/query").await;
    let asked = query("held", json!({ "query": files::QUESTIONS[0].0 }));
    holder.send_together(&[asked, control("held", "pause")]).await;
    holder.receive_until(|message| message["data"]["stage"] == "paused").await;
    (server, holder)
}

#[tokio::test]
async fn the_javascript_client_asks_with_callbacks() {
    let server = Server::start("guide-javascript", &[]);
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let codes = [
        guide::code("javascript", "class RAGWebSocketClient"),
        guide::code("javascript", "function validateMessage"),
    ];
    let result = Clients::prepared().node("query", &server, &codes).await;
    let called: Vec<&str> = result["called"]
        .as_array()
        .expect("calls")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!((called.first(), called.last()), (Some(&"status"), Some(&"complete")));
    assert!(called.contains(&"token") && called.contains(&"citation"), "{called:?}");
    assert!(result["text"].as_str().is_some_and(|text| text.contains("4.2 million")), "{result}");
    assert_eq!(result["citations"][0]["page"], 2);
    assert_eq!(result["completions"][0]["processing_mode"], "comprehensive");
    assert_eq!(result["waiting"], 0);
    assert_eq!(result["valid"], true, "what the guide's own validation makes of it");
}

#[tokio::test]
async fn the_javascript_client_cancels() {
    let (server, _holder) = busy("guide-javascript-cancel").await;
    let codes = [guide::code("javascript", "class RAGWebSocketClient")];
    let result = Clients::prepared().node("cancel", &server, &codes).await;
    assert_eq!(result, json!({ "type": "complete", "status": "cancelled" }));
}

#[tokio::test]
async fn the_upload_tracker_follows_an_upload() {
    let server = Server::start("guide-tracker", &[]);
    let file = files::report("document.pdf");
    let codes = [guide::code("javascript", "class UploadProgressTracker")];
    let uploading = async { server.api().ingest("documents", &file).await };
    let (result, document) = Clients::prepared().node_then("upload", &server, &codes, uploading).await;
    let called: Vec<&str> = result["called"]
        .as_array()
        .expect("calls")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for name in [
        "onUploadStarted",
        "onUploadProgress",
        "onProcessingProgress",
        "onChunkingProgress",
        "onEmbeddingProgress",
        "onUploadComplete",
    ] {
        assert!(called.contains(&name), "{name}: {called:?}");
    }
    assert_eq!(
        (&result["started"]["filename"], &result["started"]["fileSize"]),
        (&json!("document.pdf"), &json!(file.bytes.len()))
    );
    assert_eq!(
        (&result["complete"]["document_id"], &result["active"]),
        (&document["document_id"], &json!(0))
    );
    let bars = result["bars"].to_string();
    for text in ["Uploading (100%)", "Creating chunks (100%)", "Generating embeddings (100%)"] {
        assert!(bars.contains(text), "{text}: {bars}");
    }
}

#[tokio::test]
async fn the_load_test_of_50_connections_is_answered() {
    let server = Server::start("guide-load", &[]);
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let result = Clients::prepared()
        .node("load", &server, &[guide::code("javascript", "function loadTestWebSocket")])
        .await;
    assert_eq!(result["opened"], 50);
    let ends = result["ends"].as_array().expect("ends");
    assert_eq!(ends.len(), 50, "{result}");
    for end in ends {
        assert_eq!(
            (&end["type"], &end["request_id"]),
            (&json!("complete"), &json!(format!("load_test_{}", end["socket"])))
        );
    }
}

#[tokio::test]
async fn the_python_client_runs_as_it_stands() {
    let server = Server::start("guide-python", &[]);
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let output = Clients::prepared()
        .python("query", &server, &guide::code("python", "class RAGWebSocketClient"))
        .await;
    for text in ["Status: ", "[1] report.pdf", "Completed in "] {
        assert!(output.contains(text), "no {text:?}: {output}");
    }
}

#[tokio::test]
async fn the_python_client_cancels() {
    let (server, _holder) = busy("guide-python-cancel").await;
    let output = Clients::prepared()
        .python("cancel", &server, &guide::code("python", "class RAGWebSocketClient"))
        .await;
    let result: Value = serde_json::from_str(output.trim().trim_start_matches("RESULT ")).expect("JSON");
    assert_eq!(result, json!({ "type": "complete", "status": "cancelled", "waiting": 0 }));
}

#[tokio::test]
async fn the_unit_test_of_the_guide_passes_under_pytest() {
    let server = Server::start("guide-pytest", &[]);
    let output = Clients::prepared()
        .pytest(&server, &guide::code("python", "async def test_query_websocket"))
        .await;
    assert!(output.contains("1 passed"), "{output}");
}

#[tokio::test]
async fn the_reference_client_of_tus_uploads_and_resumes() {
    let server = Server::start("guide-tus", &[]);
    let api = server.api();
    let file = files::volume(60, 40);
    let mut socket = server.socket("/ws/upload").await;
    let text = String::from_utf8(file.bytes.clone()).expect("UTF-8");
    let result = Clients::prepared().node("tus", &server, &[text]).await;
    assert!(
        result["url"].as_str().is_some_and(|url| url.contains("/uploads/upload_")),
        "{result}"
    );
    let complete = socket.receive_until(is_complete).await.pop().expect("an event");
    let id = complete["data"]["document_id"].as_str().expect("a document");
    assert!(api.get(&format!("/documents/{id}/file")).await.body == file.bytes);
}

#[tokio::test]
async fn pipeline_changed_names_the_collections_that_it_concerns() {
    let server = Server::start("guide-pipeline", &[]);
    let api = server.api();
    install(&api, "", &GUESTS[0]).await.expect(201);
    let pipeline = crate::plugins::pipeline("chunker", "hostile-chunker@^1", "", "fail");
    api.post("/collections", json!({ "name": "concerned", "pipeline": pipeline }))
        .await
        .expect(201);
    api.post("/collections", json!({ "name": "other" })).await.expect(201);
    let mut socket = server.socket("/ws/collections").await;
    install(&api, "", &crate::plugins::with_version(&GUESTS[0], "1.1.0"))
        .await
        .expect(201);
    let changed = socket
        .receive_until(|event| event["type"] == "pipeline_changed")
        .await
        .pop()
        .expect("an event");
    assert_eq!(changed["collection"], "concerned");
    assert!(changed["seq"].is_u64());
}
