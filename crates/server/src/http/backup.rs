//! `GET /backup`: all that the server keeps, as a tar archive.

use super::call::Call;
use super::respond::{Body, BodyError, Failure, Reply};
use futures_util::{TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use ibid_engine::Admin;

/// `GET /backup`. A stream that breaks off is no backup: its last entry is the manifest.
pub(super) async fn get(call: &Call) -> Result<Reply, Failure> {
    let pieces = call.with::<Admin>()?.backup().await?;
    let pieces = stream::unfold(pieces, async |mut pieces| Some((pieces.recv().await?, pieces)));
    let body: Body = StreamBody::new(pieces.map_ok(Frame::data).map_err(BodyError::from)).boxed_unsync();
    let mut reply = Response::new(body);
    for (name, value) in [
        (CONTENT_TYPE, "application/x-tar"),
        (CONTENT_DISPOSITION, "attachment; filename=\"ibid-backup.tar\""),
        (CACHE_CONTROL, "no-store"),
    ] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(reply)
}
