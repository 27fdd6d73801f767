//! Collections in a Qdrant server: what happens where there is none, and with a real one (see `tests/support/qdrant.rs`) the life of
//! documents there, outages, and moves.

use crate::backup::{backup, restore};
use crate::support::files::{self, File};
use crate::support::process::program;
use crate::support::qdrant::{self, Door, Gate, Node};
use crate::support::qdrant_double::AnyQdrant;
use crate::support::{Api, Server, Socket, within};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Sentences of a document that takes more than one window of chunks.
const LONG: usize = 1500;

fn settings(url: &str, prefix: &str, default: &str) -> Vec<String> {
    let mut settings = vec![
        format!("qdrant.url={url}"),
        format!("qdrant.collection_prefix={prefix}"),
        format!("index.default={default}"),
        "qdrant.retries=1".to_owned(),
    ];
    if let Ok(key) = std::env::var("IBID_TEST_QDRANT_API_KEY") {
        settings.push(format!("qdrant.api_key={key}"));
    }
    settings
}

fn start(name: &'static str, settings: &[String]) -> Server {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Server::start(name, &settings)
}

async fn vector_db(api: &Api) -> Value {
    api.get("/health").await.json()["services"]["vector_db"].clone()
}

/// Waits until `/health` says so of the vector index.
async fn becomes(api: &Api, status: &str) {
    within("the health of the index to change", async {
        while vector_db(api).await["status"] != status {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Waits for the monitor to tell of the vector index.
async fn monitor_tells(monitor: &mut Socket, status: &str) {
    monitor
        .receive_until(|event| {
            event["type"] == "service_status" && event["data"]["service"] == "vector_database" && event["data"]["status"] == status
        })
        .await;
}

/// Waits until every document of a collection can be found.
async fn all_ready(api: &Api, collection: &str) {
    within("all documents to be ready", async {
        loop {
            let documents = api.documents(collection).await;
            assert!(documents.iter().all(|document| document["status"] != "failed"), "{documents:?}");
            if documents.iter().all(|document| document["status"] == "ready") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

async fn chunks(api: &Api, collection: &str) -> u64 {
    let info = api.get(&format!("/collections/{collection}/info")).await.expect(200);
    info["total_chunks"].as_u64().expect("a number")
}

async fn move_to(api: &Api, collection: &str, to: &str) -> crate::support::Reply {
    let request = api.request(Method::PUT, &format!("/collections/{collection}/index"));
    api.send(request.json(&json!({ "index": to }))).await
}

/// Waits until a collection is in a place and nothing moves.
async fn moved(api: &Api, collection: &str, to: &str) -> Value {
    within("the move to end", async {
        loop {
            let place = api.get(&format!("/collections/{collection}/index")).await.expect(200);
            assert_ne!(place["move"]["status"], "failed", "{place}");
            if place["index"] == to && place["move"]["status"] != "moving" {
                return place;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// What a command says of the server, and whether it worked.
async fn command(server: &Server, arguments: &[&str]) -> (String, bool) {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = tokio::process::Command::from(program(home.path()));
    command.args(arguments).args(["--server", server.url()]);
    let done = within("the command", command.output()).await.expect("running it");
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (said.concat(), done.status.success())
}

/// The best hit of a search by words for the last sentence of a volume.
async fn finds(api: &Api, collection: &str, volume: usize, sentences: usize) {
    for kind in ["keyword", "hybrid"] {
        let text = format!("Record {} of volume {volume}", sentences - 1);
        let request = json!({ "query": text, "search_type": kind, "limit": 3, "collection_name": collection });
        let hits = api.search(request).await;
        let wanted = format!("of volume {volume} ");
        let found = hits
            .iter()
            .any(|hit| hit["content"].as_str().is_some_and(|text| text.contains(&wanted)));
        assert!(found, "{kind}: {hits:?}");
    }
}

#[tokio::test]
async fn without_the_server_ibid_starts_and_says_what_is_missing() {
    let door = Door::shut_before("http://127.0.0.1:9").await;
    let server = start("qdrant-away", &settings(&door.url(), "x-", "qdrant"));
    let api = server.api();
    let health = api.get("/health").await.expect(503);
    let db = &health["services"]["vector_db"];
    assert_eq!(db["status"], "unhealthy");
    assert!(
        db["message"].as_str().is_some_and(|message| message.contains("`qdrant.url`")),
        "{db}"
    );
    let mut monitor = server.socket("/ws/monitor").await;
    monitor_tells(&mut monitor, "unhealthy").await;
    // A collection there is not made, neither by request nor by an upload, and the next one says the same.
    for _ in 0..2 {
        let error = api
            .post("/collections", json!({ "name": "papers" }))
            .await
            .error(503, "VECTOR_STORE_ERROR");
        assert!(
            error["message"].as_str().is_some_and(|message| message.contains("`qdrant.url`")),
            "{error}"
        );
    }
    let file = files::volume(1, 5);
    let refused = api.upload("", "papers", &[&file]).await;
    assert!(refused.text().contains("VECTOR_STORE_ERROR"), "{}", refused.text());
    assert_eq!(api.get("/collections").await.expect(200)["collections"], json!([]));
    // What is embedded works meanwhile.
    let here = json!({ "name": "here", "index": "embedded" });
    assert_eq!(api.post("/collections", here).await.expect(201)["index"], "embedded");
    api.ingest("here", &file).await;
    finds(&api, "here", 1, 5).await;
    // It cannot move there, and stays as it is.
    let error = move_to(&api, "here", "qdrant").await.error(503, "VECTOR_STORE_ERROR");
    assert!(
        error["message"].as_str().is_some_and(|message| message.contains("`qdrant.url`")),
        "{error}"
    );
    assert_eq!(
        api.get("/collections/here/index").await.expect(200),
        json!({ "collection": "here", "index": "embedded" })
    );
    let (said, worked) = command(&server, &["collections", "move", "here", "--to", "qdrant"]).await;
    assert!(!worked && said.contains("`qdrant.url`"), "{said}");
    move_to(&api, "here", "elsewhere").await.error(400, "VALIDATION_ERROR");
    move_to(&api, "nowhere", "qdrant").await.error(404, "COLLECTION_NOT_FOUND");
    assert_eq!(move_to(&api, "here", "embedded").await.expect(200)["index"], "embedded");
    let odd = json!({ "name": "odd", "index": "pinecone" });
    api.post("/collections", odd).await.error(400, "VALIDATION_ERROR");
}

#[tokio::test]
async fn without_an_address_a_move_there_names_the_setting() {
    let server = Server::shared();
    let api = server.api();
    api.post("/collections", json!({ "name": "stays" })).await.expect(201);
    let error = move_to(&api, "stays", "qdrant").await.error(503, "VECTOR_STORE_ERROR");
    assert!(
        error["message"].as_str().is_some_and(|message| message.contains("`qdrant.url`")),
        "{error}"
    );
    let new = json!({ "name": "there", "index": "qdrant" });
    api.post("/collections", new).await.error(503, "VECTOR_STORE_ERROR");
    api.get("/collections/there").await.error(404, "COLLECTION_NOT_FOUND");
}

#[tokio::test]
async fn a_move_and_a_re_index_exclude_each_other() {
    let gate = Gate::open().await;
    let mut settings = settings(gate.url(), "x-", "embedded");
    settings.push("ingest.reindex_percent=5".to_owned());
    let server = start("qdrant-exclude", &settings);
    let api = server.api();
    becomes(&api, "healthy").await;
    for volume in 1..5 {
        api.ingest("documents", &files::volume(volume, 60)).await;
    }
    let pipeline = async |plugin: &str| {
        let request = api.request(Method::PUT, "/collections/documents/pipeline");
        api.send(request.json(&json!({ "chunker": { "plugin": plugin } }))).await
    };
    let says = |error: &Value, what: &str| assert!(error["message"].as_str().is_some_and(|message| message.contains(what)), "{error}");

    pipeline("sentences").await.expect(202);
    says(&move_to(&api, "documents", "qdrant").await.error(409, "CONFLICT"), "re-indexed");
    let place = api.get("/collections/documents/index").await.expect(200);
    assert_eq!(place, json!({ "collection": "documents", "index": "embedded" }));
    api.delete("/collections/documents/reindex").await.expect(200);

    assert_eq!(move_to(&api, "documents", "qdrant").await.expect(202)["move"]["status"], "moving");
    let reindex = "/collections/documents/reindex?redo=re-chunk";
    says(&api.post(reindex, Value::Null).await.error(409, "CONFLICT"), "moved");
    says(&pipeline("sentences").await.error(409, "CONFLICT"), "moved");
    finds(&api, "documents", 3, 60).await;
    // Neither has touched the other, and when one has ended the other can begin.
    let place = api.get("/collections/documents/index").await.expect(200);
    assert_eq!((&place["index"], &place["move"]["status"]), (&json!("embedded"), &json!("moving")));
    move_to(&api, "documents", "embedded").await.expect(200);
    let mut events = server.socket("/ws/collections").await;
    api.post(reindex, Value::Null).await.expect(202);
    let ended = events.receive_until(|event| event["type"] == "reindex_complete").await;
    assert_eq!(ended.last().expect("an end")["data"]["status"], "success");
    finds(&api, "documents", 3, 60).await;
}

#[tokio::test]
async fn documents_live_in_qdrant_as_they_do_here() {
    let place = AnyQdrant::new().await;
    let url = place.url();
    let (client, prefix) = (qdrant::client(&url), qdrant::prefix("life"));
    let mut server = start("qdrant-life", &settings(&url, &prefix, "qdrant"));
    let api = server.api();
    becomes(&api, "healthy").await;
    let first = api.ingest("documents", &files::volume(1, 60)).await;
    let second = api.ingest("documents", &files::volume(2, 60)).await;
    assert_eq!(api.get("/collections/documents/info").await.expect(200)["index"], "qdrant");
    let total = chunks(&api, "documents").await;
    assert_eq!(qdrant::points(&client, &prefix).await, (1, total));
    finds(&api, "documents", 1, 60).await;
    finds(&api, "documents", 2, 60).await;
    let id = |document: &Value| document["document_id"].as_str().expect("an id").to_owned();
    let path = format!("/documents/{}/chunks?include_embeddings=true&limit=1", id(&first));
    let chunk = &api.get(&path).await.expect(200)["chunks"][0];
    assert!(chunk["embedding"].as_array().is_some_and(|vector| vector.len() > 100), "{chunk}");
    let similar = api.post("/search/similar", json!({ "document_id": id(&first) })).await.expect(200);
    assert_eq!(similar["results"][0]["document_id"], second["document_id"]);
    // After a restart all is as it was, and nothing is done again.
    server.kill9();
    server.restart();
    let api = server.api();
    becomes(&api, "healthy").await;
    finds(&api, "documents", 2, 60).await;
    assert_eq!(qdrant::points(&client, &prefix).await, (1, total));
    // What is deleted is gone there too.
    let gone = api.delete(&format!("/documents/{}", id(&first))).await.expect(200);
    assert_eq!(gone["vectors_deleted"], gone["chunks_deleted"]);
    assert_eq!(qdrant::points(&client, &prefix).await, (1, chunks(&api, "documents").await));
    api.delete("/collections/documents?confirm=true").await.expect(200);
    assert_eq!(qdrant::points(&client, &prefix).await, (0, 0));
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back_loses_nothing() {
    let place = AnyQdrant::new().await;
    let url = place.url();
    let (client, prefix) = (qdrant::client(&url), qdrant::prefix("outage"));
    let mut door = Door::shut_before(&url).await;
    door.open();
    let mut server = start("qdrant-outage", &settings(&door.url(), &prefix, "qdrant"));
    let api = server.api();
    becomes(&api, "healthy").await;
    let old = api.ingest("documents", &files::volume(1, 60)).await;
    let mut monitor = server.socket("/ws/monitor").await;
    monitor_tells(&mut monitor, "healthy").await;
    door.shut().await;
    let search = json!({ "query": "Record 1 of volume 1" });
    api.post("/search", search).await.error(503, "VECTOR_STORE_ERROR");
    becomes(&api, "unhealthy").await;
    monitor_tells(&mut monitor, "unhealthy").await;
    // Uploads are taken and wait, also over a restart; a deletion hides at once and is finished later.
    let new = [files::volume(2, 60), files::volume(3, 60)];
    api.upload("?wait=false", "documents", &new.iter().collect::<Vec<&File>>())
        .await
        .expect(202);
    let path = format!("/documents/{}", old["document_id"].as_str().expect("an id"));
    api.delete(&path).await.error(503, "VECTOR_STORE_ERROR");
    api.get(&path).await.error(404, "RESOURCE_NOT_FOUND");
    server.kill9();
    server.restart();
    let api = server.api();
    let documents = api.documents("documents").await;
    assert!(documents.iter().all(|document| document["status"] == "processing"), "{documents:?}");
    let mut monitor = server.socket("/ws/monitor").await;
    monitor_tells(&mut monitor, "unhealthy").await;
    door.open();
    monitor_tells(&mut monitor, "healthy").await;
    all_ready(&api, "documents").await;
    finds(&api, "documents", 2, 60).await;
    finds(&api, "documents", 3, 60).await;
    let total = chunks(&api, "documents").await;
    within("the deletion to be finished", async {
        while qdrant::points(&client, &prefix).await != (1, total) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    qdrant::clear(&client, &prefix).await;
}

#[tokio::test]
async fn a_collection_moves_there_and_back_while_it_is_used() {
    let place = AnyQdrant::new().await;
    let url = place.url();
    let (client, prefix) = (qdrant::client(&url), qdrant::prefix("move"));
    let mut server = start("qdrant-move", &settings(&url, &prefix, "embedded"));
    let api = server.api();
    for volume in 1..4 {
        api.ingest("documents", &files::volume(volume, 60)).await;
    }
    let told = |hits: &[Value]| hits.iter().map(|hit| hit["content"].clone()).collect::<Vec<_>>();
    // By meaning alone; how rare a word is depends on what else is there, and for a while on what was.
    let by_meaning = json!({ "query": "Record 7 of volume 2", "limit": 10, "search_type": "semantic" });
    let by_both = json!({ "query": "Record 7 of volume 2", "limit": 10 });
    let (meant, before) = (api.search(by_meaning.clone()).await, api.search(by_both.clone()).await);
    let mut events = server.socket("/ws/collections").await;
    let begun = move_to(&api, "documents", "qdrant").await.expect(202);
    assert_eq!((&begun["index"], &begun["move"]["to"]), (&json!("embedded"), &json!("qdrant")));
    // In the middle, wherever that is: queries are answered, and an upload and a deletion go on.
    api.ingest("documents", &files::volume(9, 60)).await;
    finds(&api, "documents", 1, 60).await;
    let event = events.receive_until(|event| event["type"] == "collection_moved").await;
    assert_eq!(event.last().expect("an event")["data"]["index"], "qdrant");
    let place = moved(&api, "documents", "qdrant").await;
    let total = chunks(&api, "documents").await;
    assert_eq!(place["move"]["chunks_copied"], place["move"]["chunks_total"]);
    all_ready(&api, "documents").await;
    assert_eq!(qdrant::points(&client, &prefix).await, (1, total));
    finds(&api, "documents", 9, 60).await;
    let nine = api
        .documents("documents")
        .await
        .into_iter()
        .find(|document| document["filename"] == "volume-9.txt");
    let nine = nine.expect("the document")["document_id"].as_str().expect("an id").to_owned();
    api.delete(&format!("/documents/{nine}")).await.expect(200);
    assert_eq!(told(&api.search(by_meaning).await), told(&meant));
    // Back, with a kill on the way.
    move_to(&api, "documents", "embedded").await.expect(202);
    server.kill9();
    server.restart();
    let api = server.api();
    moved(&api, "documents", "embedded").await;
    finds(&api, "documents", 3, 60).await;
    assert_eq!(told(&api.search(by_both).await), told(&before));
    within("the old copy to go", async {
        while qdrant::points(&client, &prefix).await != (0, 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    server.terminate();
    server.stopped().await;
    server.restart();
    finds(&server.api(), "documents", 3, 60).await;
    // By the command, which waits for the end.
    let (said, worked) = command(&server, &["collections", "move", "documents", "--to", "qdrant"]).await;
    assert!(worked && said.contains("is in qdrant"), "{said}");
    let total = chunks(&server.api(), "documents").await;
    assert_eq!(qdrant::points(&client, &prefix).await, (1, total));
    qdrant::clear(&client, &prefix).await;
}

#[tokio::test]
async fn a_backup_has_the_vectors_and_they_move_again_after_a_restore() {
    let place = AnyQdrant::new().await;
    let url = place.url();
    let (client, old, new) = (qdrant::client(&url), qdrant::prefix("backup"), qdrant::prefix("restore"));
    let server = start("qdrant-backup", &settings(&url, &old, "qdrant"));
    becomes(&server.api(), "healthy").await;
    for volume in 1..3 {
        server.api().ingest("documents", &files::volume(volume, 60)).await;
    }
    let total = chunks(&server.api(), "documents").await;
    let place = tempfile::tempdir().expect("a directory");
    let (dir, data) = (place.path().join("backup"), place.path().join("data"));
    let report = backup(&server, &dir).await;
    assert_eq!(report["without_vectors"], json!([]), "{report}");
    assert!(restore(&dir, &data).await.status.success());
    let own = settings(&url, &new, "qdrant");
    let restored = Server::start_on("qdrant-restored", &data, &own.iter().map(String::as_str).collect::<Vec<_>>());
    let api = restored.api();
    moved(&api, "documents", "qdrant").await;
    finds(&api, "documents", 1, 60).await;
    finds(&api, "documents", 2, 60).await;
    assert_eq!(qdrant::points(&client, &new).await, (1, total));
    // The old server's are as they were.
    assert_eq!(qdrant::points(&client, &old).await, (1, total));
    assert!(!restored.whole_log().contains("vectors are not all there"));
    for prefix in [old, new] {
        qdrant::clear(&client, &prefix).await;
    }
}

#[tokio::test]
async fn a_qdrant_that_is_killed_in_the_middle_of_an_ingest_is_waited_for() {
    let Some(program) = qdrant::program() else { return };
    let mut node = Node::start(program).await;
    let server = start("qdrant-killed", &settings(&node.url(), "ibid_", "qdrant"));
    let api = server.api();
    becomes(&api, "healthy").await;
    api.post("/collections", json!({ "name": "documents" })).await.expect(201);
    let files: Vec<File> = (1..4).map(|volume| files::volume(volume, LONG)).collect();
    api.upload("?wait=false", "documents", &files.iter().collect::<Vec<&File>>())
        .await
        .expect(202);
    let client = qdrant::client(&node.url());
    within("the first points", async {
        while qdrant::points(&client, "ibid_").await.1 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    node.kill9();
    becomes(&api, "unhealthy").await;
    node.launch().await;
    all_ready(&api, "documents").await;
    for volume in 1..4 {
        finds(&api, "documents", volume, LONG).await;
    }
    let client = qdrant::client(&node.url());
    assert_eq!(qdrant::points(&client, "ibid_").await, (1, chunks(&api, "documents").await));
}

#[tokio::test]
async fn a_cluster_of_three_goes_on_without_one() {
    let Some(program) = qdrant::program() else { return };
    let first = Node::join(program.clone(), None).await;
    let _second = Node::join(program.clone(), Some(&first)).await;
    let mut third = Node::join(program, Some(&first)).await;
    let mut settings = settings(&first.url(), "ibid_", "qdrant");
    settings.extend(["qdrant.shards=3", "qdrant.replicas=2", "qdrant.write_consistency=1"].map(str::to_owned));
    let server = start("qdrant-cluster", &settings);
    let api = server.api();
    becomes(&api, "healthy").await;
    api.ingest("documents", &files::volume(1, 60)).await;
    let client = qdrant::client(&first.url());
    assert_eq!(qdrant::points(&client, "ibid_").await, (1, chunks(&api, "documents").await));
    third.kill9();
    api.ingest("documents", &files::volume(2, 60)).await;
    finds(&api, "documents", 1, 60).await;
    finds(&api, "documents", 2, 60).await;
    third.launch().await;
    api.ingest("documents", &files::volume(3, 60)).await;
    finds(&api, "documents", 3, 60).await;
    assert_eq!(qdrant::points(&client, "ibid_").await, (1, chunks(&api, "documents").await));
}
