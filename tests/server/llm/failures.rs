//! Failures of the upstream: retries, broken streams, and servers that are slow or down.

use super::*;

#[tokio::test]
async fn failures_before_the_first_token_are_tried_again() {
    let mut scene = Scene::new("retries", json!({})).await;
    scene
        .upstream
        .will([status(500, "", "down"), Act::Drop, streamed(&["It is 4.2 million [1]."])]);
    let answer = scene.answer(json!({})).await;
    assert_eq!((answer.citations.len(), scene.upstream.received().len()), (1, 3));

    // And no more often than that.
    scene.upstream.will([status(502, "", ""), status(503, "", ""), status(504, "", "")]);
    let (error, _) = scene.failure().await;
    assert_eq!(
        (&error["details"]["reason"], scene.upstream.received().len()),
        (&json!("server_error"), 6)
    );

    // What will not change is not asked again.
    for (code, reason) in [(401, "unauthorized"), (404, "not_found"), (400, "rejected"), (302, "rejected")] {
        let before = scene.upstream.received().len();
        scene.upstream.will([status(code, "location: http://127.0.0.1:1/\r\n", "no")]);
        assert_eq!(scene.failure().await.0["details"]["reason"], reason);
        assert_eq!(scene.upstream.received().len(), before + 1);
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says() {
    let mut scene = Scene::new("busy", json!({})).await;
    scene
        .upstream
        .will([status(429, "retry-after: 1\r\n", "busy"), streamed(&["Yes [1]."])]);
    let start = Instant::now();
    scene.answer(json!({})).await;
    assert!(start.elapsed().as_millis() >= 1_000, "asked before its time");
    assert_eq!(scene.upstream.received().len(), 2);
    // One that is used up is not.
    scene
        .upstream
        .will([status(429, "", "{\"error\":{\"code\":\"insufficient_quota\"}}")]);
    assert_eq!(scene.failure().await.0["details"]["reason"], "rate_limited");
    assert_eq!(scene.upstream.received().len(), 3);
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_an_error_at_once() {
    let mut scene = Scene::new("later", json!({ "first_token_timeout_ms": 60000 })).await;
    scene.upstream.will([status(429, "retry-after: 3600\r\n", "")]);
    let (error, _) = scene.failure().await;
    assert_eq!(error["details"]["reason"], "rate_limited");
    assert!(
        error["details"]["retry_after"].as_u64().is_some_and(|seconds| seconds >= 3_600),
        "{error}"
    );
}

#[tokio::test]
async fn a_stream_that_is_cut_off_ends_the_query_and_is_not_begun_again() {
    let mut scene = Scene::new("cut", json!({ "on_failure": "fallback" })).await;
    scene
        .upstream
        .will([Act::Stream(Step::texts(&["The annual ", "budget ", "is"])), streamed(&["never"])]);
    let (error, text) = scene.failure().await;
    assert_eq!(error["details"]["reason"], "broken_off");
    assert!(text.starts_with("The annual"), "{text}");
    assert_eq!(scene.upstream.received().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_cut_off_before_the_first_token_is_begun_again() {
    let mut scene = Scene::new("early", json!({})).await;
    scene.upstream.will([
        Act::Stream(vec![]),
        Act::Stream(vec![Step::Other(json!({ "role": "assistant", "content": null }))]),
        streamed(&["Fine [1]."]),
    ]);
    assert_eq!(scene.answer(json!({})).await.text, "Fine [1].");
}

#[tokio::test]
async fn garbage_is_an_error_and_no_answer() {
    let mut scene = Scene::new("garbage", json!({ "retries": 0 })).await;
    let raw = |bytes: &[u8]| Act::Stream(vec![Step::Raw(bytes.to_vec()), Step::Hold]);
    let long = [b"data: ".to_vec(), vec![b'x'; 2 << 20]].concat();
    for (act, reason) in [
        (raw(b"data: {not json}\n\n"), "garbled"),
        (raw(b"data: [1, 2]\n\n"), "garbled"),
        (
            raw(b"data: {\"choices\": [{\"delta\": {\"content\": \"\xff\xfe\"}}]}\n\n"),
            "garbled",
        ),
        (raw(&long), "garbled"),
        (raw(b"data: {\"error\": {\"message\": \"out of memory\"}}\n\n"), "server_error"),
        (status(200, "content-type: text/html\r\n", "<html>Welcome</html>"), "broken_off"),
        (status(200, "content-type: application/json\r\n", "{"), "garbled"),
        (streamed(&[" ", "\n"]), "empty"),
    ] {
        scene.upstream.will([act]);
        let (error, text) = scene.failure().await;
        assert_eq!((error["details"]["reason"].as_str(), text.as_str()), (Some(reason), ""), "{error}");
    }
}

#[tokio::test]
async fn refused_connections_fail_or_fall_back_and_say_so() {
    let setup = setup();
    let generator =
        |on_failure: &str| json!({ "kind": "openai", "base_url": setup.dead_url, "model": "m", "retries": 1, "on_failure": on_failure });
    let api = setup.server.api();
    let mut socket = setup.server.socket("/ws/query").await;
    for (name, on_failure) in [("llm-dead", "fail"), ("llm-dead-fallback", "fallback")] {
        api.post(
            "/collections",
            json!({ "name": name, "pipeline": { "generator": generator(on_failure) } }),
        )
        .await
        .expect(201);
        api.ingest(name, &files::report("report.pdf")).await;
        socket
            .query(name, json!({ "query": QUESTIONS[1].0, "collection_name": name }))
            .await;
    }
    let mut ends = Vec::new();
    while ends.len() < 2 {
        ends.extend(socket.receive_until(is_end).await.pop());
    }
    ends.sort_by_key(|end| end["request_id"].to_string());
    let (failed, fell_back) = (&ends[0]["data"], &ends[1]["data"]);
    assert_eq!(
        (&failed["code"], &failed["details"]["reason"]),
        (&json!("LLM_CONNECTION_ERROR"), &json!("unreachable"))
    );
    assert_eq!(fell_back["generator"], json!({ "kind": "extractive" }));
    assert!(fell_back["sources_used"].as_u64() > Some(0), "{fell_back}");
    let warning = &fell_back["warnings"][0];
    let wanted = [
        ("stage", "generator"),
        ("plugin", "openai"),
        ("code", "LLM_CONNECTION_ERROR"),
        ("reason", "unreachable"),
        ("policy", "fallback"),
    ];
    assert!(wanted.iter().all(|(key, value)| warning[key] == *value), "{warning}");
    // Over REST too.
    let answer = api
        .post("/query", json!({ "query": QUESTIONS[1].0, "collection_name": "llm-dead-fallback" }))
        .await
        .expect(200);
    assert_eq!(answer["processing_metadata"]["generator"]["kind"], "extractive");
    assert_eq!(answer["processing_metadata"]["warnings"][0]["reason"], "unreachable");
    let refused = api
        .post("/query", json!({ "query": QUESTIONS[1].0, "collection_name": "llm-dead" }))
        .await;
    refused.error(502, "LLM_CONNECTION_ERROR");
}

#[tokio::test]
async fn a_server_that_is_too_slow_is_given_up() {
    let mut scene = Scene::new("slow", json!({ "first_token_timeout_ms": 300, "idle_timeout_ms": 300 })).await;
    scene.upstream.will([Act::Stream(vec![Step::Hold])]);
    assert_eq!(scene.failure().await.0["details"]["reason"], "timeout");
    let mut steps = Step::texts(&["The ", "annual ", "budget"]);
    steps.push(Step::Hold);
    scene.upstream.will([Act::Stream(steps)]);
    let (error, text) = scene.failure().await;
    assert_eq!(error["details"]["reason"], "timeout");
    assert!(text.starts_with("The"), "{text}");
    for wanted in [Event::Began, Event::Closed, Event::Began, Event::Closed] {
        assert_eq!(scene.upstream.event().await, wanted);
    }
}
