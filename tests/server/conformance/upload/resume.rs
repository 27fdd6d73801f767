//! Lost, resumed and cancelled uploads.

use super::*;

#[tokio::test]
async fn after_a_dropped_connection_resume_answers_with_bytes_uploaded() {
    let server = Server::shared();
    let file = files::volume(31, 20);
    let (first, rest) = file.bytes.split_at(1_000);
    let mut watcher = open(server, "over-resumed").await;
    let mut socket = open(server, "over-resumed").await;
    let id = begin(&mut socket, &file, "over-resumed").await;
    socket.bytes(first).await;
    until_bytes(&mut watcher, &id, first.len()).await;
    socket.lose();

    let mut again = server.socket("/ws/upload?upload_id=another").await;
    let answer = resumed(&mut again, &id).await;
    assert_eq!(
        (&answer["bytes_uploaded"], &answer["total_bytes"]),
        (&json!(1_000), &json!(file.bytes.len()))
    );
    again.bytes(rest).await;
    let complete = ends(&mut again, &id, "success").await;
    is_stored(&server.api(), &complete, &file).await;
    // Whoever watched saw one upload, without a step back.
    let mut events = watcher.receive_until(is_complete).await;
    events.insert(
        0,
        json!({ "type": "upload_started", "data": { "upload_id": id, "filename": file.name, "file_size": 1, "estimated_time": 1 } }),
    );
    check_upload(&events);
}

#[tokio::test]
async fn a_connection_that_is_lost_unnoticed_does_not_keep_the_upload() {
    let server = Server::shared();
    let file = files::volume(32, 20);
    let (first, rest) = file.bytes.split_at(1_000);
    let mut lost = open(server, "over-taken").await;
    let id = begin(&mut lost, &file, "over-taken").await;
    lost.bytes(first).await;
    until_bytes(&mut lost, &id, first.len()).await;

    let mut again = open(server, "over-taken").await;
    assert_eq!(resumed(&mut again, &id).await["bytes_uploaded"], 1_000);
    // What the old connection still sends goes nowhere.
    lost.bytes(b"late").await;
    let refused = lost.receive_until(|event| event["type"] == "error").await.pop().expect("an error");
    assert_eq!(
        (&refused["data"]["code"], &refused["data"]["details"]["upload_id"]),
        (&json!("CONFLICT"), &json!(id))
    );
    again.bytes(rest).await;
    let complete = ends(&mut again, &id, "success").await;
    is_stored(&server.api(), &complete, &file).await;
}

#[tokio::test]
async fn several_uploads_share_a_connection_and_resume_selects_one() {
    let server = Server::shared();
    let mut socket = open(server, "over-several").await;
    let files = [files::volume(33, 20), files::volume(34, 20)];
    let mut ids = Vec::new();
    for file in &files {
        ids.push(begin(&mut socket, file, "over-several").await);
    }
    let half = |file: &File| file.bytes.len() / 2;
    for (id, file) in ids.iter().zip(&files) {
        socket.send(resume(id)).await;
        socket.bytes(&file.bytes[..half(file)]).await;
    }
    for (id, file) in ids.iter().zip(&files) {
        assert_eq!(resumed(&mut socket, id).await["bytes_uploaded"], half(file));
        socket.bytes(&file.bytes[half(file)..]).await;
    }
    let mut ended = Vec::new();
    for _ in &ids {
        ended.push(socket.receive_until(is_complete).await.pop().expect("an event")["data"].clone());
    }
    for (id, file) in ids.iter().zip(&files) {
        let complete = ended.iter().find(|complete| complete["upload_id"] == *id).expect("its end");
        is_stored(&server.api(), complete, file).await;
    }
}

#[tokio::test]
async fn control_cancel_ends_an_upload_from_any_connection() {
    let server = Server::shared();
    let file = files::volume(35, 20);
    let mut socket = open(server, "over-cancelled").await;
    let mut other = open(server, "over-cancelled").await;
    for mine in [true, false] {
        let id = begin(&mut socket, &file, "over-cancelled").await;
        socket.bytes(&file.bytes[..1_000]).await;
        until_bytes(&mut socket, &id, 1_000).await;
        if mine { &mut socket } else { &mut other }.send(cancel(&id)).await;
        let complete = ends(&mut socket, &id, "cancelled").await;
        assert_eq!((&complete["document_id"], &complete["chunks_created"]), (&Value::Null, &json!(0)));
        ends(&mut other, &id, "cancelled").await;
        socket.bytes(&file.bytes[1_000..]).await;
        let code = socket.receive().await["data"]["code"].clone();
        assert_eq!(code, if mine { "INVALID_MESSAGE" } else { "CONFLICT" });
        // Its end is what there is to be told of it.
        socket.send(resume(&id)).await;
        ends(&mut socket, &id, "cancelled").await;
        socket.send(cancel(&id)).await;
        socket.error(Value::Null, "CONFLICT").await;
    }
    assert!(server.api().documents("over-cancelled").await.is_empty());
}

#[tokio::test]
async fn control_cancel_ends_an_upload_in_processing_and_nothing_of_it_stays() {
    // One document at a time: the second waits, and so can be cancelled before it is done.
    let server = Server::start("cancel-processing", &["ingest.documents_in_flight=1"]);
    let api = server.api();
    let mut socket = open(&server, "documents").await;
    let (long, waiting) = (files::volume(36, 400), files::volume(37, 20));
    let first = begin(&mut socket, &long, "documents").await;
    socket.bytes(&long.bytes).await;
    let second = begin(&mut socket, &waiting, "documents").await;
    socket.bytes(&waiting.bytes).await;
    until_bytes(&mut socket, &second, waiting.bytes.len()).await;
    socket.send(cancel(&second)).await;
    ends(&mut socket, &second, "cancelled").await;
    socket.send(cancel(&first)).await;
    ends(&mut socket, &first, "cancelled").await;
    let files = server.data_dir().join("files");
    within("nothing to be left", async {
        while !api.documents("documents").await.is_empty() || stored_files(&files) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The place is free for the next.
    api.ingest("documents", &files::report("report.pdf")).await;
}

#[tokio::test]
async fn an_upload_is_resumed_after_the_server_was_stopped_or_killed() {
    let mut server = Server::start("resumed", &[]);
    let file = files::volume(41, 20);
    let mut watcher = open(&server, "documents").await;
    let mut socket = open(&server, "documents").await;
    let id = begin(&mut socket, &file, "documents").await;
    socket.bytes(&file.bytes[..800]).await;
    until_bytes(&mut watcher, &id, 800).await;
    server.terminate();
    // The connections are closed in order, and what came is kept.
    assert_eq!(u16::from(socket.closed().await.code), 1001);
    assert_eq!(u16::from(watcher.closed().await.code), 1001);
    assert!(server.stopped().await.success());

    server.restart();
    let mut watcher = open(&server, "documents").await;
    let waiting = [watcher.receive().await, watcher.receive().await];
    assert_eq!(
        (&waiting[0]["type"], &waiting[1]["data"]["bytes_uploaded"]),
        (&json!("upload_started"), &json!(800)),
        "an upload that waits is in flight: {waiting:?}"
    );
    let mut socket = server.socket("/ws/upload?upload_id=none").await;
    assert_eq!(resumed(&mut socket, &id).await["bytes_uploaded"], 800);
    socket.bytes(&file.bytes[800..1_600]).await;
    until_bytes(&mut socket, &id, 1_600).await;
    socket.lose();
    // Once that is noticed the bytes are made durable, which only the log tells.
    drop(watcher);
    within("the bytes to be recorded", async {
        let api = server.api();
        while !server
            .log()
            .lines()
            .any(|line| line.contains("suspended") && line.ends_with("bytes=1600"))
        {
            api.get("/health/live").await;
        }
    })
    .await;
    server.kill9();

    server.restart();
    let mut socket = server.socket("/ws/upload").await;
    assert_eq!(resumed(&mut socket, &id).await["bytes_uploaded"], 1_600);
    socket.bytes(&file.bytes[1_600..]).await;
    let complete = ends(&mut socket, &id, "success").await;
    is_stored(&server.api(), &complete, &file).await;
}

#[tokio::test]
async fn an_upload_that_nobody_resumes_expires_and_leaves_nothing() {
    let server = Server::start("expiry", &["ingest.resumable_seconds=1", "ingest.resumable_uploads=1"]);
    let file = files::volume(42, 20);
    let mut watcher = open(&server, "documents").await;
    let mut socket = open(&server, "documents").await;
    let id = begin(&mut socket, &file, "documents").await;
    socket.bytes(&file.bytes[..800]).await;
    // One that has its connection does not, and no more than are allowed wait at a time.
    let mut other = open(&server, "documents").await;
    other.send(upload(&file, "documents")).await;
    let full = other.receive_until(|event| event["type"] == "error").await.pop().expect("an error");
    assert_eq!(
        (&full["data"]["code"], &full["data"]["recoverable"]),
        (&json!("SERVICE_UNAVAILABLE"), &json!(true))
    );
    socket.lose();
    ends(&mut watcher, &id, "cancelled").await;
    assert_eq!(stored_files(&server.data_dir().join("files")), 0);
    begin(&mut other, &file, "documents").await;
}
