//! One call of the server: tries, and what its errors mean.

use super::super::error::{IndexError, Outage};
use super::super::types::CollectionKey;
use qdrant_client::QdrantError;
use std::time::Duration;

/// The first pause between two tries; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The codes of gRPC that are told apart here.
mod code {
    pub const INVALID_ARGUMENT: i32 = 3;
    pub const DEADLINE_EXCEEDED: i32 = 4;
    pub const NOT_FOUND: i32 = 5;
    pub const ALREADY_EXISTS: i32 = 6;
    pub const PERMISSION_DENIED: i32 = 7;
    pub const FAILED_PRECONDITION: i32 = 9;
    pub const OUT_OF_RANGE: i32 = 11;
    pub const UNIMPLEMENTED: i32 = 12;
    pub const UNAVAILABLE: i32 = 14;
    pub const UNAUTHENTICATED: i32 = 16;
    pub const CANCELLED: i32 = 1;
}

/// What came of a call.
pub(super) struct Reply<T> {
    what: &'static str,
    result: Result<T, QdrantError>,
}

/// Makes a call, and makes it again while it fails for a reason that may pass: at most `retries` times.
pub(super) async fn with_retries<T, F>(what: &'static str, retries: u32, call: impl Fn() -> F) -> Reply<T>
where
    F: Future<Output = Result<T, QdrantError>>,
{
    let mut pause = PAUSE;
    for _ in 0..retries {
        match call().await {
            Err(error) if may_pass(&error) => {
                tracing::debug!(what, %error, ?pause, "Qdrant failed; asking again");
                let wanted = match &error {
                    QdrantError::ResourceExhaustedError { retry_after_seconds, .. } => Duration::from_secs(*retry_after_seconds),
                    _ => Duration::ZERO,
                };
                tokio::time::sleep(pause.max(wanted).min(LONGEST_PAUSE)).await;
                pause *= 2;
            }
            result => return Reply { what, result },
        }
    }
    Reply {
        what,
        result: call().await,
    }
}

impl<T> Reply<T> {
    /// The result of a call that is about a collection.
    pub(super) fn of(self, collection: &CollectionKey) -> Result<T, IndexError> {
        self.result.map_err(|error| match status(&error) {
            Some((code::NOT_FOUND, _)) => IndexError::CollectionNotFound {
                collection: collection.clone(),
            },
            _ => meant(self.what, error),
        })
    }

    /// The result of a call that is about the server.
    pub(super) fn plain(self) -> Result<T, IndexError> {
        self.result.map_err(|error| meant(self.what, error))
    }
}

fn status(error: &QdrantError) -> Option<(i32, &str)> {
    match error {
        QdrantError::ResponseError { status } | QdrantError::ResourceExhaustedError { status, .. } => {
            Some((status.code().into(), status.message()))
        }
        _ => None,
    }
}

/// Whether the same call may succeed soon. A refused key will not, and neither will what the server calls wrong.
fn may_pass(error: &QdrantError) -> bool {
    match outage(error) {
        Some(outage) => outage != Outage::Refused,
        None => false,
    }
}

/// Whether it is the server's state rather than the call that made it fail.
fn outage(error: &QdrantError) -> Option<Outage> {
    let Some((code, message)) = status(error) else {
        return match error {
            QdrantError::Io(_) => Some(Outage::Unreachable),
            _ => None,
        };
    };
    match code {
        code::INVALID_ARGUMENT
        | code::NOT_FOUND
        | code::ALREADY_EXISTS
        | code::FAILED_PRECONDITION
        | code::OUT_OF_RANGE
        | code::UNIMPLEMENTED => None,
        code::UNAUTHENTICATED | code::PERMISSION_DENIED => Some(Outage::Refused),
        code::UNAVAILABLE => Some(Outage::Unreachable),
        code::DEADLINE_EXCEEDED => Some(Outage::Slow),
        // The client says so of its own timeout.
        code::CANCELLED if message.to_lowercase().contains("timeout") => Some(Outage::Slow),
        // What the client calls a connection that it could not make, or that broke.
        _ if message.starts_with("Failed to connect") || message.contains("transport error") => Some(Outage::Unreachable),
        _ => Some(Outage::Failing),
    }
}

fn meant(what: &'static str, error: QdrantError) -> IndexError {
    let outage = outage(&error);
    // Not the error itself: it displays all header fields of the answer.
    let said = match status(&error) {
        Some((code, message)) => format!("Qdrant could not {what}: {message} (gRPC status {code})"),
        None => format!("Qdrant could not {what}: {error}"),
    };
    match outage {
        Some(outage) => IndexError::unavailable(outage, said),
        None => IndexError::engine(what, said),
    }
}
