//! Why a language model gave no answer, in words for whoever asked. Addresses and what servers say are not among
//! them: those go to the log, where the error is made.

use std::time::Duration;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmReason {
    /// No connection.
    Unreachable,
    /// Connected, but nothing came in time.
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
    /// What came is not what the API sends.
    Garbled,
    /// The server's own filter kept the answer back.
    Filtered,
    /// An answer without text.
    Empty,
}

impl LlmReason {
    /// A stable word for programs.
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

    fn told(self) -> &'static str {
        match self {
            Self::Unreachable => "the language model's server cannot be reached",
            Self::Timeout => "the language model did not answer in time",
            Self::RateLimited => "the language model's server is busy: send the question again in a moment",
            Self::Unauthorized => "the language model's server refuses this server's key: its operator has to set llm.api_key",
            Self::NotFound => "the language model's server does not know the model: check `model` and `base_url`",
            Self::Rejected => "the language model's server rejects the request; this server's log says why",
            Self::ServerError => "the language model's server failed",
            Self::BrokenOff => "the connection to the language model broke off",
            Self::Garbled => "the language model's server sent what is no answer of an OpenAI-compatible API",
            Self::Filtered => "the language model's server kept its answer back by a content filter",
            Self::Empty => "the language model answered nothing",
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::RateLimited | Self::ServerError | Self::BrokenOff | Self::Garbled | Self::Empty
        )
    }
}

/// A failed call of a language model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .reason.told())]
pub struct LlmError {
    /// What went wrong.
    pub reason: LlmReason,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Whether to ask again is of no use, whatever the reason: a quota that is used up.
    pub(super) is_final: bool,
}

impl LlmError {
    /// Whether the same request may succeed a moment later.
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
