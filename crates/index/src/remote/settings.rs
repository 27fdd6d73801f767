//! The settings of the index in a Qdrant server.

use ibid_settings::{OptionalSettings, OrEmpty, choice, settings};
use ibid_types::secret::Secret;
use std::path::PathBuf;
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

choice!(Quantization { "none" => None, "scalar" => Scalar, "binary" => Binary, "product" => Product });

settings! {
    /// The Qdrant server, and how it is to keep collections: section `qdrant`.
    pub struct RemoteOptions {
        keys {
            /// Address of a Qdrant server's gRPC interface, such as "http://127.0.0.1:6334"; https for TLS with the system's authorities.
            /// Empty: none.
            "qdrant.url" as OrEmpty => url: String = String::new(),
            /// Key for it, which may write; never shown. Better in IBID_QDRANT_API_KEY or qdrant.api_key_file than here.
            "qdrant.api_key" => api_key: Option<Secret> = None,
            /// A file whose content is the key, in place of qdrant.api_key.
            "qdrant.api_key_file" => api_key_file: Option<PathBuf> = None,
            /// What the names of all collections in it begin with: up to 100 letters, digits, - and _. Each Ibid that uses the same
            /// server needs its own.
            "qdrant.collection_prefix" as OrEmpty => prefix: String = "ibid_".to_owned(),
            /// Seconds that a request to it may take.
            "qdrant.timeout_seconds" [range(1, 3600)] => timeout: Duration = Duration::from_secs(30),
            /// Seconds to reach it.
            "qdrant.connect_timeout_seconds" [range(1, 600)] => connect_timeout: Duration = Duration::from_secs(5),
            /// Times that a write is sent again, with growing pauses, before the server counts as away. Documents then wait until it is
            /// back.
            "qdrant.retries" [range(0, 20)] => retries: u32 = 4,
            /// Bytes of points in one request, about.
            "qdrant.request_bytes" [range(1024, 1 << 30)] => request_bytes: usize = 4 << 20,
            /// Shards of a new collection; 0 takes one for each node. Word weights (BM25) are counted within a shard.
            "qdrant.shards" [range(0, 1024)] => shards: Option<u32> = None,
            /// Nodes that have each shard of a new collection.
            "qdrant.replicas" [range(1, 32)] => replicas: u32 = 1,
            /// Replicas that must have stored a point before it counts as stored, of a new collection.
            "qdrant.write_consistency" [range(1, 32)] => write_consistency: u32 = 1,
            /// How the vectors of a new collection are compressed for searches: scalar takes a quarter of the memory, binary (for 1024
            /// dimensions and more) a thirty-second part, product a sixteenth.
            "qdrant.quantization" => quantization: Quantization = Quantization::None,
            /// Whether the vectors of a new collection stay on disk, cached as they are used, rather than in memory.
            "qdrant.vectors_on_disk" => vectors_on_disk: bool = true,
            /// The same for its graph.
            "qdrant.graph_on_disk" => graph_on_disk: bool = false,
            /// The same for what filters ask for.
            "qdrant.payload_on_disk" => payload_on_disk: bool = true,
        }
        secrets { "qdrant.api_key" => api_key or api_key_file }
    }
}

impl RemoteOptions {
    /// Returns the defaults for a server.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }
}

impl OptionalSettings for RemoteOptions {
    fn is_set(&self) -> bool {
        !self.url.is_empty()
    }
}
