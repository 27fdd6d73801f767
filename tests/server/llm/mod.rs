//! Answers by a language model, with a scripted server in place of one: it answers well, slowly, badly, or not at all.

mod closing;
mod failures;
mod pipelines;

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
