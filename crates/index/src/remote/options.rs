//! The settings of a Qdrant server.

use ibid_types::secret::Secret;
use std::time::Duration;

/// How the server compresses vectors for searches, in addition to the originals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    /// No compression.
    None,
    /// One byte for each number: a quarter of the memory.
    Scalar,
    /// One bit for each number: a 32nd of the memory. For embeddings of 1024 dimensions and more.
    Binary,
    /// About one byte for sixteen numbers: the smallest and the slowest.
    Product,
}

/// The settings of a Qdrant server.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// The address of its gRPC interface: `http://HOST:6334`, or `https://` for TLS with the system's authorities.
    pub url: String,
    /// The API key, sent with every request.
    pub api_key: Option<Secret>,
    /// The prefix of the names of all collections, so that others may use the server as well: letters, digits, `-` and `_`.
    pub prefix: String,
    /// The time limit of a request.
    pub timeout: Duration,
    /// The time limit to connect.
    pub connect_timeout: Duration,
    /// How often a request is retried that failed for a transient reason, with growing pauses.
    pub retries: u32,
    /// The approximate size of a request with points, in bytes.
    pub request_bytes: usize,
    /// The number of shards of a new collection; `None` leaves it to the server, which takes one for each node.
    pub shards: Option<u32>,
    /// The number of nodes that have each shard.
    pub replicas: u32,
    /// The number of nodes that must have stored a point before it counts as stored.
    pub write_consistency: u32,
    /// How vectors are compressed.
    pub quantization: Quantization,
    /// Whether vectors stay on disk, cached as they are used, rather than in memory.
    pub vectors_on_disk: bool,
    /// Whether the graph stays on disk.
    pub graph_on_disk: bool,
    /// Whether payloads stay on disk.
    pub payload_on_disk: bool,
}

impl RemoteOptions {
    /// Returns the default settings of a server.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            prefix: "ibid_".to_owned(),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            retries: 4,
            request_bytes: 4 << 20,
            shards: None,
            replicas: 1,
            write_consistency: 1,
            quantization: Quantization::None,
            vectors_on_disk: true,
            graph_on_disk: false,
            payload_on_disk: true,
        }
    }
}
