//! The settings as the program uses them.

use ibid_embed::{Device, Precision, RuntimeChoice};
use ibid_index::Quantization;
use ibid_telemetry::{LogSettings, TelemetrySettings};
use ibid_types::IndexBackend;
use ibid_types::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// All settings, checked against [`super::KEYS`], which says what each one means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Documents, index and catalog.
    pub data_dir: PathBuf,
    /// `lib/`, `models/` and `plugins/`.
    pub share_dir: PathBuf,
    /// The collection where a client names none.
    pub default_collection: String,
    /// The HTTP and WebSocket server.
    pub server: ServerSettings,
    /// Who may use it.
    pub auth: AuthSettings,
    /// The embedding model and its threads.
    pub embedder: EmbedderSettings,
    /// Uploads.
    pub ingest: IngestSettings,
    /// Where files and texts are kept.
    pub files: FilesSettings,
    /// Where vectors are kept.
    pub index: IndexSettings,
    /// The Qdrant server that may keep them.
    pub qdrant: QdrantSettings,
    /// The database that servers share.
    pub catalog: CatalogSettings,
    /// Plugins.
    pub plugins: PluginSettings,
    /// Questions.
    pub query: QuerySettings,
    /// Language models that write answers.
    pub llm: LlmSettings,
    /// What each client may ask.
    pub limits: LimitsSettings,
    /// Alerts.
    pub monitor: MonitorSettings,
    /// The log.
    pub log: LogSettings,
    /// Traces.
    pub telemetry: TelemetrySettings,
}

/// Section `server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// `HOST:PORT`.
    pub listen: String,
    /// Connections at a time.
    pub max_connections: usize,
    /// Bytes of a text message or JSON body.
    pub max_message_bytes: usize,
    /// Bytes of a file.
    pub max_upload_bytes: u64,
    /// Seconds between pings.
    pub ping_interval_seconds: u64,
    /// Seconds for queries in flight at shutdown.
    pub shutdown_deadline_seconds: u64,
    /// Whether an address beyond loopback may be used without authentication.
    pub allow_remote_without_auth: bool,
    /// Host names of a reverse proxy.
    pub allowed_hosts: Vec<String>,
    /// Origins of other pages that may use the server.
    pub allowed_origins: Vec<String>,
    /// Messages that may wait for a WebSocket peer.
    pub outgoing_messages: usize,
    /// Addresses and networks of reverse proxies.
    pub trusted_proxies: Vec<String>,
    /// `x-forwarded-for` or `forwarded`.
    pub forwarded_header: String,
    /// The certificate; empty for none.
    pub tls_cert_file: PathBuf,
    /// Its private key; empty for none.
    pub tls_key_file: PathBuf,
}

/// Section `auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// Whether clients must say who they are.
    pub enabled: bool,
    /// How tokens are signed.
    pub algorithm: String,
    /// Of HS*; empty for none.
    pub secret: Secret,
    /// A file that holds the secret; empty for none.
    pub secret_file: PathBuf,
    /// A public key; empty for none.
    pub public_key_file: PathBuf,
    /// A key set; empty for none.
    pub jwks_file: PathBuf,
    /// The address of a key set; empty for none.
    pub jwks_url: String,
    /// The authorities for that address in place of the system's; empty for these.
    pub jwks_ca_file: PathBuf,
    /// Seconds between fetches of the key set.
    pub jwks_refresh_seconds: u64,
    /// Values of `iss` that are taken; empty for all.
    pub issuers: Vec<String>,
    /// Values of `aud` that are taken; empty for all.
    pub audiences: Vec<String>,
    /// Seconds that clocks may differ.
    pub leeway_seconds: u64,
    /// What `ibid token mint` signs with; empty for none.
    pub private_key_file: PathBuf,
}

/// Section `embedder`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderSettings {
    /// A directory under `models/`.
    pub model: String,
    /// Models that are loaded at a time.
    pub max_models: usize,
    /// Seconds after which an unused one is unloaded.
    pub unload_seconds: u64,
    /// Where models are fetched.
    pub hub_url: String,
    /// The processor that runs it.
    pub device: Device,
    /// The numbers that it computes in.
    pub precision: Precision,
    /// ONNX Runtime's library, or `auto`.
    pub runtime: String,
    /// Where CUDA's libraries lie, besides where the system looks.
    pub cuda_libraries: Vec<String>,
    /// Threads; 0 for one per core.
    pub threads: usize,
    /// Texts that may wait.
    pub queue: usize,
}

impl EmbedderSettings {
    /// Which ONNX Runtime is loaded.
    pub fn runtime_choice(&self) -> RuntimeChoice {
        RuntimeChoice {
            device: self.device,
            library: (self.runtime != "auto").then(|| PathBuf::from(&self.runtime)),
            cuda_libraries: self.cuda_libraries.iter().map(PathBuf::from).collect(),
        }
    }
}

/// Section `ingest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Bytes that stay free on the disk.
    pub disk_reserve_bytes: u64,
    /// Documents at a time.
    pub documents_in_flight: usize,
    /// Percent of the time that re-indexing may work.
    pub reindex_percent: u32,
    /// Uploads at a time.
    pub max_open_uploads: usize,
    /// Events that are kept.
    pub kept_events: u64,
    /// Resumable uploads that may wait.
    pub resumable_uploads: usize,
    /// Seconds that one may.
    pub resumable_seconds: u64,
}

/// Section `catalog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogSettings {
    /// The database that servers share; empty for a file of this server's own.
    pub url: Secret,
    /// A file that holds the address; empty for none.
    pub url_file: PathBuf,
    /// Most connections to it.
    pub connections: u32,
}

/// Section `index`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexSettings {
    /// Where new collections are kept.
    pub default: IndexBackend,
}

/// Section `files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesSettings {
    /// Which store keeps them.
    pub store: FileStoreKind,
    /// The object store that may.
    pub s3: S3Settings,
}

/// Which store keeps files and texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileStoreKind {
    /// The data directory.
    Directory,
    /// An object store.
    S3,
}

/// Section `files.s3`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// The bucket; empty for none.
    pub bucket: String,
    /// What names of objects begin with.
    pub prefix: String,
    /// The server; empty for AWS.
    pub endpoint: String,
    /// As signatures name it.
    pub region: String,
    /// Empty for AWS's own variables and roles.
    pub access_key_id: String,
    /// Its secret; empty for none.
    pub secret_access_key: Secret,
    /// A file that holds the secret; empty for none.
    pub secret_access_key_file: PathBuf,
    /// Whether the bucket is part of the path.
    pub path_style: bool,
    /// Certificates beside the system's; empty for none.
    pub ca_file: PathBuf,
    /// Seconds for which a failed request is sent again.
    pub retry_seconds: u64,
    /// Megabytes of local copies.
    pub cache_mb: u64,
}

/// Section `qdrant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QdrantSettings {
    /// Its gRPC interface; empty for none.
    pub url: String,
    /// Its key; empty for none.
    pub api_key: Secret,
    /// A file that holds the key; empty for none.
    pub api_key_file: PathBuf,
    /// What names of collections begin with.
    pub collection_prefix: String,
    /// Seconds for a request.
    pub timeout_seconds: u64,
    /// Seconds to connect.
    pub connect_timeout_seconds: u64,
    /// Times that a write is sent again.
    pub retries: u32,
    /// Bytes of points in a request.
    pub request_bytes: usize,
    /// Shards of a new collection; 0 for one on each node.
    pub shards: u32,
    /// Nodes that have each shard.
    pub replicas: u32,
    /// Replicas that must have stored a point.
    pub write_consistency: u32,
    /// How vectors are compressed.
    pub quantization: Quantization,
    /// Whether vectors stay on disk.
    pub vectors_on_disk: bool,
    /// Whether the graph does.
    pub graph_on_disk: bool,
    /// Whether payloads do.
    pub payload_on_disk: bool,
}

/// Section `plugins`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSettings {
    /// Whether they may be installed and removed over the network.
    pub install: bool,
    /// Digests of the only ones that may run; empty for all.
    pub allow: Vec<String>,
}

/// Section `query`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuerySettings {
    /// Queries at a time.
    pub max_concurrent: usize,
    /// Queries that wait.
    pub max_waiting: usize,
    /// Queries in flight on one socket.
    pub max_per_connection: usize,
    /// Seconds that one may take.
    pub timeout_seconds: u64,
}

impl QuerySettings {
    /// How long a query may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

/// Section `llm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlmSettings {
    /// Base address of the server; empty for none.
    pub base_url: String,
    /// The model; empty for none.
    pub model: String,
    /// The server's key; empty for none.
    pub api_key: Secret,
    /// A file that holds the key; empty for none.
    pub api_key_file: PathBuf,
    /// Certificates beside the system's; empty for none.
    pub ca_file: PathBuf,
    /// Further servers that pipelines may name.
    pub allowed_base_urls: Vec<String>,
    /// The only models that pipelines may name; empty for all.
    pub allowed_models: Vec<String>,
    /// Tokens of an answer.
    pub max_answer_tokens: u32,
    /// Characters of passages in a prompt.
    pub context_chars: usize,
    /// Seconds to connect.
    pub connect_timeout_seconds: u64,
    /// Seconds until the first token.
    pub first_token_timeout_seconds: u64,
    /// Seconds between tokens.
    pub idle_timeout_seconds: u64,
    /// Seconds for a whole answer.
    pub answer_timeout_seconds: u64,
    /// Times that a request is sent again.
    pub retries: u32,
    /// `fail` or `fallback`.
    pub on_failure: LlmOnFailure,
}

/// What follows when no answer can be had of a language model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmOnFailure {
    /// The query fails.
    Fail,
    /// The extractive generator answers.
    Fallback,
}

/// Section `limits`. 0 is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSettings {
    /// Addresses without limits by address.
    pub exempt_addresses: Vec<String>,
    /// Of a subject in a minute.
    pub subject_requests_per_minute: u32,
    /// From an address in a minute.
    pub address_requests_per_minute: u32,
    /// Of a subject in a minute.
    pub subject_queries_per_minute: u32,
    /// From an address in a minute.
    pub address_queries_per_minute: u32,
    /// Of a subject in a minute.
    pub subject_uploads_per_minute: u32,
    /// From an address in a minute.
    pub address_uploads_per_minute: u32,
    /// Wrong credentials from an address in a minute.
    pub address_failed_authentications_per_minute: u32,
    /// Queries in flight of a client.
    pub queries_at_once: usize,
    /// Connections of an address.
    pub address_connections: usize,
    /// Clients of which each rate is kept.
    pub tracked_clients: usize,
}

/// Section `monitor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitorSettings {
    /// Percent of the cores.
    pub cpu_alert_percent: u32,
    /// Percent of the memory.
    pub memory_alert_percent: u32,
    /// Seconds on average.
    pub response_alert_seconds: u32,
}
