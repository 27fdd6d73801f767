//! What somebody is let in with, and when that ends.

use super::keys::{ApiKey, KeyTable};
use super::{Denial, Subject};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How long the clock is trusted not to be set.
const LOOK: Duration = Duration::from_secs(60);

/// How a subject was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Nobody is asked.
    Off,
    /// By a token.
    Token,
    /// By an API key.
    ApiKey,
}

impl Method {
    /// As clients read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "none",
            Self::Token => "token",
            Self::ApiKey => "api_key",
        }
    }
}

/// A subject, for as long as its credentials hold.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Who it is.
    pub subject: Arc<Subject>,
    /// How that is known.
    pub method: Method,
    /// Seconds since 1970 (UTC).
    until: Option<i64>,
    /// The key, and the table that it must stay in.
    key: Option<(ApiKey, watch::Receiver<Arc<KeyTable>>)>,
}

impl Grant {
    /// Of anyone, where authentication is off. It does not end.
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

    /// Waits until the credentials end: expired, or revoked. Safe to cancel.
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
        // Nobody reads keys any more: the server is going.
        std::future::pending().await
    }
}

/// Time until a moment in seconds since 1970 (UTC); zero once it is over.
pub(super) fn remaining(until: i64) -> Duration {
    match u64::try_from(until)
        .ok()
        .and_then(|until| UNIX_EPOCH.checked_add(Duration::from_secs(until)))
    {
        Some(until) => until.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO),
        None if until < 0 => Duration::ZERO,
        // Further than the clock goes.
        None => LOOK,
    }
}
