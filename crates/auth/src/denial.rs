//! Why somebody is not let in.

use super::Scope;

/// Why credentials are refused. Nothing of the credentials themselves is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// None were sent.
    #[error("This server asks who you are: send a token or an API key.")]
    MissingToken,
    /// They are not valid here. The reason is for the log alone: it would help whoever guesses.
    #[error("Authentication failed: the token or API key is not valid here.")]
    InvalidToken(&'static str),
    /// They were valid once.
    #[error("The token or API key has expired.")]
    TokenExpired,
    /// They are valid, but not for this.
    #[error("This needs the scope `{0}`, which these credentials do not have.")]
    InsufficientScope(Scope),
    /// The keys that check tokens cannot be had at present.
    #[error("Tokens cannot be checked at present: the keys for it cannot be had. Try again in a moment.")]
    Unavailable,
}

/// The stable code of a denial, as `auth_error` messages and `details.reason` have it. [`ErrorCode`](ibid_protocol::ErrorCode) is coarser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialCode {
    /// No credentials were sent.
    MissingToken,
    /// They are not valid here, or cannot be checked at present.
    InvalidToken,
    /// They were valid once.
    TokenExpired,
    /// They are valid, but not for this.
    InsufficientScope,
}

impl DenialCode {
    /// Returns the code as messages have it: `MISSING_TOKEN`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingToken => "MISSING_TOKEN",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::InsufficientScope => "INSUFFICIENT_SCOPE",
        }
    }
}

impl Denial {
    /// Returns the stable code.
    pub fn code(self) -> DenialCode {
        match self {
            Self::MissingToken => DenialCode::MissingToken,
            Self::InvalidToken(_) | Self::Unavailable => DenialCode::InvalidToken,
            Self::TokenExpired => DenialCode::TokenExpired,
            Self::InsufficientScope(_) => DenialCode::InsufficientScope,
        }
    }

    /// For the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidToken(reason) => reason,
            Self::MissingToken => "no credentials",
            Self::TokenExpired => "expired",
            Self::InsufficientScope(_) => "the scope is missing",
            Self::Unavailable => "no keys",
        }
    }
}
