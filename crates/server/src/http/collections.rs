//! `/collections`.

use super::body;
use super::call::Call;
use super::documents::to_the_end;
use super::endpoint::{Endpoint, Verb};
use super::openapi::{Tag, object};
use super::respond::{Failure, Reply, json};
use crate::limits::Budget;
use hyper::StatusCode;
use ibid_auth::Scope;
use ibid_engine::Pipeline;
use ibid_engine::ReindexScope;
use ibid_engine::{Admin, Config, Delete, Read, Write};
use ibid_protocol::{ApiError, CreateCollection, MoveCollection};
use ibid_protocol::{
    CollectionInfo, CollectionList, CollectionPipeline, CollectionPlace, DeletedCollection, PipelineChanged, PipelineValid, ReindexInfo,
    ReindexPlan,
};
use ibid_types::IndexBackend;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::Get,
        path: "/collections",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(list(call)),
        operation: |op| {
            op.about(Tag::Collections, "List collections")
                .gives::<CollectionList>(200, "The collections that the credentials may see, by name.")
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/collections",
        scope: Some(Scope::Write),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(create(call)),
        operation: |op| {
            op.about(Tag::Collections, "Create a collection")
                .takes::<CreateCollection>()
                .gives::<CollectionInfo>(201, "The collection.")
                .errors(&[404, 409])
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/collections/{name}",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(get(call)),
        operation: |op| {
            op.about(Tag::Collections, "A collection, its counts and its pipeline")
                .gives::<CollectionInfo>(200, "The collection.")
        },
    },
    Endpoint {
        method: Verb::Delete,
        path: "/collections/{name}",
        scope: Some(Scope::Delete),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(delete(call)),
        operation: |op| {
            op.about(Tag::Collections, "Delete a collection with all its documents")
                .query::<DeleteParams>()
                .gives::<DeletedCollection>(200, "What was removed.")
                .errors(&[409])
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/collections/{name}/info",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(get(call)),
        operation: |op| {
            op.about(Tag::Collections, "A collection, its counts and its pipeline")
                .gives::<CollectionInfo>(200, "The collection.")
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/collections/{name}/index",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(place(call)),
        operation: |op| {
            op.about(Tag::Collections, "Which index keeps the vectors of a collection")
                .gives::<CollectionPlace>(200, "The index, and the progress of the last move.")
        },
    },
    Endpoint {
        method: Verb::Put,
        path: "/collections/{name}/index",
        scope: Some(Scope::Admin),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(move_to(call)),
        operation: |op| {
            op.about(Tag::Collections, "Move a collection between indexes")
            .description("Copies its vectors between the server's own index and a Qdrant server, without embedding anything again, while the collection is in use; `GET` shows the progress. Naming the current index stops a move.")
            .takes::<MoveCollection>()
            .gives::<CollectionPlace>(200, "The collection is in this index.")
            .gives::<CollectionPlace>(202, "The collection is being moved.")
            .errors(&[409, 503])
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/collections/{name}/pipeline",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(pipeline(call)),
        operation: |op| {
            op.about(Tag::Collections, "The pipeline of a collection")
                .gives::<CollectionPipeline>(200, "The pipeline, and what it resolved to.")
        },
    },
    Endpoint {
        method: Verb::Put,
        path: "/collections/{name}/pipeline",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(set_pipeline(call)),
        operation: |op| {
            op.about(Tag::Collections, "Replace the pipeline of a collection")
            .description("The whole pipeline is checked before anything changes. Keys that are left out take their defaults. If existing documents must be processed again, the answer is 202: a re-index does it in the background, and the new pipeline takes effect when it ends. `dry_run=true` shows what would happen. While a collection is re-indexed, another pipeline is refused with 409.")
            .query::<PipelineParams>()
            .takes::<Pipeline>()
            .gives::<PipelineChanged>(200, "The pipeline that is in effect, or would be.")
            .gives::<PipelineChanged>(202, "The pipeline that takes effect when the re-index ends.")
            .errors(&[409])
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/collections/{name}/reindex",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(reindex(call)),
        operation: |op| {
            op.about(Tag::Collections, "Re-index the documents of a collection")
            .description("Processes the documents again in the background, with the collection's pipeline and the plugins and models that are installed now. Queries use the old index until the new one is complete. For each document, the steps that its lock shows to be outdated run again, or those that `redo` names. `GET /collections/{name}/info` and `/ws/collections` show the progress.")
            .query::<ReindexParams>()
            .gives::<ReindexPlan>(202, "The re-index has begun.")
            .gives::<ReindexPlan>(200, "What the re-index would do.")
            .errors(&[409])
        },
    },
    Endpoint {
        method: Verb::Delete,
        path: "/collections/{name}/reindex",
        scope: Some(Scope::Config),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(cancel_reindex(call)),
        operation: |op| {
            op.about(Tag::Collections, "Stop a re-index")
                .description("The collection stays as it was.")
                .gives::<ReindexInfo>(200, "How it ended.")
                .errors(&[409])
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/pipelines/schema",
        scope: None,
        budget: Some(Budget::Request),
        handler: |_call| Box::pin(async move { Ok(pipeline_schema()) }),
        operation: |op| {
            op.about(Tag::Collections, "The JSON Schema of pipelines, for editors").answers(
                200,
                "A JSON Schema (2020-12).",
                "application/json",
                Some(object()),
            )
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/pipelines/validate",
        scope: Some(Scope::Write),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(validate_pipeline(call)),
        operation: |op| {
            op.about(Tag::Collections, "Check a pipeline against what is installed")
                .description("Nothing changes. A pipeline that would not run is answered 400, and `details.field` names the key.")
                .takes::<Pipeline>()
                .gives::<PipelineValid>(200, "It would run.")
        },
    },
];

/// `GET /collections`.
async fn list(call: &Call) -> Result<Reply, Failure> {
    Ok(json(StatusCode::OK, &call.with::<Read>()?.collections().await?))
}

/// `POST /collections`.
async fn create(call: &mut Call) -> Result<Reply, Failure> {
    let new: CreateCollection = body::json(call).await?;
    let granted = call.with::<Write>()?;
    let created = to_the_end(async move { granted.create_collection(new).await }).await?;
    Ok(json(StatusCode::CREATED, &created))
}

/// `GET /collections/{name}/info`, and `GET /collections/{name}`.
async fn get(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter();
    Ok(json(StatusCode::OK, &call.with::<Read>()?.collection(name).await?))
}

/// `GET /collections/{name}/pipeline`.
async fn pipeline(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter();
    Ok(json(StatusCode::OK, &call.with::<Read>()?.collection_pipeline(name).await?))
}

/// Parameters of `PUT /collections/{name}/pipeline`.
#[derive(Deserialize, IntoParams)]
pub(super) struct PipelineParams {
    /// Only tell what the change would take.
    dry_run: Option<bool>,
}

/// `PUT /collections/{name}/pipeline?dry_run=`: all of it is checked before anything changes.
async fn set_pipeline(call: &mut Call) -> Result<Reply, Failure> {
    let name = call.path_parameter().to_owned();
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
async fn reindex(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter().to_owned();
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
async fn cancel_reindex(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter().to_owned();
    let granted = call.with::<Config>()?;
    let stopped = to_the_end(async move { granted.cancel_reindex(&name).await }).await?;
    Ok(json(StatusCode::OK, &stopped))
}

/// `GET /pipelines/schema`.
fn pipeline_schema() -> Reply {
    json(StatusCode::OK, &ibid_engine::pipeline_schema())
}

/// `POST /pipelines/validate`: whether a collection could be made with it.
async fn validate_pipeline(call: &mut Call) -> Result<Reply, Failure> {
    let pipeline: Value = body::json(call).await?;
    Ok(json(StatusCode::OK, &call.with::<Write>()?.validate_pipeline(pipeline)?))
}

/// `GET /collections/{name}/index`.
async fn place(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter();
    Ok(json(StatusCode::OK, &call.with::<Read>()?.collection_place(name).await?))
}

/// `PUT /collections/{name}/index`: the move goes on after the answer.
async fn move_to(call: &mut Call) -> Result<Reply, Failure> {
    let name = call.path_parameter().to_owned();
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
async fn delete(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter().to_owned();
    let DeleteParams { confirm } = call.params()?;
    if confirm != Some(true) {
        return Err(ApiError::validation("confirm", "must be `true`: this deletes the collection with all its documents").into());
    }
    let granted = call.with::<Delete>()?;
    let deleted = to_the_end(async move { granted.delete_collection(&name).await }).await?;
    Ok(json(StatusCode::OK, &deleted))
}
