//! Why a language model gave no answer, in words that clients may see. Addresses and servers' messages go to the log only, where the error
//! occurs.

use std::time::Duration;

/// The kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmReason {
    /// The connection failed.
    Unreachable,
    /// The server was connected, but nothing came in time.
    Timeout,
    /// 429.
    RateLimited,
    /// 401 or 403.
    Unauthorized,
    /// 404.
    NotFound,
    /// Another 4xx, or a redirect.
    Rejected,
    /// 5xx.
    ServerError,
    /// The stream ended before the answer did.
    BrokenOff,
    /// The response does not have the API's format.
    Garbled,
    /// The server's own content filter withheld the answer.
    Filtered,
    /// The answer has no text.
    Empty,
}

impl LlmReason {
    /// Returns a stable word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Rejected => "rejected",
            Self::ServerError => "server_error",
            Self::BrokenOff => "broken_off",
            Self::Garbled => "garbled",
            Self::Filtered => "filtered",
            Self::Empty => "empty",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Unreachable => "the language model's server cannot be reached",
            Self::Timeout => "the language model did not answer in time",
            Self::RateLimited => "the language model's server is busy: send the question again in a moment",
            Self::Unauthorized => "the language model's server refuses this server's key: its operator must set llm.api_key",
            Self::NotFound => "the language model's server does not know the model: check `model` and `base_url`",
            Self::Rejected => "the language model's server rejects the request; this server's log says why",
            Self::ServerError => "the language model's server failed",
            Self::BrokenOff => "the connection to the language model broke off",
            Self::Garbled => "the language model's server sent a response that an OpenAI-compatible API does not send",
            Self::Filtered => "the language model's server withheld its answer because of a content filter",
            Self::Empty => "the language model answered nothing",
        }
    }

    /// Returns whether the same request may succeed a moment later.
    pub(super) fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::RateLimited | Self::ServerError | Self::BrokenOff | Self::Garbled | Self::Empty
        )
    }
}

/// A failed call of a language model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .reason.message())]
pub struct LlmError {
    /// The kind of error.
    pub reason: LlmReason,
    /// How long the server asks to wait before the next request.
    pub retry_after: Option<Duration>,
    /// Whether a retry is useless, whatever the kind: a quota is used up.
    pub(super) is_final: bool,
}

impl LlmError {
    /// Returns whether the same request may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        self.reason.is_transient() && !self.is_final
    }
}

impl From<LlmReason> for LlmError {
    fn from(reason: LlmReason) -> Self {
        Self {
            reason,
            retry_after: None,
            is_final: false,
        }
    }
}
