//! What holds on all four sockets: keep-alive, half-closed connections, capacity, and nothing that leaks.

use crate::support::raw::{CLOSE, Raw, TEXT, frame};
use crate::support::{Server, Socket, within};
use serde_json::{Value, json};

const PATHS: [&str; 4] = [
    "/ws/query",
    "/ws/upload?collection=connections-none",
    "/ws/monitor?types=error_alert",
    "/ws/collections?collection=connections-none",
];

#[tokio::test]
async fn whoever_does_not_answer_pings_is_closed_with_1001() {
    let server = Server::start("connections-pings", &["server.ping_interval_seconds=1"]);
    for path in PATHS {
        // It reads, but does not answer: pings are passed over.
        let raw = Raw::connect(server.address(), path).await;
        assert_eq!(raw.closed().await, 1001, "{path}");
    }
}

#[tokio::test]
async fn whoever_ends_its_side_without_a_close_frame_is_forgotten() {
    let server = Server::start("connections-halves", &[]);
    let mut monitor = server.socket("/ws/monitor?types=system_metrics&interval=250").await;
    for path in PATHS {
        let mut raw = Raw::connect(server.address(), path).await;
        raw.send(&frame(true, TEXT, b"{}")).await;
        let (_, answer) = raw.receive().await;
        assert!(String::from_utf8(answer).expect("UTF-8").contains("INVALID_MESSAGE"));
        raw.half_close().await;
        within("the end of the connection", raw.ended()).await;
    }
    connections(&mut monitor, 1).await;
}

/// Waits until the server has so many connections.
async fn connections(monitor: &mut Socket, count: usize) {
    monitor
        .receive_until(|message| message["data"]["active_connections"] == count)
        .await;
}

#[tokio::test]
async fn connections_that_end_in_any_way_leave_nothing_behind() {
    let server = Server::start("connections-leak", &["server.max_connections=40"]);
    let mut monitor = server.socket("/ws/monitor?types=system_metrics&interval=250").await;
    // Ten times as many as there are places: one that was not given back would be missed.
    for round in 0..100 {
        for path in PATHS {
            match round % 4 {
                0 => server.socket(path).await.close().await,
                1 => server.socket(path).await.lose(),
                2 => {
                    let mut raw = Raw::connect(server.address(), path).await;
                    raw.send(&frame(true, TEXT, b"\xff")).await;
                    assert_eq!(raw.closed().await, 1007);
                }
                _ => {
                    let mut raw = Raw::connect(server.address(), path).await;
                    raw.send(&frame(true, CLOSE, &1000u16.to_be_bytes())).await;
                    assert_eq!(raw.closed().await, 1000);
                }
            }
        }
        // Half of the places at most are in use, however late the server sees that a peer is gone.
        if round % 5 == 4 {
            connections(&mut monitor, 1).await;
        }
    }
}

#[tokio::test]
async fn over_the_cap_the_answer_is_503_with_retry_after_before_the_upgrade() {
    let server = Server::start("connections-cap", &["server.max_connections=2"]);
    let held = [server.socket("/ws/query").await, server.socket("/ws/upload").await];
    let api = server.api();
    let request = api
        .request(reqwest::Method::GET, "/ws/query")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let refused = api.send(request).await;
    refused.error(503, "SERVICE_UNAVAILABLE");
    assert!(refused.header("retry-after").parse::<u64>().is_ok());
    let [one, _other] = held;
    one.close().await;
    // A place that is free again is given to the next; the server may need a moment to see that it is.
    within("a place", async {
        loop {
            let probe = api.get("/health/ready").await;
            if probe.status == 200 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn more_queries_than_a_connection_may_have_are_refused_as_recoverable() {
    let server = Server::start("connections-queries", &["query.max_concurrent=1"]);
    server.api().ingest("documents", &crate::support::files::report("report.pdf")).await;
    let mut socket = server.socket("/ws/query").await;
    let mut messages: Vec<Value> = Vec::new();
    for n in 0..300 {
        messages.push(json!({ "type": "query", "request_id": format!("q{n}"), "data": { "query": "What is the budget?" } }));
    }
    // The first holds the only place to run; the others wait for it, up to what one connection may have.
    messages.insert(1, json!({ "type": "control", "request_id": "q0", "data": { "action": "pause" } }));
    socket.send_together(&messages).await;
    let refused = socket
        .receive_until(|message| message["type"] == "error")
        .await
        .pop()
        .expect("an error");
    assert_eq!(
        (&refused["data"]["code"], &refused["data"]["recoverable"]),
        (&json!("RATE_LIMIT_EXCEEDED"), &json!(true)),
        "{refused}"
    );
    assert!(refused["data"]["details"]["retry_after"].is_u64(), "{refused}");
}
