//! What `/ws/query` makes of messages that are wrong: it says what, and the connection stays open.

use crate::support::files::{self, QUESTIONS};
use crate::support::socket::{control, query};
use crate::support::{Api, Server, Socket, answered};
use serde_json::{Value, json};

async fn open(collection: &str) -> (Api, Socket) {
    let server = Server::shared();
    let api = server.api();
    api.ingest(collection, &files::report("report.pdf")).await;
    (api, server.socket("/ws/query").await)
}

/// The connection still answers.
async fn still_works(socket: &mut Socket, collection: &str) {
    socket
        .query("after", json!({ "query": QUESTIONS[1].0, "collection_name": collection }))
        .await;
    answered(&socket.answer("after").await);
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_invalid() {
    let (_, mut socket) = open("messages-invalid").await;
    let long = "x".repeat(129);
    for (message, request_id) in [
        ("What is the budget?".to_owned(), Value::Null),
        ("[1, 2]".to_owned(), Value::Null),
        ("\"query\"".to_owned(), Value::Null),
        ("".to_owned(), Value::Null),
        (json!({ "request_id": "a", "data": { "query": "?" } }).to_string(), json!("a")),
        (json!({ "type": 7, "request_id": "a" }).to_string(), json!("a")),
        (json!({ "type": "query", "data": { "query": "?" } }).to_string(), Value::Null),
        (json!({ "type": "query", "request_id": 12, "data": {} }).to_string(), Value::Null),
        (json!({ "type": "query", "request_id": "", "data": {} }).to_string(), Value::Null),
        (json!({ "type": "query", "request_id": long, "data": {} }).to_string(), Value::Null),
    ] {
        socket.send_text(&message).await;
        let error = socket.error(request_id, "INVALID_MESSAGE").await;
        assert_eq!(error["recoverable"], false);
    }
    still_works(&mut socket, "messages-invalid").await;
}

#[tokio::test]
async fn a_wrong_value_is_named_with_what_is_wrong_about_it() {
    let (_, mut socket) = open("messages-values").await;
    for (data, field) in [
        (json!({}), "query"),
        (json!({ "query": "" }), "query"),
        (json!({ "query": " \n\t " }), "query"),
        (json!({ "query": 7 }), "query"),
        (json!({ "query": "ü".repeat(8_193) }), "query"),
        (json!({ "query": "?", "mode": "quick" }), "mode"),
        (json!({ "query": "?", "max_results": 0 }), "max_results"),
        (json!({ "query": "?", "max_results": 101 }), "max_results"),
        (json!({ "query": "?", "max_results": "ten" }), "max_results"),
        (json!({ "query": "?", "stream": "yes" }), "stream"),
        (json!({ "query": "?", "temperature": 2.5 }), "temperature"),
        (json!({ "query": "?", "score_threshold": -0.1 }), "score_threshold"),
        (json!({ "query": "?", "response_format": "pdf" }), "response_format"),
        (
            json!({ "query": "?", "filters": { "date_range": { "start": "yesterday" } } }),
            "filters.date_range.start",
        ),
    ] {
        socket.query("wrong", data.clone()).await;
        let error = socket.error(json!("wrong"), "VALIDATION_ERROR").await;
        assert_eq!(error["details"]["field"], field, "{data}");
        assert!(error["details"]["issue"].as_str().is_some_and(|issue| !issue.is_empty()), "{error}");
    }
    socket.send(json!({ "type": "qeury", "request_id": "a", "data": {} })).await;
    assert_eq!(socket.error(json!("a"), "VALIDATION_ERROR").await["details"]["field"], "type");
    socket.send(json!({ "type": "query", "request_id": "a", "data": ["?"] })).await;
    assert_eq!(socket.error(json!("a"), "VALIDATION_ERROR").await["details"]["field"], "data");
    still_works(&mut socket, "messages-values").await;
}

#[tokio::test]
async fn the_longest_question_is_taken_and_unknown_fields_are_ignored() {
    let (_, mut socket) = open("messages-longest").await;
    let question = format!("{}{}", QUESTIONS[0].0, "?".repeat(8_192 - QUESTIONS[0].0.len()));
    socket
        .query(
            &"ü".repeat(128),
            json!({ "query": format!("  {question}\n"), "collection_name": "messages-longest", "later": { "a": 1 } }),
        )
        .await;
    answered(&socket.answer(&"ü".repeat(128)).await);
}

#[tokio::test]
async fn a_collection_that_does_not_exist_is_an_error() {
    let (_, mut socket) = open("messages-there").await;
    socket
        .query("a", json!({ "query": "?", "collection_name": "messages-not-there" }))
        .await;
    let messages = socket.answer("a").await;
    let last = messages.last().expect("an end");
    assert_eq!(
        (&last["type"], &last["data"]["code"], &last["data"]["recoverable"]),
        (&json!("error"), &json!("COLLECTION_NOT_FOUND"), &json!(false)),
        "{last}"
    );
    assert_eq!(messages.iter().filter(|message| message["type"] != "status").count(), 1);
    still_works(&mut socket, "messages-there").await;
}

#[tokio::test]
async fn a_request_id_in_flight_cannot_be_used_again() {
    let (_, mut socket) = open("messages-duplicate").await;
    let asked = query("same", json!({ "query": QUESTIONS[0].0, "collection_name": "messages-duplicate" }));
    socket
        .send_together(&[asked.clone(), control("same", "pause"), asked.clone(), control("same", "resume")])
        .await;
    let messages = socket.receive_until(|message| message["type"] == "complete").await;
    let errors: Vec<&Value> = messages
        .iter()
        .filter(|message| message["type"] == "error")
        .map(|message| &message["data"]["code"])
        .collect();
    assert_eq!(errors, ["DUPLICATE_REQUEST"]);
    // Once it has ended its name is free.
    socket.send(asked).await;
    answered(&socket.answer("same").await);
}

#[tokio::test]
async fn a_binary_message_is_invalid() {
    let server = Server::shared();
    let mut raw = crate::support::raw::Raw::connect(server.address(), "/ws/query").await;
    raw.send(&crate::support::raw::frame(true, 2, b"\x00\x01")).await;
    let (_, payload) = raw.receive().await;
    let message: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(
        (&message["type"], &message["request_id"], &message["data"]["code"]),
        (&json!("error"), &Value::Null, &json!("INVALID_MESSAGE"))
    );
}
