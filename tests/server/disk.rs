//! Disks that are full, and disks that are read-only: what is refused, what waits, what goes on, and that nothing is lost.

use crate::kills::{check, doctor};
use crate::support::disk::Disk;
use crate::support::files::{self, File, QUESTIONS};
use crate::support::process::{program, share};
use crate::support::{Api, Server, Socket, within};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

const MIB: u64 = 1 << 20;
/// MiB that the servers keep free.
const RESERVE: u64 = 64;
/// Sentences of a document that takes more than one window of chunks.
const LONG: usize = 1_500;

fn settings() -> [String; 1] {
    [format!("ingest.disk_reserve_bytes={}", RESERVE * MIB)]
}

fn start(name: &'static str, data: &Path) -> Server {
    let settings = settings();
    Server::start_on(name, data, &settings.each_ref().map(String::as_str))
}

/// What a server says that does not start.
async fn refused(data: &Path) -> String {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = program(home.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--set", &settings()[0]]);
    command.arg("--data-dir").arg(data).arg("--share-dir").arg(share());
    let command = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output: Output = within("the server to give up", command).await.expect("running it");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until `/health` says so of the server and its disk.
async fn becomes(api: &Api, status: &str) -> Value {
    within("the health of the disk to change", async {
        loop {
            let health = api.get("/health").await.expect(200);
            if health["services"]["storage"]["status"] == status {
                assert_eq!(health["status"], status, "{health}");
                return health["services"]["storage"].clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await
}

/// Uploads a document that takes a while; returns when some of it is embedded.
async fn begin_a_long_one(server: &Server, volume: usize) -> File {
    let long = files::volume(volume, LONG);
    let mut uploads = server.socket("/ws/upload").await;
    server.api().upload("?wait=false", "documents", &[&long]).await.expect(202);
    uploads
        .receive_until(|event| event["type"] == "embedding_progress" && event["data"]["filename"] == long.name.as_str())
        .await;
    long
}

async fn alert(monitor: &mut Socket) -> Value {
    let events = monitor
        .receive_until(|event| event["type"] == "error_alert" && event["data"]["service"] == "system")
        .await;
    events.last().expect("an alert")["data"].clone()
}

/// What is there is found and answered with; what would grow is refused, for a reason that programs can read.
async fn reads_and_refuses(api: &Api, reason: &str) {
    let answer = api.post("/query", json!({ "query": QUESTIONS[1].0 })).await.expect(200);
    assert_eq!(answer["sources"][0]["metadata"]["page"], 2, "{answer}");
    for search_type in ["semantic", "keyword"] {
        let hits = api.search(json!({ "query": QUESTIONS[0].0, "search_type": search_type })).await;
        assert!(!hits.is_empty(), "{search_type}");
    }
    let reply = api.post("/collections", json!({ "name": "new" })).await;
    let error = reply.error(503, "SERVICE_UNAVAILABLE");
    assert_eq!(error["details"]["reason"], reason, "{error}");
    assert!(!reply.header("retry-after").is_empty());
    for collection in ["documents", "others"] {
        let reply = api.upload("", collection, &[&files::volume(7, 5)]).await;
        let body = reply.json();
        let error = body["failed_documents"][0]["error"].as_object().or(body["error"].as_object());
        let error = error.unwrap_or_else(|| panic!("{body}"));
        assert_eq!(
            (&error["code"], &error["details"]["reason"]),
            (&json!("SERVICE_UNAVAILABLE"), &json!(reason)),
            "{body}"
        );
    }
    let names: Vec<Value> = api.get("/collections").await.expect(200)["collections"]
        .as_array()
        .expect("collections")
        .iter()
        .map(|collection| collection["name"].clone())
        .collect();
    assert_eq!(names, ["documents"]);
}

async fn state(api: &Api, file: &File) -> Value {
    let listed = api.documents("documents").await;
    let mut named = listed.into_iter().filter(|document| document["filename"] == file.name.as_str());
    named.next().unwrap_or_else(|| panic!("{} is lost", file.name))
}

/// Waits until documents that waited can be found, whole.
async fn goes_on(api: &Api, files: &[&File]) {
    within("what waited to be ready", async {
        for file in files {
            loop {
                let document = state(api, file).await;
                assert_ne!(document["status"], "failed", "{document}");
                if document["status"] == "ready" {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    })
    .await;
    for file in files {
        let document = state(api, file).await;
        let id = document["document_id"].as_str().expect("an id");
        let stats = api.get(&format!("/documents/{id}")).await.expect(200)["statistics"].clone();
        assert_eq!(api.text(id, "").await.into_bytes(), file.bytes);
        let found = api.found_chunks("documents", id).await as u64;
        assert_eq!(found, stats["chunks"].as_u64().expect("a count").min(100), "{stats}");
    }
}

async fn stop_and_look(server: &mut Server) {
    server.terminate();
    assert!(server.stopped().await.success());
    let report = doctor(server, &[]);
    for name in ["storage", "catalog"] {
        assert_eq!(check(&report, name)["state"], "ok", "{report:#}");
    }
}

#[tokio::test]
async fn on_a_disk_that_is_nearly_full_what_was_accepted_waits_and_questions_are_answered() {
    let Some(disk) = Disk::in_memory(512) else { return };
    let data = disk.path().join("data");
    let mut server = start("disk-nearly-full", &data);
    let api = server.api();
    api.ingest("documents", &files::report("report.pdf")).await;
    let small = api.ingest("documents", &files::volume(1, 10)).await;
    let small = small["document_id"].as_str().expect("an id").to_owned();
    let mut monitor = server.socket("/ws/monitor?types=error_alert").await;
    let long = begin_a_long_one(&server, 2).await;
    disk.fill(RESERVE / 2);
    let told = becomes(&api, "degraded").await;
    assert!(
        told["message"].as_str().is_some_and(|message| message.contains("make room")),
        "{told}"
    );
    let told = alert(&mut monitor).await;
    assert!(told["message"].as_str().is_some_and(|message| message.contains("full")), "{told}");
    reads_and_refuses(&api, "disk_full").await;
    assert_eq!(state(&api, &long).await["status"], "processing");
    // What makes room goes on.
    api.delete(&format!("/documents/{small}")).await.expect(200);
    // Also over a restart.
    server.kill9();
    server.restart();
    let api = server.api();
    becomes(&api, "degraded").await;
    reads_and_refuses(&api, "disk_full").await;
    assert_eq!(state(&api, &long).await["status"], "processing");
    disk.clear();
    becomes(&api, "healthy").await;
    goes_on(&api, &[&long]).await;
    api.ingest("documents", &files::volume(3, 10)).await;
    stop_and_look(&mut server).await;
}

#[tokio::test]
async fn on_a_disk_that_is_full_to_the_brim_the_server_stays_and_goes_on_by_itself() {
    let Some(disk) = Disk::in_a_file(512) else { return };
    let data = disk.path().join("data");
    let mut server = start("disk-full", &data);
    let api = server.api();
    api.ingest("documents", &files::report("report.pdf")).await;
    let small = api.ingest("documents", &files::volume(1, 10)).await;
    let small = small["document_id"].as_str().expect("an id").to_owned();
    let long = begin_a_long_one(&server, 2).await;
    disk.fill(0);
    becomes(&api, "degraded").await;
    reads_and_refuses(&api, "disk_full").await;
    // It may not even be hidden, and then nothing has changed; else it goes when there is room.
    let gone = api.delete(&format!("/documents/{small}")).await;
    assert!(gone.status == 200 || gone.error(503, "SERVICE_UNAVAILABLE")["details"]["reason"] == "disk_full");
    reads_and_refuses(&api, "disk_full").await;
    assert_eq!(state(&api, &long).await["status"], "processing");
    disk.clear();
    becomes(&api, "healthy").await;
    goes_on(&api, &[&long]).await;
    let gone = api.delete(&format!("/documents/{small}")).await;
    assert!(gone.status == 200 || gone.status == 404, "{}", gone.text());
    assert_eq!(api.found_chunks("documents", &small).await, 0);
    // In the middle of work, and then there is not even room to start.
    let other = begin_a_long_one(&server, 4).await;
    disk.fill(0);
    server.kill9();
    let said = refused(&data).await;
    assert!(said.contains(data.to_str().expect("UTF-8")) && said.contains("make room"), "{said}");
    disk.clear();
    server.restart();
    goes_on(&server.api(), &[&long, &other]).await;
    stop_and_look(&mut server).await;
}

#[tokio::test]
async fn on_a_disk_that_fails_while_it_serves_questions_are_answered_and_nothing_is_lost() {
    let Some(disk) = Disk::in_a_file(512) else { return };
    let data = disk.path().join("data");
    let mut server = start("disk-fails", &data);
    let api = server.api();
    api.ingest("documents", &files::report("report.pdf")).await;
    let mut monitor = server.socket("/ws/monitor?types=error_alert").await;
    let long = begin_a_long_one(&server, 2).await;
    if !disk.fail() {
        return;
    }
    let told = becomes(&api, "degraded").await;
    assert!(
        told["message"].as_str().is_some_and(|message| message.contains("read-only")),
        "{told}"
    );
    let told = alert(&mut monitor).await;
    assert!(
        told["message"].as_str().is_some_and(|message| message.contains("read-only")),
        "{told}"
    );
    reads_and_refuses(&api, "disk_read_only").await;
    assert_eq!(state(&api, &long).await["status"], "processing");
    server.kill9();
    // A start says which directory it is about, and what to do.
    disk.mount_again(true);
    let said = refused(&data).await;
    assert!(said.contains(data.to_str().expect("UTF-8")) && said.contains("read-only"), "{said}");
    let report = doctor(&server, &[]);
    assert_eq!(check(&report, "data")["state"], "broken", "{report:#}");
    disk.mount_again(false);
    server.restart();
    goes_on(&server.api(), &[&long]).await;
    stop_and_look(&mut server).await;
}
