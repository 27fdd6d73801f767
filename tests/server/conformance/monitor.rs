//! `/ws/monitor`: what it tells is true, and no more often than it should be.

use crate::plugins::{GUESTS, install, pipeline};
use crate::support::files::{self, QUESTIONS};
use crate::support::upstream::{Act, Hub, Step, Upstream};
use crate::support::{Is, Server, Socket, answered, has};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SERVICES: [&str; 4] = ["vector_database", "embedding_service", "llm_service", "plugin_runtime"];

async fn open(server: &Server, query: &str) -> Socket {
    server.socket(&format!("/ws/monitor?{query}")).await
}

/// The next message, which must be `system_metrics`; gives its data.
async fn metrics(socket: &mut Socket) -> Value {
    let message = socket.receive().await;
    has(&message, &[("type", Is::Text), ("timestamp", Is::Time), ("data", Is::Object)]);
    assert_eq!(message["type"], "system_metrics");
    let data = message["data"].clone();
    has(
        &data,
        &[
            ("cpu_usage", Is::Number),
            ("memory_usage", Is::Number),
            ("active_connections", Is::Count),
            ("queries_per_minute", Is::Count),
            ("average_response_time", Is::Number),
        ],
    );
    for percent in ["cpu_usage", "memory_usage"] {
        assert!(data[percent].as_f64().is_some_and(|value| (0.0..=100.0).contains(&value)), "{data}");
    }
    data
}

/// Metrics until they say so.
async fn metrics_until(socket: &mut Socket, says: impl Fn(&Value) -> bool) -> Value {
    loop {
        let data = metrics(socket).await;
        if says(&data) {
            return data;
        }
    }
}

#[tokio::test]
async fn system_metrics_count_connections_and_queries_as_they_are() {
    let server = Server::start("monitor-metrics", &[]);
    let mut socket = open(&server, "types=system_metrics&interval=250").await;
    let first = metrics(&mut socket).await;
    assert_eq!(
        (
            &first["active_connections"],
            &first["queries_per_minute"],
            &first["average_response_time"]
        ),
        (&json!(1), &json!(0), &json!(0.0)),
        "this connection, and nothing asked yet"
    );
    assert!(first["memory_usage"].as_f64() > Some(0.0));

    let mut others = Vec::new();
    for path in ["/ws/query", "/ws/query", "/ws/upload", "/ws/collections"] {
        others.push(server.socket(path).await);
    }
    metrics_until(&mut socket, |data| data["active_connections"] == 5).await;
    let api = server.api();
    api.ingest("documents", &files::report("report.pdf")).await;
    let mut times = Vec::new();
    for (n, (question, _)) in QUESTIONS.iter().enumerate() {
        others[0].query(&format!("q{n}"), json!({ "query": question })).await;
        let answer = answered(&others[0].answer(&format!("q{n}")).await);
        times.push(answer.complete["total_time"].as_f64().expect("seconds"));
    }
    let data = metrics_until(&mut socket, |data| data["queries_per_minute"] == QUESTIONS.len()).await;
    let (least, most) = times
        .iter()
        .fold((f64::MAX, 0f64), |(least, most), time| (least.min(*time), most.max(*time)));
    let average = data["average_response_time"].as_f64().expect("seconds");
    assert!(
        average > 0.0 && average >= least * 0.99 && average <= most * 1.01,
        "{average} of {times:?}"
    );
    drop(others);
    drop(api);
    metrics_until(&mut socket, |data| data["active_connections"] == 1).await;
}

#[tokio::test]
async fn each_reader_has_its_interval() {
    let server = Server::shared();
    let mut seldom = open(server, "types=system_metrics&interval=60000").await;
    let mut often = open(server, "types=system_metrics&interval=250").await;
    metrics(&mut seldom).await;
    for _ in 0..6 {
        metrics(&mut often).await;
    }
    // One, and no other for a minute: what comes next is the answer to what is said now.
    seldom.send_text("?").await;
    seldom.error(Value::Null, "INVALID_MESSAGE").await;
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let server = Server::shared();
    for (query, field) in [
        ("interval=249", "interval"),
        ("interval=60001", "interval"),
        ("interval=often", "interval"),
        ("types=metrics", "types"),
        ("types=system_metrics,alerts", "types"),
    ] {
        let request = server
            .api()
            .request(reqwest::Method::GET, &format!("/ws/monitor?{query}"))
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let error = server.api().send(request).await.error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], field, "{query}");
    }
}

#[tokio::test]
async fn service_status_comes_for_each_service_at_once_and_again_every_15_seconds() {
    let mut socket = open(Server::shared(), "types=service_status").await;
    let mut seen: Vec<Value> = Vec::new();
    // Each twice: the second time after 15 s, or earlier if it changed.
    while SERVICES
        .iter()
        .any(|service| seen.iter().filter(|data| data["service"] == *service).count() < 2)
    {
        let message = socket.receive().await;
        has(&message, &[("type", Is::Text), ("timestamp", Is::Time), ("data", Is::Object)]);
        assert_eq!(message["type"], "service_status");
        let data = message["data"].clone();
        has(
            &data,
            &[
                ("service", Is::Text),
                ("status", Is::Text),
                ("response_time", Is::Number),
                ("last_check", Is::Time),
            ],
        );
        assert!(
            ["healthy", "degraded", "unhealthy"].iter().any(|status| data["status"] == *status),
            "{data}"
        );
        assert!(SERVICES.iter().any(|service| data["service"] == *service), "{data}");
        if data["status"] == "healthy" {
            assert!(data["response_time"].as_f64() > Some(0.0), "nothing was measured: {data}");
        }
        if let Some(before) = seen.iter().rev().find(|before| before["service"] == data["service"]) {
            assert!(
                before["last_check"].as_str() < data["last_check"].as_str(),
                "the same check was told twice: {data}"
            );
        }
        seen.push(data);
    }
    let first: BTreeSet<&str> = seen.iter().take(4).filter_map(|data| data["service"].as_str()).collect();
    assert_eq!(first, BTreeSet::from(SERVICES), "each at once");
    // A later reader is told at once how they are.
    let mut late = open(Server::shared(), "types=service_status").await;
    let mut told = BTreeSet::new();
    for _ in SERVICES {
        told.insert(late.receive().await["data"]["service"].as_str().expect("a service").to_owned());
    }
    assert_eq!(told.len(), SERVICES.len());
}

#[tokio::test]
async fn a_quarantined_plugin_is_an_alert_and_degrades_the_runtime() {
    let server = Server::start("monitor-quarantine", &[]);
    let api = server.api();
    install(&api, "", &GUESTS[1]).await.expect(201);
    api.post(
        "/collections",
        json!({ "name": "broken", "pipeline": pipeline("analyzer", "hostile-analyzer@^1", "none", "fail") }),
    )
    .await
    .expect(201);
    let mut socket = open(&server, "types=service_status,error_alert").await;
    socket
        .receive_until(|message| message["data"]["service"] == "plugin_runtime" && message["data"]["status"] == "healthy")
        .await;
    for _ in 0..6 {
        api.post("/query", json!({ "query": "Who goes there?", "collection_name": "broken" }))
            .await;
    }
    let alert = socket
        .receive_until(|message| message["type"] == "error_alert")
        .await
        .pop()
        .expect("an alert");
    has(&alert, &[("type", Is::Text), ("timestamp", Is::Time), ("data", Is::Object)]);
    has(
        &alert["data"],
        &[
            ("severity", Is::Text),
            ("service", Is::Text),
            ("message", Is::Text),
            ("details", Is::Object),
        ],
    );
    assert_eq!(
        (
            &alert["data"]["severity"],
            &alert["data"]["service"],
            &alert["data"]["details"]["plugin"]
        ),
        (&json!("warning"), &json!("plugin_runtime"), &json!("hostile-analyzer@1.0.0"))
    );
    let degraded = socket
        .receive_until(|message| message["data"]["service"] == "plugin_runtime" && message["type"] == "service_status")
        .await
        .pop()
        .expect("a status");
    assert_eq!(degraded["data"]["status"], "degraded", "{degraded}");
    assert!(
        degraded["data"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("hostile-analyzer")),
        "{degraded}"
    );
    // Whoever comes later is told that it holds.
    let mut late = open(&server, "types=error_alert").await;
    assert_eq!(late.receive().await["data"], alert["data"]);
    // Once the plugin is gone all is well.
    api.delete("/collections/broken?confirm=true").await.expect(200);
    api.delete("/plugins/hostile-analyzer?force=true").await.expect(200);
    let well = |message: &Value| message["data"]["service"] == "plugin_runtime" && message["data"]["status"] == "healthy";
    socket.receive_until(well).await;
}

#[tokio::test]
async fn a_threshold_that_is_crossed_is_one_alert_however_long_it_lasts() {
    let server = Server::start("monitor-alert", &["monitor.memory_alert_percent=1"]);
    let mut socket = open(&server, "types=system_metrics,error_alert&interval=250").await;
    let mut alerts = Vec::new();
    let mut samples = 0;
    while samples < 6 {
        let message = socket.receive().await;
        match message["type"].as_str() {
            Some("system_metrics") => samples += 1,
            _ => alerts.push(message),
        }
    }
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let data = &alerts[0]["data"];
    assert_eq!((&alerts[0]["type"], &data["severity"]), (&json!("error_alert"), &json!("warning")));
    assert_eq!(data["details"]["threshold"], 1.0);
    assert!(data["details"]["memory_usage"].as_f64() >= Some(1.0), "{data}");
    let mut late = open(&server, "types=error_alert").await;
    assert_eq!(&late.receive().await, &alerts[0], "it still holds");
}

#[tokio::test]
async fn types_are_told_apart() {
    let server = Server::start("monitor-types", &["monitor.memory_alert_percent=1"]);
    for kind in ["system_metrics", "service_status", "error_alert"] {
        let mut socket = open(&server, &format!("types={kind}&interval=250")).await;
        let count = if kind == "error_alert" { 1 } else { 3 };
        for _ in 0..count {
            assert_eq!(socket.receive().await["type"], kind);
        }
    }
    let mut socket = open(&server, "interval=250").await;
    let mut seen = BTreeSet::new();
    while seen.len() < 3 {
        seen.insert(socket.receive().await["type"].as_str().expect("a type").to_owned());
    }
}

#[tokio::test]
async fn a_language_model_that_goes_away_raises_an_alert_and_so_does_its_return() {
    let mut hub = Hub::start(&["monitor"], None);
    let upstream = Upstream::of(&hub, "monitor");
    upstream.lists(200, &["scripted"]);
    let address = format!("{}/monitor/v1", hub.url);
    let setting = format!("llm.base_url={address}");
    let server = Server::start("monitor-llm", &[&setting, "llm.model=scripted", "llm.retries=0"]);
    let api = server.api();
    let generator = json!({ "kind": "openai", "base_url": address, "model": "scripted" });
    api.post("/collections", json!({ "name": "asks", "pipeline": { "generator": generator } }))
        .await
        .expect(201);
    api.ingest("asks", &files::report("report.pdf")).await;
    let ask = || api.post("/query", json!({ "query": QUESTIONS[1].0, "collection_name": "asks" }));
    let answer = || {
        let mut steps = Step::texts(&["It is 4.2 million [1]."]);
        steps.extend([Step::Finish("stop"), Step::Done]);
        [Act::Stream(steps)]
    };
    let is = |status: &'static str| {
        move |message: &Value| {
            message["type"] == "service_status" && message["data"]["service"] == "llm_service" && message["data"]["status"] == status
        }
    };
    let mut socket = open(&server, "types=service_status,error_alert").await;
    let well = socket.receive_until(is("healthy")).await.pop().expect("a status");
    assert!(well["data"]["response_time"].as_f64() > Some(0.0), "nothing was measured: {well}");
    upstream.will(answer());
    ask().await.expect(200);

    hub.kill();
    let told = socket.receive_until(is("unhealthy")).await;
    let down = told.last().expect("a status");
    assert_eq!(down["data"]["response_time"], 0.0, "there was no answer to measure: {down}");
    assert!(
        down["data"]["message"].is_string() && !json!(told).to_string().contains("127.0.0.1"),
        "{told:?}"
    );
    // An alert and a status, in whichever order, and whoever comes later is told as well.
    let mut late = open(&server, "types=error_alert").await;
    let alert = late.receive().await;
    assert_eq!(
        (&alert["data"]["service"], &alert["data"]["severity"]),
        (&json!("llm_service"), &json!("critical")),
        "{alert}"
    );
    ask().await.error(502, "LLM_CONNECTION_ERROR");
    // Documents and searches go on without it.
    let health = api.get("/health").await.expect(200);
    assert_eq!(health["status"], "degraded", "{health}");
    assert!(
        !api.search(json!({ "query": QUESTIONS[1].0, "collection_name": "asks" }))
            .await
            .is_empty()
    );

    hub.come_back();
    socket.receive_until(is("healthy")).await;
    upstream.will(answer());
    let answered = ask().await.expect(200);
    assert_eq!(answered["processing_metadata"]["generator"]["model"], "scripted");
    // The alert is over: a later reader is told of the services first.
    let mut later = open(&server, "types=error_alert,service_status").await;
    let told = later.receive_until(is("healthy")).await;
    assert!(told.iter().all(|message| message["type"] != "error_alert"), "{told:?}");
}
