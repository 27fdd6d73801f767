//! Files and texts in an S3 server (`tests/support/moto.rs`): the life of a document there, uploads that go on after the machine's
//! disk was lost, an object store that goes away and comes back, backups, and the errors that an operator sees.

use crate::kills::check;
use crate::support::files::{self, QUESTIONS};
use crate::support::moto::Moto;
use crate::support::process::{program, share};
use crate::support::qdrant::Door;
use crate::support::{Api, Server, within};
use crate::tus::{create, offset, patch};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

const BUCKET: &str = "documents";

fn settings(url: &str, prefix: &str) -> Vec<String> {
    vec![
        "files.store=s3".to_owned(),
        format!("files.s3.endpoint={url}"),
        format!("files.s3.bucket={BUCKET}"),
        format!("files.s3.prefix={prefix}"),
        "files.s3.access_key_id=test".to_owned(),
        "files.s3.secret_access_key=not-to-be-told".to_owned(),
        "files.s3.retry_seconds=1".to_owned(),
    ]
}

fn start(name: &'static str, settings: &[String]) -> Server {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Server::start(name, &settings)
}

/// Runs the program with these settings.
async fn run(arguments: &[&str], settings: &[String]) -> Output {
    let mut command = program(Path::new("/"));
    command.args(arguments);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let command = tokio::process::Command::from(command).kill_on_drop(true).output();
    within("a command", command).await.expect("running it")
}

fn output_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn doctor(data: &Path, settings: &[String]) -> Value {
    let share = share();
    let (data, share) = (data.to_str().expect("UTF-8"), share.to_str().expect("UTF-8"));
    let arguments = ["doctor", "--json", "--data-dir", data, "--share-dir", share];
    let output = run(&arguments, settings).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", output_of(&output)))
}

/// The answer to a question, and the text that it quotes first.
async fn answer(api: &Api, collection: &str) -> (Value, Value) {
    let request = json!({ "query": QUESTIONS[0].0, "collection_name": collection });
    let answer = api.post("/query", request).await.expect(200);
    assert!(!answer["sources"].as_array().expect("sources").is_empty(), "{answer}");
    (answer["response"].clone(), answer["sources"][0]["content"].clone())
}

async fn health_becomes(api: &Api, status: u16) {
    within("the health to change", async {
        while api.get("/health").await.status.as_u16() != status {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Loses what is on the machine's disk of files, and nothing else.
fn lose_files(server: &Server) {
    let cache = server.data_dir().join("files-cache");
    assert!(cache.is_dir() && !server.data_dir().join("files").exists());
    std::fs::remove_dir_all(cache).expect("removing the cache");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_live_in_the_object_store_and_leave_nothing_there() {
    let Some(moto) = Moto::start(BUCKET) else { return };
    let settings = settings(&moto.url(), "ibid");
    let mut server = start("objects", &settings);
    let report = files::report("report.pdf");
    let document = server.api().ingest("reports", &report).await;
    let id = document["document_id"].as_str().expect("an id").to_owned();
    let before = answer(&server.api(), "reports").await;
    let text = server.api().text(&id, "").await;
    let objects = moto.objects(BUCKET);
    assert_eq!(objects.len(), 2, "{objects:?}");
    assert!(
        objects[0].starts_with("ibid/files/") && objects[1].starts_with("ibid/texts/"),
        "{objects:?}"
    );

    server.kill9();
    lose_files(&server);
    server.restart();
    let api = server.api();
    assert_eq!(answer(&api, "reports").await, before);
    assert_eq!(api.text(&id, "").await, text);
    assert!(api.get(&format!("/documents/{id}/file")).await.body == report.bytes);
    assert_eq!(moto.objects(BUCKET), objects);

    // The same file in another collection is the same object, as long as anybody has it.
    let second = api.ingest("others", &report).await;
    assert_eq!(moto.objects(BUCKET).len(), 3);
    api.delete(&format!("/documents/{id}")).await.expect(200);
    assert_eq!(moto.objects(BUCKET).len(), 2);
    let second = second["document_id"].as_str().expect("an id");
    assert!(api.get(&format!("/documents/{second}/file")).await.body == report.bytes);
    api.delete(&format!("/documents/{second}")).await.expect(200);
    assert_eq!(moto.objects(BUCKET), Vec::<String>::new());
    assert!(!server.whole_log().contains("not-to-be-told"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_after_the_disk_with_its_bytes_was_lost() {
    let Some(moto) = Moto::start(BUCKET) else { return };
    let mut server = start("objects-resumed", &settings(&moto.url(), ""));
    let file = files::volume(1, 300);
    let path = create(&server.api(), &file, "volumes").await;
    let half = file.bytes.len() / 2;
    let mut at = 0;
    for piece in file.bytes[..half].chunks(1000) {
        assert_eq!(patch(&server.api(), &path, at, piece).await.status.as_u16(), 204);
        at += piece.len();
    }
    assert!(
        moto.objects(BUCKET).len() < 10,
        "few parts, however many requests: {:?}",
        moto.objects(BUCKET)
    );
    server.kill9();
    lose_files(&server);
    server.restart();
    let api = server.api();
    assert_eq!(offset(&api, &path).await, half);
    let reply = patch(&api, &path, half, &file.bytes[half..]).await;
    assert_eq!(reply.status.as_u16(), 204, "{}", reply.text());
    let id = within("the document to be ready", async {
        loop {
            let info = api.get(&path).await.expect(200);
            if let Some(id) = info["result"]["document_id"].as_str() {
                return id.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let id = id.await;
    assert!(api.get(&format!("/documents/{id}/file")).await.body == file.bytes);
    let objects = moto.objects(BUCKET);
    assert!(objects.iter().all(|object| !object.contains("incoming")), "{objects:?}");

    // One that is given up leaves nothing either.
    let path = create(&api, &file, "volumes").await;
    assert_eq!(patch(&api, &path, 0, &file.bytes[..half]).await.status.as_u16(), 204);
    assert_eq!(moto.objects(BUCKET).len(), objects.len() + 1);
    let request = api.request(reqwest::Method::DELETE, &path).header("Tus-Resumable", "1.0.0");
    assert_eq!(api.send(request).await.status.as_u16(), 204);
    assert_eq!(moto.objects(BUCKET), objects);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_store_that_goes_away_is_waited_for() {
    let Some(moto) = Moto::start(BUCKET) else { return };
    let mut door = Door::shut_before(&moto.url()).await;
    door.open();
    let server = start("objects-away", &settings(&door.url(), "ibid"));
    let api = server.api();
    let mut monitor = server.socket("/ws/monitor").await;
    api.ingest("reports", &files::report("report.pdf")).await;
    let before = answer(&api, "reports").await;
    let file = files::volume(2, 300);
    let path = create(&api, &file, "volumes").await;
    let half = file.bytes.len() / 2;
    assert_eq!(patch(&api, &path, 0, &file.bytes[..half]).await.status.as_u16(), 204);
    let last = files::volume(3, 300);
    let whole = create(&api, &last, "volumes").await;
    assert_eq!(patch(&api, &whole, 0, &last.bytes[..half]).await.status.as_u16(), 204);
    // Stored, and perhaps not extracted yet.
    let waiting: Vec<files::File> = (10..14).map(|volume| files::volume(volume, 40)).collect();
    let waiting: Vec<&files::File> = waiting.iter().collect();
    api.upload("?wait=false", "waiting", &waiting).await.expect(202);

    door.shut().await;
    let question = json!({ "query": QUESTIONS[0].0, "collection_name": "reports" });
    let (asked, sent, ended) = tokio::join!(
        api.post("/query", question),
        patch(&api, &path, half, &file.bytes[half..half + 100]),
        patch(&api, &whole, half, &last.bytes[half..])
    );
    let error = asked.error(503, "SERVICE_UNAVAILABLE");
    assert!(
        error["message"].as_str().is_some_and(|message| message.contains("file store")),
        "{error}"
    );
    sent.error(503, "SERVICE_UNAVAILABLE");
    ended.error(503, "SERVICE_UNAVAILABLE");
    health_becomes(&api, 503).await;
    monitor
        .receive_until(|event| event["type"] == "error_alert" && event["data"]["service"] == "file_store")
        .await;

    door.open();
    health_becomes(&api, 200).await;
    assert_eq!(answer(&api, "reports").await, before);
    for (path, file) in [(&path, &file), (&whole, &last)] {
        let at = offset(&api, path).await;
        assert!(at >= half && at < file.bytes.len(), "acknowledged bytes are there");
        let reply = patch(&api, path, at, &file.bytes[at..]).await;
        assert_eq!(reply.status.as_u16(), 204, "{}", reply.text());
    }
    within("all documents to be ready", async {
        loop {
            let mut documents = api.documents("waiting").await;
            documents.extend(api.documents("volumes").await);
            assert!(documents.iter().all(|document| document["status"] != "failed"), "{documents:?}");
            if documents.len() == 6 && documents.iter().all(|document| document["status"] == "ready") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_goes_back_into_an_object_store_and_doctor_finds_it_whole() {
    let Some(moto) = Moto::start(BUCKET) else { return };
    let first = settings(&moto.url(), "first");
    let mut server = start("objects-backup", &first);
    server.api().ingest("reports", &files::report("report.pdf")).await;
    server.api().ingest("reports", &files::volume(3, 30)).await;
    let before = answer(&server.api(), "reports").await;
    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().join("backup");
    let backup = dir.to_str().expect("UTF-8");
    let output = run(&["--server", server.url(), "backup", backup, "--json"], &[]).await;
    assert!(output.status.success(), "{}", output_of(&output));
    server.kill9();
    let report = doctor(&server.data_dir(), &first).await;
    for name in ["files", "storage"] {
        assert_eq!(check(&report, name)["state"], "ok", "{report:#}");
    }
    let nowhere: Vec<String> = first
        .iter()
        .map(|setting| setting.replace("bucket=documents", "bucket=nowhere"))
        .collect();
    let report = doctor(&server.data_dir(), &nowhere).await;
    assert_eq!(check(&report, "files")["state"], "broken", "{report:#}");
    assert_ne!(check(&report, "storage")["state"], "broken", "{report:#}");

    // Not over another's objects.
    std::fs::remove_dir_all(server.data_dir()).expect("removing the data directory");
    let data = server.data_dir();
    let restore = ["restore", backup, "--data-dir", data.to_str().expect("UTF-8"), "--json"];
    let objects = moto.objects(BUCKET);
    let elsewhere = settings(&moto.url(), "second");
    let foreign = start("objects-foreign", &elsewhere);
    foreign.api().ingest("others", &files::volume(4, 5)).await;
    drop(foreign);
    let output = run(&restore, &elsewhere).await;
    assert!(
        !output.status.success() && output_of(&output).contains("`files.s3.prefix`"),
        "{}",
        output_of(&output)
    );
    assert!(!data.join("catalog").exists());

    let output = run(&restore, &settings(&moto.url(), "third")).await;
    assert!(output.status.success(), "{}", output_of(&output));
    assert_eq!(moto.objects(BUCKET).iter().filter(|name| name.starts_with("third/")).count(), 4);
    // What is there of the backup already is no hindrance.
    std::fs::remove_dir_all(&data).expect("removing the data directory");
    let output = run(&restore, &first).await;
    assert!(output.status.success(), "{}", output_of(&output));
    assert_eq!(
        moto.objects(BUCKET).iter().filter(|name| name.starts_with("first/")).count(),
        objects.len()
    );
    server.restart();
    assert_eq!(answer(&server.api(), "reports").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_use_its_object_store_says_which_setting_is_wrong() {
    let Some(moto) = Moto::start(BUCKET) else { return };
    let door = Door::shut_before(&moto.url()).await;
    let data = tempfile::tempdir().expect("a directory");
    let share = share();
    let (at, share) = (data.path().to_str().expect("UTF-8"), share.to_str().expect("UTF-8"));
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", at, "--share-dir", share];
    let good = settings(&moto.url(), "");
    let without = |key: &str| -> Vec<String> { good.iter().filter(|setting| !setting.contains(key)).cloned().collect() };
    for (settings, says) in [
        (without("bucket"), "`files.s3.bucket`"),
        (without("secret_access_key"), "`files.s3.secret_access_key`"),
        (
            good.iter()
                .map(|setting| setting.replace("bucket=documents", "bucket=nowhere"))
                .collect(),
            "there is no bucket `nowhere` (`files.s3.bucket`)",
        ),
        (
            good.iter().map(|setting| setting.replace(&moto.url(), &door.url())).collect(),
            "`files.s3.endpoint`",
        ),
    ] {
        let output = run(&serve, &settings).await;
        let message = output_of(&output);
        assert!(!output.status.success() && message.contains(says), "{says}: {message}");
        assert!(!message.contains("not-to-be-told"), "{message}");
    }
}
