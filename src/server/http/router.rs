//! Which handler a path and a method mean.

use super::admit::Admitted;
use super::call::Call;
use super::respond::{Failure, Reply, empty};
use super::{collections, documents, file, health, me, metrics, multipart, plugins, query};
use crate::auth::Scope;
use crate::protocol::{ApiError, ErrorCode};
use crate::server::limits::Budget;
use crate::server::ws::{self, Socket};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Health,
    Live,
    Ready,
    Metrics,
    Upload,
    Documents,
    Document(String),
    Chunks(String),
    Text(String),
    File(String),
    Query,
    QueryStream,
    Search,
    Collections,
    Collection(String),
    CollectionInfo(String),
    Plugins,
    Plugin(String),
    PluginLog(String),
    Me,
    Socket(Socket),
}

impl Route {
    /// The route of a path, bare or under `/api/v1`; `None` if there is none.
    fn of(path: &str) -> Result<Option<Self>, ApiError> {
        let path = path.strip_prefix("/api/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let Some(path) = path.strip_prefix('/') else { return Ok(None) };
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = Vec::with_capacity(4);
        for segment in path.split('/') {
            if segments.len() == 4 {
                return Ok(None);
            }
            let decoded = percent_decode_str(segment).decode_utf8();
            segments.push(
                decoded.map_err(|_| ApiError::new(ErrorCode::InvalidMessage, "The path is not UTF-8 when its %-escapes are decoded."))?,
            );
        }
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        let name = |text: &str| text.to_owned();
        Ok(match segments.as_slice() {
            ["health"] => Some(Self::Health),
            ["health", "live"] => Some(Self::Live),
            ["health", "ready"] => Some(Self::Ready),
            ["metrics"] => Some(Self::Metrics),
            ["documents"] => Some(Self::Documents),
            ["documents", "upload"] => Some(Self::Upload),
            ["documents", ""] | ["documents", "", _] | ["collections", ""] | ["collections", "", _] | ["plugins", ""] => None,
            ["documents", id] => Some(Self::Document(name(id))),
            ["documents", id, "chunks"] => Some(Self::Chunks(name(id))),
            ["documents", id, "text"] => Some(Self::Text(name(id))),
            ["documents", id, "file"] => Some(Self::File(name(id))),
            ["query"] => Some(Self::Query),
            ["query", "stream"] => Some(Self::QueryStream),
            ["search"] => Some(Self::Search),
            ["collections"] => Some(Self::Collections),
            ["collections", id] => Some(Self::Collection(name(id))),
            ["collections", id, "info"] => Some(Self::CollectionInfo(name(id))),
            ["plugins"] => Some(Self::Plugins),
            ["plugins", id, "log"] if !id.is_empty() => Some(Self::PluginLog(name(id))),
            ["plugins", id] => Some(Self::Plugin(name(id))),
            ["auth", "me"] => Some(Self::Me),
            ["ws", socket] => Socket::of(socket).map(Self::Socket),
            _ => None,
        })
    }

    /// The route without what varies in it, as metrics and traces name it.
    fn template(&self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::Live => "/health/live",
            Self::Ready => "/health/ready",
            Self::Metrics => "/metrics",
            Self::Me => "/auth/me",
            Self::Upload => "/documents/upload",
            Self::Documents => "/documents",
            Self::Document(_) => "/documents/{id}",
            Self::Chunks(_) => "/documents/{id}/chunks",
            Self::Text(_) => "/documents/{id}/text",
            Self::File(_) => "/documents/{id}/file",
            Self::Query => "/query",
            Self::QueryStream => "/query/stream",
            Self::Search => "/search",
            Self::Collections => "/collections",
            Self::Collection(_) => "/collections/{name}",
            Self::CollectionInfo(_) => "/collections/{name}/info",
            Self::Plugins => "/plugins",
            Self::Plugin(_) => "/plugins/{name}",
            Self::PluginLog(_) => "/plugins/{name}/log",
            Self::Socket(socket) => socket.path(),
        }
    }

    /// The methods that it has, as `Allow` lists them.
    fn allow(&self) -> &'static str {
        match self {
            Self::Document(_) | Self::Collection(_) | Self::Plugin(_) => "GET, HEAD, DELETE, OPTIONS",
            Self::Collections | Self::Plugins => "GET, HEAD, POST, OPTIONS",
            Self::Upload | Self::Query | Self::QueryStream | Self::Search => "POST, OPTIONS",
            Self::Socket(_) | Self::PluginLog(_) => "GET, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// The scope without which nothing is done here, whatever the collection; `None` where everybody may ask.
    fn scope(&self, method: &Method) -> Option<Scope> {
        let (deletes, posts) = (method == Method::DELETE, method == Method::POST);
        match self {
            Self::Health | Self::Live | Self::Ready => None,
            // Whoever it is: the handler asks that it is anybody.
            Self::Me => None,
            // A socket says itself why it does not let in, in a message.
            Self::Socket(_) => None,
            Self::Plugins | Self::Plugin(_) | Self::PluginLog(_) => Some(Scope::Config),
            Self::Metrics => Some(Scope::Monitor),
            Self::Document(_) | Self::Collection(_) if deletes => Some(Scope::Delete),
            Self::Upload => Some(Scope::Write),
            Self::Collections if posts => Some(Scope::Write),
            _ => Some(Scope::Read),
        }
    }

    /// What a request counts as; `None` for what costs nothing and must always be answered.
    fn budget(&self, method: &Method) -> Option<Budget> {
        match self {
            Self::Health | Self::Live | Self::Ready => None,
            Self::Query | Self::QueryStream | Self::Search if method == Method::POST => Some(Budget::Query),
            Self::Upload if method == Method::POST => Some(Budget::Upload),
            _ => Some(Budget::Request),
        }
    }

    fn has(&self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }
}

/// Answers the call by its route's handler.
pub(super) async fn dispatch(call: &mut Call) -> Result<Reply, Failure> {
    let route = Route::of(call.request.uri().path())?.ok_or_else(|| {
        ApiError::new(ErrorCode::ResourceNotFound, "There is nothing at this path.").with("path", call.about.path.as_str())
    })?;
    let method = call.request.method().clone();
    let allow = HeaderValue::from_static(route.allow());
    if !route.has(&method) {
        let error = ApiError::new(ErrorCode::MethodNotAllowed, format!("This path has {}.", route.allow()));
        return Err(Failure::from(error).header(ALLOW, allow));
    }
    if method == Method::OPTIONS {
        let mut reply = empty(StatusCode::NO_CONTENT);
        reply.headers_mut().insert(ALLOW, allow);
        return Ok(reply);
    }
    // Before the scope is looked at: what is refused for that is counted too.
    let admitted = route.budget(&method).map(|budget| Admitted::new(call, budget)).transpose()?;
    let reply = handle(call, route, &method).await;
    match admitted {
        Some(admitted) => admitted.pass(reply),
        None => reply,
    }
}

async fn handle(call: &mut Call, route: Route, method: &Method) -> Result<Reply, Failure> {
    if let Some(scope) = route.scope(method) {
        call.known()?;
        call.subject.require(scope)?;
    }
    let deletes = *method == Method::DELETE;
    match route {
        Route::Health => health::report(call).await,
        Route::Live => Ok(health::live()),
        Route::Ready => health::ready(call).await,
        Route::Metrics => metrics::get(call).await,
        Route::Upload => multipart::upload(call).await,
        Route::Documents => documents::list(call).await,
        Route::Document(id) if deletes => documents::delete(call, id).await,
        Route::Document(id) => documents::get(call, &id).await,
        Route::Chunks(id) => documents::chunks(call, &id).await,
        Route::Text(id) => documents::text(call, &id).await,
        Route::File(id) => file::get(call, &id).await,
        Route::Query => query::answer(call).await,
        Route::QueryStream => query::stream(call).await,
        Route::Search => query::search(call).await,
        Route::Collections if *method == Method::POST => collections::create(call).await,
        Route::Collections => collections::list(call).await,
        Route::Collection(name) if deletes => collections::delete(call, name).await,
        Route::Collection(name) | Route::CollectionInfo(name) => collections::get(call, &name).await,
        Route::Plugins if *method == Method::POST => plugins::install(call).await,
        Route::Plugins => plugins::list(call).await,
        Route::Plugin(name) if deletes => plugins::remove(call, name).await,
        Route::Plugin(name) => plugins::get(call, &name).await,
        Route::PluginLog(name) => plugins::log(call, &name).await,
        Route::Me => me::get(call),
        Route::Socket(socket) => ws::upgrade(call, socket).await,
    }
}

/// What a path is called in metrics and traces: its route's template, or `unmatched`.
pub(super) fn template(path: &str) -> &'static str {
    match Route::of(path) {
        Ok(Some(route)) => route.template(),
        Ok(None) | Err(_) => "unmatched",
    }
}

/// Whether a route is one that monitors and orchestrators ask all the time.
pub(super) fn is_look(template: &str) -> bool {
    [Route::Health, Route::Live, Route::Ready, Route::Metrics]
        .iter()
        .any(|route| route.template() == template)
}

/// Whether everybody may ask at this path, whatever credentials come along.
pub(super) fn is_open(path: &str) -> bool {
    matches!(Route::of(path), Ok(Some(Route::Health | Route::Live | Route::Ready)))
}

/// Whether a request only asks if the server is alive.
pub(super) fn is_liveness(method: &str, path: &str) -> bool {
    matches!(method, "GET" | "HEAD") && matches!(Route::of(path), Ok(Some(Route::Live)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn routes() {
        let route = |path| Route::of(path).expect("UTF-8");
        assert_eq!(route("/health"), Some(Route::Health));
        assert_eq!(route("/api/v1/health/"), Some(Route::Health));
        assert_eq!(route("/documents/upload"), Some(Route::Upload));
        assert_eq!(route("/documents/a%20b/text"), Some(Route::Text("a b".into())));
        assert_eq!(route("/documents/a%2Fb"), Some(Route::Document("a/b".into())));
        assert_eq!(route("/api/v1/collections/x/info"), Some(Route::CollectionInfo("x".into())));
        assert_eq!(route("/plugins/x/log"), Some(Route::PluginLog("x".into())));
        for nothing in [
            "/plugins//log",
            "/",
            "",
            "*",
            "/api/v1",
            "/api/v1x/health",
            "/ws/monitors",
            "/documents//text",
            "/health/live/now/and/then",
            "/API/v1/health",
        ] {
            assert_eq!(route(nothing), None, "{nothing}");
        }
        assert!(Route::of("/documents/%ff").is_err());
    }

    proptest! {
        #[test]
        fn any_identifier_arrives_as_it_was(id in "[^/]{1,30}") {
            prop_assume!(id != "upload");
            let path = format!("/documents/{}", percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC));
            prop_assert_eq!(Route::of(&path), Ok(Some(Route::Document(id))));
        }

        #[test]
        fn no_path_panics(path in ".{0,80}") {
            let _ = Route::of(&path);
        }
    }
}
