//! Reasons for which credentials are refused.

use super::Scope;

/// Why credentials are refused. It holds nothing of the credentials themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The request had no credentials.
    #[error("This server asks who you are: send a token or an API key.")]
    MissingToken,
    /// The credentials are not valid here. Only the log has the reason, since it would help an attacker.
    #[error("Authentication failed: the token or API key is not valid here.")]
    InvalidToken(&'static str),
    /// The credentials have expired.
    #[error("The token or API key has expired.")]
    TokenExpired,
    /// They are valid, but not for this.
    #[error("This needs the scope `{0}`, which these credentials do not have.")]
    InsufficientScope(Scope),
    /// The keys that verify tokens are unavailable at present.
    #[error("Tokens cannot be verified at present, because the server has no keys for them. Try again in a moment.")]
    Unavailable,
}

impl Denial {
    /// Returns the stable code that `auth_error` messages carry.
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingToken => "MISSING_TOKEN",
            Self::InvalidToken(_) | Self::Unavailable => "INVALID_TOKEN",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::InsufficientScope(_) => "INSUFFICIENT_SCOPE",
        }
    }

    /// Returns the reason, for the log.
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
