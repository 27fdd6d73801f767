//! `/plugins`: installing, replacing and removing while the server works, and pipelines that go on when a plugin fails.
//! The plugins are those of `tests/hostile`, built from source.

use crate::support::files::QUESTIONS;
use crate::support::{Api, Server, files, query};
use ibid_plugin_author::{self as author, BuildOptions};
use ibid_plugin_host::{Manifest, digest_of};
use reqwest::Method;
use semver::Version;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Chunker, analyzer, formatter and semantic chunker.
pub(crate) static GUESTS: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dirs: Vec<PathBuf> = ["chunker", "analyzer", "formatter", "semantic"]
        .iter()
        .map(|name| root.join("tests/hostile").join(name))
        .collect();
    let options = BuildOptions {
        out: Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed"),
        target_dir: Some(root.join("target/wasm")),
        install: true,
        report: &|line| eprintln!("{line}"),
    };
    let built = author::build(&dirs, &options).unwrap_or_else(|error| panic!("{error}"));
    let bytes: Vec<Vec<u8>> = built.iter().map(|built| fs::read(&built.path).unwrap()).collect();
    bytes.try_into().unwrap()
});

/// The same component with another version, and so with other bytes.
pub(crate) fn with_version(component: &[u8], version: &str) -> Vec<u8> {
    let mut manifest = Manifest::of_component(component).unwrap();
    manifest.version = Version::parse(version).unwrap();
    // The last manifest counts; the one before it is cut off with its section.
    let mut bytes = without_manifest(component);
    manifest.embed(&mut bytes).unwrap();
    bytes
}

/// A component without its manifest, which `ibid plugin build` put at its end.
fn without_manifest(component: &[u8]) -> Vec<u8> {
    let name = ibid_plugin_host::SECTION.as_bytes();
    let at = component.windows(name.len()).rposition(|window| window == name).unwrap();
    // Before the name stand its length, the section's length (LEB128, up to 5 bytes) and the section's number, 0.
    let start = (2..=7).map(|back| at - back).find(|start| component[*start] == 0).unwrap();
    component[..start].to_vec()
}

pub(crate) async fn install(api: &Api, query: &str, component: &[u8]) -> crate::support::Reply {
    let request = api.request(Method::POST, &format!("/plugins{query}")).body(component.to_vec());
    api.send(request).await
}

pub(crate) fn pipeline(stage: &str, plugin: &str, what: &str, on_failure: &str) -> Value {
    json!({ stage: { "plugin": plugin, "config": { "do": what }, "on_failure": on_failure } })
}

#[tokio::test]
async fn a_span_that_a_chunker_gives_twice_is_found_twice() {
    let server = Server::start("plugins-twice", &[]);
    let api = server.api();
    install(&api, "", &GUESTS[0]).await.expect(201);
    let own = json!({ "name": "twice", "pipeline": pipeline("chunker", "hostile-chunker@^1", "twice", "fail") });
    api.post("/collections", own).await.expect(201);
    assert_eq!(api.ingest("twice", &files::handbook("a.md")).await["chunks_created"], 2);
    let wanted = json!({ "query": QUESTIONS[0].0, "collection_name": "twice", "relative_threshold": 0 });
    assert_eq!(api.post("/search", wanted).await.expect(200)["total_results"], 2);
}

#[tokio::test]
async fn a_plugin_is_installed_used_upgraded_and_removed_while_the_server_runs() {
    let mut server = Server::start("plugins", &[]);
    let api = server.api();
    let chunker = &GUESTS[0];
    let installed = install(&api, "", chunker).await.expect(201);
    assert_eq!(installed["plugin"]["name"], "hostile-chunker");
    assert_eq!(installed["plugin"]["digest"], digest_of(chunker).as_str());
    assert_eq!(
        (&installed["plugin"]["source"], &installed["plugin"]["state"]),
        (&json!("installed"), &json!("ready"))
    );
    install(&api, "", chunker).await.expect(200);

    let own = json!({ "name": "upgraded", "pipeline": pipeline("chunker", "hostile-chunker@^1", "", "fail") });
    api.post("/collections", own).await.expect(201);
    let first = api.ingest("upgraded", &files::handbook("a.md")).await;
    assert_eq!(first["chunks_created"], 1, "the whole document is one chunk");

    // A new version is taken up at once, and told.
    let mut events = server.socket("/ws/collections?collection=upgraded").await;
    let next = with_version(chunker, "1.1.0");
    let upgraded = install(&api, "", &next).await.expect(201);
    assert_eq!(upgraded["moved"], json!(["upgraded"]));
    let told = events.receive_until(|message| message["type"] == "pipeline_changed").await;
    assert_eq!(told.last().unwrap()["data"]["plugins"]["chunker"]["version"], "1.1.0");
    let info = api.get("/plugins/hostile-chunker").await.expect(200);
    let versions: Vec<&Value> = info["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plugin| &plugin["version"])
        .collect();
    assert_eq!(versions, ["1.1.0", "1.0.0"]);
    assert_eq!(info["plugins"][0]["used_by"], json!(["upgraded"]));
    api.ingest("upgraded", &files::volume(11, 5)).await;
    let info = api.get("/plugins/hostile-chunker").await.expect(200);
    assert_eq!(
        (&info["plugins"][0]["stats"]["calls"], &info["plugins"][1]["stats"]["calls"]),
        (&json!(1), &json!(1))
    );

    // The same version with other bytes has to be asked for.
    let mut other = without_manifest(chunker);
    let mut manifest = Manifest::of_component(&next).unwrap();
    manifest.description = "Another".into();
    manifest.embed(&mut other).unwrap();
    let error = install(&api, "", &other).await.error(409, "CONFLICT");
    assert_eq!(error["details"]["installed"], digest_of(&next).as_str());
    let replaced = install(&api, "?replace=true", &other).await.expect(201);
    assert_eq!(replaced["replaced"], digest_of(&next).as_str());

    // All of it is there after a restart.
    server.terminate();
    server.stopped().await;
    server.restart();
    let api = server.api();
    let info = api.get("/plugins/hostile-chunker").await.expect(200);
    assert_eq!(info["plugins"][0]["description"], "Another");

    // One of two versions goes: the other is used. The last one is needed.
    let removed = api.delete("/plugins/hostile-chunker?version=1.1.0").await.expect(200);
    assert_eq!(removed["moved"], json!(["upgraded"]));
    let error = api.delete("/plugins/hostile-chunker").await.error(409, "CONFLICT");
    assert_eq!(error["details"]["collections"], json!(["upgraded"]));
    let forced = api.delete("/plugins/hostile-chunker?force=true").await.expect(200);
    assert_eq!(forced["broken"], json!(["upgraded"]));
    api.get("/plugins/hostile-chunker").await.error(404, "RESOURCE_NOT_FOUND");
    // And comes back.
    install(&api, "", chunker).await.expect(201);
    api.ingest("upgraded", &files::volume(12, 5)).await;
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_in_words_and_what_ships_stays() {
    let api = Server::shared().api();
    install(&api, "", b"").await.error(400, "INVALID_MESSAGE");
    let error = install(&api, "", b"not wasm").await.error(422, "PLUGIN_ERROR");
    assert!(
        error["message"].as_str().unwrap().contains("not a WebAssembly component"),
        "{error}"
    );
    api.delete("/plugins/recursive").await.error(409, "CONFLICT");
    api.delete("/plugins/nothing").await.error(404, "RESOURCE_NOT_FOUND");
    let list = api.get("/plugins").await.expect(200);
    let shipped = list["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|plugin| plugin["source"] == "shipped")
        .count();
    assert!(shipped >= 6, "{list}");
}

#[tokio::test]
async fn an_operator_says_which_plugins_may_run() {
    let closed = Server::start("closed", &["plugins.install=false"]);
    let error = install(&closed.api(), "", &GUESTS[0]).await.error(403, "AUTHORIZATION_FAILED");
    assert!(error["message"].as_str().unwrap().contains("plugins.install"), "{error}");
    // All that ships but the chunker, which nothing replaces: such a server does not start.
    let list = closed.api().get("/plugins").await.expect(200);
    let all = list["plugins"].as_array().unwrap();
    let digests: Vec<&str> = all.iter().map(|plugin| plugin["digest"].as_str().unwrap()).collect();
    let listed = Server::start("listed", &[&format!("plugins.allow={}", digests.join(","))]);
    let error = install(&listed.api(), "", &GUESTS[0]).await.error(403, "AUTHORIZATION_FAILED");
    assert_eq!(error["details"]["digest"], digest_of(&GUESTS[0]).as_str());
}

#[tokio::test]
async fn a_pipeline_goes_on_where_its_policy_says_so() {
    let server = Server::start("policies", &[]);
    let api = server.api();
    for guest in GUESTS.iter() {
        install(&api, "", guest).await.expect(201);
    }
    let make = async |name: &str, pipeline: Value| {
        api.post("/collections", json!({ "name": name, "pipeline": pipeline }))
            .await
            .expect(201);
    };
    make("fallback", pipeline("analyzer", "hostile-analyzer@^1", "none", "fallback")).await;
    make("skip", pipeline("citations", "hostile-formatter@^1", "panic-first", "skip")).await;
    make("fail", pipeline("citations", "hostile-formatter@^1", "panic-first", "fail")).await;
    make("cut", pipeline("chunker", "hostile-chunker@^1", "panic", "fallback")).await;
    for name in ["fallback", "skip", "fail"] {
        api.ingest(name, &files::handbook("handbook.md")).await;
    }
    let ask = async |collection: &str| {
        let body = json!({ "query": "When does the café open on weekdays?", "collection_name": collection });
        api.post("/query", body).await
    };

    let answer = ask("fallback").await.expect(200);
    let warnings = &answer["processing_metadata"]["warnings"];
    assert_eq!(warnings.as_array().map(Vec::len), Some(1), "{warnings}");
    let told = |key: &str| warnings[0][key].as_str().unwrap().to_owned();
    assert_eq!(
        [told("stage"), told("plugin"), told("code"), told("reason"), told("policy")],
        ["analyzer", "hostile-analyzer@1.0.0", "PLUGIN_ERROR", "invalid_result", "fallback"]
    );

    let answer = ask("skip").await.expect(200);
    assert_eq!(answer["processing_metadata"]["warnings"][0]["policy"], "skip");
    assert!(!answer["sources"].as_array().unwrap().is_empty(), "the citations stay");
    assert!(
        query::markers(answer["response"].as_str().unwrap()).is_empty(),
        "their markers are gone"
    );

    let error = ask("fail").await.error(500, "PLUGIN_ERROR");
    assert_eq!(error["details"]["plugin"], "hostile-formatter@1.0.0");

    let made = api.ingest("cut", &files::handbook("handbook.md")).await;
    let id = made["document_id"].as_str().unwrap();
    let detail = api.get(&format!("/documents/{id}")).await.expect(200);
    assert!(
        detail["metadata"]["warning.chunker"].as_str().unwrap().contains("crashed"),
        "{detail}"
    );
    assert!(server.log().contains("on purpose") || server.log().contains("a plugin failed, its stage goes on"));
}

#[tokio::test]
async fn what_a_plugin_is_granted_and_what_may_be_skipped_is_checked_with_the_pipeline() {
    let api = Server::shared().api();
    for guest in GUESTS.iter() {
        let status = install(&api, "", guest).await.status;
        assert!(status == 201 || status == 200, "{status}");
    }
    let refused = async |pipeline: Value, field: &str| {
        let body = json!({ "name": "plugins-refused", "pipeline": pipeline });
        let error = api.post("/collections", body).await.error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"]["field"], field, "{error}");
    };
    let semantic = |grants: Value| json!({ "chunker": { "plugin": "hostile-semantic", "config": { "do": "" }, "grants": grants } });
    refused(semantic(json!([])), "pipeline.chunker.grants").await;
    refused(semantic(json!(["files"])), "pipeline.chunker.grants").await;
    refused(pipeline("chunker", "hostile-chunker", "", "skip"), "pipeline.chunker.on_failure").await;
    let shipped = json!({ "chunker": { "plugin": "recursive@^1", "on_failure": "fallback" } });
    refused(shipped, "pipeline.chunker.on_failure").await;
    refused(json!({ "limits": { "host_calls": 1 } }), "pipeline.limits.host_calls").await;

    // Granted, it runs on the collection's own embedder.
    let body = json!({ "name": "plugins-semantic", "pipeline": semantic(json!(["embed"])) });
    api.post("/collections", body).await.expect(201);
    let made = api.ingest("plugins-semantic", &files::handbook("handbook.md")).await;
    assert_eq!(made["chunks_created"], 1);
}

#[tokio::test]
async fn each_shipped_chunker_analyzer_and_formatter_does_its_work() {
    let api = Server::shared().api();
    let ask = async |name: &str, pipeline: Value| {
        api.post("/collections", json!({ "name": name, "pipeline": pipeline }))
            .await
            .expect(201);
        let made = api.ingest(name, &files::handbook("handbook.md")).await;
        let body = json!({ "query": "When does the café open on weekdays?", "collection_name": name });
        let answer = api.post("/query", body).await.expect(200);
        let sources = answer["sources"].as_array().unwrap();
        assert!(
            sources.iter().any(|source| source["content"].as_str().unwrap().contains("7:30")),
            "{name}: {answer}"
        );
        (made["chunks_created"].as_u64().unwrap(), answer)
    };
    let windows = json!({ "chunker": { "plugin": "sentences@^1", "config": { "sentences": 2, "overlap": 1 } } });
    let (chunks, _) = ask("plugins-sentences", windows).await;
    assert!(chunks > 3, "{chunks}");
    let subjects = json!({ "chunker": { "plugin": "semantic@^1", "config": { "min_tokens": 5 }, "grants": ["embed"] } });
    let (chunks, _) = ask("plugins-by-subject", subjects).await;
    assert!(chunks > 1, "{chunks}");
    let (_, answer) = ask("plugins-passthrough", json!({ "analyzer": { "plugin": "passthrough@^1" } })).await;
    assert_eq!(
        answer["query_analysis"]["detail"]["searches"],
        json!(["When does the café open on weekdays?"])
    );
    let (_, answer) = ask("plugins-author-page", json!({ "citations": { "plugin": "author-page@^1" } })).await;
    let response = answer["response"].as_str().unwrap();
    assert!(
        response.contains("(Handbook)") && response.contains("\n\nSources\n- Handbook"),
        "{response}"
    );
    let (_, answer) = ask("plugins-footnotes", json!({ "citations": { "plugin": "footnotes@^1" } })).await;
    let response = answer["response"].as_str().unwrap();
    assert!(response.contains("[^1]") && response.contains("\n\n[^1]: "), "{response}");
}

/// Runs the commands of the tutorial as they stand, in an empty directory, against a server of their own.
#[tokio::test]
async fn the_tutorial_works_as_it_stands() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plugins.md")).unwrap();
    let tutorial = page.split("## The model").next().unwrap();
    let blocks = tutorial.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let script: String = blocks.collect();
    assert_eq!(script.matches("ibid ").count(), 7, "{script}");
    let server = Server::start("tutorial", &[]);
    let home = tempfile::tempdir().unwrap();
    let program = crate::support::process::binary();
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let run = move || {
        std::process::Command::new("bash")
            .args(["-euo", "pipefail", "-c"])
            .arg(script.replace("localhost:8000", server.address()))
            .current_dir(home.path())
            .env("PATH", path)
            .env("IBID_SERVER", server.url())
            .env("NO_COLOR", "1")
            .output()
            .unwrap()
    };
    let done = tokio::task::spawn_blocking(run).await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}\n{err}");
    assert!(out.contains("The warranty lasts two years."), "{out}\n{err}");
}

#[tokio::test]
async fn a_web_page_is_read_without_its_menus() {
    let api = Server::shared().api();
    let page = "<html lang=en><head><title>Opening hours</title></head><body><nav>Home Imprint</nav>\
                <h1>Opening hours</h1><p>The library opens at 8:15 on weekdays.</p>\
                <table><tr><th>Floor<th>Books</tr><tr><td>2<td>Maps</tr></table><footer>Imprint</footer>";
    let made = api.ingest("plugins-html", &files::File::new("hours.html", page)).await;
    let id = made["document_id"].as_str().unwrap();
    assert_eq!(
        api.text(id, "").await,
        "Opening hours\n\nThe library opens at 8:15 on weekdays.\n\nFloor | Books\n2 | Maps"
    );
    let detail = api.get(&format!("/documents/{id}")).await.expect(200);
    assert_eq!(detail["metadata"]["title"], "Opening hours");
    assert_eq!(detail["metadata"]["extractor"], "html@1.1.0");
    let body = json!({ "query": "When does the library open?", "collection_name": "plugins-html" });
    let answer = api.post("/query", body).await.expect(200);
    assert_eq!(answer["sources"][0]["metadata"]["section"], json!(["Opening hours"]), "{answer}");
}

#[tokio::test]
async fn a_plugin_is_tried_on_a_text() {
    let api = Server::shared().api();
    let text = "# Fees\n\nEine Karte kostet zwölf Euro. Kinder zahlen nichts.\n\n# Hours\n\nThe library opens at nine.\n";
    let characters: Vec<char> = text.chars().collect();
    let body = json!({ "text": text, "config": { "max_tokens": 16 } });
    let tried = api.post("/plugins/structure/try", body).await.expect(200);
    assert_eq!((&tried["kind"], &tried["text"]), (&json!("chunker"), &json!(text)));
    let chunks = tried["chunks"].as_array().unwrap();
    let at = |span: &Value| {
        let offset = |key: &str| span[key].as_u64().unwrap() as usize;
        characters[offset("start")..offset("end")].iter().collect::<String>()
    };
    let last = chunks.last().unwrap();
    assert!(at(last).contains("opens at nine") && !at(last).contains("Karte"), "{tried}");
    assert!(last["tokens"].as_u64().is_some_and(|tokens| tokens > 3), "{tried}");
    assert!(
        chunks
            .iter()
            .flat_map(|chunk| chunk["context"].as_array().unwrap())
            .any(|context| at(context).contains("Hours"))
            || at(last).contains("Hours"),
        "{tried}"
    );

    let tried = api
        .post("/plugins/rules/try", json!({ "text": "How do revenue in 2022 and 2023 compare?" }))
        .await
        .expect(200);
    assert_eq!(tried["kind"], "analyzer");
    assert!(tried["searches"].as_array().is_some_and(|searches| !searches.is_empty()), "{tried}");
    assert!(tried["query_analysis"]["intent"].is_string(), "{tried}");

    let tried = api
        .post("/plugins/footnotes/try", json!({ "text": "One.\n\nTwo." }))
        .await
        .expect(200);
    let response = tried["response"].as_str().unwrap();
    assert!(
        response.starts_with("One.[^1]\n\nTwo.[^2]") && response.contains("\n[^2]: "),
        "{response}"
    );

    let tried = api
        .post("/plugins/html/try", json!({ "text": "<h1>Fees</h1><p>Twelve.</p>" }))
        .await
        .expect(200);
    assert_eq!(
        (&tried["text"], &tried["units"][0]["kind"]),
        (&json!("Fees\n\nTwelve."), &json!("heading")),
        "{tried}"
    );

    let wrong = json!({ "text": "x", "config": { "target_tokens": "many" } });
    let error = api.post("/plugins/recursive/try", wrong).await.error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"]["field"], "config.target_tokens", "{error}");
    let error = api
        .post("/plugins/recursive/try", json!({ "text": " \n" }))
        .await
        .error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"]["field"], "text", "{error}");
    api.post("/plugins/none/try", json!({ "text": "x" }))
        .await
        .error(404, "RESOURCE_NOT_FOUND");
    api.post("/plugins/rules/try", json!({ "text": "x", "version": "9.9.9" }))
        .await
        .error(404, "RESOURCE_NOT_FOUND");
}
