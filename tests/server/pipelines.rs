//! Pipelines as data: files, their schema, and what is checked before anything changes.

use crate::support::Server;
use crate::support::files;
use crate::support::models::{install_reranker, own_share};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;

/// The pipelines of `examples/pipelines`, by file name.
fn presets() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pipelines");
    let entries = std::fs::read_dir(directory).expect("examples/pipelines");
    let mut found: Vec<(String, Value)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("a file");
            let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, serde_json::to_value(table).expect("JSON"))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[tokio::test]
async fn every_preset_holds_to_the_schema_and_would_run() {
    let share = own_share();
    install_reranker(share.path(), "ms-marco-MiniLM-L6-v2");
    let server = Server::start_with_share("presets", share.path(), &["llm.base_url=http://127.0.0.1:9/v1", "llm.model=any"]);
    let api = server.api();
    let schema = api.get("/pipelines/schema").await.expect(200);
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let presets = presets();
    assert!(presets.len() >= 6, "{presets:?}");
    for (name, preset) in &presets {
        let wrong: Vec<String> = validator.iter_errors(preset).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
        let checked = api.post("/pipelines/validate", preset.clone()).await;
        assert_eq!(checked.status.as_u16(), 200, "{name}: {}", checked.text());
        let checked = checked.json();
        assert_eq!(checked["valid"], true);
        // What the preset says is what holds.
        for (key, value) in preset.as_object().expect("a table") {
            for (setting, value) in value.as_object().expect("a table") {
                assert_eq!(&checked["pipeline"][key][setting], value, "{name}: {key}.{setting}");
            }
        }
        assert!(validator.is_valid(&checked["pipeline"]), "{name}");
    }
    let default = &presets.iter().find(|(name, _)| name == "default.toml").expect("a default").1;
    let (stated, plain) = (
        api.post("/pipelines/validate", default.clone()).await.expect(200),
        api.post("/pipelines/validate", json!({})).await.expect(200),
    );
    for key in ["retrieval", "generator"] {
        assert_eq!(stated["pipeline"][key], plain["pipeline"][key], "default.toml states the defaults");
    }
    assert_eq!(stated["lock"]["plugins"], plain["lock"]["plugins"]);
}

#[tokio::test]
async fn what_cannot_run_is_refused_by_its_key_and_nothing_changes() {
    let server = Server::shared();
    let api = server.api();
    api.post("/collections", json!({ "name": "pipelines-refused" })).await.expect(201);
    api.ingest("pipelines-refused", &files::report("report.pdf")).await;
    let before = api.get("/collections/pipelines-refused/pipeline").await.expect(200);
    for (pipeline, field, says) in [
        (json!({ "chunker": { "plugin": "no-such" } }), "pipeline.chunker.plugin", "no-such"),
        (json!({ "chunker": { "plugin": "rules" } }), "pipeline.chunker.plugin", "rules"),
        (
            json!({ "chunker": { "plugin": "sentences@^9" } }),
            "pipeline.chunker.plugin",
            "sentences",
        ),
        (
            json!({ "chunker": { "plugin": "semantic" } }),
            "pipeline.chunker.grants",
            "grants = [\"embed\"]",
        ),
        (
            json!({ "chunker": { "plugin": "sentences", "config": { "sentences": 0 } } }),
            "pipeline.chunker.config.sentences",
            "0",
        ),
        (
            json!({ "citations": { "plugin": "numeric", "config": { "style": "loud" } } }),
            "pipeline.citations.config.style",
            "loud",
        ),
        (
            json!({ "extractors": { "text/html": "no-such" } }),
            "pipeline.extractors.text/html.plugin",
            "no-such",
        ),
        (json!({ "embedder": { "model": "no-such" } }), "pipeline.embedder.model", "no-such"),
        (
            json!({ "retrieval": { "language": "klingon" } }),
            "pipeline.retrieval.language",
            "klingon",
        ),
        (json!({ "limits": { "memory_mb": 100_000 } }), "pipeline.limits.memory_mb", "1024"),
        (json!({ "analyser": {} }), "pipeline.analyser", "analyser"),
    ] {
        for query in ["", "?dry_run=true"] {
            let request = api.request(Method::PUT, &format!("/collections/pipelines-refused/pipeline{query}"));
            let error = api.send(request.json(&pipeline)).await.error(400, "VALIDATION_ERROR");
            assert_eq!(error["details"]["field"], field, "{error}");
            assert!(error["details"]["issue"].as_str().unwrap_or_default().contains(says), "{error}");
        }
        let error = api.post("/pipelines/validate", pipeline).await.error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], field, "{error}");
    }
    assert_eq!(api.get("/collections/pipelines-refused/pipeline").await.expect(200), before);
}

#[tokio::test]
async fn a_dry_run_counts_the_documents_and_chunks_to_be_made_again() {
    let server = Server::shared();
    let api = server.api();
    api.ingest("pipelines-counted", &files::report("report.pdf")).await;
    api.ingest("pipelines-counted", &files::volume(60, 40)).await;
    let chunks = api.get("/collections/pipelines-counted/info").await.expect(200)["total_chunks"].clone();
    for (pipeline, redo, documents, chunks) in [
        (json!({ "retrieval": { "limit": 3 } }), "nothing", json!(0), json!(0)),
        (
            json!({ "chunker": { "plugin": "sentences" } }),
            "re-chunk",
            json!(2),
            chunks.clone(),
        ),
        (json!({ "retrieval": { "language": "german" } }), "re-embed", json!(2), chunks),
    ] {
        let request = api.request(Method::PUT, "/collections/pipelines-counted/pipeline?dry_run=true");
        let tried = api.send(request.json(&pipeline)).await.expect(200);
        assert_eq!(
            (
                &tried["redo"],
                &tried["documents_affected"],
                &tried["chunks_affected"],
                &tried["changed"]
            ),
            (&json!(redo), &documents, &chunks, &json!(false)),
            "{tried}"
        );
    }
}
