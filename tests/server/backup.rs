//! `ibid backup` of a server that serves, and `ibid restore` elsewhere.

use crate::kills::{check, doctor};
use crate::support::files::{self, QUESTIONS};
use crate::support::process::{Server, program};
use crate::support::python::succeeded;
use crate::support::qdrant::Door;
use crate::support::within;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

/// Runs the program against a server, or on its data directory.
async fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = program(home);
    command.args(arguments);
    let command = tokio::process::Command::from(command).kill_on_drop(true).output();
    within("a command", command).await.expect("running it")
}

fn output_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub async fn backup(server: &Server, dir: &Path) -> Value {
    let dir = dir.to_str().expect("UTF-8");
    let output = run(&server.data_dir(), &["--server", server.url(), "backup", dir, "--json"]).await;
    assert!(output.status.success(), "{}", output_of(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

pub async fn restore(dir: &Path, data: &Path) -> Output {
    let (dir, data) = (dir.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
    run(Path::new("/"), &["restore", dir, "--data-dir", data, "--json"]).await
}

/// What is asked of the server, and of what its backup became.
async fn answers(server: &Server, collection: &str) -> Vec<Value> {
    let mut answers = Vec::new();
    for (question, _) in QUESTIONS {
        let request = json!({ "query": question, "collection_name": collection });
        let mut answer = server.api().post("/query", request).await.expect(200);
        let hits = server
            .api()
            .search(json!({ "query": question, "collection_name": collection, "limit": 5 }))
            .await;
        // Of vectors the last bit may be another, as they are stored with length 1.
        let found: Vec<Value> = hits
            .iter()
            .map(|hit| json!([hit["metadata"]["document_id"], hit["content"]]))
            .collect();
        answers.push(json!([answer["response"].take(), found]));
    }
    answers
}

/// A server on the data directory that a backup was put back into.
async fn serve_restored(name: &'static str, dir: &Path) -> Server {
    let mut server = Server::start(name, &[]);
    server.kill9();
    std::fs::remove_dir_all(server.data_dir()).expect("removing an empty data directory");
    let output = restore(dir, &server.data_dir()).await;
    assert!(output.status.success(), "{}", output_of(&output));
    let report = doctor(&server, &[]);
    assert_ne!(check(&report, "storage")["state"], "broken", "{report:#}");
    server.restart();
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_during_an_ingest_and_deletions_is_whole_and_answers_as_its_server_did() {
    let server = Server::start("backup", &[]);
    let api = server.api();
    api.ingest("reports", &files::report("report.pdf")).await;
    for volume in 0..4 {
        api.ingest("reports", &files::volume(volume, 30)).await;
    }
    let before = answers(&server, "reports").await;
    let mut gone = Vec::new();
    for volume in 10..14 {
        gone.push(api.ingest("passing", &files::volume(volume, 30)).await);
    }
    let many: Vec<files::File> = (20..30).map(|volume| files::volume(volume, 60)).collect();
    let many: Vec<&files::File> = many.iter().collect();
    api.upload("?wait=false", "coming", &many).await.expect(202);

    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().join("backup");
    let deleting = async {
        for document in &gone {
            let id = document["document_id"].as_str().expect("an id");
            api.delete(&format!("/documents/{id}")).await.expect(200);
        }
    };
    let (report, ()) = tokio::join!(backup(&server, &dir), deleting);
    assert_eq!(report["damaged"], json!([]), "{report}");
    // A backup is its owner's alone, and is not written over.
    let again = run(Path::new("/"), &["--server", server.url(), "backup", dir.to_str().expect("UTF-8")]).await;
    assert!(
        !again.status.success() && output_of(&again).contains("not empty"),
        "{}",
        output_of(&again)
    );
    let used = restore(&dir, &server.data_dir()).await;
    assert!(
        !used.status.success() && output_of(&used).contains("not empty"),
        "{}",
        output_of(&used)
    );

    let mut restored = serve_restored("restored", &dir).await;
    within("what was on its way to arrive", async {
        loop {
            let mut socket = restored.socket("/ws/upload").await;
            let list = restored.api().documents("coming").await;
            if list.iter().all(|document| document["status"] != "processing") {
                assert!(list.iter().all(|document| document["status"] == "ready"), "{list:?}");
                return;
            }
            socket.receive_until(|event| event["type"] == "upload_complete").await;
        }
    })
    .await;
    assert_eq!(answers(&restored, "reports").await, before);
    for document in restored.api().documents("passing").await {
        let id = document["document_id"].as_str().expect("an id");
        assert_eq!(
            restored.api().found_chunks("passing", id).await as u64,
            document["chunks"],
            "{document}"
        );
        assert_eq!(restored.api().get(&format!("/documents/{id}/file")).await.status, 200);
    }
    let log = restored.whole_log();
    assert!(!log.contains("vectors are not all there"), "vectors were embedded again: {log}");
    restored.terminate();
    assert!(restored.stopped().await.success());
    let report = doctor(&restored, &[]);
    assert_eq!(check(&report, "storage")["state"], "ok", "{report:#}");
}

/// Has the catalog of a data directory that nobody uses say that all collections are in a Qdrant server.
async fn place_in_qdrant(data: &Path) {
    let change =
        "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.execute(\"UPDATE collections SET place = 'qdrant'\")\ndb.commit()";
    let mut python = tokio::process::Command::new("python3");
    let done = within("python3", python.args(["-c", change]).arg(data.join("catalog")).output()).await;
    succeeded("python3", &done.expect("python3"));
}

#[tokio::test]
async fn vectors_of_a_qdrant_server_that_is_away_are_computed_again_after_a_restore() {
    let place = tempfile::tempdir().expect("a directory");
    let [one, dir, other] = ["one", "backup", "other"].map(|name| place.path().join(name));
    let mut server = Server::start_on("backup-away", &one, &[]);
    server.api().ingest("reports", &files::report("report.pdf")).await;
    server.api().ingest("reports", &files::volume(1, 30)).await;
    let before = answers(&server, "reports").await;
    server.terminate();
    assert!(server.stopped().await.success());
    place_in_qdrant(&one).await;
    let door = Door::shut_before("http://127.0.0.1:9").await;
    let server = Server::start_on("backup-away", &one, &[&format!("qdrant.url={}", door.url()), "qdrant.retries=0"]);
    let report = backup(&server, &dir).await;
    assert_eq!(
        (&report["without_vectors"], &report["damaged"]),
        (&json!(["reports"]), &json!([])),
        "{report}"
    );
    drop(server);

    // Where no Qdrant server is named, it is used from where it is.
    let output = restore(&dir, &other).await;
    assert!(output.status.success(), "{}", output_of(&output));
    let restored = Server::start_on("backup-came", &other, &[]);
    let api = restored.api();
    within("the documents to be indexed again", async {
        while api.documents("reports").await.iter().any(|document| document["status"] != "ready") {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(answers(&restored, "reports").await, before);
    let place = api.get("/collections/reports/index").await.expect(200);
    assert_eq!(
        (&place["index"], &place["move"]["to"]),
        (&json!("embedded"), &json!("qdrant")),
        "{place}"
    );
    let request = api.request(reqwest::Method::PUT, "/collections/reports/index");
    let stays = api.send(request.json(&json!({ "index": "embedded" }))).await.expect(200);
    assert_eq!(stays["index"], "embedded");
    assert_eq!(answers(&restored, "reports").await, before);
}

#[tokio::test]
async fn a_damaged_backup_is_not_put_back() {
    let server = Server::start("backup-damaged", &[]);
    let document = server.api().ingest("documents", &files::report("report.pdf")).await;
    let place = tempfile::tempdir().expect("a directory");
    let (dir, data) = (place.path().join("backup"), place.path().join("data"));
    backup(&server, &dir).await;
    let id = document["document_id"].as_str().expect("an id");
    let text = dir.join("files/texts").join(id).join("text");
    let whole = std::fs::read(&text).expect("the text");
    let mut bytes = whole.clone();
    bytes[3] ^= 1;
    for (damaged, reason) in [(bytes, "SHA-256"), (whole[1..].to_vec(), "size")] {
        std::fs::write(&text, damaged).expect("writing");
        let output = restore(&dir, &data).await;
        assert!(
            !output.status.success() && output_of(&output).contains(reason),
            "{}",
            output_of(&output)
        );
        assert_eq!(std::fs::read_dir(&data).expect("a directory").count(), 0, "something was put back");
    }
    std::fs::write(&text, whole).expect("writing");
    std::fs::rename(dir.join("manifest.json"), dir.join("x")).expect("renaming");
    let output = restore(&dir, &data).await;
    assert!(
        !output.status.success() && output_of(&output).contains("no whole backup"),
        "{}",
        output_of(&output)
    );
    std::fs::rename(dir.join("x"), dir.join("manifest.json")).expect("renaming");
    let output = restore(&dir, &data).await;
    assert!(output.status.success(), "{}", output_of(&output));
}

#[tokio::test]
async fn a_backup_is_for_who_sees_everything() {
    let server = Server::shared();
    let reply = server.api().send(server.api().request(reqwest::Method::HEAD, "/backup")).await;
    assert_eq!(reply.status, 405, "asking for its head must not make one");
}
