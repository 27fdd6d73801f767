//! `ibid doctor --repair`: what an operator's hand broke in a data directory.

use crate::faults::files_under;
use crate::kills::{check, doctor};
use crate::support::files::{self, QUESTIONS};
use crate::support::{Api, Server, within};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

async fn stop(server: &mut Server) {
    server.terminate();
    assert!(server.stopped().await.success());
}

/// What the doctor says of the storage: state and detail.
fn storage(server: &Server, more: &[&str]) -> (String, String) {
    let report = doctor(server, more);
    let check = check(&report, "storage");
    let text = |key: &str| check[key].as_str().expect("text").to_owned();
    (text("state"), text("detail"))
}

/// All documents are there, whole, and answer.
async fn expect_whole(api: &Api, wanted: &[Value]) {
    within("what is made again to be ready", async {
        loop {
            let list = api.documents("documents").await;
            assert_eq!(list.len(), wanted.len(), "{list:?}");
            assert!(list.iter().all(|document| document["status"] != "failed"), "{list:?}");
            if list.iter().all(|document| document["status"] == "ready") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    for document in wanted {
        let id = document["document_id"].as_str().expect("an id");
        assert_eq!(
            api.found_chunks("documents", id).await as u64,
            document["chunks_created"],
            "{document}"
        );
    }
    let answer = api.post("/query", json!({ "query": QUESTIONS[1].0 })).await.expect(200);
    assert_eq!(answer["sources"][0]["metadata"]["page"], 2, "{answer}");
}

/// The one file under a directory that holds these bytes.
fn holding(directory: &Path, bytes: &[u8]) -> PathBuf {
    let mut found = files_under(directory)
        .into_iter()
        .filter(|path| fs::read(path).unwrap_or_default() == bytes);
    found.next().expect("a file with these bytes")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copying")),
        }
    }
}

#[tokio::test]
async fn files_and_texts_that_are_gone_or_stray_are_found_and_mended() {
    let mut server = Server::start("repair-files", &[]);
    let report = files::report("report.pdf");
    let volume = files::volume(5, 30);
    let wanted = [
        server.api().ingest("documents", &report).await,
        server.api().ingest("documents", &volume).await,
    ];
    let id = wanted[0]["document_id"].as_str().expect("an id");
    let data = server.data_dir();
    let text = data.join("files/texts").join(id).join("text");
    stop(&mut server).await;
    assert_eq!(storage(&server, &[]).0, "ok");

    // A text, gone and cut short.
    let whole = fs::read(&text).expect("the text");
    for damage in [None, Some(&whole[..whole.len() / 2])] {
        match damage {
            None => fs::remove_file(&text).expect("removing"),
            Some(half) => fs::write(&text, half).expect("writing"),
        }
        let (state, detail) = storage(&server, &[]);
        assert!(
            state == "broken" && detail.contains("report.pdf") && detail.contains("text"),
            "{state}: {detail}"
        );
        let (state, detail) = storage(&server, &["--repair"]);
        assert!(state == "ok" && detail.contains("mended"), "{state}: {detail}");
        server.restart();
        expect_whole(&server.api(), &wanted).await;
        assert_eq!(fs::read(&text).expect("the text"), whole);
        stop(&mut server).await;
        assert_eq!(storage(&server, &[]).0, "ok");
    }

    // An original: only who has it can bring it back.
    let original = holding(&data.join("files/files"), &report.bytes);
    fs::remove_file(&original).expect("removing");
    let (state, detail) = storage(&server, &["--repair"]);
    assert!(
        state == "broken" && detail.contains("upload the same file again"),
        "{state}: {detail}"
    );
    server.restart();
    expect_whole(&server.api(), &wanted).await;
    server
        .api()
        .get(&format!("/documents/{id}/file"))
        .await
        .error(404, "RESOURCE_NOT_FOUND");
    let again = server.api().upload("", "documents", &[&report]).await;
    assert!(again.status.is_success() || again.status == 409, "{}", again.text());
    assert_eq!(server.api().get(&format!("/documents/{id}/file")).await.body, report.bytes);
    stop(&mut server).await;
    assert_eq!(storage(&server, &[]).0, "ok");

    // What nothing needs.
    let sha256 = "ab".repeat(32);
    fs::create_dir_all(data.join("files/files/ab")).expect("a directory");
    let strays = [data.join("files/files/ab").join(&sha256), data.join("files/incoming/upload_x")];
    for stray in &strays {
        fs::write(stray, "stray").expect("writing");
    }
    copy(&data.join("files/texts").join(id), &data.join("files/texts/doc_x"));
    let (state, detail) = storage(&server, &[]);
    assert!(
        state == "note" && detail.contains(&sha256) && detail.contains("doc_x") && detail.contains("upload_x"),
        "{state}: {detail}"
    );
    let (state, detail) = storage(&server, &["--repair"]);
    assert!(state == "ok" && detail.contains("3 things"), "{state}: {detail}");
    assert!(strays.iter().all(|stray| !stray.exists()) && !data.join("files/texts/doc_x").exists());
    server.restart();
    expect_whole(&server.api(), &wanted).await;
}

#[tokio::test]
async fn an_index_that_is_gone_or_old_is_made_again() {
    let mut server = Server::start("repair-index", &[]);
    let data = server.data_dir();
    let (index, old) = (data.join("index"), data.with_file_name("old-index"));
    let report = server.api().ingest("documents", &files::report("report.pdf")).await;
    let gone = server.api().ingest("documents", &files::volume(5, 30)).await;
    stop(&mut server).await;
    copy(&index, &old);
    server.restart();
    let id = gone["document_id"].as_str().expect("an id");
    server.api().delete(&format!("/documents/{id}")).await.expect(200);
    let new = server.api().ingest("documents", &files::volume(6, 30)).await;
    let wanted = [report, new];
    stop(&mut server).await;

    // It lacks a document, and has one that was deleted.
    for repair in [false, true] {
        fs::remove_dir_all(&index).expect("removing");
        copy(&old, &index);
        let (state, detail) = storage(&server, &[]);
        assert!(state == "note" && detail.contains(id), "{state}: {detail}");
        if repair {
            let (_, detail) = storage(&server, &["--repair"]);
            assert!(detail.contains("mended"), "{detail}");
        }
        server.restart();
        expect_whole(&server.api(), &wanted).await;
        assert_eq!(server.api().found_chunks("documents", id).await, 0);
        stop(&mut server).await;
        assert_eq!(storage(&server, &[]).0, "ok");
    }
    fs::remove_dir_all(&index).expect("removing");
    let (state, detail) = storage(&server, &[]);
    assert!(state == "note" && detail.contains("0 vectors"), "{state}: {detail}");
    server.restart();
    expect_whole(&server.api(), &wanted).await;
    stop(&mut server).await;
    assert_eq!(storage(&server, &[]).0, "ok");
}
