//! The page for people, driven in a real browser (see `tests/page/page.mjs`), and what its files are served with.

use crate::support::tokens::{SECRET, token};
use crate::support::{Server, files, within};
use ibid_plugin_author::{self as author, BuildOptions};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The browser's driver, installed once for all runs by npm in the versions of its lock file.
async fn driver() -> PathBuf {
    static DRIVER: OnceCell<PathBuf> = OnceCell::const_new();
    DRIVER.get_or_init(install).await.clone()
}

async fn install() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&home).unwrap();
    for file in ["package.json", "package-lock.json", "browser.mjs", "page.mjs", "away.mjs"] {
        std::fs::copy(source.join(file), home.join(file)).unwrap();
    }
    let installed =
        std::fs::read(home.join("node_modules/.of")).is_ok_and(|of| of == std::fs::read(home.join("package-lock.json")).unwrap());
    if !installed {
        let done = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&home)
            .output()
            .await
            .expect("npm is missing: run `make test-tools`");
        assert!(done.status.success(), "npm ci: {}", String::from_utf8_lossy(&done.stderr));
        std::fs::copy(home.join("package-lock.json"), home.join("node_modules/.of")).unwrap();
    }
    home
}

/// The component of `examples/plugins/subtitles`, built.
fn subtitles() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = BuildOptions {
        out: Path::new(env!("CARGO_TARGET_TMPDIR")).join("page-plugin"),
        target_dir: Some(root.join("target/wasm")),
        install: true,
        report: &|line| eprintln!("{line}"),
    };
    let built = author::build(&[root.join("examples/plugins/subtitles")], &options).unwrap_or_else(|error| panic!("{error}"));
    built.into_iter().next().unwrap().path
}

#[tokio::test]
async fn in_a_browser() {
    let home = driver().await;
    let server = Server::start("page", &[]);
    let documents = tempfile::tempdir().unwrap();
    let notes = documents.path().join("harbour.md");
    std::fs::write(
        &notes,
        "# Lighthouses\n\nThe lighthouse at Kullen cost 48,200 riksdaler. It was lit in 1900.\n\n# Ferries\n\nThe ferry to the island leaves at nine.\n",
    )
    .unwrap();
    let pdf = documents.path().join("report.pdf");
    std::fs::write(&pdf, files::report("report.pdf").bytes).unwrap();
    let plugin = tokio::task::spawn_blocking(subtitles).await.unwrap();
    let run = Command::new("node")
        .arg("page.mjs")
        .arg(server.url())
        .arg(plugin)
        .args([&notes, &pdf])
        .current_dir(&home)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = within("the browser", run).await.expect("node is missing: run `make test-tools`");
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test]
async fn with_credentials_and_a_server_that_goes_away() {
    let home = driver().await;
    let secret = format!("auth.secret={SECRET}");
    let mut server = Server::start("page-away", &["auth.enabled=true", &secret]);
    server.keep_address();
    let documents = tempfile::tempdir().unwrap();
    let file = documents.path().join("ferries.html");
    // Long on the way, soon read.
    let comment = "passed over ".repeat(1 << 20);
    std::fs::write(
        &file,
        format!("<!-- {comment} --><h1>Ferries</h1><p>The ferry to the island costs seventeen kronor.</p>"),
    )
    .unwrap();
    let mut browser = Command::new("node")
        .arg("away.mjs")
        .arg(server.url())
        .arg(token(json!({ "sub": "ada", "scope": "admin" })))
        .arg(&file)
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node is missing: run `make test-tools`");
    let mut errors = browser.stderr.take().unwrap();
    let errors = tokio::spawn(async move {
        let mut text = String::new();
        errors.read_to_string(&mut text).await.map(|_| text)
    });
    let mut lines = BufReader::new(browser.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(line) = within("the browser", lines.next_line()).await.unwrap() {
        match line.as_str() {
            "away" => server.kill9(),
            "back" => server.restart(),
            _ => {}
        }
        said.push(line);
    }
    let status = browser.wait().await.unwrap();
    assert!(status.success(), "{said:#?}\n{}", errors.await.unwrap().unwrap());
}

#[tokio::test]
async fn the_page_may_run_nothing_of_others() {
    let api = Server::shared().api();
    let page = api.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = page.text();
    for part in html.split('"').filter(|part| part.starts_with("/ui/")) {
        assert_eq!(api.get(part).await.status, 200, "{part}");
    }
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "the page names another server"
    );
    api.get("/ui/none.js").await.error(404, "RESOURCE_NOT_FOUND");
}
