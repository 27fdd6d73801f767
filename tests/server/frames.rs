//! RFC 6455, byte by byte.

use crate::support::raw::{CONTINUATION, PING, PONG, Raw, TEXT, frame, head};
use crate::support::{Server, within};
use serde_json::{Value, json};

/// A message that is answered without a query: by `UNKNOWN_REQUEST`.
fn probe() -> Vec<u8> {
    json!({ "type": "control", "request_id": "größe", "data": { "action": "cancel" } })
        .to_string()
        .into_bytes()
}

async fn open(path: &str) -> Raw {
    Raw::connect(Server::shared().address(), path).await
}

async fn expect_probe_answer(raw: &mut Raw) {
    let (opcode, payload) = raw.receive().await;
    let message: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(
        (opcode, &message["request_id"], &message["data"]["code"]),
        (TEXT, &json!("größe"), &json!("UNKNOWN_REQUEST")),
        "{message}"
    );
}

#[tokio::test]
async fn a_fragmented_message_is_put_together_around_a_ping() {
    let mut raw = open("/ws/query").await;
    let message = probe();
    // The second cut goes through a character.
    let inside = message.iter().position(|byte| *byte >= 0x80).expect("a character of two bytes") + 1;
    raw.send(&frame(false, TEXT, &message[..5])).await;
    raw.send(&frame(false, CONTINUATION, &message[5..inside])).await;
    raw.send(&frame(true, PING, b"still there?")).await;
    assert_eq!(raw.receive().await, (PONG, b"still there?".to_vec()));
    raw.send(&frame(false, CONTINUATION, b"")).await;
    raw.send(&frame(true, CONTINUATION, &message[inside..])).await;
    expect_probe_answer(&mut raw).await;
}

#[tokio::test]
async fn pings_are_answered_with_their_payload_and_pongs_not_at_all() {
    // The event sockets are narrowed to what no other test does.
    for path in [
        "/ws/query",
        "/ws/upload?upload_id=none",
        "/ws/collections?collection=no-such-collection",
        "/ws/monitor?types=error_alert",
    ] {
        let mut raw = open(path).await;
        raw.send(&frame(true, PONG, b"unasked")).await;
        raw.send(&frame(true, PING, b"")).await;
        assert_eq!(raw.receive().await, (PONG, Vec::new()), "{path}");
        raw.send(&frame(true, PING, &[7; 125])).await;
        assert_eq!(raw.receive().await, (PONG, vec![7; 125]), "{path}");
    }
}

#[tokio::test]
async fn bytes_that_come_one_by_one_make_a_message() {
    let mut raw = open("/ws/query").await;
    for byte in frame(true, TEXT, &probe()) {
        raw.send(&[byte]).await;
    }
    expect_probe_answer(&mut raw).await;
}

#[tokio::test]
async fn a_message_of_more_than_a_mebibyte_is_closed_with_1009() {
    let mut raw = open("/ws/query").await;
    raw.send(&head(true, TEXT, (1 << 20) + 1, true)).await;
    raw.send(&[0; 4]).await;
    assert_eq!(raw.closed().await, 1009);

    // In fragments, each of them small enough.
    let mut raw = open("/ws/query").await;
    let piece = vec![b' '; 600 << 10];
    raw.send(&frame(false, TEXT, &piece)).await;
    raw.send(&frame(true, CONTINUATION, &piece)).await;
    assert_eq!(raw.closed().await, 1009);
}

#[tokio::test]
async fn a_message_of_a_mebibyte_is_read() {
    let mut raw = open("/ws/query").await;
    let mut message = probe();
    message.resize(1 << 20, b' ');
    raw.send(&frame(true, TEXT, &message)).await;
    expect_probe_answer(&mut raw).await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_closed_with_1007() {
    for bytes in [&b"{\"type\": \"\xff\"}"[..], b"\xed\xa0\x80", b"\xc3"] {
        let mut raw = open("/ws/query").await;
        raw.send(&frame(true, TEXT, bytes)).await;
        assert_eq!(raw.closed().await, 1007, "{bytes:?}");
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_is_closed_with_1002() {
    let mut unmasked = head(true, TEXT, 2, false);
    unmasked.extend(b"{}");
    let reserved = {
        let mut bytes = frame(true, TEXT, b"{}");
        bytes[0] |= 0x40;
        bytes
    };
    let nested = [frame(false, TEXT, b"{"), frame(true, TEXT, b"}")].concat();
    for (what, bytes) in [
        ("an unmasked frame", unmasked),
        ("a reserved bit", reserved),
        ("a reserved opcode", frame(true, 3, b"{}")),
        ("a continuation of nothing", frame(true, CONTINUATION, b"{}")),
        ("a message inside another", nested),
        ("a ping of 126 bytes", frame(true, PING, &[0; 126])),
        ("a fragmented ping", frame(false, PING, b"")),
        ("a close frame of one byte", frame(true, crate::support::raw::CLOSE, &[3])),
        (
            "a close code that nobody may send",
            frame(true, crate::support::raw::CLOSE, &1005u16.to_be_bytes()),
        ),
    ] {
        let mut raw = open("/ws/query").await;
        raw.send(&bytes).await;
        assert_eq!(within(what, raw.closed()).await, 1002, "{what}");
    }
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let server = Server::shared();
    for path in ["/ws/query", "/ws/upload", "/ws/collections", "/ws/monitor"] {
        server.socket(path).await.close().await;
    }
}

#[tokio::test]
async fn requests_that_are_no_handshake_are_refused() {
    let api = Server::shared().api();
    api.get("/ws/query").await.error(426, "INVALID_MESSAGE");
    api.get("/ws/nothing").await.error(404, "RESOURCE_NOT_FOUND");
    let handshake = |version: &str, key: &str| {
        let request = api
            .request(reqwest::Method::GET, "/ws/query")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket");
        request.header("sec-websocket-version", version).header("sec-websocket-key", key)
    };
    let old = api.send(handshake("8", "dGhlIHNhbXBsZSBub25jZQ==")).await;
    old.error(426, "INVALID_MESSAGE");
    assert_eq!(old.header("sec-websocket-version"), "13");
    api.send(handshake("13", "short")).await.error(400, "INVALID_MESSAGE");
    // A page of another site must not use a server on the user's own machine.
    let foreign = handshake("13", "dGhlIHNhbXBsZSBub25jZQ==").header("origin", "https://elsewhere.example");
    api.send(foreign).await.error(403, "AUTHORIZATION_FAILED");
}
