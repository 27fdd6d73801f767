//! `GET /v1/models` and `GET /v1/models/{id}`.

use crate::http::call::Call;
use crate::http::endpoint::{Endpoint, Verb};
use crate::http::openapi::Tag;
use crate::http::respond::{Failure, Reply, json};
use crate::limits::Budget;
use hyper::StatusCode;
use ibid_auth::Scope;
use ibid_embed::{InstalledModel, ModelKind};
use ibid_engine::Read;
use ibid_protocol::{ApiError, CollectionInfo, ErrorCode, ModelInfo, ModelList};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The endpoints of this module.
pub(in crate::http) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::Get,
        path: "/v1/models",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(list(call)),
        operation: |op| {
            op.about(Tag::OpenAi, "List the models that a request may name")
                .gives::<ModelList>(200, "Collections, and the embedding model.")
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/v1/models/{id}",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(get(call)),
        operation: |op| {
            op.about(Tag::OpenAi, "Get one of these models")
                .gives::<ModelInfo>(200, "The model.")
        },
    },
];

/// `GET /v1/models`: what the subject may name.
async fn list(call: &Call) -> Result<Reply, Failure> {
    let granted = call.with::<Read>()?;
    let collections = granted.collections().await?.collections;
    let models = granted.models().await?;
    let models = models.into_iter().map(|model| installed(call, model));
    let data = collections.iter().map(collection).chain(models).collect();
    Ok(json(StatusCode::OK, &ModelList { object: "list", data }))
}

/// `GET /v1/models/{id}`.
async fn get(call: &Call) -> Result<Reply, Failure> {
    let id = call.path_parameter();
    let models = call.with::<Read>()?.models().await?;
    if let Some(model) = models.into_iter().find(|model| model.info.name == id) {
        return Ok(json(StatusCode::OK, &installed(call, model)));
    }
    let found = call.with::<Read>()?.collection(id).await;
    let found = found.map_err(|error| {
        if error.code == ErrorCode::CollectionNotFound {
            no_model(id)
        } else {
            error
        }
    })?;
    Ok(json(StatusCode::OK, &collection(&found)))
}

/// No model of that name, or none that the subject may know of.
pub(super) fn no_model(id: &str) -> ApiError {
    let message = format!("There is no model `{id}`: a model is a collection. GET /v1/models lists them.");
    ApiError::new(ErrorCode::CollectionNotFound, message).with("field", "model")
}

fn collection(collection: &CollectionInfo) -> ModelInfo {
    ModelInfo {
        id: collection.name.clone(),
        object: "model",
        created: OffsetDateTime::parse(&collection.created_at, &Rfc3339).map_or(0, OffsetDateTime::unix_timestamp),
        owned_by: "ibid",
        kind: "collection",
        dimension: None,
        sha256: None,
        loaded: None,
        default: None,
    }
}

fn installed(call: &Call, model: InstalledModel) -> ModelInfo {
    let started = OffsetDateTime::now_utc() - call.shared.engine.uptime();
    ModelInfo {
        id: model.info.name,
        object: "model",
        created: started.unix_timestamp(),
        owned_by: "ibid",
        kind: model.info.kind.name(),
        dimension: (model.info.kind == ModelKind::Embedding).then_some(model.info.dimension),
        sha256: Some(model.info.model_sha256),
        loaded: Some(model.loaded.iter().map(|precision| precision.name()).collect()),
        default: (model.info.kind == ModelKind::Embedding).then_some(model.default),
    }
}
