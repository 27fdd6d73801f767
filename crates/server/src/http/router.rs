//! Which handler a path and a method mean.

use super::admit::Admitted;
use super::call::Call;
use super::respond::{Failure, Reply, empty};
use super::{
    backup, collections, config, docs, documents, file, health, mcp, me, metrics, multipart, openai, openapi, page, plugins, query, status,
    tus,
};
use crate::limits::Budget;
use crate::ws::{self, Socket};
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, StatusCode};
use ibid_auth::Scope;
use ibid_protocol::{ApiError, ErrorCode};
use percent_encoding::percent_decode_str;

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// A file of the page for people.
    Page(String),
    Health,
    Live,
    Ready,
    Metrics,
    Status,
    Config,
    Backup,
    Upload,
    Documents,
    Document(String),
    Chunks(String),
    Text(String),
    File(String),
    Query,
    QueryStream,
    Search,
    Similar,
    Analyze,
    Collections,
    Collection(String),
    CollectionInfo(String),
    CollectionPlace(String),
    CollectionPipeline(String),
    Reindex(String),
    PipelineSchema,
    PipelineCheck,
    Plugins,
    Plugin(String),
    PluginLog(String),
    PluginTrial(String),
    Me,
    Embeddings,
    ChatCompletions,
    Models,
    Model(String),
    Mcp,
    OpenApi,
    Docs,
    DocsPart(String),
    Uploads,
    UploadInParts(String),
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
            [""] => Some(Self::Page("index.html".to_owned())),
            ["ui", file] if !file.is_empty() => Some(Self::Page(name(file))),
            ["health"] => Some(Self::Health),
            ["health", "live"] => Some(Self::Live),
            ["health", "ready"] => Some(Self::Ready),
            ["metrics"] => Some(Self::Metrics),
            ["status"] => Some(Self::Status),
            ["config"] => Some(Self::Config),
            ["backup"] => Some(Self::Backup),
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
            ["search", "similar"] => Some(Self::Similar),
            ["analyze"] => Some(Self::Analyze),
            ["collections"] => Some(Self::Collections),
            ["collections", id] => Some(Self::Collection(name(id))),
            ["collections", id, "info"] => Some(Self::CollectionInfo(name(id))),
            ["collections", id, "index"] => Some(Self::CollectionPlace(name(id))),
            ["collections", id, "pipeline"] => Some(Self::CollectionPipeline(name(id))),
            ["collections", id, "reindex"] => Some(Self::Reindex(name(id))),
            ["pipelines", "schema"] => Some(Self::PipelineSchema),
            ["pipelines", "validate"] => Some(Self::PipelineCheck),
            ["plugins"] => Some(Self::Plugins),
            ["plugins", id, "log"] if !id.is_empty() => Some(Self::PluginLog(name(id))),
            ["plugins", id, "try"] if !id.is_empty() => Some(Self::PluginTrial(name(id))),
            ["plugins", id] => Some(Self::Plugin(name(id))),
            ["auth", "me"] => Some(Self::Me),
            ["v1", "embeddings"] => Some(Self::Embeddings),
            ["v1", "chat", "completions"] => Some(Self::ChatCompletions),
            ["v1", "models"] => Some(Self::Models),
            ["v1", "models", id] if !id.is_empty() => Some(Self::Model(name(id))),
            ["mcp"] => Some(Self::Mcp),
            ["openapi.json"] => Some(Self::OpenApi),
            ["docs"] => Some(Self::Docs),
            ["docs", part] if !part.is_empty() => Some(Self::DocsPart(name(part))),
            ["uploads"] => Some(Self::Uploads),
            ["uploads", id] if !id.is_empty() => Some(Self::UploadInParts(name(id))),
            ["ws", socket] => Socket::of(socket).map(Self::Socket),
            _ => None,
        })
    }

    /// The route without what varies in it, as the API's description, metrics and traces name it.
    fn template(&self) -> &'static str {
        match self {
            Self::Page(_) => "/ui/{name}",
            Self::Health => "/health",
            Self::Live => "/health/live",
            Self::Ready => "/health/ready",
            Self::Metrics => "/metrics",
            Self::Me => "/auth/me",
            Self::Status => "/status",
            Self::Config => "/config",
            Self::Backup => "/backup",
            Self::Upload => "/documents/upload",
            Self::Documents => "/documents",
            Self::Document(_) => "/documents/{id}",
            Self::Chunks(_) => "/documents/{id}/chunks",
            Self::Text(_) => "/documents/{id}/text",
            Self::File(_) => "/documents/{id}/file",
            Self::Query => "/query",
            Self::QueryStream => "/query/stream",
            Self::Search => "/search",
            Self::Similar => "/search/similar",
            Self::Analyze => "/analyze",
            Self::Collections => "/collections",
            Self::Collection(_) => "/collections/{name}",
            Self::CollectionInfo(_) => "/collections/{name}/info",
            Self::CollectionPlace(_) => "/collections/{name}/index",
            Self::CollectionPipeline(_) => "/collections/{name}/pipeline",
            Self::Reindex(_) => "/collections/{name}/reindex",
            Self::PipelineSchema => "/pipelines/schema",
            Self::PipelineCheck => "/pipelines/validate",
            Self::Plugins => "/plugins",
            Self::Plugin(_) => "/plugins/{name}",
            Self::PluginLog(_) => "/plugins/{name}/log",
            Self::PluginTrial(_) => "/plugins/{name}/try",
            Self::Embeddings => "/v1/embeddings",
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Models => "/v1/models",
            Self::Model(_) => "/v1/models/{id}",
            Self::Mcp => "/mcp",
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
            Self::DocsPart(_) => "/docs/{name}",
            Self::Uploads => "/uploads",
            Self::UploadInParts(_) => "/uploads/{id}",
            Self::Socket(socket) => socket.path(),
        }
    }

    /// The methods that it has, as `Allow` lists them.
    fn allow(&self) -> &'static str {
        match self {
            Self::Document(_) | Self::Collection(_) | Self::Plugin(_) => "GET, HEAD, DELETE, OPTIONS",
            Self::Reindex(_) => "POST, DELETE, OPTIONS",
            Self::Collections | Self::Plugins => "GET, HEAD, POST, OPTIONS",
            Self::CollectionPipeline(_) | Self::CollectionPlace(_) | Self::Config => "GET, HEAD, PUT, OPTIONS",
            Self::Upload | Self::Query | Self::QueryStream | Self::Search | Self::Similar | Self::Analyze => "POST, OPTIONS",
            Self::Embeddings | Self::ChatCompletions | Self::Mcp | Self::PipelineCheck | Self::PluginTrial(_) => "POST, OPTIONS",
            Self::Socket(_) | Self::PluginLog(_) | Self::Backup => "GET, OPTIONS",
            Self::Uploads => tus::ALL,
            Self::UploadInParts(_) => tus::ONE,
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// The scope without which nothing is done here, whatever the collection; `None` where everybody may ask.
    fn scope(&self, method: &Method) -> Option<Scope> {
        let (deletes, posts) = (method == Method::DELETE, method == Method::POST);
        match self {
            Self::Page(_)
            | Self::Health
            | Self::Live
            | Self::Ready
            | Self::OpenApi
            | Self::PipelineSchema
            | Self::Docs
            | Self::DocsPart(_) => None,
            // Whoever it is: the handler asks that it is anybody.
            Self::Me => None,
            // A socket says itself why it does not let in, in a message.
            Self::Socket(_) => None,
            Self::Plugins | Self::Plugin(_) | Self::PluginLog(_) | Self::PluginTrial(_) | Self::Config => Some(Scope::Config),
            Self::Backup => Some(Scope::Admin),
            Self::Metrics => Some(Scope::Monitor),
            Self::CollectionPipeline(_) if method == Method::PUT => Some(Scope::Config),
            Self::CollectionPlace(_) if method == Method::PUT => Some(Scope::Admin),
            Self::Reindex(_) => Some(Scope::Config),
            Self::Document(_) | Self::Collection(_) if deletes => Some(Scope::Delete),
            Self::Upload | Self::Uploads | Self::UploadInParts(_) => Some(Scope::Write),
            Self::Collections | Self::PipelineCheck if posts => Some(Scope::Write),
            _ => Some(Scope::Read),
        }
    }

    /// What a request counts as; `None` for what costs nothing and must always be answered.
    fn budget(&self, method: &Method) -> Option<Budget> {
        match self {
            Self::Page(_) | Self::Health | Self::Live | Self::Ready => None,
            Self::Query | Self::QueryStream | Self::Search | Self::Similar | Self::Analyze if method == Method::POST => Some(Budget::Query),
            Self::Embeddings | Self::ChatCompletions | Self::Mcp if method == Method::POST => Some(Budget::Query),
            Self::Upload | Self::Uploads if method == Method::POST => Some(Budget::Upload),
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
    // What tus answers to it says more.
    if method == Method::OPTIONS && !matches!(route, Route::Uploads | Route::UploadInParts(_)) {
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
    if *method != Method::OPTIONS
        && let Some(scope) = route.scope(method)
    {
        call.known()?;
        call.subject.require(scope)?;
    }
    let (deletes, puts) = (*method == Method::DELETE, *method == Method::PUT);
    match route {
        Route::Page(name) => page::get(call, &name),
        Route::Health => health::report(call).await,
        Route::Live => Ok(health::live()),
        Route::Ready => health::ready(call).await,
        Route::Metrics => metrics::get(call).await,
        Route::Status => status::get(call).await,
        Route::Config if puts => config::change(call).await,
        Route::Config => config::show(call),
        Route::Backup => backup::get(call).await,
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
        Route::Similar => query::similar(call).await,
        Route::Analyze => query::analyze(call).await,
        Route::Collections if *method == Method::POST => collections::create(call).await,
        Route::Collections => collections::list(call).await,
        Route::Collection(name) if deletes => collections::delete(call, name).await,
        Route::Collection(name) | Route::CollectionInfo(name) => collections::get(call, &name).await,
        Route::CollectionPlace(name) if puts => collections::move_to(call, name).await,
        Route::CollectionPlace(name) => collections::place(call, &name).await,
        Route::CollectionPipeline(name) if puts => collections::set_pipeline(call, name).await,
        Route::CollectionPipeline(name) => collections::pipeline(call, &name).await,
        Route::Reindex(name) if deletes => collections::cancel_reindex(call, name).await,
        Route::Reindex(name) => collections::reindex(call, name).await,
        Route::PipelineSchema => Ok(collections::pipeline_schema()),
        Route::PipelineCheck => collections::validate_pipeline(call).await,
        Route::Plugins if *method == Method::POST => plugins::install(call).await,
        Route::Plugins => plugins::list(call).await,
        Route::Plugin(name) if deletes => plugins::remove(call, name).await,
        Route::Plugin(name) => plugins::get(call, &name).await,
        Route::PluginLog(name) => plugins::log(call, &name).await,
        Route::PluginTrial(name) => plugins::try_out(call, &name).await,
        Route::Me => me::get(call),
        Route::Embeddings => openai::embed(call).await,
        Route::ChatCompletions => openai::complete(call).await,
        Route::Models => openai::list(call).await,
        Route::Model(id) => openai::get(call, &id).await,
        Route::Mcp => mcp::message(call).await,
        Route::OpenApi => Ok(openapi::get(call)),
        Route::Docs => docs::page(call),
        Route::DocsPart(name) => docs::part(call, &name),
        Route::Uploads => tus::answer(call, None).await,
        Route::UploadInParts(id) => tus::answer(call, Some(&id)).await,
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

    /// The route after another, in any order: so that one that is new cannot be left out of the test below.
    fn after(route: &Route) -> Option<Route> {
        let x = "x".to_owned();
        Some(match route {
            Route::Health => Route::Live,
            Route::Live => Route::Ready,
            Route::Ready => Route::Metrics,
            Route::Metrics => Route::Status,
            Route::Status => Route::Config,
            Route::Config => Route::Backup,
            Route::Backup => Route::Upload,
            Route::Upload => Route::Documents,
            Route::Documents => Route::Document(x),
            Route::Document(_) => Route::Chunks(x),
            Route::Chunks(_) => Route::Text(x),
            Route::Text(_) => Route::File(x),
            Route::File(_) => Route::Query,
            Route::Query => Route::QueryStream,
            Route::QueryStream => Route::Search,
            Route::Search => Route::Similar,
            Route::Similar => Route::Analyze,
            Route::Analyze => Route::Collections,
            Route::Collections => Route::Collection(x),
            Route::Collection(_) => Route::CollectionInfo(x),
            Route::CollectionInfo(_) => Route::CollectionPlace(x),
            Route::CollectionPlace(_) => Route::CollectionPipeline(x),
            Route::CollectionPipeline(_) => Route::Reindex(x),
            Route::Reindex(_) => Route::PipelineSchema,
            Route::PipelineSchema => Route::PipelineCheck,
            Route::PipelineCheck => Route::Plugins,
            Route::Plugins => Route::Plugin(x),
            Route::Plugin(_) => Route::PluginLog(x),
            Route::PluginLog(_) => Route::PluginTrial(x),
            Route::PluginTrial(_) => Route::Me,
            Route::Me => Route::Embeddings,
            Route::Embeddings => Route::ChatCompletions,
            Route::ChatCompletions => Route::Models,
            Route::Models => Route::Model(x),
            Route::Model(_) => Route::Mcp,
            Route::Mcp => Route::OpenApi,
            Route::OpenApi => Route::Docs,
            Route::Docs => Route::DocsPart(x),
            Route::DocsPart(_) => Route::Page(x),
            Route::Page(_) => Route::Uploads,
            Route::Uploads => Route::UploadInParts(x),
            Route::UploadInParts(_) => Route::Socket(Socket::Query),
            Route::Socket(Socket::Query) => Route::Socket(Socket::Upload),
            Route::Socket(Socket::Upload) => Route::Socket(Socket::Collections),
            Route::Socket(Socket::Collections) => Route::Socket(Socket::Monitor),
            Route::Socket(Socket::Monitor) => return None,
        })
    }

    #[test]
    fn the_router_and_the_openapi_document_name_the_same_paths_and_methods() {
        let document = serde_json::to_value(openapi::document()).expect("JSON");
        let mut documented = document["paths"].as_object().expect("paths").clone();
        for route in std::iter::successors(Some(Route::Health), after) {
            let template = route.template();
            let path = template.replace("{id}", "x").replace("{name}", "x");
            assert_eq!(Route::of(&path), Ok(Some(route.clone())), "{template}");
            let operations = documented
                .remove(template)
                .unwrap_or_else(|| panic!("{template} is not documented"));
            let mut methods: Vec<String> = operations
                .as_object()
                .expect("operations")
                .keys()
                .map(|key| key.to_uppercase())
                .collect();
            methods.sort();
            // Every path has OPTIONS, every path with GET has HEAD (but for those that never end): the document says so once.
            let mut allowed: Vec<&str> = route
                .allow()
                .split(", ")
                .filter(|method| !matches!(*method, "HEAD" | "OPTIONS"))
                .collect();
            allowed.sort_unstable();
            assert_eq!(methods, allowed, "{template}");
            for method in allowed {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let operation = &operations[method.as_str().to_lowercase()];
                let scope = operation["security"][0]["bearer"][0].as_str();
                assert_eq!(scope, route.scope(&method).map(Scope::name), "{method} {template}");
            }
        }
        assert!(
            documented.is_empty(),
            "there is no route for {:?}",
            documented.keys().collect::<Vec<_>>()
        );
    }

    #[test]
    fn routes() {
        let route = |path| Route::of(path).expect("UTF-8");
        assert_eq!(route("/health"), Some(Route::Health));
        assert_eq!(route("/api/v1/health/"), Some(Route::Health));
        assert_eq!(route("/documents/upload"), Some(Route::Upload));
        assert_eq!(route("/documents/a%20b/text"), Some(Route::Text("a b".into())));
        assert_eq!(route("/documents/a%2Fb"), Some(Route::Document("a/b".into())));
        assert_eq!(route("/api/v1/collections/x/info"), Some(Route::CollectionInfo("x".into())));
        assert_eq!(route("/uploads/"), Some(Route::Uploads));
        assert_eq!(route("/api/v1/uploads/a"), Some(Route::UploadInParts("a".into())));
        assert_eq!(route("/plugins/x/log"), Some(Route::PluginLog("x".into())));
        assert_eq!(route("/plugins/x/try"), Some(Route::PluginTrial("x".into())));
        assert_eq!(route("/"), Some(Route::Page("index.html".into())));
        assert_eq!(route("/ui/app.js"), Some(Route::Page("app.js".into())));
        for nothing in [
            "/plugins//log",
            "/ui",
            "/ui/",
            "/ui/x/y",
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
