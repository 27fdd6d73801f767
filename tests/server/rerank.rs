//! Passages in the order that a cross-encoder gives them: a small one, which likes nothing but apples.

use crate::support::files::File;
use crate::support::models::{install, install_reranker, own_share};
use crate::support::{Answered, Api, Server, answered};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;

const QUESTION: &str = "Where is the river of stone and water?";

/// Files in the order in which the question finds them by itself, each with more apples than the one before.
const FILES: [(&str, &str); 3] = [
    ("one.txt", "The river is the water of stone and the river is where the water is.\n"),
    ("two.txt", "The night of the apple is the night of the water and of the apple.\n"),
    ("three.txt", "The apple is an apple. Apple, apple and apple: bread of apple.\n"),
];

async fn make(api: &Api, name: &str, reranker: Value) {
    let new = json!({ "name": name, "pipeline": { "reranker": reranker } });
    api.post("/collections", new).await.expect(201);
    for (file, text) in FILES {
        api.ingest(name, &File::new(file, text)).await;
    }
}

/// What a search of the collection answers, which leaves nothing out.
async fn search(api: &Api, collection: &str, more: Value) -> Value {
    let mut request = json!({ "query": QUESTION, "collection_name": collection, "relative_threshold": 0 });
    let fields = request.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    api.post("/search", request).await.expect(200)
}

/// The files of the results, in their order.
fn files(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().expect("results");
    results
        .iter()
        .map(|hit| hit["metadata"]["source"].as_str().expect("a source"))
        .collect()
}

fn scores(answer: &Value) -> Vec<f64> {
    let results = answer["results"].as_array().expect("results");
    results
        .iter()
        .map(|hit| hit["relevance_score"].as_f64().expect("a score"))
        .collect()
}

async fn ask(server: &Server, collection: &str, mode: &str) -> Answered {
    let mut socket = server.socket("/ws/query").await;
    let question = json!({ "query": QUESTION, "collection_name": collection, "mode": mode });
    socket.query("q", question).await;
    answered(&socket.answer("q").await)
}

const FOUND: [&str; 3] = ["one.txt", "two.txt", "three.txt"];
const RERANKED: [&str; 3] = ["three.txt", "two.txt", "one.txt"];

#[tokio::test]
async fn a_reranker_orders_what_was_found() {
    let share = own_share();
    install_reranker(share.path(), "judge");
    let server = Server::start_with_share("rerank", share.path(), &[]);
    let api = server.api();
    make(&api, "judged", json!({ "model": "judge" })).await;
    let plain = search(&api, "judged", json!({})).await;
    assert_eq!((files(&plain), &plain["reranked"]), (FOUND.to_vec(), &json!(false)), "{plain}");
    let reranked = search(&api, "judged", json!({ "rerank": true })).await;
    assert_eq!(
        (files(&reranked), &reranked["reranked"]),
        (RERANKED.to_vec(), &json!(true)),
        "{reranked}"
    );
    let told = scores(&reranked);
    assert!(
        told.is_sorted_by(|a, b| a > b) && told.iter().all(|score| (0.0..=1.0).contains(score)),
        "{told:?}"
    );
    assert!(reranked.get("warnings").is_none(), "{reranked}");
    // Whoever asks again gets the same.
    let again = search(&api, "judged", json!({ "rerank": true })).await;
    assert_eq!(again["results"], reranked["results"]);

    // The pipeline says for which modes; the client may say otherwise.
    let wide = search(&api, "judged", json!({ "mode": "comprehensive" })).await;
    assert_eq!((files(&wide), &wide["reranked"]), (RERANKED.to_vec(), &json!(true)), "{wide}");
    let unasked = search(&api, "judged", json!({ "mode": "comprehensive", "rerank": false })).await;
    assert_eq!(
        (files(&unasked), &unasked["reranked"]),
        (FOUND.to_vec(), &json!(false)),
        "{unasked}"
    );
    // Pages and thresholds are of the new order.
    let second = search(&api, "judged", json!({ "rerank": true, "limit": 1, "offset": 1 })).await;
    assert_eq!(
        (files(&second), &second["results"][0]["rank"]),
        (vec!["two.txt"], &json!(2)),
        "{second}"
    );
    let best = search(&api, "judged", json!({ "rerank": true, "score_threshold": told[0] - 1e-6 })).await;
    assert_eq!(files(&best), ["three.txt"], "{best}");

    let answer = ask(&server, "judged", "comprehensive").await;
    let reading: Vec<_> = answer
        .statuses
        .iter()
        .map(|status| {
            (
                status["stage"].as_str().unwrap_or_default(),
                status["message"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert!(
        reading.contains(&("retrieving_documents", "Reading 3 passages again")),
        "{reading:?}"
    );
    assert!(
        answer.complete["timings"]["reranking"].as_f64().is_some_and(|time| time > 0.0),
        "{}",
        answer.complete
    );
    assert!(answer.complete.get("warnings").is_none(), "{}", answer.complete);
    let locked = &answer.complete["pipeline"]["reranker"];
    assert_eq!(
        (&locked["name"], locked["sha256"].as_str().map(str::len)),
        (&json!("judge"), Some(64)),
        "{locked}"
    );
    let balanced = ask(&server, "judged", "balanced").await;
    assert!(balanced.complete["timings"].get("reranking").is_none(), "{}", balanced.complete);

    // Nothing that is stored was made by it: another setting holds at once.
    let put = |pipeline: Value| api.send(api.request(Method::PUT, "/collections/judged/pipeline").json(&pipeline));
    let changed = put(json!({ "reranker": { "model": "judge", "modes": ["balanced"], "top_k": 2 } }))
        .await
        .expect(200);
    assert_eq!(
        (&changed["redo"], &changed["changed"]),
        (&json!("nothing"), &json!(true)),
        "{changed}"
    );
    let balanced = search(&api, "judged", json!({})).await;
    assert_eq!(
        (files(&balanced), &balanced["reranked"]),
        (RERANKED.to_vec(), &json!(true)),
        "as many as the query takes are read"
    );
    let first = search(&api, "judged", json!({ "limit": 1 })).await;
    assert_eq!(files(&first), ["two.txt"], "the best of the two that are read");
    let changed = put(json!({})).await.expect(200);
    assert_eq!(
        (&changed["redo"], &changed["pipeline"]["reranker"]),
        (&json!("nothing"), &Value::Null),
        "{changed}"
    );
    let plain = search(&api, "judged", json!({ "rerank": true })).await;
    assert_eq!(
        (files(&plain), &plain["reranked"]),
        (FOUND.to_vec(), &json!(false)),
        "there is none any more"
    );

    let metrics = api.get("/metrics").await.text();
    let pairs = metrics
        .lines()
        .find_map(|line| line.strip_prefix("ibid_reranker_pairs_total ")?.parse::<f64>().ok());
    assert!(pairs.is_some_and(|pairs| pairs >= 20.0), "{pairs:?}");
}

#[tokio::test]
async fn embedding_models_and_rerankers_are_not_taken_for_one_another() {
    let share = own_share();
    install_reranker(share.path(), "judge");
    install(share.path(), "eight", 8, 1);
    let server = Server::start_with_share("rerank-kinds", share.path(), &[]);
    let api = server.api();
    for (pipeline, field, says) in [
        (
            json!({ "reranker": { "model": "none-such" } }),
            "pipeline.reranker.model",
            "no reranker `none-such` is installed",
        ),
        (
            json!({ "reranker": { "model": "../judge" } }),
            "pipeline.reranker.model",
            "no reranker",
        ),
        (
            json!({ "reranker": { "model": "eight" } }),
            "pipeline.reranker.model",
            "`eight` is an embedding model, not a reranker",
        ),
        (
            json!({ "reranker": { "model": "all-MiniLM-L6-v2" } }),
            "pipeline.reranker.model",
            "is an embedding model",
        ),
        (
            json!({ "embedder": { "model": "judge" } }),
            "pipeline.embedder.model",
            "`judge` is a reranker, not an embedding model",
        ),
        (
            json!({ "reranker": { "model": "judge", "top_k": 0 } }),
            "pipeline.reranker.top_k",
            "1 to 200",
        ),
    ] {
        let error = api.post("/pipelines/validate", pipeline).await.error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], field, "{error}");
        let issue = error["details"]["issue"].as_str().unwrap_or_default();
        assert!(
            issue.contains(says) && (field.ends_with("top_k") || issue.contains("ibid model list")),
            "{error}"
        );
    }
    let error = api.post("/v1/embeddings", json!({ "model": "judge", "input": "apple" })).await;
    let error = error.error(400, "VALIDATION_ERROR");
    assert!(
        error["message"].as_str().is_some_and(|message| message.contains("is a reranker")),
        "{error}"
    );
    let listed = api.get("/v1/models/judge").await.expect(200);
    assert_eq!(
        (&listed["kind"], &listed["loaded"], listed.get("dimension")),
        (&json!("reranker"), &json!([]), None)
    );
    let output = crate::support::process::program(share.path())
        .args(["model", "list", "--json", "--server", server.url(), "--share-dir"])
        .arg(share.path())
        .output()
        .expect("the program");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let kinds: Vec<_> = told["models"]
        .as_array()
        .expect("models")
        .iter()
        .map(|model| {
            (
                model["name"].as_str().unwrap_or_default(),
                model["kind"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [("all-MiniLM-L6-v2", "embedding"), ("eight", "embedding"), ("judge", "reranker")]
    );
}

/// One warning, which says what was done instead.
fn warned(warnings: &Value) {
    let warnings = warnings.as_array().expect("warnings");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let told = (&warnings[0]["stage"], &warnings[0]["plugin"], &warnings[0]["policy"]);
    assert_eq!(told, (&json!("reranker"), &json!("judge"), &json!("fallback")), "{warnings:?}");
    let message = warnings[0]["message"].as_str().unwrap_or_default();
    assert!(
        !message.contains('/') && message.contains("in the order in which they were found"),
        "{message}"
    );
}

#[tokio::test]
async fn without_its_reranker_a_collection_still_answers_and_says_so() {
    let share = own_share();
    install_reranker(share.path(), "judge");
    let mut server = Server::start_with_share("rerank-failing", share.path(), &[]);
    make(&server.api(), "judged", json!({ "model": "judge" })).await;
    let directory = share.path().join("models/judge");
    let damage: [fn(&Path); 2] = [
        |directory| std::fs::write(directory.join("model.onnx"), "damaged").expect("written"),
        |directory| std::fs::remove_dir_all(directory).expect("removed"),
    ];
    for damage in damage {
        damage(&directory);
        server.terminate();
        server.stopped().await;
        server.restart();
        let api = server.api();
        let answer = ask(&server, "judged", "comprehensive").await;
        assert_eq!(answer.complete["status"], "completed");
        warned(&answer.complete["warnings"]);
        let found = search(&api, "judged", json!({ "rerank": true })).await;
        assert_eq!((files(&found), &found["reranked"]), (FOUND.to_vec(), &json!(false)), "{found}");
        warned(&found["warnings"]);
        // Whoever does not want it is told nothing, and documents come and go.
        let plain = search(&api, "judged", json!({})).await;
        assert!(plain.get("warnings").is_none(), "{plain}");
        let document = api.ingest("judged", &File::new("more.txt", "The bread of the night.\n")).await;
        let id = document["document_id"].as_str().expect("an id");
        api.delete(&format!("/documents/{id}")).await.expect(200);
    }
    // Back again, it is used without a new start.
    install_reranker(share.path(), "judge");
    let again = search(&server.api(), "judged", json!({ "rerank": true })).await;
    assert_eq!((files(&again), &again["reranked"]), (RERANKED.to_vec(), &json!(true)), "{again}");
}
