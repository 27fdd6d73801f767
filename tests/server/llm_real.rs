//! Answers by a language model over a real server of such models: llama.cpp's, from PyPI, with a tiny model that the test
//! makes (`tests/support/tiny_llm.py`).

use crate::support::files::{self, QUESTIONS};
use crate::support::{Is, Server, answered, has, within};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// What the model writes: a marker in three tokens, as models have it.
const WORDS: [&str; 15] = [
    "The",
    " annual",
    " budget",
    " of",
    " the",
    " IT",
    " department",
    " amounts",
    " to",
    " 4.2",
    " million",
    " dollars ",
    "[",
    "1",
    "].",
];

/// llama.cpp's server for Python: below `target/`, fetched where it is not there yet.
async fn packages() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (home, wanted) = (root.join("target/llm-server"), root.join("tests/support/llm-requirements.txt"));
    let installed = home.join("installed.txt");
    let requirements = fs::read(&wanted).expect("the requirements");
    if !fs::read(&installed).is_ok_and(|installed| installed == requirements) {
        let _ = fs::remove_dir_all(&home);
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ];
        run(Command::new("python3").args(pip).arg("-r").arg(&wanted).arg("--target").arg(&home)).await;
        fs::write(installed, requirements).expect("noting what is installed");
    }
    home
}

async fn run(command: &mut Command) {
    let done = within("the language model's server to be installed", command.kill_on_drop(true).output())
        .await
        .expect("running it");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// llama.cpp's server with the tiny model; ends when dropped.
async fn llama() -> (Child, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/tiny_llm.py");
    let mut child = Command::new("python3")
        .env("PYTHONPATH", packages().await)
        .arg(script)
        .arg(Value::from(WORDS.to_vec()).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("python");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let url = within("llama.cpp's server to listen", lines.next_line())
        .await
        .expect("its output")
        .expect("its address");
    (child, url)
}

#[tokio::test]
async fn llama_cpp_streams_an_answer_with_an_exact_citation() {
    let (_llama, url) = llama().await;
    let settings = [format!("llm.base_url={url}/v1"), "llm.model=tiny".to_owned()];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Server::start("llm-real", &settings);
    let api = server.api();
    let health = api.get("/health").await.expect(200);
    has(
        &health["services"]["llm_service"],
        &[("status", Is::Text), ("response_time", Is::Number)],
    );
    assert_eq!(
        (&health["status"], &health["services"]["llm_service"]["status"]),
        (&json!("healthy"), &json!("healthy")),
        "{health}"
    );

    api.ingest("documents", &files::report("report.pdf")).await;
    let mut socket = server.socket("/ws/query").await;
    for (id, more) in [("a", json!({})), ("b", json!({ "temperature": 1.5, "language": "de" }))] {
        let mut data = json!({ "query": QUESTIONS[1].0 });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        socket.query(id, data).await;
        let answer = answered(&socket.answer(id).await);
        assert_eq!(
            answer.text,
            "The annual budget of the IT department amounts to 4.2 million dollars [1]."
        );
        assert!(answer.tokens.len() > 10, "not streamed: {:?}", answer.tokens);
        assert_eq!(answer.citations.len(), 1);
        assert!(
            files::PAGES.concat().contains(&answer.citations[0]["content"].as_str().unwrap()),
            "{}",
            answer.citations[0]
        );
        let generator = &answer.complete["generator"];
        assert_eq!(
            (&generator["kind"], &generator["model"], &generator["finish_reason"]),
            (&json!("openai"), &json!("tiny"), &json!("stop"))
        );
        // The words, and the end.
        assert_eq!(generator["completion_tokens"], WORDS.len() + 1, "{generator}");
        assert!(generator["prompt_tokens"].as_u64() > Some(100), "{generator}");
    }
}
