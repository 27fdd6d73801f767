//! Server-sent events (WHATWG HTML, 9.2).

use super::respond::{BodyError, Reply};
use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use std::time::Duration;

/// How often a comment is sent while nothing happens, so that proxies do not take the stream for dead.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The comment that is sent then.
pub(super) fn still_here() -> Bytes {
    Bytes::from_static(b": still here\n\n")
}

/// A reply that goes on for as long as the stream of its frames does.
pub(super) fn reply(frames: impl Stream<Item = Result<Frame<Bytes>, BodyError>> + Send + 'static) -> Reply {
    let mut reply = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    reply
}

/// One event with JSON as its data.
pub(super) fn event(name: &str, data: serde_json::Result<String>) -> Bytes {
    match data {
        // JSON has no line break outside of strings as serde writes it, and none inside of them.
        Ok(data) => Bytes::from(format!("event: {name}\ndata: {data}\n\n")),
        Err(error) => {
            tracing::error!(%error, name, "an event could not be written as JSON");
            Bytes::new()
        }
    }
}
