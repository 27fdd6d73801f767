//! One call to the server: its retries, and its errors.

use super::super::error::{IndexError, Outage};
use super::super::types::CollectionKey;
use qdrant_client::QdrantError;
use std::time::Duration;

/// The first pause between two tries; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The codes of gRPC that matter here.
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

/// The result of a call.
pub(super) struct Reply<T> {
    what: &'static str,
    result: Result<T, QdrantError>,
}

/// Makes a call, and retries it at most `retries` times while it fails for a transient reason.
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
    /// Converts the result of a call about a collection.
    pub(super) fn of(self, collection: &CollectionKey) -> Result<T, IndexError> {
        self.result.map_err(|error| match status(&error) {
            Some((code::NOT_FOUND, _)) => IndexError::CollectionNotFound {
                collection: collection.clone(),
            },
            _ => meant(self.what, error),
        })
    }

    /// Converts the result of a call about the server.
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

/// Returns whether the same call may succeed soon. Not with an API key that was refused, nor with a request that the server calls wrong.
fn may_pass(error: &QdrantError) -> bool {
    match outage(error) {
        Some(outage) => outage != Outage::Refused,
        None => false,
    }
}

/// Returns the outage, if the server's state rather than the call caused the error.
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
        // The client's own timeout.
        code::CANCELLED if message.to_lowercase().contains("timeout") => Some(Outage::Slow),
        // The client's text for a connection that failed or broke.
        _ if message.starts_with("Failed to connect") || message.contains("transport error") => Some(Outage::Unreachable),
        _ => Some(Outage::Failing),
    }
}

fn meant(what: &'static str, error: QdrantError) -> IndexError {
    let outage = outage(&error);
    // Not the error itself: its text has all header fields of the response.
    let said = match status(&error) {
        Some((code, message)) => format!("Qdrant could not {what}: {message} (gRPC status {code})"),
        None => format!("Qdrant could not {what}: {error}"),
    };
    match outage {
        Some(outage) => IndexError::unavailable(outage, said),
        None => IndexError::engine(what, said),
    }
}
