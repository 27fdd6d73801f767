//! `/collections`.

use super::body;
use super::call::Call;
use super::documents::to_the_end;
use super::respond::{Failure, Reply, json};
use crate::protocol::{ApiError, CreateCollection};
use hyper::StatusCode;
use serde::Deserialize;

/// `GET /collections`.
pub(super) async fn list(call: &Call) -> Result<Reply, Failure> {
    Ok(json(StatusCode::OK, &call.shared.engine.collections(&call.subject).await?))
}

/// `POST /collections`.
pub(super) async fn create(call: &mut Call) -> Result<Reply, Failure> {
    let new: CreateCollection = body::json(call).await?;
    let (engine, subject) = (call.shared.engine.clone(), call.subject.clone());
    let created = to_the_end(async move { engine.create_collection(new, &subject).await }).await?;
    Ok(json(StatusCode::CREATED, &created))
}

/// `GET /collections/{name}/info`, and `GET /collections/{name}`.
pub(super) async fn get(call: &Call, name: &str) -> Result<Reply, Failure> {
    Ok(json(StatusCode::OK, &call.shared.engine.collection(name, &call.subject).await?))
}

#[derive(Deserialize)]
struct DeleteParams {
    confirm: Option<bool>,
}

/// `DELETE /collections/{name}?confirm=true`.
pub(super) async fn delete(call: &Call, name: String) -> Result<Reply, Failure> {
    let DeleteParams { confirm } = call.params()?;
    if confirm != Some(true) {
        return Err(ApiError::validation("confirm", "must be `true`: this deletes the collection with all its documents").into());
    }
    let (engine, subject) = (call.shared.engine.clone(), call.subject.clone());
    let deleted = to_the_end(async move { engine.delete_collection(&name, &subject).await }).await?;
    Ok(json(StatusCode::OK, &deleted))
}
