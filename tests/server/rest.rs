//! What holds of every path: errors, request ids, health, and the search.

use crate::support::files::{self, File, QUESTIONS};
use crate::support::{Is, Server, has};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn an_error_has_one_shape_and_names_the_request() {
    let api = Server::shared().api();
    for (method, path, status, code) in [
        (Method::GET, "/nothing/here", 404, "RESOURCE_NOT_FOUND"),
        (Method::GET, "/documents/doc_none", 404, "RESOURCE_NOT_FOUND"),
        (Method::GET, "/documents/doc_none/text", 404, "RESOURCE_NOT_FOUND"),
        (Method::GET, "/documents/doc_none/file", 404, "RESOURCE_NOT_FOUND"),
        (Method::GET, "/documents/doc_none/chunks", 404, "RESOURCE_NOT_FOUND"),
        (Method::DELETE, "/documents/doc_none", 404, "RESOURCE_NOT_FOUND"),
        (Method::GET, "/collections/none/info", 404, "COLLECTION_NOT_FOUND"),
        (Method::GET, "/documents?collection_name=none", 404, "COLLECTION_NOT_FOUND"),
        (Method::DELETE, "/collections/none?confirm=true", 404, "COLLECTION_NOT_FOUND"),
        (Method::PUT, "/documents", 405, "METHOD_NOT_ALLOWED"),
        (Method::GET, "/query", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let request = api.request(method.clone(), path).header("x-request-id", "mine-7");
        let error = api.send(request).await.error(status, code);
        assert_eq!(
            (&error["request_id"], &error["method"]),
            (&json!("mine-7"), &json!(method.as_str()))
        );
        assert_eq!(error["path"], path.split('?').next().unwrap_or_default());
    }
    assert!(
        api.request(Method::PUT, "/documents")
            .send()
            .await
            .expect("an answer")
            .headers()
            .contains_key("allow")
    );
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own_unless_it_was_given_one() {
    let api = Server::shared().api();
    let (one, other) = (api.get("/health").await, api.get("/health").await);
    assert!(!one.header("x-request-id").is_empty() && one.header("x-request-id") != other.header("x-request-id"));
    let given = api.send(api.request(Method::GET, "/health").header("x-request-id", "abc")).await;
    assert_eq!(given.header("x-request-id"), "abc");
    let too_long = api
        .send(api.request(Method::GET, "/health").header("x-request-id", "x".repeat(500)))
        .await;
    assert!(too_long.header("x-request-id").len() <= 128);
}

#[tokio::test]
async fn health_tells_of_every_service() {
    let api = Server::shared().api();
    for path in ["/health", "/api/v1/health"] {
        let health = api.get(path).await.expect(200);
        has(
            &health,
            &[
                ("status", Is::Text),
                ("timestamp", Is::Time),
                ("version", Is::Text),
                ("services", Is::Object),
            ],
        );
        assert_eq!(health["status"], "healthy", "{health}");
        for service in ["vector_db", "embedding_service", "llm_service"] {
            has(&health["services"][service], &[("status", Is::Text), ("response_time", Is::Number)]);
        }
    }
    api.get("/health/live").await.expect(200);
    api.get("/health/ready").await.expect(200);
}

#[tokio::test]
async fn bodies_that_are_wrong_are_told_apart() {
    let api = Server::shared().api();
    for path in ["/query", "/search"] {
        let post = |body: &'static str| {
            api.request(Method::POST, path)
                .header("content-type", "application/json")
                .body(body)
        };
        api.send(post("{\"query\": ")).await.error(400, "INVALID_MESSAGE");
        api.send(post("")).await.error(400, "INVALID_MESSAGE");
        api.send(post("[]")).await.error(400, "INVALID_MESSAGE");
        let form = api.request(Method::POST, path).header("content-type", "text/csv").body("a,b");
        api.send(form).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
        let missing = api.post(path, json!({})).await.error(400, "VALIDATION_ERROR");
        assert_eq!(missing["details"]["field"], "query", "{missing}");
        let long = api
            .post(path, json!({ "query": "x".repeat(8_193) }))
            .await
            .error(400, "VALIDATION_ERROR");
        assert_eq!(long["details"]["field"], "query");
        api.post(path, json!({ "query": "?", "collection_name": "rest-none" }))
            .await
            .error(404, "COLLECTION_NOT_FOUND");
        let large = api
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body(vec![b' '; (1 << 20) + 1]);
        api.send(large).await.error(413, "PAYLOAD_TOO_LARGE");
    }
    for (body, field) in [
        (json!({ "query": "?", "limit": 0 }), "limit"),
        (json!({ "query": "?", "limit": 101 }), "limit"),
        (json!({ "query": "?", "offset": 1_001 }), "offset"),
        (json!({ "query": "?", "search_type": "fuzzy" }), "search_type"),
        (json!({ "query": "?", "score_threshold": 2 }), "score_threshold"),
        (json!({ "query": "?", "relative_threshold": 1.5 }), "relative_threshold"),
    ] {
        assert_eq!(
            api.post("/search", body).await.error(400, "VALIDATION_ERROR")["details"]["field"],
            field
        );
    }
}

#[tokio::test]
async fn post_query_answers_with_sources() {
    let api = Server::shared().api();
    api.ingest("rest-query", &files::report("report.pdf")).await;
    let answer = api
        .post("/api/v1/query", json!({ "query": QUESTIONS[3].0, "collection_name": "rest-query" }))
        .await
        .expect(200);
    has(
        &answer,
        &[
            ("query_id", Is::Text),
            ("response", Is::Text),
            ("sources", Is::Array),
            ("query_analysis", Is::Object),
            ("processing_metadata", Is::Object),
        ],
    );
    let source = &answer["sources"][0];
    has(
        source,
        &[
            ("citation_id", Is::Count),
            ("content", Is::Text),
            ("confidence", Is::Share),
            ("formatted", Is::Text),
            ("metadata", Is::Object),
        ],
    );
    assert_eq!(
        (&source["metadata"]["source"], &source["metadata"]["page"]),
        (&json!("report.pdf"), &json!(4))
    );
    has(
        &answer["processing_metadata"],
        &[
            ("total_time", Is::Number),
            ("tokens_generated", Is::Count),
            ("sources_used", Is::Count),
            ("processing_mode", Is::Text),
            ("timings", Is::Object),
        ],
    );
    let made_by = &answer["processing_metadata"]["pipeline"];
    assert!(
        made_by["plugins"]["chunker"]["digest"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:")),
        "what made the answer is told: {made_by}"
    );
}

#[tokio::test]
async fn search_finds_passages_by_meaning_by_words_and_by_both() {
    let api = Server::shared().api();
    let document = api.ingest("rest-search", &files::volume(1, 60)).await;
    api.ingest(
        "rest-search",
        &File::new("plural.txt", "Part XK-4711 is obsolete. Felines sleep most of the day."),
    )
    .await;
    for (search_type, query) in [
        ("semantic", "cats spend their time dozing"),
        ("keyword", "XK-4711"),
        ("hybrid", "part XK-4711"),
    ] {
        let request = json!({ "query": query, "collection_name": "rest-search", "search_type": search_type, "limit": 3 });
        let body = api.post("/search", request).await.expect(200);
        has(
            &body,
            &[
                ("results", Is::Array),
                ("total_results", Is::Count),
                ("search_type", Is::Text),
                ("processing_mode", Is::Text),
                ("processing_time", Is::Number),
            ],
        );
        let hits = body["results"].as_array().expect("results");
        assert_eq!(
            (body["total_results"].as_u64(), &body["search_type"]),
            (Some(hits.len() as u64), &json!(search_type))
        );
        assert_eq!(hits[0]["metadata"]["source"], "plural.txt", "{search_type}: {body}");
        for (n, hit) in hits.iter().enumerate() {
            has(
                hit,
                &[
                    ("content", Is::Text),
                    ("metadata", Is::Object),
                    ("relevance_score", Is::Share),
                    ("rank", Is::Count),
                ],
            );
            let at = &hit["metadata"];
            has(
                at,
                &[
                    ("document_id", Is::Text),
                    ("chunk_id", Is::Text),
                    ("chunk_index", Is::Count),
                    ("source", Is::Text),
                    ("start_char", Is::Count),
                    ("end_char", Is::Count),
                    ("section", Is::Texts),
                    ("document", Is::Object),
                ],
            );
            assert_eq!(hit["rank"], n + 1);
            let range = format!("?start={}&end={}", at["start_char"], at["end_char"]);
            assert_eq!(
                api.text(at["document_id"].as_str().expect("an id"), &range).await,
                hit["content"].as_str().expect("text")
            );
        }
        assert!(
            hits.windows(2)
                .all(|pair| pair[0]["relevance_score"].as_f64() >= pair[1]["relevance_score"].as_f64()),
            "not by relevance: {body}"
        );
    }
    // Pages of results follow one another.
    let page = async |offset: u32, limit: u32| {
        let filters = json!({ "document_ids": [document["document_id"]] });
        let request = json!({ "query": "a lantern", "collection_name": "rest-search", "offset": offset, "limit": limit, "filters": filters, "relative_threshold": 0 });
        api.search(request)
            .await
            .iter()
            .map(|hit| (hit["rank"].clone(), hit["metadata"]["chunk_id"].clone()))
            .collect::<Vec<_>>()
    };
    let all = page(0, 4).await;
    assert_eq!(all.len(), 4);
    assert_eq!([page(0, 2).await, page(2, 2).await].concat(), all);
}

#[tokio::test]
async fn the_same_search_gives_the_same_results() {
    let api = Server::shared().api();
    api.ingest("rest-same", &files::volume(2, 40)).await;
    let request = json!({ "query": "who keeps the sextant?", "collection_name": "rest-same", "limit": 5 });
    let first = api.search(request.clone()).await;
    for _ in 0..3 {
        assert_eq!(api.search(request.clone()).await, first);
    }
}
