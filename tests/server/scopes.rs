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

/// A request that changes nothing, and who may send it.
struct Entry {
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
    let get = |path, needs| Entry {
        method: Method::GET,
        path,
        body: None,
        needs,
    };
    let with = |method, path, body, needs| Entry { method, path, body, needs };
    let question = || Some(json!({ "query": "?", "collection_name": "no-such" }));
    vec![
        get("/", Needs::Nothing),
        get("/ui/style.css", Needs::Nothing),
        get("/health", Needs::Nothing),
        get("/health/live", Needs::Nothing),
        get("/health/ready", Needs::Nothing),
        get("/metrics", Needs::Scope(&["monitor"])),
        get("/", Needs::Nothing),
        get("/openapi.json", Needs::Nothing),
        get("/docs", Needs::Nothing),
        get("/docs/docs.js", Needs::Nothing),
        get("/auth/me", Needs::Credentials),
        get("/status", READ),
        get("/config", CONFIG),
        with(Method::PUT, "/config", Some(json!({})), CONFIG),
        get("/backup", ADMIN),
        with(Method::POST, "/documents/upload", None, WRITE),
        get("/documents", READ),
        get("/documents/no-such", READ),
        with(Method::DELETE, "/documents/no-such", None, DELETE),
        get("/documents/no-such/chunks", READ),
        get("/documents/no-such/text", READ),
        get("/documents/no-such/file", READ),
        with(Method::POST, "/query", question(), READ),
        with(Method::POST, "/query/stream", question(), READ),
        with(Method::POST, "/search", question(), READ),
        with(Method::POST, "/search/similar", Some(json!({ "document_id": "no-such" })), READ),
        with(Method::POST, "/analyze", question(), READ),
        with(
            Method::POST,
            "/v1/embeddings",
            Some(json!({ "model": "no-such", "input": "?" })),
            READ,
        ),
        with(
            Method::POST,
            "/v1/chat/completions",
            Some(json!({ "model": "no-such", "messages": [{ "role": "user", "content": "?" }] })),
            READ,
        ),
        get("/v1/models", READ),
        get("/v1/models/no-such", READ),
        with(
            Method::POST,
            "/mcp",
            Some(json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })),
            READ,
        ),
        with(Method::POST, "/uploads", None, WRITE),
        get("/uploads/no-such", WRITE),
        with(Method::POST, "/uploads/no-such", None, WRITE),
        with(Method::PATCH, "/uploads/no-such", None, WRITE),
        with(Method::DELETE, "/uploads/no-such", None, WRITE),
        get("/collections", READ),
        with(Method::POST, "/collections", Some(json!({ "name": "not a name" })), WRITE),
        get("/collections/no-such", READ),
        with(Method::DELETE, "/collections/no-such?confirm=true", None, DELETE),
        get("/collections/no-such/info", READ),
        get("/collections/no-such/index", READ),
        with(
            Method::PUT,
            "/collections/no-such/index",
            Some(json!({ "index": "embedded" })),
            ADMIN,
        ),
        with(Method::POST, "/collections/no-such/reindex", None, CONFIG),
        with(Method::DELETE, "/collections/no-such/reindex", None, CONFIG),
        get("/pipelines/schema", Needs::Nothing),
        with(Method::POST, "/pipelines/validate", Some(json!({})), WRITE),
        get("/collections/no-such/pipeline", READ),
        with(Method::PUT, "/collections/no-such/pipeline", Some(json!({})), CONFIG),
        get("/plugins", CONFIG),
        with(Method::POST, "/plugins", None, CONFIG),
        get("/plugins/no-such", CONFIG),
        with(Method::DELETE, "/plugins/no-such", None, CONFIG),
        with(Method::POST, "/plugins/no-such/try", Some(json!({ "text": "?" })), CONFIG),
        get("/plugins/no-such/log", CONFIG),
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

/// The methods and the path of each endpoint but the sockets, from the list that the server's own tests compare with what it routes.
fn endpoints() -> Vec<(String, String)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/server/src/http/router/endpoints.txt");
    let text = std::fs::read_to_string(file).expect("the list");
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .filter(|(_, path)| !path.starts_with("/ws/"))
        .collect()
}

/// Whether a path, with or without a query, is one of a template's.
fn fits(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}

/// Whether two paths are of one template. `/` is the page, which has a template of its own.
fn same_endpoint(endpoints: &[(String, String)], one: &str, other: &str) -> bool {
    one == other || endpoints.iter().any(|(_, template)| fits(template, one) && fits(template, other))
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
    let table = table();
    let endpoints = endpoints();
    assert!(endpoints.len() > 40, "the endpoints were found: {endpoints:?}");
    for (methods, template) in &endpoints {
        for method in methods.split('+').filter(|method| !matches!(*method, "HEAD" | "OPTIONS")) {
            let listed = |entry: &Entry| entry.method.as_str() == method && fits(template, entry.path);
            assert!(
                table.iter().any(listed),
                "{method} {template} has no entry in this table, which says who may use it"
            );
        }
    }
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
                    .any(|other| other.method.as_str() == method && same_endpoint(&endpoints, path, other.path)),
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
