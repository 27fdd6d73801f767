//! Qdrant servers: a door before one that can be shut, and processes of the program at
//! `IBID_TEST_QDRANT_BINARY`; and what only seems to be one. Tests that need a real one say past the capture of their output that they were not run.

use super::{PATIENCE, within};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use qdrant_client::Qdrant;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

fn variable_or_note(variable: &str, once: &'static Once) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        once.call_once(|| {
            let _ = writeln!(std::io::stderr(), "NOT RUN: tests that need a Qdrant server: {variable} is not set");
        });
    }
    value
}

/// The program.
pub fn program() -> Option<PathBuf> {
    static NOTED: Once = Once::new();
    variable_or_note("IBID_TEST_QDRANT_BINARY", &NOTED).map(PathBuf::from)
}

/// A client of the server, which knows nothing of Ibid.
pub fn client(url: &str) -> Qdrant {
    let client = Qdrant::from_url(url).timeout(PATIENCE).skip_compatibility_check();
    client.api_key(std::env::var("IBID_TEST_QDRANT_API_KEY")).build().expect("a client")
}

/// Points in all collections whose names begin so, and how many collections there are.
pub async fn points(client: &Qdrant, prefix: &str) -> (usize, u64) {
    let list = client.list_collections().await.expect("a list");
    let (mut collections, mut points) = (0, 0);
    for collection in list.collections.iter().filter(|collection| collection.name.starts_with(prefix)) {
        let request = qdrant_client::qdrant::CountPointsBuilder::new(&collection.name).exact(true);
        let count = client.count(request).await.expect("a count");
        collections += 1;
        points += count.result.expect("a count").count;
    }
    (collections, points)
}

/// Removes what a test left.
pub async fn clear(client: &Qdrant, prefix: &str) {
    let list = client.list_collections().await.expect("a list");
    for collection in list.collections.iter().filter(|collection| collection.name.starts_with(prefix)) {
        client.delete_collection(&collection.name).await.expect("deleted");
    }
}

/// A prefix that no other test has.
pub fn prefix(name: &str) -> String {
    format!("test-{name}-{}-", uuid::Uuid::new_v4().simple())
}

/// A door before a server: shut, nothing listens there.
pub struct Door {
    address: SocketAddr,
    server: String,
    open: Option<AbortOnDropHandle<()>>,
}

impl Door {
    /// A door before the server at `url`, shut.
    pub async fn shut_before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self {
            address: listener.local_addr().expect("an address"),
            server: url.trim_start_matches("http://").to_owned(),
            open: None,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn open(&mut self) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(self.address).expect("the port is still ours");
        let listener = socket.listen(64).expect("listening");
        let server = self.server.clone();
        let work = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.expect("a connection");
                let server = server.clone();
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(&server).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        self.open = Some(AbortOnDropHandle::new(work));
    }

    /// Shuts it: connections break, and nothing listens any more when this returns.
    pub async fn shut(&mut self) {
        if let Some(open) = self.open.take() {
            open.abort();
            let _ = open.await;
        }
    }
}

/// Something that answers as a Qdrant server without collections does, and fails for whoever wants to store anything: enough to begin a
/// move, and never to end it.
pub struct Gate {
    url: String,
    _serving: AbortOnDropHandle<()>,
}

impl Gate {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answers = service_fn(|request: Request<Incoming>| async move { Ok::<_, Infallible>(gate(request.uri().path())) });
                connections.spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answers));
            }
        });
        Self {
            url,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Its answer to a call of gRPC.
fn gate(path: &str) -> Response<BoxBody<Bytes, Infallible>> {
    // The message, or the status.
    let (message, status): (&[u8], &str) = match path.rsplit('/').next() {
        // That it does not.
        Some("CollectionExists") => (&[0x0a, 0], "0"),
        Some("List") => (&[], "0"),
        Some("Delete") => (&[], "5"),
        _ => (&[], "14"),
    };
    let response = Response::builder().header("content-type", "application/grpc");
    if status != "0" {
        let body = Empty::new().boxed();
        return response.header("grpc-status", status).body(body).expect("a response");
    }
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    let data = [&[0], length.as_slice(), message].concat();
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let frames = [Frame::data(Bytes::from(data)), Frame::trailers(trailers)];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    response.body(body.boxed()).expect("a response")
}

/// A Qdrant process with a storage of its own.
pub struct Node {
    program: PathBuf,
    home: TempDir,
    http: u16,
    grpc: u16,
    peer: u16,
    bootstrap: Option<String>,
    clustered: bool,
    process: Option<Child>,
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Node {
    /// A node by itself.
    pub async fn start(program: PathBuf) -> Self {
        Self::new(program, false, None).await
    }

    /// A node of a cluster: the first, or one that joins that which is named.
    pub async fn join(program: PathBuf, first: Option<&Node>) -> Self {
        let bootstrap = first.map(|first| format!("http://127.0.0.1:{}", first.peer));
        Self::new(program, true, bootstrap).await
    }

    async fn new(program: PathBuf, clustered: bool, bootstrap: Option<String>) -> Self {
        let mut node = Self {
            program,
            home: tempfile::tempdir().expect("a directory"),
            http: free_port(),
            grpc: free_port(),
            peer: free_port(),
            bootstrap,
            clustered,
            process: None,
        };
        node.launch().await;
        node
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// Starts it, again too; returns when it answers.
    pub async fn launch(&mut self) {
        let mut command = Command::new(&self.program);
        command
            .current_dir(self.home.path())
            .env("QDRANT__STORAGE__STORAGE_PATH", self.home.path().join("storage"))
            .env("QDRANT__STORAGE__SNAPSHOTS_PATH", self.home.path().join("snapshots"))
            .env("QDRANT__SERVICE__HOST", "127.0.0.1")
            .env("QDRANT__SERVICE__HTTP_PORT", self.http.to_string())
            .env("QDRANT__SERVICE__GRPC_PORT", self.grpc.to_string())
            .env("QDRANT__TELEMETRY_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if self.clustered {
            command
                .env("QDRANT__CLUSTER__ENABLED", "true")
                .env("QDRANT__CLUSTER__P2P__PORT", self.peer.to_string())
                .args(["--uri", &format!("http://127.0.0.1:{}", self.peer)]);
            if let Some(first) = &self.bootstrap {
                command.args(["--bootstrap", first]);
            }
        }
        self.process = Some(command.spawn().expect("starting Qdrant"));
        let client = client(&self.url());
        within("Qdrant to answer", async {
            while client.list_collections().await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }

    /// Ends it as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("killing Qdrant");
            process.wait().expect("its end");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
