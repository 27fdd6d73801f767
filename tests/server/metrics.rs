//! `/metrics`: what is counted is what happened.

use crate::support::files::{self, QUESTIONS};
use crate::support::{Api, Server, answered, within};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Samples by name and labels, as the text has them; comments apart.
pub struct Metrics {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

impl Metrics {
    /// What the server says now.
    pub async fn of(api: &Api) -> Self {
        let reply = api.get("/metrics").await;
        assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
        assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
        for line in reply.text().lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# TYPE ") {
                let (name, kind) = comment.split_once(' ').expect("a type");
                types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (sample, value) = line.rsplit_once(' ').expect("a sample");
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert!(samples.insert(sample.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        Self { samples, types }
    }

    /// The value of a sample; 0 if it is not there yet.
    pub fn get(&self, sample: &str) -> f64 {
        self.samples.get(sample).copied().unwrap_or_default()
    }

    /// Whether a metric is there.
    pub fn has(&self, name: &str) -> bool {
        self.types.contains_key(name)
    }

    fn labels(&self) -> impl Iterator<Item = &str> {
        self.samples
            .keys()
            .filter_map(|sample| sample.split_once('{'))
            .map(|(_, labels)| labels)
    }
}

/// How much samples grew between two looks.
fn grown(before: &Metrics, after: &Metrics, samples: &[(&str, f64)]) {
    for (sample, by) in samples {
        assert_eq!(after.get(sample) - before.get(sample), *by, "{sample}");
    }
}

/// Waits until a sample has a value: what ends a session is counted when the server has seen it.
async fn becomes(api: &Api, sample: &str, value: f64) {
    within(sample, async {
        while Metrics::of(api).await.get(sample) != value {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn every_action_is_counted_once() {
    let server = Server::start("metrics", &[]);
    let api = server.api();
    let before = Metrics::of(&api).await;
    assert_eq!(before.get("ibid_documents"), 0.0);

    let report = api.ingest("documents", &files::report("report.pdf")).await;
    let again = api.upload("", "documents", &[&files::report("again.pdf")]).await.expect(201);
    assert_eq!(again["uploaded_documents"][0]["status"], "duplicate");
    let answer = api.post("/query", json!({ "query": QUESTIONS[0].0 })).await.expect(200);
    api.search(json!({ "query": "turbines" })).await;
    api.post("/query", json!({ "query": "" })).await.error(400, "VALIDATION_ERROR");
    api.get("/documents/no-such-document").await.error(404, "RESOURCE_NOT_FOUND");
    api.get("/documents/another-one").await.error(404, "RESOURCE_NOT_FOUND");
    api.get("/no/such/path").await.error(404, "RESOURCE_NOT_FOUND");
    let odd = Method::from_bytes(b"BREW").expect("a method");
    api.send(api.request(odd, "/documents")).await.error(405, "METHOD_NOT_ALLOWED");
    let mut socket = server.socket("/ws/query").await;
    socket.query("a", json!({ "query": QUESTIONS[1].0 })).await;
    let streamed = socket.answer("a").await;
    let told = answered(&streamed);
    socket.send(json!({ "type": "query" })).await;
    socket.error(Value::Null, "INVALID_MESSAGE").await;

    let after = Metrics::of(&api).await;
    assert_eq!(after.get("ibid_websocket_connections{socket=\"/ws/query\"}"), 1.0);
    assert!(after.get("ibid_disk_free_bytes") > 0.0);
    let chunks = report["chunks_created"].as_f64().expect("chunks");
    let tokens = answer["processing_metadata"]["tokens_generated"].as_f64().expect("tokens") + told.tokens.len() as f64;
    let cited = answer["sources"].as_array().expect("sources").len() + told.citations.len();
    let bytes = files::report("report.pdf").bytes.len() as f64;
    grown(
        &before,
        &after,
        &[
            ("ibid_documents", 1.0),
            ("ibid_chunks", chunks),
            ("ibid_collections", 1.0),
            ("ibid_uploads_total{status=\"success\"}", 1.0),
            ("ibid_uploads_total{status=\"duplicate\"}", 1.0),
            ("ibid_upload_duration_seconds_count", 1.0),
            ("ibid_uploaded_bytes_total", 2.0 * bytes),
            ("ibid_tokens_generated_total", tokens),
            ("ibid_citations_total", cited as f64),
            ("ibid_query_duration_seconds_count{mode=\"balanced\",status=\"completed\"}", 2.0),
            ("ibid_query_first_token_seconds_count", 2.0),
            // Two queries and a search.
            ("ibid_stage_duration_seconds_count{pipeline=\"query\",stage=\"analyze\"}", 3.0),
            ("ibid_stage_duration_seconds_count{pipeline=\"query\",stage=\"embed\"}", 3.0),
            ("ibid_stage_duration_seconds_count{pipeline=\"query\",stage=\"retrieve\"}", 3.0),
            ("ibid_stage_duration_seconds_count{pipeline=\"query\",stage=\"generate\"}", 2.0),
            ("ibid_stage_duration_seconds_count{pipeline=\"query\",stage=\"cite\"}", 2.0),
            ("ibid_stage_duration_seconds_count{pipeline=\"ingest\",stage=\"extract\"}", 1.0),
            ("ibid_stage_duration_seconds_count{pipeline=\"ingest\",stage=\"chunk\"}", 1.0),
            ("ibid_stage_duration_seconds_count{pipeline=\"ingest\",stage=\"embed\"}", 1.0),
            ("ibid_stage_duration_seconds_count{pipeline=\"ingest\",stage=\"index\"}", 1.0),
            ("ibid_plugin_calls_total{plugin=\"pdf\",kind=\"extractor\"}", 1.0),
            ("ibid_plugin_calls_total{plugin=\"rules\",kind=\"analyzer\"}", 3.0),
            ("ibid_plugin_failures_total{plugin=\"pdf\",kind=\"extractor\",reason=\"trap\"}", 0.0),
            ("ibid_plugin_quarantined{plugin=\"pdf\",kind=\"extractor\"}", 0.0),
            ("ibid_errors_total{surface=\"http\",code=\"RESOURCE_NOT_FOUND\"}", 3.0),
            ("ibid_errors_total{surface=\"http\",code=\"VALIDATION_ERROR\"}", 1.0),
            ("ibid_errors_total{surface=\"socket\",code=\"INVALID_MESSAGE\"}", 1.0),
            (
                "ibid_http_requests_total{method=\"GET\",route=\"/documents/{id}\",status=\"404\"}",
                2.0,
            ),
            ("ibid_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"}", 1.0),
            (
                "ibid_http_requests_total{method=\"other\",route=\"/documents\",status=\"405\"}",
                1.0,
            ),
            ("ibid_http_requests_total{method=\"POST\",route=\"/query\",status=\"200\"}", 1.0),
            ("ibid_http_requests_total{method=\"GET\",route=\"/ws/query\",status=\"101\"}", 1.0),
            (
                "ibid_http_request_duration_seconds_count{method=\"POST\",route=\"/documents/upload\"}",
                2.0,
            ),
            ("ibid_websocket_connections_total{socket=\"/ws/query\"}", 1.0),
            ("ibid_websocket_messages_total{socket=\"/ws/query\",direction=\"in\"}", 2.0),
            (
                "ibid_websocket_messages_total{socket=\"/ws/query\",direction=\"out\"}",
                streamed.len() as f64 + 1.0,
            ),
            ("ibid_queries_running", 0.0),
            ("ibid_queries_waiting", 0.0),
            ("ibid_open_uploads", 0.0),
            ("ibid_ingest_running", 0.0),
        ],
    );
    for sample in [
        "ibid_embedder_texts_total",
        "ibid_embedder_tokens_total",
        "ibid_embedder_batches_total",
    ] {
        assert!(after.get(sample) > before.get(sample), "{sample}");
    }
    for sample in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
        assert!(after.get(sample) > 0.0, "{sample}");
    }
    assert!(after.get("ibid_connections") >= 2.0, "this one and the socket");
    socket.close().await;
    becomes(&api, "ibid_websocket_connections{socket=\"/ws/query\"}", 0.0).await;
}

#[tokio::test]
async fn labels_hold_nothing_that_a_client_chose() {
    let server = Server::shared();
    let api = server.api();
    let document = api.ingest("metrics-secret-name", &files::handbook("secret-handbook.md")).await;
    let id = document["document_id"].as_str().expect("an id");
    api.get(&format!("/documents/{id}")).await.expect(200);
    api.get("/collections/metrics-secret-name/info?token=secret-token")
        .await
        .expect(200);
    api.get("/metrics-secret-path").await.error(404, "RESOURCE_NOT_FOUND");
    let metrics = Metrics::of(&api).await;
    for labels in metrics.labels() {
        assert!(!labels.contains("secret") && !labels.contains(id), "{labels}");
    }
}

#[tokio::test]
async fn the_json_says_the_same_as_the_text() {
    let api = Server::shared().api();
    let body = api.get("/metrics?format=json").await.expect(200);
    let metrics = body["metrics"].as_array().expect("metrics");
    let named = |name: &str| {
        metrics
            .iter()
            .find(|metric| metric["name"] == name)
            .unwrap_or_else(|| panic!("no {name}"))
    };
    let build = named("ibid_build_info");
    assert_eq!((&build["type"], &build["samples"][0]["value"]), (&json!("gauge"), &json!(1.0)));
    assert!(build["samples"][0]["labels"]["version"].is_string() && !build["help"].as_str().unwrap_or_default().is_empty());
    let stages = named("ibid_stage_duration_seconds");
    assert_eq!(stages["type"], "histogram");
    for sample in stages["samples"].as_array().expect("samples") {
        let buckets = sample["buckets"].as_array().expect("buckets");
        let counts: Vec<f64> = buckets.iter().map(|bucket| bucket["count"].as_f64().expect("a count")).collect();
        assert!(
            counts.is_sorted()
                && counts
                    .last()
                    .is_some_and(|last| *last <= sample["count"].as_f64().unwrap_or_default()),
            "{sample}"
        );
    }
    api.get("/metrics?format=xml").await.error(400, "VALIDATION_ERROR");
}

/// The queries of every panel and variable of the dashboard.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "expr" || name == "query" => found.push(text.clone()),
                    other => queries(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_names_metrics_that_there_are() {
    let server = Server::shared();
    let api = server.api();
    api.ingest("metrics-dashboard", &files::report("report.pdf")).await;
    api.post("/query", json!({ "query": QUESTIONS[0].0, "collection_name": "metrics-dashboard" }))
        .await
        .expect(200);
    server.socket("/ws/query").await.close().await;
    let metrics = Metrics::of(&api).await;
    let dashboard = include_str!("../../docs/grafana/ibid.json");
    let mut found = Vec::new();
    queries(&serde_json::from_str(dashboard).expect("JSON"), &mut found);
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("ibid_") || word.starts_with("process_"))
            .map(str::to_owned)
            .collect()
    };
    let named: Vec<String> = found.iter().flat_map(|query| words(query)).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        let histogram = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        assert!(
            metrics.has(&name) || histogram.is_some_and(|name| metrics.types.get(name).is_some_and(|kind| kind == "histogram")),
            "there is no metric {name}"
        );
    }
}
