//! TLS: requests and sockets over it, certificates that change, and handshakes that lead nowhere.

use crate::support::process::program;
use crate::support::{Server, files, within};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Certificate;
use std::path::Path;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An authority of one's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    /// Writes a new certificate for this machine, and its key, as careful operators do.
    fn issue(&self, directory: &Path) {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let cert = CertificateParams::new(names)
            .expect("parameters")
            .signed_by(&key, &*self.0)
            .expect("a certificate");
        replace(directory, "key.pem", &key.serialize_pem());
        replace(directory, "cert.pem", &cert.pem());
    }

    /// A client that trusts it alone, and begins each request on a connection of its own.
    fn client(&self) -> reqwest::Client {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let root = Certificate::from_pem(self.0.pem().as_bytes()).expect("a certificate");
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .tls_certs_only([root]);
        client.build().expect("a client")
    }
}

fn replace(directory: &Path, name: &str, content: &str) {
    let next = directory.join("next");
    std::fs::write(&next, content).expect("written");
    std::fs::rename(next, directory.join(name)).expect("in its place");
}

fn start(name: &'static str, directory: &TempDir) -> Server {
    let at = |file: &str| directory.path().join(file).display().to_string();
    let settings = [
        format!("server.tls_cert_file={}", at("cert.pem")),
        format!("server.tls_key_file={}", at("key.pem")),
    ];
    Server::start(name, &settings.each_ref().map(String::as_str))
}

async fn answers(client: &reqwest::Client, server: &Server) -> bool {
    let asked = within("an answer", client.get(format!("{}/health/live", server.url())).send()).await;
    asked.is_ok_and(|answer| answer.status().is_success())
}

#[tokio::test]
async fn requests_sockets_and_commands_work_over_tls_and_the_certificate_may_change() {
    let directory = tempfile::tempdir().expect("a directory");
    let (old, new) = (Authority::new(), Authority::new());
    old.issue(directory.path());
    let server = start("tls", &directory);
    assert!(server.url().starts_with("https://127.0.0.1:"), "{}", server.url());
    assert!(answers(&old.client(), &server).await);
    assert!(
        !answers(&new.client(), &server).await,
        "whoever does not trust the authority is not connected"
    );

    // The commands of `ibid`: uploads, and a socket.
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, old.0.pem()).expect("written");
    let file = files::report("report.pdf");
    std::fs::write(directory.path().join(&file.name), &file.bytes).expect("written");
    let run = async |arguments: &[&str]| {
        let mut command = program(directory.path());
        command.args(arguments).args(["--server", server.url(), "--ca"]).arg(&ca);
        let output = within("a command", tokio::process::Command::from(command).output())
            .await
            .expect("ibid");
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (done, said) = run(&["ingest", "report.pdf"]).await;
    assert!(done, "{said}");
    let (done, said) = run(&["ask", "What is the annual budget of the IT department?"]).await;
    assert!(done && said.contains("4.2 million"), "{said}");

    // A connection that is there when the certificate changes.
    let kept = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(1)
        .tls_certs_only([Certificate::from_pem(old.0.pem().as_bytes()).expect("a certificate")])
        .build()
        .expect("a client");
    assert!(answers(&kept, &server).await);

    // A broken one changes nothing.
    replace(directory.path(), "cert.pem", "garbage");
    within("the log to tell of it", async {
        while !server.whole_log().contains("the old one stays") {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(answers(&old.client(), &server).await);

    new.issue(directory.path());
    within("the new certificate", async {
        while !answers(&new.client(), &server).await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(!answers(&old.client(), &server).await);
    assert!(answers(&kept, &server).await, "the connection stayed, and was not made anew");
    let (done, said) = run(&["ask", "What?"]).await;
    assert!(!done && said.contains("ertificate"), "{said}");
}

#[tokio::test]
async fn what_is_no_handshake_leads_nowhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    authority.issue(directory.path());
    let server = start("tls-bad", &directory);
    let address = server.url().trim_start_matches("https://").to_owned();
    // Plain HTTP is not answered as such; and somebody who says nothing holds nobody up.
    let silent = TcpStream::connect(&address).await.expect("a connection");
    let mut plain = TcpStream::connect(&address).await.expect("a connection");
    plain
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    let _ = within("the end", plain.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
    assert!(answers(&authority.client(), &server).await);
    drop(silent);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_an_error_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    Authority::new().issue(directory.path());
    std::fs::rename(directory.path().join("cert.pem"), directory.path().join("other.pem")).expect("renamed");
    Authority::new().issue(directory.path());
    let serve = |cert: &str, key: &str| {
        let mut command = program(directory.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
        for setting in [format!("server.tls_cert_file={cert}"), format!("server.tls_key_file={key}")] {
            command.args(["--set", &setting]);
        }
        let output = command.output().expect("ibid");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (cert, key, wanted) in [
        ("cert.pem", "none.pem", "server.tls_key_file"),
        ("none.pem", "key.pem", "server.tls_cert_file"),
        ("other.pem", "key.pem", "do not go together"),
        ("cert.pem", "", "must both be set"),
    ] {
        let said = serve(cert, key);
        assert!(said.contains(wanted), "{said}");
    }
}
