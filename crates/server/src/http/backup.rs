//! `GET /backup`: all that the server keeps, as a tar archive.

use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::Tag;
use super::respond::{Body, BodyError, Failure, Reply};
use crate::limits::Budget;
use futures_util::{TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use ibid_auth::Scope;
use ibid_engine::Admin;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::GetWithoutHead,
    path: "/backup",
    scope: Some(Scope::Admin),
    budget: Some(Budget::Request),
    handler: |call| Box::pin(get(call)),
    operation: |op| {
        op.about(Tag::Operations, "All data of the server, as a tar archive")
            .description("A snapshot of one moment, taken while the server runs. It needs credentials for all collections. The last entry, `manifest.json`, has the SHA-256 of every other: an archive without it is incomplete. `ibid backup` reads this endpoint, and `ibid restore` restores the archive.")
            .answers(200, "The archive.", "application/x-tar", None)
            .errors(&[409])
    },
}];

/// `GET /backup`. A stream that breaks off is no backup: its last entry is the manifest.
async fn get(call: &Call) -> Result<Reply, Failure> {
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
