//! `ibid doctor --repair`: what an operator's hand broke in a data directory.

use crate::faults::files_under;
use crate::kills::{check, doctor};
use crate::plugins::{GUESTS, install, pipeline};
use crate::support::files::{self, QUESTIONS};
use crate::support::{Api, Server, within};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
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

/// Directories in a directory.
fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).expect("a directory").flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn an_index_with_a_part_gone_or_damaged_is_made_again() {
    let mut server = Server::start("repair-segments", &[]);
    let wanted = [
        server.api().ingest("documents", &files::report("report.pdf")).await,
        server.api().ingest("documents", &files::volume(5, 30)).await,
    ];
    let index = server.data_dir().join("index");
    type Damage = fn(&Path);
    let damages: [Damage; 4] = [
        // A segment is gone.
        |index| fs::remove_dir_all(&directories(&index.join("segments"))[0]).expect("removing"),
        // All of them are.
        |index| fs::remove_dir_all(index.join("segments")).expect("removing"),
        // A segment has lost what its files are.
        |index| {
            for path in files_under(&directories(&index.join("segments"))[0]) {
                fs::write(path, "rubbish").expect("writing");
            }
        },
        |index| fs::write(index.join("edge_config.json"), "rubbish").expect("writing"),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        for repair in [false, true] {
            stop(&mut server).await;
            damage(&directories(&index)[0]);
            let (state, detail) = storage(&server, &[]);
            assert_eq!(state, "note", "{number}: {detail}");
            if repair {
                let (_, detail) = storage(&server, &["--repair"]);
                assert!(detail.contains("mended"), "{number}: {detail}");
            }
            server.restart();
            expect_whole(&server.api(), &wanted).await;
        }
    }
    stop(&mut server).await;
    assert_eq!(storage(&server, &[]).0, "ok");
}

#[tokio::test]
async fn damaged_plugins_and_compiled_code_keep_no_server_from_starting() {
    let mut server = Server::start("repair-plugins", &[]);
    let (api, chunker) = (server.api(), &GUESTS[0]);
    install(&api, "", chunker).await.expect(201);
    let own = json!({ "name": "own", "pipeline": pipeline("chunker", "hostile-chunker", "", "fail") });
    api.post("/collections", own).await.expect(201);
    api.ingest("own", &files::volume(5, 5)).await;
    let wanted = [api.ingest("documents", &files::report("report.pdf")).await];
    stop(&mut server).await;

    // The plugin is cut short; the compiled code of all is rubbish, cut short, or of another program, by turns.
    let component = holding(&server.data_dir().join("plugins"), chunker);
    fs::write(&component, &chunker[..chunker.len() / 2]).expect("writing");
    let compiled = files_under(&server.data_dir().join("cache"));
    assert!(compiled.len() > 5, "{compiled:?}");
    for (number, path) in compiled.iter().enumerate() {
        let whole = fs::read(path).expect("compiled code");
        let damaged = match number % 3 {
            0 => b"rubbish".repeat(100),
            1 => whole[..whole.len() / 2].to_vec(),
            _ => {
                let foreign = b"\x7fELF of another program".repeat(100);
                [Sha256::digest(&foreign).to_vec(), foreign].concat()
            }
        };
        fs::write(path, damaged).expect("writing");
    }
    let report = doctor(&server, &[]);
    let installed = check(&report, "installed");
    assert_eq!(installed["state"], "broken", "{installed}");
    let name = component.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(
        installed["detail"].as_str().is_some_and(|detail| detail.contains(name)),
        "{installed}"
    );
    assert!(
        installed["remedy"].as_str().is_some_and(|remedy| remedy.contains("--repair")),
        "{installed}"
    );

    server.restart();
    let api = server.api();
    let log = server.whole_log();
    assert!(log.contains(name) && log.contains("install the plugin again"), "{log}");
    expect_whole(&api, &wanted).await;
    api.get("/plugins/hostile-chunker").await.error(404, "RESOURCE_NOT_FOUND");
    // Whoever needs it is told which it is.
    let refused = api.upload("", "own", &[&files::volume(6, 5)]).await;
    assert!(
        !refused.status.is_success() && refused.text().contains("hostile-chunker"),
        "{}",
        refused.text()
    );
    // The same file again puts it back, and all is as it was.
    install(&api, "", chunker).await.expect(201);
    api.ingest("own", &files::volume(6, 5)).await;
    assert_eq!(fs::read(&component).expect("the plugin"), *chunker);
    stop(&mut server).await;
    assert_eq!(check(&doctor(&server, &[]), "installed")["state"], "ok");
    fs::write(&component, &chunker[..100]).expect("writing");
    let report = doctor(&server, &["--repair"]);
    assert_eq!(check(&report, "installed")["state"], "note", "{report:#}");
    assert!(!component.exists());
    // Compiled code is made again once, not at each start.
    server.restart();
    expect_whole(&server.api(), &wanted).await;
    for path in &compiled {
        let code = fs::read(path).expect("compiled code");
        let (sum, code) = code.split_at(32);
        assert_eq!(Sha256::digest(code).as_slice(), sum, "{}", path.display());
    }
}
