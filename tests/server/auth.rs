//! Who is let in, how credentials are sent, when they end, and that nothing tells them on.

use crate::support::process::program;
use crate::support::tokens::{self, expired, now, scoped, server, signed, token};
use crate::support::{Is, Server, Socket, files, has, within};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;

const SOCKETS: [&str; 3] = ["/ws/query", "/ws/upload", "/ws/collections"];

#[tokio::test]
async fn a_request_without_credentials_is_refused_with_the_ways_to_authenticate() {
    let api = server().api();
    let reply = api.get("/documents").await;
    let error = reply.error(401, "AUTHENTICATION_REQUIRED");
    assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"ibid\"");
    assert_eq!(error["details"]["reason"], "MISSING_TOKEN");
    for (token, reason) in [
        ("garbage".to_owned(), "INVALID_TOKEN"),
        (expired(), "TOKEN_EXPIRED"),
        (
            signed(json!({ "scope": "admin" }), "another secret, which is long enough as well"),
            "INVALID_TOKEN",
        ),
        (token(json!({ "scope": "admin", "nbf": now() + 3_600 })), "INVALID_TOKEN"),
    ] {
        let reply = server().api().with_token(&token).get("/documents").await;
        let error = reply.error(401, "AUTHENTICATION_REQUIRED");
        assert!(
            reply
                .header("www-authenticate")
                .starts_with("Bearer realm=\"ibid\", error=\"invalid_token\"")
        );
        assert_eq!(error["details"]["reason"], reason);
        assert!(!reply.text().contains(&token));
    }
    let reply = server().api().with_token(&scoped("write")).get("/documents").await;
    let error = reply.error(403, "AUTHORIZATION_FAILED");
    assert!(reply.header("www-authenticate").contains("insufficient_scope"));
    assert_eq!(
        (&error["details"]["reason"], &error["details"]["scope"]),
        (&json!("INSUFFICIENT_SCOPE"), &json!("read"))
    );
    // Whoever looks after the machine needs no credentials.
    for path in ["/health", "/health/live", "/health/ready"] {
        api.get(path).await.expect(200);
        server().api().with_token("garbage").get(path).await.expect(200);
    }
}

#[tokio::test]
async fn credentials_may_be_sent_in_each_of_their_places() {
    let api = server().api();
    let token = scoped("read");
    let documents = |path: &str| api.request(Method::GET, path);
    for request in [
        documents("/documents").bearer_auth(&token),
        documents("/documents").header("authorization", format!("bearer {token}")),
        documents("/documents").header("x-api-key", &token),
        documents(&format!("/documents?token={token}")),
        documents(&format!("/api/v1/documents?limit=1&token={token}")),
    ] {
        let reply = api.send(request).await;
        reply.expect(200);
        // What one may see is not for another.
        assert!(reply.header("cache-control").contains("private"));
    }
    // A form of another page could send that.
    let request = api
        .request(Method::POST, &format!("/query?token={token}"))
        .json(&json!({ "query": "?" }));
    api.send(request).await.error(401, "AUTHENTICATION_REQUIRED");
    let twice = documents("/documents").bearer_auth(&token).bearer_auth(&token);
    api.send(twice).await.error(401, "AUTHENTICATION_REQUIRED");
}

#[tokio::test]
async fn the_subject_is_shown_to_itself() {
    let shape: &[(&str, Is)] = &[("subject", Is::Text), ("authentication", Is::Text), ("scopes", Is::Array)];
    let me = |token: String| async move { server().api().with_token(&token).get("/auth/me").await.expect(200) };
    let ada = me(token(
        json!({ "sub": "ada", "roles": ["manager"], "collections": ["team-*"], "exp": 4_102_444_800_u64 }),
    ))
    .await;
    has(&ada, shape);
    assert_eq!(
        ada,
        json!({
            "subject": "ada", "authentication": "token", "scopes": ["read", "write", "delete"],
            "collections": ["team-*"], "expires_at": "2100-01-01T00:00:00Z"
        })
    );
    assert_eq!(me(token(json!({}))).await["scopes"], json!([]));
    assert_eq!(me(scoped("read")).await["collections"], Value::Null);
    server().api().get("/auth/me").await.error(401, "AUTHENTICATION_REQUIRED");
    let anyone = Server::shared().api().get("/auth/me").await.expect(200);
    assert_eq!((&anyone["authentication"], &anyone["collections"]), (&json!("none"), &Value::Null));
}

#[tokio::test]
async fn what_a_page_asks_before_needs_no_credentials_and_other_pages_stay_out() {
    let api = server().api();
    let own = format!("http://localhost:{}", server().address().rsplit_once(':').expect("a port").1);
    let ask = |origin: &str| {
        api.request(Method::OPTIONS, "/query")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
    };
    let reply = api.send(ask(&own)).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("access-control-allow-origin")),
        (204, own.as_str())
    );
    assert!(
        reply
            .header("access-control-allow-headers")
            .to_lowercase()
            .contains("authorization")
    );
    assert_eq!(reply.header("access-control-allow-credentials"), "", "no cookies are used");
    let reply = api.send(ask("https://elsewhere.example")).await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
    // A token does not open the door to a page of another origin.
    let request = api
        .request(Method::POST, "/search")
        .bearer_auth(scoped("read"))
        .header("origin", "https://elsewhere.example")
        .json(&json!({ "query": "?" }));
    api.send(request).await.error(403, "AUTHORIZATION_FAILED");
}

#[tokio::test]
async fn a_socket_says_once_why_it_does_not_let_in_and_closes() {
    for path in SOCKETS {
        for (token, code) in [
            (None, "MISSING_TOKEN"),
            (Some("garbage".to_owned()), "INVALID_TOKEN"),
            (
                Some(signed(json!({ "scope": "admin" }), "another secret, which is long enough as well")),
                "INVALID_TOKEN",
            ),
            (Some(expired()), "TOKEN_EXPIRED"),
            (Some(scoped("write")), "INSUFFICIENT_SCOPE"),
        ] {
            // What else may be wrong is not for those who are not let in.
            let path = format!("{path}?after=-1");
            let mut socket = match &token {
                Some(token) => server().socket_with(&path, token).await,
                None => server().socket(&path).await,
            };
            socket
                .try_send(json!({ "type": "query", "request_id": "a", "data": { "query": "?" } }))
                .await;
            assert_eq!(socket.turned_away().await, code, "{path}");
        }
    }
}

#[tokio::test]
async fn sockets_take_credentials_in_each_of_their_places() {
    let token = scoped("read");
    let url = |query: &str| format!("ws://{}/ws/query{query}", server().address());
    let bearer = format!("Bearer {token}");
    let offered = format!("bearer, {token}");
    for (query, fields) in [
        (String::new(), vec![("authorization", bearer.as_str())]),
        (String::new(), vec![("x-api-key", token.as_str())]),
        (String::new(), vec![("sec-websocket-protocol", offered.as_str())]),
        (format!("?token={token}"), vec![]),
    ] {
        let (mut socket, answer) = Socket::connect_with(&url(&query), &fields).await;
        socket.send(json!({ "type": "config", "request_id": "a", "data": {} })).await;
        assert_eq!(socket.receive().await["type"], "status");
        let protocol = answer.get("sec-websocket-protocol").map(|value| value.to_str().expect("text"));
        assert_eq!(protocol, fields.iter().any(|(_, value)| *value == offered).then_some("bearer"));
        socket.close().await;
    }
}

#[tokio::test]
async fn a_token_that_expires_ends_its_sockets_and_their_queries() {
    server()
        .api()
        .with_token(&scoped("admin"))
        .ingest("expiring", &files::handbook("handbook.txt"))
        .await;
    let short = token(json!({ "scope": "read", "exp": now() + 4 }));
    let mut query = server().socket_with("/ws/query", &short).await;
    let mut events = server().socket_with("/ws/collections", &short).await;
    query
        .query(
            "held",
            json!({ "query": "What is it about?", "collection_name": "expiring", "mode": "comprehensive" }),
        )
        .await;
    query
        .send(json!({ "type": "control", "request_id": "held", "data": { "action": "pause" } }))
        .await;
    // Whatever was on its way; then the end, and nothing after it.
    let before = query.receive_until(|message| message["type"] == "auth_error").await;
    assert_eq!(before.last().expect("a message")["data"]["code"], "TOKEN_EXPIRED");
    assert_eq!(u16::from(query.closed().await.code), 1008);
    let before = events.receive_until(|message| message["type"] == "auth_error").await;
    assert_eq!(before.last().expect("a message")["data"]["code"], "TOKEN_EXPIRED");
    assert_eq!(u16::from(events.closed().await.code), 1008);
    server()
        .api()
        .with_token(&short)
        .get("/documents")
        .await
        .error(401, "AUTHENTICATION_REQUIRED");
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_token() {
    let short = token(json!({ "scope": "config", "exp": now() + 3 }));
    // It would go on for as long as the server runs.
    let reply = server().api().with_token(&short).get("/plugins/text/log").await;
    assert_eq!(reply.status.as_u16(), 200, "{}", reply.text());
    server()
        .api()
        .with_token(&short)
        .get("/plugins/text/log")
        .await
        .error(401, "AUTHENTICATION_REQUIRED");
}

/// Runs `ibid` and gives what it printed; it must succeed.
async fn ibid(home: &Path, arguments: &[&str]) -> String {
    let mut command = program(home);
    command.args(arguments);
    let output = within("a command", tokio::process::Command::from(command).output())
        .await
        .expect("ibid");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test]
async fn api_keys_come_and_go_while_the_server_runs() {
    let data = server().data_dir();
    let data = data.to_str().expect("UTF-8");
    let home = tempfile::tempdir().expect("a directory");
    let run = |arguments: &'static [&'static str]| {
        let mut all = vec!["key"];
        all.extend(arguments);
        all.extend(["--data-dir", data]);
        let home = home.path();
        async move { ibid(home, &all).await }
    };
    let made: Value = serde_json::from_str(
        &run(&[
            "new",
            "robot",
            "--role",
            "user",
            "--collection",
            "robots-*",
            "--expires",
            "90d",
            "--json",
        ])
        .await,
    )
    .expect("JSON");
    let key = made["key"].as_str().expect("the key").to_owned();
    let api = server().api().with_token(&key);
    // Within a moment, without a restart.
    let me = within("the key to be known", async {
        loop {
            let reply = api.get("/auth/me").await;
            if reply.status.is_success() {
                return reply.json();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(
        (&me["subject"], &me["authentication"], &me["scopes"], &me["collections"]),
        (&json!("robot"), &json!("api_key"), &json!(["read", "write"]), &json!(["robots-*"]))
    );
    assert!(me["expires_at"].is_string());
    let by_field = server().api();
    let request = by_field.request(Method::GET, "/auth/me").header("x-api-key", &key);
    by_field.send(request).await.expect(200);
    let listed = run(&["list", "--json"]).await;
    assert!(
        listed.contains("robot") && !listed.contains(key.rsplit_once('_').expect("a secret").1),
        "{listed}"
    );
    let mut socket = server().socket_with("/ws/collections", &key).await;
    let revoked: Value = serde_json::from_str(&run(&["revoke", "robot", "--json"]).await).expect("JSON");
    assert_eq!((&revoked["name"], revoked.get("key")), (&json!("robot"), None));
    assert_eq!(socket.turned_away().await, "INVALID_TOKEN");
    api.get("/auth/me").await.error(401, "AUTHENTICATION_REQUIRED");
    let shown = run(&["list"]).await;
    assert!(!shown.contains("robot"), "{shown}");
}

#[tokio::test]
async fn a_minted_token_is_taken() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("secret");
    std::fs::write(&file, format!("{}\n", tokens::SECRET)).expect("written");
    let setting = format!("auth.secret_file={}", file.display());
    let mint = async |more: &[&str]| {
        let args = [
            "token",
            "mint",
            "--sub",
            "dev",
            "--scope",
            "read",
            "--collection",
            "a",
            "--expires",
            "5m",
        ];
        ibid(home.path(), &[&args[..], &["--set", &setting], more].concat()).await
    };
    let told: Value = serde_json::from_str(&mint(&["--json"]).await).expect("JSON");
    assert_eq!((&told["claims"]["sub"], &told["claims"]["scope"]), (&json!("dev"), &json!("read")));
    let same = server().api().with_token(told["token"].as_str().expect("a token"));
    assert_eq!(same.get("/auth/me").await.expect(200)["subject"], json!("dev"));
    let minted = mint(&[]).await;
    let me = server().api().with_token(minted.trim()).get("/auth/me").await.expect(200);
    assert_eq!(
        (&me["subject"], &me["scopes"], &me["collections"]),
        (&json!("dev"), &json!(["read"]), &json!(["a"]))
    );
    let mut command = program(home.path());
    command.args(["token", "mint", "--scope", "read"]);
    let output = command.output().expect("ibid");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("auth.secret"), "{error}");
}

#[tokio::test]
async fn client_commands_send_a_token_from_a_file() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("token");
    std::fs::write(&file, format!("{}\n", scoped("read"))).expect("written");
    let file = file.to_str().expect("UTF-8");
    let listed = ibid(
        home.path(),
        &["collections", "--json", "--server", server().url(), "--token-file", file],
    )
    .await;
    assert!(listed.contains("collections"), "{listed}");
    let mut command = program(home.path());
    command.args(["ask", "--server", server().url(), "What?"]);
    let output = command.output().expect("ibid");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("MISSING_TOKEN") && error.contains("--token-file"),
        "{error}"
    );
}

/// Whatever is sent as a token, right or wrong, in whichever place: nothing of it is logged or answered.
#[tokio::test]
async fn no_token_reaches_the_log_or_an_answer() {
    let secret = format!("auth.secret={}", tokens::SECRET);
    let server = Server::start("auth-log", &["auth.enabled=true", &secret]);
    let huge = token(json!({ "scope": "read", "padding": "x".repeat(20_000) }));
    let credentials = [
        scoped("read"),
        expired(),
        token(json!({})),
        signed(json!({ "scope": "admin" }), "another secret, which is long enough as well"),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJoaWRkZW4tbWFyayJ9.".to_owned(),
        "not-a-token-but-hidden-mark".to_owned(),
        format!("ibid_0123456789abcdef_{}", "5".repeat(64)),
        huge,
    ];
    let mut answers = Vec::new();
    for credential in &credentials {
        let api = server.api();
        let paths = [
            "/documents",
            "/documents/x",
            "/nothing",
            "/auth/me",
            "/collections/x/info",
            "/documents?limit=x",
        ];
        for path in paths {
            let joint = if path.contains('?') { '&' } else { '?' };
            for request in [
                api.request(Method::GET, path).bearer_auth(credential),
                api.request(Method::GET, path).header("x-api-key", credential),
                api.request(Method::GET, &format!("{path}{joint}token={credential}")),
                api.request(Method::POST, &format!("{path}{joint}token={credential}")),
            ] {
                answers.push(String::from_utf8_lossy(&api.send(request).await.body).into_owned());
            }
        }
        for path in SOCKETS {
            let url = format!("ws://{}{path}", server.address());
            let offered = format!("bearer, {credential}");
            let (mut one, fields) = Socket::connect_with(&url, &[("sec-websocket-protocol", &offered)]).await;
            answers.push(format!("{fields:?}"));
            one.try_send(json!({ "type": "nothing", "request_id": "a" })).await;
            answers.push(one.receive().await.to_string());
            let (mut other, _) = Socket::connect_with(&format!("{url}?token={credential}"), &[]).await;
            other.try_send(json!({ "type": "nothing", "request_id": "a" })).await;
            answers.push(other.receive().await.to_string());
        }
    }
    let log = server.whole_log();
    assert!(log.contains("credentials were refused"), "the log tells that there were refusals");
    for credential in credentials.iter().flat_map(|credential| {
        // Parts of it as well: of a token its claims and its signature, of a key its secret.
        let parts = credential
            .split(['.', '_'])
            .filter(|part| part.len() > 16 && *part != "0123456789abcdef");
        parts.chain(["hidden-mark", tokens::SECRET]).map(str::to_owned).collect::<Vec<_>>()
    }) {
        // The head of every token of this kind is the same, and says nothing.
        if scoped("read").starts_with(&credential) {
            continue;
        }
        let found = log.lines().find(|line| line.contains(&credential));
        assert!(found.is_none(), "in the log: {found:?}");
        let found = answers.iter().find(|answer| answer.contains(&credential));
        assert!(found.is_none(), "in an answer: {found:?}");
    }
}
