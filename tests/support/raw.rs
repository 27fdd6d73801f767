//! WebSocket frames by hand (RFC 6455), for what no well-behaved client would send.

use super::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Text.
pub const TEXT: u8 = 1;
/// Bytes.
pub const BINARY: u8 = 2;
/// The rest of a message.
pub const CONTINUATION: u8 = 0;
/// Close.
pub const CLOSE: u8 = 8;
/// Ping.
pub const PING: u8 = 9;
/// Pong.
pub const PONG: u8 = 10;

/// A connection on which the handshake is done.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects and does the handshake with the example key of RFC 6455, 1.3, whose answer is known.
    pub async fn connect(address: &str, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sending");
        let mut head = Vec::new();
        within("the handshake's answer", async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("an answer"));
            }
        })
        .await;
        let head = String::from_utf8(head).expect("ASCII");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(
            head.to_ascii_lowercase()
                .contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{head}"
        );
        Self(stream)
    }

    /// Sends bytes as they are. What the server refuses it may stop reading: that is no error here.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = within("sending", self.0.write_all(bytes)).await;
    }

    /// The next frame: its opcode and payload. Pings of the server are passed over.
    pub async fn receive(&mut self) -> (u8, Vec<u8>) {
        within("a frame", async {
            loop {
                let first = self.0.read_u8().await.expect("a frame");
                let second = self.0.read_u8().await.expect("a frame");
                assert_eq!(second & 0x80, 0, "a server must not mask its frames");
                let length = match second {
                    126 => self.0.read_u16().await.expect("a frame").into(),
                    127 => self.0.read_u64().await.expect("a frame"),
                    length => length.into(),
                };
                let mut payload = vec![0; usize::try_from(length).expect("a short frame")];
                self.0.read_exact(&mut payload).await.expect("a whole frame");
                assert_eq!(first & 0xf0, 0x80, "an unfragmented frame without reserved bits");
                if first & 0x0f != PING {
                    return (first & 0x0f, payload);
                }
            }
        })
        .await
    }

    /// Ends this side's direction of the connection, without a close frame.
    pub async fn half_close(&mut self) {
        self.0.shutdown().await.expect("a connection");
    }

    /// Waits until the server has ended its direction too; what it still sends is passed over.
    pub async fn ended(mut self) {
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
    }

    /// The code of the close frame that must come next, after which the connection must end.
    pub async fn closed(mut self) -> u16 {
        let (opcode, payload) = self.receive().await;
        assert_eq!(opcode, CLOSE, "no close frame but {payload:?}");
        assert!(payload.len() >= 2, "closed without a code");
        // The other half of the closing handshake.
        self.send(&frame(true, CLOSE, &payload[..2])).await;
        let _ = self.0.shutdown().await;
        let mut rest = Vec::new();
        let _ = within("the end of the connection", self.0.read_to_end(&mut rest)).await;
        assert_eq!(rest, b"", "bytes after the close frame");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

/// A masked frame, as a client must send it.
pub fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = head(fin, opcode, payload.len(), true);
    bytes.extend(key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A frame's first bytes, up to the masking key.
pub fn head(fin: bool, opcode: u8, length: usize, masked: bool) -> Vec<u8> {
    let mut bytes = vec![if fin { 0x80 | opcode } else { opcode }];
    let mask = if masked { 0x80 } else { 0 };
    match length {
        0..=125 => bytes.push(mask | length as u8),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes
}
