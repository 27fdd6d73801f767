//! The pages of `docs/`: their commands run, their links lead somewhere, and they cover what they say they cover.

use crate::support::Server;
use crate::support::process::{binary, program};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ERRORS: &str = include_str!("../../crates/types/src/error_code.rs");

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn page(name: &str) -> String {
    fs::read_to_string(docs().join(name)).unwrap_or_else(|error| panic!("docs/{name}: {error}"))
}

fn pages() -> BTreeSet<String> {
    let entries = fs::read_dir(docs())
        .expect("docs")
        .map(|entry| entry.expect("an entry").file_name());
    let names = entries.map(|name| name.into_string().expect("UTF-8"));
    names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect()
}

/// The commands of a page, without the blocks that a comment before them says are not run.
fn commands(page: &str) -> String {
    let mut script = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("```sh\n") {
        let (block, after) = after.split_once("```").expect("the block's end");
        if !before.lines().last().is_some_and(|line| line.starts_with("<!-- not run: ")) {
            script.push_str(block);
        }
        rest = after;
    }
    script
}

/// A page's lines without its blocks of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Targets of a page's links within the repository: a file, empty for the page itself, and a heading in it if one is named.
fn links(page: &str) -> Vec<(&str, Option<&str>)> {
    let targets = prose(page).flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    targets
        .filter(|target| !target.contains("://") && !target.contains(' '))
        .map(|target| match target.split_once('#') {
            Some((file, heading)) => (file, Some(heading)),
            None => (target, None),
        })
        .collect()
}

/// What a page's headings are addressed by: mdBook and GitHub make the same of them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for heading in prose(page).filter(|line| line.starts_with('#')) {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|&c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let others = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(others).find(|anchor| !found.contains(anchor));
        found.extend(free);
    }
    found
}

/// Every page of the repository, in `directory` and below it.
fn markdown(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && !matches!(name, "target" | "node_modules") {
            markdown(&path, found);
        } else if name.ends_with(".md") && !path.is_dir() {
            found.push(path);
        }
    }
}

async fn run(server: &Server, script: String) -> (String, String) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = format!(
        "{}:{}",
        binary().parent().expect("a directory").display(),
        std::env::var("PATH").expect("PATH")
    );
    let script = script.replace("http://127.0.0.1:8000", server.url());
    // `program` keeps this process's settings out of the environment that the commands get.
    let clean: Vec<_> = program(home.path())
        .get_envs()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut shell = tokio::process::Command::new("bash");
    for name in clean {
        shell.env_remove(name);
    }
    let done = shell
        .args(["-euxo", "pipefail", "-c", &script])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("PATH", path)
        .env("IBID_SERVER", server.url())
        .env("NO_COLOR", "1")
        .kill_on_drop(true)
        .output()
        .await
        .expect("running bash");
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout).into_owned(),
        String::from_utf8_lossy(&done.stderr).into_owned(),
    );
    assert!(done.status.success(), "{out}\n{err}");
    (out, err)
}

#[tokio::test]
async fn five_minutes_work_as_they_stand() {
    let server = Server::start("book-start", &[]);
    let script = commands(&page("start.md"));
    assert_eq!(script.matches("ibid ").count(), 7, "{script}");
    let (out, err) = run(&server, script).await;
    assert!(out.contains("12 euros") && out.contains("[1] handbook.md: “"), "{out}\n{err}");
    assert!(out.contains("\"citations\"") && out.contains("duplicate"), "{out}\n{err}");
}

/// The commands below a heading of a page.
fn below(page: &str, heading: &str) -> String {
    let (_, rest) = page
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    commands(rest.split("\n## ").next().unwrap_or_default())
}

#[tokio::test]
async fn keys_pipelines_and_language_models_are_set_up_as_their_pages_say() {
    let server = Server::start("book-pages", &["llm.base_url=http://127.0.0.1:9/v1", "llm.model=none"]);
    let keys = below(&page("authentication.md"), "API keys");
    let (out, err) = run(&server, format!("export IBID_DATA_DIR={}\n{keys}", server.data_dir().display())).await;
    assert!(out.contains("ibid_") && out.contains("website"), "{out}\n{err}");

    server.api().post("/collections", json!({ "name": "papers" })).await.expect(201);
    let pipelines = below(&page("pipelines.md"), "From the command line");
    assert!(pipelines.contains("ibid pipeline set papers"), "{pipelines}");
    run(&server, pipelines).await;

    let models = commands(&page("llm.md"));
    assert!(models.contains("contracts"), "{models}");
    run(&server, models).await;
    let shown = server.api().get("/collections/contracts/pipeline").await.expect(200);
    assert_eq!(shown["pipeline"]["generator"]["model"], "qwen3:8b");
}

#[test]
fn every_page_is_in_the_book_and_links_lead_somewhere() {
    let summary = page("SUMMARY.md");
    let listed: BTreeSet<String> = links(&summary).into_iter().map(|(file, _)| file.to_owned()).collect();
    assert_eq!(listed, pages());
    let mut all = Vec::new();
    markdown(Path::new(env!("CARGO_MANIFEST_DIR")), &mut all);
    assert!(all.len() > pages().len(), "{all:?}");
    // The guide is kept as it was written, with links to pages that were never part of it.
    for path in all.iter().filter(|path| !path.ends_with("docs/websocket-guide.md")) {
        let text = fs::read_to_string(path).expect("a page");
        for (file, heading) in links(&text) {
            let from = path.display();
            let target = match file {
                "" => path.clone(),
                file => path.parent().expect("a directory").join(file),
            };
            assert!(target.exists(), "{from} links to {file}, which is not there");
            // What is elsewhere in the repository is not in the book.
            assert!(
                !path.starts_with(docs()) || !file.starts_with(".."),
                "{from} links to {file}, out of the book"
            );
            if let Some(heading) = heading {
                let there = anchors(&fs::read_to_string(&target).expect("a page"));
                assert!(
                    there.contains(heading),
                    "{from} links to {file}#{heading}, and the headings are {there:?}"
                );
            }
        }
    }
}

#[test]
fn variables_of_pages_and_deployments_are_settings() {
    // A unit test of the settings sees to it that this page is what the program prints of them.
    let reference = page("configuration.md");
    let settings: BTreeSet<String> = reference
        .lines()
        .filter_map(|row| row.strip_suffix("` |")?.rsplit('`').next())
        .filter(|name| name.starts_with("IBID_"))
        .map(str::to_owned)
        .collect();
    assert!(settings.len() > 100, "{settings:?}");
    // Of the client commands, of the tests, and of what is deployed beside the server.
    let others = [
        "IBID_CONFIG",
        "IBID_SERVER",
        "IBID_TOKEN",
        "IBID_CA",
        "IBID_COLLECTION",
        "IBID_SECRET",
        "IBID_S3_SECRET",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    let mut directories = vec![docs(), root.join("deploy")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true if path.ends_with("images") => {}
                true => directories.push(path),
                false => files.push(path),
            }
        }
    }
    let mut found = 0;
    for path in files {
        let text = fs::read_to_string(&path).expect("a text");
        for rest in text.split("IBID_").skip(1) {
            let end = rest.find(|c: char| !matches!(c, 'A'..='Z' | '0'..='9' | '_')).unwrap_or(rest.len());
            let name = format!("IBID_{}", &rest[..end]);
            // `IBID_*` speaks of all of them.
            let known = end == 0 || settings.contains(&name) || others.contains(&name.as_str());
            assert!(known, "{} names {name}, which is no setting", path.display());
            found += 1;
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn every_error_code_has_its_remedy() {
    let page = page("troubleshooting.md");
    let (_, rest) = page.split_once("<!-- codes").expect("the codes");
    let (codes, _) = rest.split_once("<!-- end of codes -->").expect("their end");
    let told: BTreeSet<String> = codes
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    let (_, rest) = ERRORS.split_once("pub enum ErrorCode {").expect("the codes of the protocol");
    let (variants, _) = rest.split_once("\n}").expect("their end");
    let known: BTreeSet<String> = variants
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("///"))
        .map(|line| screaming(line.trim_end_matches(',')))
        .collect();
    assert_eq!(told, known, "codes with a remedy, and those of the protocol");
}

/// `InvalidMessage` as `INVALID_MESSAGE`.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(character.to_ascii_uppercase());
    }
    out
}
