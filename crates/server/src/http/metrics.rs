//! `GET /metrics`: for Prometheus, and as JSON.

use super::call::Call;
use super::respond::{Failure, Reply, json, text};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use ibid_protocol::ApiError;
use ibid_telemetry as telemetry;
use serde::Deserialize;
use utoipa::IntoParams;

/// Prometheus' text format.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Parameters of `GET /metrics`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
pub(super) struct MetricsParams {
    /// `text` (default), also called `prometheus`, or `json`.
    #[param(pattern = "^(text|prometheus|json)$")]
    format: Option<String>,
}

/// `GET /metrics`, `?format=text` (default) or `json`.
pub(super) async fn get(call: &Call) -> Result<Reply, Failure> {
    let params: MetricsParams = call.params()?;
    let as_json = match params.format.as_deref() {
        None | Some("text" | "prometheus") => false,
        Some("json") => true,
        Some(_) => return Err(ApiError::validation("format", "must be `text` or `json`").into()),
    };
    call.shared.engine.observe().await;
    let metrics = telemetry::render();
    if as_json {
        return Ok(json(StatusCode::OK, &telemetry::to_json(&metrics)));
    }
    let mut reply = text(metrics);
    reply.headers_mut().insert(CONTENT_TYPE, TEXT);
    Ok(reply)
}
