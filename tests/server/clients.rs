//! Other people's clients: the official `openai` and MCP packages, and schemathesis, which tries whatever the OpenAPI document says.

use crate::support::files::{self, PAGES, QUESTIONS};
use crate::support::python::{python, succeeded};
use crate::support::{Server, within};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// How long schemathesis may try: on a busy machine it has tried less, but enough.
const TRYING: Duration = Duration::from_secs(600);

/// What no answer may do.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance";

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name)
}

async fn run(server: &Server, name: &str) {
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let mut command = python().await;
    command.arg(script(name)).args([server.url(), QUESTIONS[1].0, PAGES[1][0]]);
    let output = within(name, command.output()).await.expect("python3");
    succeeded(name, &output);
}

#[tokio::test]
async fn the_openai_package_asks_embeds_and_keeps_the_citations() {
    run(&Server::start("openai", &[]), "openai_client.py").await;
}

#[tokio::test]
async fn the_mcp_package_lists_tools_and_calls_them() {
    run(&Server::start("mcp", &[]), "mcp_client.py").await;
}

#[tokio::test]
async fn schemathesis_finds_no_server_error_and_no_answer_that_breaks_the_schema() {
    let server = Server::start("schemathesis", &["query.timeout_seconds=30"]);
    let api = server.api();
    let document = api.ingest("documents", &files::report("report.pdf")).await["document_id"].clone();
    api.post("/collections", json!({ "name": "other" })).await.expect(201);
    // So that not every path ends in 404.
    let config = tempfile::tempdir().expect("a directory");
    let names = [
        ("^/documents/\\\\{id", "id", document.as_str().expect("an id")),
        ("^/collections/\\\\{name", "name", "documents"),
        ("^/plugins/\\\\{name", "name", "rules"),
        ("^/v1/models/", "id", "documents"),
    ]
    .map(|(path, parameter, value)| {
        format!("[[operations]]\ninclude-path-regex = \"{path}\"\nparameters = {{ \"path.{parameter}\" = \"{value}\" }}\n")
    });
    let file = config.path().join("schemathesis.toml");
    std::fs::write(&file, names.concat()).expect("writing");
    // What is deleted is wanted by the others.
    for (methods, least) in [(["--exclude-method", "DELETE"], 30), (["--include-method", "DELETE"], 3)] {
        let tried = try_all(&server, &file, methods).await;
        assert!(tried >= least, "only {tried} operations were tried");
    }
}

/// Has schemathesis try the operations of these methods, the same way each time; returns how many it tried.
async fn try_all(server: &Server, config: &Path, methods: [&str; 2]) -> usize {
    let mut command = python().await;
    command
        .current_dir(config.parent().expect("a directory"))
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(config)
        .args(["run", &format!("{}/openapi.json", server.url())])
        .args([
            "--generation-deterministic",
            "--phases",
            "coverage,fuzzing",
            "--mode",
            "all",
            "--max-examples",
            "8",
        ])
        .args(["--checks", CHECKS])
        // One that never ends, and tus, for whose media type it has no serializer (its tests are in `tus.rs`).
        .args([
            "--exclude-path",
            "/plugins/{name}/log",
            "--exclude-path",
            "/uploads",
            "--exclude-path",
            "/uploads/{id}",
        ])
        .args(["--no-shrink", "--request-timeout", "60"])
        .args(["--suppress-health-check", "all"])
        .args(methods);
    let output = tokio::time::timeout(TRYING, command.output()).await;
    let output = output.expect("an end in time").expect("python3");
    succeeded("schemathesis", &output);
    // A run that tried nothing would be content, too.
    let said = String::from_utf8_lossy(&output.stdout);
    let tried = said.split_once("Tested:").and_then(|(_, rest)| rest.split_whitespace().next());
    tried.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

#[tokio::test]
async fn the_api_describes_itself_and_the_page_reads_it_without_anybody_else() {
    let api = Server::shared().api();
    for path in ["/openapi.json", "/api/v1/openapi.json"] {
        let document = api.get(path).await.expect(200);
        assert!(
            document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")),
            "{}",
            document["openapi"]
        );
        assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
        assert_eq!(document["components"]["securitySchemes"]["api_key"]["name"], "X-API-Key");
        let limit = &document["components"]["schemas"]["SearchRequest"]["properties"]["limit"];
        assert_eq!((&limit["minimum"], &limit["maximum"]), (&json!(1), &json!(100)));
        // Every reference leads somewhere.
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(references.len() > 100);
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }
    let page = api.get("/docs").await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    for (path, content_type) in [
        ("/docs", "text/html"),
        ("/docs/docs.js", "text/javascript"),
        ("/docs/docs.css", "text/css"),
    ] {
        let part = api.get(path).await;
        assert_eq!(part.status.as_u16(), 200, "{path}");
        assert!(part.header("content-type").starts_with(content_type), "{path}");
        let policy = part.header("content-security-policy").to_owned();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
        assert!(!part.text().contains("://"), "{path} names another server");
    }
    api.get("/docs/other.js").await.error(404, "RESOURCE_NOT_FOUND");
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| match value.as_str() {
            Some(to) if key == "$ref" => references.push(to.to_owned()),
            _ => collect(value, references),
        }),
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[tokio::test]
async fn a_chat_is_cancelled_when_its_client_leaves() {
    let server = Server::start("chat-leaves", &["query.max_concurrent=1"]);
    let api = server.api();
    api.ingest("documents", &files::report("report.pdf")).await;
    let chat = json!({ "model": "documents", "stream": true, "messages": [{ "role": "user", "content": QUESTIONS[1].0 }] });
    for _ in 0..5 {
        let request = api.request(Method::POST, "/v1/chat/completions").json(&chat);
        let mut reply = request.send().await.expect("an answer");
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        let first = within("the first piece", reply.chunk()).await.expect("bytes").expect("a piece");
        assert!(first.starts_with(b"data: {"));
        drop(reply);
    }
    // The one place for queries is free again.
    assert!(!api.search(json!({ "query": "turbines" })).await.is_empty());
}

#[tokio::test]
async fn messages_of_mcp_that_are_none_are_refused_in_the_usual_shape() {
    let api = Server::shared().api();
    let post = |body: &'static str, accept: &'static str| {
        let request = api.request(Method::POST, "/mcp").header("accept", accept);
        api.send(request.header("content-type", "application/json").body(body))
    };
    let both = "application/json, text/event-stream";
    post(r#"{"jsonrpc": "2.0", "id": 1, "method": "ping"}"#, both).await.expect(200);
    assert_eq!(
        post(r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#, both)
            .await
            .status
            .as_u16(),
        202
    );
    post(r#"{"jsonrpc": "2.0", "id": 1, "method": "ping"}"#, "application/json")
        .await
        .error(406, "INVALID_MESSAGE");
    api.get("/mcp").await.error(405, "METHOD_NOT_ALLOWED");
    let form = api.request(Method::POST, "/mcp").header("content-type", "text/csv").body("a,b");
    api.send(form).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
    let unknown = post(r#"{"jsonrpc": "2.0", "id": 7, "method": "tools/destroy"}"#, both).await;
    assert_eq!(unknown.json()["error"]["code"], -32601, "{}", unknown.text());
}
