//! A PostgreSQL server of a test's own: in a directory that goes with it, on a free port, over loopback alone.
//!
//! Its programs refuse to run as root: as root they run as the user `postgres`, or `nobody`. Used by the program's own tests and
//! by those over sockets.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A running server. It is killed when this is dropped.
pub struct Postgres {
    server: Child,
    port: u16,
    databases: AtomicU32,
    directory: tempfile::TempDir,
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    places.into_iter().map(|place| place.join(name)).find(|program| program.is_file())
}

/// Who runs it: `None` for this process's own user.
fn user() -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)))
}

fn run_as(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

impl Postgres {
    /// Starts one; `None`, after saying so, where its programs are not on this machine.
    pub fn start() -> Option<Self> {
        let (Some(initdb), Some(postgres)) = (program("initdb"), program("postgres")) else {
            // Past the capture of the test's output.
            let _ = writeln!(
                std::io::stderr(),
                "NOT RUN: a test that needs PostgreSQL's programs: initdb and postgres are not on this machine"
            );
            return None;
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        if let Some((user, group)) = user() {
            std::os::unix::fs::chown(directory.path(), Some(user), Some(group)).expect("a directory of PostgreSQL's user");
        }
        let data = directory.path().join("data");
        let made = run_as(&initdb)
            .args(["--username=ibid", "--auth=trust", "--encoding=UTF8", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let server = Self::serve(&postgres, &data, port);
        let postgres = Self {
            server,
            port,
            databases: AtomicU32::new(0),
            directory,
        };
        postgres.wait();
        Some(postgres)
    }

    fn serve(postgres: &Path, data: &Path, port: u16) -> Child {
        let mut command = run_as(postgres);
        command.arg("-D").arg(data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-F"]);
        command.arg("-k").arg(data);
        command.args(["-c", "max_connections=200"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres runs")
    }

    fn sql(&self, sql: &str) -> bool {
        self.query(sql).is_some()
    }

    /// What a statement gives; `None` where it fails.
    fn query(&self, sql: &str) -> Option<String> {
        let psql = program("psql").expect("psql is where postgres is");
        let address = self.address("postgres");
        let output = Command::new(psql)
            .args(["-qXAt", "-c", sql, &address])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(told)
    }

    /// Until it answers. It says nothing when it is ready but that.
    fn wait(&self) {
        let begun = std::time::Instant::now();
        while !self.sql("SELECT 1") {
            assert!(begun.elapsed().as_secs() < 60, "PostgreSQL does not answer");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn address(&self, database: &str) -> String {
        format!("postgres://ibid@127.0.0.1:{}/{database}", self.port)
    }

    /// Address of a database that is new.
    pub fn database(&self) -> String {
        let name = format!("test_{}_{}", std::process::id(), self.databases.fetch_add(1, Ordering::Relaxed));
        assert!(self.sql(&format!("CREATE DATABASE {name}")), "a database is made");
        self.address(&name)
    }

    /// Has it take connections by TLS alone, with this certificate and key, both in PEM.
    #[allow(dead_code, reason = "the tests over sockets do without")]
    pub fn ask_for_tls(&self, certificate: &str, key: &str) {
        let data = self.directory.path().join("data");
        for (name, text) in [
            ("server.crt", certificate),
            ("server.key", key),
            ("pg_hba.conf", "hostssl all all 127.0.0.1/32 trust\n"),
        ] {
            let path = data.join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its owner's alone");
            if let Some((user, group)) = user() {
                std::os::unix::fs::chown(&path, Some(user), Some(group)).expect("a file of PostgreSQL's user");
            }
        }
        assert!(self.sql("ALTER SYSTEM SET ssl = on"), "TLS is asked for");
        assert!(self.sql("SELECT pg_reload_conf()"), "it is told");
        let begun = std::time::Instant::now();
        while self.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").as_deref() != Some("t") {
            assert!(begun.elapsed().as_secs() < 60, "PostgreSQL takes no TLS");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        // Its children end when it does: SIGQUIT is its immediate shutdown.
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }

    /// Starts it again after that, where it was.
    #[allow(dead_code, reason = "the program's own tests do without")]
    pub fn restart(&mut self) {
        let postgres = program("postgres").expect("it was there");
        self.server = Self::serve(&postgres, &self.directory.path().join("data"), self.port);
        self.wait();
    }

    /// The server's own address, from which databases can be made.
    #[allow(dead_code, reason = "the tests over sockets make theirs by `database`")]
    pub fn url(&self) -> String {
        self.address("postgres")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}
