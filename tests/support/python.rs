//! Packages from PyPI, for tests that look at the server with other people's clients. What they are is pinned in
//! `tests/python/requirements.txt`; they are kept below `target/`, fetched where they are not there yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Fetching them, on a slow line and a busy machine.
const FETCHING: Duration = Duration::from_secs(600);

/// A Python that has the packages.
pub async fn python() -> Command {
    static HOME: OnceCell<PathBuf> = OnceCell::const_new();
    let home = HOME.get_or_init(fetch).await;
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", home)
        .env("PYTHONUTF8", "1")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn fetch() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (home, list) = (root.join("target/python-clients"), root.join("tests/python/requirements.txt"));
    let noted = home.join("installed.txt");
    let wanted = fs::read(&list).expect("the list of packages");
    if !fs::read(&noted).is_ok_and(|installed| installed == wanted) {
        let _ = fs::remove_dir_all(&home);
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
            .arg(&home)
            .arg("-r")
            .arg(&list);
        let fetched = tokio::time::timeout(FETCHING, pip.kill_on_drop(true).output()).await;
        succeeded("pip", &fetched.expect("PyPI in time").expect("pip"));
        fs::write(noted, wanted).expect("noting what is installed");
    }
    home
}

/// Fails the test, with what the program said, unless it ended well.
pub fn succeeded(what: &str, output: &Output) {
    let said = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let skipped = text.chars().count().saturating_sub(20_000);
        text.chars().skip(skipped).collect::<String>()
    };
    assert!(
        output.status.success(),
        "{what} ended with {}:\n{}\n{}",
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
}
