//! Pipelines and settings that name a language model.

use super::*;

#[tokio::test]
async fn a_models_server_and_prompt_are_shown_to_those_who_configure() {
    let secret = format!("auth.secret={}", tokens::SECRET);
    let settings = ["auth.enabled=true", &secret, "llm.allowed_base_urls=http://127.0.0.1:9/hidden/v1"];
    let server = Server::start("llm-shown", &settings);
    let generator = json!({
        "kind": "openai", "base_url": "http://127.0.0.1:9/hidden/v1", "model": "scripted",
        "system": "hidden: be brief", "prompt": "hidden: {passages} {question}",
    });
    let api = |scope: &str| server.api().with_token(&tokens::scoped(scope));
    let made = json!({ "name": "shown", "pipeline": { "generator": generator } });
    let answer = api("read write").post("/collections", made).await.expect(201);
    assert!(!answer.to_string().contains("hidden"), "{answer}");
    let document = api("read write").ingest("shown", &files::report("report.pdf")).await;
    let id = document["document_id"].as_str().expect("an id");
    for path in [
        "/collections/shown".to_owned(),
        "/collections/shown/info".to_owned(),
        "/collections/shown/pipeline".to_owned(),
        format!("/documents/{id}"),
    ] {
        for scope in ["read", "read write delete monitor"] {
            let shown = api(scope).get(&path).await.expect(200).to_string();
            assert!(!shown.contains("hidden"), "{scope} {path}: {shown}");
        }
        if path.starts_with("/collections") {
            for scope in ["read config", "admin"] {
                let shown = api(scope).get(&path).await.expect(200);
                assert_eq!(
                    shown["pipeline"]["generator"]["base_url"], "http://127.0.0.1:9/hidden/v1",
                    "{scope} {path}"
                );
                assert_eq!(shown["pipeline"]["generator"]["system"], "hidden: be brief", "{scope} {path}");
                assert_eq!(shown["pipeline"]["generator"]["model"], "scripted");
            }
        }
    }
    let model = api("read").get("/collections/shown/pipeline").await.expect(200);
    assert_eq!(model["pipeline"]["generator"]["model"], "scripted", "the rest is shown: {model}");
    for path in ["/collections", "/v1/models", "/status"] {
        let shown = api("read").get(path).await.expect(200).to_string();
        assert!(!shown.contains("hidden"), "{path}: {shown}");
    }
}

#[tokio::test]
async fn pipelines_that_cannot_be_are_refused_and_name_the_key() {
    let setup = setup();
    let api = setup.server.api();
    let good = format!("{}/cites/v1", setup.hub.url);
    for (generator, key, issue) in [
        (
            json!({ "kind": "openai", "base_url": "http://169.254.169.254/latest", "model": "m" }),
            "base_url",
            "operator allows",
        ),
        (
            json!({ "kind": "openai", "base_url": format!("{good}/../../other/v1"), "model": "m" }),
            "base_url",
            "operator allows",
        ),
        (
            json!({ "kind": "openai", "base_url": "file:///etc/passwd", "model": "m" }),
            "base_url",
            "http or https",
        ),
        (json!({ "kind": "openai", "model": "m" }), "base_url", "no default"),
        (json!({ "kind": "openai", "base_url": good }), "model", "no default"),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "prompt": "{passages}" }),
            "prompt",
            "{question}",
        ),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "prompt": "{passages} {question} {x}" }),
            "prompt",
            "unknown placeholder `{x}`",
        ),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "system": "{passages}" }),
            "system",
            "{language}",
        ),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "max_tokens": 500_000 }),
            "max_tokens",
            "at most 1024",
        ),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "on_failure": "skip" }),
            "on_failure",
            "fallback",
        ),
        (json!({ "kind": "oracle" }), "kind", "openai"),
        (json!({ "kind": "extractive", "model": "m" }), "model", "extractive"),
    ] {
        let reply = api
            .post(
                "/collections",
                json!({ "name": "llm-refused", "pipeline": { "generator": generator } }),
            )
            .await;
        let error = reply.error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], format!("pipeline.generator.{key}"), "{error}");
        assert!(
            error["details"]["issue"].as_str().is_some_and(|text| text.contains(issue)),
            "{error}"
        );
    }
    api.get("/collections/llm-refused/info").await.error(404, "COLLECTION_NOT_FOUND");
}

#[tokio::test]
async fn the_settings_name_the_generator_of_pipelines_that_name_none_and_their_key_is_never_shown() {
    const KEY: &str = "sk-test-4711-secret";
    let hub = Hub::start(&["default"], None);
    let upstream = Upstream::of(&hub, "default");
    let home = tempfile::tempdir().unwrap();
    let key_file = home.path().join("key");
    std::fs::write(&key_file, format!("{KEY}\n")).unwrap();
    let settings = [
        format!("llm.base_url={}/default/v1", hub.url),
        "llm.model=house-model".to_owned(),
        format!("llm.api_key_file={}", key_file.display()),
        "llm.on_failure=fallback".to_owned(),
        "llm.retries=0".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Server::start("llm-default", &settings);
    let api = server.api();
    upstream.lists(401, &[]);
    let health = api.get("/health").await.expect(200);
    assert_eq!(
        (&health["status"], &health["services"]["llm_service"]["status"]),
        (&json!("degraded"), &json!("unhealthy")),
        "{health}"
    );
    assert!(
        health["services"]["llm_service"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("llm.api_key")),
        "{health}"
    );

    api.ingest(
        "documents",
        &File::new("note.txt", "The annual budget of the IT department amounts to 4.2 million dollars."),
    )
    .await;
    upstream.will([streamed(&["It amounts to 4.2 million dollars [1]."])]);
    let answer = api.post("/query", json!({ "query": QUESTIONS[1].0 })).await.expect(200);
    assert_eq!(answer["processing_metadata"]["generator"]["model"], "house-model");
    assert_eq!(upstream.received()[0].header["authorization"], format!("Bearer {KEY}"));

    upstream.will([status(401, "", &format!("wrong key {KEY}"))]);
    let fell_back = api.post("/query", json!({ "query": QUESTIONS[1].0 })).await.expect(200);
    assert_eq!(fell_back["processing_metadata"]["warnings"][0]["reason"], "unauthorized");
    let log = server.log();

    // The command line tells of both.
    upstream.will([status(503, "", "")]);
    let run = |arguments: &[&str]| {
        let mut command = program(home.path());
        command
            .args(arguments)
            .env("IBID_SERVER", server.url())
            .env("IBID_SHARE_DIR", share());
        command
            .env("IBID_DATA_DIR", server.data_dir())
            .env("IBID_SERVER_LISTEN", server.address());
        command
            .env("IBID_LLM_BASE_URL", format!("{}/default/v1", hub.url))
            .env("IBID_LLM_MODEL", "house-model");
        command.env("IBID_LLM_API_KEY", KEY);
        async move {
            let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&done.stdout), text(&done.stderr))
        }
    };
    let (out, notes) = run(&["ask", QUESTIONS[1].0]).await;
    assert!(
        out.contains("4.2 million") && notes.contains("Warning: the language model's server failed"),
        "{out}{notes}"
    );
    let (doctor, _) = run(&["doctor"]).await;
    assert!(doctor.contains("refuses this server's key"), "{doctor}");
    upstream.lists(200, &["house-model:latest"]);
    let (doctor, _) = run(&["doctor"]).await;
    assert!(doctor.contains("and has `house-model`"), "{doctor}");
    let (settings, _) = run(&["config"]).await;
    assert!(settings.contains("#api_key = \"(hidden)\""), "{settings}");

    let extractive = json!({ "name": "own", "pipeline": { "generator": { "kind": "extractive" } } });
    api.post("/collections", extractive).await.expect(201);
    let none = api
        .post("/query", json!({ "query": "Anything?", "collection_name": "own" }))
        .await
        .expect(200);
    assert_eq!(none["processing_metadata"]["generator"]["kind"], "extractive");
    let everything = [answer, fell_back, health].map(|value| value.to_string()).concat() + &log + &server.log() + &doctor + &settings;
    assert!(log.contains("wrong key (hidden)"), "the refusal is not in the log: {log}");
    assert!(!everything.contains(KEY), "the key is shown");
}
