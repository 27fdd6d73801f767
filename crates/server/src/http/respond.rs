//! Answers: JSON, text, nothing, and errors in the one shape that all of them have.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use ibid_protocol::{ApiError, ErrorCode, RestError, RestErrorBody};
use serde::Serialize;
use serde_json::{Map, Value};
use std::convert::Infallible;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why a body breaks off: the peer learns no more than that it did.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// An answer's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// An answer.
pub(crate) type Reply = Response<Body>;

/// Seconds after which to try again when nothing better is known.
const RETRY_SECONDS: u64 = 1;

/// An answer that is an error. Boxed: it is large, and rare.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    error: ApiError,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Fields beside `error`: what was done before it failed.
    beside: Option<Map<String, Value>>,
}

impl Failure {
    /// An error with another status than its code has.
    pub fn with_status(error: ApiError, status: StatusCode) -> Self {
        Self(Box::new(Inner {
            error,
            status,
            headers: Vec::new(),
            beside: None,
        }))
    }

    /// The same with a header field.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The same with fields beside `error` in the body.
    pub fn beside(mut self, fields: Map<String, Value>) -> Self {
        self.0.beside = Some(fields);
        self
    }

    /// What went wrong.
    pub fn error(&self) -> &ApiError {
        &self.0.error
    }

    /// The answer to the request that `about` tells of.
    pub fn into_reply(self, about: &About) -> Reply {
        let Inner {
            error,
            status,
            headers,
            beside,
        } = *self.0;
        let retry = match error.code {
            ErrorCode::RateLimitExceeded | ErrorCode::ServiceUnavailable => {
                Some(error.details.get("retry_after").and_then(Value::as_u64).unwrap_or(RETRY_SECONDS))
            }
            _ => None,
        };
        let body = RestErrorBody {
            error: RestError::of(error, about, now()),
        };
        let mut reply = match (beside, serde_json::to_value(&body)) {
            (Some(mut fields), Ok(Value::Object(error))) => {
                fields.extend(error);
                json(status, &fields)
            }
            _ => json(status, &body),
        };
        if let Some(seconds) = retry {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in headers {
            reply.headers_mut().insert(name, value);
        }
        reply
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::with_status(error, status)
    }
}

/// The request, as its errors name it.
pub(crate) use ibid_protocol::RequestInfo as About;

/// An answer whose body is `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(bytes) => full(status, HeaderValue::from_static("application/json"), bytes.into()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// An answer whose body is `text`.
pub(crate) fn text(text: String) -> Reply {
    full(StatusCode::OK, HeaderValue::from_static("text/plain; charset=utf-8"), text.into())
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(nothing());
    *reply.status_mut() = status;
    reply
}

/// No body.
pub(crate) fn nothing() -> Body {
    Empty::new().map_err(never).boxed_unsync()
}

/// An answer whose body is `bytes`.
pub(super) fn full(status: StatusCode, content_type: HeaderValue, bytes: Bytes) -> Reply {
    let length = HeaderValue::from(bytes.len());
    let mut reply = Response::new(Full::new(bytes).map_err(never).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    // Said explicitly, so that HEAD says it too.
    reply.headers_mut().insert(CONTENT_LENGTH, length);
    reply
}

fn never(impossible: Infallible) -> BodyError {
    match impossible {}
}

/// The time, RFC 3339, UTC.
pub(crate) fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}
