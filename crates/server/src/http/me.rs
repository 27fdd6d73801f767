//! `GET /auth/me`: the subject of the credentials; and the responses to credentials that are refused.

use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::Tag;
use super::respond::{Failure, Reply, json};
use crate::limits::Budget;
use hyper::StatusCode;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use ibid_auth::{Denial, Grant};
use ibid_protocol::{ApiError, ErrorCode, Me};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Get,
    path: "/auth/me",
    scope: None,
    budget: Some(Budget::Request),
    handler: |call| Box::pin(async move { get(call) }),
    operation: |op| {
        op.about(Tag::Operations, "The subject of the credentials, and its permissions")
            .gives::<Me>(200, "The subject.")
            .errors(&[401])
    },
}];

/// `GET /auth/me`.
fn get(call: &Call) -> Result<Reply, Failure> {
    let Grant { subject, method, .. } = call.known()?;
    let expires = subject.expires.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    let me = Me {
        subject: subject.id.clone(),
        authentication: method.name().to_owned(),
        scopes: subject.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        collections: subject.collections.clone(),
        expires_at: expires.and_then(|at| at.format(&Rfc3339).ok()),
    };
    Ok(json(StatusCode::OK, &me))
}

/// The answer to a request whose credentials are missing or refused (RFC 6750, 3).
pub(super) fn refused(denial: Denial) -> Failure {
    let (code, challenge) = match denial {
        Denial::Unavailable => return ApiError::new(ErrorCode::ServiceUnavailable, denial.to_string()).into(),
        Denial::InsufficientScope(_) => (ErrorCode::AuthorizationFailed, r#"Bearer realm="ibid", error="insufficient_scope""#),
        Denial::MissingToken => (ErrorCode::AuthenticationRequired, r#"Bearer realm="ibid""#),
        Denial::InvalidToken(_) => (
            ErrorCode::AuthenticationRequired,
            r#"Bearer realm="ibid", error="invalid_token", error_description="it is not valid here""#,
        ),
        Denial::TokenExpired => (
            ErrorCode::AuthenticationRequired,
            r#"Bearer realm="ibid", error="invalid_token", error_description="it has expired""#,
        ),
    };
    let mut error = ApiError::new(code, denial.to_string()).with("reason", denial.code().name());
    if let Denial::InsufficientScope(scope) = denial {
        error = error.with("scope", scope.name());
    }
    Failure::from(error).header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// The error of a stream whose credentials ended.
pub(super) fn ended(denial: Denial) -> ApiError {
    ApiError::new(ErrorCode::AuthenticationRequired, denial.to_string()).with("reason", denial.code().name())
}

/// Adds the challenge of RFC 6750 to a failure whose cause is a missing scope; returns any other failure unchanged.
pub(super) fn to_challenge(failure: Failure) -> Failure {
    if failure.error().code != ErrorCode::InsufficientScope {
        return failure;
    }
    let named = failure.error().details.get("scope").and_then(|scope| scope.as_str());
    match named.and_then(ibid_auth::Scope::parse) {
        Some(scope) => refused(Denial::InsufficientScope(scope)),
        None => failure,
    }
}
