//! Plugins in an OCI registry: a real one (Debian's `docker-registry`) on this machine's loopback.

use crate::support::api::client;
use crate::support::process::{program, share};
use crate::support::{Server, within};
use ibid_plugin_author::{self as author, AuthorError};
use ibid_plugin_host::digest_of;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `ann` with the password `battery staple`, as htpasswd writes it.
const USERS: &str = "ann:$2b$04$xKzX8hQXVhKMTk1wHHnA/epoNhKI7FUkdJEvoGIQM9WAI61HXyJsm\n";

struct Registry {
    process: Child,
    home: tempfile::TempDir,
    address: String,
}

impl Registry {
    /// Starts one, for all or for those in `USERS`, and waits until it listens.
    fn start(closed: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let path = |name: &str| home.path().join(name).display().to_string();
        fs::write(path("users"), USERS).unwrap();
        let auth = if closed {
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path("users"))
        } else {
            String::new()
        };
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n{auth}",
            path("data")
        );
        fs::write(path("config.yml"), config).unwrap();
        let mut process = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry, which `make test` installs");
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("listening on") {
            assert!(log.read_line(&mut said).unwrap() > 0, "the registry does not start: {said}");
        }
        // It must not wait for a reader of its log.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, home, address }
    }

    fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    async fn manifest(&self, name: &str, tag: &str) -> Value {
        let url = format!("http://{}/v2/{name}/manifests/{tag}", self.address);
        let request = client().get(url).header("accept", MANIFEST);
        within("a manifest", async { request.send().await.unwrap().json().await.unwrap() }).await
    }

    async fn put_manifest(&self, name: &str, tag: &str, manifest: &Value) {
        let url = format!("http://{}/v2/{name}/manifests/{tag}", self.address);
        let request = client().put(url).header("content-type", MANIFEST).body(manifest.to_string());
        let reply = within("a manifest", request.send()).await.unwrap();
        assert_eq!(reply.status(), 201, "{:?}", reply.text().await);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn component(name: &str) -> Vec<u8> {
    fs::read(share().join(format!("plugins/{name}.wasm"))).unwrap()
}

async fn refused(reference: &str) -> String {
    match author::pull(reference, false).await {
        Err(error @ AuthorError::Oci { .. }) => {
            assert_eq!(error.code(), "REGISTRY_FAILED");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_pushed_comes_back_by_tag_and_by_digest() {
    let registry = Registry::start(false);
    let pushed = component("footnotes");
    let pinned = author::push(pushed.clone(), &registry.reference("team/footnotes"), false)
        .await
        .unwrap();
    assert!(pinned.starts_with(&registry.reference("team/footnotes@sha256:")), "{pinned}");
    let again = author::push(pushed.clone(), &registry.reference("team/footnotes:latest"), false)
        .await
        .unwrap();
    assert_eq!(again, pinned, "the same component is the same artifact");
    for reference in [
        registry.reference("team/footnotes:1.0.0"),
        registry.reference("team/footnotes:latest"),
        pinned.clone(),
    ] {
        let pulled = author::pull(&reference, false).await.unwrap();
        assert!(pulled.component == pushed, "{reference}");
        assert_eq!(pulled.pinned, pinned);
    }
    // The tag moves on; what was pinned stays.
    author::push(component("numeric"), &registry.reference("team/footnotes:latest"), false)
        .await
        .unwrap();
    assert!(
        author::pull(&registry.reference("team/footnotes:latest"), false)
            .await
            .unwrap()
            .component
            == component("numeric")
    );
    assert!(author::pull(&pinned, false).await.unwrap().component == pushed);

    // As wkg and Spin lay components out.
    let manifest = registry.manifest("team/footnotes", "1.0.0").await;
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(manifest["layers"][0]["digest"], digest_of(&pushed).as_str());
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "1.0.0");
    let config = format!(
        "http://{}/v2/team/footnotes/blobs/{}",
        registry.address,
        manifest["config"]["digest"].as_str().unwrap()
    );
    let config: Value = client().get(config).send().await.unwrap().json().await.unwrap();
    assert_eq!(config["layerDigests"], json!([digest_of(&pushed)]));
    assert_eq!((&config["architecture"], &config["os"]), (&json!("wasm"), &json!("wasip2")));
    assert_eq!(config["component"]["exports"], json!(["ibid:plugin/citing@1.0.0"]));
}

#[tokio::test]
async fn errors_say_what_is_wrong_with_an_artifact() {
    let registry = Registry::start(false);
    let pushed = component("footnotes");
    let pinned = author::push(pushed.clone(), &registry.reference("x/footnotes:1"), false)
        .await
        .unwrap();
    assert!(refused(&registry.reference("x/footnotes:2")).await.contains("no such artifact"));
    assert!(refused(&registry.reference("x/nothing:1")).await.contains("no such artifact"));
    assert!(refused("footnotes:1").await.contains("names no registry"));
    assert!(refused("127.0.0.1:9/x/UPPER:1").await.contains("write it like"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(refused(&format!("{nobody}/x/y:1")).await.contains("cannot be reached"));

    let manifest = registry.manifest("x/footnotes", "1").await;
    let mut other = manifest.clone();
    other["layers"][0]["mediaType"] = json!("application/x-tar");
    registry.put_manifest("x/footnotes", "tar", &other).await;
    let error = refused(&registry.reference("x/footnotes:tar")).await;
    assert!(error.contains("application/x-tar") && error.contains("application/wasm"), "{error}");
    let mut other = manifest.clone();
    other["layers"][0]["size"] = json!(100 << 20);
    registry.put_manifest("x/footnotes", "large", &other).await;
    assert!(
        refused(&registry.reference("x/footnotes:large"))
            .await
            .contains("larger than 64 MiB")
    );

    let error = author::push(b"no component".to_vec(), &registry.reference("x/y:1"), false)
        .await
        .unwrap_err();
    assert!(!matches!(error, AuthorError::Oci { .. }), "{error}");
    let error = author::push(pushed.clone(), &pinned, false).await.unwrap_err();
    assert!(error.to_string().contains("name a tag"), "{error}");

    // A registry that gives other bytes than it was given.
    let digest = digest_of(&pushed);
    let hex = digest.strip_prefix("sha256:").unwrap();
    let blob = format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    let blob = registry.home.path().join(blob);
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&blob, bytes).unwrap();
    let error = refused(&pinned).await;
    assert!(error.contains("content with another digest"), "{error}");
}

/// `ibid plugin ARGUMENTS`, with Docker's logins from `home`.
async fn ibid(home: &Path, server: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = program(home);
    command.arg("plugin").args(arguments).env("DOCKER_CONFIG", home);
    if let Some(server) = server {
        command.env("IBID_SERVER", server);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_plugin_goes_from_a_closed_registry_into_a_running_server() {
    let registry = Registry::start(true);
    let home = tempfile::tempdir().unwrap();
    let file = share().join("plugins/passthrough.wasm");
    let reference = registry.reference("team/passthrough:mine");
    let push = ["push", file.to_str().unwrap(), &reference];
    let done = ibid(home.path(), None, &push).await;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        !done.status.success() && said.contains(&format!("docker login {}", registry.address)),
        "{said}"
    );

    // As `docker login` writes it: the name and the password in base 64.
    let logins = json!({ "auths": { registry.address.as_str(): { "auth": "YW5uOmJhdHRlcnkgc3RhcGxl" } } });
    fs::write(home.path().join("config.json"), logins.to_string()).unwrap();
    let done = ibid(home.path(), None, &push).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout).unwrap();
    let pinned = said.trim().strip_prefix("Pushed ").unwrap().to_owned();

    // What is printed for programs is the same.
    let again: Value = serde_json::from_slice(&ibid(home.path(), None, &[&push[..], &["--json"]].concat()).await.stdout).unwrap();
    assert_eq!(again["reference"], pinned);

    let done = ibid(home.path(), None, &["pull", &pinned, "--json"]).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(fs::read(home.path().join("passthrough.wasm")).unwrap() == component("passthrough"));
    let pulled: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&pulled["file"], &pulled["digest"]), (&json!("passthrough.wasm"), &again["digest"]));

    let server = Server::start("registry", &[]);
    let done = ibid(home.path(), Some(server.url()), &["install", &format!("oci://{pinned}")]).await;
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success() && said.contains("Installed passthrough 1.0.0") && said.contains(&pinned),
        "{said}"
    );
}
