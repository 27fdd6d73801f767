//! Pipelines change without downtime: documents are made again beside what queries see.

use crate::support::files::{self, File};
use crate::support::{Api, Server, Socket, answered, within};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SENTENCES: usize = 60;

fn volumes(count: usize) -> Vec<File> {
    (0..count).map(|n| files::volume(70 + n, SENTENCES)).collect()
}

/// Uploads volumes, and gives their identifiers.
async fn fill(api: &Api, collection: &str, count: usize) -> Vec<String> {
    let files = volumes(count);
    let files: Vec<&File> = files.iter().collect();
    let body = api.upload("", collection, &files).await.expect(201);
    let documents = body["uploaded_documents"].as_array().expect("documents");
    assert_eq!(documents.len(), count, "{body}");
    documents
        .iter()
        .map(|document| document["document_id"].as_str().expect("an id").to_owned())
        .collect()
}

async fn put(api: &Api, collection: &str, pipeline: Value) -> crate::support::Reply {
    let request = api.request(Method::PUT, &format!("/collections/{collection}/pipeline"));
    api.send(request.json(&pipeline)).await
}

/// Returns the `data` of the next `reindex_complete`.
async fn end(events: &mut Socket) -> Value {
    let received = events.receive_until(|event| event["type"] == "reindex_complete").await;
    let progress: Vec<f64> = received.iter().filter_map(|event| event["data"]["progress"].as_f64()).collect();
    assert!(progress.is_sorted(), "{progress:?}");
    received.last().expect("an end")["data"].clone()
}

async fn info(api: &Api, collection: &str) -> Value {
    api.get(&format!("/collections/{collection}/info")).await.expect(200)
}

async fn pipeline(api: &Api, collection: &str) -> Value {
    api.get(&format!("/collections/{collection}/pipeline")).await.expect(200)
}

/// Texts that the server has embedded since it started.
async fn embedded(api: &Api) -> u64 {
    let text = api.get("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix("ibid_embedder_texts_total "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Waits until the data directory has nothing of a generation but the one that is seen.
async fn nothing_left(server: &Server, collections: usize) {
    within("the old generation to be removed", async {
        loop {
            let entries = |path: &str| {
                let entries = std::fs::read_dir(server.data_dir().join(path)).expect("a directory");
                entries
                    .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
                    .count()
            };
            if entries("index") == collections {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_change_of_chunker_re_chunks_while_queries_go_on() {
    let server = Server::start("reindex", &["ingest.reindex_percent=100"]);
    let api = server.api();
    let ids = fill(&api, "documents", 4).await;
    let old = api.found_chunks("documents", &ids[0]).await;
    let before = info(&api, "documents").await;
    let mut events = server.socket("/ws/collections").await;

    // Whoever asks meanwhile sees the old chunks or the new ones, and never fails.
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (stop, api, id) = (stop.clone(), server.api(), ids[0].clone());
        async move {
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                seen.push(api.found_chunks("documents", &id).await);
                let answer = api
                    .post("/query", json!({ "query": "Who keeps the compass of volume 71?" }))
                    .await
                    .expect(200);
                assert!(!answer["sources"].as_array().expect("sources").is_empty(), "{answer}");
            }
            seen
        }
    });
    let sentences = json!({ "chunker": { "plugin": "sentences", "config": { "sentences": 4, "overlap": 1 } } });
    let begun = put(&api, "documents", sentences.clone()).await.expect(202);
    assert_eq!(
        (
            &begun["changed"],
            &begun["redo"],
            &begun["documents_affected"],
            &begun["chunks_affected"]
        ),
        (&json!(false), &json!("re-chunk"), &json!(4), &before["total_chunks"])
    );
    assert_eq!(begun["reindex"]["status"], "running", "{begun}");
    let ended = end(&mut events).await;
    stop.store(true, Ordering::Relaxed);
    let seen = asking.await.expect("questions that never fail");
    assert_eq!(
        (&ended["status"], &ended["progress"], &ended["documents_done"]),
        (&json!("success"), &json!(1.0), &json!(4)),
        "{ended}"
    );

    let new = api.found_chunks("documents", &ids[0]).await;
    assert!(new != old && seen.first() == Some(&old), "{old}, {new}: {seen:?}");
    assert!(
        seen.iter().all(|chunks| *chunks == old || *chunks == new),
        "half of it was seen: {old}, {new}: {seen:?}"
    );
    let after = info(&api, "documents").await;
    assert_eq!(
        (&after["reindex"]["status"], &after["total_documents"]),
        (&json!("success"), &json!(4))
    );
    assert_eq!(after["total_chunks"], ended["chunks_done"]);
    assert_eq!(after["pipeline"]["chunker"], sentences["chunker"]);

    // What made it is told by the collection, by each document, and with each answer.
    let lock = pipeline(&api, "documents").await["lock"].clone();
    assert_eq!(lock["plugins"]["chunker"]["name"], "sentences");
    for id in &ids {
        let detail = api.get(&format!("/documents/{id}")).await.expect(200);
        let own = &detail["processing_info"]["pipeline"];
        assert_eq!(
            (&own["plugins"]["chunker"], &own["model"]),
            (&lock["plugins"]["chunker"], &lock["model"])
        );
        assert_eq!(own["plugins"]["extractor"]["name"], "text");
        assert!(
            own["plugins"]["extractor"]["digest"]
                .as_str()
                .is_some_and(|digest| digest.starts_with("sha256:"))
        );
        assert_eq!(detail["statistics"]["chunks"], api.found_chunks("documents", id).await);
    }
    let answer = api
        .post("/query", json!({ "query": "Where is the compass of volume 70?" }))
        .await
        .expect(200);
    let told = &answer["processing_metadata"]["pipeline"];
    assert_eq!((&told["plugins"], &told["model"]), (&lock["plugins"], &lock["model"]));
    let mut socket = server.socket("/ws/query").await;
    socket.query("a", json!({ "query": "Where is the compass of volume 70?" })).await;
    let told = answered(&socket.answer("a").await).complete["pipeline"].clone();
    assert_eq!((&told["plugins"], &told["model"]), (&lock["plugins"], &lock["model"]));
    nothing_left(&server, 1).await;

    // The same chunks are not embedded again, whatever else is made again.
    let count = embedded(&api).await;
    let begun = api
        .post("/collections/documents/reindex?redo=re-extract", Value::Null)
        .await
        .expect(202);
    assert_eq!(
        (&begun["redo"], &begun["documents"]),
        (&json!("re-extract"), &json!({ "re-extract": 4 }))
    );
    let ended = end(&mut events).await;
    assert_eq!(
        (&ended["status"], &ended["chunks_reused"]),
        (&json!("success"), &ended["chunks_done"]),
        "{ended}"
    );
    let german = json!({ "chunker": sentences["chunker"], "retrieval": { "language": "german" } });
    assert_eq!(put(&api, "documents", german).await.expect(202)["redo"], "re-embed");
    let ended = end(&mut events).await;
    assert_eq!(
        (&ended["status"], &ended["chunks_reused"]),
        (&json!("success"), &ended["chunks_done"]),
        "{ended}"
    );
    assert_eq!(embedded(&api).await, count, "what was embedded before is copied");
    assert_eq!(api.found_chunks("documents", &ids[0]).await, new);
    for (id, file) in ids.iter().zip(volumes(4)) {
        assert_eq!(api.text(id, "").await.into_bytes(), file.bytes);
    }
    nothing_left(&server, 1).await;
}

#[tokio::test]
async fn a_re_index_goes_on_after_kill_9_and_embeds_nothing_twice() {
    let mut server = Server::start("reindex-kill", &["ingest.reindex_percent=25"]);
    let ids = fill(&server.api(), "documents", 5).await;
    let mut events = server.socket("/ws/collections").await;
    let old = server.api().found_chunks("documents", &ids[4]).await;
    put(&server.api(), "documents", json!({ "chunker": { "plugin": "sentences" } }))
        .await
        .expect(202);
    let told = events
        .receive_until(|event| event["type"] == "reindex_complete" || event["data"]["documents_done"].as_u64().is_some_and(|done| done > 0))
        .await;
    let last = told.last().expect("an event").clone();
    assert_eq!(last["type"], "reindex_progress", "five documents are not done at once");
    server.kill9();
    server.restart();
    let api = server.api();
    // What happened before the socket opened is replayed.
    let mut events = server.socket(&format!("/ws/collections?after={}", last["seq"])).await;
    let ended = end(&mut events).await;
    assert_eq!(ended["status"], "success", "{ended}");
    let done = last["data"]["chunks_done"].as_u64().expect("a count");
    let all = ended["chunks_done"].as_u64().expect("a count");
    let since = embedded(&api).await;
    assert!(
        since <= all - done,
        "{since} texts were embedded after {done} of {all} chunks were done"
    );
    let mut chunks = 0;
    for id in &ids {
        let found = api.found_chunks("documents", id).await;
        assert_eq!(
            api.get(&format!("/documents/{id}")).await.expect(200)["statistics"]["chunks"],
            found
        );
        chunks += found as u64;
    }
    assert_eq!(chunks, all);
    assert_ne!(api.found_chunks("documents", &ids[4]).await, old);
    nothing_left(&server, 1).await;
}

#[tokio::test]
async fn what_fails_or_is_stopped_leaves_the_collection_as_it_was() {
    let server = Server::start("reindex-fails", &["ingest.reindex_percent=1"]);
    let api = server.api();
    let ids = fill(&api, "documents", 2).await;
    let (before, chunks) = (pipeline(&api, "documents").await, api.found_chunks("documents", &ids[0]).await);
    let mut events = server.socket("/ws/collections").await;
    let unchanged = async |status: &str| {
        assert_eq!(pipeline(&api, "documents").await, before);
        assert_eq!(api.found_chunks("documents", &ids[0]).await, chunks);
        let info = info(&api, "documents").await;
        assert_eq!(info["reindex"]["status"], status, "{info}");
        nothing_left(&server, 1).await;
        info["reindex"].clone()
    };

    // Less memory than the chunker begins with.
    let hopeless = json!({ "chunker": { "plugin": "sentences" }, "limits": { "memory_mb": 1 } });
    put(&api, "documents", hopeless).await.expect(202);
    let ended = end(&mut events).await;
    assert_eq!(
        (&ended["status"], &ended["error"]["code"]),
        (&json!("failed"), &json!("PLUGIN_ERROR")),
        "{ended}"
    );
    let message = ended["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("volume-7") && message.contains("sentences"), "{message}");
    assert_eq!(unchanged("failed").await["error"], ended["error"]);

    // Of this one there is time to see it run.
    let sentences = json!({ "chunker": { "plugin": "sentences" } });
    put(&api, "documents", sentences.clone()).await.expect(202);
    assert_eq!(info(&api, "documents").await["reindex"]["status"], "running");
    let refused = put(&api, "documents", json!({ "retrieval": { "limit": 3 } }))
        .await
        .error(409, "CONFLICT");
    assert_eq!(refused["details"]["reindex"]["status"], "running", "{refused}");
    api.post("/collections/documents/reindex", Value::Null).await.error(409, "CONFLICT");
    let request = api.request(Method::PUT, "/collections/documents/pipeline?dry_run=true");
    assert_eq!(api.send(request.json(&sentences)).await.expect(200)["redo"], "re-chunk");
    let stopped = api.delete("/collections/documents/reindex").await.expect(200);
    assert_eq!(stopped["status"], "cancelled", "{stopped}");
    assert_eq!(end(&mut events).await["status"], "cancelled");
    unchanged("cancelled").await;
    api.delete("/collections/documents/reindex").await.error(409, "CONFLICT");

    // A collection that goes takes its re-index along.
    put(&api, "documents", sentences).await.expect(202);
    api.delete("/collections/documents?confirm=true").await.expect(200);
    nothing_left(&server, 0).await;
}

#[tokio::test]
async fn documents_that_come_and_go_meanwhile_are_in_the_new_index_or_are_not() {
    let server = Server::start("reindex-changes", &["ingest.reindex_percent=20"]);
    let api = server.api();
    let ids = fill(&api, "documents", 4).await;
    let mut events = server.socket("/ws/collections").await;
    put(&api, "documents", json!({ "chunker": { "plugin": "sentences" } }))
        .await
        .expect(202);
    // One that is made anew first, and one that is made anew last, go; one comes, and can be asked about at once.
    for id in [&ids[0], &ids[3]] {
        api.delete(&format!("/documents/{id}")).await.expect(200);
    }
    let come = api.ingest("documents", &files::volume(90, SENTENCES)).await;
    let come = come["document_id"].as_str().expect("an id");
    assert!(api.found_chunks("documents", come).await > 0);
    let ended = end(&mut events).await;
    assert_eq!(
        (&ended["status"], &ended["documents_done"]),
        (&json!("success"), &json!(3)),
        "{ended}"
    );
    let mut chunks = 0;
    for id in [ids[1].as_str(), &ids[2], come] {
        let detail = api.get(&format!("/documents/{id}")).await.expect(200);
        assert_eq!(detail["processing_info"]["pipeline"]["plugins"]["chunker"]["name"], "sentences");
        let found = api.found_chunks("documents", id).await;
        assert_eq!(detail["statistics"]["chunks"], found);
        chunks += found;
    }
    for id in [&ids[0], &ids[3]] {
        assert_eq!(api.found_chunks("documents", id).await, 0);
        api.get(&format!("/documents/{id}")).await.error(404, "RESOURCE_NOT_FOUND");
    }
    let info = info(&api, "documents").await;
    assert_eq!((&info["total_documents"], &info["total_chunks"]), (&json!(3), &json!(chunks)));
    nothing_left(&server, 1).await;
}

#[tokio::test]
async fn a_re_index_brings_documents_to_their_collections_pipeline() {
    let server = Server::shared();
    let api = server.api();
    let name = "reindex-own";
    api.ingest(name, &files::volume(61, SENTENCES)).await;
    let file = files::volume(62, SENTENCES);
    let form = Form::new()
        .text("collection_name", name)
        .text("chunk_size", "60")
        .text("chunk_overlap", "5")
        .part("files", Part::bytes(file.bytes).file_name(file.name));
    let own = api
        .send(api.request(Method::POST, "/documents/upload").multipart(form))
        .await
        .expect(201);
    let own = own["uploaded_documents"][0]["document_id"].as_str().expect("an id").to_owned();
    let chunker = async || {
        let detail = api.get(&format!("/documents/{own}")).await.expect(200);
        detail["processing_info"]["pipeline"]["pipeline"]["chunker"]["config"].clone()
    };
    assert_eq!(chunker().await["target_tokens"], 60);
    let path = format!("/collections/{name}/reindex");
    let plan = api.post(&format!("{path}?dry_run=true"), Value::Null).await.expect(200);
    assert_eq!(
        (&plan["documents"], &plan["documents_affected"]),
        (&json!({ "nothing": 1, "re-chunk": 1 }), &json!(1))
    );
    assert_eq!(plan.get("reindex"), None, "{plan}");
    let mut events = server.socket(&format!("/ws/collections?collection={name}")).await;
    assert_eq!(api.post(&path, Value::Null).await.expect(202)["redo"], "re-chunk");
    assert_eq!(end(&mut events).await["status"], "success");
    assert_eq!(chunker().await, pipeline(&api, name).await["pipeline"]["chunker"]["config"]);
    let plan = api.post(&format!("{path}?dry_run=true"), Value::Null).await.expect(200);
    assert_eq!((&plan["redo"], &plan["documents_affected"]), (&json!("nothing"), &json!(0)));
    let error = api
        .post(&format!("{path}?redo=everything"), Value::Null)
        .await
        .error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"]["field"], "redo");
    api.post("/collections/no-such/reindex", Value::Null)
        .await
        .error(404, "COLLECTION_NOT_FOUND");
}
