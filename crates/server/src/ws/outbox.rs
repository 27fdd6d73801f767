//! What goes to one peer: a bounded queue, and the task that writes it to the socket.

use super::frames::Closing;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocketError, WebSocketWrite};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// Pongs and closes that may wait; a peer that floods with pings is then not read any further.
const URGENT: usize = 8;

/// Pings without a sign of life after which the peer is given up.
const UNANSWERED_PINGS: u32 = 2;

/// The session is over: nothing can be sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

enum Outgoing {
    Text(Vec<u8>),
    Close(Closing),
}

enum Urgent {
    Pong(Vec<u8>),
    Close(Closing),
    Last(Vec<u8>, Closing),
}

/// Where messages to the peer are put. When it is full, who sends waits: that is what holds the generator.
#[derive(Clone)]
pub(super) struct Outbox {
    messages: mpsc::Sender<Outgoing>,
    urgent: mpsc::Sender<Urgent>,
}

/// The other end of an [`Outbox`].
pub(super) struct Queues {
    messages: mpsc::Receiver<Outgoing>,
    urgent: mpsc::Receiver<Urgent>,
}

/// A place in the queue.
pub(super) struct Slot<'a>(mpsc::Permit<'a, Outgoing>);

impl Slot<'_> {
    /// Puts the message there, without waiting.
    pub fn send(self, text: Vec<u8>) {
        self.0.send(Outgoing::Text(text));
    }
}

impl Outbox {
    /// A queue for `capacity` messages.
    pub fn new(capacity: usize) -> (Self, Queues) {
        let (messages, waiting) = mpsc::channel(capacity);
        let (urgent, at_once) = mpsc::channel(URGENT);
        (
            Self { messages, urgent },
            Queues {
                messages: waiting,
                urgent: at_once,
            },
        )
    }

    /// Sends a text message, UTF-8; waits for its place.
    pub async fn send(&self, text: Vec<u8>) -> Result<(), Gone> {
        self.messages.send(Outgoing::Text(text)).await.map_err(|_| Gone)
    }

    /// Waits for a place, so that what follows can be done together with the sending.
    pub async fn slot(&self) -> Result<Slot<'_>, Gone> {
        self.messages.reserve().await.map(Slot).map_err(|_| Gone)
    }

    /// Closes the connection after everything that was sent before.
    pub async fn close(&self, closing: Closing) -> Result<(), Gone> {
        self.messages.send(Outgoing::Close(closing)).await.map_err(|_| Gone)
    }

    /// Closes the connection before anything that still waits.
    pub async fn close_now(&self, closing: Closing) -> Result<(), Gone> {
        self.urgent.send(Urgent::Close(closing)).await.map_err(|_| Gone)
    }

    /// Sends a last text message before anything that still waits, and closes the connection.
    pub async fn close_with(&self, text: Vec<u8>, closing: Closing) -> Result<(), Gone> {
        self.urgent.send(Urgent::Last(text, closing)).await.map_err(|_| Gone)
    }

    /// Answers a ping.
    pub async fn pong(&self, payload: Vec<u8>) -> Result<(), Gone> {
        self.urgent.send(Urgent::Pong(payload)).await.map_err(|_| Gone)
    }
}

/// Signs of life of a peer.
#[derive(Debug, Default, Clone)]
pub(super) struct Pulse(Arc<AtomicBool>);

impl Pulse {
    /// The peer lives.
    pub fn beat(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn since_last_look(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Writes what is put into the queues, and pings every `period`, until a close was written, the peer is
/// gone, or nobody can send any more. Then it ends its direction of the stream.
pub(super) async fn write(mut stream: impl AsyncWrite + Unpin, mut queues: Queues, pulse: Pulse, period: Duration, sent: metrics::Counter) {
    let (_, mut socket) = fastwebsockets::after_handshake_split(tokio::io::empty(), &mut stream, Role::Server);
    let mut pings = interval_at(Instant::now() + period, period);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered = 0;
    loop {
        let frame = tokio::select! {
            biased;
            Some(urgent) = queues.urgent.recv() => match urgent {
                Urgent::Pong(payload) => Frame::pong(payload.into()),
                Urgent::Close(closing) => Frame::close_raw(closing.payload().into()),
                Urgent::Last(text, closing) => {
                    if !deliver(&mut socket, Frame::text(text.into()), &pulse, period).await {
                        return;
                    }
                    Frame::close_raw(closing.payload().into())
                }
            },
            _ = pings.tick() => {
                if pulse.since_last_look() {
                    unanswered = 0;
                }
                if unanswered >= UNANSWERED_PINGS {
                    Frame::close_raw(Closing::going_away("no answer to pings").payload().into())
                } else {
                    unanswered += 1;
                    Frame::new(true, OpCode::Ping, None, Payload::Owned(Vec::new()))
                }
            }
            message = queues.messages.recv() => match message {
                Some(Outgoing::Text(text)) => {
                    sent.increment(1);
                    Frame::text(text.into())
                }
                Some(Outgoing::Close(closing)) => Frame::close_raw(closing.payload().into()),
                None => break,
            },
        };
        let last = frame.opcode == OpCode::Close;
        if !deliver(&mut socket, frame, &pulse, period).await {
            return;
        }
        if last {
            break;
        }
    }
    drop(socket);
    let _ = timeout(period, stream.shutdown()).await;
}

/// Writes one frame in time; whether that went well. A frame is small: a peer that has not taken it within the time of
/// two pings takes nothing.
async fn deliver<S: AsyncWrite + Unpin>(socket: &mut WebSocketWrite<S>, frame: Frame<'static>, pulse: &Pulse, period: Duration) -> bool {
    match timeout(period * 2, put(socket, frame, pulse)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the peer is gone");
            false
        }
        Err(_) => {
            tracing::debug!("the peer does not read");
            false
        }
    }
}

/// Writes one frame. If it had to wait and then could go on, the peer has read something: it lives, even if
/// its pong is still behind what it has to read.
async fn put<S: AsyncWrite + Unpin>(socket: &mut WebSocketWrite<S>, frame: Frame<'static>, pulse: &Pulse) -> Result<(), WebSocketError> {
    let mut waited = false;
    {
        let mut writing = pin!(socket.write_frame(frame));
        poll_fn(|cx| {
            let polled = writing.as_mut().poll(cx);
            waited |= polled.is_pending();
            match polled {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => Poll::Pending,
            }
        })
        .await?;
    }
    if waited {
        pulse.beat();
    }
    socket.flush().await
}
