//! An S3 server: moto's, from PyPI, which keeps its objects in memory. Where it cannot be had, tests that need it say past the
//! capture of their output that they were not run. Uses nothing but the standard library, so that the tests of the file store in
//! `src/` have it too.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Longest time for it to answer after its start.
const STARTING: Duration = Duration::from_secs(120);

/// Below `target/`, fetched where it is not there yet.
fn packages() -> Option<PathBuf> {
    static HOME: OnceLock<Option<PathBuf>> = OnceLock::new();
    HOME.get_or_init(|| {
        let fetched = fetch();
        if let Err(why) = &fetched {
            let _ = writeln!(
                std::io::stderr(),
                "NOT RUN: tests that need an S3 server: moto cannot be had: {why}"
            );
        }
        fetched.ok()
    })
    .clone()
}

fn fetch() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (home, list) = (root.join("target/moto"), root.join("tests/support/moto-requirements.txt"));
    let noted = home.join("installed.txt");
    let wanted = fs::read(&list).map_err(|error| error.to_string())?;
    if !fs::read(&noted).is_ok_and(|installed| installed == wanted) {
        let _ = fs::remove_dir_all(&home);
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
        let mut command = Command::new("python3");
        command.args(pip).arg(&home).arg("-r").arg(&list).stdin(Stdio::null());
        let done = command.output().map_err(|error| format!("python3: {error}"))?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        fs::write(noted, wanted).map_err(|error| error.to_string())?;
    }
    Ok(home)
}

/// The server. Dropping it ends it.
pub struct Moto {
    process: Child,
    address: String,
}

impl Moto {
    /// Starts one with a bucket of this name; `None` where there is none to start.
    pub fn start(bucket: &str) -> Option<Self> {
        let home = packages()?;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut command = Command::new("python3");
        command
            .args([
                "-c",
                "from moto.server import main; main()",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .env("PYTHONPATH", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let moto = Self {
            process: command.spawn().expect("starting moto"),
            address: format!("127.0.0.1:{port}"),
        };
        let started = Instant::now();
        while moto.ask("PUT", bucket).is_none() {
            assert!(started.elapsed() < STARTING, "waited in vain for moto to answer");
            thread::sleep(Duration::from_millis(100));
        }
        Some(moto)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Names of all objects in a bucket, in order.
    pub fn objects(&self, bucket: &str) -> Vec<String> {
        let answer = self.ask("GET", &format!("{bucket}?list-type=2")).expect("an answer");
        assert!(!answer.contains("<IsTruncated>true"), "more objects than one answer lists");
        let keys = answer.split("<Key>").skip(1);
        keys.filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
    }

    /// Returns a successful answer; `None` if there is none.
    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let host = &self.address;
        // Signed by nobody that moto checks; without that it takes the asker for the public.
        let signed = "Authorization: AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        write!(
            stream,
            "{method} /{path} HTTP/1.1\r\nHost: {host}\r\n{signed}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains(" 200 OK").then_some(answer)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
