//! How the server is: for people, and for what restarts it.

use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::Tag;
use super::respond::{Failure, Reply, json};
use hyper::StatusCode;
use ibid_engine::Health;
use ibid_protocol::{ApiError, ErrorCode, Readiness};
use serde_json::Value;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::Get,
        path: "/health",
        scope: None,
        budget: None,
        handler: |call| Box::pin(report(call)),
        operation: |op| {
            op.about(Tag::Operations, "The health of the services")
                .gives::<Health>(200, "Every required service works.")
                .gives_or_fails::<Health>(503, "A required service does not work.")
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/health/live",
        scope: None,
        budget: None,
        handler: |_call| Box::pin(async move { Ok(live()) }),
        operation: |op| {
            op.about(Tag::Operations, "Whether the process answers")
                .gives::<Readiness>(200, "It does.")
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/health/ready",
        scope: None,
        budget: None,
        handler: |call| Box::pin(ready(call)),
        operation: |op| {
            op.about(Tag::Operations, "Whether to send requests here")
                .gives::<Readiness>(200, "Yes.")
                .gives_or_fails::<Readiness>(503, "No.")
        },
    },
];

/// `GET /health`: the engine's report; 503 when something that is needed is down.
async fn report(call: &Call) -> Result<Reply, Failure> {
    let (report, up) = look(call).await?;
    Ok(json(if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &report))
}

/// `GET /health/live`: the process answers. Says nothing of what it depends on.
pub(super) fn live() -> Reply {
    json(StatusCode::OK, &Readiness { status: "alive" })
}

/// `GET /health/ready`: whether to send requests here.
async fn ready(call: &Call) -> Result<Reply, Failure> {
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
