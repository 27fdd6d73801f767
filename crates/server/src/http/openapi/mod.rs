//! `/openapi.json`: the REST surface as OpenAPI 3.1, made of the very types that parse the requests and form the answers.
//!
//! [`operations`] has a line or two for each method of each path; what all operations have in common (errors, security, the
//! request's name) is added here.

mod operation;
mod operations;

pub(super) use operations::document;

use super::call::Call;
use super::respond::{self, Reply};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::sync::OnceLock;

/// `GET /openapi.json`.
pub(super) fn get(_call: &Call) -> Reply {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let bytes = DOCUMENT.get_or_init(|| match serde_json::to_vec(&document()) {
        Ok(bytes) => bytes.into(),
        Err(error) => {
            tracing::error!(%error, "the OpenAPI document could not be written as JSON");
            Bytes::new()
        }
    });
    respond::full(StatusCode::OK, HeaderValue::from_static("application/json"), bytes.clone())
}
