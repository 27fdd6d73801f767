//! `/ws/query`: any number of queries at a time over one connection.

use super::message::{self, Unreadable, error_frame, frame};
use super::outbox::{Gone, Outbox};
use super::running::{Command, Running, follow};
use super::session::Conversation;
use crate::context::Shared;
use crate::limits::Budget;
use ibid_auth::Subject;
use ibid_engine::Read;
use ibid_protocol::{self as protocol, ApiError, ClientMessage, ErrorCode, QueryEvent, QueryOptions, Stage, Status};
use ibid_telemetry::catalogue::{self, limit};
use ibid_telemetry::trace::TraceParent;
use serde_json::Value;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Who is at the other end.
#[derive(Clone)]
pub(super) struct Client {
    /// Where it is.
    pub address: IpAddr,
    /// Who it is.
    pub subject: Arc<Subject>,
    /// The trace that its queries belong to; else each has its own.
    pub trace: TraceParent,
}

/// One connection's queries.
pub(super) struct Queries {
    shared: Arc<Shared>,
    outbox: Outbox,
    /// Where the peer is, and who.
    client: Client,
    /// What later queries take where they say nothing.
    defaults: Mutex<QueryOptions>,
    running: Arc<Running>,
    tasks: TaskTracker,
}

impl Queries {
    /// A conversation that answers into `outbox`.
    pub fn new(shared: Arc<Shared>, client: Client, outbox: Outbox) -> Self {
        let tasks = TaskTracker::new();
        // Nothing waits for it before the server stops, and then it may be empty at once.
        tasks.close();
        Self {
            shared,
            outbox,
            client,
            defaults: Mutex::default(),
            running: Arc::default(),
            tasks,
        }
    }

    fn defaults(&self) -> QueryOptions {
        self.defaults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a query, and the task that passes its events on.
    fn query(&self, request_id: &str, data: Value) -> Result<(), ApiError> {
        if self.shared.stopping.is_cancelled() {
            return Err(ApiError::new(
                ErrorCode::ServiceUnavailable,
                "The server is stopping. Connect again in a moment.",
            ));
        }
        if self.running.contains(request_id) {
            return Err(ApiError::new(
                ErrorCode::DuplicateRequest,
                "A query with this request_id is in flight on this connection.",
            ));
        }
        let most = self.shared.queries_per_connection.load(Ordering::Relaxed);
        if self.running.len() >= most {
            catalogue::refused(limit::CONNECTION_QUERIES);
            let message = format!("This connection has {most} queries in flight already.");
            return Err(ApiError::new(ErrorCode::RateLimitExceeded, message).with("retry_after", 1));
        }
        let Client { address, subject, trace } = &self.client;
        self.shared.limits.take(Budget::Query, subject, *address)?;
        let place = self.shared.limits.query(subject, *address)?;
        let options = protocol::parse::<QueryOptions>(data)?.or(&self.defaults());
        let session = self.shared.engine.session(subject.clone());
        let begun = std::panic::catch_unwind(AssertUnwindSafe(|| trace.within(|| session.with::<Read>()?.query(options))));
        let handle = begun.map_err(|_| {
            tracing::error!(request_id, "starting a query panicked");
            ApiError::new(ErrorCode::InternalError, "The server failed on this query. Its log has more.")
        })??;
        let commands = self.running.insert(request_id, handle.cancel.clone());
        let following = follow(
            handle,
            request_id.to_owned(),
            commands,
            self.running.clone(),
            self.outbox.clone(),
            self.shared.settings.pause_limit,
            place,
        );
        self.tasks.spawn(following.in_current_span());
        Ok(())
    }

    /// Sets what later queries take where they say nothing: all that is given, or nothing of it.
    fn config(&self, data: Value) -> Result<QueryEvent, ApiError> {
        let given: QueryOptions = protocol::parse(data)?;
        if given.query.is_some() {
            return Err(ApiError::validation("query", "cannot be a default: send it in a `query` message"));
        }
        given.validate()?;
        let mut defaults = self.defaults.lock().unwrap_or_else(PoisonError::into_inner);
        let merged = given.or(&defaults);
        *defaults = merged;
        Ok(QueryEvent::Status(Status {
            stage: Stage::Configured,
            progress: 1.0,
            message: "Later queries on this connection take these settings.".to_owned(),
        }))
    }

    /// Pauses, resumes or cancels a query. The query answers itself.
    async fn control(&self, request_id: &str, data: &Value) -> Result<(), ApiError> {
        let action = data.get("action").and_then(Value::as_str);
        let Some(action @ ("pause" | "resume" | "cancel")) = action else {
            return Err(ApiError::validation("action", "must be `pause`, `resume` or `cancel`"));
        };
        let target = match data.get("target_request_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(id.as_str()),
            Some(_) => return Err(ApiError::validation("target_request_id", "must be a string")),
        };
        let query = self.running.address(request_id, target).ok_or_else(unknown_request)?;
        let command = match action {
            "cancel" => {
                query.cancel.cancel();
                return Ok(());
            }
            "pause" => Command::Pause {
                answer_to: request_id.to_owned(),
            },
            _ => Command::Resume {
                answer_to: request_id.to_owned(),
            },
        };
        query.commands.send(command).await.map_err(|_| unknown_request())
    }

    async fn handle(&self, message: ClientMessage) -> Result<(), Gone> {
        let ClientMessage { kind, request_id, data } = message;
        let result = match kind.as_str() {
            "query" => self.query(&request_id, data),
            "config" => match self.config(data) {
                Ok(answer) => return self.outbox.send(frame(Some(&request_id), &answer)).await,
                Err(error) => Err(error),
            },
            "control" => self.control(&request_id, &data).await,
            _ => Err(ApiError::validation("type", "must be `query`, `config` or `control`")),
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.outbox.send(error_frame(Some(&request_id), error)).await,
        }
    }
}

impl Conversation for Queries {
    async fn text(&self, text: String) -> Result<(), Gone> {
        match message::read(&text) {
            Ok(message) => self.handle(message).await,
            Err(Unreadable { request_id, error }) => self.outbox.send(error_frame(request_id.as_deref(), *error)).await,
        }
    }

    async fn binary(&self, _: Vec<u8>) -> Result<(), Gone> {
        let error = ApiError::new(
            ErrorCode::InvalidMessage,
            "This socket takes text messages only, each a JSON object.",
        );
        self.outbox.send(error_frame(None, error)).await
    }

    async fn finished(&self) {
        self.tasks.wait().await;
    }
}

impl Drop for Queries {
    /// Closing the socket cancels all.
    fn drop(&mut self) {
        self.running.cancel_all();
    }
}

/// The error of a control message that means no query.
pub(super) fn unknown_request() -> ApiError {
    ApiError::new(
        ErrorCode::UnknownRequest,
        "No query in flight is meant by this: name one by `request_id` or `data.target_request_id`.",
    )
}
