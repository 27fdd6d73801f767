//! A WebSocket of the server, as the commands speak over it.

use super::CliError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocketError, WebSocketRead, WebSocketWrite, after_handshake_split};
use serde_json::Value;
use sha1::{Digest, Sha1};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, WriteHalf, split};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Most bytes of a message of the server.
const MAX_MESSAGE: usize = 64 << 20;

/// Messages that may wait to be read or written. While more come, the connection is not read.
const WAITING: usize = 16;

/// Returns what a server must answer to `key` in `Sec-WebSocket-Accept` (RFC 6455, 4.2.2).
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    STANDARD.encode(digest)
}

/// An open WebSocket. Two tasks read and write it, since a frame must be read to its end, whoever waits for it.
pub struct Socket {
    messages: mpsc::Receiver<Result<String, String>>,
    frames: mpsc::Sender<Frame<'static>>,
    writer: AbortOnDropHandle<()>,
    _reader: AbortOnDropHandle<()>,
    server: String,
}

impl Socket {
    /// Takes over a connection to `server` after its handshake.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static, server: String) -> Self {
        let (reading, writing) = split(stream);
        let (mut reading, writing) = after_handshake_split(reading, writing, Role::Client);
        // The limit of the library is exclusive.
        reading.set_max_message_size(MAX_MESSAGE + 1);
        let (frames, to_write) = mpsc::channel(WAITING);
        let (to_read, messages) = mpsc::channel(WAITING);
        Self {
            messages,
            writer: AbortOnDropHandle::new(tokio::spawn(write(writing, to_write))),
            _reader: AbortOnDropHandle::new(tokio::spawn(read(reading, frames.clone(), to_read))),
            frames,
            server,
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`CliError::Broken`].
    pub async fn send(&mut self, message: &Value) -> Result<(), CliError> {
        let frame = Frame::text(Payload::Owned(message.to_string().into_bytes()));
        let sent = self.frames.send(frame).await;
        sent.map_err(|_| self.broken("the connection has ended".to_owned()))
    }

    /// Returns the next message; safe to cancel. `auth_error` is an error here.
    ///
    /// # Errors
    /// [`CliError::Broken`] when the connection ends, also if the server closed it properly.
    pub async fn next(&mut self) -> Result<Value, CliError> {
        let text = match self.messages.recv().await {
            None => return Err(self.broken("the server closed it".to_owned())),
            Some(Err(why)) => return Err(self.broken(why)),
            Some(Ok(text)) => text,
        };
        let message: Value = serde_json::from_str(&text).map_err(|_| CliError::Foreign {
            server: self.server.clone(),
            reason: "it sent a message that is not JSON".to_owned(),
        })?;
        if message.get("type").and_then(Value::as_str) == Some("auth_error") {
            let text = |key: &str| {
                message
                    .pointer(&format!("/data/{key}"))
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            return Err(CliError::Server {
                code: text("code"),
                message: text("message"),
                retry_after: None,
            });
        }
        Ok(message)
    }

    /// Sends a close frame; the connection is gone either way.
    pub async fn close(self) {
        let closing = async {
            if self.frames.send(Frame::close_raw(Payload::Borrowed(b""))).await.is_ok() {
                let _ = self.writer.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
    }

    fn broken(&self, reason: String) -> CliError {
        CliError::Broken {
            server: self.server.clone(),
            reason,
        }
    }
}

/// Writes frames until one closes the connection, nobody is left to send any, or the peer is gone.
async fn write<S: AsyncWrite>(mut socket: WebSocketWrite<WriteHalf<S>>, mut frames: mpsc::Receiver<Frame<'static>>) {
    while let Some(frame) = frames.recv().await {
        let last = frame.opcode == OpCode::Close;
        if socket.write_frame(frame).await.is_err() || socket.flush().await.is_err() || last {
            return;
        }
    }
}

/// Reads messages until the connection ends, and passes on why it ended.
async fn read<S: AsyncRead + Unpin>(
    mut socket: WebSocketRead<S>,
    frames: mpsc::Sender<Frame<'static>>,
    messages: mpsc::Sender<Result<String, String>>,
) {
    loop {
        let message = next_text(&mut socket, &frames).await;
        let last = message.is_err();
        if messages.send(message).await.is_err() || last {
            return;
        }
    }
}

/// Returns the next text message. Binary ones mean nothing here; pings are answered on the way.
async fn next_text<S: AsyncRead + Unpin>(socket: &mut WebSocketRead<S>, frames: &mpsc::Sender<Frame<'static>>) -> Result<String, String> {
    let mut reply = |frame| frames.send(frame);
    let mut partial: Option<(bool, Vec<u8>)> = None;
    loop {
        let frame = socket.read_frame(&mut reply).await.map_err(|error| reason_of(&error))?;
        let (is_text, bytes) = match (frame.opcode, partial.take()) {
            (OpCode::Close, _) => return Err(closed(&frame.payload)),
            (OpCode::Ping | OpCode::Pong, kept) => {
                partial = kept;
                continue;
            }
            (OpCode::Text | OpCode::Binary, None) => (frame.opcode == OpCode::Text, Vec::from(frame.payload)),
            (OpCode::Continuation, Some((is_text, mut bytes))) => {
                bytes.extend_from_slice(&frame.payload);
                (is_text, bytes)
            }
            _ => return Err("it sent the parts of a message in the wrong order".to_owned()),
        };
        if bytes.len() > MAX_MESSAGE {
            return Err(reason_of(&WebSocketError::FrameTooLarge));
        }
        if !frame.fin {
            partial = Some((is_text, bytes));
        } else if is_text {
            return String::from_utf8(bytes).map_err(|_| reason_of(&WebSocketError::InvalidUTF8));
        }
    }
}

/// Returns why the server closed the connection, from the payload of its close frame.
fn closed(payload: &[u8]) -> String {
    let why = match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let reason = super::console::clean(&String::from_utf8_lossy(reason));
            format!("the server closed it: {code} {reason}")
        }
        _ => "the server closed it".to_owned(),
    };
    why.trim_end().to_owned()
}

fn reason_of(error: &WebSocketError) -> String {
    match error {
        WebSocketError::UnexpectedEOF | WebSocketError::ConnectionClosed => "the connection was cut".to_owned(),
        WebSocketError::FrameTooLarge => format!("it sent a message of more than {} MiB", MAX_MESSAGE >> 20),
        WebSocketError::InvalidUTF8 => "it sent text that is not UTF-8".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt, StreamExt};
    use serde_json::json;
    use tokio::io::DuplexStream;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode as Code};
    use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame as RawFrame};
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

    /// A socket, and a server of another make at its other end.
    async fn pair() -> (Socket, WebSocketStream<DuplexStream>) {
        let (here, there) = tokio::io::duplex(64 << 10);
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        let peer = WebSocketStream::from_raw_socket(there, Role::Server, Some(config)).await;
        (Socket::new(here, "http://test".to_owned()), peer)
    }

    fn reason(error: CliError) -> String {
        match error {
            CliError::Broken { reason, .. } | CliError::Foreign { reason, .. } => reason,
            other => panic!("{other}"),
        }
    }

    fn part(text: &[u8], code: Data, last: bool) -> Message {
        Message::Frame(RawFrame::message(text.to_vec(), Code::Data(code), last))
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[tokio::test]
    async fn messages_go_both_ways() {
        let (mut socket, mut peer) = pair().await;
        socket.send(&json!({ "type": "ä" })).await.expect("sent");
        let got = peer.next().await.expect("a message").expect("whole");
        assert_eq!(got, Message::text(r#"{"type":"ä"}"#));
        let long = "ü".repeat(100_000);
        let sending = tokio::spawn(async move {
            peer.send(Message::binary(vec![1, 2])).await.expect("sent");
            peer.send(Message::text(json!({ "type": long }).to_string())).await.expect("sent");
            peer
        });
        assert_eq!(socket.next().await.expect("a message")["type"], "ü".repeat(100_000));
        drop(sending.await.expect("sent"));
    }

    #[tokio::test]
    async fn fragments_make_a_message_with_pings_between_them() {
        let (mut socket, mut peer) = pair().await;
        let text = r#"{"type":"ü"}"#.as_bytes();
        // The cut is within the letter.
        peer.send(part(&text[..10], Data::Text, false)).await.expect("sent");
        peer.send(Message::Ping(b"alive"[..].into())).await.expect("sent");
        assert_eq!(
            peer.next().await.expect("an answer").expect("whole"),
            Message::Pong(b"alive"[..].into())
        );
        peer.send(part(&text[10..], Data::Continue, true)).await.expect("sent");
        assert_eq!(socket.next().await.expect("a message"), json!({ "type": "ü" }));
        peer.send(part(b"x", Data::Continue, true)).await.expect("sent");
        assert!(reason(socket.next().await.expect_err("out of order")).contains("wrong order"));
    }

    #[tokio::test]
    async fn to_stop_waiting_loses_nothing() {
        let (mut socket, mut peer) = pair().await;
        let waited = tokio::select! {
            biased;
            message = socket.next() => Some(message),
            () = std::future::ready(()) => None,
        };
        assert!(waited.is_none());
        for number in 0..3 {
            peer.send(Message::text(json!({ "type": "n", "n": number }).to_string()))
                .await
                .expect("sent");
        }
        for number in 0..3 {
            assert_eq!(socket.next().await.expect("a message")["n"], number);
        }
    }

    #[tokio::test]
    async fn the_end_says_why() {
        let (mut socket, mut peer) = pair().await;
        let frame = CloseFrame {
            code: 1008.into(),
            reason: "not\u{7} allowed".into(),
        };
        peer.close(Some(frame)).await.expect("closed");
        let why = reason(socket.next().await.expect_err("closed"));
        assert!(why.starts_with("the server closed it: 1008 not") && !why.contains('\u{7}'), "{why}");
        assert_eq!(reason(socket.next().await.expect_err("closed")), "the server closed it");
        // The closing is answered.
        assert!(matches!(peer.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1008));

        let (mut socket, mut peer) = pair().await;
        peer.close(None).await.expect("closed");
        assert_eq!(reason(socket.next().await.expect_err("closed")), "the server closed it");

        let (mut socket, peer) = pair().await;
        drop(peer);
        assert_eq!(reason(socket.next().await.expect_err("cut")), "the connection was cut");
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        let (mut socket, mut peer) = pair().await;
        peer.send(part(b"{\xff}", Data::Text, true)).await.expect("sent");
        assert!(reason(socket.next().await.expect_err("bad text")).contains("UTF-8"));

        let (mut socket, mut peer) = pair().await;
        peer.send(Message::text("no")).await.expect("sent");
        assert!(reason(socket.next().await.expect_err("no JSON")).contains("not JSON"));
        let denial = json!({ "type": "auth_error", "data": { "code": "TOKEN_EXPIRED", "message": "It has ended." } });
        peer.send(Message::text(denial.to_string())).await.expect("sent");
        assert!(matches!(socket.next().await, Err(CliError::Server { code, .. }) if code == "TOKEN_EXPIRED"));
    }

    #[tokio::test]
    async fn a_message_without_end_is_given_up() {
        let (mut socket, mut peer) = pair().await;
        let flood = tokio::spawn(async move {
            let megabyte = vec![b'x'; 1 << 20];
            let mut code = Data::Text;
            while peer.send(part(&megabyte, code, false)).await.is_ok() {
                code = Data::Continue;
            }
        });
        assert!(reason(socket.next().await.expect_err("too large")).contains("64 MiB"));
        drop(socket);
        flood.await.expect("it was let go");
    }

    #[tokio::test]
    async fn close_sends_a_frame() {
        let (socket, mut peer) = pair().await;
        let (frame, ()) = tokio::join!(peer.next(), socket.close());
        assert!(matches!(frame, Some(Ok(Message::Close(None)))));
    }
}
