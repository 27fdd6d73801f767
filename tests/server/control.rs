//! `config` and `control` on `/ws/query`.

use crate::support::files::{self, File, QUESTIONS};
use crate::support::socket::{control, is_end, query};
use crate::support::{Is, Server, Socket, answered, has};
use serde_json::{Value, json};

async fn open(collection: &str) -> Socket {
    let server = Server::shared();
    server.api().ingest(collection, &files::report("report.pdf")).await;
    server.socket("/ws/query").await
}

/// The messages of `request_id` among `messages`.
fn of<'a>(messages: &'a [Value], request_id: &str) -> Vec<&'a Value> {
    messages.iter().filter(|message| message["request_id"] == request_id).collect()
}

fn stage(message: &Value) -> &str {
    message["data"]["stage"].as_str().unwrap_or_default()
}

/// The guide's own message, and what it is answered with.
async fn configure(socket: &mut Socket, data: Value) -> Value {
    socket
        .send(json!({ "type": "config", "request_id": "req_12346", "data": data }))
        .await;
    let answer = socket.receive().await;
    assert_eq!(answer["request_id"], "req_12346");
    answer
}

#[tokio::test]
async fn config_sets_the_defaults_of_later_queries() {
    let mut socket = open("control-config").await;
    let answer = configure(
        &mut socket,
        json!({ "response_format": "text_only", "language": "en", "temperature": 0.7, "collection_name": "control-config" }),
    )
    .await;
    assert_eq!(answer["type"], "status");
    has(
        &answer["data"],
        &[("stage", Is::Text), ("progress", Is::Share), ("message", Is::Text)],
    );
    assert_eq!((stage(&answer), &answer["data"]["progress"]), ("configured", &json!(1.0)));

    socket.query("plain", json!({ "query": QUESTIONS[1].0 })).await;
    assert!(answered(&socket.answer("plain").await).citations.is_empty());
    // What a query says itself goes before.
    socket
        .query("own", json!({ "query": QUESTIONS[1].0, "response_format": "with_citations" }))
        .await;
    assert!(!answered(&socket.answer("own").await).citations.is_empty());
    // Another one adds to the first.
    configure(&mut socket, json!({ "stream": false })).await;
    socket.query("both", json!({ "query": QUESTIONS[1].0 })).await;
    let both = answered(&socket.answer("both").await);
    assert!(both.tokens.is_empty() && both.citations.is_empty());
}

#[tokio::test]
async fn a_config_that_is_wrong_changes_nothing() {
    let mut socket = open("control-wrong").await;
    for (data, field) in [
        (json!({ "response_format": "text_only", "temperature": 9 }), "temperature"),
        (json!({ "response_format": "text_only", "query": "?" }), "query"),
        (json!({ "response_format": "brief" }), "response_format"),
    ] {
        socket.send(json!({ "type": "config", "request_id": "c", "data": data })).await;
        assert_eq!(socket.error(json!("c"), "VALIDATION_ERROR").await["details"]["field"], field);
    }
    socket
        .query("after", json!({ "query": QUESTIONS[1].0, "collection_name": "control-wrong" }))
        .await;
    assert!(!answered(&socket.answer("after").await).citations.is_empty());
}

#[tokio::test]
async fn a_paused_query_is_silent_until_it_is_resumed() {
    let mut socket = open("control-pause").await;
    let asked = |id: &str| query(id, json!({ "query": QUESTIONS[0].0, "collection_name": "control-pause" }));
    socket
        .send_together(&[asked("held"), control("held", "pause"), asked("other")])
        .await;
    let before = socket
        .receive_until(|message| message["request_id"] == "other" && is_end(message))
        .await;
    let held = of(&before, "held");
    assert_eq!(
        stage(held.last().expect("an answer to the pause")),
        "paused",
        "something came after the pause: {held:?}"
    );
    assert_eq!(held.iter().filter(|message| stage(message) == "paused").count(), 1);

    socket.send(control("held", "resume")).await;
    let after = socket.receive_until(is_end).await;
    assert_eq!(stage(&after[0]), "resumed");
    let all: Vec<Value> = held
        .into_iter()
        .chain(&after)
        .filter(|message| !matches!(stage(message), "paused" | "resumed"))
        .cloned()
        .collect();
    let other: Vec<Value> = of(&before, "other").into_iter().cloned().collect();
    assert_eq!(answered(&all).text, answered(&other).text, "a pause changes nothing of the answer");
}

#[tokio::test]
async fn a_cancelled_query_ends_with_one_complete_and_says_so() {
    let mut socket = open("control-cancel").await;
    let asked = |id: &str| query(id, json!({ "query": QUESTIONS[0].0, "collection_name": "control-cancel" }));
    for before in [vec![], vec![control("gone", "pause")]] {
        let mut messages = vec![asked("gone")];
        messages.extend(before);
        messages.extend([control("gone", "cancel"), asked("next")]);
        socket.send_together(&messages).await;
        let received = socket
            .receive_until(|message| message["request_id"] == "next" && is_end(message))
            .await;
        let gone: Vec<&Value> = of(&received, "gone").into_iter().filter(|message| is_end(message)).collect();
        assert_eq!(gone.len(), 1, "{received:?}");
        assert_eq!(
            (&gone[0]["type"], &gone[0]["data"]["status"]),
            (&json!("complete"), &json!("cancelled"))
        );
        has(
            &gone[0]["data"],
            &[
                ("total_time", Is::Number),
                ("tokens_generated", Is::Count),
                ("sources_used", Is::Count),
                ("processing_mode", Is::Text),
                ("query_analysis", Is::Object),
                ("query_id", Is::Text),
            ],
        );
        assert!(is_end(of(&received, "gone").last().expect("an end")), "a message after the end");
        let next: Vec<Value> = of(&received, "next").into_iter().cloned().collect();
        answered(&next);
    }
}

#[tokio::test]
async fn control_finds_its_query_by_either_name_or_as_the_only_one() {
    let mut socket = open("control-target").await;
    let asked = |id: &str| query(id, json!({ "query": QUESTIONS[0].0, "collection_name": "control-target" }));
    let targeted = json!({ "type": "control", "request_id": "c", "data": { "action": "cancel", "target_request_id": "a" } });
    for messages in [
        vec![asked("a"), control("a", "pause"), asked("b"), targeted],
        vec![asked("a"), control("a", "pause"), control("c", "cancel")],
    ] {
        let ends = messages.iter().filter(|message| message["type"] == "query").count();
        socket.send_together(&messages).await;
        let mut cancelled = Vec::new();
        for _ in 0..ends {
            let received = socket.receive_until(is_end).await;
            let end = received.last().expect("an end");
            if end["data"]["status"] == "cancelled" {
                cancelled.push(end["request_id"].clone());
            }
        }
        assert_eq!(cancelled, ["a"]);
    }
}

#[tokio::test]
async fn control_of_no_query_is_an_error() {
    let mut socket = open("control-none").await;
    for action in ["pause", "resume", "cancel"] {
        socket.send(control("none", action)).await;
        socket.error(json!("none"), "UNKNOWN_REQUEST").await;
    }
    socket
        .query("ended", json!({ "query": QUESTIONS[0].0, "collection_name": "control-none" }))
        .await;
    answered(&socket.answer("ended").await);
    socket.send(control("ended", "cancel")).await;
    socket.error(json!("ended"), "UNKNOWN_REQUEST").await;
    socket.send(control("x", "stop")).await;
    assert_eq!(socket.error(json!("x"), "VALIDATION_ERROR").await["details"]["field"], "action");
}

#[tokio::test]
async fn closing_the_socket_cancels_its_queries() {
    // One place: a query that went on after its socket was closed would keep it, for it waits for its reader.
    let server = Server::start("closing", &["query.max_concurrent=1", "query.timeout_seconds=30"]);
    let detail = "with the consent of both councils, after a debate of eleven hours, and against the advice of the engineers who had measured the ground in the wet spring before";
    let text: String = (1..=8)
        .map(|n| {
            format!("Clause {n} of the treaty of Lindau says that bridge number {n} belongs to the town on bank {n}, {detail} {n}.\n\n")
        })
        .collect();
    server.api().ingest("documents", &File::new("treaty.txt", text)).await;
    let question = json!({ "query": "What does the treaty of Lindau say about bridges?", "mode": "comprehensive" });
    for n in 0..6 {
        let mut socket = server.socket("/ws/query").await;
        socket
            .send_together(&[query("left", question.clone()), control("left", "pause")])
            .await;
        socket.receive_until(|message| stage(message) == "paused").await;
        // Every other one without so much as a close frame.
        if n % 2 == 0 {
            socket.close().await;
        }
    }
    let mut socket = server.socket("/ws/query").await;
    socket.query("next", question).await;
    let next = answered(&socket.answer("next").await);
    assert!(next.tokens.len() > 40, "too short an answer to have been held: {}", next.text);
}
