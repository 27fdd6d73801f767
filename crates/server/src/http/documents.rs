//! `/documents`: lists, details, chunks and text, and deleting.

use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::{Tag, string};
use super::respond::{self, Failure, Reply, json};
use crate::limits::Budget;
use hyper::StatusCode;
use ibid_auth::Scope;
use ibid_engine::DocumentQuery;
use ibid_engine::{Delete, Read};
use ibid_protocol::{ApiError, ErrorCode};
use ibid_protocol::{ChunkList, DeletedDocument, DocumentDetail, DocumentList};
use serde::Deserialize;
use tracing::Instrument;
use utoipa::IntoParams;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::Get,
        path: "/documents",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(list(call)),
        operation: |op| {
            op.about(Tag::Documents, "List documents")
                .query::<DocumentQuery>()
                .gives::<DocumentList>(200, "A page of documents.")
                .errors(&[404])
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/documents/{id}",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(get(call)),
        operation: |op| {
            op.about(Tag::Documents, "Get the details of a document")
                .gives::<DocumentDetail>(200, "The document.")
        },
    },
    Endpoint {
        method: Verb::Delete,
        path: "/documents/{id}",
        scope: Some(Scope::Delete),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(delete(call)),
        operation: |op| {
            op.about(Tag::Documents, "Delete a document and everything derived from it")
                .gives::<DeletedDocument>(200, "What was removed.")
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/documents/{id}/chunks",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(chunks(call)),
        operation: |op| {
            op.about(Tag::Documents, "The chunks of a document")
                .query::<ChunkParams>()
                .gives::<ChunkList>(200, "A page of chunks.")
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/documents/{id}/text",
        scope: Some(Scope::Read),
        budget: Some(Budget::Request),
        handler: |call| Box::pin(text(call)),
        operation: |op| {
            op.about(Tag::Documents, "The extracted text, which citations quote")
                .query::<TextParams>()
                .answers(
                    200,
                    "The text, or the requested part of it.",
                    "text/plain; charset=utf-8",
                    Some(string()),
                )
                .errors(&[409])
        },
    },
];

/// `GET /documents`.
async fn list(call: &Call) -> Result<Reply, Failure> {
    let wanted: DocumentQuery = call.params()?;
    Ok(json(StatusCode::OK, &call.with::<Read>()?.documents(wanted).await?))
}

/// `GET /documents/{id}`.
async fn get(call: &Call) -> Result<Reply, Failure> {
    let id = call.path_parameter();
    Ok(json(StatusCode::OK, &call.with::<Read>()?.document(id).await?))
}

/// `DELETE /documents/{id}`. Goes on if the client leaves: half a deletion helps nobody.
async fn delete(call: &Call) -> Result<Reply, Failure> {
    let id = call.path_parameter().to_owned();
    let granted = call.with::<Delete>()?;
    let deleted = to_the_end(async move { granted.delete_document(&id).await }).await?;
    Ok(json(StatusCode::OK, &deleted))
}

/// Parameters of `GET /documents/{id}/chunks`.
#[derive(Deserialize, IntoParams)]
#[serde(default)]
pub(super) struct ChunkParams {
    /// 1 to 1,000 (default 100).
    #[param(minimum = 1, maximum = 1000)]
    limit: u32,
    /// Chunks to skip.
    offset: u32,
    /// Whether each chunk comes with its vector.
    include_embeddings: bool,
}

impl Default for ChunkParams {
    fn default() -> Self {
        Self {
            limit: 100,
            offset: 0,
            include_embeddings: false,
        }
    }
}

/// `GET /documents/{id}/chunks`.
async fn chunks(call: &Call) -> Result<Reply, Failure> {
    let id = call.path_parameter();
    let ChunkParams {
        limit,
        offset,
        include_embeddings,
    } = call.params()?;
    let granted = call.with::<Read>()?;
    let chunks = granted.document_chunks(id, limit, offset, include_embeddings).await?;
    Ok(json(StatusCode::OK, &chunks))
}

/// Parameters of `GET /documents/{id}/text`.
#[derive(Deserialize, IntoParams)]
pub(super) struct TextParams {
    /// Offset of the first character, in Unicode code points.
    start: Option<u64>,
    /// Offset after the last character.
    end: Option<u64>,
}

/// `GET /documents/{id}/text`, from `start` to `end` in Unicode code points.
async fn text(call: &Call) -> Result<Reply, Failure> {
    let id = call.path_parameter();
    let TextParams { start, end } = call.params()?;
    Ok(respond::text(call.with::<Read>()?.document_text(id, start, end).await?))
}

/// Runs `work` on a task of its own, so that it ends even if the client does not wait for it.
pub(super) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T, ApiError>> + Send + 'static) -> Result<T, ApiError> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a change broke off");
        Err(ApiError::new(
            ErrorCode::InternalError,
            "The server failed on this request. Its log has more under the request's id.",
        ))
    })
}
