//! Telling a peer what happens: what is replayed, what follows, and how much a slow reader missed.

use super::frames::Closing;
use super::message::{self, error_frame};
use super::outbox::{Gone, Outbox};
use super::session::Conversation;
use futures_util::FutureExt;
use ibid_protocol::{ApiError, ErrorCode};
use serde::Serialize;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// Events that may wait for one peer. The oldest goes when another comes.
const BACKLOG: usize = 1_024;

/// What one peer is told, and how.
pub(super) trait Feed: Send + 'static {
    /// What happens.
    type Event: Send + Sync + 'static;

    /// Whether this peer is told of it.
    fn wants(&mut self, event: &Self::Event) -> bool;

    /// Whether nobody needs to be told of `older` any more once there is `newer`.
    fn replaces(_newer: &Self::Event, _older: &Self::Event) -> bool {
        false
    }

    /// The message.
    fn text(&mut self, event: &Self::Event) -> Vec<u8>;
}

/// The task that tells a peer what happens. Dropping it ends that.
pub(super) type Telling = AbortOnDropHandle<()>;

/// Tells, in this order: that `missed` events cannot be replayed, those of `replay`, and those that happen from
/// now on and are wanted. Closes the connection when nothing can happen any more.
pub(super) fn tell<F: Feed>(to: Outbox, feed: F, missed: u64, replay: Vec<Arc<F::Event>>, live: Receiver<Arc<F::Event>>) -> Telling {
    let telling = async move {
        let backlog = Backlog {
            missed,
            events: replay.into(),
        };
        let told = AssertUnwindSafe(pass_on(&to, feed, backlog, live)).catch_unwind().await;
        // If it cannot be closed any more, it is.
        let _ = match told {
            Ok(Ok(())) => to.close(Closing::going_away("the server stops")).await,
            Ok(Err(Gone)) => Ok(()),
            Err(_) => {
                tracing::error!("telling events panicked");
                to.close_now(Closing::internal()).await
            }
        };
    };
    AbortOnDropHandle::new(tokio::spawn(telling.in_current_span()))
}

/// What a peer has not been told yet.
struct Backlog<T> {
    /// Events that were before the first of these, and are lost to this peer.
    missed: u64,
    events: VecDeque<Arc<T>>,
}

enum Next<T> {
    Gap(u64),
    Event(Arc<T>),
}

impl<T> Backlog<T> {
    fn is_empty(&self) -> bool {
        self.missed == 0 && self.events.is_empty()
    }

    fn push(&mut self, event: Arc<T>, replaces: fn(&T, &T) -> bool) {
        if let Some(older) = self.events.iter().position(|older| replaces(&event, older)) {
            self.events.remove(older);
        } else if self.events.len() >= BACKLOG && self.events.pop_front().is_some() {
            self.missed += 1;
        }
        self.events.push_back(event);
    }

    fn next(&mut self) -> Option<Next<T>> {
        match std::mem::take(&mut self.missed) {
            0 => self.events.pop_front().map(Next::Event),
            missed => Some(Next::Gap(missed)),
        }
    }
}

/// Ends well when nothing can happen any more.
async fn pass_on<F: Feed>(to: &Outbox, mut feed: F, mut backlog: Backlog<F::Event>, mut live: Receiver<Arc<F::Event>>) -> Result<(), Gone> {
    let mut happening = true;
    while happening || !backlog.is_empty() {
        tokio::select! {
            heard = live.recv(), if happening => match heard {
                Ok(event) if feed.wants(&event) => backlog.push(event, F::replaces),
                Ok(_) => {}
                // The ring has gone round before this task was run: the machine is that busy.
                Err(RecvError::Lagged(missed)) => backlog.missed += missed,
                Err(RecvError::Closed) => happening = false,
            },
            slot = to.slot(), if !backlog.is_empty() => {
                let slot = slot?;
                match backlog.next() {
                    Some(Next::Gap(missed)) => slot.send(gap(missed)),
                    Some(Next::Event(event)) => slot.send(feed.text(&event)),
                    None => {}
                }
            }
        }
    }
    Ok(())
}

/// An event as JSON; one that cannot be written as that is a defect, and left to the log.
pub(super) fn written(event: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(event).unwrap_or_else(|error| {
        tracing::error!(%error, "an event could not be written as JSON");
        gap(1)
    })
}

fn gap(missed: u64) -> Vec<u8> {
    format!(r#"{{"type":"gap","data":{{"missed":{missed}}}}}"#).into_bytes()
}

/// A socket that tells events, and hears nothing.
pub(super) struct Teller {
    /// Where the events go, and the answers to what a client says in vain.
    pub outbox: Outbox,
    /// What tells, and all that must live as long.
    pub telling: Telling,
}

impl Teller {
    async fn refuse(&self, request_id: Option<&str>) -> Result<(), Gone> {
        let _ = &self.telling;
        let error = ApiError::new(ErrorCode::InvalidMessage, "This socket tells events and takes no messages.");
        self.outbox.send(error_frame(request_id, error)).await
    }
}

impl Conversation for Teller {
    async fn text(&self, text: String) -> Result<(), Gone> {
        let request_id = match message::read_unnamed(&text) {
            Ok(message) => message.request_id,
            Err(unreadable) => unreadable.request_id,
        };
        self.refuse(request_id.as_deref()).await
    }

    async fn binary(&self, _: Vec<u8>) -> Result<(), Gone> {
        self.refuse(None).await
    }

    async fn finished(&self) {}
}

#[cfg(test)]
mod tests {
    use super::super::outbox::{self, Pulse};
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::sync::broadcast;

    /// Events are numbers; negative ones are not wanted, and those of 1,000 or more replace one another.
    struct Numbers;

    impl Feed for Numbers {
        type Event = i64;

        fn wants(&mut self, event: &i64) -> bool {
            *event >= 0
        }

        fn replaces(newer: &i64, older: &i64) -> bool {
            *newer >= 1_000_000 && *older >= 1_000_000
        }

        fn text(&mut self, event: &i64) -> Vec<u8> {
            event.to_string().into_bytes()
        }
    }

    /// What a peer reads who begins to read only when everything has happened, on a connection that holds almost nothing.
    async fn read_late(events: impl Iterator<Item = i64>) -> Vec<String> {
        let (mut peer, here) = tokio::io::duplex(16);
        let (outbox, queues) = Outbox::new(1);
        let writing = tokio::spawn(outbox::write(
            here,
            queues,
            Pulse::default(),
            Duration::from_secs(3_600),
            metrics::Counter::noop(),
        ));
        let ring = broadcast::Sender::new(64);
        let telling = tell(outbox, Numbers, 0, Vec::new(), ring.subscribe());
        for event in events {
            // One after another, so that the ring is not what loses them.
            ring.send(Arc::new(event)).expect("a subscriber");
            while !ring.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        drop(ring);
        let reading = tokio::spawn(async move {
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).await.map(|_| bytes)
        });
        telling.await.expect("told");
        writing.await.expect("written");
        let mut bytes = reading.await.expect("a reader").expect("read").into_iter();
        let mut texts = Vec::new();
        // Short frames of a server: two bytes, then the payload; the last one is the close frame.
        while let (Some(first), Some(length)) = (bytes.next(), bytes.next()) {
            let payload: Vec<u8> = bytes.by_ref().take(usize::from(length)).collect();
            if first & 0x0f == 1 {
                texts.push(String::from_utf8(payload).expect("UTF-8"));
            }
        }
        texts
    }

    #[tokio::test]
    async fn a_peer_that_reads_slowly_misses_the_oldest_and_is_told_how_many() {
        let all = 3 * BACKLOG as i64;
        let texts = read_late((0..all).flat_map(|n| [n, -1])).await;
        let at = texts.iter().position(|text| text.contains("gap")).expect("a gap");
        let missed = all - (texts.len() as i64 - 1);
        assert_eq!(texts[at], format!(r#"{{"type":"gap","data":{{"missed":{missed}}}}}"#));
        assert!(missed > 0 && at < 8, "few were on their way before it stopped reading: {at}");
        let numbers: Vec<i64> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        assert!(numbers.is_sorted() && numbers.last() == Some(&(all - 1)));
        assert_eq!(numbers[at..].len(), BACKLOG, "all that could wait did");
        assert_eq!(numbers[at], all - BACKLOG as i64, "and they are the newest");
    }

    #[tokio::test]
    async fn of_what_is_replaced_only_the_newest_waits() {
        let texts = read_late([7, 8, 9, 10, 11].into_iter().chain(1_000_000..1_005_000).chain([12])).await;
        assert!(!texts.iter().any(|text| text.contains("gap")), "nothing is missed: {texts:?}");
        assert_eq!(
            texts.iter().rev().take(2).map(String::as_str).collect::<Vec<_>>(),
            ["12", "1004999"]
        );
        assert!(texts.len() < 16, "{}", texts.len());
    }
}
