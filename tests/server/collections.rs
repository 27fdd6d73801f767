//! `/collections`, and what `/ws/collections` tells of them.

use crate::support::files::{self, File, PAGES, QUESTIONS};
use crate::support::{Is, Server, answered, has};
use serde_json::{Value, json};

const STATS: &[(&str, Is)] = &[
    ("total_documents", Is::Count),
    ("total_chunks", Is::Count),
    ("storage_size_mb", Is::Number),
    ("last_updated", Is::Time),
];

#[tokio::test]
async fn two_collections_know_nothing_of_each_other() {
    let server = Server::shared();
    let api = server.api();
    api.ingest("collections-one", &File::new("one.pdf", files::pdf(&PAGES[..2], None)))
        .await;
    api.ingest("collections-two", &File::new("two.pdf", files::pdf(&PAGES[2..], None)))
        .await;
    let mut socket = server.socket("/ws/query").await;
    for (collection, source, knows, does_not) in [("collections-one", "one.pdf", 0, 3), ("collections-two", "two.pdf", 3, 0)] {
        for question in [knows, does_not] {
            for search_type in ["semantic", "keyword", "hybrid"] {
                let hits = api
                    .search(
                        json!({ "query": QUESTIONS[question].0, "collection_name": collection, "search_type": search_type, "limit": 100 }),
                    )
                    .await;
                assert!(
                    hits.iter().all(|hit| hit["metadata"]["source"] == source),
                    "{collection} {search_type}: {hits:?}"
                );
            }
            socket
                .query(
                    "a",
                    json!({ "query": QUESTIONS[question].0, "collection_name": collection, "mode": "comprehensive" }),
                )
                .await;
            let answer = answered(&socket.answer("a").await);
            assert!(answer.citations.iter().all(|citation| citation["source"] == source));
            assert_eq!(
                answer.citations.is_empty(),
                question == does_not,
                "{collection}, {}: {}",
                QUESTIONS[question].0,
                answer.text
            );
        }
        assert_eq!(api.documents(collection).await.len(), 1);
    }
}

#[tokio::test]
async fn collections_are_made_shown_and_deleted() {
    let api = Server::shared().api();
    let made = api.post("/collections", json!({ "name": "collections-made" })).await.expect(201);
    has(&made, STATS);
    has(
        &made,
        &[
            ("name", Is::Text),
            ("created_at", Is::Time),
            ("processing_documents", Is::Count),
            ("pipeline", Is::Object),
            ("lock", Is::Object),
        ],
    );
    api.post("/collections", json!({ "name": "collections-made" }))
        .await
        .error(409, "CONFLICT");
    for name in ["", "a b", "-a", "ü", "a/b", &"x".repeat(65)] {
        assert_eq!(
            api.post("/collections", json!({ "name": name }))
                .await
                .error(400, "VALIDATION_ERROR")["details"]["field"],
            "name",
            "{name}"
        );
    }
    for (pipeline, field) in [
        (json!({ "chunker": { "plugin": "no-such-plugin" } }), "pipeline.chunker.plugin"),
        (
            json!({ "chunker": { "plugin": "recursive@^1", "config": { "target_tokens": "many" } } }),
            "pipeline.chunker.config.target_tokens",
        ),
        (json!({ "embedder": { "model": "another" } }), "pipeline.embedder.model"),
        (json!({ "chunkre": {} }), "pipeline.chunkre"),
    ] {
        let error = api
            .post("/collections", json!({ "name": "collections-wrong", "pipeline": pipeline }))
            .await
            .error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], field, "{error}");
    }
    api.get("/collections/collections-wrong/info")
        .await
        .error(404, "COLLECTION_NOT_FOUND");

    let document = api.ingest("collections-made", &files::report("report.pdf")).await;
    let list = api.get("/collections").await.expect(200);
    let shown = list["collections"]
        .as_array()
        .expect("collections")
        .iter()
        .find(|c| c["name"] == "collections-made")
        .expect("in the list")
        .clone();
    has(&shown, STATS);
    assert_eq!(
        (&shown["total_documents"], &shown["total_chunks"]),
        (&json!(1), &document["chunks_created"])
    );
    assert!(shown["storage_size_mb"].as_f64().is_some_and(|size| size > 0.0));

    let unconfirmed = api.delete("/collections/collections-made").await.error(400, "VALIDATION_ERROR");
    assert_eq!(unconfirmed["details"]["field"], "confirm");
    let receipt = api.delete("/collections/collections-made?confirm=true").await.expect(200);
    assert_eq!(
        (&receipt["documents_deleted"], &receipt["chunks_deleted"]),
        (&json!(1), &document["chunks_created"])
    );
    api.get("/collections/collections-made/info")
        .await
        .error(404, "COLLECTION_NOT_FOUND");
    api.get(&format!("/documents/{}", document["document_id"].as_str().expect("an id")))
        .await
        .error(404, "RESOURCE_NOT_FOUND");
    // A new one of that name has nothing of the old.
    api.post("/collections", json!({ "name": "collections-made" })).await.expect(201);
    assert!(
        api.search(json!({ "query": QUESTIONS[0].0, "collection_name": "collections-made" }))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_pipeline_of_ones_own_is_used() {
    let api = Server::shared().api();
    let volume = files::volume(5, 40);
    let pipeline = json!({ "chunker": { "plugin": "recursive@^1", "config": { "target_tokens": 60, "overlap_tokens": 0 } } });
    api.post("/collections", json!({ "name": "collections-fine", "pipeline": pipeline }))
        .await
        .expect(201);
    let fine = api.ingest("collections-fine", &volume).await["chunks_created"].as_u64();
    let plain = api.ingest("collections-plain", &volume).await["chunks_created"].as_u64();
    assert!(fine > plain, "{fine:?} chunks of 60 tokens, {plain:?} of the default size");
}

#[tokio::test]
async fn events_tell_of_documents_once_they_can_be_found() {
    let server = Server::shared();
    let api = server.api();
    let mut socket = server.socket("/ws/collections?collection=collections-events").await;
    let document = api.ingest("collections-events", &files::report("report.pdf")).await;

    let made = socket.receive().await;
    assert_eq!(
        (&made["type"], &made["collection"]),
        (&json!("collection_created"), &json!("collections-events"))
    );
    let added = socket
        .receive_until(|event| event["type"] == "document_added")
        .await
        .pop()
        .expect("an event");
    has(
        &added,
        &[
            ("type", Is::Text),
            ("collection", Is::Text),
            ("seq", Is::Count),
            ("data", Is::Object),
        ],
    );
    has(
        &added["data"],
        &[
            ("document_id", Is::Text),
            ("filename", Is::Text),
            ("chunks_added", Is::Count),
            ("timestamp", Is::Time),
        ],
    );
    assert_eq!(
        (&added["collection"], &added["data"]["document_id"]),
        (&json!("collections-events"), &document["document_id"])
    );
    assert_eq!(
        (&added["data"]["filename"], &added["data"]["chunks_added"]),
        (&json!("report.pdf"), &document["chunks_created"])
    );

    let stats = socket
        .receive_until(|event| event["type"] == "collection_stats" && event["data"]["total_documents"] == 1)
        .await
        .pop()
        .expect("an event");
    has(&stats["data"], STATS);
    assert_eq!(stats["data"]["total_chunks"], document["chunks_created"]);

    // What was missed is told to who asks for it.
    let after = format!("/ws/collections?collection=collections-events&after={}", made["seq"]);
    let replayed = server.socket(&after).await.receive_until(|event| *event == stats).await;
    assert!(replayed.contains(&added) && !replayed.contains(&made), "{replayed:?}");

    let id = document["document_id"].as_str().expect("an id");
    api.delete(&format!("/documents/{id}")).await.expect(200);
    let deleted = socket
        .receive_until(|event| event["type"] == "document_deleted")
        .await
        .pop()
        .expect("an event");
    assert_eq!(
        (&deleted["data"]["document_id"], &deleted["data"]["chunks_removed"]),
        (&json!(id), &document["chunks_created"])
    );
    let stats = socket
        .receive_until(|event| event["type"] == "collection_stats")
        .await
        .pop()
        .expect("an event");
    assert_eq!(
        (&stats["data"]["total_documents"], &stats["data"]["total_chunks"]),
        (&json!(0), &json!(0))
    );

    // Afterwards the log names the document only as deleted.
    let replayed = server
        .socket(&after)
        .await
        .receive_until(|event| event["type"] == "document_deleted")
        .await;
    let sequence: Vec<u64> = replayed.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(sequence.is_sorted() && sequence.len() == replayed.len(), "{replayed:?}");
    assert_eq!((replayed.contains(&added), replayed.last()), (false, Some(&deleted)));
}

#[tokio::test]
async fn document_added_comes_when_a_search_finds_the_document() {
    let server = Server::shared();
    let mut socket = server.socket("/ws/collections?collection=collections-when").await;
    let uploading = tokio::spawn(async { Server::shared().api().ingest("collections-when", &files::volume(6, 40)).await });
    let added = socket
        .receive_until(|event| event["type"] == "document_added")
        .await
        .pop()
        .expect("an event");
    let found = server
        .api()
        .found_chunks("collections-when", added["data"]["document_id"].as_str().expect("an id"))
        .await;
    assert_eq!(found as u64, added["data"]["chunks_added"].as_u64().expect("a count"));
    uploading.await.expect("the upload");
}

#[tokio::test]
async fn event_sockets_take_no_messages_and_stay_open() {
    let server = Server::shared();
    for path in ["/ws/collections?collection=collections-deaf", "/ws/monitor?types=error_alert"] {
        let mut socket = server.socket(path).await;
        socket.send(json!({ "type": "query", "request_id": "a", "data": {} })).await;
        socket.error(json!("a"), "INVALID_MESSAGE").await;
        socket.send_text("?").await;
        socket.error(Value::Null, "INVALID_MESSAGE").await;
        socket.close().await;
    }
}
