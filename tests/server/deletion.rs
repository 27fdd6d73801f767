//! `DELETE /documents/{id}`: nothing is left.

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
