//! `/query` whole or as server-sent events, and `/search`.

use super::body;
use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::Tag;
use super::respond::{BodyError, Failure, Reply, json};
use super::{me, sse};
use crate::limits::Budget;
use bytes::Bytes;
use futures_util::stream;
use hyper::StatusCode;
use hyper::body::Frame;
use ibid_auth::Scope;
use ibid_engine::QueryHandle;
use ibid_engine::Read;
use ibid_protocol::{AnalyzeRequest, ApiError, ErrorCode, ErrorData, QueryEvent, QueryOptions, SearchRequest, SimilarRequest};
use ibid_protocol::{AnalyzeResponse, Answer, Citation, Complete, SearchResponse, SimilarResponse, Status, Token};
use ibid_telemetry::catalogue;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::Post,
        path: "/query",
        scope: Some(Scope::Read),
        budget: Some(Budget::Query),
        handler: |call| Box::pin(answer(call)),
        operation: |op| {
            op.about(Tag::Asking, "Ask, and get the whole answer with its citations")
                .takes::<QueryOptions>()
                .gives::<Answer>(200, "The answer.")
                .errors(&[404, 502, 504])
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/query/stream",
        scope: Some(Scope::Read),
        budget: Some(Budget::Query),
        handler: |call| Box::pin(stream(call)),
        operation: |op| {
            op.about(Tag::Asking, "Ask, and get the answer as it is generated")
                .description("The events `status`, `token`, `citation`, `complete` and `error` of `/ws/query`, as server-sent events.")
                .takes::<QueryOptions>()
                .streams::<Status>("Events, the last of them `complete` or `error`.")
                .streams::<Token>("")
                .streams::<Citation>("")
                .streams::<Complete>("")
                .streams::<ErrorData>("")
                .errors(&[404, 502, 504])
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/search",
        scope: Some(Scope::Read),
        budget: Some(Budget::Query),
        handler: |call| Box::pin(search(call)),
        operation: |op| {
            op.about(Tag::Asking, "Find passages, without an answer")
                .takes::<SearchRequest>()
                .gives::<SearchResponse>(200, "Passages, most relevant first.")
                .errors(&[404, 502, 504])
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/search/similar",
        scope: Some(Scope::Read),
        budget: Some(Budget::Query),
        handler: |call| Box::pin(similar(call)),
        operation: |op| {
            op.about(Tag::Asking, "Find documents like a given one")
                .takes::<SimilarRequest>()
                .gives::<SimilarResponse>(200, "Documents, most similar first.")
                .errors(&[404, 409, 504])
        },
    },
    Endpoint {
        method: Verb::Post,
        path: "/analyze",
        scope: Some(Scope::Read),
        budget: Some(Budget::Query),
        handler: |call| Box::pin(analyze(call)),
        operation: |op| {
            op.about(Tag::Asking, "Analyze a question, without a search")
                .takes::<AnalyzeRequest>()
                .gives::<AnalyzeResponse>(200, "The analysis, and the searches that would be run.")
                .errors(&[404, 504])
        },
    },
];

/// `POST /query`. A client that leaves cancels it.
async fn answer(call: &mut Call) -> Result<Reply, Failure> {
    let options: QueryOptions = body::json(call).await?;
    Ok(json(StatusCode::OK, &call.with::<Read>()?.answer(options).await?))
}

/// `POST /search`.
async fn search(call: &mut Call) -> Result<Reply, Failure> {
    let request: SearchRequest = body::json(call).await?;
    request.validate()?;
    Ok(json(StatusCode::OK, &call.with::<Read>()?.search(request).await?))
}

/// `POST /search/similar`.
async fn similar(call: &mut Call) -> Result<Reply, Failure> {
    let request: SimilarRequest = body::json(call).await?;
    Ok(json(StatusCode::OK, &call.with::<Read>()?.similar(request).await?))
}

/// `POST /analyze`.
async fn analyze(call: &mut Call) -> Result<Reply, Failure> {
    let request: AnalyzeRequest = body::json(call).await?;
    Ok(json(StatusCode::OK, &call.with::<Read>()?.analyze_question(request).await?))
}

/// `POST /query/stream`. A client that reads slowly holds the generator; one that leaves, or whose
/// credentials end, cancels it.
async fn stream(call: &mut Call) -> Result<Reply, Failure> {
    let options: QueryOptions = body::json(call).await?;
    let handle = call.with::<Read>()?.query(options)?;
    let grant = call.known()?.clone();
    let frames = stream::unfold(Some((handle, grant)), |state| async {
        let (handle, grant) = state?;
        let (bytes, rest) = tokio::select! {
            next = next(handle) => next,
            // The query is dropped with its handle.
            denial = grant.ended() => (frame(&QueryEvent::Error(ErrorData::from(me::ended(denial)))), None),
        };
        Some((Ok::<_, BodyError>(Frame::data(bytes)), rest.map(|handle| (handle, grant))))
    });
    Ok(sse::reply(frames))
}

/// The next bytes of the stream, and the query if it goes on.
async fn next(mut handle: QueryHandle) -> (Bytes, Option<QueryHandle>) {
    match tokio::time::timeout(sse::KEEP_ALIVE, handle.events.recv()).await {
        Err(_) => (sse::still_here(), Some(handle)),
        Ok(Some(event)) => {
            let ends = matches!(event, QueryEvent::Complete(_) | QueryEvent::Error(_));
            (frame(&event), (!ends).then_some(handle))
        }
        Ok(None) => {
            tracing::error!(query = handle.query_id, "a query ended without saying how");
            (frame(&QueryEvent::Error(ErrorData::from(broke_off()))), None)
        }
    }
}

/// The error of a query whose events ended without an end.
pub(crate) fn broke_off() -> ApiError {
    ApiError::new(ErrorCode::InternalError, "The query broke off. The server's log has more.")
}

/// One server-sent event: the socket's `type` as its name, the socket's `data` as its data.
fn frame(event: &QueryEvent) -> Bytes {
    let (name, data) = match event {
        QueryEvent::Status(data) => ("status", serde_json::to_string(data)),
        QueryEvent::Token(data) => ("token", serde_json::to_string(data)),
        QueryEvent::Citation(data) => ("citation", serde_json::to_string(data)),
        QueryEvent::Complete(data) => ("complete", serde_json::to_string(data)),
        QueryEvent::Error(data) => {
            catalogue::ERRORS.with(["stream", data.code.name()]).increment(1);
            ("error", serde_json::to_string(data))
        }
    };
    sse::event(name, data)
}
