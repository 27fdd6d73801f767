//! Queries in flight on one connection: which there are, and how each one's events reach the peer.

use super::message::{error_frame, frame};
use super::outbox::{Gone, Outbox};
use super::query::unknown_request;
use crate::http::broke_off;
use crate::limits::Counted;
use futures_util::FutureExt;
use ibid_engine::QueryHandle;
use ibid_protocol::{CompletionStatus, ErrorData, QueryEvent, Stage, Status};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Commands to one query that may wait.
const COMMANDS: usize = 4;

/// What a client tells a query. Cancelling is not among them: it must not wait for anything.
#[derive(Debug)]
pub(super) enum Command {
    /// Send no more for now.
    Pause {
        /// The `request_id` of the message, which the answer echoes.
        answer_to: String,
    },
    /// Go on.
    Resume {
        /// The `request_id` of the message, which the answer echoes.
        answer_to: String,
    },
}

/// How to reach a query in flight.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// Stops it.
    pub cancel: CancellationToken,
    /// Pauses and resumes it.
    pub commands: mpsc::Sender<Command>,
}

/// The queries in flight, by `request_id`.
#[derive(Debug, Default)]
pub(super) struct Running {
    queries: Mutex<HashMap<String, Reach>>,
}

impl Running {
    fn queries(&self) -> MutexGuard<'_, HashMap<String, Reach>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a query of that name is in flight.
    pub fn contains(&self, request_id: &str) -> bool {
        self.queries().contains_key(request_id)
    }

    /// How many are.
    pub fn len(&self) -> usize {
        self.queries().len()
    }

    /// Adds a query; gives what is told to it.
    pub fn insert(&self, request_id: &str, cancel: CancellationToken) -> mpsc::Receiver<Command> {
        let (commands, told) = mpsc::channel(COMMANDS);
        self.queries().insert(request_id.to_owned(), Reach { cancel, commands });
        told
    }

    /// The query that a control message means: the one of the same name, else the one that it names, else the only one.
    pub fn address(&self, request_id: &str, target: Option<&str>) -> Option<Reach> {
        let queries = self.queries();
        let named = queries.get(request_id).or_else(|| target.and_then(|target| queries.get(target)));
        let only = || {
            if target.is_none() && queries.len() == 1 {
                queries.values().next()
            } else {
                None
            }
        };
        named.or_else(only).cloned()
    }

    /// Stops every query.
    pub fn cancel_all(&self) {
        for query in self.queries().values() {
            query.cancel.cancel();
        }
    }

    fn remove(&self, request_id: &str) {
        self.queries().remove(request_id);
    }
}

/// Passes a query's events on until its end, and obeys what is told to it. It alone sends for this query, so
/// that nothing overtakes: what follows `paused` was sent after the pause was heard.
pub(super) async fn follow(
    handle: QueryHandle,
    request_id: String,
    told: mpsc::Receiver<Command>,
    running: Arc<Running>,
    outbox: Outbox,
    pause_limit: Duration,
    place: Option<Counted>,
) {
    let mut following = Following {
        request_id: &request_id,
        outbox: &outbox,
        running: &running,
        forgotten: false,
        place,
        progress: 0.0,
        resume_by: None,
        dropped: Dropped::default(),
    };
    let ended = AssertUnwindSafe(following.run(handle, told, pause_limit)).catch_unwind().await;
    // The peer is gone, or there was a panic. Otherwise the name may be another query's by now.
    if !following.forgotten {
        running.remove(&request_id);
    }
    if ended.is_err() {
        tracing::error!(request_id, "passing a query's events on panicked");
        let _ = outbox.send(error_frame(Some(&request_id), broke_off())).await;
    }
}

struct Following<'a> {
    request_id: &'a str,
    outbox: &'a Outbox,
    running: &'a Running,
    /// No longer among the running.
    forgotten: bool,
    /// Its place among the client's queries in flight.
    place: Option<Counted>,
    /// Of the newest status.
    progress: f64,
    /// Paused, until then at the longest.
    resume_by: Option<Instant>,
    dropped: Dropped,
}

/// What was not sent because the query had been cancelled.
#[derive(Default)]
struct Dropped {
    tokens: u64,
    citations: u32,
}

impl Following<'_> {
    async fn run(&mut self, mut handle: QueryHandle, mut told: mpsc::Receiver<Command>, pause_limit: Duration) -> Result<(), Gone> {
        let cancel = handle.cancel.clone();
        let mut cancelled = false;
        loop {
            let resume_by = self.resume_by;
            let event = tokio::select! {
                // What was told before a cancel is answered before it.
                biased;
                Some(command) = told.recv() => {
                    self.obey(command, pause_limit, cancelled).await?;
                    continue;
                }
                () = cancel.cancelled(), if !cancelled => {
                    cancelled = true;
                    self.resume_by = None;
                    continue;
                }
                () = sleep_until(resume_by.unwrap_or_else(Instant::now)), if resume_by.is_some() => {
                    tracing::debug!(request_id = self.request_id, "paused for too long");
                    cancel.cancel();
                    continue;
                }
                event = handle.events.recv(), if resume_by.is_none() => event,
            };
            match event {
                Some(event @ (QueryEvent::Complete(_) | QueryEvent::Error(_))) => return self.end(event, cancelled, told).await,
                Some(event) => self.pass(event, cancelled).await?,
                None => {
                    tracing::error!(query = handle.query_id, "a query ended without saying how");
                    return self.end(QueryEvent::Error(ErrorData::from(broke_off())), cancelled, told).await;
                }
            }
        }
    }

    async fn pass(&mut self, event: QueryEvent, cancelled: bool) -> Result<(), Gone> {
        match &event {
            QueryEvent::Status(status) => self.progress = status.progress,
            QueryEvent::Token(_) if cancelled => self.dropped.tokens += 1,
            QueryEvent::Citation(_) if cancelled => self.dropped.citations += 1,
            _ => {}
        }
        if cancelled {
            return Ok(());
        }
        self.outbox.send(frame(Some(self.request_id), &event)).await
    }

    /// Sends the last event. With a place in the queue at hand the query is first forgotten, so that a client that
    /// has seen the end may use its name, and its place among those in flight, again at once.
    async fn end(&mut self, mut event: QueryEvent, cancelled: bool, mut told: mpsc::Receiver<Command>) -> Result<(), Gone> {
        if let QueryEvent::Complete(complete) = &mut event
            && cancelled
        {
            // The engine may have been done before it heard; the client has not had all of it.
            complete.status = CompletionStatus::Cancelled;
            complete.response = None;
            complete.tokens_generated = complete.tokens_generated.saturating_sub(self.dropped.tokens);
            complete.sources_used = complete.sources_used.saturating_sub(self.dropped.citations);
        }
        let last = frame(Some(self.request_id), &event);
        let slot = self.outbox.slot().await?;
        self.running.remove(self.request_id);
        self.forgotten = true;
        self.place = None;
        slot.send(last);
        told.close();
        while let Ok(Command::Pause { answer_to } | Command::Resume { answer_to }) = told.try_recv() {
            self.too_late(&answer_to).await?;
        }
        Ok(())
    }

    /// Answers a message that came when the query had ended or was about to. Under the query's own name its end is the
    /// answer: an error would be a second end.
    async fn too_late(&self, answer_to: &str) -> Result<(), Gone> {
        if answer_to == self.request_id {
            return Ok(());
        }
        self.outbox.send(error_frame(Some(answer_to), unknown_request())).await
    }

    async fn obey(&mut self, command: Command, pause_limit: Duration, cancelled: bool) -> Result<(), Gone> {
        let (stage, answer_to, message) = match command {
            // A query that is being cancelled cannot be held any more.
            Command::Pause { answer_to } | Command::Resume { answer_to } if cancelled => {
                return self.too_late(&answer_to).await;
            }
            Command::Pause { answer_to } => {
                self.resume_by.get_or_insert_with(|| Instant::now() + pause_limit);
                (Stage::Paused, answer_to, "Paused: nothing more is sent until it is resumed.")
            }
            Command::Resume { answer_to } => {
                self.resume_by = None;
                (Stage::Resumed, answer_to, "Resumed.")
            }
        };
        let status = QueryEvent::Status(Status {
            stage,
            progress: self.progress,
            message: message.to_owned(),
        });
        self.outbox.send(frame(Some(&answer_to), &status)).await
    }
}
