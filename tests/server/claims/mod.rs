//! Credentials for some collections: the others do not exist for them, on any path.

mod uploads;

use crate::support::files::File;
use crate::support::tokens::{limited, scoped, server};
use crate::support::{Api, Reply};
use reqwest::Method;
use serde_json::{Value, json};

/// Everything but `admin`, in the collections `claims-mine` and `claims-mine-*`.
fn mine() -> Api {
    let token = limited("read write delete config monitor", &["claims-mine", "claims-mine-*"]);
    server().api().with_token(&token)
}

fn admin() -> Api {
    server().api().with_token(&scoped("admin"))
}

/// A collection of each kind with one document in it, of the same bytes; gives the documents.
async fn two(of: &str) -> ((String, String), (String, String)) {
    let file = File::new(
        "secret.txt",
        format!("The passphrase of {of} is swordfish. It was chosen by the harbour master."),
    );
    let (seen, unseen) = (format!("claims-mine-{of}"), format!("claims-theirs-{of}"));
    let mut documents = Vec::new();
    for collection in [&unseen, &seen] {
        let document = admin().ingest(collection, &file).await;
        assert_eq!(
            document["status"], "success",
            "the same bytes are no duplicate in another collection"
        );
        documents.push(document["document_id"].as_str().expect("an id").to_owned());
    }
    let (theirs, ours) = (documents.remove(0), documents.remove(0));
    ((seen, ours), (unseen, theirs))
}

/// What an answer says, without what is another one each time and with `name` in the place of the names that were asked for.
fn comparable(reply: &Reply, name: &str) -> (u16, String) {
    let mut text = reply.text().replace(name, "NAME");
    if let Ok(mut body) = serde_json::from_slice::<Value>(&reply.body) {
        if let Some(error) = body.get_mut("error") {
            error["request_id"] = Value::Null;
            error["timestamp"] = Value::Null;
        }
        text = body.to_string().replace(name, "NAME");
    }
    (reply.status.as_u16(), text)
}

#[tokio::test]
async fn a_document_that_is_not_seen_is_one_that_does_not_exist() {
    let ((_, ours), (_, theirs)) = two("documents").await;
    for (method, below) in [
        (Method::GET, ""),
        (Method::GET, "/chunks"),
        (Method::GET, "/chunks?include_embeddings=true"),
        (Method::GET, "/text"),
        (Method::GET, "/text?start=0&end=4"),
        (Method::GET, "/file"),
        (Method::DELETE, ""),
    ] {
        let ask = async |id: &str| {
            mine()
                .send(mine().request(method.clone(), &format!("/documents/{id}{below}")))
                .await
        };
        let (unseen, none) = (ask(&theirs).await, ask("doc_none").await);
        assert_eq!(unseen.status.as_u16(), 404, "{method} {below}");
        assert_eq!(comparable(&unseen, &theirs), comparable(&none, "doc_none"), "{method} {below}");
        if method == Method::GET {
            assert_eq!(ask(&ours).await.status.as_u16(), 200, "{below}");
        }
    }
    let similar = async |id: &str| mine().post("/search/similar", json!({ "document_id": id })).await;
    let (unseen, none) = (similar(&theirs).await, similar("doc_none").await);
    assert_eq!(unseen.status.as_u16(), 404);
    assert_eq!(comparable(&unseen, &theirs), comparable(&none, "doc_none"));
    // It is still there for those who see it, also when its bytes have gone elsewhere; and that these stay is not told.
    let receipt = mine().delete(&format!("/documents/{ours}")).await.expect(200);
    assert_eq!(receipt["files_deleted"], 1, "{receipt}");
    assert!(admin().get(&format!("/documents/{theirs}/text")).await.text().contains("swordfish"));
}

#[tokio::test]
async fn a_collection_that_is_not_seen_is_one_that_does_not_exist() {
    let ((seen, _), (unseen, _)) = two("collections").await;
    let none = "claims-theirs-no-such";
    let about = |name: &str| {
        vec![
            (Method::GET, format!("/collections/{name}"), None),
            (Method::GET, format!("/collections/{name}/info"), None),
            (Method::DELETE, format!("/collections/{name}?confirm=true"), None),
            (Method::GET, format!("/documents?collection_name={name}"), None),
            (
                Method::POST,
                "/query".to_owned(),
                Some(json!({ "query": "Which passphrase?", "collection_name": name })),
            ),
            (
                Method::POST,
                "/search".to_owned(),
                Some(json!({ "query": "passphrase", "collection_name": name })),
            ),
            (
                Method::POST,
                "/query/stream".to_owned(),
                Some(json!({ "query": "Which passphrase?", "collection_name": name })),
            ),
            (
                Method::POST,
                "/analyze".to_owned(),
                Some(json!({ "query": "Which passphrase?", "collection_name": name })),
            ),
            (Method::GET, format!("/collections/{name}/pipeline"), None),
            (Method::PUT, format!("/collections/{name}/pipeline"), Some(json!({}))),
            (Method::GET, format!("/v1/models/{name}"), None),
            (
                Method::POST,
                "/v1/chat/completions".to_owned(),
                Some(json!({ "model": name, "messages": [{ "role": "user", "content": "Which passphrase?" }] })),
            ),
            (Method::POST, "/collections".to_owned(), Some(json!({ "name": name }))),
        ]
    };
    let ask = async |(method, path, body): (Method, String, Option<Value>)| {
        let request = mine().request(method, &path);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        mine().send(request).await
    };
    for (theirs, nobodys) in about(&unseen).into_iter().zip(about(none)) {
        let what = format!("{} {}", theirs.0, theirs.1);
        let (theirs, nobodys) = (ask(theirs).await, ask(nobodys).await);
        assert!(!theirs.text().contains("swordfish"), "{what}");
        assert_eq!(comparable(&theirs, &unseen), comparable(&nobodys, none), "{what}");
    }
    // Uploading would make it: neither is allowed, and the answer is the same.
    let file = File::new("mine.txt", "Something of mine.");
    let (theirs, nobodys) = (mine().upload("", &unseen, &[&file]).await, mine().upload("", none, &[&file]).await);
    assert_eq!(comparable(&theirs, &unseen), comparable(&nobodys, none));
    assert!(theirs.status.is_client_error());
    // The default collection is none of them either.
    let error = mine()
        .post("/query", json!({ "query": "?" }))
        .await
        .error(404, "COLLECTION_NOT_FOUND");
    assert_eq!(error["details"]["collection_name"], "documents");
    // Nor is it in any list or count.
    let names = |body: &Value| -> Vec<String> {
        let all = body["collections"].as_array().expect("a list");
        all.iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
    };
    let listed = names(&mine().get("/collections").await.expect(200));
    assert!(
        listed.contains(&seen) && listed.iter().all(|name| name.starts_with("claims-mine")),
        "{listed:?}"
    );
    assert!(names(&admin().get("/collections").await.expect(200)).contains(&unseen));
    let models = mine().get("/v1/models").await.expect(200).to_string();
    assert!(models.contains(&seen) && !models.contains("theirs"), "{models}");
    let status = mine().get("/status").await.expect(200).to_string();
    assert!(!status.contains("theirs"), "{status}");
    let documents = mine().get("/documents?limit=1000").await.expect(200);
    let all = documents["documents"].as_array().expect("a list");
    assert!(
        !all.is_empty()
            && all
                .iter()
                .all(|one| one["collection_name"].as_str().is_some_and(|name| name.starts_with("claims-mine")))
    );
    assert_eq!(documents["pagination"]["total"], all.len(), "the total counts what is shown");
    assert_eq!(
        mine().search(json!({ "query": "passphrase", "collection_name": seen })).await.len(),
        1
    );
    // And it is all there for those who see it.
    assert_eq!(
        admin()
            .search(json!({ "query": "passphrase", "collection_name": unseen }))
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn a_collection_may_be_made_where_its_name_is_seen() {
    mine().post("/collections", json!({ "name": "claims-mine-made" })).await.expect(201);
    mine()
        .post("/collections", json!({ "name": "claims-theirs-made" }))
        .await
        .error(403, "AUTHORIZATION_FAILED");
    admin()
        .get("/collections/claims-theirs-made")
        .await
        .error(404, "COLLECTION_NOT_FOUND");
    mine().ingest("claims-mine-uploaded", &File::new("a.txt", "A text.")).await;
    mine().delete("/collections/claims-mine-made?confirm=true").await.expect(200);
    let nothing = server().api().with_token(&limited("read", &[]));
    assert_eq!(nothing.get("/collections").await.expect(200), json!({ "collections": [] }));
    assert_eq!(nothing.get("/documents").await.expect(200)["pagination"]["total"], 0);
}

#[tokio::test]
async fn a_socket_answers_for_a_collection_that_is_not_seen_as_for_none() {
    let (_, (unseen, _)) = two("query").await;
    let token = limited("read", &["claims-mine*"]);
    let mut socket = server().socket_with("/ws/query", &token).await;
    let mut answers = Vec::new();
    for name in [unseen.as_str(), "claims-theirs-no-such"] {
        socket
            .query("a", json!({ "query": "Which passphrase?", "collection_name": name }))
            .await;
        let messages = socket.answer("a").await;
        assert_eq!(
            messages.last().expect("an end")["data"]["code"],
            "COLLECTION_NOT_FOUND",
            "{messages:?}"
        );
        answers.push(json!(messages).to_string().replace(name, "NAME"));
    }
    assert_eq!(answers[0], answers[1]);
    // As a default of the connection it does not come in either.
    socket
        .send(json!({ "type": "config", "request_id": "c", "data": { "collection_name": unseen } }))
        .await;
    assert_eq!(socket.receive().await["type"], "status");
    socket.query("b", json!({ "query": "Which passphrase?" })).await;
    assert_eq!(
        socket.answer("b").await.last().expect("an end")["data"]["code"],
        "COLLECTION_NOT_FOUND"
    );
}

#[tokio::test]
async fn events_of_collections_that_are_not_seen_are_not_sent() {
    // Nothing of the other tests.
    let token = limited("read", &["claims-mine-events"]);
    let mut changes = server().socket_with("/ws/collections", &token).await;
    let mut uploads = server().socket_with("/ws/upload", &token).await;
    let mut asked = server().socket_with("/ws/upload?collection=claims-theirs-events", &token).await;
    two("events").await;
    let mine = |message: &Value| message.to_string().contains("claims-mine-events");
    // Those of the other came first.
    let told = changes
        .receive_until(|message| message["type"] == "document_added" && mine(message))
        .await;
    for message in &told {
        let collection = message["collection"].as_str().expect("a collection");
        assert_eq!(collection, "claims-mine-events", "{message}");
    }
    let told = uploads.receive_until(|message| message["type"] == "upload_complete").await;
    assert!(told.iter().any(mine) && !json!(told).to_string().contains("theirs"), "{told:?}");
    // What comes next is the answer to a message, and nothing that was told.
    asked.send(json!({ "type": "nothing", "request_id": "x" })).await;
    assert_eq!(asked.receive().await["type"], "error");
    // Nor is the past.
    let mut replay = server().socket_with("/ws/collections?after=0", &token).await;
    let told = replay
        .receive_until(|message| message["type"] == "document_added" && mine(message))
        .await;
    assert!(!json!(told).to_string().contains("theirs"), "{told:?}");
}

#[tokio::test]
async fn plugins_serve_all_collections_and_are_for_those_who_see_all() {
    let ((seen, _), (unseen, _)) = two("plugins").await;
    let listed = mine().get("/plugins").await.expect(200).to_string();
    assert!(
        listed.contains(&seen) && !listed.contains(&unseen) && !listed.contains("theirs"),
        "{listed}"
    );
    let everything = admin().get("/plugins").await.expect(200);
    let all = everything["plugins"].as_array().expect("a list");
    let used = all
        .iter()
        .find(|plugin| plugin["used_by"].to_string().contains(&unseen))
        .expect("one in use");
    assert!(used["stats"]["calls"].is_u64());
    let one = mine()
        .get(&format!("/plugins/{}", used["name"].as_str().expect("a name")))
        .await
        .expect(200)
        .to_string();
    assert!(one.contains(&seen) && !one.contains("theirs") && !one.contains("calls"), "{one}");
    // What they write may be of any document, and what is installed is for everybody.
    mine().get("/plugins/text/log").await.error(403, "AUTHORIZATION_FAILED");
    mine().delete("/plugins/text").await.error(403, "AUTHORIZATION_FAILED");
    let install = mine().request(Method::POST, "/plugins").body(vec![0; 16]);
    mine().send(install).await.error(403, "AUTHORIZATION_FAILED");
}

#[tokio::test]
async fn the_other_doors_show_no_more_than_the_rest() {
    let ((seen, ours), (unseen, theirs)) = two("doors").await;
    let api = mine();
    let models = api.get("/v1/models").await.expect(200);
    let models: Vec<&str> = models["data"]
        .as_array()
        .expect("models")
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert!(
        models.contains(&seen.as_str()) && models.iter().all(|model| !model.contains("theirs")),
        "{models:?}"
    );
    api.get(&format!("/v1/models/{seen}")).await.expect(200);
    api.get(&format!("/v1/models/{unseen}")).await.error(404, "COLLECTION_NOT_FOUND");
    let chat = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "What is the passphrase of doors?" }] });
    let answer = api.post("/v1/chat/completions", chat(&seen)).await.expect(200);
    assert_eq!(answer["sources"][0]["metadata"]["document_id"], ours, "{answer}");
    let refused = api
        .post("/v1/chat/completions", chat(&unseen))
        .await
        .error(404, "COLLECTION_NOT_FOUND");
    assert_eq!((&refused["type"], &refused["param"]), (&json!("not_found_error"), &json!("model")));

    let tool = async |name: &str, arguments: Value| {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": arguments } });
        let request = api
            .request(Method::POST, "/mcp")
            .header("accept", "application/json, text/event-stream");
        api.send(request.json(&call)).await.expect(200)["result"].clone()
    };
    let listed = tool("list_collections", json!({})).await.to_string();
    assert!(listed.contains(&seen) && !listed.contains("theirs"), "{listed}");
    for name in ["ask", "search"] {
        let query = "What is the passphrase of doors?";
        let found = tool(name, json!({ "query": query, "collection_name": seen })).await;
        assert!(found.to_string().contains("swordfish") && found["isError"] == false, "{found}");
        let refused = tool(name, json!({ "query": query, "collection_name": unseen })).await;
        assert!(
            !refused.to_string().contains("swordfish") && refused["isError"] == true,
            "{refused}"
        );
    }

    api.post("/search/similar", json!({ "document_id": ours })).await.expect(200);
    api.post("/search/similar", json!({ "document_id": theirs }))
        .await
        .error(404, "RESOURCE_NOT_FOUND");
    api.post("/analyze", json!({ "query": "?", "collection_name": unseen }))
        .await
        .error(404, "COLLECTION_NOT_FOUND");
    let path = format!("/collections/{unseen}/pipeline");
    api.get(&path).await.error(404, "COLLECTION_NOT_FOUND");
    api.send(api.request(Method::PUT, &path).json(&json!({})))
        .await
        .error(404, "COLLECTION_NOT_FOUND");
    let settings = api.request(Method::PUT, "/config").json(&json!({ "query.timeout_seconds": 60 }));
    api.send(settings).await.error(403, "AUTHORIZATION_FAILED");
    let totals = async |api: &Api| api.get("/status").await.expect(200)["totals"]["collections"].as_u64();
    let listed = api.get("/collections").await.expect(200)["collections"]
        .as_array()
        .map(|all| all.len() as u64);
    assert!(
        totals(&api).await <= listed && totals(&admin()).await > listed,
        "what is not seen is not counted"
    );
}

/// A call of a tool over MCP.
async fn tool(api: &Api, name: &str, arguments: Value) -> Reply {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": arguments } });
    let request = api
        .request(Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream");
    api.send(request.json(&call)).await
}

#[tokio::test]
async fn tools_answer_for_a_collection_that_is_not_seen_as_for_none() {
    let ((seen, _), (unseen, theirs)) = two("tools").await;
    let none = "claims-theirs-no-such";
    for (name, more) in [
        ("ask", json!({})),
        ("search", json!({})),
        ("search", json!({ "filters": { "document_ids": [theirs] } })),
    ] {
        let ask = async |collection: &str| {
            let mut arguments = json!({ "query": "Which passphrase?", "collection_name": collection });
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            tool(&mine(), name, arguments).await
        };
        let (theirs, nobodys) = (ask(&unseen).await, ask(none).await);
        assert_eq!(comparable(&theirs, &unseen), comparable(&nobodys, none), "{name}");
        assert_eq!(theirs.json()["result"]["isError"], true, "{}", theirs.text());
    }
    // Another collection's document is not found in one that is seen.
    let arguments = json!({ "query": "passphrase", "collection_name": seen, "filters": { "document_ids": [theirs] } });
    let found = tool(&mine(), "search", arguments).await;
    assert!(!found.text().contains("swordfish"), "{}", found.text());
    // Who may not read is told so, and who may only read is offered nothing that writes.
    let writer = server().api().with_token(&limited("write", &["claims-mine*"]));
    let refused = tool(&writer, "search", json!({ "query": "passphrase", "collection_name": seen })).await;
    assert!(
        !refused.text().contains("swordfish") && refused.text().contains("scope"),
        "{}",
        refused.text()
    );
}
