//! `/` and `/ui/...`: the page for people.

use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::Tag;
use super::range::names_etag;
use super::respond::{self, Failure, Reply, empty};
use crate::ui;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY};
use ibid_protocol::{ApiError, ErrorCode};

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Get,
    path: "/ui/{name}",
    scope: None,
    budget: None,
    handler: |call| Box::pin(async move { get(call) }),
    operation: |op| {
        op.about(Tag::Operations, "A file of the web page, which is at `/`")
            .answers(200, "HTML, a script, a style sheet or an icon.", "*/*", None)
            .errors(&[404])
    },
}];

/// Only what this server itself sends is run, shown or spoken to; `blob:` shows a file that was fetched with a token, `data:` an icon.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      frame-src 'self' blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /` is `index.html`; `GET /ui/{name}` the rest.
fn get(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter();
    let Some(asset) = ui::asset(name) else {
        return Err(ApiError::new(ErrorCode::ResourceNotFound, "The page has no such part.").into());
    };
    let headers = call.request.headers();
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| names_etag(tags, &asset.etag));
    let mut reply = if known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let content_type = HeaderValue::from_static(asset.content_type);
        respond::full(StatusCode::OK, content_type, Bytes::from_static(asset.content.as_bytes()))
    };
    let headers = reply.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&asset.etag) {
        headers.insert(ETAG, etag);
    }
    // Asked for again each time, so that page and server are always of one version.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Tokens may stand in the address of a page.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    Ok(reply)
}
