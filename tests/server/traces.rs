//! Traces, as a collector gets them.

use crate::support::collector::{Collector, attribute};
use crate::support::files::{self, QUESTIONS};
use crate::support::{Server, answered};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names of a span's children.
fn children<'a>(spans: &'a [Span], parent: &Span) -> BTreeSet<&'a str> {
    spans
        .iter()
        .filter(|span| span.parent_span_id == parent.span_id && span.trace_id == parent.trace_id)
        .map(|span| span.name.as_str())
        .collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[tokio::test]
async fn a_query_is_a_trace_with_its_stages_and_goes_on_that_of_its_client() {
    let collector = Collector::start().await;
    let mut server = Server::start(
        "traces",
        &[
            &format!("telemetry.otlp_endpoint={}", collector.url()),
            "telemetry.otlp_headers=authorization=Bearer secret-of-the-collector",
            "telemetry.service_name=ibid-under-test",
            // What is logged changes nothing of what is traced.
            "log.level=debug",
        ],
    );
    let api = server.api();
    api.ingest("documents", &files::report("report.pdf")).await;
    let ask = |trace: &str, flags: &str| {
        api.request(Method::POST, "/query")
            .header("traceparent", format!("00-{trace}-{PARENT}-{flags}"))
            .json(&json!({ "query": QUESTIONS[0].0 }))
    };
    let answer = api.send(ask(TRACE, "01")).await.expect(200);
    let unsampled = TRACE.replace('4', "5");
    api.send(ask(&unsampled, "00")).await.expect(200);
    api.get("/documents/no-such-document").await.error(404, "RESOURCE_NOT_FOUND");
    let mut socket = server.socket("/ws/query").await;
    for id in ["a", "b"] {
        socket.query(id, json!({ "query": QUESTIONS[1].0 })).await;
        answered(&socket.answer(id).await);
    }
    socket.close().await;
    // What has not been exported yet is when it stops.
    server.terminate();
    assert!(server.stopped().await.success());

    let exports = collector.exports();
    assert!(!exports.is_empty(), "nothing was exported");
    for export in &exports {
        assert_eq!(export.path, "/v1/traces");
        assert_eq!(export.headers["content-type"], "application/x-protobuf");
        assert_eq!(export.headers["authorization"], "Bearer secret-of-the-collector");
        let body = String::from_utf8_lossy(&export.body).into_owned();
        assert!(
            !body.contains("Marlin") && !body.contains("secret-of-the-collector"),
            "a question or a secret was exported"
        );
        let resource = format!("{:?}", export.request().resource_spans[0].resource);
        assert!(resource.contains("ibid-under-test"), "{resource}");
    }
    assert!(!server.whole_log().contains("secret-of-the-collector"));
    let spans: Vec<Span> = exports.iter().flat_map(|export| export.spans()).collect();

    let asked = named(&spans, "POST /query");
    let [request] = asked[..] else {
        panic!("not one sampled request: {asked:?}")
    };
    assert_eq!(
        (hex(&request.trace_id), hex(&request.parent_span_id)),
        (TRACE.to_owned(), PARENT.to_owned())
    );
    assert_eq!(request.kind, SpanKind::Server as i32);
    assert_eq!(attribute(request, "http.route").as_deref(), Some("/query"));
    assert_eq!(attribute(request, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(children(&spans, request), BTreeSet::from(["query"]));
    let queries = named(&spans, "query");
    let query = queries.iter().find(|query| query.trace_id == request.trace_id).expect("its query");
    assert_eq!(attribute(query, "ibid.query_id").as_deref(), answer["query_id"].as_str());
    assert_eq!(attribute(query, "ibid.status").as_deref(), Some("completed"));
    let stages = BTreeSet::from(["analyze", "embed", "retrieve", "read", "generate"]);
    assert_eq!(children(&spans, query), stages);

    // Each query of a socket is a trace of its own.
    assert_eq!(queries.len(), 3);
    let traces: BTreeSet<&[u8]> = queries.iter().map(|query| query.trace_id.as_slice()).collect();
    assert_eq!(traces.len(), 3);
    assert!(queries.iter().all(|query| children(&spans, query) == stages));

    let uploads = named(&spans, "POST /documents/upload");
    assert_eq!(children(&spans, uploads[0]), BTreeSet::from(["ingest"]));
    assert_eq!(
        children(&spans, named(&spans, "ingest")[0]),
        BTreeSet::from(["extract", "chunk", "embed", "index"])
    );
    assert_eq!(
        attribute(named(&spans, "GET /documents/{id}")[0], "http.response.status_code").as_deref(),
        Some("404")
    );
    assert!(
        spans.iter().all(|span| hex(&span.trace_id) != unsampled),
        "what its client did not sample was exported"
    );
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_one_line_of_the_log() {
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let mut server = Server::start("traces-gone", &[&format!("telemetry.otlp_endpoint=http://{gone}")]);
    server.api().ingest("documents", &files::report("report.pdf")).await;
    server.api().post("/query", json!({ "query": QUESTIONS[0].0 })).await.expect(200);
    // What other threads log of a query is of that query still: here a plugin that has less memory than it begins with.
    let starved = json!({ "name": "starved", "pipeline": { "limits": { "memory_mb": 1 } } });
    server.api().post("/collections", starved).await.expect(201);
    let question = json!({ "query": QUESTIONS[0].0, "collection_name": "starved" });
    server.api().post("/query", question).await.error(500, "PLUGIN_ERROR");
    server.terminate();
    assert!(server.stopped().await.success());
    let log = server.whole_log();
    let failed: Vec<&str> = log.lines().filter(|line| line.contains("plugin call failed")).collect();
    assert!(
        !failed.is_empty() && failed.iter().all(|line| line.contains("query_id=") && line.contains("request_id=")),
        "{failed:?}"
    );
    assert_eq!(
        server.whole_log().matches("does not accept traces").count(),
        1,
        "{}",
        server.whole_log()
    );
}
