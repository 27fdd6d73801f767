//! The type of an endpoint, and the list of all of them.
//!
//! The router, the OpenAPI document and the page that shows it are derived from [`all`].

use super::call::Call;
use super::openapi::Op;
use super::respond::{Failure, Reply};
use super::{
    backup, collections, config, docs, documents, file, health, mcp, me, metrics, multipart, openai, openapi, page, plugins, query, status,
    tus,
};
use crate::limits::Budget;
use crate::ws;
use ibid_auth::Scope;
use std::pin::Pin;

/// The future of a handler.
pub(crate) type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>>;

/// One method of one path, with everything the server knows about it.
pub(crate) struct Endpoint {
    /// The method it serves.
    pub method: Verb,
    /// The path as a template, such as `/documents/{id}`. It has at most one parameter, which `Call::path_parameter` returns.
    pub path: &'static str,
    /// The scope that the router requires before it calls the handler; `None` if anybody may call it.
    pub scope: Option<Scope>,
    /// The budget that a request counts against; `None` if requests are free and never refused.
    pub budget: Option<Budget>,
    /// Answers a request.
    pub handler: for<'a> fn(&'a mut Call) -> ResponseFuture<'a>,
    /// Describes the endpoint in the OpenAPI document. Method, path, path parameter and scope are filled in already.
    pub operation: for<'a> fn(Op<'a>) -> Op<'a>,
}

/// The method of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// GET. The same handler answers HEAD.
    Get,
    /// GET without HEAD, for responses that do not end or that are expensive to begin.
    GetWithoutHead,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// OPTIONS, for a path that answers it with more than its methods. The OpenAPI document leaves it out.
    Options,
}

impl Verb {
    /// Returns the methods that the endpoint serves, as `Allow` lists them.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["GET", "HEAD"],
            Self::GetWithoutHead => &["GET"],
            Self::Post => &["POST"],
            Self::Put => &["PUT"],
            Self::Patch => &["PATCH"],
            Self::Delete => &["DELETE"],
            Self::Options => &["OPTIONS"],
        }
    }
}

/// Returns all endpoints, in the order in which the OpenAPI document describes them.
pub(super) fn all() -> impl Iterator<Item = &'static Endpoint> {
    [
        multipart::ENDPOINTS,
        documents::ENDPOINTS,
        file::ENDPOINTS,
        tus::ENDPOINTS,
        query::ENDPOINTS,
        collections::ENDPOINTS,
        plugins::ENDPOINTS,
        health::ENDPOINTS,
        status::ENDPOINTS,
        metrics::ENDPOINTS,
        config::ENDPOINTS,
        backup::ENDPOINTS,
        me::ENDPOINTS,
        openapi::ENDPOINTS,
        docs::ENDPOINTS,
        page::ENDPOINTS,
        openai::embeddings::ENDPOINTS,
        openai::chat::ENDPOINTS,
        openai::models::ENDPOINTS,
        mcp::ENDPOINTS,
        ws::ENDPOINTS,
    ]
    .into_iter()
    .flatten()
}
