//! What an author does against a running server: `ibid plugin dev`, the plugin's log, and `ibid plugin bench`.

use crate::support::process::{binary, program, share};
use crate::support::{Server, within};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};

/// Reads on until a line contains `wanted`, and returns it.
async fn until(lines: &mut Lines<BufReader<impl tokio::io::AsyncRead + Unpin>>, wanted: &str) -> String {
    let mut seen = Vec::new();
    let found = within(wanted, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(wanted) {
                return Some(line);
            }
            seen.push(line);
        }
        None
    });
    let found = found.await;
    found.unwrap_or_else(|| panic!("ended without {wanted:?}: {}", seen.join("\n")))
}

fn make(home: &Path, name: &str) -> std::path::PathBuf {
    let made = json_of(program(home).args(["plugin", "new", "--kind", "analyzer", "--json", name]));
    assert_eq!((&made["name"], &made["kind"]), (&json!(name), &json!("analyzer")));
    assert!(made["files"].as_array().is_some_and(|files| files.len() > 3), "{made}");
    home.join(made["dir"].as_str().unwrap())
}

/// What a command prints as JSON.
fn json_of(command: &mut std::process::Command) -> Value {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn a_project_is_made_built_and_tested_by_a_program() {
    let home = tempfile::tempdir().unwrap();
    let dir = make(home.path(), "scripted");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/wasm");
    let mut build = program(home.path());
    build
        .args(["plugin", "build", "scripted", "--json", "--out", "out", "--target-dir"])
        .arg(target);
    let built = &json_of(&mut build)["plugins"][0];
    assert_eq!((&built["name"], &built["changed"]), (&json!("scripted"), &json!(true)));
    let component = home.path().join(built["file"].as_str().unwrap());
    assert_eq!(fs::metadata(&component).unwrap().len(), built["size"].as_u64().unwrap());
    let test = || {
        let mut command = program(home.path());
        command
            .args(["plugin", "test", "scripted", "--json", "--component"])
            .arg(&component);
        command
    };
    let fixtures = json_of(&mut test())["fixtures"].as_array().unwrap().clone();
    assert!(
        !fixtures.is_empty() && fixtures.iter().all(|fixture| fixture["end"] == "passed"),
        "{fixtures:?}"
    );
    // What is not as expected is told as well, and the command fails.
    let first = dir
        .join("fixtures")
        .join(fixtures[0]["name"].as_str().unwrap())
        .join("expected.txt");
    fs::write(first, "something else").unwrap();
    let done = test().output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (&report["fixtures"][0]["end"], &report["fixtures"][0]["good"]),
        (&json!("differs"), &json!(false))
    );
}

#[tokio::test]
async fn a_change_of_the_sources_is_in_the_server_with_the_next_question_and_its_log_is_shown() {
    let server = Server::start("dev", &[]);
    let api = server.api();
    api.get("/plugins/watched/log").await.error(404, "RESOURCE_NOT_FOUND");
    let home = tempfile::tempdir().unwrap();
    let dir = make(home.path(), "watched");
    let source = dir.join("src/lib.rs");
    let original = fs::read_to_string(&source).unwrap();
    let edit = |words: &str| {
        let line = format!("let phrases = phrases(question);\n        ibid_plugin::log::info(&format!(\"{words} {{question}}\"));");
        let edited = original.replace("let phrases = phrases(question);", &line);
        assert_ne!(edited, original);
        fs::write(&source, edited).unwrap();
    };
    edit("first");

    let mut command = tokio::process::Command::new(binary());
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/wasm");
    command
        .args(["plugin", "dev", "watched", "--target-dir"])
        .arg(target)
        .current_dir(home.path())
        .env("IBID_SERVER", server.url())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    let mut notes = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut log = BufReader::new(process.stdout.take().unwrap()).lines();
    until(&mut notes, "Installed watched 0.1.0 (analyzer)").await;
    until(&mut notes, "Watching watched").await;

    let pipeline = json!({ "analyzer": { "plugin": "watched" } });
    api.post("/collections", json!({ "name": "dev", "pipeline": pipeline }))
        .await
        .expect(201);
    let ask = async || {
        api.post("/query", json!({ "query": "Who goes there?", "collection_name": "dev" }))
            .await
            .expect(200);
    };
    // The log is followed from its installation on, which this side cannot see: ask until it is.
    let line = loop {
        ask().await;
        let shown = tokio::time::timeout(std::time::Duration::from_millis(500), log.next_line()).await;
        if let Ok(line) = shown {
            break line.unwrap().unwrap();
        }
    };
    assert!(line.contains("INFO") && line.contains("first Who goes there?"), "{line}");

    edit("second");
    until(&mut notes, "Installed watched").await;
    ask().await;
    until(&mut log, "second Who goes there?").await;

    fs::write(&source, "this is no Rust").unwrap();
    until(&mut notes, "does not compile").await;
    ask().await;
    until(&mut log, "second Who goes there?").await;
    edit("third");
    until(&mut notes, "Installed watched").await;
    ask().await;
    until(&mut log, "third Who goes there?").await;

    // The stream of its log ends with the server.
    server.terminate();
    process.start_kill().unwrap();
    process.wait().await.unwrap();
}

#[tokio::test]
async fn a_benchmark_sets_a_plugin_beside_the_shipped_one() {
    let home = tempfile::tempdir().unwrap();
    let run = |kind: &'static str, plugin: &str| {
        let mut command = program(home.path());
        command
            .args(["plugin", "bench", "--json", "--seconds", "1", "--component"])
            .arg(share().join(format!("plugins/{plugin}.wasm")))
            .env("IBID_SHARE_DIR", share());
        async move {
            let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            let report: Value = serde_json::from_slice(&done.stdout).unwrap();
            assert_eq!(report["kind"], kind);
            report["plugins"].as_array().unwrap().clone()
        }
    };
    for (kind, plugin, shipped) in [
        ("extractor", "markdown", "text"),
        ("chunker", "structure", "recursive"),
        ("analyzer", "passthrough", "rules"),
        ("formatter", "footnotes", "numeric"),
    ] {
        let measured = run(kind, plugin).await;
        let names: Vec<&str> = measured.iter().map(|plugin| plugin["name"].as_str().unwrap()).collect();
        assert_eq!(names, [plugin, shipped]);
        for plugin in &measured {
            assert!(plugin["calls"].as_u64().unwrap() >= 5, "{plugin}");
            assert!(plugin["call_p99_us"].as_f64() >= plugin["call_p50_us"].as_f64(), "{plugin}");
            assert!(
                plugin["call_p50_us"].as_f64().unwrap() > 0.0 && plugin["peak_memory_bytes"].as_u64().unwrap() > 0,
                "{plugin}"
            );
        }
    }
    let mut command = program(home.path());
    command
        .args(["plugin", "bench", "--component"])
        .arg(share().join("plugins/rules.wasm"));
    command.arg("--beside").arg(share().join("plugins/numeric.wasm"));
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(String::from_utf8_lossy(&done.stderr).contains("not of one kind"));
}
