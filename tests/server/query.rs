//! Rules of `/ws/query`, and that POST /query and the stream say the same.

use crate::support::files::{self, File, PAGES, QUESTIONS};
use crate::support::query::markers;
use crate::support::socket::{is_end, query};
use crate::support::{Answered, Api, Server, answered};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A collection of its own with the report in it.
async fn with_report(api: &Api, collection: &str) -> Value {
    api.ingest(collection, &files::report("report.pdf")).await
}

async fn ask(collection: &str, request_id: &str, more: Value) -> Answered {
    let mut socket = Server::shared().socket("/ws/query").await;
    let mut data = json!({ "collection_name": collection });
    data.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    socket.query(request_id, data).await;
    let answer = answered(&socket.answer(request_id).await);
    socket.close().await;
    answer
}

/// The citation is the document's text at its place, and that stands on the page that it names.
async fn check_quotation(api: &Api, citation: &Value) {
    let (id, start, end) = (
        citation["document_id"].as_str().expect("an id"),
        &citation["char_start"],
        &citation["char_end"],
    );
    assert_eq!(
        api.text(id, &format!("?start={start}&end={end}")).await,
        citation["content"].as_str().expect("text"),
        "not an exact quotation"
    );
    if citation["source"] == "report.pdf" {
        let page = citation["page"].as_u64().expect("a page") as usize;
        let quoted = words(citation["content"].as_str().expect("text"));
        let there = words(&PAGES[page - 1].join(" "));
        assert!(there.contains(&quoted), "page {page} does not hold {quoted:?}");
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn an_answer_cites_the_page_that_holds_it_with_an_exact_quotation() {
    let api = Server::shared().api();
    let document = with_report(&api, "query-pages").await;
    for (question, page) in QUESTIONS {
        let answer = ask("query-pages", "req_12345", json!({ "query": question })).await;
        let best = answer
            .citations
            .first()
            .unwrap_or_else(|| panic!("{question}: cites nothing: {}", answer.text));
        assert_eq!(best["page"], page, "{question}: {}", answer.text);
        assert_eq!(
            (&best["source"], &best["document_id"]),
            (&json!("report.pdf"), &document["document_id"])
        );
        assert_eq!(
            best["formatted"]
                .as_str()
                .map(|text| text.contains("report.pdf") && text.contains(&page.to_string())),
            Some(true),
            "{best}"
        );
        assert_eq!(
            answer.markers(),
            (1..=answer.citations.len()).collect(),
            "every citation has its marker: {}",
            answer.text
        );
        for citation in &answer.citations {
            check_quotation(&api, citation).await;
        }
        assert_eq!(answer.complete["processing_mode"], "balanced");
    }
}

#[tokio::test]
async fn a_quotation_is_exact_in_text_of_characters_of_several_bytes() {
    let api = Server::shared().api();
    let handbook = files::handbook("handbook.md");
    api.ingest("query-unicode", &handbook).await;
    let answer = ask(
        "query-unicode",
        "ü",
        json!({ "query": "Which stairs should people take in case of fire?" }),
    )
    .await;
    let best = &answer.citations[0];
    assert!(
        best["content"].as_str().is_some_and(|text| text.contains("north stairs 🔥")),
        "{best}"
    );
    assert!(best.get("page").is_none(), "Markdown has no pages: {best}");
    assert_eq!(best["section"], json!(["Handbook", "Emergencies"]));
    let text: Vec<char> = String::from_utf8(handbook.bytes).expect("UTF-8").chars().collect();
    let place = |key: &str| best[key].as_u64().expect("an offset") as usize;
    assert_eq!(
        text[place("char_start")..place("char_end")].iter().collect::<String>(),
        best["content"].as_str().expect("text")
    );
    check_quotation(&api, best).await;
}

#[tokio::test]
async fn tokens_joined_are_the_answer_by_every_way_of_asking() {
    let api = Server::shared().api();
    with_report(&api, "query-ways").await;
    for mode in ["speed", "balanced", "comprehensive"] {
        let data = json!({ "query": QUESTIONS[1].0, "mode": mode });
        let streamed = ask("query-ways", "streamed", data.clone()).await;
        assert!(!streamed.tokens.is_empty() && streamed.complete.get("response").is_none());
        assert_eq!(streamed.complete["processing_mode"], mode);

        let mut whole = data.clone();
        whole["stream"] = json!(false);
        let whole = ask("query-ways", "whole", whole).await;
        assert!(whole.tokens.is_empty(), "no tokens with stream: false");
        assert_eq!(whole.complete["response"], streamed.text);
        assert_eq!(whole.complete["tokens_generated"], streamed.tokens.len());
        assert_eq!(whole.citations, streamed.citations);

        let mut body = data;
        body["collection_name"] = json!("query-ways");
        let posted = api.post("/query", body.clone()).await.expect(200);
        assert_eq!(posted["response"], streamed.text);
        let quoted = |sources: &[Value]| sources.iter().map(|source| source["content"].clone()).collect::<Vec<_>>();
        assert_eq!(quoted(posted["sources"].as_array().expect("sources")), quoted(&streamed.citations));

        assert_eq!(by_events(&api, body).await, streamed.text);
    }
}

/// The answer of POST /query/stream: server-sent events with the socket's data.
async fn by_events(api: &Api, body: Value) -> String {
    let reply = api.post("/query/stream", body).await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    let messages: Vec<Value> = reply
        .text()
        .split("\n\n")
        .filter_map(|event| {
            let (kind, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
            let data: Value = serde_json::from_str(data).expect("JSON");
            Some(json!({ "type": kind, "request_id": "none", "data": data }))
        })
        .collect();
    answered(&messages).text
}

#[tokio::test]
async fn several_queries_at_once_on_one_connection_do_not_mix() {
    let server = Server::shared();
    let api = server.api();
    with_report(&api, "query-many").await;
    let mut alone = BTreeMap::new();
    for (question, _) in QUESTIONS {
        let posted = api
            .post("/query", json!({ "query": question, "collection_name": "query-many" }))
            .await
            .expect(200);
        alone.insert(question, posted["response"].clone());
    }
    let mut socket = server.socket("/ws/query").await;
    let asked: Vec<(String, &str)> = (0..12).map(|n| (format!("req_{n}"), QUESTIONS[n % 4].0)).collect();
    let messages: Vec<Value> = asked
        .iter()
        .map(|(id, question)| query(id, json!({ "query": question, "collection_name": "query-many" })))
        .collect();
    socket.send_together(&messages).await;
    let mut received: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for _ in &asked {
        // Each pass ends with the end of one of them.
        for message in socket.receive_until(is_end).await {
            received
                .entry(message["request_id"].as_str().expect("an id").to_owned())
                .or_default()
                .push(message);
        }
    }
    for (id, question) in asked {
        let answer = answered(&received[&id]);
        assert_eq!(answer.text, alone[question], "{id}");
    }
}

#[tokio::test]
async fn a_question_that_nothing_answers_gets_that_answer() {
    let api = Server::shared().api();
    api.post("/collections", json!({ "name": "query-empty" })).await.expect(201);
    for stream in [true, false] {
        let answer = ask("query-empty", "empty", json!({ "query": QUESTIONS[0].0, "stream": stream })).await;
        let text = if stream {
            answer.text.clone()
        } else {
            answer.complete["response"].as_str().expect("a response").to_owned()
        };
        assert!(text.to_lowercase().contains("nothing"), "{text}");
        assert!(answer.citations.is_empty() && markers(&text).is_empty());
        assert_eq!(answer.complete["sources_used"], 0);
    }
    with_report(&api, "query-beside").await;
    let answer = ask(
        "query-beside",
        "beside",
        json!({ "query": "Which enzyme unwinds the DNA double helix during replication?" }),
    )
    .await;
    assert!(answer.citations.is_empty(), "beside the point, and yet cited: {}", answer.text);
}

#[tokio::test]
async fn without_sources_there_are_no_citations_and_no_markers() {
    let api = Server::shared().api();
    with_report(&api, "query-plain").await;
    let question = QUESTIONS[2].0;
    let cited = ask("query-plain", "cited", json!({ "query": question })).await;
    for more in [json!({ "include_sources": false }), json!({ "response_format": "text_only" })] {
        let mut data = json!({ "query": question });
        data.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        let plain = ask("query-plain", "plain", data).await;
        assert!(plain.citations.is_empty() && plain.markers().is_empty(), "{}", plain.text);
        assert!(plain.text.contains("seven days"), "{}", plain.text);
    }
    let sources = ask(
        "query-plain",
        "sources",
        json!({ "query": question, "response_format": "with_sources" }),
    )
    .await;
    assert!(sources.markers().is_empty(), "{}", sources.text);
    // The same quotations; where their markers would stand depends on the markers before them.
    let quoted = |citations: &[Value]| {
        let mut citations = citations.to_vec();
        for citation in &mut citations {
            let fields = citation.as_object_mut().expect("an object");
            let (start, end) = (fields.remove("marker_start"), fields.remove("marker_end"));
            assert!(start.is_some() && end.is_some(), "{fields:?}");
        }
        citations
    };
    for citation in &sources.citations {
        assert_eq!(citation["marker_start"], citation["marker_end"], "{citation}");
    }
    assert_eq!(quoted(&sources.citations), quoted(&cited.citations));
}

#[tokio::test]
async fn modes_have_their_other_names() {
    let api = Server::shared().api();
    with_report(&api, "query-modes").await;
    for (given, used) in [("fast", "speed"), ("thorough", "comprehensive")] {
        let answer = ask("query-modes", given, json!({ "query": QUESTIONS[3].0, "mode": given })).await;
        assert_eq!(answer.complete["processing_mode"], used);
    }
}

#[tokio::test]
async fn a_question_is_analysed() {
    let api = Server::shared().api();
    with_report(&api, "query-analysis").await;
    for (question, intent) in [
        ("What is the budget for IT department?", "factual"),
        (
            "Compare the budget of the IT department with that of the personnel office.",
            "comparative",
        ),
        ("How do I request to carry over vacation, step by step?", "procedural"),
    ] {
        let analysis = &ask("query-analysis", "analysed", json!({ "query": question })).await.complete["query_analysis"];
        assert_eq!(analysis["intent"], intent, "{question}: {analysis}");
    }
}

#[tokio::test]
async fn the_guides_example_question_is_understood_as_the_guide_shows() {
    let api = Server::shared().api();
    with_report(&api, "query-example").await;
    let answer = ask(
        "query-example",
        "req_12345",
        json!({ "query": "What is the budget for IT department?" }),
    )
    .await;
    let analysis = &answer.complete["query_analysis"];
    assert_eq!(analysis["intent"], "factual");
    let entities: Vec<&str> = analysis["entities"]
        .as_array()
        .expect("entities")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(entities.contains(&"IT department"), "{analysis}");
}

#[tokio::test]
async fn the_guides_own_tests_pass() {
    let server = Server::shared();
    // Its unit test, which names no collection.
    let mut socket = server.socket("/ws/query").await;
    socket.query("test_123", json!({ "query": "test query", "stream": true })).await;
    let first = socket.receive().await;
    assert!(["status", "token", "complete"].iter().any(|kind| first["type"] == *kind), "{first}");
    assert_eq!(first["request_id"], "test_123");
    // Its load test.
    with_report(&server.api(), "documents").await;
    let connections = (0..50).map(|n| async move {
        let mut socket = server.socket("/ws/query").await;
        let id = format!("load_test_{n}");
        socket.query(&id, json!({ "query": format!("Load test query {n}") })).await;
        answered(&socket.answer(&id).await);
    });
    futures_util::future::join_all(connections).await;
}

#[tokio::test]
async fn filters_restrict_what_is_answered_from() {
    let api = Server::shared().api();
    with_report(&api, "query-filters").await;
    api.ingest(
        "query-filters",
        &File::new(
            "memo.txt",
            "The annual budget of the IT department was raised to 5 million dollars in a memo.",
        ),
    )
    .await;
    for (filters, source) in [
        (json!({ "sources": ["memo.txt"] }), "memo.txt"),
        (json!({ "document_types": ["pdf"] }), "report.pdf"),
        (json!({ "authors": ["A. Writer"] }), "report.pdf"),
    ] {
        let answer = ask("query-filters", "filtered", json!({ "query": QUESTIONS[1].0, "filters": filters })).await;
        assert!(!answer.citations.is_empty(), "{filters}: {}", answer.text);
        assert!(
            answer.citations.iter().all(|citation| citation["source"] == source),
            "{filters}: {:?}",
            answer.citations
        );
    }
}
