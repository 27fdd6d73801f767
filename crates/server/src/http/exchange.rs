//! One request and its answer: the name it gets, who may make it, what happens if its handler fails or panics.

use super::call::Call;
use super::respond::{About, Failure, Reply, nothing};
use super::{body, me, router};
use crate::access::AccessRules;
use crate::connection::Refusal;
use crate::context::{Place, Shared};
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONNECTION, HeaderName, HeaderValue, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, StatusCode};
use ibid_auth::{Denial, Subject};
use ibid_protocol::{ApiError, ErrorCode};
use ibid_telemetry::catalogue;
use ibid_telemetry::trace::{self, TraceParent};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{Instrument, field};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a request's name that a client chooses.
const MAX_REQUEST_ID: usize = 128;

/// Answers `request`. Without a place it is refused: the server is full.
pub(crate) async fn respond(shared: Arc<Shared>, place: Result<Place, Refusal>, peer: SocketAddr, request: Request<Incoming>) -> Reply {
    let about = About {
        request_id: request_id(&request),
        path: request.uri().path().to_owned(),
        method: request.method().to_string(),
    };
    let address = shared.limits.proxies().client(peer.ip(), request.headers());
    let method = method_name(request.method());
    let route = router::template(&about.path);
    let parent = TraceParent::of(request.headers());
    let trace = trace::request(method, route, &parent);
    // Of the lowest level, so that every line of a request has its name, whatever is logged.
    let span = tracing::error_span!("request", request_id = %about.request_id, method, path = %about.path, client = %address, subject = field::Empty);
    let head = request.method() == Method::HEAD;
    let request_trace = trace.clone();
    async move {
        let begun = Instant::now();
        let watch = shared.clone();
        let name = HeaderValue::from_str(&about.request_id);
        let mut reply = match place {
            Ok(place) => {
                answer(Call {
                    shared,
                    place,
                    address,
                    trace: parent,
                    proxied: address != peer.ip().to_canonical(),
                    subject: Arc::new(Subject::nobody()),
                    grant: Err(Denial::MissingToken),
                    about,
                    request,
                    path_parameter: String::new(),
                    body_was_read: false,
                })
                .await
            }
            Err(Refusal(error)) => full(&about, error),
        };
        if let Ok(name) = name {
            reply.headers_mut().insert(REQUEST_ID, name);
        }
        reply
            .headers_mut()
            .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if head {
            *reply.body_mut() = nothing();
        }
        answered(&watch, method, route, reply.status(), begun.elapsed());
        trace::answered(&request_trace, reply.status().as_u16());
        reply
    }
    .instrument(span)
    .instrument(trace)
    .await
}

/// Counts a request, and logs it at `info`: polls of monitors and orchestrators at `debug`, and of a flood only some.
fn answered(shared: &Shared, method: &'static str, route: &'static str, status: StatusCode, time: Duration) {
    catalogue::HTTP_REQUESTS
        .with([method.to_owned(), route.to_owned(), status.as_str().to_owned()])
        .increment(1);
    catalogue::HTTP_SECONDS.with([method, route]).record(time.as_secs_f64());
    let (status, milliseconds) = (status.as_u16(), time.as_millis() as u64);
    if router::is_polled(route) {
        tracing::debug!(method, route, status, milliseconds, "answered");
    } else if let Some(unlogged) = shared.access_log.pass() {
        tracing::info!(method, route, status, milliseconds, unlogged, "answered");
    }
}

/// The method as metrics name it: a client may send any word.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

async fn answer(mut call: Call) -> Reply {
    let page = allowed_page(&call);
    let mut reply = answer_or_refuse(&mut call).await;
    if call.shared.auth.is_on() && !reply.headers().contains_key(CACHE_CONTROL) {
        // What one subject may see is not for the next who asks a cache in between.
        reply
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    if let Some(origin) = page {
        share(reply.headers_mut(), origin);
    }
    reply
}

async fn answer_or_refuse(call: &mut Call) -> Reply {
    let result = AssertUnwindSafe(checked(call)).catch_unwind().await.unwrap_or_else(|panic| {
        tracing::error!(panic = panic_text(panic.as_ref()), "a handler panicked");
        Err(ApiError::new(
            ErrorCode::InternalError,
            "The server failed on this request. Its log has more under the request's id.",
        )
        .into())
    });
    match result {
        Ok(reply) => reply,
        Err(failure) => {
            tracing::debug!(code = ?failure.error().code, "refused");
            catalogue::ERRORS.with(["http", failure.error().code.name()]).increment(1);
            body::drain(call).await;
            me::to_challenge(failure).into_reply(&call.about)
        }
    }
}

fn rules(shared: &Shared) -> AccessRules<'_> {
    AccessRules {
        local: shared.local,
        hosts: &shared.settings.allowed_hosts,
        origins: &shared.settings.allowed_origins,
    }
}

async fn checked(call: &mut Call) -> Result<Reply, Failure> {
    let rules = rules(&call.shared);
    let headers = call.request.headers();
    rules.check_host(headers)?;
    // A page of another origin cannot read what a safe method answers; a socket it could read.
    if !call.request.method().is_safe() || fastwebsockets::upgrade::is_upgrade_request(&call.request) {
        rules.check_origin(headers)?;
    }
    // What a page asks before it sends a request (CORS) comes without credentials.
    if call.request.method() != Method::OPTIONS && !router::is_open(call.request.uri().path()) {
        call.identify().await?;
    }
    if !call.subject.id.is_empty() {
        tracing::Span::current().record("subject", call.subject.id.as_str());
    }
    router::dispatch(call).await
}

/// The origin of the page that asks, if it may.
fn allowed_page(call: &Call) -> Option<HeaderValue> {
    let headers = call.request.headers();
    let origin = headers.get(ORIGIN)?;
    rules(&call.shared).check_origin(headers).ok().map(|()| origin.clone())
}

/// Lets the page at `origin` read the answer, and send what it asked to send (CORS).
fn share(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "X-Request-Id, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, ETag, Content-Range, Content-Disposition, \
             WWW-Authenticate, Location, Tus-Resumable, Tus-Version, Tus-Extension, \
             Tus-Max-Size, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires",
        ),
    );
    if let Some(methods) = headers.get(ALLOW).cloned() {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "Content-Type, Authorization, X-API-Key, X-Request-Id, Range, Tus-Resumable, Upload-Offset, Upload-Length, \
                 Upload-Metadata, X-HTTP-Method-Override",
            ),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}

/// The refusal when there is no place for a connection. A question for liveness is still answered: a full server is alive.
fn full(about: &About, error: ApiError) -> Reply {
    let mut reply = if router::is_liveness(&about.method, &about.path) {
        super::health::live()
    } else {
        catalogue::ERRORS.with(["http", error.code.name()]).increment(1);
        Failure::from(error).into_reply(about)
    };
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// The name that the client gave the request, if it can be one, else a new one.
fn request_id(request: &Request<Incoming>) -> String {
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
