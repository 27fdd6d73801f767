//! `DELETE /documents/{id}`: nothing is left.

use crate::faults::files_under;
use crate::kills::{check, doctor};
use crate::support::files::{self, File, PAGES, QUESTIONS};
use crate::support::{Server, answered};
use serde_json::{Value, json};

#[tokio::test]
async fn of_a_deleted_document_nothing_is_found() {
    let server = Server::shared();
    let api = server.api();
    let report = own_report("documents-delete");
    let document = api.ingest("documents-delete", &report).await;
    let kept = api.ingest("documents-delete", &files::volume(4, 12)).await;
    let id = document["document_id"].as_str().expect("an id");
    assert!(api.found_chunks("documents-delete", id).await > 0);

    let receipt = api.delete(&format!("/documents/{id}")).await.expect(200);
    let chunks = &document["chunks_created"];
    let expected = json!({ "document_id": id, "filename": "report.pdf", "status": "deleted", "chunks_deleted": chunks, "vectors_deleted": chunks, "files_deleted": 1 });
    assert_eq!(receipt, expected);

    for path in ["", "/text", "/file", "/chunks"] {
        api.get(&format!("/documents/{id}{path}")).await.error(404, "RESOURCE_NOT_FOUND");
    }
    api.delete(&format!("/documents/{id}")).await.error(404, "RESOURCE_NOT_FOUND");
    assert_eq!(api.found_chunks("documents-delete", id).await, 0);
    for search_type in ["semantic", "keyword", "hybrid"] {
        let hits = api
            .search(json!({ "query": "Rotterdam turbines", "collection_name": "documents-delete", "search_type": search_type }))
            .await;
        assert!(
            hits.iter().all(|hit| hit["metadata"]["document_id"] == kept["document_id"]),
            "{search_type}: {hits:?}"
        );
    }
    let mut socket = server.socket("/ws/query").await;
    socket
        .query(
            "a",
            json!({ "query": QUESTIONS[3].0, "collection_name": "documents-delete", "mode": "comprehensive" }),
        )
        .await;
    let answer = answered(&socket.answer("a").await);
    assert!(
        answer
            .citations
            .iter()
            .all(|citation| citation["document_id"] == kept["document_id"])
            && !answer.text.contains("Rotterdam"),
        "{}",
        answer.text
    );
    let info = api.get("/collections/documents-delete/info").await.expect(200);
    assert_eq!(
        (&info["total_documents"], &info["total_chunks"]),
        (&json!(1), &kept["chunks_created"])
    );

    // The same bytes can come again, as a new document.
    let again = api.ingest("documents-delete", &report).await;
    assert_eq!(again["status"], "success");
    assert_ne!(again["document_id"], document["document_id"]);
}

#[tokio::test]
async fn a_file_that_another_document_needs_stays() {
    let api = Server::shared().api();
    let report = own_report("documents-share");
    let one = api.ingest("documents-share-a", &report).await;
    let other = api.ingest("documents-share-b", &report).await;
    assert_eq!((&one["status"], &other["status"]), (&json!("success"), &json!("success")));
    let path = |document: &Value| format!("/documents/{}", document["document_id"].as_str().expect("an id"));
    assert_eq!(api.delete(&path(&one)).await.expect(200)["files_deleted"], 0);
    assert_eq!(api.get(&format!("{}/file", path(&other))).await.body, report.bytes);
    assert_eq!(api.delete(&path(&other)).await.expect(200)["files_deleted"], 1);
}

/// The report with a page more, so that no other test's document has the same bytes.
fn own_report(test: &str) -> File {
    let last = format!("This copy was made for the test {test}.");
    File::new("report.pdf", files::pdf(&[PAGES[0], PAGES[1], PAGES[2], PAGES[3], &[&last]], None))
}

#[tokio::test]
async fn a_delete_cancels_the_processing() {
    let mut server = Server::start("delete-processing", &[]);
    let api = server.api();
    let kept = api.ingest("documents", &files::volume(4, 12)).await;
    let long = files::volume(60, 700);
    let mut uploads = server.socket("/ws/upload").await;
    api.upload("?wait=false", "documents", &[&long]).await.expect(202);
    uploads.receive_until(|event| event["type"] == "embedding_progress").await;
    let listed = api.documents("documents").await;
    let document = listed.iter().find(|document| document["filename"] == long.name.as_str());
    let id = document
        .and_then(|document| document["document_id"].as_str())
        .expect("an id")
        .to_owned();
    let receipt = api.delete(&format!("/documents/{id}")).await.expect(200);
    assert_eq!(
        (&receipt["status"], &receipt["files_deleted"]),
        (&json!("deleted"), &json!(1)),
        "{receipt}"
    );
    let end = uploads
        .receive_until(|event| event["type"] == "upload_complete")
        .await
        .pop()
        .expect("an end");
    assert_eq!(end["data"]["status"], "cancelled", "{end}");
    expect_no_trace(&server, &id, &long, &kept).await;
    server.terminate();
    assert!(server.stopped().await.success());
    let report = doctor(&server, &[]);
    assert_eq!(check(&report, "storage")["state"], "ok", "{report:#}");
}

#[tokio::test]
async fn a_delete_that_is_cut_off_is_finished_at_the_next_start() {
    let mut server = Server::start("delete-kill", &[]);
    let kept = server.api().ingest("documents", &files::volume(4, 12)).await;
    for round in 0..4_u32 {
        let gone = files::volume(70 + round as usize, 30);
        let document = server.api().ingest("documents", &gone).await;
        let id = document["document_id"].as_str().expect("an id").to_owned();
        let request = server.api().request(reqwest::Method::DELETE, &format!("/documents/{id}"));
        let deletion = tokio::spawn(request.send());
        // sleep: before, in the middle, or after: whatever of it had begun, the end is the same.
        tokio::time::sleep(std::time::Duration::from_millis(u64::from(round * round * 3))).await;
        server.kill9();
        let acknowledged = deletion.await.expect("sending").is_ok();
        server.restart();
        if !acknowledged {
            let api = server.api();
            let found = api.found_chunks("documents", &id).await;
            let chunks = document["chunks_created"].as_u64().expect("a count");
            assert!(found == 0 || found as u64 == chunks, "{found} of {chunks}");
            if found > 0 {
                api.delete(&format!("/documents/{id}")).await.expect(200);
            }
        }
        expect_no_trace(&server, &id, &gone, &kept).await;
    }
    server.terminate();
    assert!(server.stopped().await.success());
    let report = doctor(&server, &[]);
    assert_eq!(check(&report, "storage")["state"], "ok", "{report:#}");
}

/// Of a document nothing is found: by no search, under no address, in no event but the one that tells of its end, in no file.
async fn expect_no_trace(server: &Server, id: &str, file: &File, kept: &Value) {
    let api = server.api();
    for path in ["", "/text", "/file", "/chunks", "/chunks?include_embeddings=true"] {
        api.get(&format!("/documents/{id}{path}")).await.error(404, "RESOURCE_NOT_FOUND");
    }
    let listed = api.documents("documents").await;
    assert!(listed.iter().all(|document| document["document_id"] != id), "{listed:?}");
    assert_eq!(api.found_chunks("documents", id).await, 0);
    let volume = file.name.trim_start_matches("volume-").trim_end_matches(".txt");
    for search_type in ["semantic", "keyword", "hybrid"] {
        let hits = api
            .search(json!({ "query": format!("Record 5 of volume {volume}"), "search_type": search_type, "limit": 50 }))
            .await;
        assert!(
            hits.iter().all(|hit| hit["metadata"]["document_id"] != id),
            "{search_type}: {hits:?}"
        );
    }
    let info = api.get("/collections/documents/info").await.expect(200);
    assert_eq!(
        (&info["total_documents"], &info["total_chunks"], &info["processing_documents"]),
        (&json!(1), &kept["chunks_created"], &json!(0))
    );
    // The events that are kept: whoever asks for all of them.
    let mut socket = server.socket("/ws/collections?after=0").await;
    let its_end = |event: &Value| event["type"] == "document_deleted" && event["data"]["document_id"] == id;
    let events = socket.receive_until(its_end).await;
    let of_it = events.iter().filter(|event| event.to_string().contains(id)).count();
    assert_eq!(of_it, 1, "{events:?}");
    let sentence = format!("of volume {volume} ");
    for path in files_under(&server.data_dir()) {
        let content = std::fs::read(&path).unwrap_or_default();
        let holds = content.windows(sentence.len()).any(|window| window == sentence.as_bytes());
        assert!(!holds, "{} still holds the text", path.display());
    }
}
