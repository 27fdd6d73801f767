//! `/collections`.

use super::body;
use super::call::Call;
use super::documents::to_the_end;
use super::respond::{Failure, Reply, json};
use hyper::StatusCode;
use ibid_engine::ReindexScope;
use ibid_engine::{Admin, Config, Delete, Read, Write};
use ibid_protocol::{ApiError, CreateCollection, MoveCollection};
use ibid_types::IndexBackend;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

/// `GET /collections`.
pub(super) async fn list(call: &Call) -> Result<Reply, Failure> {
    Ok(json(StatusCode::OK, &call.with::<Read>()?.collections().await?))
}

/// `POST /collections`.
pub(super) async fn create(call: &mut Call) -> Result<Reply, Failure> {
    let new: CreateCollection = body::json(call).await?;
    let granted = call.with::<Write>()?;
    let created = to_the_end(async move { granted.create_collection(new).await }).await?;
    Ok(json(StatusCode::CREATED, &created))
}

/// `GET /collections/{name}/info`, and `GET /collections/{name}`.
pub(super) async fn get(call: &Call, name: &str) -> Result<Reply, Failure> {
    Ok(json(StatusCode::OK, &call.with::<Read>()?.collection(name).await?))
}

/// `GET /collections/{name}/pipeline`.
pub(super) async fn pipeline(call: &Call, name: &str) -> Result<Reply, Failure> {
    Ok(json(StatusCode::OK, &call.with::<Read>()?.collection_pipeline(name).await?))
}

/// Parameters of `PUT /collections/{name}/pipeline`.
#[derive(Deserialize, IntoParams)]
pub(super) struct PipelineParams {
    /// Only tell what the change would take.
    dry_run: Option<bool>,
}

/// `PUT /collections/{name}/pipeline?dry_run=`: all of it is checked before anything changes.
pub(super) async fn set_pipeline(call: &mut Call, name: String) -> Result<Reply, Failure> {
    let PipelineParams { dry_run } = call.params()?;
    let pipeline: Value = body::json(call).await?;
    let granted = call.with::<Config>()?;
    let work = async move { granted.set_pipeline(&name, pipeline, dry_run.unwrap_or(false)).await };
    let answer = to_the_end(work).await?;
    let status = match answer.reindex {
        Some(_) => StatusCode::ACCEPTED,
        None => StatusCode::OK,
    };
    Ok(json(status, &answer))
}

/// Parameters of `POST /collections/{name}/reindex`.
#[derive(Deserialize, IntoParams)]
pub(super) struct ReindexParams {
    /// Only tell what it would take.
    dry_run: Option<bool>,
    /// Do this for every document, whatever else it needs: `nothing`, `re-embed`, `re-chunk` or `re-extract`.
    #[param(inline)]
    redo: Option<ReindexScope>,
}

/// `POST /collections/{name}/reindex?redo=&dry_run=`.
pub(super) async fn reindex(call: &Call, name: String) -> Result<Reply, Failure> {
    let ReindexParams { dry_run, redo } = call.params()?;
    let granted = call.with::<Config>()?;
    let work = async move { granted.reindex(&name, redo.unwrap_or_default(), dry_run.unwrap_or(false)).await };
    let answer = to_the_end(work).await?;
    let status = match answer.reindex {
        Some(_) => StatusCode::ACCEPTED,
        None => StatusCode::OK,
    };
    Ok(json(status, &answer))
}

/// `DELETE /collections/{name}/reindex`.
pub(super) async fn cancel_reindex(call: &Call, name: String) -> Result<Reply, Failure> {
    let granted = call.with::<Config>()?;
    let stopped = to_the_end(async move { granted.cancel_reindex(&name).await }).await?;
    Ok(json(StatusCode::OK, &stopped))
}

/// `GET /pipelines/schema`.
pub(super) fn pipeline_schema() -> Reply {
    json(StatusCode::OK, &ibid_engine::pipeline_schema())
}

/// `POST /pipelines/validate`: whether a collection could be made with it.
pub(super) async fn validate_pipeline(call: &mut Call) -> Result<Reply, Failure> {
    let pipeline: Value = body::json(call).await?;
    Ok(json(StatusCode::OK, &call.with::<Write>()?.validate_pipeline(pipeline)?))
}

/// `GET /collections/{name}/index`.
pub(super) async fn place(call: &Call, name: &str) -> Result<Reply, Failure> {
    Ok(json(StatusCode::OK, &call.with::<Read>()?.collection_place(name).await?))
}

/// `PUT /collections/{name}/index`: the move goes on after the answer.
pub(super) async fn move_to(call: &mut Call, name: String) -> Result<Reply, Failure> {
    let MoveCollection { index } = body::json(call).await?;
    let to = IndexBackend::parse(&index).ok_or_else(|| ApiError::validation("index", "must be `embedded` or `qdrant`"))?;
    let granted = call.with::<Admin>()?;
    let place = to_the_end(async move { granted.move_collection(&name, to).await }).await?;
    let status = match place.index == index {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok(json(status, &place))
}

/// Parameters of `DELETE /collections/{name}`.
#[derive(Deserialize, IntoParams)]
pub(super) struct DeleteParams {
    /// Must be `true`: this deletes the collection with all its documents.
    confirm: Option<bool>,
}

/// `DELETE /collections/{name}?confirm=true`.
pub(super) async fn delete(call: &Call, name: String) -> Result<Reply, Failure> {
    let DeleteParams { confirm } = call.params()?;
    if confirm != Some(true) {
        return Err(ApiError::validation("confirm", "must be `true`: this deletes the collection with all its documents").into());
    }
    let granted = call.with::<Delete>()?;
    let deleted = to_the_end(async move { granted.delete_collection(&name).await }).await?;
    Ok(json(StatusCode::OK, &deleted))
}
