//! The guide, taken apart, and the programs that run its code. What they need comes from npm and PyPI into
//! `target/guide-clients`, once.

use super::{PATIENCE, Server};
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const GUIDE: &str = include_str!("../../docs/websocket-guide.md");

/// The blocks of code in one language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    GUIDE.split("```").skip(1).step_by(2).filter_map(move |block| {
        let (first, code) = block.split_once('\n')?;
        (first.trim() == language).then_some(code)
    })
}

/// The block of code with `mark` in it.
pub fn code(language: &str, mark: &str) -> String {
    let found = blocks(language).find(|code| code.contains(mark));
    found.unwrap_or_else(|| panic!("the guide has no {mark:?}")).to_owned()
}

/// The messages that the guide shows, by type.
pub fn messages() -> BTreeMap<String, Value> {
    let mut messages = BTreeMap::new();
    for block in blocks("json") {
        let code: String = block
            .lines()
            .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
            .collect::<Vec<_>>()
            .join("\n");
        for message in serde_json::Deserializer::from_str(&code).into_iter::<Value>() {
            let message = message.unwrap_or_else(|error| panic!("{error} in {code}"));
            messages.insert(message["type"].as_str().expect("a type").to_owned(), message);
        }
    }
    messages
}

/// Node.js with `ws` and `tus-js-client`, Python with `websockets` and pytest.
pub struct Clients {
    modules: PathBuf,
    python: PathBuf,
}

impl Clients {
    /// Installed, if they were not.
    pub fn prepared() -> &'static Clients {
        static CLIENTS: OnceLock<Result<Clients, String>> = OnceLock::new();
        let prepared = CLIENTS.get_or_init(|| {
            let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guide-clients");
            std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
            let venv = home.join("venv");
            let clients = Clients {
                modules: home.join("node_modules"),
                python: venv.join("bin/python"),
            };
            let stamp = home.join("ready");
            if !stamp.exists() {
                let home = home.to_str().ok_or("a path that is no text")?;
                run(
                    "npm",
                    &[
                        "install",
                        "--no-audit",
                        "--no-fund",
                        "--silent",
                        "--prefix",
                        home,
                        "ws@8",
                        "tus-js-client@4",
                    ],
                )?;
                run("python3", &["-m", "venv", venv.to_str().ok_or("a path that is no text")?])?;
                let python = clients.python.to_str().ok_or("a path that is no text")?;
                run(
                    python,
                    &[
                        "-m",
                        "pip",
                        "install",
                        "--quiet",
                        "websockets>=14,<17",
                        "pytest>=8,<10",
                        "pytest-asyncio>=0.24,<2",
                    ],
                )?;
                std::fs::write(&stamp, "").map_err(|error| error.to_string())?;
            }
            Ok(clients)
        });
        prepared.as_ref().unwrap_or_else(|why| panic!("{why}"))
    }

    /// What a scenario of `tests/guide/run.mjs` results in, with these codes of the guide.
    pub async fn node(&self, scenario: &str, server: &Server, codes: &[String]) -> Value {
        self.node_then(scenario, server, codes, async {}).await.0
    }

    /// The same; `then` is done as soon as the scenario is ready for it.
    pub async fn node_then<T>(&self, scenario: &str, server: &Server, codes: &[String], then: impl Future<Output = T>) -> (Value, T) {
        let (_home, codes) = files(codes, "js");
        let mut command = Command::new("node");
        command
            .arg(script("run.mjs"))
            .arg(scenario)
            .arg(address(server))
            .arg(&self.modules)
            .args(codes);
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut then = Some(then);
        let mut output = Vec::new();
        let mut done = None;
        let work = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if let Some(result) = line.strip_prefix("RESULT ") {
                    return serde_json::from_str::<Value>(result).expect("JSON");
                }
                if line == "READY"
                    && let Some(then) = then.take()
                {
                    done = Some(then.await);
                }
                output.push(line);
            }
            panic!("{scenario} ended without a result: {}", output.join("\n"));
        };
        let result = tokio::time::timeout(PATIENCE, work).await.expect("a result");
        let done = match (done, then) {
            (Some(done), _) => done,
            (None, Some(then)) => then.await,
            (None, None) => unreachable!("it is done once"),
        };
        (result, done)
    }

    /// What a scenario of `tests/guide/run.py` prints.
    pub async fn python(&self, scenario: &str, server: &Server, code: &str) -> String {
        let (_home, codes) = files(&[code.to_owned()], "py");
        let mut command = Command::new(&self.python);
        command.arg(script("run.py")).arg(scenario).arg(address(server)).args(codes);
        output(command).await
    }

    /// What pytest prints of a test of the guide.
    pub async fn pytest(&self, server: &Server, code: &str) -> String {
        let (home, codes) = files(&[code.to_owned()], "py");
        let test = home.path().join("test_guide.py");
        std::fs::rename(&codes[0], &test).expect("a file");
        std::fs::copy(script("conftest.py"), home.path().join("conftest.py")).expect("a file");
        let mut command = Command::new(&self.python);
        command
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
            .arg(test)
            .current_dir(home.path())
            .env("GUIDE_SERVER", address(server));
        output(command).await
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guide").join(name)
}

fn address(server: &Server) -> String {
    format!("ws://{}", server.address())
}

fn files(codes: &[String], extension: &str) -> (TempDir, Vec<PathBuf>) {
    let home = tempfile::tempdir().expect("a directory");
    let write = |(n, code): (usize, &String)| {
        let path = home.path().join(format!("code{n}.{extension}"));
        std::fs::write(&path, code).expect("a file");
        path
    };
    let paths = codes.iter().enumerate().map(write).collect();
    (home, paths)
}

async fn output(mut command: Command) -> String {
    let work = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let done = tokio::time::timeout(PATIENCE, work).await.expect("an end").expect("a program");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{text}\n{}", String::from_utf8_lossy(&done.stderr));
    text
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = Program::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr)))
}
