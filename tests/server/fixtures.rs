//! The fixtures of the shipped plugins (`plugins/`) and of the examples (`examples/plugins/`), in the host that the server uses.
//!
//! The examples are projects as outsiders have them: in Rust, JavaScript and Python, each with tests of its own.

use crate::support::api::Api;
use crate::support::files::File;
use crate::support::process::{Server, share};
use ibid_plugin_author::{self as author, BuildOptions, FixtureEnd};
use ibid_plugin_host::{Host, HostSettings};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Directories in `parent` that hold a plugin, by name.
fn plugins(parent: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(parent)).unwrap().flatten().map(|entry| entry.path());
    let found: BTreeSet<PathBuf> = entries.filter(|dir| dir.join(author::SOURCE_FILE).is_file()).collect();
    found.into_iter().collect()
}

fn host() -> Host {
    Host::new(HostSettings::default()).unwrap()
}

async fn passes(host: &Host, component: &Path, dir: &Path) {
    let plugin = host.load(&fs::read(component).unwrap()).unwrap_or_else(|error| panic!("{error}"));
    for report in author::test(host, &plugin, dir, false).await.unwrap() {
        assert_eq!(report.end, FixtureEnd::Passed, "{} {}", dir.display(), report.name);
    }
}

#[tokio::test]
async fn the_shipped_plugins_do_what_their_fixtures_say() {
    let host = host();
    let dirs = plugins("plugins");
    assert!(dirs.len() >= 14, "{dirs:?}");
    for dir in dirs {
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        passes(&host, &share().join(format!("plugins/{name}.wasm")), &dir).await;
    }
}

#[tokio::test]
async fn the_examples_are_built_pass_their_tests_and_serve() {
    let out = tempfile::tempdir().unwrap();
    let dirs = plugins("examples/plugins");
    let names: Vec<&str> = dirs.iter().map(|dir| dir.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["abbreviations", "interview", "subtitles"]);
    let options = BuildOptions {
        out: out.path().to_owned(),
        target_dir: Some(root().join("target/wasm")),
        install: true,
        report: &|line| eprintln!("{line}"),
    };
    let built = author::build(&dirs, &options).unwrap_or_else(|error| panic!("{error}"));
    let host = host();
    for (dir, built) in dirs.iter().zip(&built) {
        passes(&host, &built.path, dir).await;
    }
    let target = root().join("target/plugins");
    for (dir, program, arguments) in [
        (&dirs[0], "npm", &["test"][..]),
        (&dirs[1], "python3", &["-m", "unittest", "discover", "tests"]),
        (&dirs[2], "cargo", &["test", "--quiet", "--locked"]),
    ] {
        let mut command = Command::new(program);
        let done = command
            .args(arguments)
            .current_dir(dir)
            .env("CARGO_TARGET_DIR", &target)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{}: {said}", dir.display());
    }

    let server = Server::start("examples", &[]);
    let api = server.api();
    for built in &built {
        let bytes = fs::read(&built.path).unwrap();
        api.send(api.request(reqwest::Method::POST, "/plugins").body(bytes))
            .await
            .expect(201);
    }
    answers(&api).await;
}

/// A film and an interview are asked for what they say, in other words than theirs.
async fn answers(api: &Api) {
    let pipeline = serde_json::json!({
        "chunker": { "plugin": "interview" },
        "analyzer": { "plugin": "abbreviations", "config": { "meanings": { "MTBF": "mean time between failures" } } },
    });
    let made = api
        .post("/collections", serde_json::json!({ "name": "examples", "pipeline": pipeline }))
        .await;
    made.expect(201);
    let film = "WEBVTT\n\n00:03:10.000 --> 00:03:14.000\n<v Ann>The mean time between failures\n\n\
                00:03:14.000 --> 00:03:18.000\n<v Ann>of the pump is nine thousand hours.\n";
    let film = api.ingest("examples", &File::new("film.vtt", film)).await;
    let interview = "ANN: How long does the warranty last?\nBob: Two years, for parts and for labour.\n";
    api.ingest("examples", &File::new("interview.txt", interview)).await;

    let ask = async |query: &str| {
        let body = serde_json::json!({ "query": query, "collection_name": "examples", "mode": "comprehensive" });
        api.post("/query", body).await.expect(200)
    };
    let answer = ask("What is the MTBF of the pump?").await;
    let source = &answer["sources"][0]["metadata"];
    assert_eq!(
        (&source["document_id"], &source["page"]),
        (&film["document_id"], &serde_json::json!(4)),
        "{answer}"
    );
    // The question is in the answer's context, so that both are found by it.
    let search = serde_json::json!({ "query": "How long is the warranty?", "collection_name": "examples", "limit": 2 });
    let found = api.search(search).await;
    let texts: Vec<&str> = found.iter().map(|hit| hit["content"].as_str().unwrap()).collect();
    assert!(texts.contains(&"Bob: Two years, for parts and for labour."), "{texts:?}");
}
