//! How the server is: for people, and for what restarts it.

use super::call::Call;
use super::respond::{Failure, Reply, json};
use hyper::StatusCode;
use ibid_protocol::{ApiError, ErrorCode, Readiness};
use serde_json::Value;

/// `GET /health`: the engine's report; 503 when something that is needed is down.
pub(super) async fn report(call: &Call) -> Result<Reply, Failure> {
    let (report, up) = look(call).await?;
    Ok(json(if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &report))
}

/// `GET /health/live`: the process answers. Says nothing of what it depends on.
pub(super) fn live() -> Reply {
    json(StatusCode::OK, &Readiness { status: "alive" })
}

/// `GET /health/ready`: whether to send requests here.
pub(super) async fn ready(call: &Call) -> Result<Reply, Failure> {
    let (_, up) = look(call).await?;
    let ready = up && !call.shared.stopping.is_cancelled();
    Ok(match ready {
        true => json(StatusCode::OK, &Readiness { status: "ready" }),
        false => json(StatusCode::SERVICE_UNAVAILABLE, &Readiness { status: "not_ready" }),
    })
}

async fn look(call: &Call) -> Result<(Value, bool), Failure> {
    let report = serde_json::to_value(call.shared.engine.health().await).map_err(|error| {
        tracing::error!(%error, "the health report could not be written as JSON");
        ApiError::new(ErrorCode::InternalError, "The health report could not be written.")
    })?;
    let up = report
        .get("status")
        .and_then(Value::as_str)
        .is_some_and(|status| status != "unhealthy");
    Ok((report, up))
}
