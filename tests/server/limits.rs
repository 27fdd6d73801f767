//! Limits: each is met, and refuses as it should. Loopback is exempt, so clients come through a trusted proxy here.

use super::metrics::Metrics;
use crate::support::files::{self, File, QUESTIONS};
use crate::support::socket::{control, query};
use crate::support::{Reply, Server, Socket, answered, tokens};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const PROXY: &str = "server.trusted_proxies=127.0.0.1";

/// A request as a trusted proxy passes it on for the client at `address`.
async fn from(server: &Server, address: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
    let api = server.api();
    let mut request = api.request(method, path).header("X-Forwarded-For", address);
    if let Some(body) = body {
        request = request.json(&body);
    }
    api.send(request).await
}

async fn refusals(server: &Server, limit: &str) -> f64 {
    Metrics::of(&server.api())
        .await
        .get(&format!("ibid_limit_refusals_total{{limit=\"{limit}\"}}"))
}

#[tokio::test]
async fn rates_are_of_an_address_and_of_a_kind_of_request_and_say_where_one_stands() {
    let server = Server::start(
        "limits-rate",
        &[
            PROXY,
            "limits.address_requests_per_minute=3",
            "limits.address_queries_per_minute=2",
            "limits.address_uploads_per_minute=1",
        ],
    );
    let get = || from(&server, "192.0.2.1", Method::GET, "/collections", None);
    for left in ["2", "1", "0"] {
        let reply = get().await;
        reply.expect(200);
        assert_eq!((reply.header("ratelimit-limit"), reply.header("ratelimit-remaining")), ("3", left));
        assert_eq!(reply.header("ratelimit-policy"), "3;w=60");
    }
    let reply = get().await;
    let error = reply.error(429, "RATE_LIMIT_EXCEEDED");
    let wait: u64 = reply.header("retry-after").parse().expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(error["details"]["retry_after"], wait);
    assert_eq!((reply.header("ratelimit-remaining"), reply.header("ratelimit-reset")), ("0", "60"));
    assert_eq!(refusals(&server, "limits.address_requests_per_minute").await, 1.0);

    // Whether the server lives is always told; other addresses, and other kinds of requests, have budgets of their own.
    from(&server, "192.0.2.1", Method::GET, "/health/live", None).await.expect(200);
    from(&server, "192.0.2.2", Method::GET, "/collections", None).await.expect(200);
    let search = || from(&server, "192.0.2.1", Method::POST, "/search", Some(json!({ "query": "x" })));
    for _ in 0..2 {
        search().await.error(404, "COLLECTION_NOT_FOUND");
    }
    search().await.error(429, "RATE_LIMIT_EXCEEDED");
    // Who is on this machine is exempt, and is told of no limits.
    for _ in 0..5 {
        let reply = server.api().get("/collections").await;
        reply.expect(200);
        assert_eq!(reply.header("ratelimit-limit"), "");
    }
}

#[tokio::test]
async fn a_name_in_a_header_counts_only_if_a_trusted_proxy_wrote_it() {
    let server = Server::start(
        "limits-proxy",
        &["limits.exempt_addresses=", "limits.address_requests_per_minute=2"],
    );
    for (n, status) in [200, 200, 429].into_iter().enumerate() {
        let address = format!("192.0.2.{n}");
        let reply = from(&server, &address, Method::GET, "/collections", None).await;
        assert_eq!(reply.status.as_u16(), status, "a client chose its own address");
    }
}

#[tokio::test]
async fn a_socket_over_its_rate_gets_an_error_and_stays_open() {
    let server = Server::start(
        "limits-socket",
        &[PROXY, "server.forwarded_header=forwarded", "limits.address_queries_per_minute=2"],
    );
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let mut socket = Socket::connect_as(
        &format!("ws://{}/ws/query", server.address()),
        &[("Forwarded", "for=\"[2001:db8::1]:4711\"")],
    )
    .await;
    for n in 0..2 {
        let id = format!("q{n}");
        socket.query(&id, json!({ "query": QUESTIONS[0].0 })).await;
        answered(&socket.answer(&id).await);
    }
    socket.query("over", json!({ "query": QUESTIONS[0].0 })).await;
    let error = socket.error(json!("over"), "RATE_LIMIT_EXCEEDED").await;
    assert_eq!(error["recoverable"], true);
    assert!(
        error["details"]["retry_after"]
            .as_u64()
            .is_some_and(|wait| (1..=30).contains(&wait)),
        "{error}"
    );
    assert_eq!(refusals(&server, "limits.address_queries_per_minute").await, 1.0);
    // Control messages cost nothing.
    socket.send(control("none", "cancel")).await;
    socket.error(json!("none"), "UNKNOWN_REQUEST").await;
}

#[tokio::test]
async fn queries_at_a_time_are_limited_by_client_and_by_connection() {
    let server = Server::start("limits-at-once", &[PROXY, "limits.queries_at_once=2", "query.max_per_connection=1"]);
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let open = || async { Socket::connect_as(&format!("ws://{}/ws/query", server.address()), &[("X-Forwarded-For", "192.0.2.1")]).await };
    let hold = |id: &str| [query(id, json!({ "query": QUESTIONS[0].0 })), control(id, "pause")];
    let (mut one, mut two, mut three) = (open().await, open().await, open().await);
    for socket in [&mut one, &mut two] {
        socket.send_together(&hold("held")).await;
        socket.receive_until(|message| message["data"]["stage"] == "paused").await;
    }
    two.query("second", json!({ "query": QUESTIONS[0].0 })).await;
    two.error(json!("second"), "RATE_LIMIT_EXCEEDED").await;
    assert_eq!(refusals(&server, "query.max_per_connection").await, 1.0);
    three.query("third", json!({ "query": QUESTIONS[0].0 })).await;
    let error = three.error(json!("third"), "RATE_LIMIT_EXCEEDED").await;
    assert_eq!((&error["recoverable"], &error["details"]["retry_after"]), (&json!(true), &json!(1)));
    assert_eq!(refusals(&server, "limits.queries_at_once").await, 1.0);
    let reply = from(
        &server,
        "192.0.2.1",
        Method::POST,
        "/query",
        Some(json!({ "query": QUESTIONS[0].0 })),
    )
    .await;
    reply.error(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(reply.header("retry-after"), "1");
    // Another client is not held by this one; and a place that is left is free again.
    from(
        &server,
        "192.0.2.2",
        Method::POST,
        "/query",
        Some(json!({ "query": QUESTIONS[0].0 })),
    )
    .await
    .expect(200);
    one.send(control("held", "cancel")).await;
    one.answer("held").await;
    three.query("again", json!({ "query": QUESTIONS[0].0 })).await;
    answered(&three.answer("again").await);
}

#[tokio::test]
async fn a_stream_holds_its_place_until_its_end() {
    let server = Server::start("limits-stream", &[PROXY, "limits.queries_at_once=1"]);
    server.api().ingest("documents", &files::report("report.pdf")).await;
    let api = server.api();
    let ask = || {
        api.request(Method::POST, "/query/stream")
            .header("X-Forwarded-For", "192.0.2.1")
            .json(&json!({ "query": QUESTIONS[0].0 }))
    };
    // A stream that is not read to its end holds the place; one that is dropped gives it back.
    let held = ask().send().await.expect("an answer");
    assert_eq!(held.status().as_u16(), 200);
    let refused = api.send(ask()).await;
    let whole = held.bytes().await.expect("a whole answer");
    assert!(String::from_utf8_lossy(&whole).contains("event: complete"));
    // The answer may have been sent whole before the second request came; then there was a place.
    assert!(matches!(refused.status.as_u16(), 200 | 429), "{}", refused.text());
    api.send(ask()).await;
}

#[tokio::test]
async fn connections_of_an_address_are_limited() {
    let server = Server::start("limits-connections", &[PROXY, "limits.address_connections=2"]);
    let url = format!("ws://{}/ws/collections", server.address());
    let as_client = [("X-Forwarded-For", "192.0.2.1")];
    let (one, _two) = (
        Socket::connect_as(&url, &as_client).await,
        Socket::connect_as(&url, &as_client).await,
    );
    let refused = Socket::refused(&url, &as_client).await;
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refusals(&server, "limits.address_connections").await, 1.0);
    let _other = Socket::connect_as(&url, &[("X-Forwarded-For", "192.0.2.2")]).await;
    one.close().await;
    // When the server has seen it go.
    crate::support::within("a free place", async {
        while Metrics::of(&server.api())
            .await
            .get("ibid_websocket_connections{socket=\"/ws/collections\"}")
            > 2.0
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let _three = Socket::connect_as(&url, &as_client).await;
}

#[tokio::test]
async fn connections_and_waiting_queries_and_files_have_their_limits() {
    let server = Server::start(
        "limits-server",
        &[
            "query.max_concurrent=1",
            "query.max_waiting=1",
            "server.max_upload_bytes=4000",
            "server.max_message_bytes=2000",
        ],
    );
    let api = server.api();
    api.ingest("documents", &files::treaty()).await;
    let long = File::new("long.txt", "x".repeat(4_001));
    api.upload("", "documents", &[&long]).await.error(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(refusals(&server, "server.max_upload_bytes").await, 1.0);
    api.post("/query", json!({ "query": "x".repeat(3_000) }))
        .await
        .error(413, "PAYLOAD_TOO_LARGE");
    let mut socket = server.socket("/ws/query").await;
    socket.send_text(&"x".repeat(3_000)).await;
    assert_eq!(u16::from(socket.closed().await.code), 1009);
    assert_eq!(refusals(&server, "server.max_message_bytes").await, 2.0);

    // One query has the place and keeps it, one waits for it; there is no room for a third.
    let mut socket = server.socket("/ws/query").await;
    let question = json!({ "query": "What does the treaty of Lindau say about bridges?", "mode": "comprehensive" });
    let ask = |id: &str| query(id, question.clone());
    socket
        .send_together(&[ask("first"), control("first", "pause"), ask("second"), control("second", "pause")])
        .await;
    let api_metrics = server.api();
    crate::support::within("a query to wait", async {
        while Metrics::of(&api_metrics).await.get("ibid_queries_waiting") < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let reply = api.post("/query", question.clone()).await;
    reply.error(503, "SERVICE_UNAVAILABLE");
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(refusals(&server, "query.max_waiting").await, 1.0);
}

#[tokio::test]
async fn a_subject_has_its_rate_wherever_it_is_and_wrong_credentials_bar_an_address() {
    let secret = format!("auth.secret={}", tokens::SECRET);
    let server = Server::start(
        "limits-auth",
        &[
            "auth.enabled=true",
            &secret,
            PROXY,
            "limits.subject_requests_per_minute=3",
            "limits.address_failed_authentications_per_minute=3",
        ],
    );
    let ask = |token: String, address: &'static str| {
        let api = server.api();
        async move {
            let request = api.request(Method::GET, "/collections").header("X-Forwarded-For", address);
            api.send(request.bearer_auth(token)).await
        }
    };
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        ask(tokens::scoped("read"), address).await.expect(200);
    }
    let refused = ask(tokens::scoped("read"), "192.0.2.4").await;
    assert_eq!(refused.error(429, "RATE_LIMIT_EXCEEDED")["details"]["limit"], 3);
    assert_eq!(refused.header("ratelimit-limit"), "3");
    let other = || tokens::token(json!({ "sub": "another", "scope": "read" }));
    ask(other(), "192.0.2.1").await.expect(200);
    // The log says who it was, and whose address.
    let log = server.whole_log();
    assert!(log.contains("subject=\"somebody\"") && log.contains("client=192.0.2.4"), "{log}");

    let wrong = || tokens::signed(json!({ "scope": "read" }), "another secret, which is long enough as well");
    for _ in 0..4 {
        ask(wrong(), "192.0.2.9").await.error(401, "AUTHENTICATION_REQUIRED");
    }
    let barred = ask(wrong(), "192.0.2.9").await;
    barred.error(429, "RATE_LIMIT_EXCEEDED");
    assert!((1..=20).contains(&barred.header("retry-after").parse::<u64>().expect("seconds")));
    // Not even right ones are looked at meanwhile; from elsewhere they are.
    ask(other(), "192.0.2.9").await.error(429, "RATE_LIMIT_EXCEEDED");
    ask(other(), "192.0.2.8").await.expect(200);
}

#[tokio::test]
async fn all_connections_and_all_uploads_have_an_end() {
    let server = Server::start("limits-full", &["server.max_connections=4", "ingest.max_open_uploads=1"]);
    let url = format!("ws://{}/ws/collections", server.address());
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(Socket::connect_as(&url, &[]).await);
    }
    let refused = Socket::refused(&url, &[]).await;
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    for socket in sockets {
        socket.close().await;
    }
    let api = server.api();
    crate::support::within("a free place", async {
        while api.get("/metrics").await.status.as_u16() != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(refusals(&server, "server.max_connections").await >= 1.0);

    // Half of an upload keeps its place.
    let mut half = TcpStream::connect(server.address()).await.expect("a connection");
    let form = "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"half.txt\"\r\n\r\nHalf of it";
    let head = format!(
        "POST /documents/upload HTTP/1.1\r\nHost: {}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n{form}",
        server.address()
    );
    half.write_all(head.as_bytes()).await.expect("sending");
    crate::support::within("the upload to begin", async {
        while Metrics::of(&api).await.get("ibid_open_uploads") < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let reply = api.upload("", "documents", &[&files::report("report.pdf")]).await;
    reply.error(503, "SERVICE_UNAVAILABLE");
    assert_eq!(reply.header("retry-after"), "10");
    assert_eq!(refusals(&server, "ingest.max_open_uploads").await, 1.0);
}
