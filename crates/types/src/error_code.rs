//! The codes that errors have in messages, in the REST API, in metrics and in the catalog.

use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The stable code of an error. The one table that maps errors to HTTP is [`ErrorCode::http_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// Not JSON, not an object, or without the fields that every message has.
    InvalidMessage,
    /// A value is invalid: `details` has `field` and `issue`.
    ValidationError,
    /// A query with this `request_id` is in flight on this connection.
    DuplicateRequest,
    /// No query in flight matches this control message.
    UnknownRequest,
    /// There is no collection of that name.
    CollectionNotFound,
    /// Too many requests: `details.retry_after` seconds.
    RateLimitExceeded,
    /// A plugin failed: `details` has `plugin` and `stage`.
    PluginError,
    /// A stage failed: `details.stage` names it.
    ProcessingError,
    /// The language model cannot be reached, or its answer broke off.
    LlmConnectionError,
    /// The vector index failed.
    VectorStoreError,
    /// A stage exceeded its time limit.
    TimeoutError,
    /// The server is starting, stopping or overloaded.
    ServiceUnavailable,
    /// The token lacks the scope.
    InsufficientScope,
    /// A bug of the server; the log has more under the request's id.
    InternalError,
    /// No credentials.
    AuthenticationRequired,
    /// The credentials do not allow this.
    AuthorizationFailed,
    /// There is no such document, upload, plugin or path.
    ResourceNotFound,
    /// The path does not have this method.
    MethodNotAllowed,
    /// The resource's state does not allow this now.
    Conflict,
    /// The content is larger than the server accepts.
    PayloadTooLarge,
    /// There is no extractor for this type of file.
    UnsupportedMediaType,
    /// The requested byte range is outside the file.
    RangeNotSatisfiable,
}

impl ErrorCode {
    /// Returns the code as messages, metrics and the database have it: `INVALID_MESSAGE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidMessage => "INVALID_MESSAGE",
            Self::ValidationError => "VALIDATION_ERROR",
            Self::DuplicateRequest => "DUPLICATE_REQUEST",
            Self::UnknownRequest => "UNKNOWN_REQUEST",
            Self::CollectionNotFound => "COLLECTION_NOT_FOUND",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::PluginError => "PLUGIN_ERROR",
            Self::ProcessingError => "PROCESSING_ERROR",
            Self::LlmConnectionError => "LLM_CONNECTION_ERROR",
            Self::VectorStoreError => "VECTOR_STORE_ERROR",
            Self::TimeoutError => "TIMEOUT_ERROR",
            Self::ServiceUnavailable => "SERVICE_UNAVAILABLE",
            Self::InsufficientScope => "INSUFFICIENT_SCOPE",
            Self::InternalError => "INTERNAL_ERROR",
            Self::AuthenticationRequired => "AUTHENTICATION_REQUIRED",
            Self::AuthorizationFailed => "AUTHORIZATION_FAILED",
            Self::ResourceNotFound => "RESOURCE_NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::Conflict => "CONFLICT",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RangeNotSatisfiable => "RANGE_NOT_SATISFIABLE",
        }
    }

    /// Returns the code of a name; `None` if there is none of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::deserialize(StrDeserializer::<ValueError>::new(name)).ok()
    }

    /// Returns the HTTP status that goes with the code.
    pub fn http_status(self) -> u16 {
        use ErrorCode::*;
        match self {
            InvalidMessage | ValidationError | DuplicateRequest | UnknownRequest => 400,
            AuthenticationRequired => 401,
            InsufficientScope | AuthorizationFailed => 403,
            CollectionNotFound | ResourceNotFound => 404,
            MethodNotAllowed => 405,
            Conflict => 409,
            PayloadTooLarge => 413,
            UnsupportedMediaType => 415,
            RangeNotSatisfiable => 416,
            RateLimitExceeded => 429,
            PluginError | ProcessingError | InternalError => 500,
            LlmConnectionError => 502,
            VectorStoreError | ServiceUnavailable => 503,
            TimeoutError => 504,
        }
    }

    /// Returns the `type` that OpenAI's clients know it by.
    pub fn openai_type(self) -> &'static str {
        match self.http_status() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            status if status < 500 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// Returns whether the same request may succeed if it is sent again.
    pub fn recoverable(self) -> bool {
        use ErrorCode::*;
        matches!(
            self,
            RateLimitExceeded | ProcessingError | LlmConnectionError | VectorStoreError | TimeoutError | ServiceUnavailable
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_serde() {
        let refused = ErrorCode::deserialize(StrDeserializer::<ValueError>::new("InvalidMessage"))
            .unwrap_err()
            .to_string();
        // "unknown variant `InvalidMessage`, expected one of `INVALID_MESSAGE`, ..."
        let names: Vec<&str> = refused.split('`').skip(3).step_by(2).collect();
        assert!(names.len() > 20, "{refused}");
        for name in names {
            assert_eq!(ErrorCode::parse(name).map(ErrorCode::name), Some(name));
        }
    }
}
