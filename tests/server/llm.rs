//! Answers by a language model, over a server of such models that does as it is told: well, slowly, badly, or not at all.

use crate::support::files::{self, File, QUESTIONS};
use crate::support::process::{program, share};
use crate::support::socket::{control, is_end};
use crate::support::upstream::{Act, Event, Hub, Step, Upstream};
use crate::support::{Answered, Api, Server, Socket, answered, tokens, within};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::net::TcpSocket;
use tokio::sync::Notify;

/// Every test's part of the upstream server; the server under test may ask all of them.
const NAMES: &[&str] = &[
    "cites", "passes", "retries", "busy", "later", "cut", "early", "garbage", "slow", "endless", "cancel", "silent", "closing", "pause",
    "nothing", "quirks", "whole", "thinks", "filter", "tls", "chat", "leaves", "tool",
];

struct Setup {
    hub: Hub,
    server: Server,
    /// Refuses connections: bound, and not listening.
    _dead: TcpSocket,
    dead_url: String,
}

fn setup() -> &'static Setup {
    static SETUP: OnceLock<Setup> = OnceLock::new();
    SETUP.get_or_init(|| {
        let (acceptor, certificate) = certificate();
        let hub = Hub::start(NAMES, Some(acceptor));
        let dead = TcpSocket::new_v4().expect("a socket");
        dead.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let dead_url = format!("http://{}/v1", dead.local_addr().expect("an address"));
        let mut allowed: Vec<String> = NAMES.iter().map(|name| format!("{}/{name}/v1", hub.url)).collect();
        allowed.extend([format!("{}/tls/v1", hub.tls_url), dead_url.clone()]);
        let settings = [
            format!("llm.allowed_base_urls={}", allowed.join(",")),
            format!("llm.ca_file={}", certificate.display()),
            "server.max_message_bytes=1048576".to_owned(),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        Setup {
            server: Server::start("llm", &settings),
            hub,
            _dead: dead,
            dead_url,
        }
    })
}

/// A certificate of our own for 127.0.0.1, and what answers with it.
fn certificate() -> (tokio_rustls::TlsAcceptor, PathBuf) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("llm-tls");
    std::fs::create_dir_all(&home).expect("a directory");
    let (key, certificate) = (home.join("key.pem"), home.join("certificate.pem"));
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]);
    command.args([
        "-subj",
        "/CN=ibid test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    let made = command
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let chain = vec![CertificateDer::from_pem_file(&certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&key).expect("a key");
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.expect("a TLS configuration")));
    (acceptor, certificate)
}

/// A test's upstream, collection and socket.
struct Scene {
    upstream: Upstream,
    api: Api,
    socket: Socket,
    name: &'static str,
}

impl Scene {
    /// A collection called `llm-NAME` with the report in it, which asks the upstream `name`; `generator` adds to its
    /// pipeline.
    async fn new(name: &'static str, generator: Value) -> Self {
        let setup = setup();
        let url = format!("{}/{name}/v1", setup.hub.url);
        Self::at(name, &url, generator).await
    }

    async fn at(name: &'static str, url: &str, generator: Value) -> Self {
        let setup = setup();
        let mut whole = json!({ "kind": "openai", "base_url": url, "model": "scripted" });
        whole.as_object_mut().unwrap().extend(generator.as_object().unwrap().clone());
        let api = setup.server.api();
        let collection = format!("llm-{name}");
        let made = json!({ "name": collection, "pipeline": { "generator": whole } });
        api.post("/collections", made).await.expect(201);
        api.ingest(&collection, &files::report("report.pdf")).await;
        Self {
            upstream: Upstream::of(&setup.hub, name),
            api,
            socket: setup.server.socket("/ws/query").await,
            name,
        }
    }

    async fn ask(&mut self, id: &str, more: Value) {
        let mut data = json!({ "query": QUESTIONS[1].0, "collection_name": format!("llm-{}", self.name) });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.socket.query(id, data).await;
    }

    async fn answer(&mut self, more: Value) -> Answered {
        self.ask("q", more).await;
        answered(&self.socket.answer("q").await)
    }

    /// The `data` of the error that a question must end with, and the text that came before it.
    async fn failure(&mut self) -> (Value, String) {
        self.ask("q", json!({})).await;
        let mut messages = self.socket.answer("q").await;
        let end = messages.pop().expect("an end");
        assert_eq!(
            (&end["type"], &end["data"]["code"]),
            (&json!("error"), &json!("LLM_CONNECTION_ERROR")),
            "{end}"
        );
        let data = end["data"].clone();
        assert_eq!(
            (&data["recoverable"], &data["details"]["stage"]),
            (&json!(true), &json!("response_generation")),
            "{data}"
        );
        assert!(!data.to_string().contains("127.0.0.1"), "an address is told: {data}");
        let text = messages.iter().filter(|message| message["type"] == "token");
        (data, text.filter_map(|message| message["data"]["content"].as_str()).collect())
    }
}

fn streamed(texts: &[&str]) -> Act {
    let mut steps = Step::texts(texts);
    steps.extend([Step::Finish("stop"), Step::Done]);
    Act::Stream(steps)
}

fn status(status: u16, header: &'static str, body: &str) -> Act {
    Act::Answer(status, header, body.to_owned())
}

#[tokio::test]
async fn citations_are_read_from_the_stream_and_quote_exactly() {
    let mut scene = Scene::new("cites", json!({})).await;
    // Markers cut anywhere, several together, one of no passage, code that is left alone.
    scene.upstream.will([streamed(&[
        "The annual budget of the IT depart",
        "ment amounts to 4.2 million dollars",
        " [",
        "1",
        "]. Most of it pays for ser",
        "vers and licences [1]",
        "[7",
        "7]",
        ", and `x[0]` is code [1,",
        " 2]",
    ])]);
    let answer = scene.answer(json!({})).await;
    assert_eq!(answer.complete["generator"]["kind"], "openai");
    assert_eq!(answer.complete["generator"]["model"], "scripted");
    assert_eq!(answer.complete["generator"]["finish_reason"], "stop");
    assert!(answer.complete.get("warnings").is_none(), "{}", answer.complete);
    assert_eq!(
        answer.complete["pipeline"]["generator"],
        json!({ "kind": "openai", "model": "scripted" })
    );
    assert!(
        !answer.complete.to_string().contains("127.0.0.1"),
        "an address is told: {}",
        answer.complete
    );
    assert!(
        answer.text.contains("million dollars [1]. Most") && !answer.text.contains("77") && answer.text.contains("`x[0]`"),
        "{}",
        answer.text
    );
    assert!(answer.tokens.len() > 5, "not streamed: {:?}", answer.tokens);
    let contents: Vec<&str> = answer
        .citations
        .iter()
        .filter_map(|citation| citation["content"].as_str())
        .collect();
    assert_eq!(contents[0], files::PAGES[1][0]);
    assert_eq!(contents[1], files::PAGES[1][1]);
    assert_eq!(
        (&answer.citations[0]["page"], &answer.citations[0]["source"]),
        (&json!(2), &json!("report.pdf"))
    );
    for citation in &answer.citations {
        let id = citation["document_id"].as_str().unwrap();
        let range = format!("?start={}&end={}", citation["char_start"], citation["char_end"]);
        assert_eq!(scene.api.text(id, &range).await, citation["content"].as_str().unwrap());
    }
}

#[tokio::test]
async fn the_request_carries_model_temperature_language_and_numbered_passages() {
    let mut scene = Scene::new(
        "passes",
        json!({ "temperature": 0.4, "max_tokens": 99, "prompt": "Read: {passages}\nThen: {question} {{}}" }),
    )
    .await;
    scene.upstream.will([streamed(&["A."]), streamed(&["B."])]);
    scene.answer(json!({ "temperature": 0.7, "language": "de" })).await;
    scene.answer(json!({})).await;
    let received = scene.upstream.received();
    let [one, two] = &received[..] else { panic!("{received:?}") };
    assert_eq!(
        (&one.body["model"], &one.body["stream"], &one.body["max_tokens"]),
        (&json!("scripted"), &json!(true), &json!(99))
    );
    assert_eq!((&one.body["temperature"], &two.body["temperature"]), (&json!(0.7), &json!(0.4)));
    let [system, user] = [0, 1].map(|n| one.body["messages"][n]["content"].as_str().unwrap().to_owned());
    assert!(system.contains("`de`") && !system.contains("4.2 million"), "{system}");
    assert!(
        user.starts_with("Read: <passage number=\"1\" file=\"report.pdf\"") && user.contains(files::PAGES[1][0]),
        "{user}"
    );
    assert!(user.ends_with(&format!("Then: {} {{}}", QUESTIONS[1].0)), "{user}");
    // The key is not for servers that pipelines name.
    assert!(!one.header.contains_key("authorization"));
}

#[tokio::test]
async fn failures_before_the_first_token_are_tried_again() {
    let mut scene = Scene::new("retries", json!({})).await;
    scene
        .upstream
        .will([status(500, "", "down"), Act::Drop, streamed(&["It is 4.2 million [1]."])]);
    let answer = scene.answer(json!({})).await;
    assert_eq!((answer.citations.len(), scene.upstream.received().len()), (1, 3));

    // And no more often than that.
    scene.upstream.will([status(502, "", ""), status(503, "", ""), status(504, "", "")]);
    let (error, _) = scene.failure().await;
    assert_eq!(
        (&error["details"]["reason"], scene.upstream.received().len()),
        (&json!("server_error"), 6)
    );

    // What will not change is not asked again.
    for (code, reason) in [(401, "unauthorized"), (404, "not_found"), (400, "rejected"), (302, "rejected")] {
        let before = scene.upstream.received().len();
        scene.upstream.will([status(code, "location: http://127.0.0.1:1/\r\n", "no")]);
        assert_eq!(scene.failure().await.0["details"]["reason"], reason);
        assert_eq!(scene.upstream.received().len(), before + 1);
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says() {
    let mut scene = Scene::new("busy", json!({})).await;
    scene
        .upstream
        .will([status(429, "retry-after: 1\r\n", "busy"), streamed(&["Yes [1]."])]);
    let start = Instant::now();
    scene.answer(json!({})).await;
    assert!(start.elapsed().as_millis() >= 1_000, "asked before its time");
    assert_eq!(scene.upstream.received().len(), 2);
    // One that is used up is not.
    scene
        .upstream
        .will([status(429, "", "{\"error\":{\"code\":\"insufficient_quota\"}}")]);
    assert_eq!(scene.failure().await.0["details"]["reason"], "rate_limited");
    assert_eq!(scene.upstream.received().len(), 3);
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_told_and_not_waited() {
    let mut scene = Scene::new("later", json!({ "first_token_timeout_ms": 60000 })).await;
    scene.upstream.will([status(429, "retry-after: 3600\r\n", "")]);
    let (error, _) = scene.failure().await;
    assert_eq!(error["details"]["reason"], "rate_limited");
    assert!(
        error["details"]["retry_after"].as_u64().is_some_and(|seconds| seconds >= 3_600),
        "{error}"
    );
}

#[tokio::test]
async fn a_stream_that_is_cut_off_ends_the_query_and_is_not_begun_again() {
    let mut scene = Scene::new("cut", json!({ "on_failure": "fallback" })).await;
    scene
        .upstream
        .will([Act::Stream(Step::texts(&["The annual ", "budget ", "is"])), streamed(&["never"])]);
    let (error, text) = scene.failure().await;
    assert_eq!(error["details"]["reason"], "broken_off");
    assert!(text.starts_with("The annual"), "{text}");
    assert_eq!(scene.upstream.received().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_cut_off_before_the_first_token_is_begun_again() {
    let mut scene = Scene::new("early", json!({})).await;
    scene.upstream.will([
        Act::Stream(vec![]),
        Act::Stream(vec![Step::Other(json!({ "role": "assistant", "content": null }))]),
        streamed(&["Fine [1]."]),
    ]);
    assert_eq!(scene.answer(json!({})).await.text, "Fine [1].");
}

#[tokio::test]
async fn garbage_is_an_error_and_no_answer() {
    let mut scene = Scene::new("garbage", json!({ "retries": 0 })).await;
    let raw = |bytes: &[u8]| Act::Stream(vec![Step::Raw(bytes.to_vec()), Step::Hold]);
    let long = [b"data: ".to_vec(), vec![b'x'; 2 << 20]].concat();
    for (act, reason) in [
        (raw(b"data: {not json}\n\n"), "garbled"),
        (raw(b"data: [1, 2]\n\n"), "garbled"),
        (
            raw(b"data: {\"choices\": [{\"delta\": {\"content\": \"\xff\xfe\"}}]}\n\n"),
            "garbled",
        ),
        (raw(&long), "garbled"),
        (raw(b"data: {\"error\": {\"message\": \"out of memory\"}}\n\n"), "server_error"),
        (status(200, "content-type: text/html\r\n", "<html>Welcome</html>"), "broken_off"),
        (status(200, "content-type: application/json\r\n", "{"), "garbled"),
        (streamed(&[" ", "\n"]), "empty"),
    ] {
        scene.upstream.will([act]);
        let (error, text) = scene.failure().await;
        assert_eq!((error["details"]["reason"].as_str(), text.as_str()), (Some(reason), ""), "{error}");
    }
}

#[tokio::test]
async fn refused_connections_fail_or_fall_back_and_say_so() {
    let setup = setup();
    let generator =
        |on_failure: &str| json!({ "kind": "openai", "base_url": setup.dead_url, "model": "m", "retries": 1, "on_failure": on_failure });
    let api = setup.server.api();
    let mut socket = setup.server.socket("/ws/query").await;
    for (name, on_failure) in [("llm-dead", "fail"), ("llm-dead-fallback", "fallback")] {
        api.post(
            "/collections",
            json!({ "name": name, "pipeline": { "generator": generator(on_failure) } }),
        )
        .await
        .expect(201);
        api.ingest(name, &files::report("report.pdf")).await;
        socket
            .query(name, json!({ "query": QUESTIONS[1].0, "collection_name": name }))
            .await;
    }
    let mut ends = Vec::new();
    while ends.len() < 2 {
        ends.extend(socket.receive_until(is_end).await.pop());
    }
    ends.sort_by_key(|end| end["request_id"].to_string());
    let (failed, fell_back) = (&ends[0]["data"], &ends[1]["data"]);
    assert_eq!(
        (&failed["code"], &failed["details"]["reason"]),
        (&json!("LLM_CONNECTION_ERROR"), &json!("unreachable"))
    );
    assert_eq!(fell_back["generator"], json!({ "kind": "extractive" }));
    assert!(fell_back["sources_used"].as_u64() > Some(0), "{fell_back}");
    let warning = &fell_back["warnings"][0];
    let wanted = [
        ("stage", "generator"),
        ("plugin", "openai"),
        ("code", "LLM_CONNECTION_ERROR"),
        ("reason", "unreachable"),
        ("policy", "fallback"),
    ];
    assert!(wanted.iter().all(|(key, value)| warning[key] == *value), "{warning}");
    // Over REST too.
    let answer = api
        .post("/query", json!({ "query": QUESTIONS[1].0, "collection_name": "llm-dead-fallback" }))
        .await
        .expect(200);
    assert_eq!(answer["processing_metadata"]["generator"]["kind"], "extractive");
    assert_eq!(answer["processing_metadata"]["warnings"][0]["reason"], "unreachable");
    let refused = api
        .post("/query", json!({ "query": QUESTIONS[1].0, "collection_name": "llm-dead" }))
        .await;
    refused.error(502, "LLM_CONNECTION_ERROR");
}

#[tokio::test]
async fn a_server_that_is_too_slow_is_given_up() {
    let mut scene = Scene::new("slow", json!({ "first_token_timeout_ms": 300, "idle_timeout_ms": 300 })).await;
    scene.upstream.will([Act::Stream(vec![Step::Hold])]);
    assert_eq!(scene.failure().await.0["details"]["reason"], "timeout");
    let mut steps = Step::texts(&["The ", "annual ", "budget"]);
    steps.push(Step::Hold);
    scene.upstream.will([Act::Stream(steps)]);
    let (error, text) = scene.failure().await;
    assert_eq!(error["details"]["reason"], "timeout");
    assert!(text.starts_with("The"), "{text}");
    for wanted in [Event::Began, Event::Closed, Event::Began, Event::Closed] {
        assert_eq!(scene.upstream.event().await, wanted);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_and_says_so() {
    let mut scene = Scene::new("endless", json!({ "max_tokens": 16 })).await;
    scene.upstream.will([Act::Stream(vec![Step::Flood("and on ", usize::MAX, 0)])]);
    let answer = scene.answer(json!({})).await;
    assert!(answer.text.len() <= 16 * 16, "{}", answer.text);
    assert_eq!(answer.complete["generator"]["finish_reason"], "length");
    assert_eq!(
        (&answer.complete["warnings"][0]["stage"], &answer.complete["warnings"][0]["reason"]),
        (&json!("generator"), &json!("length"))
    );
    assert_eq!(
        [scene.upstream.event().await, scene.upstream.event().await],
        [Event::Began, Event::Closed]
    );
    // As one that the server itself cut.
    scene
        .upstream
        .will([Act::Stream(vec![Step::Delta("Cut".into()), Step::Finish("length"), Step::Done])]);
    assert_eq!(scene.answer(json!({})).await.complete["warnings"][0]["reason"], "length");
}

#[tokio::test]
async fn cancel_closes_the_connection_to_the_model() {
    let mut scene = Scene::new("cancel", json!({})).await;
    let mut steps = Step::texts(&["One ", "two ", "three"]);
    steps.push(Step::Hold);
    scene.upstream.will([Act::Stream(steps)]);
    scene.ask("q", json!({})).await;
    scene.socket.receive_until(|message| message["type"] == "token").await;
    assert_eq!(scene.upstream.event().await, Event::Began);
    let start = Instant::now();
    scene.socket.send(control("q", "cancel")).await;
    assert_eq!(scene.upstream.event().await, Event::Closed);
    eprintln!("from `cancel` to the end of the connection to the model: {:?}", start.elapsed());
    let end = scene.socket.answer("q").await.pop().expect("an end");
    assert_eq!((&end["type"], &end["data"]["status"]), (&json!("complete"), &json!("cancelled")));
    assert_eq!(end["data"]["generator"]["model"], "scripted");
}

#[tokio::test]
async fn cancel_before_the_first_token_closes_the_connection_to_the_model() {
    let mut scene = Scene::new("silent", json!({})).await;
    scene.upstream.will([Act::Stream(vec![Step::Hold])]);
    scene.ask("q", json!({})).await;
    assert_eq!(scene.upstream.event().await, Event::Began);
    scene.socket.send(control("q", "cancel")).await;
    assert_eq!(scene.upstream.event().await, Event::Closed);
    assert_eq!(scene.socket.answer("q").await.pop().expect("an end")["data"]["status"], "cancelled");
}

#[tokio::test]
async fn closing_the_socket_closes_the_connection_to_the_model() {
    let mut scene = Scene::new("closing", json!({})).await;
    scene.upstream.will([Act::Stream(vec![Step::Delta("One".into()), Step::Hold])]);
    scene.ask("q", json!({})).await;
    assert_eq!(scene.upstream.event().await, Event::Began);
    scene.socket.close().await;
    assert_eq!(scene.upstream.event().await, Event::Closed);
}

#[tokio::test]
async fn a_chat_that_is_left_or_cut_closes_the_connection_to_the_model() {
    let scene = Scene::new("leaves", json!({})).await;
    let chat = |more: Value| {
        let mut body = json!({ "model": "llm-leaves", "messages": [{ "role": "user", "content": QUESTIONS[1].0 }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.api.request(reqwest::Method::POST, "/v1/chat/completions").json(&body)
    };
    let endless = || {
        Act::Stream(
            Step::texts(&["One ", "two ", "three ", "four "])
                .into_iter()
                .chain([Step::Hold])
                .collect(),
        )
    };
    // Left in the middle of a stream.
    scene.upstream.will([endless()]);
    let mut reply = chat(json!({ "stream": true })).send().await.expect("an answer");
    within("a piece", reply.chunk()).await.expect("bytes").expect("a piece");
    assert_eq!(scene.upstream.event().await, Event::Began);
    drop(reply);
    assert_eq!(scene.upstream.event().await, Event::Closed);
    // Left before there was an answer: streamed, and whole.
    for stream in [true, false] {
        scene.upstream.will([Act::Stream(vec![Step::Hold])]);
        let waiting = tokio::spawn(chat(json!({ "stream": stream })).send());
        assert_eq!(scene.upstream.event().await, Event::Began);
        waiting.abort();
        assert_eq!(scene.upstream.event().await, Event::Closed);
    }
    // Cut by what the client asked for.
    for (more, reason, text) in [
        (json!({ "max_tokens": 2 }), "length", "One two "),
        (json!({ "max_completion_tokens": 1, "max_tokens": 3 }), "length", "One "),
        (json!({ "stop": "wo th" }), "stop", "One t"),
    ] {
        scene.upstream.will([endless()]);
        let answer = scene.api.send(chat(more)).await.expect(200);
        assert_eq!(
            (&answer["choices"][0]["finish_reason"], &answer["choices"][0]["message"]["content"]),
            (&json!(reason), &json!(text)),
            "{answer}"
        );
        assert_eq!(
            [scene.upstream.event().await, scene.upstream.event().await],
            [Event::Began, Event::Closed]
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_cites_what_its_text_cites() {
    let scene = Scene::new("chat", json!({})).await;
    let ask = async |more: Value| {
        let mut body = json!({ "model": "llm-chat", "messages": [{ "role": "user", "content": QUESTIONS[1].0 }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene
            .upstream
            .will([streamed(&["It is 4.2 million [1]. ", "Most of it pays for servers [1]."])]);
        scene.api.post("/v1/chat/completions", body).await.expect(200)
    };
    let counts = |answer: &Value| {
        let message = &answer["choices"][0]["message"];
        let (annotations, sources) = (message["annotations"].as_array().unwrap(), answer["sources"].as_array().unwrap());
        assert_eq!(annotations.len(), sources.len());
        let content: Vec<char> = message["content"].as_str().unwrap().chars().collect();
        for annotation in annotations {
            let end = annotation["url_citation"]["end_index"].as_u64().unwrap() as usize;
            assert!(end <= content.len(), "a marker that is not there: {answer}");
        }
        (
            annotations.len(),
            answer["choices"][0]["finish_reason"].as_str().unwrap().to_owned(),
        )
    };
    let whole = ask(json!({ "max_tokens": 10_000, "stop": ["nowhere"] })).await;
    let (all, reason) = counts(&whole);
    assert!(all >= 1 && reason == "stop", "{whole}");
    let before = ask(json!({ "stop": [" million"] })).await;
    assert_eq!(counts(&before), (0, "stop".to_owned()), "{before}");
    assert_eq!(before["choices"][0]["message"]["content"], "It is 4.2");
    assert!(before["usage"]["completion_tokens"].as_u64() > Some(1), "{before}");
    let short = ask(json!({ "max_tokens": 4 })).await;
    assert_eq!(counts(&short), (0, "length".to_owned()), "{short}");
}

#[tokio::test]
async fn a_tool_whose_caller_leaves_closes_the_connection_to_the_model() {
    let scene = Scene::new("tool", json!({})).await;
    scene.upstream.will([Act::Stream(vec![Step::Delta("One ".into()), Step::Hold])]);
    let arguments = json!({ "query": QUESTIONS[1].0, "collection_name": "llm-tool" });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "ask", "arguments": arguments } });
    let request = scene
        .api
        .request(reqwest::Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream");
    let waiting = tokio::spawn(request.json(&call).send());
    assert_eq!(scene.upstream.event().await, Event::Began);
    waiting.abort();
    assert_eq!(scene.upstream.event().await, Event::Closed);
}

#[tokio::test]
async fn where_a_model_is_and_what_it_is_told_is_shown_to_those_who_configure() {
    let secret = format!("auth.secret={}", tokens::SECRET);
    let settings = ["auth.enabled=true", &secret, "llm.allowed_base_urls=http://127.0.0.1:9/hidden/v1"];
    let server = Server::start("llm-shown", &settings);
    let generator = json!({
        "kind": "openai", "base_url": "http://127.0.0.1:9/hidden/v1", "model": "scripted",
        "system": "hidden: be brief", "prompt": "hidden: {passages} {question}",
    });
    let api = |scope: &str| server.api().with_token(&tokens::scoped(scope));
    let made = json!({ "name": "shown", "pipeline": { "generator": generator } });
    let answer = api("read write").post("/collections", made).await.expect(201);
    assert!(!answer.to_string().contains("hidden"), "{answer}");
    let document = api("read write").ingest("shown", &files::report("report.pdf")).await;
    let id = document["document_id"].as_str().expect("an id");
    for path in [
        "/collections/shown".to_owned(),
        "/collections/shown/info".to_owned(),
        "/collections/shown/pipeline".to_owned(),
        format!("/documents/{id}"),
    ] {
        for scope in ["read", "read write delete monitor"] {
            let shown = api(scope).get(&path).await.expect(200).to_string();
            assert!(!shown.contains("hidden"), "{scope} {path}: {shown}");
        }
        if path.starts_with("/collections") {
            for scope in ["read config", "admin"] {
                let shown = api(scope).get(&path).await.expect(200);
                assert_eq!(
                    shown["pipeline"]["generator"]["base_url"], "http://127.0.0.1:9/hidden/v1",
                    "{scope} {path}"
                );
                assert_eq!(shown["pipeline"]["generator"]["system"], "hidden: be brief", "{scope} {path}");
                assert_eq!(shown["pipeline"]["generator"]["model"], "scripted");
            }
        }
    }
    let model = api("read").get("/collections/shown/pipeline").await.expect(200);
    assert_eq!(model["pipeline"]["generator"]["model"], "scripted", "the rest is shown: {model}");
    for path in ["/collections", "/v1/models", "/status"] {
        let shown = api("read").get(path).await.expect(200).to_string();
        assert!(!shown.contains("hidden"), "{path}: {shown}");
    }
}

#[tokio::test]
async fn a_pause_holds_the_model_and_a_resume_lets_it_go_on() {
    const EVENTS: usize = 600;
    let mut scene = Scene::new("pause", json!({ "idle_timeout_ms": 600000 })).await;
    let gate = Arc::new(Notify::new());
    let mut steps = Step::texts(&["One ", "two ", "three "]);
    // Far more bytes than all buffers on the way hold.
    steps.extend([
        Step::Gate(gate.clone()),
        Step::Flood("word ", EVENTS, 60_000),
        Step::Delta("end.".into()),
        Step::Finish("stop"),
        Step::Done,
    ]);
    scene.upstream.will([Act::Stream(steps)]);
    scene.ask("q", json!({})).await;
    scene.socket.receive_until(|message| message["type"] == "token").await;
    scene.socket.send(control("q", "pause")).await;
    scene.socket.receive_until(|message| message["data"]["stage"] == "paused").await;
    assert_eq!(scene.upstream.event().await, Event::Began);
    gate.notify_one();
    // If nothing held it, it would be sent to the end instead.
    assert_eq!(scene.upstream.event().await, Event::Held);
    scene.socket.send(control("q", "resume")).await;
    let rest = scene.socket.answer("q").await;
    let words = rest.iter().filter(|message| message["data"]["content"] == "word").count()
        + rest
            .iter()
            .filter(|message| message["data"]["content"].as_str().is_some_and(|text| text.contains("word")))
            .count();
    assert!(words >= EVENTS, "{words} of {EVENTS}");
    assert_eq!(rest.last().expect("an end")["data"]["status"], "completed");
    assert_eq!(scene.upstream.event().await, Event::Sent);
}

#[tokio::test]
async fn with_no_passages_no_model_is_asked() {
    let mut scene = Scene::new("nothing", json!({})).await;
    let answer = scene.answer(json!({ "filters": { "sources": ["no-such-file.pdf"] } })).await;
    assert_eq!(
        answer.text,
        "I found nothing in the collection \"llm-nothing\" that answers this question."
    );
    assert_eq!((answer.citations.len(), scene.upstream.received().len()), (0, 0));
    assert_eq!(answer.complete["generator"], json!({ "kind": "openai" }));
}

#[tokio::test]
async fn what_a_server_does_not_take_is_left_out_and_remembered() {
    let mut scene = Scene::new("quirks", json!({})).await;
    let refusal = |param: &str| {
        json!({ "error": { "message": format!("Unsupported parameter: use {param} otherwise."), "param": param } }).to_string()
    };
    scene.upstream.will([
        status(400, "", &refusal("max_completion_tokens")),
        status(400, "", &refusal("temperature")),
        status(422, "", &refusal("stream_options")),
        streamed(&["Yes [1]."]),
        streamed(&["Again [1]."]),
    ]);
    scene.answer(json!({})).await;
    scene.answer(json!({})).await;
    let received = scene.upstream.received();
    assert_eq!(received.len(), 5);
    for request in &received[3..] {
        let fields = request.body.as_object().unwrap();
        assert!(fields.contains_key("max_completion_tokens"), "{fields:?}");
        assert!(
            ["max_tokens", "temperature", "stream_options"]
                .iter()
                .all(|field| !fields.contains_key(*field)),
            "{fields:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let mut scene = Scene::new("whole", json!({})).await;
    let body = json!({
        "choices": [{ "message": { "role": "assistant", "content": "The budget is 4.2 million dollars [1]." }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 40, "completion_tokens": 9 },
    });
    scene
        .upstream
        .will([status(200, "content-type: application/json; charset=utf-8\r\n", &body.to_string())]);
    let answer = scene.answer(json!({})).await;
    assert_eq!(answer.citations[0]["content"], files::PAGES[1][0]);
    assert_eq!(
        (
            &answer.complete["generator"]["prompt_tokens"],
            &answer.complete["generator"]["completion_tokens"]
        ),
        (&json!(40), &json!(9))
    );
}

#[tokio::test]
async fn what_a_model_thinks_is_not_part_of_its_answer() {
    let mut scene = Scene::new("thinks", json!({})).await;
    let thought = || Step::Other(json!({ "reasoning_content": "Hm, [1] may say so." }));
    scene.upstream.will([
        Act::Stream(vec![
            thought(),
            thought(),
            Step::Delta("Yes [1].".into()),
            Step::Finish("stop"),
            Step::Done,
        ]),
        streamed(&["<th", "ink>Hm, [1]</thi", "nk>\n\nYes [1]."]),
    ]);
    for _ in 0..2 {
        assert_eq!(scene.answer(json!({})).await.text, "Yes [1].");
    }
}

#[tokio::test]
async fn an_answer_that_a_filter_kept_back_is_an_error() {
    let mut scene = Scene::new("filter", json!({})).await;
    scene.upstream.will([Act::Stream(vec![Step::Finish("content_filter"), Step::Done])]);
    assert_eq!(scene.failure().await.0["details"]["reason"], "filtered");
    scene.upstream.will([Act::Stream(vec![
        Step::Delta("Half".into()),
        Step::Finish("content_filter"),
        Step::Done,
    ])]);
    assert_eq!(scene.answer(json!({})).await.complete["warnings"][0]["reason"], "content_filter");
}

#[tokio::test]
async fn https_is_spoken_with_certificates_of_the_operators_own() {
    let url = format!("{}/tls/v1", setup().hub.tls_url);
    let mut scene = Scene::at("tls", &url, json!({})).await;
    scene.upstream.will([streamed(&["Safe [1]."])]);
    assert_eq!(scene.answer(json!({})).await.text, "Safe [1].");
}

#[tokio::test]
async fn pipelines_that_cannot_be_are_refused_and_name_the_key() {
    let setup = setup();
    let api = setup.server.api();
    let good = format!("{}/cites/v1", setup.hub.url);
    for (generator, key, issue) in [
        (
            json!({ "kind": "openai", "base_url": "http://169.254.169.254/latest", "model": "m" }),
            "base_url",
            "operator allows",
        ),
        (
            json!({ "kind": "openai", "base_url": format!("{good}/../../other/v1"), "model": "m" }),
            "base_url",
            "operator allows",
        ),
        (
            json!({ "kind": "openai", "base_url": "file:///etc/passwd", "model": "m" }),
            "base_url",
            "http or https",
        ),
        (json!({ "kind": "openai", "model": "m" }), "base_url", "no default"),
        (json!({ "kind": "openai", "base_url": good }), "model", "no default"),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "prompt": "{passages}" }),
            "prompt",
            "{question}",
        ),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "prompt": "{passages} {question} {x}" }),
            "prompt",
            "unknown placeholder `{x}`",
        ),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "system": "{passages}" }),
            "system",
            "{language}",
        ),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "max_tokens": 500_000 }),
            "max_tokens",
            "at most 1024",
        ),
        (
            json!({ "kind": "openai", "base_url": good, "model": "m", "on_failure": "skip" }),
            "on_failure",
            "fallback",
        ),
        (json!({ "kind": "oracle" }), "kind", "openai"),
        (json!({ "kind": "extractive", "model": "m" }), "model", "extractive"),
    ] {
        let reply = api
            .post(
                "/collections",
                json!({ "name": "llm-refused", "pipeline": { "generator": generator } }),
            )
            .await;
        let error = reply.error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], format!("pipeline.generator.{key}"), "{error}");
        assert!(
            error["details"]["issue"].as_str().is_some_and(|text| text.contains(issue)),
            "{error}"
        );
    }
    api.get("/collections/llm-refused/info").await.error(404, "COLLECTION_NOT_FOUND");
}

#[tokio::test]
async fn the_settings_name_the_generator_of_pipelines_that_name_none_and_their_key_is_never_shown() {
    const KEY: &str = "sk-test-4711-secret";
    let hub = Hub::start(&["default"], None);
    let upstream = Upstream::of(&hub, "default");
    let home = tempfile::tempdir().unwrap();
    let key_file = home.path().join("key");
    std::fs::write(&key_file, format!("{KEY}\n")).unwrap();
    let settings = [
        format!("llm.base_url={}/default/v1", hub.url),
        "llm.model=house-model".to_owned(),
        format!("llm.api_key_file={}", key_file.display()),
        "llm.on_failure=fallback".to_owned(),
        "llm.retries=0".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Server::start("llm-default", &settings);
    let api = server.api();
    upstream.lists(401, &[]);
    let health = api.get("/health").await.expect(200);
    assert_eq!(
        (&health["status"], &health["services"]["llm_service"]["status"]),
        (&json!("degraded"), &json!("unhealthy")),
        "{health}"
    );
    assert!(
        health["services"]["llm_service"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("llm.api_key")),
        "{health}"
    );

    api.ingest(
        "documents",
        &File::new("note.txt", "The annual budget of the IT department amounts to 4.2 million dollars."),
    )
    .await;
    upstream.will([streamed(&["It amounts to 4.2 million dollars [1]."])]);
    let answer = api.post("/query", json!({ "query": QUESTIONS[1].0 })).await.expect(200);
    assert_eq!(answer["processing_metadata"]["generator"]["model"], "house-model");
    assert_eq!(upstream.received()[0].header["authorization"], format!("Bearer {KEY}"));

    upstream.will([status(401, "", &format!("wrong key {KEY}"))]);
    let fell_back = api.post("/query", json!({ "query": QUESTIONS[1].0 })).await.expect(200);
    assert_eq!(fell_back["processing_metadata"]["warnings"][0]["reason"], "unauthorized");
    let log = server.log();

    // The command line tells of both.
    upstream.will([status(503, "", "")]);
    let run = |arguments: &[&str]| {
        let mut command = program(home.path());
        command
            .args(arguments)
            .env("IBID_SERVER", server.url())
            .env("IBID_SHARE_DIR", share());
        command
            .env("IBID_DATA_DIR", server.data_dir())
            .env("IBID_SERVER_LISTEN", server.address());
        command
            .env("IBID_LLM_BASE_URL", format!("{}/default/v1", hub.url))
            .env("IBID_LLM_MODEL", "house-model");
        command.env("IBID_LLM_API_KEY", KEY);
        async move {
            let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(&done.stdout), text(&done.stderr))
        }
    };
    let (out, notes) = run(&["ask", QUESTIONS[1].0]).await;
    assert!(
        out.contains("4.2 million") && notes.contains("Warning: the language model's server failed"),
        "{out}{notes}"
    );
    let (doctor, _) = run(&["doctor"]).await;
    assert!(doctor.contains("refuses this server's key"), "{doctor}");
    upstream.lists(200, &["house-model:latest"]);
    let (doctor, _) = run(&["doctor"]).await;
    assert!(doctor.contains("and has `house-model`"), "{doctor}");
    let (settings, _) = run(&["config"]).await;
    assert!(settings.contains("#api_key = \"(hidden)\""), "{settings}");

    let extractive = json!({ "name": "own", "pipeline": { "generator": { "kind": "extractive" } } });
    api.post("/collections", extractive).await.expect(201);
    let none = api
        .post("/query", json!({ "query": "Anything?", "collection_name": "own" }))
        .await
        .expect(200);
    assert_eq!(none["processing_metadata"]["generator"]["kind"], "extractive");
    let everything = [answer, fell_back, health].map(|value| value.to_string()).concat() + &log + &server.log() + &doctor + &settings;
    assert!(log.contains("wrong key (hidden)"), "the refusal is not in the log: {log}");
    assert!(!everything.contains(KEY), "the key is shown");
}
