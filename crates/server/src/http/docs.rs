//! `/docs`: a page to read the OpenAPI document. Small and our own, since the usual ones fetch themselves from elsewhere, or need
//! a policy that lets inline scripts and styles run. All of it is in the program.

use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::{Tag, string};
use super::respond::{self, Failure, Reply};
use crate::limits::Budget;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY};
use ibid_protocol::{ApiError, ErrorCode};

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::Get,
        path: "/docs",
        scope: None,
        budget: Some(Budget::Request),
        handler: |call| Box::pin(async move { page(call) }),
        operation: |op| {
            op.about(Tag::Operations, "A page to read this document")
                .answers(200, "HTML.", "text/html; charset=utf-8", Some(string()))
        },
    },
    Endpoint {
        method: Verb::Get,
        path: "/docs/{name}",
        scope: None,
        budget: Some(Budget::Request),
        handler: |call| Box::pin(async move { part(call) }),
        operation: |op| {
            op.about(Tag::Operations, "A part of that page")
                .answers(200, "A script or a style sheet.", "*/*", None)
        },
    },
];

/// Only what this server sends is run and asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const PAGE: &str = include_str!("docs/index.html");
const SCRIPT: &str = include_str!("docs/docs.js");
const STYLE: &str = include_str!("docs/docs.css");

/// `GET /docs`.
fn page(_call: &Call) -> Result<Reply, Failure> {
    Ok(send("text/html; charset=utf-8", PAGE))
}

/// `GET /docs/{name}`.
fn part(call: &Call) -> Result<Reply, Failure> {
    let name = call.path_parameter();
    match name {
        "docs.js" => Ok(send("text/javascript; charset=utf-8", SCRIPT)),
        "docs.css" => Ok(send("text/css; charset=utf-8", STYLE)),
        _ => Err(ApiError::new(ErrorCode::ResourceNotFound, "The page has no such part.").into()),
    }
}

fn send(content_type: &'static str, content: &'static str) -> Reply {
    let bytes = Bytes::from_static(content.as_bytes());
    let mut reply = respond::full(StatusCode::OK, HeaderValue::from_static(content_type), bytes);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Asked for again each time, so that page and server are always of one version.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}
