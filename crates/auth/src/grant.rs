//! A grant: the subject that was authenticated, and when its credentials expire.

use super::keys::{ApiKey, KeyTable};
use super::{Denial, Subject};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The longest wait before the clock is read again, since somebody may set it.
const LOOK: Duration = Duration::from_secs(60);

/// How a subject was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Authentication is off.
    Off,
    /// By a token.
    Token,
    /// By an API key.
    ApiKey,
}

impl Method {
    /// Returns the method's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "none",
            Self::Token => "token",
            Self::ApiKey => "api_key",
        }
    }
}

/// A subject, for as long as its credentials are valid.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The subject.
    pub subject: Arc<Subject>,
    /// How it was authenticated.
    pub method: Method,
    /// When the credentials expire, in seconds since 1970 (UTC); `None` for never.
    until: Option<i64>,
    /// The API key, and the table that must still contain it.
    key: Option<(ApiKey, watch::Receiver<Arc<KeyTable>>)>,
}

impl Grant {
    /// Returns the grant of any client where authentication is off. It does not expire.
    pub fn anyone() -> Self {
        Self {
            subject: Arc::new(Subject::anyone()),
            method: Method::Off,
            until: None,
            key: None,
        }
    }

    pub(super) fn of_token(subject: Subject, until: i64) -> Self {
        Self {
            subject: Arc::new(subject),
            method: Method::Token,
            until: Some(until),
            key: None,
        }
    }

    pub(super) fn of_key(key: ApiKey, table: watch::Receiver<Arc<KeyTable>>) -> Self {
        let subject = key.subject();
        Self {
            until: subject.expires,
            subject: Arc::new(subject),
            method: Method::ApiKey,
            key: Some((key, table)),
        }
    }

    /// Waits until the credentials have expired or were revoked. Cancel-safe.
    pub async fn ended(&self) -> Denial {
        tokio::select! {
            () = expiry(self.until) => Denial::TokenExpired,
            () = revocation(self.key.clone()) => Denial::InvalidToken("the key was revoked"),
        }
    }
}

async fn expiry(until: Option<i64>) {
    let Some(until) = until else { return std::future::pending().await };
    loop {
        let left = remaining(until);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

async fn revocation(key: Option<(ApiKey, watch::Receiver<Arc<KeyTable>>)>) {
    let Some((key, mut table)) = key else {
        return std::future::pending().await;
    };
    if table.wait_for(|table| !table.has(&key)).await.is_err() {
        // No task reads keys any more: the server is shutting down.
        std::future::pending().await
    }
}

/// Returns the time until a moment in seconds since 1970 (UTC), or zero if it has passed.
pub(super) fn remaining(until: i64) -> Duration {
    match u64::try_from(until)
        .ok()
        .and_then(|until| UNIX_EPOCH.checked_add(Duration::from_secs(until)))
    {
        Some(until) => until.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO),
        None if until < 0 => Duration::ZERO,
        // The moment is beyond what the clock can represent.
        None => LOOK,
    }
}
