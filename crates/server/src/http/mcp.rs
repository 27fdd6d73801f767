//! `POST /mcp`: the Model Context Protocol over streamable HTTP, for agents that want to search, ask and know what there is to ask.
//!
//! Without sessions: each request stands for itself, so that nothing is kept for clients that never come back, and the
//! subject of a request is the one whose collections its tools see. The protocol's rules are `rmcp`'s affair.

mod tools;

use super::body;
use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::{Tag, object, string};
use super::respond::{BodyError, Failure, Reply};
use crate::limits::Budget;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use ibid_auth::Scope;
use ibid_protocol::{ApiError, ErrorCode};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::sync::Arc;
use tools::Tools;

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Post,
    path: "/mcp",
    scope: Some(Scope::Read),
    budget: Some(Budget::Query),
    handler: |call| Box::pin(message(call)),
    operation: |op| {
        op.about(Tag::Mcp, "One message of the Model Context Protocol")
            .description("Streamable HTTP without sessions. Tools: `search`, `ask` and `list_collections`.")
            .takes_json(object())
            .answers(200, "The answer to a request.", "application/json", Some(object()))
            .answers(200, "", "text/event-stream", Some(string()))
            .empty(202, "The notification was accepted.")
            .errors(&[404, 406])
    },
}];

/// `POST /mcp`. A client that leaves cancels what it asked for.
pub(super) async fn message(call: &mut Call) -> Result<Reply, Failure> {
    body::expect_json(call.request.headers())?;
    let limit = call.shared.settings.max_message_bytes;
    let bytes = body::bytes(call, limit).await?;
    let mut request = Request::new(Full::new(Bytes::from(bytes)));
    *request.method_mut() = call.request.method().clone();
    *request.uri_mut() = call.request.uri().clone();
    *request.headers_mut() = call.request.headers().clone();
    // Credentials have done their work: no tool needs them, and none can leak them.
    for name in ["authorization", "x-api-key", "cookie"] {
        request.headers_mut().remove(name);
    }
    // Content types with parameters, or of `+json`, were let in above; the library knows one.
    request
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    let tools = Tools::new(call.session());
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(limit)
        .with_cancellation_token(call.shared.deadline.child_token())
        // Who may ask, by `Host` and `Origin`, was decided before for every path alike.
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let service = StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(NeverSessionManager::default()), config);
    let reply = service.handle(request).await;
    let is_json = reply.headers().contains_key(CONTENT_TYPE);
    if reply.status().is_client_error() && !is_json {
        return Err(refused(reply.status(), reply.into_body()).await);
    }
    Ok(reply.map(|body| {
        body.map_err(|never: std::convert::Infallible| -> BodyError { match never {} })
            .boxed_unsync()
    }))
}

/// A refusal of the library's, which is a line of text, in the shape that all errors have here.
async fn refused(status: StatusCode, body: impl hyper::body::Body<Data = Bytes>) -> Failure {
    let text = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text: String = String::from_utf8_lossy(&text).chars().take(500).collect();
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::PayloadTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::UnsupportedMediaType,
        _ => ErrorCode::InvalidMessage,
    };
    Failure::with_status(ApiError::new(code, text), status)
}
