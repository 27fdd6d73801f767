//! Frames to messages, and what breaks the rules of RFC 6455. No I/O.

use fastwebsockets::{CloseCode, OpCode, WebSocketError};
use std::borrow::Cow;

/// Bytes of a control frame's payload (RFC 6455, 5.5).
const MAX_CONTROL: usize = 125;

/// How a connection is closed: the code of RFC 6455, 7.4, and a reason for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closing {
    /// `None`: an empty close frame, which is the answer to an empty one.
    pub code: Option<u16>,
    /// At most 123 bytes.
    pub reason: Cow<'static, str>,
}

impl Closing {
    const fn new(code: u16, reason: &'static str) -> Self {
        Self {
            code: Some(code),
            reason: Cow::Borrowed(reason),
        }
    }

    /// 1001: the server stops, or the peer shows no sign of life.
    pub const fn going_away(reason: &'static str) -> Self {
        Self::new(1001, reason)
    }

    /// 1002: the peer breaks the protocol.
    pub const fn protocol_error(reason: &'static str) -> Self {
        Self::new(1002, reason)
    }

    /// 1007: text that is not UTF-8.
    pub const fn not_utf8() -> Self {
        Self::new(1007, "text must be UTF-8")
    }

    /// Whether it says so.
    pub fn is_too_large(&self) -> bool {
        self.code == Some(1009)
    }

    /// 1008: the peer may not, or may not any more.
    pub const fn not_allowed() -> Self {
        Self::new(1008, "not authenticated, or not allowed")
    }

    /// 1009: more bytes than are taken.
    pub const fn too_large() -> Self {
        Self::new(1009, "the message is too large")
    }

    /// 1011: a defect of the server.
    pub const fn internal() -> Self {
        Self::new(1011, "internal error")
    }

    /// The payload of the close frame.
    pub fn payload(&self) -> Vec<u8> {
        let Some(code) = self.code else { return Vec::new() };
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(self.reason.as_bytes());
        payload
    }
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// UTF-8.
    Text(String),
    /// Any bytes.
    Binary(Vec<u8>),
}

/// Most bytes of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Of a text message.
    pub text: usize,
    /// Of a binary one.
    pub binary: usize,
}

impl Limits {
    /// The larger of both.
    pub fn largest(self) -> usize {
        self.text.max(self.binary)
    }

    fn of(self, text: bool) -> usize {
        if text { self.text } else { self.binary }
    }
}

/// Puts messages together from their fragments, within a limit on the whole.
#[derive(Debug)]
pub(super) struct Assembler {
    limits: Limits,
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    text: bool,
    bytes: Vec<u8>,
}

impl Assembler {
    /// Messages have at most so many bytes.
    pub fn new(limits: Limits) -> Self {
        Self { limits, partial: None }
    }

    /// Takes a data frame; gives the message that it ends.
    pub fn take(&mut self, fin: bool, opcode: OpCode, payload: Vec<u8>) -> Result<Option<Message>, Closing> {
        let whole = match (opcode, self.partial.take()) {
            (OpCode::Text | OpCode::Binary, None) => Partial {
                text: opcode == OpCode::Text,
                bytes: payload,
            },
            (OpCode::Continuation, Some(mut partial)) => {
                if partial.bytes.len().saturating_add(payload.len()) > self.limits.of(partial.text) {
                    return Err(Closing::too_large());
                }
                partial.bytes.extend_from_slice(&payload);
                partial
            }
            (OpCode::Continuation, None) => return Err(Closing::protocol_error("a continuation of nothing")),
            _ => return Err(Closing::protocol_error("a new message inside a fragmented one")),
        };
        if whole.bytes.len() > self.limits.of(whole.text) {
            return Err(Closing::too_large());
        }
        if !fin {
            self.partial = Some(whole);
            return Ok(None);
        }
        if !whole.text {
            return Ok(Some(Message::Binary(whole.bytes)));
        }
        String::from_utf8(whole.bytes)
            .map(|text| Some(Message::Text(text)))
            .map_err(|_| Closing::not_utf8())
    }
}

/// Whether a ping's or a pong's payload may be so long.
pub(super) fn check_control(payload: &[u8]) -> Result<(), Closing> {
    if payload.len() > MAX_CONTROL {
        Err(Closing::protocol_error("a control frame of more than 125 bytes"))
    } else {
        Ok(())
    }
}

/// The answer to a close frame: the same code, or what is wrong with it.
pub(super) fn close_reply(payload: &[u8]) -> Closing {
    match payload {
        [] => Closing {
            code: None,
            reason: Cow::Borrowed(""),
        },
        _ if payload.len() > MAX_CONTROL => Closing::protocol_error("a control frame of more than 125 bytes"),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !CloseCode::from(code).is_allowed() {
                Closing::protocol_error("that close code may not be sent")
            } else if std::str::from_utf8(reason).is_err() {
                Closing::not_utf8()
            } else {
                Closing {
                    code: Some(code),
                    reason: Cow::Borrowed(""),
                }
            }
        }
        [_] => Closing::protocol_error("a close frame of one byte"),
    }
}

/// How to close after a frame could not be read; `None` if nobody is there any more.
pub(super) fn closing_for(error: &WebSocketError) -> Option<Closing> {
    match error {
        WebSocketError::FrameTooLarge => Some(Closing::too_large()),
        WebSocketError::InvalidUTF8 => Some(Closing::not_utf8()),
        WebSocketError::ReservedBitsNotZero => Some(Closing::protocol_error("reserved bits are set, and no extension was agreed on")),
        WebSocketError::ControlFrameFragmented => Some(Closing::protocol_error("a fragmented control frame")),
        WebSocketError::PingFrameTooLarge => Some(Closing::protocol_error("a control frame of more than 125 bytes")),
        WebSocketError::UnexpectedEOF | WebSocketError::IoError(_) | WebSocketError::ConnectionClosed | WebSocketError::SendError(_) => {
            None
        }
        _ => Some(Closing::protocol_error("a malformed frame")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn up_to(limit: usize) -> Assembler {
        Assembler::new(Limits {
            text: limit,
            binary: limit,
        })
    }

    fn feed(assembler: &mut Assembler, pieces: &[&[u8]], first: OpCode) -> Result<Option<Message>, Closing> {
        let mut last = Ok(None);
        for (i, piece) in pieces.iter().enumerate() {
            let opcode = if i == 0 { first } else { OpCode::Continuation };
            last = assembler.take(i + 1 == pieces.len(), opcode, piece.to_vec());
            if last.is_err() {
                break;
            }
        }
        last
    }

    proptest! {
        #[test]
        fn fragments_make_the_message_again(text in ".{0,60}", cuts in prop::collection::vec(0usize..200, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            let mut assembler = up_to(bytes.len());
            prop_assert_eq!(feed(&mut assembler, &pieces, OpCode::Text), Ok(Some(Message::Text(text.clone()))));
            prop_assert!(assembler.partial.is_none());
        }

        #[test]
        fn no_sequence_of_frames_grows_past_the_limit(frames in prop::collection::vec((any::<bool>(), 0u8..3, 0usize..40), 0..30)) {
            let limit = 64;
            let mut assembler = up_to(limit);
            for (fin, opcode, length) in frames {
                let opcode = match opcode { 0 => OpCode::Continuation, 1 => OpCode::Text, _ => OpCode::Binary };
                match assembler.take(fin, opcode, vec![b'x'; length]) {
                    Ok(Some(Message::Text(text))) => prop_assert!(text.len() <= limit),
                    Ok(Some(Message::Binary(bytes))) => prop_assert!(bytes.len() <= limit),
                    Ok(None) => prop_assert!(assembler.partial.as_ref().is_some_and(|p| p.bytes.len() <= limit)),
                    Err(closing) => { prop_assert!(matches!(closing.code, Some(1002 | 1009))); break; }
                }
            }
        }

        #[test]
        fn a_close_reply_is_always_well_formed(payload in prop::collection::vec(any::<u8>(), 0..140)) {
            let reply = close_reply(&payload);
            prop_assert!(reply.payload().len() <= MAX_CONTROL);
            prop_assert!(reply.code.is_none_or(|code| CloseCode::from(code).is_allowed()));
        }
    }

    #[test]
    fn rules() {
        let mut assembler = up_to(4);
        assert_eq!(
            feed(&mut assembler, &[b"abc", b"de"], OpCode::Text).map_err(|c| c.code),
            Err(Some(1009))
        );
        assert_eq!(
            up_to(4).take(true, OpCode::Text, b"abcde".to_vec()).map_err(|c| c.code),
            Err(Some(1009))
        );
        assert_eq!(up_to(4).take(true, OpCode::Text, vec![0xff]).map_err(|c| c.code), Err(Some(1007)));
        assert_eq!(
            up_to(4).take(true, OpCode::Continuation, vec![]).map_err(|c| c.code),
            Err(Some(1002))
        );
        let mut nested = up_to(4);
        assert_eq!(nested.take(false, OpCode::Text, vec![]), Ok(None));
        assert_eq!(nested.take(true, OpCode::Text, vec![]).map_err(|c| c.code), Err(Some(1002)));
        assert_eq!(close_reply(&[]).code, None);
        assert_eq!(close_reply(&1000u16.to_be_bytes()).code, Some(1000));
        assert_eq!(close_reply(&[3]).code, Some(1002));
        assert_eq!(close_reply(&1005u16.to_be_bytes()).code, Some(1002));
        assert_eq!(close_reply(&[3, 232, 0xff]).code, Some(1007));
    }
}
