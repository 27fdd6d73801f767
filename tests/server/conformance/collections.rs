//! `/ws/collections`: every change, its number, what was missed, and statistics that are exact at the end.

use crate::support::files::File;
use crate::support::{Api, Server, Socket};
use serde_json::{Value, json};

fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap_or_default()
}

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap_or_else(|| panic!("no seq: {event}"))
}

async fn upload_all(api: &Api, collection: &str, count: usize) {
    let files: Vec<File> = (0..count)
        .map(|n| {
            File::new(
                &format!("note-{n}.txt"),
                format!("Note number {n} says that the answer of day {n} is {}.", n * n),
            )
        })
        .collect();
    let files: Vec<&File> = files.iter().collect();
    api.upload("", collection, &files).await.expect(201);
}

#[tokio::test]
async fn seq_rises_with_every_event_of_any_collection() {
    let server = Server::start("conformance-seq", &[]);
    let api = server.api();
    let mut socket = server.socket("/ws/collections").await;
    for name in ["one", "two"] {
        api.post("/collections", json!({ "name": name })).await.expect(201);
        upload_all(&api, name, 2).await;
    }
    api.delete("/collections/one?confirm=true").await.expect(200);
    let events = socket.receive_until(|event| kind(event) == "collection_deleted").await;
    assert!(events.windows(2).all(|pair| seq(&pair[0]) < seq(&pair[1])), "{events:?}");
    for wanted in ["collection_created", "document_added", "collection_stats", "collection_deleted"] {
        assert!(events.iter().any(|event| kind(event) == wanted), "no {wanted}: {events:?}");
    }
}

#[tokio::test]
async fn after_replays_what_was_missed_in_order_also_over_a_restart() {
    let mut server = Server::start("conformance-replay", &[]);
    let mut socket = server.socket("/ws/collections").await;
    upload_all(&server.api(), "documents", 3).await;
    let all = socket
        .receive_until(|event| kind(event) == "collection_stats" && event["data"]["total_documents"] == 3)
        .await;
    let missed = &all[1..];
    for round in 0..2 {
        let mut again = server.socket(&format!("/ws/collections?after={}", seq(&all[0]))).await;
        for event in missed {
            assert_eq!(&again.receive().await, event);
        }
        // Nothing of it comes twice: what follows is new.
        server
            .api()
            .post("/collections", json!({ "name": format!("next-{round}") }))
            .await
            .expect(201);
        let next = again.receive().await;
        assert_eq!(kind(&next), "collection_created", "{next}");
        assert!(seq(&next) > seq(all.last().expect("events")));
        server.kill9();
        server.restart();
    }
}

#[tokio::test]
async fn more_events_than_are_read_at_a_time_are_replayed_whole() {
    let server = Server::start("conformance-pages", &[]);
    let api = server.api();
    let mut socket = server.socket("/ws/collections").await;
    upload_all(&api, "documents", 95).await;
    upload_all(&api, "more", 20).await;
    let all = socket
        .receive_until(|event| event["collection"] == "more" && kind(event) == "collection_stats" && event["data"]["total_documents"] == 20)
        .await;
    assert!(all.len() > 110, "{}", all.len());
    let mut again = server.socket(&format!("/ws/collections?after={}", seq(&all[0]))).await;
    for event in &all[1..] {
        assert_eq!(&again.receive().await, event);
    }
}

#[tokio::test]
async fn gap_tells_how_much_the_bounded_log_has_dropped() {
    let server = Server::start("conformance-gap", &["ingest.kept_events=5"]);
    let api = server.api();
    let mut socket = server.socket("/ws/collections").await;
    upload_all(&api, "documents", 12).await;
    let all = socket
        .receive_until(|event| kind(event) == "collection_stats" && event["data"]["total_documents"] == 12)
        .await;
    let mut again = server.socket(&format!("/ws/collections?after={}", seq(&all[0]))).await;
    let gap = again.receive().await;
    let missed = gap["data"]["missed"].as_u64().expect("a number") as usize;
    assert_eq!((kind(&gap), missed), ("gap", all.len() - 1 - 5), "{gap}");
    for event in &all[all.len() - 5..] {
        assert_eq!(&again.receive().await, event, "what is kept is replayed");
    }
    // Of a collection that lost nothing nothing is missing.
    api.post("/collections", json!({ "name": "quiet" })).await.expect(201);
    let quiet = socket
        .receive_until(|event| event["collection"] == "quiet")
        .await
        .pop()
        .expect("an event");
    let mut narrow = server
        .socket(&format!("/ws/collections?collection=quiet&after={}", seq(&quiet) - 1))
        .await;
    assert_eq!(narrow.receive().await, quiet);
}

#[tokio::test]
async fn after_must_be_a_number_from_0() {
    let api = Server::shared().api();
    for after in ["-1", "x"] {
        let request = api
            .request(reqwest::Method::GET, &format!("/ws/collections?after={after}"))
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(api.send(request).await.error(400, "VALIDATION_ERROR")["details"]["field"], "after");
    }
}

/// Statistics until nothing changes any more: the last must be this.
async fn settles(socket: &mut Socket, documents: usize) -> Vec<Value> {
    socket
        .receive_until(|event| kind(event) == "collection_stats" && event["data"]["total_documents"] == documents)
        .await
}

#[tokio::test]
async fn collection_stats_come_at_most_once_a_second_and_are_exact_at_the_end() {
    let server = Server::shared();
    let api = server.api();
    let mut socket = server.socket("/ws/collections?collection=conformance-stats").await;
    upload_all(&api, "conformance-stats", 8).await;
    let mut events = settles(&mut socket, 8).await;
    let documents = api.documents("conformance-stats").await;
    for document in &documents[..3] {
        let id = document["document_id"].as_str().expect("an id");
        api.delete(&format!("/documents/{id}")).await.expect(200);
    }
    events.extend(settles(&mut socket, 5).await);
    let stats: Vec<&Value> = events.iter().filter(|event| kind(event) == "collection_stats").collect();
    let changes = events
        .iter()
        .filter(|event| matches!(kind(event), "document_added" | "document_deleted"))
        .count();
    assert_eq!(changes, 11);
    let at = |event: &Value| {
        use time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(event["data"]["last_updated"].as_str().expect("a time"), &Rfc3339).expect("RFC 3339")
    };
    for pair in stats.windows(2) {
        let apart = at(pair[1]) - at(pair[0]);
        assert!(apart >= time::Duration::SECOND, "{apart} between {} and {}", pair[0], pair[1]);
    }
    let info = api.get("/collections/conformance-stats/info").await.expect(200);
    let last = &stats.last().expect("statistics")["data"];
    for field in ["total_documents", "total_chunks", "storage_size_mb"] {
        assert_eq!(last[field], info[field], "{field}");
    }
    let found = api
        .search(json!({ "query": "answer", "collection_name": "conformance-stats", "limit": 100, "search_type": "semantic" }))
        .await;
    assert_eq!(last["total_chunks"], found.len());
}
