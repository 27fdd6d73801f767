//! Several embedding models in one server: each collection's own, loaded as they are used.

use crate::support::files::File;
use crate::support::models::{install, own_share, publish};
use crate::support::{Api, Server, process};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Words of the small models' vocabulary, so that their vectors say something.
const TEXT: &str = "The river is water and stone.\n\nThe bread of the night is apple and bread.\n";

fn text() -> File {
    File::new("words.txt", TEXT)
}

async fn make(api: &Api, name: &str, embedder: Value) {
    let new = json!({ "name": name, "pipeline": { "embedder": embedder } });
    api.post("/collections", new).await.expect(201);
}

/// How many numbers the stored vectors of a collection have.
async fn stored(api: &Api, collection: &str) -> usize {
    let documents = api.documents(collection).await;
    let id = documents[0]["document_id"].as_str().expect("an identifier");
    let chunks = api
        .get(&format!("/documents/{id}/chunks?include_embeddings=true"))
        .await
        .expect(200);
    chunks["chunks"][0]["embedding"].as_array().expect("numbers").len()
}

async fn search(api: &Api, collection: &str) -> crate::support::Reply {
    let request = json!({ "query": "where is the river", "collection_name": collection, "search_type": "semantic" });
    api.post("/search", request).await
}

async fn embedding(api: &Api, model: &str, text: &str) -> crate::support::Reply {
    api.post("/v1/embeddings", json!({ "model": model, "input": [text] })).await
}

/// The embedding models that the server lists.
async fn listed(api: &Api) -> Vec<Value> {
    let models = api.get("/v1/models").await.expect(200);
    let models = models["data"].as_array().expect("models").clone();
    models.into_iter().filter(|model| model["kind"] == "embedding").collect()
}

#[tokio::test]
async fn each_collection_has_the_model_that_its_pipeline_names() {
    let share = own_share();
    install(share.path(), "eight", 8, 1);
    install(share.path(), "sixteen", 16, 2);
    let server = Server::start_with_share("models", share.path(), &[]);
    let api = server.api();
    assert!(
        listed(&api)
            .await
            .iter()
            .all(|model| (model["loaded"] == json!([])) == (model["default"] == false)),
        "only the default one is loaded before another is used"
    );
    make(&api, "usual", json!({})).await;
    make(&api, "eights", json!({ "model": "eight" })).await;
    make(&api, "sixteens", json!({ "model": "sixteen", "precision": "int8" })).await;
    for (collection, dimension) in [("usual", 384), ("eights", 8), ("sixteens", 16)] {
        api.ingest(collection, &text()).await;
        assert_eq!(stored(&api, collection).await, dimension, "{collection}");
        let hits = search(&api, collection).await.expect(200);
        assert!(
            hits["results"].as_array().is_some_and(|hits| !hits.is_empty()),
            "{collection}: {hits}"
        );
        let answer = api
            .post("/query", json!({ "query": "where is the river", "collection_name": collection }))
            .await
            .expect(200);
        assert!(
            answer["response"].as_str().is_some_and(|text| text.contains("river")),
            "{collection}: {answer}"
        );
    }
    let lock = api.get("/collections/sixteens/pipeline").await.expect(200);
    assert_eq!(
        (&lock["lock"]["model"]["name"], &lock["lock"]["model"]["dimension"]),
        (&json!("sixteen"), &json!(16))
    );
    let vector = embedding(&api, "eight", "stone").await.expect(200);
    assert_eq!(vector["data"][0]["embedding"].as_array().map(Vec::len), Some(8), "{vector}");
    assert_eq!(vector["model"], "eight");
    embedding(&api, "none-such", "stone").await.error(404, "RESOURCE_NOT_FOUND");
    let models = listed(&api).await;
    let told: Vec<_> = models
        .iter()
        .map(|model| (&model["id"], &model["dimension"], &model["loaded"]))
        .collect();
    assert_eq!(
        told[1..],
        [
            (&json!("eight"), &json!(8), &json!(["fp32"])),
            (&json!("sixteen"), &json!(16), &json!(["int8"]))
        ],
        "{models:?}"
    );
    assert_eq!(api.get("/v1/models/eight").await.expect(200), models[1]);

    // The numbers that a model computes in change no vectors that are there; another model would.
    let put = |pipeline: Value, query: &str| {
        let request = api.request(Method::PUT, &format!("/collections/eights/pipeline{query}"));
        api.send(request.json(&pipeline))
    };
    let changed = put(json!({ "embedder": { "model": "eight", "precision": "int8" } }), "")
        .await
        .expect(200);
    assert_eq!((&changed["redo"], &changed["changed"]), (&json!("nothing"), &json!(true)));
    search(&api, "eights").await.expect(200);
    let tried = put(json!({ "embedder": { "model": "sixteen" } }), "?dry_run=true")
        .await
        .expect(200);
    // The chunker counts in the model's tokens.
    assert_eq!(tried["redo"], "re-chunk");
    let mut events = server.socket("/ws/collections").await;
    put(json!({ "embedder": { "model": "sixteen" } }), "").await.expect(202);
    let told = events.receive_until(|event| event["type"] == "reindex_complete").await;
    assert_eq!(told.last().expect("an end")["data"]["status"], "success", "{told:?}");
    assert_eq!(stored(&api, "eights").await, 16);
    search(&api, "eights").await.expect(200);

    // Where nothing is stored yet, another model needs nothing made again.
    make(&api, "empty", json!({ "model": "eight" })).await;
    let request = api.request(Method::PUT, "/collections/empty/pipeline");
    api.send(request.json(&json!({ "embedder": { "model": "sixteen" } })))
        .await
        .expect(200);
    api.ingest("empty", &text()).await;
    assert_eq!(stored(&api, "empty").await, 16);
}

#[tokio::test]
async fn a_model_that_is_missing_or_another_one_is_refused_by_its_key_and_nothing_is_lost() {
    let share = own_share();
    install(share.path(), "eight", 8, 1);
    let mut server = Server::start_with_share("models-exchanged", share.path(), &[]);
    let api = server.api();
    for name in ["none-such", "../models/eight", "/etc", ".."] {
        let new = json!({ "name": "refused", "pipeline": { "embedder": { "model": name } } });
        let error = api.post("/collections", new).await.error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], "pipeline.embedder.model", "{error}");
        assert!(
            error["details"]["issue"]
                .as_str()
                .is_some_and(|issue| issue.contains("ibid model list")),
            "{error}"
        );
    }
    make(&api, "eights", json!({ "model": "eight" })).await;
    api.ingest("eights", &text()).await;
    let before = search(&api, "eights").await.expect(200)["results"].clone();
    let documents = api.documents("eights").await;
    for (dimension, seed) in [(8, 7), (16, 1)] {
        server.terminate();
        server.stopped().await;
        install(share.path(), "eight", dimension, seed);
        server.restart();
        let api = server.api();
        let error = search(&api, "eights").await.error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], "pipeline.embedder.model", "{error}");
        assert!(
            error["details"]["issue"]
                .as_str()
                .is_some_and(|issue| issue.contains("former model")),
            "{error}"
        );
        assert_eq!(api.documents("eights").await, documents);
        // The others are served.
        api.ingest("others", &text()).await;
        api.delete("/collections/others?confirm=true").await.expect(200);
    }
    server.terminate();
    server.stopped().await;
    std::fs::remove_dir_all(share.path().join("models/eight")).expect("removed");
    server.restart();
    let error = search(&server.api(), "eights").await.error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"]["field"], "pipeline.embedder.model", "{error}");
    // A model that comes back is found without a new start.
    install(share.path(), "eight", 8, 1);
    let api = server.api();
    assert_eq!(search(&api, "eights").await.expect(200)["results"], before);
    assert_eq!(api.documents("eights").await, documents);
}

#[tokio::test]
async fn no_more_models_are_loaded_than_the_settings_allow() {
    let share = own_share();
    install(share.path(), "eight", 8, 1);
    install(share.path(), "sixteen", 16, 2);
    let server = Server::start_with_share("models-bounded", share.path(), &["embedder.max_models=2"]);
    let api = server.api();
    for model in ["eight", "sixteen", "eight"] {
        embedding(&api, model, "stone and bread").await.expect(200);
        let loaded: Vec<Value> = listed(&api)
            .await
            .into_iter()
            .filter(|listed| listed["loaded"] != json!([]))
            .collect();
        assert!(loaded.len() == 2 && loaded[1]["id"] == model, "{loaded:?}");
    }
    let server = Server::start_with_share("models-single", share.path(), &["embedder.max_models=1"]);
    let error = embedding(&server.api(), "eight", "stone").await.error(503, "SERVICE_UNAVAILABLE");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| message.contains("embedder.max_models")),
        "{error}"
    );
}

#[tokio::test]
async fn model_list_shows_what_is_installed_and_what_a_server_has_loaded() {
    let share = own_share();
    install(share.path(), "eight", 8, 1);
    let source = tempfile::tempdir().expect("a directory");
    publish(source.path(), 8, 1);
    let list = |server: String, json: bool| {
        let mut command = process::program(share.path());
        command
            .args(["model", "list", "--server", &server])
            .arg("--share-dir")
            .arg(share.path());
        if json {
            command.arg("--json");
        }
        let output = command.output().expect("the program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    // Nobody listens at this port.
    let alone: Value = serde_json::from_str(&list("http://127.0.0.1:9".to_owned(), true)).expect("JSON");
    let models = alone["models"].as_array().expect("models");
    assert_eq!(models.len(), 2);
    assert_eq!(
        (&models[1]["name"], &models[1]["dimension"], &models[1]["loaded"]),
        (&json!("eight"), &json!(8), &Value::Null)
    );
    assert_eq!(models[1]["precisions"], json!(["fp32", "int8", "fp16"]));
    assert!(models[1]["bytes"].as_u64().is_some_and(|bytes| bytes > 1_000));
    let server = Server::start_with_share("models-listed", share.path(), &[]);
    embedding(&server.api(), "eight", "stone").await.expect(200);
    let beside: Value = serde_json::from_str(&list(server.url().to_owned(), true)).expect("JSON");
    assert_eq!(beside["models"][1]["loaded"], json!(["fp32"]), "{beside}");
    let sha256 = listed(&server.api()).await[1]["sha256"].clone();
    assert_eq!(beside["models"][1]["sha256"], sha256);
    let table = list(server.url().to_owned(), false);
    assert!(table.contains("NAME") && table.contains("eight"), "{table}");
}

/// What a hub was asked: method, path, the first byte wanted, and whether a token came with it.
type Asked = (String, String, Option<usize>, bool);

/// A hub on loopback: files by path, as Hugging Face's serves them. Weights lie elsewhere, behind a redirection.
struct TinyHub {
    address: String,
    /// What was asked.
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Bytes of weights after which a connection breaks off; 0 for never.
    breaks_at: Arc<AtomicUsize>,
    /// Whether it tells a checksum that is not the weights'.
    lies: Arc<AtomicBool>,
}

impl TinyHub {
    fn start(files: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let hub = Self {
            address: format!("http://{}", listener.local_addr().expect("an address")),
            asked: Arc::default(),
            breaks_at: Arc::default(),
            lies: Arc::default(),
        };
        let (asked, breaks_at, lies) = (hub.asked.clone(), hub.breaks_at.clone(), hub.lies.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                Self::serve(stream, &files, &asked, &breaks_at, &lies);
            }
        });
        hub
    }

    fn serve(mut stream: TcpStream, files: &Path, asked: &Mutex<Vec<Asked>>, breaks_at: &AtomicUsize, lies: &AtomicBool) {
        let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines().map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        let mut words = first.split(' ');
        let (method, path) = (
            words.next().unwrap_or_default().to_owned(),
            words.next().unwrap_or_default().to_owned(),
        );
        let fields: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
        let from = fields
            .iter()
            .find_map(|field| field.strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok());
        let token = fields.iter().any(|field| field == "authorization: bearer hub-token");
        asked.lock().expect("a lock").push((method.clone(), path.clone(), from, token));
        let file = path.strip_prefix("/tiny/eight/resolve/main/");
        let stored = path.strip_prefix("/stored/");
        let bytes = file.or(stored).and_then(|file| std::fs::read(files.join(file)).ok());
        let sha256 = |bytes: &[u8]| {
            let digest = Sha256::digest(if lies.load(Ordering::SeqCst) { b"another" } else { bytes });
            digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let (head, body) = match (bytes, file) {
            (None, _) => ("404 Not Found\r\ncontent-length: 0".to_owned(), Vec::new()),
            (Some(bytes), Some("model.safetensors")) => (
                format!(
                    "302 Found\r\nlocation: /stored/model.safetensors\r\nx-linked-etag: \"{}\"\r\ncontent-length: 0",
                    sha256(&bytes)
                ),
                Vec::new(),
            ),
            (Some(bytes), _) => {
                let rest = bytes[from.unwrap_or(0)..].to_vec();
                let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
                (format!("{status}\r\netag: \"0123456789\"\r\ncontent-length: {}", rest.len()), rest)
            }
        };
        let _ = write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
        if method == "GET" {
            let most = match (stored, breaks_at.load(Ordering::SeqCst)) {
                (Some(_), most @ 1..) => most.min(body.len()),
                _ => body.len(),
            };
            let _ = stream.write_all(&body[..most]);
        }
    }

    fn pull(&self, share: &Path, more: &[&str]) -> std::process::Output {
        process::program(share)
            .args([
                "model",
                "pull",
                "tiny/eight",
                "--set",
                &format!("embedder.hub_url={}", self.address),
            ])
            .arg("--share-dir")
            .arg(share)
            .args(more)
            .env("HF_TOKEN", "hub-token")
            .output()
            .expect("the program")
    }

    fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("a lock"))
    }
}

#[tokio::test]
async fn model_pull_fetches_what_it_needs_goes_on_where_it_broke_off_and_checks_what_came() {
    let (share, published) = (own_share(), tempfile::tempdir().expect("a directory"));
    publish(published.path(), 8, 1);
    std::fs::write(published.path().join("README.md"), "Nobody needs it.").expect("written");
    let hub = TinyHub::start(published.path().to_owned());
    let told = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let installed = share.path().join("models/eight/ibid-model.json");

    hub.breaks_at.store(1_000, Ordering::SeqCst);
    let broken = hub.pull(share.path(), &[]);
    assert!(
        !broken.status.success() && told(&broken).contains("run the command again"),
        "{}",
        told(&broken)
    );
    assert!(!installed.exists(), "nothing is installed by halves");
    let asked = hub.take_asked();
    assert!(asked.iter().all(|(.., token)| *token), "{asked:?}");
    assert!(
        asked.iter().any(|(_, path, ..)| path.ends_with("/1_Pooling/config.json")),
        "{asked:?}"
    );
    assert!(
        asked.iter().all(|(_, path, ..)| !path.contains("README") && !path.contains("onnx")),
        "{asked:?}"
    );

    hub.breaks_at.store(0, Ordering::SeqCst);
    let whole = hub.pull(share.path(), &[]);
    assert!(whole.status.success(), "{}", told(&whole));
    let resumed = hub
        .take_asked()
        .into_iter()
        .any(|(method, path, from, _)| (method.as_str(), path.as_str(), from) == ("GET", "/stored/model.safetensors", Some(1_000)));
    assert!(resumed && told(&whole).contains("gone on with"), "{}", told(&whole));
    assert!(installed.exists());

    // What was pulled is what the same files give when they are converted here.
    let server = Server::start_with_share("models-pulled", share.path(), &[]);
    let pulled = embedding(&server.api(), "eight", "stone and bread").await.expect(200)["data"].clone();
    install(share.path(), "other-name", 8, 1);
    let converted = embedding(&server.api(), "other-name", "stone and bread").await.expect(200)["data"].clone();
    assert_eq!(pulled, converted);

    // Other weights do not take its place unasked: vectors were made with those that are there.
    publish(published.path(), 8, 2);
    let refused = hub.pull(share.path(), &[]);
    assert!(
        !refused.status.success() && told(&refused).contains("--force"),
        "{}",
        told(&refused)
    );
    let named = hub.pull(share.path(), &["--name", "newer", "--json"]);
    assert!(
        named.status.success() && share.path().join("models/newer/ibid-model.json").exists(),
        "{}",
        told(&named)
    );
    let made: Value = serde_json::from_slice(&named.stdout).expect("JSON");
    assert_eq!(
        (&made["name"], &made["dimension"], &made["changed"]),
        (&json!("newer"), &json!(8), &json!(true))
    );
    let again = hub.pull(share.path(), &["--name", "newer", "--json"]);
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!((&again["changed"], &again["sha256"]), (&json!(false), &made["sha256"]));

    hub.lies.store(true, Ordering::SeqCst);
    let wrong = hub.pull(share.path(), &["--name", "wrong"]);
    assert!(!wrong.status.success() && told(&wrong).contains("SHA-256"), "{}", told(&wrong));
    assert!(!share.path().join("models/wrong").exists());
}
