//! A server process: `ibid serve` on a free port, with a data directory of its own.
//!
//! `IBID_TEST_BINARY` names another program to test than the one that cargo built (an installed one, say);
//! `IBID_TEST_SHARE` another share directory than `target/share/ibid`. What a server logs stays in
//! `target/tmp/NAME.log` after the tests.

use super::{Api, PATIENCE, Socket};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use tempfile::TempDir;

/// Where files stay after the tests: `target/tmp`.
fn kept() -> PathBuf {
    option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Copies the compiled code of these plugins to where it is not yet. Its files are named by the plugin's digest and by the engine, and
/// hold a checksum: a test that finds none, or half of one, compiles the plugin as a first start does.
fn copy_compiled(digests: &[String], from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    std::fs::create_dir_all(to).expect("a directory for compiled plugins");
    for entry in entries.filter_map(Result::ok) {
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if target.exists() || !digests.iter().any(|digest| name.to_string_lossy().starts_with(digest.as_str())) {
            continue;
        }
        // In one step, since tests run beside each other.
        let part = tempfile::NamedTempFile::new_in(to).expect("a temporary file");
        if std::fs::copy(entry.path(), part.path()).is_ok() {
            let _ = part.persist_noclobber(target);
        }
    }
}

/// The SHA-256 of each plugin in a share directory. What earlier builds of the plugins left is of no use to a server.
fn digests(share: &Path) -> Vec<String> {
    let plugins = std::fs::read_dir(share.join("plugins")).into_iter().flatten().flatten();
    let bytes = plugins.filter_map(|plugin| std::fs::read(plugin.path()).ok());
    let hex = |bytes: Vec<u8>| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.map(hex).collect()
}

/// Ends the server and removes its files when the tests' process is gone, however that ended: statics are not dropped.
const WATCHDOG: &str = r#"read -r _; kill -9 "$1"; for _ in 1 2 3 4 5; do rm -rf "$2" && break; sleep 1; done"#;

/// The program under test.
pub fn binary() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_ibid").map(PathBuf::from);
    let path = std::env::var_os("IBID_TEST_BINARY")
        .map(PathBuf::from)
        .or(built)
        .expect("no program to test: set IBID_TEST_BINARY");
    assert!(path.is_file(), "{} is missing: run `make setup`", path.display());
    // Commands run in other directories.
    path.canonicalize().expect("a path")
}

/// Where the library, the model and the plugins are. Fails the test if they are not there.
pub fn share() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/share/ibid");
    let share = std::env::var_os("IBID_TEST_SHARE").map_or(own, PathBuf::from);
    let plugins = [
        "text",
        "markdown",
        "pdf",
        "html",
        "recursive",
        "structure",
        "sentences",
        "semantic",
        "rules",
        "passthrough",
        "numeric",
        "author-page",
        "docx",
        "footnotes",
    ]
    .map(|name| format!("plugins/{name}.wasm"));
    let others = [
        "lib/libonnxruntime.so",
        "models/all-MiniLM-L6-v2/model.onnx",
        "models/all-MiniLM-L6-v2/tokenizer.json",
    ];
    for part in plugins.iter().map(String::as_str).chain(others) {
        assert!(
            share.join(part).exists(),
            "{} is missing: run `make setup`, which fetches and builds all that these tests need",
            share.join(part).display()
        );
    }
    share.canonicalize().expect("a path")
}

/// The program, with nothing of this process's settings in its environment.
pub fn program(home: &Path) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("IBID_")) {
        command.env_remove(name);
    }
    // From any directory, and whatever is in the user's: it must work the same.
    command
        .current_dir(home)
        .env("HOME", home)
        .env_remove("XDG_DATA_HOME")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// A server. Dropping it kills it and removes its data.
pub struct Server {
    process: Option<Process>,
    home: TempDir,
    /// Its data directory, where that is not in its home.
    data: Option<PathBuf>,
    name: &'static str,
    settings: Vec<String>,
    share: PathBuf,
    listen: String,
}

struct Process {
    server: Child,
    watchdog: Child,
    url: String,
}

impl Server {
    /// Starts a server with these settings (`KEY=VALUE`); returns when it listens. `name` names its log.
    pub fn start(name: &'static str, settings: &[&str]) -> Self {
        Self::start_with_share(name, &share(), settings)
    }

    /// The same with a data directory of the test's own, which stays.
    pub fn start_on(name: &'static str, data: &Path, settings: &[&str]) -> Self {
        Self::start_at(name, &share(), Some(data.to_owned()), settings)
    }

    /// The same with a share directory of the test's own.
    pub fn start_with_share(name: &'static str, share: &Path, settings: &[&str]) -> Self {
        Self::start_at(name, share, None, settings)
    }

    fn start_at(name: &'static str, share: &Path, data: Option<PathBuf>, settings: &[&str]) -> Self {
        let home = tempfile::Builder::new()
            .prefix("ibid-test-")
            .tempdir()
            .expect("a temporary directory");
        let mut server = Self {
            process: None,
            home,
            data,
            name,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            share: share.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
        };
        let _ = std::fs::remove_file(server.log_path());
        // Compiling the plugins takes longer than most tests; what the cache does is tested in `plugin_host`.
        let cache = server.data_dir().join("cache");
        let (digests, compiled) = (digests(share), kept().join("compiled-plugins"));
        copy_compiled(&digests, &compiled, &cache);
        server.launch();
        copy_compiled(&digests, &cache, &compiled);
        server
    }

    /// The server that tests share which keep to collections of their own. It takes files of up to 4 MiB.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let started = std::panic::catch_unwind(|| Server::start("shared", &["server.max_upload_bytes=4194304"]));
            // So that every test says why, not only the first.
            started.map_err(|why| {
                why.downcast_ref::<String>()
                    .cloned()
                    .unwrap_or_else(|| "the server did not start".to_owned())
            })
        });
        shared.as_ref().unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts it again, on the same data.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server still runs");
        self.launch();
    }

    /// Has it listen at this address when it is started again, for clients that come back.
    pub fn keep_address(&mut self) {
        self.listen = self.address().to_owned();
    }

    /// Ends it as a power cut would: no warning, no time.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.server.kill().expect("killing the server");
            process.server.wait().expect("the server's end");
            process.dismiss();
        }
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Has it do nothing until it is [resumed](Self::resume).
    pub fn suspend(&self) {
        self.signal("STOP");
    }

    /// Has it go on as if no time had passed.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.as_ref().expect("a running server").server.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &pid])
            .status()
            .expect("sh");
        assert!(sent.success(), "the server has ended already\n{}", self.log());
    }

    /// Waits until it has stopped by itself.
    pub async fn stopped(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a running server");
        let ended = super::within(
            "the server to stop",
            tokio::task::spawn_blocking(move || {
                let status = process.server.wait().expect("the server's end");
                process.dismiss();
                status
            }),
        );
        ended.await.expect("waiting")
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.process.as_ref().expect("a running server").url
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url().trim_start_matches("http://")
    }

    /// An HTTP client of it.
    pub fn api(&self) -> Api {
        Api::new(self.url())
    }

    /// A WebSocket at `/ws/...`, open.
    pub async fn socket(&self, path: &str) -> Socket {
        Socket::connect(&format!("ws://{}{path}", self.address())).await
    }

    /// A WebSocket at `/ws/...`, opened with a token.
    pub async fn socket_with(&self, path: &str, token: &str) -> Socket {
        let fields = [("authorization", format!("Bearer {token}"))];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Socket::connect_with(&format!("ws://{}{path}", self.address()), &fields).await.0
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| self.home.path().join("data"))
    }

    /// What it logged last.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        let tail = log.len().saturating_sub(6_000);
        String::from_utf8_lossy(&log[tail..]).into_owned()
    }

    /// All that it logged.
    pub fn whole_log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        kept().join(format!("{}.log", self.name))
    }

    fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log file");
        let mut command = program(self.home.path());
        command
            .arg("serve")
            .args(["--listen", &self.listen])
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--share-dir")
            .arg(&self.share);
        for setting in self.settings.iter().map(String::as_str).chain(["log.level=debug"]) {
            command.args(["--set", setting]);
        }
        let mut server = command.stdout(Stdio::piped()).stderr(log).spawn().expect("starting the server");
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "sh", &server.id().to_string()])
            .arg(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let output = server.stdout.take().expect("a pipe");
        // Kept even if the server fails to start, so that it is ended.
        self.process = Some(Process {
            server,
            watchdog,
            url: String::new(),
        });
        let (found, url) = mpsc::channel();
        thread::spawn(move || {
            // Read to the end: a server must not be held by a pipe that is full.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once(" serves ") {
                    let _ = found.send(url.trim().to_owned());
                }
            }
        });
        // The channel also ends when the server does.
        match url.recv_timeout(PATIENCE) {
            Ok(url) => {
                if let Some(process) = &mut self.process {
                    process.url = url;
                }
            }
            Err(_) => panic!("the server did not start:\n{}", self.log()),
        }
    }
}

impl Process {
    /// The server is gone and its number may be another's soon: the watchdog must not act any more.
    fn dismiss(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        self.dismiss();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the end of the log of the server `{}`:\n{}", self.name, self.log());
        }
        // Before its data is removed.
        self.process = None;
    }
}
