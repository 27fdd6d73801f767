//! The life of one socket: a task that reads, a task that writes, and the closing handshake.

use super::frames::{Assembler, Closing, Limits, Message, check_control, close_reply, closing_for};
use super::outbox::{self, Gone, Outbox, Pulse};
use crate::context::Shared;
use fastwebsockets::{Frame, OpCode, Role};
use futures_util::FutureExt;
use ibid_auth::{Denial, Grant};
use ibid_protocol::AuthError;
use ibid_telemetry::{Held, catalogue};
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// How long the closing handshake may take: writing what is before it, and the peer's end of it.
const CLOSE: Duration = Duration::from_secs(2);

/// What a socket says and hears. Dropping it ends everything that it began.
pub(super) trait Conversation: Send + Sync {
    /// A text message came. The next one is read when this is done.
    fn text(&self, text: String) -> impl Future<Output = Result<(), Gone>> + Send;

    /// A binary message came. The next one is read when this is done.
    fn binary(&self, bytes: Vec<u8>) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Waits, once the server stops, until nothing is in flight.
    fn finished(&self) -> impl Future<Output = ()> + Send;

    /// How long messages may be, where a text message may have `text` bytes.
    fn limits(&self, text: usize) -> Limits {
        Limits { text, binary: text }
    }
}

/// What a session tells the metrics: that it is there, and its messages. The counters are looked up once, since tokens
/// are messages.
pub(super) struct Traffic {
    heard: metrics::Counter,
    sent: metrics::Counter,
    _open: Held,
}

impl Traffic {
    /// Counts a session of the socket at `path`.
    pub fn of(path: &'static str) -> Self {
        catalogue::SOCKETS_OPENED.with([path]).increment(1);
        Self {
            heard: catalogue::SOCKET_MESSAGES.with([path, "in"]),
            sent: catalogue::SOCKET_MESSAGES.with([path, "out"]),
            _open: catalogue::SOCKETS.hold([path]),
        }
    }
}

/// How a session came to its end.
enum End {
    /// The peer is not there any more.
    Gone,
    /// Close at once.
    Now(Closing),
    /// Close after what was sent.
    Afterwards(Closing),
    /// Say why the peer may not stay, and close at once.
    Denied(Denial),
}

/// Tells a peer that is not let in why, and closes. Nothing that it sends is heard.
pub(super) async fn refuse(stream: impl AsyncRead + AsyncWrite + Send + 'static, shared: &Shared, denial: Denial, traffic: Traffic) {
    let (reader, writer) = tokio::io::split(stream);
    let (outbox, queues) = Outbox::new(1);
    let writing = AbortOnDropHandle::new(tokio::spawn(
        outbox::write(writer, queues, Pulse::default(), shared.settings.ping_interval, traffic.sent).in_current_span(),
    ));
    finish(reader, outbox, writing, End::Denied(denial)).await;
}

/// Runs a conversation over `stream` until either side ends it, or the peer's credentials end.
pub(super) async fn run<C: Conversation>(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    shared: &Shared,
    grant: &Grant,
    traffic: Traffic,
    begin: impl FnOnce(Outbox) -> C,
) {
    let (mut reader, writer) = tokio::io::split(stream);
    let settings = &shared.settings;
    let (outbox, queues) = Outbox::new(settings.outgoing_messages);
    let pulse = Pulse::default();
    let mut writing = AbortOnDropHandle::new(tokio::spawn(
        outbox::write(writer, queues, pulse.clone(), settings.ping_interval, traffic.sent).in_current_span(),
    ));
    let conversation = begin(outbox.clone());

    let end = tokio::select! {
        end = listen(&mut reader, &conversation, &outbox, &pulse, conversation.limits(settings.max_message_bytes), &traffic.heard) => end,
        _ = &mut writing => End::Gone,
        denial = grant.ended() => End::Denied(denial),
        () = async { shared.stopping.cancelled().await; conversation.finished().await } => End::Afterwards(Closing::going_away("the server stops")),
        () = shared.deadline.cancelled() => End::Now(Closing::going_away("the server stops")),
    };
    drop(conversation);
    if let End::Now(closing) = &end
        && closing.is_too_large()
    {
        catalogue::refused(catalogue::limit::MESSAGE_BYTES);
    }
    finish(reader, outbox, writing, end).await;
}

/// The closing handshake.
async fn finish(mut reader: ReadHalf<impl AsyncRead + AsyncWrite>, outbox: Outbox, writing: AbortOnDropHandle<()>, end: End) {
    let said = async {
        match end {
            End::Gone => Err(Gone),
            End::Now(closing) => outbox.close_now(closing).await,
            End::Afterwards(closing) => outbox.close(closing).await,
            End::Denied(denial) => outbox.close_with(auth_error(denial), Closing::not_allowed()).await,
        }
    };
    if !matches!(timeout(CLOSE, said).await, Ok(Ok(()))) {
        return;
    }
    drop(outbox);
    if timeout(CLOSE, writing).await.is_ok() {
        drain(&mut reader).await;
    }
}

fn auth_error(denial: Denial) -> Vec<u8> {
    serde_json::to_vec(&AuthError::new(denial.code().name(), denial.to_string())).unwrap_or_else(|error| {
        tracing::error!(%error, "a message could not be written as JSON");
        Vec::new()
    })
}

/// Reads away what the peer still sends, until it ends its side. A connection that is closed with unread bytes is
/// reset, and the peer might never see the close frame.
async fn drain(reader: &mut (impl AsyncRead + Unpin)) {
    let mut scrap = [0; 4096];
    let _ = timeout(CLOSE, async { while matches!(reader.read(&mut scrap).await, Ok(1..)) {} }).await;
}

/// Reads frames until there is a reason to stop.
async fn listen<S: AsyncRead + AsyncWrite, C: Conversation>(
    reader: &mut ReadHalf<S>,
    conversation: &C,
    outbox: &Outbox,
    pulse: &Pulse,
    limits: Limits,
    heard_messages: &metrics::Counter,
) -> End {
    let (mut socket, _) = fastwebsockets::after_handshake_split(reader, tokio::io::sink(), Role::Server);
    // Both are done here: pongs go through the writer, and close frames are checked first.
    socket.set_auto_close(false);
    socket.set_auto_pong(false);
    // The library's limit is the first size that is too large.
    socket.set_max_message_size(limits.largest().saturating_add(1));
    let mut assembler = Assembler::new(limits);
    loop {
        let mut frame = match socket.read_frame(&mut |_| async { Ok::<_, io::Error>(()) }).await {
            Ok(frame) => frame,
            Err(error) => {
                tracing::debug!(%error, "a frame could not be read");
                return closing_for(&error).map_or(End::Gone, End::Now);
            }
        };
        pulse.beat();
        if !is_masked(&mut frame) {
            return End::Now(Closing::protocol_error("a client must mask its frames"));
        }
        let (fin, opcode, payload) = (frame.fin, frame.opcode, Vec::from(frame.payload));
        let heard = match opcode {
            OpCode::Close => return End::Now(close_reply(&payload)),
            OpCode::Ping | OpCode::Pong => match check_control(&payload) {
                Err(closing) => return End::Now(closing),
                Ok(()) if opcode == OpCode::Ping => outbox.pong(payload).await,
                Ok(()) => Ok(()),
            },
            OpCode::Text | OpCode::Binary | OpCode::Continuation => match assembler.take(fin, opcode, payload) {
                Err(closing) => return End::Now(closing),
                Ok(None) => Ok(()),
                Ok(Some(message)) => {
                    heard_messages.increment(1);
                    match hear(conversation, message).await {
                        Some(heard) => heard,
                        None => return End::Now(Closing::internal()),
                    }
                }
            },
        };
        if heard.is_err() {
            return End::Gone;
        }
    }
}

/// Hands a message over; `None` if that panicked.
async fn hear(conversation: &impl Conversation, message: Message) -> Option<Result<(), Gone>> {
    let heard = AssertUnwindSafe(async {
        match message {
            Message::Text(text) => conversation.text(text).await,
            Message::Binary(bytes) => conversation.binary(bytes).await,
        }
    });
    heard
        .catch_unwind()
        .await
        .map_err(|_| tracing::error!("a conversation panicked"))
        .ok()
}

/// Whether the frame came masked: the library unmasks it, and shows the key in the head that it would write only.
fn is_masked(frame: &mut Frame<'_>) -> bool {
    let mut head = [0; 16];
    frame.fmt_head(&mut head);
    head[1] & 0x80 != 0
}

#[cfg(test)]
mod fuzz;
