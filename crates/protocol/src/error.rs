//! Error codes, and their two forms in the API.

use ibid_types::ErrorCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// An error as a client receives it. It has no paths, addresses or backtraces: those are logged where the error occurs.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Stable code.
    pub code: ErrorCode,
    /// What went wrong and what to do, for people.
    pub message: String,
    /// Details, for programs: an object.
    pub details: Value,
}

impl ApiError {
    /// Makes an error without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: json!({}),
        }
    }

    /// Makes the error of an invalid value in `field`.
    pub fn validation(field: &str, issue: impl Into<String>) -> Self {
        let issue = issue.into();
        Self {
            code: ErrorCode::ValidationError,
            message: format!("`{field}`: {issue}"),
            details: json!({ "field": field, "issue": issue }),
        }
    }

    /// Checks that a value, if there is one, is in [0,1].
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for `field`.
    pub fn check_share(field: &str, value: Option<f32>) -> Result<(), Self> {
        match value.filter(|share| !(0.0..=1.0).contains(share)) {
            Some(share) => Err(Self::validation(field, format!("must be 0 to 1, not {share}"))),
            None => Ok(()),
        }
    }

    /// Makes the error that there is no collection called `name`.
    pub fn collection_not_found(name: &str) -> Self {
        Self::new(
            ErrorCode::CollectionNotFound,
            format!("There is no collection `{name}`. GET /collections lists them; uploading to a name creates it."),
        )
        .with("collection_name", name)
    }

    /// Returns the same error with `details.key` set.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Some(details) = self.details.as_object_mut() {
            details.insert(key.to_owned(), value.into());
        }
        self
    }
}

/// `data` of an `error` message on `/ws/query`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ErrorData {
    /// Stable code.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// For programs: an object.
    #[schema(value_type = Object)]
    pub details: Value,
    /// Whether the same request may succeed if it is sent again.
    pub recoverable: bool,
}

impl From<ApiError> for ErrorData {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            recoverable: error.code.recoverable(),
            details: error.details,
        }
    }
}

impl From<ErrorData> for ApiError {
    fn from(error: ErrorData) -> Self {
        Self {
            code: error.code,
            message: error.message,
            details: error.details,
        }
    }
}

/// Body of every REST error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RestErrorBody {
    /// The error.
    pub error: RestError,
}

/// An error of the REST surface.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RestError {
    /// Stable code.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// For programs: an object.
    #[schema(value_type = Object)]
    pub details: Value,
    /// As in the `X-Request-Id` header.
    pub request_id: String,
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// The path of the request.
    pub path: String,
    /// HTTP method.
    pub method: String,
    /// Below `/v1`: the kind of error in OpenAI's API.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Below `/v1`: the field of the request that is invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}

/// The request that an error answers.
#[derive(Debug, Clone)]
pub struct RequestInfo {
    /// From `X-Request-Id`, or generated.
    pub request_id: String,
    /// The path without the query, which may hold secrets.
    pub path: String,
    /// HTTP method.
    pub method: String,
}

impl RestError {
    /// Makes the body for `error`, as the answer to a request at `timestamp`.
    pub fn of(error: ApiError, about: &RequestInfo, timestamp: String) -> Self {
        let below_v1 = is_openai(&about.path);
        Self {
            kind: below_v1.then(|| error.code.openai_type()),
            param: error
                .details
                .get("field")
                .and_then(Value::as_str)
                .filter(|_| below_v1)
                .map(str::to_owned),
            code: error.code,
            message: error.message,
            details: error.details,
            request_id: about.request_id.clone(),
            timestamp,
            path: about.path.clone(),
            method: about.method.clone(),
        }
    }
}

/// Returns whether a path belongs to OpenAI's API.
fn is_openai(path: &str) -> bool {
    let bare = path.strip_prefix("/api/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    bare.starts_with("/v1/")
}
