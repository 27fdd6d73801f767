//! Reading request bodies: with a limit, a time, and a clear word about what is wrong.

use super::call::Call;
use super::respond::Failure;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT};
use hyper::{HeaderMap, StatusCode};
use ibid_protocol::{self as protocol, ApiError, ErrorCode};
use ibid_telemetry::catalogue;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long the rest of a refused body is read away. A peer that is still sending when the connection is
/// closed gets a reset, and may never see why it was refused.
const DRAIN: Duration = Duration::from_secs(3);

/// Reads the body as a JSON object of type `T`.
pub(super) async fn json<T: DeserializeOwned>(call: &mut Call) -> Result<T, Failure> {
    expect_json(call.request.headers())?;
    let limit = call.shared.settings.max_message_bytes;
    let bytes = bytes(call, limit).await?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        let what = if bytes.is_empty() {
            "The body is empty; a JSON object is needed.".to_owned()
        } else {
            format!("The body is not JSON: {error}.")
        };
        ApiError::new(ErrorCode::InvalidMessage, what)
    })?;
    if !value.is_object() {
        return Err(ApiError::new(ErrorCode::InvalidMessage, "The body must be a JSON object.").into());
    }
    Ok(protocol::parse(value)?)
}

/// Refuses a body that says it is something else than JSON. One that says nothing is tried.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::UnsupportedMediaType,
        "The body must be JSON: send `Content-Type: application/json`.",
    ))
}

/// Reads the whole body, which may have `limit` bytes.
pub(super) async fn bytes(call: &mut Call, limit: usize) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        catalogue::refused(catalogue::limit::MESSAGE_BYTES);
        Failure::from(ApiError::new(ErrorCode::PayloadTooLarge, format!("The body has more than {limit} bytes.")).with("max_bytes", limit))
    };
    let deadline = Instant::now() + call.shared.settings.body_timeout;
    let body = call.request.body_mut();
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    call.body_was_read = true;
    let mut bytes = Vec::new();
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| too_slow())?;
        let Some(frame) = frame else { return Ok(bytes) };
        let Ok(data) = frame.map_err(|_| broken_off())?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
}

/// The body did not come in time.
pub(super) fn too_slow() -> Failure {
    Failure::with_status(
        ApiError::new(ErrorCode::TimeoutError, "The body did not arrive in time."),
        StatusCode::REQUEST_TIMEOUT,
    )
}

/// The body ended before its end.
pub(super) fn broken_off() -> Failure {
    ApiError::new(ErrorCode::InvalidMessage, "The body broke off before its end.").into()
}

/// Reads away what is left of a refused body, for a while.
pub(super) async fn drain(call: &mut Call) {
    if !call.body_was_read && call.request.headers().contains_key(EXPECT) {
        return;
    }
    let deadline = Instant::now() + DRAIN;
    let body: &mut Incoming = call.request.body_mut();
    while !body.is_end_stream() {
        match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(_)) | None) | Err(_) => return,
        }
    }
}
