//! How the server ends: in order, within its deadline, and at once if it must.

use crate::support::files::{self, QUESTIONS};
use crate::support::socket::{control, query};
use crate::support::{Server, Socket, answered, within};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn question() -> Value {
    json!({ "query": "What does the treaty of Lindau say about bridges?", "mode": "comprehensive" })
}

/// A server with a query that is in flight because its client has paused it.
async fn held(name: &'static str, settings: &[&str]) -> (Server, Socket) {
    let server = Server::start(name, settings);
    server.api().ingest("documents", &files::treaty()).await;
    let mut socket = server.socket("/ws/query").await;
    socket.send_together(&[query("held", question()), control("held", "pause")]).await;
    socket.receive_until(|message| message["data"]["stage"] == "paused").await;
    (server, socket)
}

/// Waits until the server takes no more connections.
async fn closed_to_newcomers(address: &str) {
    within("the listening socket to close", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_takes_nothing_new_and_lets_what_is_in_flight_end() {
    let (mut server, mut socket) = held("stop-held", &["server.shutdown_deadline_seconds=120"]).await;
    let address = server.address().to_owned();
    // An event stream is in flight as well, and read to its end only after the stop.
    let stream = server
        .api()
        .request(Method::POST, "/query/stream")
        .json(&question())
        .send()
        .await
        .expect("an answer");
    server.terminate();
    closed_to_newcomers(&address).await;
    socket.query("late", json!({ "query": QUESTIONS[0].0 })).await;
    let error = socket.error(json!("late"), "SERVICE_UNAVAILABLE").await;
    assert_eq!(error["recoverable"], true);
    let events = within("the rest of the stream", stream.bytes()).await.expect("a whole answer");
    assert!(String::from_utf8_lossy(&events).contains("event: complete"));

    socket.send(control("held", "resume")).await;
    let messages: Vec<Value> = socket
        .answer("held")
        .await
        .into_iter()
        .filter(|message| message["data"]["stage"] != "resumed")
        .collect();
    assert_eq!(messages.last().expect("an end")["data"]["status"], "completed");
    assert_eq!(u16::from(socket.closed().await.code), 1001);
    assert!(server.stopped().await.success());
}

#[tokio::test]
async fn at_the_deadline_what_is_in_flight_is_cut_off_and_the_next_start_answers() {
    let (mut server, mut socket) = held("stop-deadline", &["server.shutdown_deadline_seconds=1"]).await;
    server.terminate();
    assert_eq!(u16::from(socket.closed().await.code), 1001);
    assert!(server.stopped().await.success());
    server.restart();
    let mut socket = server.socket("/ws/query").await;
    socket.query("again", question()).await;
    answered(&socket.answer("again").await);
}

#[tokio::test]
async fn an_upload_that_was_cut_off_leaves_nothing_and_can_be_sent_again() {
    let mut server = Server::start("stop-upload", &["server.shutdown_deadline_seconds=1"]);
    let file = files::treaty();
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{}\"\r\n\r\nHalf of it",
        file.name
    );
    let mut half = TcpStream::connect(server.address()).await.expect("a connection");
    let mut events = server.socket("/ws/upload").await;
    let head = format!(
        "POST /documents/upload HTTP/1.1\r\nHost: {}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n{form}",
        server.address()
    );
    half.write_all(head.as_bytes()).await.expect("sending");
    events.receive_until(|event| event["type"] == "upload_started").await;
    server.terminate();
    assert_eq!(u16::from(events.closed().await.code), 1001);
    // The connection ends; whether in order or not is the system's affair.
    let _ = within("the connection to end", half.read_to_end(&mut Vec::new())).await;
    assert!(server.stopped().await.success());
    server.restart();
    let api = server.api();
    assert!(api.documents("documents").await.is_empty());
    assert_eq!(api.ingest("documents", &file).await["status"], "success");
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let (mut server, _socket) = held("stop-twice", &["server.shutdown_deadline_seconds=3600"]).await;
    let address = server.address().to_owned();
    server.terminate();
    // The first one has been heard.
    closed_to_newcomers(&address).await;
    server.terminate();
    assert_eq!(server.stopped().await.code(), Some(130));
}
