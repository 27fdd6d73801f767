//! `/config`: the settings that hold, and those that can change while the server runs.

use super::body;
use super::call::Call;
use super::respond::{Failure, Reply, json};
use crate::Configuration;
use hyper::StatusCode;
use ibid_protocol::{ApiError, ConfigChanged, ConfigShown, ErrorCode};
use serde_json::{Map, Value};
use std::sync::Arc;

/// `GET /config`.
pub(super) fn show(call: &Call) -> Result<Reply, Failure> {
    let settings = configuration(call)?.show();
    Ok(json(StatusCode::OK, &ConfigShown { settings }))
}

/// `PUT /config`: values by key. All of them are taken, or none.
pub(super) async fn change(call: &mut Call) -> Result<Reply, Failure> {
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
