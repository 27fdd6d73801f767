use super::*;
use crate::http::openapi;
use crate::limits::Budget;
use ibid_auth::Scope;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The template and the parameter of a path; `None` if it has no endpoint.
fn found(path: &str) -> Option<(&'static str, String)> {
    let matched = ROUTES.find(path).expect("UTF-8")?;
    Some((matched.path.template, matched.parameter))
}

fn budget(budget: Option<Budget>) -> &'static str {
    match budget {
        None => "free",
        Some(Budget::Request) => "request",
        Some(Budget::Query) => "query",
        Some(Budget::Upload) => "upload",
    }
}

#[test]
fn every_endpoint_has_the_scope_and_the_budget_of_this_list() {
    let listed: Vec<String> = endpoint::all()
        .map(|endpoint| {
            let scope = endpoint.scope.map_or("anybody", Scope::name);
            let methods = endpoint.method.methods().join("+");
            format!("{methods} {} {scope} {}", endpoint.path, budget(endpoint.budget))
        })
        .collect();
    let expected: Vec<&str> = include_str!("endpoints.txt").lines().collect();
    assert_eq!(listed, expected, "{}", listed.join("\n"));
}

#[test]
fn no_path_has_a_method_twice() {
    let mut seen = BTreeSet::new();
    for endpoint in endpoint::all() {
        for method in endpoint.method.methods() {
            assert!(seen.insert((endpoint.path, *method)), "{method} {}", endpoint.path);
        }
    }
}

#[test]
fn every_path_is_found_and_has_at_most_one_parameter() {
    for endpoint in endpoint::all() {
        let path = endpoint.path.replace("{id}", "x").replace("{name}", "x");
        assert!(endpoint.path.matches('{').count() <= 1, "{}", endpoint.path);
        assert_eq!(found(&path).map(|(template, _)| template), Some(endpoint.path));
    }
}

#[test]
fn every_endpoint_has_an_operation_with_its_scope() {
    let document = serde_json::to_value(openapi::document()).expect("JSON");
    let mut documented = 0;
    for endpoint in endpoint::all().filter(|endpoint| endpoint.method != Verb::Options) {
        let method = endpoint.method.methods()[0].to_lowercase();
        let operation = &document["paths"][endpoint.path][&method];
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty(), "{method} {} is not described", endpoint.path);
        let scope = operation["security"][0]["bearer"][0].as_str();
        assert_eq!(scope, endpoint.scope.map(Scope::name), "{method} {}", endpoint.path);
        documented += 1;
    }
    let paths = document["paths"].as_object().expect("paths");
    let operations: usize = paths.values().map(|path| path.as_object().expect("operations").len()).sum();
    assert_eq!(operations, documented);
}

#[test]
fn a_method_that_a_path_lacks_is_refused_with_those_that_it_has() {
    for (path, method, allow) in [
        ("/documents/upload", Method::GET, "POST, OPTIONS"),
        ("/documents/x", Method::POST, "GET, HEAD, DELETE, OPTIONS"),
        ("/collections", Method::PUT, "GET, HEAD, POST, OPTIONS"),
        ("/collections/x/pipeline", Method::DELETE, "GET, HEAD, PUT, OPTIONS"),
        ("/collections/x/reindex", Method::GET, "POST, DELETE, OPTIONS"),
        ("/backup", Method::HEAD, "GET, OPTIONS"),
        ("/plugins/x/log", Method::HEAD, "GET, OPTIONS"),
        ("/ws/query", Method::HEAD, "GET, OPTIONS"),
        ("/uploads", Method::GET, "POST, OPTIONS"),
        ("/uploads/x", Method::PUT, "GET, HEAD, PATCH, DELETE, POST, OPTIONS"),
        ("/health", Method::POST, "GET, HEAD, OPTIONS"),
    ] {
        let matched = ROUTES.find(path).expect("UTF-8").expect("an endpoint");
        assert!(matched.path.endpoint(&method).is_none(), "{method} {path}");
        assert_eq!(matched.path.allow(), allow, "{path}");
        let Err(failure) = no_endpoint(matched.path, &method) else {
            panic!("{method} {path} was answered")
        };
        assert_eq!(failure.error().code, ErrorCode::MethodNotAllowed);
        let reply = no_endpoint(matched.path, &Method::OPTIONS).unwrap_or_else(|_| panic!("OPTIONS {path} was refused"));
        assert_eq!(reply.headers()[ALLOW], allow);
    }
}

#[test]
fn head_is_answered_by_the_handler_of_get() {
    let matched = ROUTES.find("/documents").expect("UTF-8").expect("an endpoint");
    let of = |method| matched.path.endpoint(&method).map(|endpoint| endpoint.method);
    assert_eq!(of(Method::HEAD), Some(Verb::Get));
    assert_eq!(of(Method::GET), Some(Verb::Get));
}

#[test]
fn routes() {
    let route = |path| found(path).map(|(template, parameter)| format!("{template} {parameter}"));
    for (path, expected) in [
        ("/health", "/health "),
        ("/api/v1/health/", "/health "),
        ("/documents/upload", "/documents/upload "),
        ("/documents/%75pload", "/documents/upload "),
        ("/documents/upload/text", "/documents/{id}/text upload"),
        ("/documents/a%20b/text", "/documents/{id}/text a b"),
        ("/documents/a%2Fb", "/documents/{id} a/b"),
        ("/documents/a%252Fb", "/documents/{id} a%2Fb"),
        ("/documents/%7Bid%7D", "/documents/{id} {id}"),
        ("/api/v1/collections/x/info", "/collections/{name}/info x"),
        ("/uploads/", "/uploads "),
        ("/api/v1/uploads/a", "/uploads/{id} a"),
        ("/plugins/x/log", "/plugins/{name}/log x"),
        ("/plugins/x/try", "/plugins/{name}/try x"),
        ("/", "/ui/{name} index.html"),
        ("/api/v1/", "/ui/{name} index.html"),
        ("/ui/app.js", "/ui/{name} app.js"),
    ] {
        assert_eq!(route(path).as_deref(), Some(expected), "{path}");
    }
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
        "/documents//",
        "/health/live/now/and/then",
        "/API/v1/health",
    ] {
        assert_eq!(route(nothing), None, "{nothing}");
    }
    assert!(ROUTES.find("/documents/%ff").is_err());
}

proptest! {
    #[test]
    fn any_identifier_arrives_as_it_was(id in "[^/]{1,30}") {
        prop_assume!(id != "upload");
        let path = format!("/documents/{}", percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC));
        prop_assert_eq!(found(&path), Some(("/documents/{id}", id)));
    }

    #[test]
    fn no_path_panics(path in ".{0,80}") {
        let _ = ROUTES.find(&path);
    }
}
