//! `/query` whole or as server-sent events, and `/search`.

use super::body;
use super::call::Call;
use super::respond::{BodyError, Failure, Reply, json};
use crate::pipeline::QueryHandle;
use crate::protocol::{ApiError, ErrorCode, ErrorData, QueryEvent, QueryOptions, SearchRequest};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use std::time::Duration;

/// How often a comment is sent while nothing happens, so that proxies do not take the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `POST /query`. A client that leaves cancels it.
pub(super) async fn answer(call: &mut Call) -> Result<Reply, Failure> {
    let options: QueryOptions = body::json(call).await?;
    Ok(json(StatusCode::OK, &call.shared.engine.answer(options).await?))
}

/// `POST /search`.
pub(super) async fn search(call: &mut Call) -> Result<Reply, Failure> {
    let request: SearchRequest = body::json(call).await?;
    request.validate()?;
    Ok(json(StatusCode::OK, &call.shared.engine.search(request).await?))
}

/// `POST /query/stream`. A client that reads slowly holds the generator; one that leaves cancels it.
pub(super) async fn stream(call: &mut Call) -> Result<Reply, Failure> {
    let options: QueryOptions = body::json(call).await?;
    let handle = call.shared.engine.query(options)?;
    let frames = stream::unfold(Some(handle), |handle| async {
        let (bytes, rest) = next(handle?).await;
        Some((Ok::<_, BodyError>(Frame::data(bytes)), rest))
    });
    let mut reply = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(reply)
}

/// The next bytes of the stream, and the query if it goes on.
async fn next(mut handle: QueryHandle) -> (Bytes, Option<QueryHandle>) {
    match tokio::time::timeout(KEEP_ALIVE, handle.events.recv()).await {
        Err(_) => (Bytes::from_static(b": still here\n\n"), Some(handle)),
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
pub(in crate::server) fn broke_off() -> ApiError {
    ApiError::new(ErrorCode::InternalError, "The query broke off. The server's log has more.")
}

/// One server-sent event: the socket's `type` as its name, the socket's `data` as its data.
fn frame(event: &QueryEvent) -> Bytes {
    let (name, data) = match event {
        QueryEvent::Status(data) => ("status", serde_json::to_string(data)),
        QueryEvent::Token(data) => ("token", serde_json::to_string(data)),
        QueryEvent::Citation(data) => ("citation", serde_json::to_string(data)),
        QueryEvent::Complete(data) => ("complete", serde_json::to_string(data)),
        QueryEvent::Error(data) => ("error", serde_json::to_string(data)),
    };
    match data {
        // JSON has no line break outside of strings as serde writes it, and none inside of them.
        Ok(data) => Bytes::from(format!("event: {name}\ndata: {data}\n\n")),
        Err(error) => {
            tracing::error!(%error, name, "an event could not be written as JSON");
            Bytes::new()
        }
    }
}
