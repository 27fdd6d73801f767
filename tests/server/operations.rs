//! What operators see and change while the server runs: `/status`, `/config`, and the pipelines of collections.

use crate::support::files;
use crate::support::{Is, Server, has};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn status_tells_of_the_machine_the_services_and_what_is_held() {
    let server = Server::start("status", &[]);
    let api = server.api();
    api.ingest("one", &files::report("report.pdf")).await;
    api.ingest("two", &files::handbook("handbook.md")).await;
    for path in ["/status", "/api/v1/status"] {
        let status = api.get(path).await.expect(200);
        has(
            &status,
            &[
                ("status", Is::Text),
                ("timestamp", Is::Time),
                ("version", Is::Text),
                ("uptime_seconds", Is::Number),
                ("machine", Is::Object),
                ("process", Is::Object),
                ("services", Is::Object),
                ("totals", Is::Object),
            ],
        );
        has(
            &status["machine"],
            &[
                ("cpus", Is::Count),
                ("load_average", Is::Object),
                ("memory_total_bytes", Is::Count),
                ("memory_used_bytes", Is::Count),
                ("memory_usage", Is::Number),
            ],
        );
        has(
            &status["machine"]["load_average"],
            &[("one", Is::Number), ("five", Is::Number), ("fifteen", Is::Number)],
        );
        assert!(
            status["machine"]["memory_usage"]
                .as_f64()
                .is_some_and(|percent| percent > 0.0 && percent <= 100.0)
        );
        assert!(status["process"]["memory_bytes"].as_u64() > Some(1 << 20), "{status}");
        assert!(status["process"]["connections"].as_u64() >= Some(1), "{status}");
        for service in ["vector_db", "embedding_service", "llm_service"] {
            has(&status["services"][service], &[("status", Is::Text), ("response_time", Is::Number)]);
        }
        let totals = &status["totals"];
        assert_eq!((&totals["collections"], &totals["documents"]), (&json!(2), &json!(2)), "{status}");
        assert!(
            totals["chunks"].as_u64() >= Some(2) && totals["storage_size_mb"].as_f64() > Some(0.0),
            "{status}"
        );
    }
}

#[tokio::test]
async fn settings_are_shown_and_some_change_while_the_server_runs() {
    let server = Server::start("live-settings", &["query.max_concurrent=2"]);
    let api = server.api();
    let put = |body: serde_json::Value| api.send(api.request(Method::PUT, "/config").json(&body));

    let settings = api.get("/config").await.expect(200)["settings"].clone();
    let timeout = &settings["query.timeout_seconds"];
    assert_eq!(
        (&timeout["value"], &timeout["origin"], &timeout["live"]),
        (&json!(60), &json!("default"), &json!(true))
    );
    has(timeout, &[("help", Is::Text), ("variable", Is::Text)]);
    assert_eq!(settings["server.listen"]["live"], false);

    // All or nothing.
    for (body, field) in [
        (json!({ "query.timeout_seconds": 0 }), "query.timeout_seconds"),
        (json!({ "query.timeout_seconds": "long" }), "query.timeout_seconds"),
        (json!({ "query.timeout_seconds": null }), "query.timeout_seconds"),
        (
            json!({ "query.timeout_seconds": 5, "server.listen": "127.0.0.1:1" }),
            "server.listen",
        ),
        (json!({ "query.timeout_seconds": 5, "no.such": 1 }), "no.such"),
    ] {
        let error = put(body.clone()).await.error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], field, "{body}");
    }
    assert_eq!(api.get("/config").await.expect(200)["settings"], settings);

    let changed = put(json!({ "query.timeout_seconds": 33, "query.max_concurrent": 1, "plugins.install": false }))
        .await
        .expect(200);
    assert_eq!(
        (&changed["changed"], &changed["persistent"]),
        (
            &json!(["query.timeout_seconds", "query.max_concurrent", "plugins.install"]),
            &json!(false)
        )
    );
    let shown = api.get("/config").await.expect(200)["settings"].clone();
    assert_eq!(shown, changed["settings"]);
    assert_eq!(
        (&shown["query.timeout_seconds"]["value"], &shown["query.timeout_seconds"]["origin"]),
        (&json!(33), &json!("PUT /config"))
    );
    // It is done, and not only said.
    let refused = api.send(api.request(Method::DELETE, "/plugins/recursive")).await;
    assert_eq!(refused.status.as_u16(), 403, "{}", refused.text());
    let same = put(json!({ "query.timeout_seconds": 33 })).await.expect(200);
    assert_eq!(same["changed"], json!([]));
    // One place, and then three, are places for a query.
    api.ingest("documents", &files::report("report.pdf")).await;
    for places in [1, 3] {
        put(json!({ "query.max_concurrent": places })).await.expect(200);
        assert!(!api.search(json!({ "query": "turbines" })).await.is_empty());
    }
}

#[tokio::test]
async fn a_pipeline_is_shown_and_changed_where_no_document_has_to_be_made_again() {
    let server = Server::shared();
    let api = server.api();
    let mut events = server.socket("/ws/collections?collection=operations-pipeline").await;
    let path = "/collections/operations-pipeline/pipeline";
    api.get(path).await.error(404, "COLLECTION_NOT_FOUND");
    api.post("/collections", json!({ "name": "operations-pipeline" })).await.expect(201);
    let shown = api.get(path).await.expect(200);
    has(&shown, &[("collection", Is::Text), ("pipeline", Is::Object), ("lock", Is::Object)]);
    assert_eq!(shown["pipeline"]["citations"]["plugin"], "numeric@^1");
    api.ingest("operations-pipeline", &files::report("report.pdf")).await;

    let put = |query: &str, body: serde_json::Value| api.send(api.request(Method::PUT, &format!("{path}{query}")).json(&body));
    let ask = async || {
        let question = json!({ "query": files::QUESTIONS[1].0, "collection_name": "operations-pipeline" });
        api.post("/query", question).await.expect(200)
    };
    assert!(ask().await["response"].as_str().unwrap_or_default().contains("[1]"));

    let footnotes = json!({ "citations": { "plugin": "author-page" }, "retrieval": { "limit": 5 } });
    let tried = put("?dry_run=true", footnotes.clone()).await.expect(200);
    assert_eq!(
        (&tried["changed"], &tried["redo"], &tried["documents_affected"]),
        (&json!(false), &json!("nothing"), &json!(0))
    );
    assert_eq!(api.get(path).await.expect(200), shown, "a dry run changes nothing");

    let changed = put("", footnotes).await.expect(200);
    assert_eq!(
        (&changed["changed"], &changed["redo"]),
        (&json!(true), &json!("nothing")),
        "{changed}"
    );
    assert_eq!(changed["pipeline"]["retrieval"]["limit"], 5);
    let now = api.get(path).await.expect(200);
    assert_eq!((&now["pipeline"], &now["lock"]), (&changed["pipeline"], &changed["lock"]));
    assert_eq!(now["lock"]["plugins"]["citations"]["name"], "author-page");
    let answer = ask().await;
    assert!(
        !answer["response"].as_str().unwrap_or_default().contains("[1]"),
        "the next question has the new formatter: {answer}"
    );
    let event = loop {
        let event = events.receive().await;
        if event["type"] == "pipeline_changed" {
            break event;
        }
    };
    assert_eq!(event["data"]["pipeline"], now["pipeline"]);

    // What would have to be made again is told before.
    for (body, redo) in [
        (json!({ "chunker": { "plugin": "sentences" } }), "re-chunk"),
        (json!({ "retrieval": { "language": "german" } }), "re-embed"),
        (json!({ "extractors": { "application/pdf": "text" } }), "re-extract"),
        // There is no such document.
        (json!({ "extractors": { "text/html": "text" } }), "nothing"),
    ] {
        assert_eq!(put("?dry_run=true", body).await.expect(200)["redo"], redo);
    }
    for (body, field) in [
        (json!({ "chunker": { "plugin": "no-such" } }), "pipeline.chunker.plugin"),
        (json!({ "analyser": {} }), "pipeline.analyser"),
        (json!({ "retrieval": { "limit": 0 } }), "pipeline.retrieval.limit"),
    ] {
        assert_eq!(put("", body).await.error(400, "VALIDATION_ERROR")["details"]["field"], field);
    }
    assert_eq!(api.get(path).await.expect(200), now);

    // Without documents there is nothing to make again.
    api.post("/collections", json!({ "name": "operations-empty" })).await.expect(201);
    let request = api.request(Method::PUT, "/collections/operations-empty/pipeline");
    let changed = api
        .send(request.json(&json!({ "chunker": { "plugin": "sentences" } })))
        .await
        .expect(200);
    assert_eq!((&changed["changed"], &changed["documents_affected"]), (&json!(true), &json!(0)));
}

#[tokio::test]
async fn every_setting_that_is_live_changes_what_it_says_and_others_name_the_restart() {
    let server = Server::start("live-all", &["limits.exempt_addresses="]);
    let api = server.api();
    let put = |body: serde_json::Value| api.send(api.request(Method::PUT, "/config").json(&body));
    let settings = api.get("/config").await.expect(200)["settings"].clone();
    let mut live = 0;
    for (key, setting) in settings.as_object().expect("settings") {
        let reply = put(json!({ key: setting["value"] })).await;
        if setting["live"] == true {
            live += 1;
            assert_eq!(reply.expect(200)["changed"], json!([]), "{key}");
        } else {
            let error = reply.error(400, "VALIDATION_ERROR");
            assert_eq!(error["details"]["field"], *key);
            assert!(
                error["details"]["issue"].as_str().is_some_and(|issue| issue.contains("restart")),
                "{error}"
            );
        }
    }
    assert!(live >= 19, "{live}");

    // Rates, and back.
    put(json!({ "limits.address_queries_per_minute": 1 })).await.expect(200);
    let search = || api.post("/search", json!({ "query": "turbines" }));
    search().await.error(404, "COLLECTION_NOT_FOUND");
    let refused = search().await.error(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(refused["details"]["limit"], 1, "{refused}");
    put(json!({ "limits.exempt_addresses": ["127.0.0.0/8"] })).await.expect(200);
    search().await.error(404, "COLLECTION_NOT_FOUND");
    put(json!({ "limits.exempt_addresses": [], "limits.address_queries_per_minute": 0 }))
        .await
        .expect(200);
    for _ in 0..3 {
        search().await.error(404, "COLLECTION_NOT_FOUND");
    }
    // What cannot be leaves all as it was, what came with it included.
    for (body, field) in [
        (
            json!({ "limits.exempt_addresses": ["nowhere"], "query.max_per_connection": 1 }),
            "limits.exempt_addresses",
        ),
        (json!({ "log.level": "loud", "query.max_per_connection": 1 }), "log.level"),
    ] {
        assert_eq!(put(body).await.error(400, "VALIDATION_ERROR")["details"]["field"], field);
        let shown = api.get("/config").await.expect(200)["settings"]["query.max_per_connection"]["value"].clone();
        assert_eq!(shown, 256);
    }

    // Of connections that are open already, too.
    api.ingest("documents", &files::report("report.pdf")).await;
    let mut socket = server.socket("/ws/query").await;
    put(json!({ "query.max_per_connection": 1 })).await.expect(200);
    let question = |id: &str| json!({ "type": "query", "request_id": id, "data": { "query": "Which turbines?" } });
    socket.send_together(&[question("a"), question("b")]).await;
    let told = socket.receive_until(|message| message["type"] == "error").await;
    let refused = told.last().expect("an error");
    assert_eq!(
        (&refused["request_id"], &refused["data"]["code"]),
        (&json!("b"), &json!("RATE_LIMIT_EXCEEDED")),
        "{refused}"
    );

    // An alert begins when its level is lowered, and ends with it.
    let mut monitor = server.socket("/ws/monitor?types=system_metrics,error_alert&interval=250").await;
    put(json!({ "monitor.memory_alert_percent": 1 })).await.expect(200);
    let told = monitor.receive_until(|message| message["type"] == "error_alert").await;
    assert_eq!(told.last().expect("an alert")["data"]["details"]["threshold"], 1.0);
    put(json!({ "monitor.memory_alert_percent": 100 })).await.expect(200);
    for _ in 0..3 {
        monitor.receive_until(|message| message["type"] == "system_metrics").await;
    }
    let mut late = server.socket("/ws/monitor?types=error_alert&interval=250").await;
    late.send_text("?").await;
    assert_eq!(late.receive().await["data"]["code"], "INVALID_MESSAGE", "no alert stands");

    // The log: silent, and then talkative again.
    let line = "settings changed";
    put(json!({ "log.level": "off" })).await.expect(200);
    let silent = server.whole_log().matches(line).count();
    put(json!({ "query.max_per_connection": 7 })).await.expect(200);
    assert_eq!(server.whole_log().matches(line).count(), silent, "a line in a log that is off");
    put(json!({ "log.level": "info" })).await.expect(200);
    assert!(server.whole_log().matches(line).count() > silent);
}
