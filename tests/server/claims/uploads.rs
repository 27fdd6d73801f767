//! Uploads to collections that a subject may not access.

use super::*;

/// A request of tus.
fn tus(api: &Api, method: Method, path: &str) -> reqwest::RequestBuilder {
    api.request(method, path).header("Tus-Resumable", "1.0.0")
}

/// Creates an upload of 9 bytes.
async fn create(api: &Api, collection: &str) -> Reply {
    let request = tus(api, Method::POST, &format!("/uploads?collection_name={collection}"))
        .header("Upload-Length", 9)
        // `note.txt`
        .header("Upload-Metadata", "filename bm90ZS50eHQ=");
    api.send(request).await
}

/// What may be done with an upload.
fn handled(api: &Api, path: &str) -> Vec<(&'static str, reqwest::RequestBuilder)> {
    let append = tus(api, Method::PATCH, path)
        .header("Content-Type", "application/offset+octet-stream")
        .header("Upload-Offset", 0)
        .body("swordfish");
    vec![
        ("HEAD", tus(api, Method::HEAD, path)),
        ("GET", api.request(Method::GET, path)),
        ("PATCH", append),
        ("DELETE", tus(api, Method::DELETE, path)),
    ]
}

#[tokio::test]
async fn resumable_uploads_of_others_do_not_exist() {
    let created = create(&admin(), "claims-theirs-tus").await;
    assert_eq!(created.status.as_u16(), 201, "{}", created.text());
    let theirs = created.header("location").to_owned();
    let none = "/uploads/upload_none";
    let api = mine();
    for ((what, unseen), (_, nobodys)) in handled(&api, &theirs).into_iter().zip(handled(&api, none)) {
        let (unseen, nobodys) = (api.send(unseen).await, api.send(nobodys).await);
        assert_eq!(unseen.status.as_u16(), 404, "{what}");
        let (id, no_id) = (theirs.trim_start_matches("/uploads/"), "upload_none");
        assert_eq!(comparable(&unseen, id), comparable(&nobodys, no_id), "{what}");
    }
    // Nor may one be begun there, or where it would make such a collection.
    for name in ["claims-theirs-tus", "claims-theirs-no-such"] {
        let refused = create(&api, name).await;
        assert!(refused.status.is_client_error(), "{}", refused.text());
    }
    let (one, other) = (create(&api, "claims-theirs-tus").await, create(&api, "claims-theirs-no-such").await);
    assert_eq!(comparable(&one, "claims-theirs-tus"), comparable(&other, "claims-theirs-no-such"));
    // Who may only read writes nothing, not even where it sees.
    let own = create(&api, "claims-mine-tus").await;
    assert_eq!(own.status.as_u16(), 201, "{}", own.text());
    let own = own.header("location").to_owned();
    let reader = server().api().with_token(&limited("read", &["claims-mine*"]));
    create(&reader, "claims-mine-tus").await.error(403, "AUTHORIZATION_FAILED");
    for (what, request) in handled(&reader, &own) {
        assert_eq!(reader.send(request).await.status.as_u16(), 403, "{what}");
    }
    // All is as it was, and goes on for those who may.
    for (api, path) in [(admin(), &theirs), (api, &own)] {
        let head = api.send(tus(&api, Method::HEAD, path)).await;
        assert_eq!((head.status.as_u16(), head.header("upload-offset")), (200, "0"), "{path}");
        api.send(tus(&api, Method::DELETE, path)).await;
    }
}

#[tokio::test]
async fn uploads_over_a_socket_are_for_those_who_may_write_there() {
    let created = create(&admin(), "claims-theirs-socket").await;
    let theirs = created.header("location").trim_start_matches("/uploads/").to_owned();
    let begin = |collection: &str| json!({ "type": "upload", "request_id": "r", "data": { "filename": "note.txt", "file_size": 9, "collection_name": collection } });
    let resume = |id: &str| json!({ "type": "resume", "request_id": "r", "data": { "upload_id": id } });
    let cancel = |id: &str| json!({ "type": "control", "request_id": "r", "data": { "upload_id": id, "action": "cancel" } });
    let mut socket = server()
        .socket_with("/ws/upload?collection=claims-nowhere", &limited("read write", &["claims-mine*"]))
        .await;
    for (unseen, none, words) in [
        (
            begin("claims-theirs-socket"),
            begin("claims-theirs-no-such"),
            ["claims-theirs-socket", "claims-theirs-no-such"],
        ),
        (resume(&theirs), resume("upload_none"), [theirs.as_str(), "upload_none"]),
        (cancel(&theirs), cancel("upload_none"), [theirs.as_str(), "upload_none"]),
    ] {
        let mut answers = Vec::new();
        for (message, word) in [(unseen, words[0]), (none, words[1])] {
            socket.send(message).await;
            let mut answer = socket.receive().await;
            assert_eq!(answer["type"], "error", "{answer}");
            if let Some(fields) = answer.as_object_mut() {
                fields.remove("timestamp");
            }
            answers.push(answer.to_string().replace(word, "NAME"));
        }
        assert_eq!(answers[0], answers[1]);
    }
    let own = create(&mine(), "claims-mine-socket").await;
    let own = own.header("location").trim_start_matches("/uploads/").to_owned();
    let mut reader = server()
        .socket_with("/ws/upload?collection=claims-nowhere", &limited("read", &["claims-mine*"]))
        .await;
    for message in [begin("claims-mine-socket"), resume(&own), cancel(&own)] {
        reader.send(message.clone()).await;
        assert_eq!(reader.receive().await["data"]["code"], "INSUFFICIENT_SCOPE", "{message}");
    }
    // Bytes belong to nothing.
    reader.bytes(b"swordfish").await;
    assert_eq!(reader.receive().await["type"], "error");
    for (api, id) in [(admin(), &theirs), (mine(), &own)] {
        let path = format!("/uploads/{id}");
        let head = api.send(tus(&api, Method::HEAD, &path)).await;
        assert_eq!((head.status.as_u16(), head.header("upload-offset")), (200, "0"), "{path}");
        api.send(tus(&api, Method::DELETE, &path)).await;
    }
}
