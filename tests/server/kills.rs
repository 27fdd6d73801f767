//! The server is killed at random moments while clients upload, replace, delete, change pipelines so that collections are re-indexed,
//! delete whole collections, and move them to a Qdrant server and back where there is one (see `tests/support/qdrant.rs`).
//!
//! `IBID_FAULT_KILLS` says how often (12), `IBID_FAULT_SEED` with which numbers; a failure says the seed that it had.

use crate::support::files::{self, File};
use crate::support::process::{program, share};
use crate::support::qdrant;
use crate::support::qdrant_double::AnyQdrant;
use crate::support::{Api, Server, within};
use fastrand::Rng;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Clients that work at the same time, each with a collection of its own.
const CLIENTS: usize = 3;
/// Documents that a client has at most; then it deletes.
const DOCUMENTS: usize = 8;
/// The data directory is looked at by `ibid doctor` after so many kills, and at the end.
const LOOKED_AT: u64 = 25;

/// What a client knows of a document.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    /// It was acknowledged, under this identifier.
    There(String),
    /// It was acknowledged, and its identifier is not known yet.
    Accepted,
    /// A request that would make it or delete it was not answered.
    Open,
}

impl Known {
    fn id(&self) -> Option<&str> {
        match self {
            Self::There(id) => Some(id),
            Self::Accepted | Self::Open => None,
        }
    }
}

/// What clients do, as it is counted.
#[derive(Clone, Copy)]
enum Done {
    Upload,
    Replace,
    Delete,
    DeleteCollection,
    Reindex,
    Move,
}

/// A client: what it uploaded, by number; each text is another.
struct Client {
    collection: String,
    rng: Rng,
    next: usize,
    documents: BTreeMap<usize, (File, Known)>,
    /// Uploads that were accepted and not waited for.
    uploads: Vec<String>,
    /// Requests that were answered, by kind.
    done: [u64; 6],
}

/// What collections are re-indexed to and fro between.
const CHUNKERS: [&str; 2] = ["sentences", "recursive"];

/// A text that no other document has, of 1 to some 6 chunks.
fn text(client: usize, number: usize, rng: &mut Rng) -> File {
    let volume = (client + 1) * 1_000_000 + number;
    let mut file = files::volume(volume, rng.usize(2..40));
    // Few names, so that the same name comes with other bytes.
    file.name = format!("notes-{}.txt", rng.usize(0..5));
    file
}

impl Client {
    /// Works until the server is gone.
    async fn work(mut self, number: usize, api: Api) -> Self {
        while self.step(number, &api).await.is_some() {}
        self
    }

    /// One piece of work; `None` if the server gave no answer.
    async fn step(&mut self, number: usize, api: &Api) -> Option<()> {
        let full = self.documents.len() >= DOCUMENTS;
        match self.rng.u32(0..22) {
            20 => self.reindex(api).await,
            21 => self.move_it(api).await,
            0..=7 if !full => self.upload(number, api).await.map(drop),
            8..=12 if !full => {
                // Other bytes under a name that is taken, then away with the old ones.
                let new = self.upload(number, api).await?;
                let name = self.documents[&new].0.name.clone();
                let old = self.documents.iter().find(|(n, (file, _))| **n != new && file.name == name);
                let old = old.map(|(n, _)| *n);
                self.count(Done::Replace);
                match old {
                    Some(old) => self.delete(old, api).await,
                    None => Some(()),
                }
            }
            19 => self.delete_collection(api).await,
            _ => {
                let numbers: Vec<usize> = self.documents.keys().copied().collect();
                match self.rng.choice(numbers) {
                    Some(number) => self.delete(number, api).await,
                    None => self.upload(number, api).await.map(drop),
                }
            }
        }
    }

    fn count(&mut self, what: Done) {
        self.done[what as usize] += 1;
    }

    /// Gives the collection another chunker. While one re-index or a move goes on there is no other.
    async fn reindex(&mut self, api: &Api) -> Option<()> {
        let chunker = self.rng.choice(CHUNKERS).unwrap_or_default();
        let path = format!("/collections/{}/pipeline", self.collection);
        let request = api.request(Method::PUT, &path).json(&json!({ "chunker": { "plugin": chunker } }));
        let (status, body) = answer(request).await?;
        assert!(matches!(status, 200 | 202 | 404 | 409), "{status}: {body}");
        if status == 202 {
            self.count(Done::Reindex);
            if self.rng.u32(0..4) == 0 {
                // It may have ended, or its collection may be empty by now.
                let path = format!("/collections/{}/reindex", self.collection);
                let (status, body) = answer(api.request(Method::DELETE, &path)).await?;
                assert!(matches!(status, 200 | 409), "{status}: {body}");
            }
        }
        Some(())
    }

    /// Moves the collection to the Qdrant server, or back, or stops that.
    async fn move_it(&mut self, api: &Api) -> Option<()> {
        let place = if self.rng.bool() { "qdrant" } else { "embedded" };
        let path = format!("/collections/{}/index", self.collection);
        let request = api.request(Method::PUT, &path).json(&json!({ "index": place }));
        let (status, body) = answer(request).await?;
        assert!(matches!(status, 200 | 202 | 404 | 409), "{status}: {body}");
        if status == 202 {
            self.count(Done::Move);
        }
        Some(())
    }

    async fn upload(&mut self, client: usize, api: &Api) -> Option<usize> {
        let number = self.next;
        self.next += 1;
        let file = text(client, number, &mut self.rng);
        let wait = self.rng.bool();
        self.documents.insert(number, (file.clone(), Known::Open));
        let form = Form::new()
            .text("collection_name", self.collection.clone())
            .part("files", Part::bytes(file.bytes).file_name(file.name));
        let request = api.request(Method::POST, &format!("/documents/upload?wait={wait}")).multipart(form);
        let (status, body) = answer(request).await?;
        assert_eq!(status, if wait { 201 } else { 202 }, "{body}");
        self.count(Done::Upload);
        self.set(number, Known::Accepted);
        self.uploads.extend(body["upload_id"].as_str().filter(|_| !wait).map(str::to_owned));
        let id = match body["uploaded_documents"][0]["document_id"].as_str() {
            Some(id) => id.to_owned(),
            // What was accepted has its document's identifier in the list alone: it is the one that is new.
            None => self.new_document(api).await?,
        };
        self.set(number, Known::There(id));
        Some(number)
    }

    fn set(&mut self, number: usize, now: Known) {
        if let Some((_, known)) = self.documents.get_mut(&number) {
            *known = now;
        }
    }

    async fn new_document(&self, api: &Api) -> Option<String> {
        let path = format!("/documents?collection_name={}&limit=1000", self.collection);
        let (status, body) = answer(api.request(Method::GET, &path)).await?;
        assert_eq!(status, 200, "{body}");
        let listed = body["documents"].as_array().expect("documents");
        let known: Vec<&str> = self.documents.values().filter_map(|(_, known)| known.id()).collect();
        let mut new = listed
            .iter()
            .filter_map(|document| document["document_id"].as_str())
            .filter(|id| !known.contains(id));
        let id = new.next().unwrap_or_else(|| panic!("accepted, and not in the list: {body}"));
        Some(id.to_owned())
    }

    async fn delete(&mut self, number: usize, api: &Api) -> Option<()> {
        let (_, known) = self.documents.get_mut(&number)?;
        let Some(id) = known.id().map(str::to_owned) else { return Some(()) };
        *known = Known::Open;
        let (status, body) = answer(api.request(Method::DELETE, &format!("/documents/{id}"))).await?;
        assert_eq!(status, 200, "{id}: {body}");
        self.documents.remove(&number);
        self.count(Done::Delete);
        Some(())
    }

    async fn delete_collection(&mut self, api: &Api) -> Option<()> {
        if self.documents.is_empty() {
            return Some(());
        }
        for (_, known) in self.documents.values_mut() {
            *known = Known::Open;
        }
        let request = api.request(Method::DELETE, &format!("/collections/{}?confirm=true", self.collection));
        let (status, body) = answer(request).await?;
        assert_eq!(status, 200, "{body}");
        self.documents.clear();
        self.count(Done::DeleteCollection);
        Some(())
    }

    /// Compares what is there with what was acknowledged, and takes over what was open.
    async fn check(&mut self, api: &Api) {
        let listed = list(api, &self.collection).await;
        let mut chunks = 0;
        let mut seen = BTreeMap::new();
        for document in &listed {
            let id = document["document_id"].as_str().expect("an id");
            assert_eq!(document["status"], "ready", "{document}");
            let text = api.text(id, "").await.into_bytes();
            let number = self
                .documents
                .iter()
                .find(|(_, (file, _))| file.bytes == text)
                .map(|(number, _)| *number);
            let number = number.unwrap_or_else(|| panic!("deleted, and there again: {document}"));
            let (file, known) = &self.documents[&number];
            assert_eq!(document["filename"], file.name.as_str(), "{document}");
            assert!(
                known.id().is_none_or(|known| known == id),
                "another document than was acknowledged: {document}, {known:?}"
            );
            let found = api.found_chunks(&self.collection, id).await;
            assert_eq!(document["chunks"], found, "found are {found} chunks of {document}");
            assert_eq!(api.get(&format!("/documents/{id}/file")).await.body, file.bytes);
            chunks += found;
            assert_eq!(seen.insert(number, id.to_owned()), None, "twice: {document}");
            // As its collection makes documents, and not as the collection did before a re-index.
            let chunker = async |path: &str, at: &str| api.get(path).await.expect(200).pointer(at).cloned().expect("a chunker");
            assert_eq!(
                chunker(&format!("/documents/{id}"), "/processing_info/pipeline/plugins/chunker").await,
                chunker(&format!("/collections/{}/pipeline", self.collection), "/lock/plugins/chunker").await,
                "{document}"
            );
        }
        for (number, (file, known)) in &self.documents {
            assert!(
                *known == Known::Open || seen.contains_key(number),
                "lost: {} {known:?}, there are {listed:?}",
                file.name
            );
        }
        self.documents.retain(|number, _| seen.contains_key(number));
        for (number, id) in seen {
            self.set(number, Known::There(id));
        }
        let reply = api.get(&format!("/collections/{}/info", self.collection)).await;
        if reply.status != 404 {
            let info = reply.expect(200);
            assert_eq!(
                (&info["total_documents"], &info["total_chunks"], &info["processing_documents"]),
                (&json!(listed.len()), &json!(chunks), &json!(0))
            );
        }
    }
}

/// Every upload has its end, or is gone with its document.
async fn expect_ended(server: &Server, uploads: Vec<String>) {
    let mut socket = server.socket("/ws/upload").await;
    for upload in uploads {
        socket
            .send(json!({ "type": "resume", "request_id": upload, "data": { "upload_id": upload } }))
            .await;
        socket
            .receive_until(|event| match event["type"].as_str() {
                Some("upload_complete") => event["data"]["upload_id"] == upload.as_str(),
                Some("error") => event["request_id"] == upload.as_str() && event["data"]["code"] == "RESOURCE_NOT_FOUND",
                _ => false,
            })
            .await;
    }
}

/// The answer to a request; `None` if there is none, or half of one.
async fn answer(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    within("an answer or an end", async {
        let reply = request.send().await.ok()?;
        let status = reply.status().as_u16();
        let body = reply.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    })
    .await
}

/// The documents of a collection that may not be there.
async fn list(api: &Api, collection: &str) -> Vec<Value> {
    let reply = api.get(&format!("/documents?collection_name={collection}&limit=1000")).await;
    if reply.status == 404 {
        return Vec::new();
    }
    reply.expect(200)["documents"].as_array().expect("documents").clone()
}

/// Of no document some chunks are found and some are not.
async fn expect_none_half_visible(api: &Api, collection: &str) {
    for document in list(api, collection).await {
        let id = document["document_id"].as_str().expect("an id");
        let count = async || {
            let detail = api.get(&format!("/documents/{id}")).await.expect(200);
            detail["statistics"]["chunks"].as_u64().expect("a count")
        };
        let before = count().await;
        let found = api.found_chunks(collection, id).await as u64;
        if found > 0 {
            // Read after the search: a document that is found has its final count; or a re-index gave it another one meanwhile.
            let after = count().await;
            assert!(
                found == after || found == before,
                "half visible: {found} of {before} and then {after}: {document}"
            );
        }
    }
}

/// Whether a collection is re-indexed or moves.
async fn is_reindexed_or_moved(api: &Api, collection: &str) -> bool {
    let info = api.get(&format!("/collections/{collection}/info")).await;
    if info.status == 404 {
        return false;
    }
    let place = api.get(&format!("/collections/{collection}/index")).await.expect(200);
    info.expect(200)["reindex"]["status"] == "running" || place["move"]["status"] == "moving"
}

/// Waits until nothing is in processing, looking at what can be seen all the while.
async fn settled(server: &Server, clients: &[Client]) {
    let api = server.api();
    within("all documents to be done", async {
        loop {
            // Made before the look, so that no end is missed between the two.
            let mut socket = server.socket("/ws/upload").await;
            let mut processing = 0;
            for client in clients {
                expect_none_half_visible(&api, &client.collection).await;
                let documents = list(&api, &client.collection).await;
                processing += documents.iter().filter(|document| document["status"] == "processing").count();
            }
            if processing > 0 {
                socket.receive_until(|event| event["type"] == "upload_complete").await;
                continue;
            }
            let mut remade = 0;
            for client in clients {
                remade += usize::from(is_reindexed_or_moved(&api, &client.collection).await);
            }
            if remade == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// What `ibid doctor` says of the data directory of a server that was stopped.
pub fn doctor(server: &Server, more: &[&str]) -> Value {
    let mut command = program(&server.data_dir());
    command
        .args(["doctor", "--json", "--set", "server.listen=127.0.0.1:0"])
        .args(more)
        .arg("--data-dir")
        .arg(server.data_dir())
        .arg("--share-dir")
        .arg(share());
    let output = command.output().expect("running ibid doctor");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A check of `ibid doctor` by its name.
pub fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut checks = report["checks"].as_array().expect("checks").iter();
    checks
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no check {name}: {report}"))
}

/// Says the seed if the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again with IBID_FAULT_SEED={}", self.0);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value}")))
}

async fn stop_and_look(server: &mut Server) {
    server.terminate();
    assert!(server.stopped().await.success());
    let report = doctor(server, &[]);
    for name in ["storage", "catalog"] {
        assert_eq!(check(&report, name)["state"], "ok", "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_lose_nothing_and_leave_nothing() {
    let kills = number("IBID_FAULT_KILLS").unwrap_or(12);
    let seed = Seed(number("IBID_FAULT_SEED").unwrap_or_else(|| fastrand::u64(..)));
    let mut rng = Rng::with_seed(seed.0);
    let begun = Instant::now();
    let (index, prefix) = (AnyQdrant::new().await, qdrant::prefix("kills"));
    let mut settings = vec![
        "ingest.reindex_percent=100".to_owned(),
        format!("qdrant.url={}", index.url()),
        format!("qdrant.collection_prefix={prefix}"),
    ];
    let key = std::env::var("IBID_TEST_QDRANT_API_KEY");
    settings.extend(key.map(|key| format!("qdrant.api_key={key}")));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut server = Server::start("kills", &settings);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client {
            collection: format!("kills-{number}"),
            rng: rng.fork(),
            next: 0,
            documents: BTreeMap::new(),
            uploads: Vec::new(),
            done: [0; 6],
        })
        .collect();
    for kill in 1..=kills {
        let mut work = JoinSet::new();
        for (number, client) in clients.drain(..).enumerate() {
            work.spawn(client.work(number, server.api()));
        }
        // sleep: the server is killed at any moment, not at an event.
        tokio::time::sleep(Duration::from_millis(rng.u64(0..700))).await;
        server.kill9();
        clients = within("the clients to notice", work.join_all()).await;
        clients.sort_by(|a, b| a.collection.cmp(&b.collection));
        server.restart();
        settled(&server, &clients).await;
        let api = server.api();
        for client in &mut clients {
            client.check(&api).await;
            expect_ended(&server, std::mem::take(&mut client.uploads)).await;
        }
        if kill % LOOKED_AT == 0 && kill < kills {
            stop_and_look(&mut server).await;
            server.restart();
        }
    }
    stop_and_look(&mut server).await;
    let done = clients
        .iter()
        .fold([0; 6], |sum, client| std::array::from_fn(|n| sum[n] + client.done[n]));
    let [uploads, replaced, deleted, collections, reindexed, moved] = done;
    eprintln!(
        "{kills} kills in {:?}: answered were {uploads} uploads ({replaced} of a name that may have been taken), {deleted} deletions, \
         {collections} deletions of collections, {reindexed} re-indexes and {moved} moves that began; seed {}",
        begun.elapsed(),
        seed.0
    );
    qdrant::clear(&qdrant::client(&index.url()), &prefix).await;
    assert!(uploads > 0, "the server was never left alone for long enough to answer anything");
}
