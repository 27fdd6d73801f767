//! The commands of `ibid`, as people and scripts use them.

use crate::support::files::{self, QUESTIONS};
use crate::support::process::{program, share};
use crate::support::{Is, Server, has, within};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

/// What a command printed, and how it ended.
pub struct Output {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Output {
    /// What it printed, of a command that must have succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self.out
    }

    /// The same as JSON.
    pub fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("no JSON ({error}): {out}"))
    }

    /// What it said, of a command that must have failed with this code.
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        assert!(!self.err.is_empty(), "failed without a word");
        self.err
    }
}

/// A directory to run commands in.
pub fn home() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

pub async fn ibid(home: &Path, args: &[&str]) -> Output {
    with_variables(home, &[], args).await
}

async fn with_variables(home: &Path, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = program(home);
    command.args(args).envs(variables.iter().copied());
    let output = within("a command", tokio::process::Command::from(command).kill_on_drop(true).output())
        .await
        .expect("running ibid");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Output {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

#[tokio::test]
async fn ingest_ask_search_and_list() {
    let home = home();
    let server = ["--server", Server::shared().url(), "--collection", "cli"];
    for file in [files::report("report.pdf"), files::handbook("handbook.md")] {
        std::fs::write(home.path().join(&file.name), &file.bytes).expect("writing");
    }
    let run = async |args: &[&str]| ibid(home.path(), &[args, &server].concat()).await;

    let out = run(&["ingest", "report.pdf", "handbook.md"]).await.ok();
    assert!(
        out.contains("report.pdf: 4 pages, ") && out.contains("handbook.md: ") && out.contains("2 of 2 added"),
        "{out}"
    );
    let again = run(&["ingest", "report.pdf", "--json"]).await.json();
    assert_eq!(again["uploaded_documents"][0]["status"], "duplicate", "{again}");

    let out = run(&["ask", QUESTIONS[1].0]).await.ok();
    assert!(
        out.contains("4.2 million dollars") && out.contains("[1] report.pdf, page 2: “"),
        "{out}"
    );
    let asked = run(&["ask", "--json", "--mode", "comprehensive", QUESTIONS[2].0]).await.json();
    assert_eq!(
        (&asked["citations"][0]["page"], &asked["complete"]["processing_mode"]),
        (&json!(3), &json!("comprehensive"))
    );
    assert!(asked["answer"].as_str().is_some_and(|text| text.contains("[1]")));

    let out = run(&["search", "north", "stairs"]).await.ok();
    assert!(out.starts_with("1. handbook.md"), "{out}");
    let found = run(&["search", "--json", "--limit", "1", "--type", "keyword", "turbines"])
        .await
        .json();
    assert_eq!(
        (&found["results"][0]["metadata"]["source"], &found["total_results"]),
        (&json!("report.pdf"), &json!(1))
    );

    let server = &server[..2];
    let out = ibid(home.path(), &[&["collections"], server].concat()).await.ok();
    assert!(out.lines().any(|line| line.starts_with("cli ") && line.contains(" 2 ")), "{out}");
    let info = ibid(home.path(), &[&["collections", "info", "cli"], server].concat()).await.json();
    assert_eq!(info["total_documents"], 2);
    let list = ibid(home.path(), &[&["documents", "--json", "--collection", "cli"], server].concat())
        .await
        .json();
    let id = list["documents"][0]["document_id"].as_str().expect("an id").to_owned();
    assert!(
        ibid(home.path(), &[&["documents", "show", &id], server].concat())
            .await
            .ok()
            .contains(&id)
    );
    // Nobody is there to say yes.
    assert!(
        ibid(home.path(), &[&["documents", "delete", &id], server].concat())
            .await
            .failed(2)
            .contains("--yes")
    );
    ibid(home.path(), &[&["documents", "delete", "--yes", &id], server].concat())
        .await
        .ok();
    let err = ibid(home.path(), &[&["documents", "show", &id], server].concat()).await.failed(1);
    assert!(err.contains("RESOURCE_NOT_FOUND"), "{err}");
}

#[tokio::test]
async fn a_file_that_fails_does_not_keep_the_others_out() {
    let home = home();
    std::fs::write(home.path().join("broken.pdf"), "no PDF").expect("writing");
    std::fs::write(home.path().join("report.pdf"), files::report("report.pdf").bytes).expect("writing");
    let output = ibid(
        home.path(),
        &[
            "ingest",
            "broken.pdf",
            "report.pdf",
            "--server",
            Server::shared().url(),
            "--collection",
            "cli-fails",
        ],
    )
    .await;
    assert!(
        output.out.contains("broken.pdf: FAILED: ") && output.out.contains("report.pdf: 4 pages"),
        "{}",
        output.out
    );
    output.failed(1);
    let documents = Server::shared().api().documents("cli-fails").await;
    let states: Vec<(&Value, &Value)> = documents
        .iter()
        .map(|document| (&document["filename"], &document["status"]))
        .collect();
    assert_eq!(
        states,
        [(&json!("broken.pdf"), &json!("failed")), (&json!("report.pdf"), &json!("ready"))]
    );
}

#[tokio::test]
async fn errors_of_the_server_are_shown_with_their_code_and_a_remedy() {
    let home = home();
    let err = ibid(
        home.path(),
        &["ask", "--server", Server::shared().url(), "--collection", "cli-none", "?"],
    )
    .await
    .failed(1);
    assert!(err.contains("COLLECTION_NOT_FOUND") && err.contains("ibid collections"), "{err}");
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let url = format!("http://{free}");
    for command in [&["ask", "?"][..], &["search", "?"], &["collections"]] {
        let err = ibid(home.path(), &[command, &["--server", &url]].concat()).await.failed(3);
        assert!(err.contains(&url) && err.contains("serve"), "{err}");
    }
}

#[tokio::test]
async fn doctor_finds_nothing_where_all_is_well_and_names_the_remedy_where_it_is_not() {
    let (home, share) = (home(), share());
    let share = share.to_str().expect("UTF-8");
    let report = ibid(
        home.path(),
        &[
            "doctor",
            "--json",
            "--share-dir",
            share,
            "--data-dir",
            "data",
            "--server",
            Server::shared().url(),
        ],
    )
    .await
    .json();
    assert_eq!(report["broken"], 0, "{report}");
    for check in report["checks"].as_array().expect("checks") {
        has(check, &[("name", Is::Text), ("state", Is::Text), ("detail", Is::Text)]);
        assert_eq!(check["state"], "ok", "{check}");
    }
    let output = ibid(home.path(), &["doctor", "--share-dir", "nowhere", "--data-dir", "data"]).await;
    assert!(output.out.contains("make setup"), "{}", output.out);
    output.failed(1);
}

#[tokio::test]
async fn serving_without_its_parts_says_what_to_do() {
    let home = home();
    let err = ibid(
        home.path(),
        &["serve", "--listen", "127.0.0.1:0", "--share-dir", "nowhere", "--data-dir", "data"],
    )
    .await
    .failed(1);
    assert!(err.contains("doctor"), "{err}");
    let err = ibid(
        home.path(),
        &[
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--share-dir",
            share().to_str().expect("UTF-8"),
            "--data-dir",
            "data",
        ],
    )
    .await
    .failed(1);
    assert!(
        err.contains("127.0.0.1"),
        "a server that asks nobody who they are is not put on the network: {err}"
    );
}

#[tokio::test]
async fn config_prints_what_holds_in_rising_order() {
    let home = home();
    std::fs::write(
        home.path().join("ibid.toml"),
        "[server]\nlisten = \"127.0.0.1:1111\"\nmax_connections = 7\n[query]\nmax_concurrent = 3\n",
    )
    .expect("writing");
    let variables = [("IBID_SERVER_LISTEN", "127.0.0.1:2222"), ("IBID_SERVER_MAX_CONNECTIONS", "8")];
    let config = with_variables(home.path(), &variables, &["config", "--json", "--listen", "127.0.0.1:3333"])
        .await
        .json();
    let value = |key: &str| config[key]["value"].clone();
    assert_eq!(value("server.listen"), "127.0.0.1:3333", "a flag wins");
    assert_eq!(value("server.max_connections"), 8, "then a variable");
    assert_eq!(value("query.max_concurrent"), 3, "then the file");
    assert_eq!(value("default_collection"), "documents", "then the default");
    // What it prints is a settings file.
    let printed = with_variables(home.path(), &variables, &["config"]).await.ok();
    std::fs::write(home.path().join("copy.toml"), &printed).expect("writing");
    let copy = ibid(home.path(), &["config", "--json", "--config", "copy.toml"]).await.json();
    assert_eq!(
        (&copy["server.listen"]["value"], &copy["query.max_concurrent"]["value"]),
        (&json!("127.0.0.1:2222"), &json!(3)),
        "{printed}"
    );
}

#[tokio::test]
async fn unknown_settings_are_errors_wherever_they_stand() {
    let home = home();
    std::fs::write(home.path().join("typo.toml"), "[server]\nlistne = \"127.0.0.1:1\"\n").expect("writing");
    for command in ["config", "serve"] {
        let err = ibid(home.path(), &[command, "--config", "typo.toml"]).await.failed(2);
        assert!(
            err.contains("server.listne") && err.contains("server.listen") && err.contains("typo.toml"),
            "{err}"
        );
        let err = ibid(home.path(), &[command, "--set", "server.lissten=127.0.0.1:1"]).await.failed(2);
        assert!(err.contains("server.lissten") && err.contains("`server.listen`"), "{err}");
        let err = with_variables(home.path(), &[("IBID_SERVER_LISTNE", "127.0.0.1:1")], &[command])
            .await
            .failed(2);
        assert!(err.contains("IBID_SERVER_LISTNE"), "{err}");
        let err = ibid(home.path(), &[command, "--set", "server.max_connections=many"])
            .await
            .failed(2);
        assert!(err.contains("server.max_connections"), "{err}");
    }
}

#[tokio::test]
async fn help_teaches_every_command() {
    let home = home();
    let help = ibid(home.path(), &["--help"]).await.ok();
    for command in [
        "serve",
        "ingest",
        "ask",
        "search",
        "collections",
        "documents",
        "doctor",
        "eval",
        "config",
        "model",
    ] {
        assert!(help.contains(command), "{command}: {help}");
        let own = ibid(home.path(), &[command, "--help"]).await.ok();
        assert!(own.contains("Usage: ibid "), "{own}");
    }
    assert!(help.contains("ibid ask ") && help.contains("Exit codes"), "{help}");
    assert!(ibid(home.path(), &["--version"]).await.ok().starts_with("ibid "));
    ibid(home.path(), &["aks", "?"]).await.failed(2);
    ibid(home.path(), &["ask"]).await.failed(2);
}

#[tokio::test]
async fn pipelines_are_shown_compared_checked_and_set() {
    let home = home();
    let server = Server::shared();
    let api = server.api();
    api.post("/collections", json!({ "name": "cli-pipeline" })).await.expect(201);
    let run = async |args: &[&str]| ibid(home.path(), &[&["pipeline"], args, &["--server", server.url()]].concat()).await;
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).expect("writing");

    let shown = run(&["show", "cli-pipeline"]).await.ok();
    write("same.toml", &shown);
    let same = run(&["diff", "cli-pipeline", "same.toml"]).await;
    assert!(same.err.contains("No difference"), "{}", same.err);
    assert_eq!(same.ok(), "");
    assert!(run(&["set", "cli-pipeline", "same.toml"]).await.ok().contains("already"));

    write("new.toml", "[citations]\nplugin = \"footnotes\"\n");
    let diff = run(&["diff", "cli-pipeline", "new.toml"]).await;
    assert!(diff.err.contains("No document has to be made again"), "{}", diff.err);
    let diff = diff.ok();
    assert!(
        diff.contains("-plugin = \"numeric@^1\"") && diff.contains("+plugin = \"footnotes\""),
        "{diff}"
    );
    assert!(run(&["validate", "new.toml"]).await.ok().contains("would run"));
    assert_eq!(run(&["set", "cli-pipeline", "new.toml", "--json"]).await.json()["changed"], true);
    let lock = run(&["show", "cli-pipeline", "--lock", "--json"]).await.json();
    assert_eq!(lock["plugins"]["citations"]["name"], "footnotes");

    // Where documents have to be made again, it asks, and can be waited for.
    api.ingest("cli-pipeline", &files::volume(63, 30)).await;
    write("chunker.toml", "[chunker]\nplugin = \"sentences\"\n");
    let err = run(&["set", "cli-pipeline", "chunker.toml"]).await.failed(2);
    assert!(err.contains("re-chunk 1 document") && err.contains("--yes"), "{err}");
    let out = run(&["set", "cli-pipeline", "chunker.toml", "--yes", "--wait"]).await.ok();
    assert!(out.contains("is re-indexed"), "{out}");
    let again = run(&["reindex", "cli-pipeline", "--redo", "re-chunk", "--yes", "--wait", "--json"])
        .await
        .json();
    assert_eq!(
        (&again["reindex"]["status"], &again["redo"]),
        (&json!("success"), &json!("re-chunk")),
        "{again}"
    );
    assert!(run(&["cancel", "cli-pipeline"]).await.failed(1).contains("CONFLICT"));

    write("wrong.json", r#"{ "chunker": { "plugin": "no-such" } }"#);
    for command in [
        &["validate", "wrong.json"][..],
        &["set", "cli-pipeline", "wrong.json"],
        &["diff", "cli-pipeline", "wrong.json"],
    ] {
        let err = run(command).await.failed(1);
        assert!(err.contains("pipeline.chunker.plugin") && err.contains("VALIDATION_ERROR"), "{err}");
    }
    write("broken.toml", "[citations");
    assert!(run(&["validate", "broken.toml"]).await.failed(2).contains("broken.toml"));
    let schema = ibid(home.path(), &["pipeline", "schema"]).await.json();
    assert_eq!(schema, api.get("/pipelines/schema").await.expect(200));
}

#[tokio::test]
async fn a_conversation_from_a_pipe() {
    let home = home();
    let server = ["--server", Server::shared().url(), "--collection", "cli-chat"];
    std::fs::write(home.path().join("report.pdf"), files::report("report.pdf").bytes).expect("writing");
    ibid(home.path(), &[&["ingest", "report.pdf"], &server[..]].concat()).await.ok();
    let lines = format!("{}\n\n/mode speed\n{}\n/quit\nnever asked\n", QUESTIONS[1].0, QUESTIONS[2].0);
    let chat = async |args: &[&str]| {
        let mut command = program(home.path());
        command
            .args([args, &server].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("running ibid");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(lines.as_bytes()).await.expect("writing");
        drop(input);
        let output = within("a conversation", child.wait_with_output()).await.expect("its output");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let out = chat(&["chat", "--json"]).await;
    let answers: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert_eq!(answers.len(), 2, "{out}");
    assert_eq!(answers[0]["citations"][0]["page"], 2, "{out}");
    assert_eq!(
        (&answers[1]["question"], &answers[1]["complete"]["processing_mode"]),
        (&json!(QUESTIONS[2].0), &json!("speed"))
    );
    let out = chat(&["chat"]).await;
    assert!(
        out.contains("4.2 million dollars") && out.contains("[1] report.pdf, page 2: “"),
        "{out}"
    );
}

#[tokio::test]
async fn shells_and_man_learn_the_commands() {
    let home = home();
    for shell in ["bash", "zsh", "fish"] {
        let script = ibid(home.path(), &["completions", shell]).await.ok();
        assert!(script.contains("ingest") && script.contains("max-results"), "{shell}");
    }
    ibid(home.path(), &["man", "man1"]).await.ok();
    let page = std::fs::read_to_string(home.path().join("man1/ibid-chat.1")).expect("a page");
    assert!(page.contains(".TH") && page.contains("questions.txt"), "{page}");
    assert!(home.path().join("man1/ibid-plugin-new.1").is_file());
}
