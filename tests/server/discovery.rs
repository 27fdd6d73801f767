//! `/analyze` and `/search/similar`.

use crate::support::files::{self, File, QUESTIONS};
use crate::support::{Is, Server, has};
use serde_json::json;

#[tokio::test]
async fn a_question_is_analyzed_without_a_search() {
    let api = Server::shared().api();
    api.ingest("discovery-analyze", &files::report("report.pdf")).await;
    let question = "  Compare the revenue of Acme Corp. in 2022 with that in 2023  ";
    let body = json!({ "query": question, "collection_name": "discovery-analyze", "mode": "comprehensive" });
    let analyzed = api.post("/analyze", body).await.expect(200);
    has(
        &analyzed,
        &[
            ("query", Is::Text),
            ("collection_name", Is::Text),
            ("analyzer", Is::Text),
            ("query_analysis", Is::Object),
            ("searches", Is::Array),
            ("processing_mode", Is::Text),
            ("processing_time", Is::Number),
        ],
    );
    assert_eq!(analyzed["query"], question.trim());
    assert!(
        analyzed["analyzer"].as_str().unwrap_or_default().starts_with("rules@"),
        "{analyzed}"
    );
    assert_eq!(analyzed["query_analysis"]["intent"], "comparative", "{analyzed}");
    assert!(!analyzed["query_analysis"]["entities"].as_array().expect("entities").is_empty());
    let searches = analyzed["searches"].as_array().expect("searches");
    assert!(searches.len() > 1, "a comparison is several searches: {analyzed}");
    for search in searches {
        has(search, &[("text", Is::Text), ("weight", Is::Number)]);
    }
    // What a query runs in this mode.
    let body = json!({ "query": question, "collection_name": "discovery-analyze", "mode": "speed" });
    let quick = api.post("/analyze", body).await.expect(200);
    assert_eq!(
        (&quick["searches"][0]["text"], quick["searches"].as_array().map(Vec::len)),
        (&json!(question.trim()), Some(1))
    );

    for (body, status, code) in [
        (json!({}), 400, "VALIDATION_ERROR"),
        (json!({ "query": " " }), 400, "VALIDATION_ERROR"),
        (json!({ "query": "?", "language": "not a tag" }), 400, "VALIDATION_ERROR"),
        (json!({ "query": "?", "mode": "turbo" }), 400, "VALIDATION_ERROR"),
        (
            json!({ "query": "?", "collection_name": "discovery-none" }),
            404,
            "COLLECTION_NOT_FOUND",
        ),
    ] {
        api.post("/analyze", body).await.error(status, code);
    }
}

#[tokio::test]
async fn documents_like_a_given_one_are_found_the_most_alike_first() {
    let api = Server::shared().api();
    let collection = "discovery-similar";
    let first = api.ingest(collection, &files::volume(1, 60)).await["document_id"].clone();
    let second = api.ingest(collection, &files::volume(2, 60)).await["document_id"].clone();
    let other = File::new(
        "leave.md",
        "# Leave\n\nEmployees may carry over at most seven days of unused vacation. Requests go to the personnel office.",
    );
    let other = api.ingest(collection, &other).await["document_id"].clone();
    let similar = |body: serde_json::Value| api.post("/search/similar", body);

    let found = similar(json!({ "document_id": first })).await.expect(200);
    has(
        &found,
        &[
            ("document_id", Is::Text),
            ("collection_name", Is::Text),
            ("results", Is::Array),
            ("total_results", Is::Count),
            ("processing_time", Is::Number),
        ],
    );
    let results = found["results"].as_array().expect("results");
    let ids: Vec<_> = results.iter().map(|result| result["document_id"].clone()).collect();
    assert_eq!(
        ids,
        [second.clone(), other.clone()],
        "each document once, never the given one: {found}"
    );
    for (n, result) in results.iter().enumerate() {
        has(
            result,
            &[
                ("filename", Is::Text),
                ("relevance_score", Is::Share),
                ("content", Is::Text),
                ("metadata", Is::Object),
            ],
        );
        assert_eq!(result["rank"], n + 1);
        // The passage is the document's text where it says.
        let (start, end) = (&result["metadata"]["start_char"], &result["metadata"]["end_char"]);
        let id = result["document_id"].as_str().expect("an id");
        assert_eq!(result["content"], api.text(id, &format!("?start={start}&end={end}")).await);
    }
    assert!(results[0]["relevance_score"].as_f64() > results[1]["relevance_score"].as_f64());

    let second_page = similar(json!({ "document_id": first, "limit": 1, "offset": 1 })).await.expect(200);
    assert_eq!(
        (&second_page["results"][0]["document_id"], &second_page["results"][0]["rank"]),
        (&other, &json!(2))
    );
    let narrowed = similar(json!({ "document_id": first, "filters": { "document_types": ["md"] } }))
        .await
        .expect(200);
    assert_eq!(
        (narrowed["total_results"].as_u64(), &narrowed["results"][0]["document_id"]),
        (Some(1), &other)
    );
    let least = results[0]["relevance_score"].as_f64().expect("a score") - 1e-4;
    let best = similar(json!({ "document_id": first, "score_threshold": least })).await.expect(200);
    assert_eq!(best["total_results"], 1);

    api.delete(&format!("/documents/{}", second.as_str().expect("an id")))
        .await
        .expect(200);
    let left = similar(json!({ "document_id": first })).await.expect(200);
    assert_eq!(
        (left["total_results"].as_u64(), &left["results"][0]["document_id"]),
        (Some(1), &other)
    );
    for (body, status, code) in [
        (json!({ "document_id": "doc_none" }), 404, "RESOURCE_NOT_FOUND"),
        (json!({ "document_id": second }), 404, "RESOURCE_NOT_FOUND"),
        (json!({}), 400, "VALIDATION_ERROR"),
        (json!({ "document_id": first, "limit": 0 }), 400, "VALIDATION_ERROR"),
        (json!({ "document_id": first, "score_threshold": 1.5 }), 400, "VALIDATION_ERROR"),
        (
            json!({ "document_id": first, "filters": { "date_range": { "start": "soon" } } }),
            400,
            "VALIDATION_ERROR",
        ),
    ] {
        similar(body).await.error(status, code);
    }
}

#[tokio::test]
async fn a_citation_says_where_its_marker_stands_in_the_answer() {
    let server = Server::shared();
    let api = server.api();
    api.ingest("discovery-markers", &files::report("report.pdf")).await;
    let mut socket = server.socket("/ws/query").await;
    for (mode, sources) in [("balanced", true), ("comprehensive", true), ("balanced", false)] {
        let format = if sources { "with_citations" } else { "with_sources" };
        let query = json!({
            "query": QUESTIONS[1].0, "collection_name": "discovery-markers", "mode": mode, "response_format": format
        });
        socket.query("a", query).await;
        let answer = crate::support::answered(&socket.answer("a").await);
        assert!(!answer.citations.is_empty());
        for citation in &answer.citations {
            let at = |key: &str| usize::try_from(citation[key].as_u64().expect("an offset")).expect("small");
            let marker: String = answer.text.chars().take(at("marker_end")).skip(at("marker_start")).collect();
            if sources {
                assert!(marker.contains(&format!("[{}]", citation["citation_id"])), "{marker:?} {citation}");
            } else {
                assert_eq!(marker, "");
            }
        }
    }
}
