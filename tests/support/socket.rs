//! A WebSocket client, of another make than the server's.

use super::within;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

fn handshake(url: &str, headers: &[(&'static str, &str)]) -> Request<()> {
    let mut request = url.into_client_request().expect("a URL");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a header field"));
    }
    request
}

/// An open WebSocket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Opens one.
    pub async fn connect(url: &str) -> Self {
        let (stream, _) = within("a handshake", tokio_tungstenite::connect_async(url))
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        Self { stream }
    }

    /// Opens one with these header fields in its handshake.
    pub async fn connect_as(url: &str, headers: &[(&'static str, &str)]) -> Self {
        let (stream, _) = within("a handshake", tokio_tungstenite::connect_async(handshake(url, headers)))
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        Self { stream }
    }

    /// The answer to a handshake that must be refused.
    pub async fn refused(url: &str, headers: &[(&'static str, &str)]) -> Response<Option<Vec<u8>>> {
        match within("a refusal", tokio_tungstenite::connect_async(handshake(url, headers))).await {
            Err(Error::Http(response)) => *response,
            Err(error) => panic!("{url}: {error}"),
            Ok(_) => panic!("{url}: not refused"),
        }
    }

    /// Opens one with header fields of one's own; gives those of the answer as well.
    pub async fn connect_with(url: &str, fields: &[(&str, &str)]) -> (Self, HeaderMap) {
        let mut request = url.into_client_request().expect("an address");
        for (name, value) in fields {
            let name: HeaderName = name.parse().expect("a name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let (stream, answer) = within("a handshake", tokio_tungstenite::connect_async(request))
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        (Self { stream }, answer.headers().clone())
    }

    /// The `auth_error` that must be the only message, its shape checked, and the closing with 1008; gives its code.
    pub async fn turned_away(&mut self) -> String {
        let message = self.receive().await;
        let wanted = json!({
            "type": "auth_error",
            "data": { "code": message["data"]["code"], "message": message["data"]["message"], "action": "reconnect_with_valid_token" }
        });
        assert_eq!(message, wanted, "as the guide shows it, and nothing else");
        assert!(message["data"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        match within("a close frame", self.stream.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1008),
            other => panic!("no close frame but {other:?}"),
        }
        message["data"]["code"].as_str().expect("a code").to_owned()
    }

    /// Sends JSON, where the peer may be gone already.
    pub async fn try_send(&mut self, message: Value) {
        let _ = within("sending", self.stream.send(Message::text(message.to_string()))).await;
    }

    /// Sends JSON in a text frame.
    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    /// Sends a text frame.
    pub async fn send_text(&mut self, text: &str) {
        within("sending", self.stream.send(Message::text(text)))
            .await
            .expect("an open socket");
    }

    /// Sends a binary frame.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        within("sending", self.stream.send(Message::binary(bytes.to_vec())))
            .await
            .expect("an open socket");
    }

    /// Drops the connection without a word, as a lost network does.
    pub fn lose(self) {
        drop(self);
    }

    /// Sends messages in one go, so that the server has all of them before it can answer the first.
    pub async fn send_together(&mut self, messages: &[Value]) {
        for message in messages {
            self.stream.feed(Message::text(message.to_string())).await.expect("an open socket");
        }
        within("sending", self.stream.flush()).await.expect("an open socket");
    }

    /// The next message, which must be JSON with a `type`.
    pub async fn receive(&mut self) -> Value {
        loop {
            match within("a message", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"));
                    assert!(message["type"].is_string(), "no type: {message}");
                    return message;
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message but {other:?}"),
            }
        }
    }

    /// Messages up to and including the first that `ends`.
    pub async fn receive_until(&mut self, ends: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let message = self.receive().await;
            let last = ends(&message);
            messages.push(message);
            if last {
                return messages;
            }
        }
    }

    /// The close frame with which the server ends the connection; other messages before it are passed over.
    pub async fn closed(&mut self) -> CloseFrame {
        loop {
            match within("a close frame", self.stream.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(Message::Close(None))) => panic!("closed without a code"),
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    }

    /// Closes it in order; the server must answer with the same code.
    pub async fn close(mut self) {
        self.stream
            .close(Some(CloseFrame {
                code: 1000.into(),
                reason: "done".into(),
            }))
            .await
            .expect("an open socket");
        assert_eq!(u16::from(self.closed().await.code), 1000);
    }

    /// Sends a query.
    pub async fn query(&mut self, request_id: &str, data: Value) {
        self.send(query(request_id, data)).await;
    }

    /// The messages of one query up to its end; no other may come between.
    pub async fn answer(&mut self, request_id: &str) -> Vec<Value> {
        let messages = self.receive_until(is_end).await;
        assert!(messages.iter().all(|message| message["request_id"] == request_id), "{messages:?}");
        messages
    }

    /// The next message, which must be an `error` with this code, its shape checked; gives its `data`.
    pub async fn error(&mut self, request_id: Value, code: &str) -> Value {
        use super::Is;
        let message = self.receive().await;
        assert_eq!(
            (&message["type"], &message["request_id"]),
            (&json!("error"), &request_id),
            "{message}"
        );
        let data = message["data"].clone();
        super::has(
            &data,
            &[
                ("code", Is::Text),
                ("message", Is::Text),
                ("details", Is::Object),
                ("recoverable", Is::Bool),
            ],
        );
        assert_eq!(data["code"], code, "{message}");
        data
    }
}

/// A `query` message.
pub fn query(request_id: &str, data: Value) -> Value {
    json!({ "type": "query", "request_id": request_id, "data": data })
}

/// A `control` message.
pub fn control(request_id: &str, action: &str) -> Value {
    json!({ "type": "control", "request_id": request_id, "data": { "action": action } })
}

/// Whether a message of `/ws/query` is its query's last.
pub fn is_end(message: &Value) -> bool {
    message["type"] == "complete" || message["type"] == "error"
}
