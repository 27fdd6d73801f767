//! `GET /metrics`: for Prometheus, and as JSON.

use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::{Tag, object, string};
use super::respond::{Failure, Reply, json, text};
use crate::limits::Budget;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use ibid_auth::Scope;
use ibid_protocol::ApiError;
use ibid_telemetry as telemetry;
use serde::Deserialize;
use utoipa::IntoParams;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Get,
    path: "/metrics",
    scope: Some(Scope::Monitor),
    budget: Some(Budget::Request),
    handler: |call| Box::pin(get(call)),
    operation: |op| {
        op.about(Tag::Operations, "Metrics, for Prometheus")
            .query::<MetricsParams>()
            .answers(200, "In Prometheus' text format, or as JSON.", "text/plain", Some(string()))
            .answers(200, "", "application/json", Some(object()))
    },
}];

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
async fn get(call: &Call) -> Result<Reply, Failure> {
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
