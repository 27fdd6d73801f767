//! `GET /auth/me`, and the message to a socket whose credentials are refused.

use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `GET /auth/me`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Me {
    /// `sub` of the token, or the name of the API key; empty where authentication is off.
    pub subject: String,
    /// How the subject was authenticated: `token`, `api_key`, or `none` where authentication is off.
    pub authentication: String,
    /// What the subject may do.
    pub scopes: Vec<String>,
    /// Names or globs of the collections that it may access; `null` for all.
    pub collections: Option<Vec<String>>,
    /// When the credentials expire, RFC 3339 in UTC; `null` for never.
    pub expires_at: Option<String>,
}

/// `auth_error`: the last message on a socket whose credentials are missing, refused or expired.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuthError {
    /// `auth_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The reason.
    pub data: AuthErrorData,
}

/// Data of an `auth_error` message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuthErrorData {
    /// `MISSING_TOKEN`, `INVALID_TOKEN`, `TOKEN_EXPIRED` or `INSUFFICIENT_SCOPE`.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// What the client can do: `reconnect_with_valid_token`.
    pub action: &'static str,
}

impl AuthError {
    /// Makes the message for a code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind: "auth_error",
            data: AuthErrorData {
                code,
                message: message.into(),
                action: "reconnect_with_valid_token",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AuthError;
    use serde_json::json;

    #[test]
    fn an_auth_error_is_as_the_guide_shows_it() {
        let shown = json!({
            "type": "auth_error",
            "data": {
                "code": "INVALID_TOKEN",
                "message": "Authentication failed",
                "action": "reconnect_with_valid_token"
            }
        });
        assert_eq!(
            serde_json::to_value(AuthError::new("INVALID_TOKEN", "Authentication failed")).ok(),
            Some(shown)
        );
    }
}
