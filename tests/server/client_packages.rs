//! The client packages of `examples/clients/`, by their own tests, against the real server.

use crate::support::{Server, within};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// A copy of a client's sources below the test directory, where its tools may install what they need.
fn copied(language: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clients").join(language);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("client-{language}"));
    std::fs::create_dir_all(&home).unwrap();
    let done = std::process::Command::new("cp")
        .args(["-R", "--"])
        .arg(source.join("."))
        .arg(&home)
        .status()
        .unwrap();
    assert!(done.success());
    home
}

/// Runs a command, which must succeed.
async fn run(command: &mut Command) {
    let name = format!("{:?}", command.as_std());
    let done = within(&name, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let done = done.unwrap_or_else(|error| panic!("{name}: {error}; run `make test-tools`"));
    let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{name}\n{out}\n{error}");
}

#[tokio::test]
async fn in_javascript() {
    let home = copied("javascript");
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&home)).await;
    run(Command::new("npm").args(["run", "types"]).current_dir(&home)).await;
    let server = Server::start("client-javascript", &[]);
    run(Command::new("npm").arg("test").env("IBID_SERVER", server.url()).current_dir(&home)).await;
}

#[tokio::test]
async fn in_python() {
    let home = copied("python");
    let python = home.join("venv/bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(&home)).await;
    }
    let packages = [
        "httpx==0.28.1",
        "websockets==15.0.1",
        "pytest==8.4.2",
        "mypy==1.18.2",
        "setuptools==80.9.0",
    ];
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages)
        .current_dir(&home))
    .await;
    run(Command::new(&python).args(["-m", "mypy", "--strict", "src"]).current_dir(&home)).await;
    let server = Server::start("client-python", &[]);
    run(Command::new(&python)
        .args(["-m", "pytest", "--quiet"])
        .env("IBID_SERVER", server.url())
        .env("PYTHONPATH", "src")
        .current_dir(&home))
    .await;
}
