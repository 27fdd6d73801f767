//! Every route and every socket, asked by every kind of subject. A new route that has no entry here fails the test.

use crate::support::tokens::{expired, scoped, server, token};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Needs {
    /// Everybody, without credentials.
    Nothing,
    /// Credentials, whatever they may do.
    Credentials,
    /// One of these scopes; `admin` always does.
    Scope(&'static [&'static str]),
}

/// A route: its name in `src/server/http/router.rs`, a request that changes nothing, and who may send it.
struct Entry {
    route: &'static str,
    method: Method,
    path: &'static str,
    body: Option<Value>,
    needs: Needs,
}

const READ: Needs = Needs::Scope(&["read"]);
const WRITE: Needs = Needs::Scope(&["write"]);
const DELETE: Needs = Needs::Scope(&["delete"]);
const CONFIG: Needs = Needs::Scope(&["config"]);
const ADMIN: Needs = Needs::Scope(&["admin"]);

fn table() -> Vec<Entry> {
    let get = |route, path, needs| Entry {
        route,
        method: Method::GET,
        path,
        body: None,
        needs,
    };
    let with = |route, method, path, body, needs| Entry {
        route,
        method,
        path,
        body,
        needs,
    };
    let question = || Some(json!({ "query": "?", "collection_name": "no-such" }));
    vec![
        get("Page", "/", Needs::Nothing),
        get("Page", "/ui/style.css", Needs::Nothing),
        get("Health", "/health", Needs::Nothing),
        get("Live", "/health/live", Needs::Nothing),
        get("Ready", "/health/ready", Needs::Nothing),
        get("Metrics", "/metrics", Needs::Scope(&["monitor"])),
        get("Page", "/", Needs::Nothing),
        get("OpenApi", "/openapi.json", Needs::Nothing),
        get("Docs", "/docs", Needs::Nothing),
        get("DocsPart", "/docs/docs.js", Needs::Nothing),
        get("Me", "/auth/me", Needs::Credentials),
        get("Status", "/status", READ),
        get("Config", "/config", CONFIG),
        with("Config", Method::PUT, "/config", Some(json!({})), CONFIG),
        get("Backup", "/backup", ADMIN),
        with("Upload", Method::POST, "/documents/upload", None, WRITE),
        get("Documents", "/documents", READ),
        get("Document", "/documents/no-such", READ),
        with("Document", Method::DELETE, "/documents/no-such", None, DELETE),
        get("Chunks", "/documents/no-such/chunks", READ),
        get("Text", "/documents/no-such/text", READ),
        get("File", "/documents/no-such/file", READ),
        with("Query", Method::POST, "/query", question(), READ),
        with("QueryStream", Method::POST, "/query/stream", question(), READ),
        with("Search", Method::POST, "/search", question(), READ),
        with(
            "Similar",
            Method::POST,
            "/search/similar",
            Some(json!({ "document_id": "no-such" })),
            READ,
        ),
        with("Analyze", Method::POST, "/analyze", question(), READ),
        with(
            "Embeddings",
            Method::POST,
            "/v1/embeddings",
            Some(json!({ "model": "no-such", "input": "?" })),
            READ,
        ),
        with(
            "ChatCompletions",
            Method::POST,
            "/v1/chat/completions",
            Some(json!({ "model": "no-such", "messages": [{ "role": "user", "content": "?" }] })),
            READ,
        ),
        get("Models", "/v1/models", READ),
        get("Model", "/v1/models/no-such", READ),
        with(
            "Mcp",
            Method::POST,
            "/mcp",
            Some(json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })),
            READ,
        ),
        with("Uploads", Method::POST, "/uploads", None, WRITE),
        get("UploadInParts", "/uploads/no-such", WRITE),
        with("UploadInParts", Method::POST, "/uploads/no-such", None, WRITE),
        with("UploadInParts", Method::PATCH, "/uploads/no-such", None, WRITE),
        with("UploadInParts", Method::DELETE, "/uploads/no-such", None, WRITE),
        get("Collections", "/collections", READ),
        with(
            "Collections",
            Method::POST,
            "/collections",
            Some(json!({ "name": "not a name" })),
            WRITE,
        ),
        get("Collection", "/collections/no-such", READ),
        with("Collection", Method::DELETE, "/collections/no-such?confirm=true", None, DELETE),
        get("CollectionInfo", "/collections/no-such/info", READ),
        get("CollectionPlace", "/collections/no-such/index", READ),
        with(
            "CollectionPlace",
            Method::PUT,
            "/collections/no-such/index",
            Some(json!({ "index": "embedded" })),
            ADMIN,
        ),
        with("Reindex", Method::POST, "/collections/no-such/reindex", None, CONFIG),
        with("Reindex", Method::DELETE, "/collections/no-such/reindex", None, CONFIG),
        get("PipelineSchema", "/pipelines/schema", Needs::Nothing),
        with("PipelineCheck", Method::POST, "/pipelines/validate", Some(json!({})), WRITE),
        get("CollectionPipeline", "/collections/no-such/pipeline", READ),
        with(
            "CollectionPipeline",
            Method::PUT,
            "/collections/no-such/pipeline",
            Some(json!({})),
            CONFIG,
        ),
        get("Plugins", "/plugins", CONFIG),
        with("Plugins", Method::POST, "/plugins", None, CONFIG),
        get("Plugin", "/plugins/no-such", CONFIG),
        with("Plugin", Method::DELETE, "/plugins/no-such", None, CONFIG),
        with(
            "PluginTrial",
            Method::POST,
            "/plugins/no-such/try",
            Some(json!({ "text": "?" })),
            CONFIG,
        ),
        get("PluginLog", "/plugins/no-such/log", CONFIG),
    ]
}

/// The sockets, and who may open them.
const SOCKETS: [(&str, &str, Needs); 4] = [
    ("Query", "/ws/query", READ),
    ("Upload", "/ws/upload", READ),
    ("Collections", "/ws/collections", READ),
    ("Monitor", "/ws/monitor", Needs::Scope(&["monitor"])),
];

/// The names of an enum's variants in a source file of the server.
fn variants(file: &str, name: &str) -> BTreeSet<String> {
    let source = std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).expect("the source");
    let body = source.split_once(&format!("enum {name} {{")).expect("the enum").1;
    let body = body.split_once("\n}").expect("its end").0;
    let lines = body.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines
        .filter_map(|line| line.split(['(', ',', ' ', '{']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Credentials, and the scopes that they have; `None`: they are not valid.
fn subjects() -> Vec<(Option<String>, Option<&'static str>)> {
    let mut subjects = vec![(None, None), (Some("garbage".to_owned()), None), (Some(expired()), None)];
    for scope in ["", "read", "write", "delete", "config", "monitor", "admin"] {
        subjects.push((Some(scoped(scope)), Some(scope)));
    }
    subjects.push((Some(token(json!({ "role": "viewer" }))), Some("read")));
    subjects.push((Some(token(json!({ "roles": ["admin"] }))), Some("admin")));
    subjects
}

#[tokio::test]
async fn every_route_asks_for_its_scope_and_no_other() {
    let mut routes = variants("crates/server/src/http/router.rs", "Route");
    assert!(routes.remove("Socket") && routes.len() > 10, "the routes were found: {routes:?}");
    let mut table = table();
    table.retain(|entry| routes.contains(entry.route));
    let named: BTreeSet<String> = table.iter().map(|entry| entry.route.to_owned()).collect();
    assert_eq!(named, routes, "each route has an entry in this table, which says who may use it");
    for entry in &table {
        let path = entry.path.split('?').next().unwrap_or_default();
        // Each method that the server says it has there is in the table as well.
        let options = server().api().send(server().api().request(Method::OPTIONS, path)).await;
        for method in options
            .header("allow")
            .split(", ")
            .filter(|method| !matches!(*method, "HEAD" | "OPTIONS"))
        {
            assert!(
                table
                    .iter()
                    .any(|other| other.route == entry.route && other.method.as_str() == method),
                "{method} {path} has no entry in the table"
            );
        }
        for (token, scope) in subjects() {
            let api = match &token {
                Some(token) => server().api().with_token(token),
                None => server().api(),
            };
            for prefix in ["", "/api/v1"] {
                let request = api.request(entry.method.clone(), &format!("{prefix}{}", entry.path));
                let request = match &entry.body {
                    Some(body) => request.json(body),
                    None => request,
                };
                let status = api.send(request).await.status.as_u16();
                let what = format!("{} {prefix}{} by {scope:?}: {status}", entry.method, entry.path);
                match (entry.needs, scope) {
                    (Needs::Nothing, _) => assert!(status < 300, "{what}"),
                    (_, None) => assert_eq!(status, 401, "{what}"),
                    (Needs::Credentials, Some(_)) => assert!(status < 300, "{what}"),
                    (Needs::Scope(scopes), Some(scope)) if scope == "admin" || scopes.contains(&scope) => {
                        assert!(!matches!(status, 401 | 403 | 500..), "{what}");
                    }
                    (Needs::Scope(_), Some(_)) => assert_eq!(status, 403, "{what}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn every_socket_asks_for_its_scope_and_no_other() {
    let named: BTreeSet<String> = SOCKETS.iter().map(|(name, _, _)| (*name).to_owned()).collect();
    let sockets = variants("crates/server/src/ws/upgrade.rs", "Socket");
    assert!(
        sockets.is_subset(&named) && sockets.len() > 2,
        "each socket has an entry in this table, which says who may open it: {sockets:?}"
    );
    for (_, path, needs) in SOCKETS.into_iter().filter(|(name, _, _)| sockets.contains(*name)) {
        let Needs::Scope(scopes) = needs else {
            panic!("{path} is open to everybody")
        };
        for (token, scope) in subjects() {
            let mut socket = match &token {
                Some(token) => server().socket_with(path, token).await,
                None => server().socket(path).await,
            };
            match (&token, scope) {
                (None, _) => assert_eq!(socket.turned_away().await, "MISSING_TOKEN"),
                (Some(_), None) => assert!(["INVALID_TOKEN", "TOKEN_EXPIRED"].contains(&socket.turned_away().await.as_str())),
                (Some(_), Some(scope)) if scope == "admin" || scopes.contains(&scope) => socket.close().await,
                (Some(_), Some(_)) => assert_eq!(socket.turned_away().await, "INSUFFICIENT_SCOPE"),
            }
        }
    }
}
