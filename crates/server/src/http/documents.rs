//! `/documents`: lists, details, chunks and text, and deleting.

use super::call::Call;
use super::respond::{self, Failure, Reply, json};
use hyper::StatusCode;
use ibid_engine::DocumentQuery;
use ibid_engine::{Delete, Read};
use ibid_protocol::{ApiError, ErrorCode};
use serde::Deserialize;
use tracing::Instrument;
use utoipa::IntoParams;

/// `GET /documents`.
pub(super) async fn list(call: &Call) -> Result<Reply, Failure> {
    let wanted: DocumentQuery = call.params()?;
    Ok(json(StatusCode::OK, &call.with::<Read>()?.documents(wanted).await?))
}

/// `GET /documents/{id}`.
pub(super) async fn get(call: &Call, id: &str) -> Result<Reply, Failure> {
    Ok(json(StatusCode::OK, &call.with::<Read>()?.document(id).await?))
}

/// `DELETE /documents/{id}`. Goes on if the client leaves: half a deletion helps nobody.
pub(super) async fn delete(call: &Call, id: String) -> Result<Reply, Failure> {
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
pub(super) async fn chunks(call: &Call, id: &str) -> Result<Reply, Failure> {
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
pub(super) async fn text(call: &Call, id: &str) -> Result<Reply, Failure> {
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
