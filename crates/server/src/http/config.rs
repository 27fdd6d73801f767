//! `/config`: the settings that hold, and those that can change while the server runs.

use super::body;
use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::{Tag, object};
use super::respond::{Failure, Reply, json};
use crate::Configuration;
use crate::limits::Budget;
use hyper::StatusCode;
use ibid_auth::Scope;
use ibid_protocol::{ApiError, ConfigChanged, ConfigShown, ErrorCode};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::Get,
        path: "/config",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(async move { show(call) }),
        operation: |op| {
            op.about(Tag::Operations, "The settings in effect")
                .gives::<ConfigShown>(200, "By key; secrets are hidden.")
                .errors(&[404])
        },
    },
    Endpoint {
        method: Verb::Put,
        path: "/config",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(change(call)),
        operation: |op| {
            op.about(Tag::Operations, "Change settings while the server runs")
            .description("Values by key, such as `{\"query.timeout_seconds\": 30}`: either all of them are applied, or none. They are lost when the server stops.")
            .takes_json(object())
            .gives::<ConfigChanged>(200, "What changed, and all settings in effect.")
            .errors(&[404])
        },
    },
];

/// `GET /config`.
fn show(call: &Call) -> Result<Reply, Failure> {
    let settings = configuration(call)?.show();
    Ok(json(StatusCode::OK, &ConfigShown { settings }))
}

/// `PUT /config`: values by key. All of them are taken, or none.
async fn change(call: &mut Call) -> Result<Reply, Failure> {
    if !call.subject.sees_all() {
        let message = "Settings hold for all collections, and these credentials are for some of them only.";
        return Err(ApiError::new(ErrorCode::AuthorizationFailed, message).into());
    }
    let configuration = configuration(call)?;
    let changes: Map<String, Value> = body::json(call).await?;
    let changed = configuration.change(changes, &|tuning| call.shared.tune(tuning))?;
    let settings = configuration.show();
    Ok(json(
        StatusCode::OK,
        &ConfigChanged {
            changed,
            persistent: false,
            settings,
        },
    ))
}

fn configuration(call: &Call) -> Result<Arc<dyn Configuration>, ApiError> {
    let none = || {
        ApiError::new(
            ErrorCode::ResourceNotFound,
            "This server was started without settings that could be shown.",
        )
    };
    call.shared.configuration.clone().ok_or_else(none)
}
