//! Several servers over one PostgreSQL, one Qdrant and one object store: what happens at one is seen at the other, and one that is
//! killed loses nothing.
//!
//! The Qdrant server is the one at `IBID_TEST_QDRANT_URL`, or else a stand-in (`tests/support/qdrant_double.rs`): these tests are
//! about what servers tell each other.

use crate::support::files::{self, File, QUESTIONS};
use crate::support::moto::Moto;
use crate::support::postgres::Postgres;
use crate::support::process::{program, share};
use crate::support::qdrant_double::AnyQdrant;
use crate::support::{Api, Server, Socket, qdrant, within};
use crate::tus::{create, offset, patch};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const BUCKET: &str = "documents";
/// Sentences of a document that takes several windows of chunks, and seconds.
const LONG: usize = 3000;

/// What the servers share.
struct Shared {
    settings: Vec<String>,
    prefix: String,
    moto: Moto,
    index: AnyQdrant,
    postgres: Postgres,
}

impl Shared {
    /// `None`, with a note on standard error, if this machine lacks something.
    async fn new() -> Option<Self> {
        let postgres = Postgres::start()?;
        let moto = Moto::start(BUCKET)?;
        let index = AnyQdrant::new().await;
        let prefix = qdrant::prefix("cluster");
        let mut settings = vec![
            format!("catalog.url={}", postgres.database()),
            format!("qdrant.url={}", index.url()),
            format!("qdrant.collection_prefix={prefix}"),
            "files.store=s3".to_owned(),
            format!("files.s3.endpoint={}", moto.url()),
            format!("files.s3.bucket={BUCKET}"),
            "files.s3.access_key_id=test".to_owned(),
            "files.s3.secret_access_key=test".to_owned(),
        ];
        if let Ok(key) = std::env::var("IBID_TEST_QDRANT_API_KEY") {
            settings.push(format!("qdrant.api_key={key}"));
        }
        Some(Self {
            settings,
            prefix,
            moto,
            index,
            postgres,
        })
    }

    fn server(&self, name: &'static str) -> Server {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        Server::start(name, &settings)
    }

    /// A server on a data directory that may be there.
    fn server_on(&self, name: &'static str, data: &std::path::Path) -> Server {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        Server::start_on(name, data, &settings)
    }

    /// Nothing of any document is left anywhere.
    async fn is_empty(&self) {
        assert_eq!(self.moto.objects(BUCKET), Vec::<String>::new());
        assert_eq!(self.points().await, 0);
    }

    /// Points of all documents.
    async fn points(&self) -> u64 {
        qdrant::points(&qdrant::client(&self.index.url()), &self.prefix).await.1
    }
}

async fn uploads(server: &Server) -> Socket {
    server.socket("/ws/upload").await
}

async fn collections(server: &Server) -> Socket {
    server.socket("/ws/collections").await
}

fn is(message: &Value, kind: &str) -> bool {
    message["type"] == kind
}

/// Uploads a file without waiting for its end.
fn send(server: &Server, collection: &'static str, file: &File) -> tokio::task::JoinHandle<()> {
    let (api, file) = (server.api(), File::new(&file.name, file.bytes.clone()));
    tokio::spawn(async move {
        let request = api.request(Method::POST, "/documents/upload");
        let part = reqwest::multipart::Part::bytes(file.bytes).file_name(file.name);
        let form = reqwest::multipart::Form::new()
            .text("collection_name", collection)
            .part("files", part);
        // Its server may be killed meanwhile.
        let _ = request.multipart(form).send().await;
    })
}

/// Waits until a document of this name is ready, and returns its identifier.
async fn ready(api: &Api, collection: &str, filename: &str) -> String {
    within("the document to be ready", async {
        loop {
            let documents = api.get(&format!("/documents?collection_name={collection}")).await;
            if documents.status.as_u16() == 200 {
                let documents = documents.json()["documents"].as_array().cloned().unwrap_or_default();
                let document = documents.iter().find(|document| document["filename"] == filename);
                if let Some(document) = document {
                    assert_ne!(document["status"], "failed", "{document}");
                    if document["status"] == "ready" {
                        return document["document_id"].as_str().expect("an id").to_owned();
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

/// The identifier of a collection's one document, whatever its state.
async fn only_document(api: &Api, collection: &str) -> String {
    let list = api.get(&format!("/documents?collection_name={collection}")).await.expect(200);
    list["documents"][0]["document_id"].as_str().expect("an id").to_owned()
}

async fn answer(api: &Api, collection: &str) -> Value {
    let request = json!({ "query": QUESTIONS[0].0, "collection_name": collection });
    let answer = api.post("/query", request).await.expect(200);
    assert!(!answer["sources"].as_array().expect("sources").is_empty(), "{answer}");
    json!([answer["response"], answer["sources"][0]["content"]])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_at_one_server_is_seen_at_the_other() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.server("cluster-one"), shared.server("cluster-two"));
    let (mut heard, mut changes) = (uploads(&two).await, collections(&two).await);
    let report = files::report("report.pdf");
    let document = one.api().ingest("reports", &report).await;
    let id = document["document_id"].as_str().expect("an id").to_owned();

    let told = heard.receive_until(|message| is(message, "upload_complete")).await;
    for kind in ["upload_started", "upload_progress", "embedding_progress"] {
        assert!(told.iter().any(|message| is(message, kind)), "{kind}: {told:?}");
    }
    let complete = told.last().expect("the end");
    assert_eq!(
        (&complete["data"]["document_id"], &complete["data"]["status"]),
        (&json!(id), &json!("success"))
    );
    let told = changes.receive_until(|message| is(message, "document_added")).await;
    assert!(is(&told[0], "collection_created"), "{told:?}");
    let numbers: Vec<i64> = told.iter().filter_map(|message| message["seq"].as_i64()).collect();
    assert!(numbers.is_sorted(), "{told:?}");

    // Both answer alike, word for word, from the files and vectors that they share.
    assert_eq!(answer(&one.api(), "reports").await, answer(&two.api(), "reports").await);
    assert!(two.api().get(&format!("/documents/{id}/file")).await.body == report.bytes);
    let again = two.api().upload("", "reports", &[&report]).await.expect(201);
    assert!(again.to_string().contains("duplicate"), "{again}");

    // What is deleted at one is gone at the other.
    let mut at_one = collections(&one).await;
    let receipt = two.api().delete(&format!("/documents/{id}")).await.expect(200);
    assert_eq!(receipt["chunks_deleted"], receipt["vectors_deleted"], "{receipt}");
    assert_eq!(receipt["files_deleted"], 1, "{receipt}");
    at_one.receive_until(|message| is(message, "document_deleted")).await;
    one.api().get(&format!("/documents/{id}")).await.error(404, "RESOURCE_NOT_FOUND");
    assert_eq!(one.api().found_chunks("reports", &id).await, 0);
    shared.is_empty().await;

    // So is a collection.
    one.api().ingest("reports", &report).await;
    two.api().delete("/collections/reports?confirm=true").await.expect(200);
    at_one.receive_until(|message| is(message, "collection_deleted")).await;
    one.api().get("/collections/reports/info").await.error(404, "COLLECTION_NOT_FOUND");
    shared.is_empty().await;
    let (collections, _) = qdrant::points(&qdrant::client(&shared.index.url()), &shared.prefix).await;
    assert_eq!(collections, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_server_did_goes_on_at_the_other() {
    let Some(shared) = Shared::new().await else { return };
    let (mut one, two) = (shared.server("cluster-killed"), shared.server("cluster-heir"));
    let mut heard = uploads(&two).await;
    let volume = files::volume(1, LONG);
    let sent = send(&one, "volumes", &volume);
    heard.receive_until(|message| is(message, "embedding_progress")).await;
    one.kill9();
    sent.await.expect("the upload's task");

    let told = heard.receive_until(|message| is(message, "upload_complete")).await;
    assert_eq!(told.last().expect("the end")["data"]["status"], "success", "{told:?}");
    let id = ready(&two.api(), "volumes", &volume.name).await;
    let info = two.api().get("/collections/volumes/info").await.expect(200);
    assert_eq!(info["total_documents"], 1, "{info}");
    assert_eq!(shared.points().await, info["total_chunks"].as_u64().expect("a number"));
    // It is itself again at once, for its data directory tells that its former self is dead.
    one.restart();
    assert_eq!(ready(&one.api(), "volumes", &volume.name).await, id);
    one.api().delete(&format!("/documents/{id}")).await.expect(200);
    shared.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_processes_another_can_delete() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.server("cluster-busy"), shared.server("cluster-deletes"));
    let mut heard = uploads(&two).await;
    let volume = files::volume(2, LONG);
    let sent = send(&one, "volumes", &volume);
    heard.receive_until(|message| is(message, "embedding_progress")).await;
    let id = only_document(&two.api(), "volumes").await;
    two.api().delete(&format!("/documents/{id}")).await.expect(200);
    let told = heard.receive_until(|message| is(message, "upload_complete")).await;
    assert_eq!(told.last().expect("the end")["data"]["status"], "cancelled");
    sent.await.expect("the upload's task");
    shared.is_empty().await;
    one.api().get(&format!("/documents/{id}")).await.error(404, "RESOURCE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_writes_after_it_was_taken_for_dead_goes() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.server("cluster-suspended"), shared.server("cluster-mourner"));
    let mut heard = uploads(&two).await;
    let volume = files::volume(5, LONG);
    let sent = send(&one, "volumes", &volume);
    heard.receive_until(|message| is(message, "embedding_progress")).await;
    one.suspend();
    // It is waited for until it counts as dead.
    let id = only_document(&two.api(), "volumes").await;
    two.api().delete(&format!("/documents/{id}")).await.expect(200);
    one.resume();
    let removed = "nothing is left here of a document that another server has deleted";
    within("the suspended server to see it", async {
        while !one.log().contains(removed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    sent.await.expect("the upload's task");
    shared.is_empty().await;
    one.api().get(&format!("/documents/{id}")).await.error(404, "RESOURCE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_at_another_server() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.server("cluster-first-half"), shared.server("cluster-second-half"));
    let volume = files::volume(3, 300);
    let path = create(&one.api(), &volume, "volumes").await;
    let half = volume.bytes.len() / 2;
    assert_eq!(patch(&one.api(), &path, 0, &volume.bytes[..half]).await.status.as_u16(), 204);
    assert_eq!(offset(&two.api(), &path).await, half);
    let reply = patch(&two.api(), &path, half, &volume.bytes[half..]).await;
    assert_eq!(reply.status.as_u16(), 204, "{}", reply.text());
    let id = ready(&one.api(), "volumes", &volume.name).await;
    assert!(one.api().get(&format!("/documents/{id}/file")).await.body == volume.bytes);

    // Begun at one, given up at the other.
    let path = create(&one.api(), &files::volume(4, 300), "volumes").await;
    assert_eq!(patch(&one.api(), &path, 0, &volume.bytes[..half]).await.status.as_u16(), 204);
    let request = two.api().request(Method::DELETE, &path).header("Tus-Resumable", "1.0.0");
    assert_eq!(two.api().send(request).await.status.as_u16(), 204);
    one.api().delete(&format!("/documents/{id}")).await.expect(200);
    shared.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_and_plugins_are_the_same_everywhere() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.server("cluster-installs"), shared.server("cluster-follows"));
    let report = files::report("report.pdf");
    one.api().ingest("reports", &report).await;
    let before = answer(&two.api(), "reports").await;

    // A change of the pipeline at one, re-indexed there, is what the other answers by.
    let mut changes = collections(&two).await;
    let pipeline = json!({ "chunker": { "plugin": "sentences" } });
    let request = one.api().request(Method::PUT, "/collections/reports/pipeline").json(&pipeline);
    one.api().send(request).await.expect(202);
    let told = changes.receive_until(|message| is(message, "reindex_complete")).await;
    assert_eq!(told.last().expect("the end")["data"]["status"], "success", "{told:?}");
    let shown = two.api().get("/collections/reports/pipeline").await.expect(200);
    assert!(shown.to_string().contains("sentences"), "{shown}");
    assert_eq!(
        answer(&two.api(), "reports").await[1],
        before[1],
        "the same passage, out of other chunks"
    );
    let places = async |server: &Server| {
        let request = json!({ "query": QUESTIONS[0].0, "collection_name": "reports", "limit": 20 });
        server.api().search(request).await.len()
    };
    assert_eq!(places(&one).await, places(&two).await);

    // A plugin that is installed at one is there at the other, and goes there too.
    let component = crate::plugins::with_version(
        &std::fs::read(share().join("plugins/recursive.wasm")).expect("a component"),
        "9.9.9",
    );
    let request = one.api().request(Method::POST, "/plugins").body(component);
    one.api().send(request).await.expect(201);
    let has = async |server: &Server| {
        let plugins = server.api().get("/plugins/recursive").await.expect(200);
        plugins["plugins"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|plugin| plugin["version"] == "9.9.9")
    };
    within("the plugin to come", async {
        while !has(&two).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    two.api().delete("/plugins/recursive?version=9.9.9&force=true").await.expect(200);
    within("the plugin to go", async {
        while has(&one).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_keys_are_the_same_everywhere() {
    let Some(mut shared) = Shared::new().await else { return };
    // A key of a server that had a catalog of its own before.
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let ibid = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::from(program(home.path()));
        command.arg("key").args(arguments).arg("--data-dir").arg(&data).arg("--json");
        let done = within("the key", command.kill_on_drop(true).output()).await.expect("running it");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        done.status
            .success()
            .then(|| serde_json::from_slice::<Value>(&done.stdout).expect("JSON"))
            .ok_or(said)
    };
    let before = ibid(&["new", "before", "--role", "admin"]).await.expect("made");
    shared.settings.push("auth.enabled=true".to_owned());
    let (one, two) = (shared.server_on("cluster-keys", &data), shared.server("cluster-keys-too"));
    let knows = async |server: &Server, key: &Value, status: u16| {
        let api = server.api().with_token(key["key"].as_str().expect("a key"));
        within("the key to come or go", async {
            while api.get("/auth/me").await.status.as_u16() != status {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    };
    for server in [&one, &two] {
        knows(server, &before, 200).await;
    }

    // One that is made where no server runs, and revoked.
    let there = |action: &'static [&'static str]| {
        let url = shared
            .settings
            .iter()
            .find(|setting| setting.starts_with("catalog.url="))
            .expect("a setting");
        action.iter().copied().chain(["--set", url.as_str()]).collect::<Vec<_>>()
    };
    let made = ibid(&there(&["new", "bot", "--role", "user"])).await.expect("made");
    for server in [&one, &two] {
        knows(server, &made, 200).await;
    }
    let taken = ibid(&there(&["new", "bot", "--role", "user"])).await.expect_err("taken");
    assert!(taken.contains("already"), "{taken}");
    let listed = ibid(&there(&["list"])).await.expect("a list");
    let names: Vec<&Value> = listed["keys"].as_array().expect("keys").iter().map(|key| &key["name"]).collect();
    assert_eq!(names, ["before", "bot"]);
    let mut socket = two.socket_with("/ws/collections", made["key"].as_str().expect("a key")).await;
    ibid(&there(&["revoke", "bot"])).await.expect("revoked");
    assert_eq!(socket.turned_away().await, "INVALID_TOKEN");
    for server in [&one, &two] {
        knows(server, &made, 401).await;
        knows(server, &before, 200).await;
    }
    // A command that does not know of the catalog would change a copy.
    let copy = ibid(&["revoke", "before"]).await.expect_err("a copy");
    assert!(copy.contains("catalog.url"), "{copy}");
}

/// Waits until a server's health has this status of HTTP.
async fn health_becomes(server: &Server, status: u16) {
    within("the health to change", async {
        while server.api().get("/health").await.status.as_u16() != status {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_and_comes_back_loses_nothing() {
    let Some(mut shared) = Shared::new().await else { return };
    let (one, two) = (shared.server("cluster-waits"), shared.server("cluster-waits-too"));
    let mut heard = uploads(&two).await;
    let report = files::report("report.pdf");
    one.api().ingest("reports", &report).await;
    heard.receive_until(|message| is(message, "upload_complete")).await;
    let before = answer(&two.api(), "reports").await;

    // In the middle of an ingest, which waits.
    let volume = files::volume(5, LONG);
    let sent = send(&one, "volumes", &volume);
    heard.receive_until(|message| is(message, "embedding_progress")).await;
    shared.postgres.kill();
    health_becomes(&two, 503).await;
    let request = json!({ "query": QUESTIONS[0].0, "collection_name": "reports" });
    two.api().post("/query", request).await.error(503, "SERVICE_UNAVAILABLE");

    shared.postgres.restart();
    health_becomes(&one, 200).await;
    health_becomes(&two, 200).await;
    let id = ready(&two.api(), "volumes", &volume.name).await;
    sent.await.expect("the upload's task");
    assert_eq!(answer(&two.api(), "reports").await, before);
    // They hear each other again.
    let mut changes = collections(&two).await;
    one.api().delete(&format!("/documents/{id}")).await.expect(200);
    changes.receive_until(|message| is(message, "document_deleted")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_shared_is_refused() {
    let Some(shared) = Shared::new().await else { return };
    let server = shared.server("cluster-refuses");
    let create = json!({ "name": "papers", "index": "embedded" });
    let error = server.api().post("/collections", create).await.error(400, "VALIDATION_ERROR");
    assert!(error.to_string().contains("qdrant"), "{error}");

    let home = tempfile::tempdir().expect("a directory");
    let refused = async |settings: &[&str], wanted: &str| {
        let mut command = tokio::process::Command::from(program(home.path()));
        command.args(["serve", "--listen", "127.0.0.1:0", "--share-dir"]).arg(share());
        command.arg("--data-dir").arg(home.path().join("data"));
        for setting in settings {
            command.args(["--set", setting]);
        }
        let done = within("the refusal", command.kill_on_drop(true).output())
            .await
            .expect("running it");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(wanted), "{wanted}: {said}");
    };
    let all: Vec<&str> = shared.settings.iter().map(String::as_str).collect();
    let without = |section: &str| {
        all.iter()
            .copied()
            .filter(|setting| !setting.starts_with(section))
            .collect::<Vec<_>>()
    };
    refused(&without("qdrant."), "qdrant.url").await;
    refused(&without("files."), "files.store").await;
    let mut nowhere = without("catalog.");
    nowhere.push("catalog.url=postgres://ibid@127.0.0.1:1/none");
    refused(&nowhere, "catalog.url").await;
}
