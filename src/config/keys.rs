//! The table of settings.

use std::path::PathBuf;
use toml::Value;

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text but the empty one.
    Text,
    /// As the kind inside, or the empty text for none.
    Optional(&'static Kind),
    /// A text that is never printed; empty for none.
    Secret,
    /// A directory. `~/` is the home directory; in a file, relative paths start at the file's directory.
    Path,
    /// `HOST:PORT`; the host an IP address or a name.
    Address,
    /// A whole number, both ends included.
    Integer(i64, i64),
    /// `true` or `false`.
    Boolean,
    /// Texts; a variable or flag separates them by commas.
    Texts,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `section.name`, or a name alone.
    pub path: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Its value where nobody sets it.
    default: fn() -> Value,
    /// One sentence, with the unit.
    pub help: &'static str,
}

impl Key {
    /// The value that holds where nobody sets another.
    pub fn default(&self) -> Value {
        (self.default)()
    }

    /// The environment variable that sets it: `server.listen` is `IBID_SERVER_LISTEN`.
    pub fn variable(&self) -> String {
        format!("IBID_{}", self.path.replace('.', "_").to_uppercase())
    }

    /// The section that it is in: `server`, or `files.s3` within `files`; `None` for those of the whole server.
    pub fn section(&self) -> Option<&'static str> {
        self.path.rsplit_once('.').map(|(section, _)| section)
    }

    /// Whether it can change while the server runs (`PUT /config`).
    pub fn is_live(&self) -> bool {
        LIVE.contains(&self.path)
    }

    /// The key with this path.
    pub fn find(path: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.path == path)
    }
}

const GIB: i64 = 1 << 30;

/// Settings that can change while the server runs: those that are asked for anew each time. Others are what sockets, threads
/// and files were made with.
const LIVE: &[&str] = &[
    "limits.address_connections",
    "limits.address_failed_authentications_per_minute",
    "limits.address_queries_per_minute",
    "limits.address_requests_per_minute",
    "limits.address_uploads_per_minute",
    "limits.exempt_addresses",
    "limits.queries_at_once",
    "limits.subject_queries_per_minute",
    "limits.subject_requests_per_minute",
    "limits.subject_uploads_per_minute",
    "log.access_per_second",
    "log.level",
    "monitor.cpu_alert_percent",
    "monitor.memory_alert_percent",
    "monitor.response_alert_seconds",
    "plugins.install",
    "query.max_concurrent",
    "query.max_per_connection",
    "query.timeout_seconds",
];

/// All settings, sections together, in the order in which they are printed.
pub const KEYS: &[Key] = &[
    Key {
        path: "data_dir",
        kind: Kind::Path,
        default: || path(data_home()),
        help: "Documents, index and catalog. Ibid owns this directory; back it up as a whole.",
    },
    Key {
        path: "share_dir",
        kind: Kind::Path,
        default: || path(share_home()),
        help: "What ships with Ibid: lib/ (ONNX Runtime), models/, plugins/. `make setup` fills it.",
    },
    Key {
        path: "default_collection",
        kind: Kind::Text,
        default: || text("documents"),
        help: "The collection that is meant where a client names none.",
    },
    Key {
        path: "server.listen",
        kind: Kind::Address,
        default: || text("127.0.0.1:8000"),
        help: "Address and port of the HTTP and WebSocket server. Port 0 takes any free one.",
    },
    Key {
        path: "server.max_connections",
        kind: Kind::Integer(1, 1_000_000),
        default: || Value::Integer(2048),
        help: "Connections at a time; one more is answered 503.",
    },
    Key {
        path: "server.max_message_bytes",
        kind: Kind::Integer(1024, GIB),
        default: || Value::Integer(1 << 20),
        help: "Longest WebSocket text message and JSON body, in bytes.",
    },
    Key {
        path: "server.max_upload_bytes",
        kind: Kind::Integer(1, 1 << 40),
        default: || Value::Integer(256 << 20),
        help: "Largest file that may be uploaded, in bytes.",
    },
    Key {
        path: "server.ping_interval_seconds",
        kind: Kind::Integer(1, 3600),
        default: || Value::Integer(20),
        help: "Seconds between keep-alive pings; a client silent for two of them is disconnected.",
    },
    Key {
        path: "server.shutdown_deadline_seconds",
        kind: Kind::Integer(0, 3600),
        default: || Value::Integer(10),
        help: "Seconds that queries in flight get to finish when the server is stopped.",
    },
    Key {
        path: "server.allow_remote_without_auth",
        kind: Kind::Boolean,
        default: || Value::Boolean(false),
        help: "Whether to listen on addresses that other machines can reach although anyone there may read, write and delete everything.",
    },
    Key {
        path: "server.allowed_hosts",
        kind: Kind::Texts,
        default: || Value::Array(Vec::new()),
        help: "Host names, beside IP addresses and localhost, under which browsers may address the server: those of a reverse proxy.",
    },
    Key {
        path: "server.allowed_origins",
        kind: Kind::Texts,
        default: || Value::Array(Vec::new()),
        help: "Origins, such as \"https://app.example.org\", whose pages may use the server beside its own.",
    },
    Key {
        path: "server.outgoing_messages",
        kind: Kind::Integer(1, 100_000),
        default: || Value::Integer(32),
        help: "Messages that may wait for one WebSocket peer; when they are that many, the generator waits for it.",
    },
    Key {
        path: "server.trusted_proxies",
        kind: Kind::Texts,
        default: || Value::Array(Vec::new()),
        help: "Addresses or networks (\"10.0.0.0/8\") of reverse proxies, which are believed when they say in a header field whose request they pass on.",
    },
    Key {
        path: "server.forwarded_header",
        kind: Kind::Choice(&["x-forwarded-for", "forwarded"]),
        default: || text("x-forwarded-for"),
        help: "The header field in which trusted proxies name the client. Only this one is read: a proxy passes the other on as the client wrote it.",
    },
    Key {
        path: "server.tls_cert_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A PEM file with the server's certificate and those between it and its authority. With server.tls_key_file the server speaks https and wss; empty: http and ws.",
    },
    Key {
        path: "server.tls_key_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A PEM file with the certificate's private key. Both files are read again when they change.",
    },
    Key {
        path: "auth.enabled",
        kind: Kind::Boolean,
        default: || Value::Boolean(false),
        help: "Whether clients must say who they are, by an API key (`ibid key new`) or by a JSON Web Token signed with one of the keys below.",
    },
    Key {
        path: "auth.algorithm",
        kind: Kind::Choice(&[
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
        ]),
        default: || text("HS256"),
        help: "The one algorithm by which tokens are signed, whatever a token says: HS256/384/512, RS256/384/512, PS256/384/512, ES256, ES384 or EdDSA.",
    },
    Key {
        path: "auth.secret",
        kind: Kind::Secret,
        default: || text(""),
        help: "For HS*: the secret that signs tokens, at least as many bytes as the hash (HS256: 32). Better in IBID_AUTH_SECRET or auth.secret_file than here.",
    },
    Key {
        path: "auth.secret_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A file whose content is the secret, in place of auth.secret.",
    },
    Key {
        path: "auth.public_key_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "For all but HS*: a PEM file with the public key that checks tokens.",
    },
    Key {
        path: "auth.jwks_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "For all but HS*: a JSON Web Key Set in a file, read again when it changes.",
    },
    Key {
        path: "auth.jwks_url",
        kind: Kind::Optional(&Kind::Text),
        default: || text(""),
        help: "For all but HS*: the address of a JSON Web Key Set, such as \"https://login.example.org/.well-known/jwks.json\". Set auth.audiences with it.",
    },
    Key {
        path: "auth.jwks_ca_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A PEM file of the authorities that may have signed the certificate of auth.jwks_url, in place of the system's.",
    },
    Key {
        path: "auth.jwks_refresh_seconds",
        kind: Kind::Integer(1, 86_400),
        default: || Value::Integer(300),
        help: "Seconds after which the keys of auth.jwks_url are fetched again. A token with a key that is not known yet has them fetched at once, at most every 5 seconds.",
    },
    Key {
        path: "auth.issuers",
        kind: Kind::Texts,
        default: || Value::Array(Vec::new()),
        help: "Issuers (claim `iss`) whose tokens are taken; an empty list takes all.",
    },
    Key {
        path: "auth.audiences",
        kind: Kind::Texts,
        default: || Value::Array(Vec::new()),
        help: "Names of this server in the claim `aud`: only tokens made for one of them are taken; an empty list takes all.",
    },
    Key {
        path: "auth.leeway_seconds",
        kind: Kind::Integer(0, 600),
        default: || Value::Integer(5),
        help: "Seconds that the clocks of who signs tokens and of this server may differ.",
    },
    Key {
        path: "auth.private_key_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A PEM file with the private key by which `ibid token mint` signs, for development. The server does not need it.",
    },
    Key {
        path: "embedder.model",
        kind: Kind::Text,
        default: || text("all-MiniLM-L6-v2"),
        help: "The embedding model where a pipeline names none: a directory under models/ of the share directory, or another one by its whole path.",
    },
    Key {
        path: "embedder.max_models",
        kind: Kind::Integer(1, 1_000),
        default: || Value::Integer(4),
        help: "Embedding models that are loaded at a time, that of embedder.model among them; a model in two precisions counts twice.",
    },
    Key {
        path: "embedder.unload_seconds",
        kind: Kind::Integer(1, 31_536_000),
        default: || Value::Integer(900),
        help: "Seconds after which a model that nobody uses is unloaded; that of embedder.model stays.",
    },
    Key {
        path: "embedder.hub_url",
        kind: Kind::Text,
        default: || text("https://huggingface.co"),
        help: "Where `ibid model pull` fetches models: a hub that serves files as NAME/resolve/REVISION/FILE.",
    },
    Key {
        path: "embedder.device",
        kind: Kind::Choice(&["auto", "cpu", "cuda", "required"]),
        default: || text("auto"),
        help: "auto takes a GPU where one is found, and the GPU build of ONNX Runtime; cuda warns if it finds none, required refuses to start.",
    },
    Key {
        path: "embedder.precision",
        kind: Kind::Choice(&["auto", "fp32", "int8", "fp16"]),
        default: || text("auto"),
        help: "auto is fp32 on a CPU and fp16 on a GPU. int8 is faster on a CPU, and nearly as good (docs/embedding.md).",
    },
    Key {
        path: "embedder.runtime",
        kind: Kind::Text,
        default: || text("auto"),
        help: "ONNX Runtime's library; auto takes lib/cuda/ of the share directory for a GPU if it is there, or lib/.",
    },
    Key {
        path: "embedder.cuda_libraries",
        kind: Kind::Texts,
        default: || Value::Array(Vec::new()),
        help: "Directories with CUDA's libraries (or above them), besides those where the system looks.",
    },
    Key {
        path: "embedder.threads",
        kind: Kind::Integer(0, 1024),
        default: || Value::Integer(0),
        help: "Threads that embed documents (beside a GPU: that read them), each on one core; 0 takes as many as there are cores.",
    },
    Key {
        path: "embedder.queue",
        kind: Kind::Integer(1, 1_000_000),
        default: || Value::Integer(1024),
        help: "Texts that may wait for the embedder.",
    },
    Key {
        path: "ingest.disk_reserve_bytes",
        kind: Kind::Integer(0, 1 << 50),
        default: || Value::Integer(512 << 20),
        help: "Bytes that stay free on the disk of data_dir: with less, uploads are refused and what was accepted waits, while questions and deletions go on. 0: none.",
    },
    Key {
        path: "ingest.documents_in_flight",
        kind: Kind::Integer(1, 1024),
        default: || Value::Integer(4),
        help: "Documents that are processed at a time; others wait on disk.",
    },
    Key {
        path: "ingest.reindex_percent",
        kind: Kind::Integer(1, 100),
        default: || Value::Integer(50),
        help: "Percent of the time that re-indexing a collection may work; the rest is left to uploads and questions.",
    },
    Key {
        path: "ingest.max_open_uploads",
        kind: Kind::Integer(1, 1_000_000),
        default: || Value::Integer(1_000),
        help: "Uploads that may be received, wait or be processed at a time; one more is answered 503.",
    },
    Key {
        path: "ingest.kept_events",
        kind: Kind::Integer(1, 10_000_000),
        default: || Value::Integer(10_000),
        help: "Events of /ws/collections that are kept for clients that ask for what they missed.",
    },
    Key {
        path: "ingest.resumable_uploads",
        kind: Kind::Integer(1, 1_000_000),
        default: || Value::Integer(1000),
        help: "Resumable uploads that may wait for their bytes; one more is refused until one ends.",
    },
    Key {
        path: "ingest.resumable_seconds",
        kind: Kind::Integer(1, 31_536_000),
        default: || Value::Integer(86_400),
        help: "Seconds that a suspended upload waits to be resumed before its bytes are dropped.",
    },
    Key {
        path: "catalog.url",
        kind: Kind::Secret,
        default: || text(""),
        help: "PostgreSQL database that servers share as their catalog, such as \"postgres://ibid:password@db.example/ibid?sslmode=verify-full\"; never shown. Needs qdrant.url and files.store = \"s3\". Better in IBID_CATALOG_URL or catalog.url_file than here. Empty: a file in the data directory, for this server alone.",
    },
    Key {
        path: "catalog.url_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A file whose content is the address, in place of catalog.url.",
    },
    Key {
        path: "catalog.connections",
        kind: Kind::Integer(2, 1_000),
        default: || Value::Integer(16),
        help: "Most connections of this server to that database, beside up to 9 for locks and for what other servers say.",
    },
    Key {
        path: "index.default",
        kind: Kind::Choice(&["embedded", "qdrant"]),
        default: || text("embedded"),
        help: "Where the vectors of new collections are kept: in the data directory, or in the Qdrant server of section [qdrant]. `ibid collections move` moves one.",
    },
    Key {
        path: "files.store",
        kind: Kind::Choice(&["directory", "s3"]),
        default: || text("directory"),
        help: "Where uploaded files and extracted texts are kept: in the data directory, or in the S3-compatible object store of section [files.s3].",
    },
    Key {
        path: "files.s3.bucket",
        kind: Kind::Optional(&Kind::Text),
        default: || text(""),
        help: "The bucket. It must be there; Ibid lists, reads, writes and deletes in it.",
    },
    Key {
        path: "files.s3.prefix",
        kind: Kind::Optional(&Kind::Text),
        default: || text(""),
        help: "What the names of all objects begin with, such as \"ibid\". Each Ibid (each catalog) that uses the same bucket needs its own: what its catalog does not know, it removes.",
    },
    Key {
        path: "files.s3.endpoint",
        kind: Kind::Optional(&Kind::Text),
        default: || text(""),
        help: "Address of the object store, such as \"https://minio.example.org:9000\"; with http:// everything goes over the network in the clear. Empty: AWS in files.s3.region.",
    },
    Key {
        path: "files.s3.region",
        kind: Kind::Text,
        default: || text("us-east-1"),
        help: "The bucket's region, as signatures name it; most servers other than AWS take any.",
    },
    Key {
        path: "files.s3.access_key_id",
        kind: Kind::Optional(&Kind::Text),
        default: || text(""),
        help: "Who Ibid is there. Without key and secret, AWS's own AWS_* variables, the pod's and the machine's role are asked.",
    },
    Key {
        path: "files.s3.secret_access_key",
        kind: Kind::Secret,
        default: || text(""),
        help: "The key's secret; never shown. Better in IBID_FILES_S3_SECRET_ACCESS_KEY or files.s3.secret_access_key_file than here.",
    },
    Key {
        path: "files.s3.secret_access_key_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A file whose content is the secret, in place of files.s3.secret_access_key.",
    },
    Key {
        path: "files.s3.path_style",
        kind: Kind::Boolean,
        default: || Value::Boolean(true),
        help: "Whether the bucket is the first part of the path (https://HOST/BUCKET/...) rather than of the host's name (https://BUCKET.HOST/...).",
    },
    Key {
        path: "files.s3.ca_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A PEM file of certificates that an https endpoint may be signed by, beside the system's.",
    },
    Key {
        path: "files.s3.retry_seconds",
        kind: Kind::Integer(0, 600),
        default: || Value::Integer(20),
        help: "Seconds for which a failed request is sent again, with growing pauses, before the object store counts as away. Documents then wait until it is back.",
    },
    Key {
        path: "files.s3.cache_mb",
        kind: Kind::Integer(1, 100_000_000),
        default: || Value::Integer(1024),
        help: "Megabytes of local copies that are kept in the data directory; the least recently used go first.",
    },
    Key {
        path: "qdrant.url",
        kind: Kind::Optional(&Kind::Text),
        default: || text(""),
        help: "Address of a Qdrant server's gRPC interface, such as \"http://127.0.0.1:6334\"; https for TLS with the system's authorities. Empty: none.",
    },
    Key {
        path: "qdrant.api_key",
        kind: Kind::Secret,
        default: || text(""),
        help: "Key for it, which may write; never shown. Better in IBID_QDRANT_API_KEY or qdrant.api_key_file than here.",
    },
    Key {
        path: "qdrant.api_key_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A file whose content is the key, in place of qdrant.api_key.",
    },
    Key {
        path: "qdrant.collection_prefix",
        kind: Kind::Optional(&Kind::Text),
        default: || text("ibid_"),
        help: "What the names of all collections in it begin with: up to 100 letters, digits, - and _. Each Ibid that uses the same server needs its own.",
    },
    Key {
        path: "qdrant.timeout_seconds",
        kind: Kind::Integer(1, 3600),
        default: || Value::Integer(30),
        help: "Seconds that a request to it may take.",
    },
    Key {
        path: "qdrant.connect_timeout_seconds",
        kind: Kind::Integer(1, 600),
        default: || Value::Integer(5),
        help: "Seconds to reach it.",
    },
    Key {
        path: "qdrant.retries",
        kind: Kind::Integer(0, 20),
        default: || Value::Integer(4),
        help: "Times that a write is sent again, with growing pauses, before the server counts as away. Documents then wait until it is back.",
    },
    Key {
        path: "qdrant.request_bytes",
        kind: Kind::Integer(1024, GIB),
        default: || Value::Integer(4 << 20),
        help: "Bytes of points in one request, about.",
    },
    Key {
        path: "qdrant.shards",
        kind: Kind::Integer(0, 1024),
        default: || Value::Integer(0),
        help: "Shards of a new collection; 0 takes one for each node. Word weights (BM25) are counted within a shard.",
    },
    Key {
        path: "qdrant.replicas",
        kind: Kind::Integer(1, 32),
        default: || Value::Integer(1),
        help: "Nodes that have each shard of a new collection.",
    },
    Key {
        path: "qdrant.write_consistency",
        kind: Kind::Integer(1, 32),
        default: || Value::Integer(1),
        help: "Replicas that must have stored a point before it counts as stored, of a new collection.",
    },
    Key {
        path: "qdrant.quantization",
        kind: Kind::Choice(&["none", "scalar", "binary", "product"]),
        default: || text("none"),
        help: "How the vectors of a new collection are compressed for searches: scalar takes a quarter of the memory, binary (for 1024 dimensions and more) a thirty-second part, product a sixteenth.",
    },
    Key {
        path: "qdrant.vectors_on_disk",
        kind: Kind::Boolean,
        default: || Value::Boolean(true),
        help: "Whether the vectors of a new collection stay on disk, cached as they are used, rather than in memory.",
    },
    Key {
        path: "qdrant.graph_on_disk",
        kind: Kind::Boolean,
        default: || Value::Boolean(false),
        help: "The same for its graph.",
    },
    Key {
        path: "qdrant.payload_on_disk",
        kind: Kind::Boolean,
        default: || Value::Boolean(true),
        help: "The same for what filters ask for.",
    },
    Key {
        path: "plugins.install",
        kind: Kind::Boolean,
        default: || Value::Boolean(true),
        help: "Whether plugins may be installed and removed while the server runs (`ibid plugin install`).",
    },
    Key {
        path: "plugins.allow",
        kind: Kind::Texts,
        default: || Value::Array(Vec::new()),
        help: "Digests (sha256:...) of the only plugins that may run, those that ship included; an empty list lets all.",
    },
    Key {
        path: "query.max_concurrent",
        kind: Kind::Integer(1, 100_000),
        default: || Value::Integer(64),
        help: "Queries that are answered at a time, over all connections.",
    },
    Key {
        path: "query.max_waiting",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(1_024),
        help: "Queries that may wait for one of those places; one more is answered 503.",
    },
    Key {
        path: "query.max_per_connection",
        kind: Kind::Integer(1, 100_000),
        default: || Value::Integer(256),
        help: "Queries in flight on one WebSocket connection.",
    },
    Key {
        path: "query.timeout_seconds",
        kind: Kind::Integer(1, 3600),
        default: || Value::Integer(60),
        help: "Seconds that a query may take.",
    },
    Key {
        path: "llm.base_url",
        kind: Kind::Optional(&Kind::Text),
        default: || text(""),
        help: "Base address of an OpenAI-compatible server (Ollama, vLLM, llama.cpp, hosted), such as \"http://127.0.0.1:11434/v1\". With llm.model it writes the answers of every pipeline that names no generator; empty: none.",
    },
    Key {
        path: "llm.model",
        kind: Kind::Optional(&Kind::Text),
        default: || text(""),
        help: "The model that is asked where a pipeline names none.",
    },
    Key {
        path: "llm.api_key",
        kind: Kind::Secret,
        default: || text(""),
        help: "Key for llm.base_url, sent there only; never shown. Better in IBID_LLM_API_KEY or llm.api_key_file than here.",
    },
    Key {
        path: "llm.api_key_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A file whose content is the key, in place of llm.api_key.",
    },
    Key {
        path: "llm.ca_file",
        kind: Kind::Optional(&Kind::Path),
        default: || text(""),
        help: "A PEM file of certificates that https servers may be signed by, beside the system's.",
    },
    Key {
        path: "llm.allowed_base_urls",
        kind: Kind::Texts,
        default: || Value::Array(Vec::new()),
        help: "Further servers that pipelines may name as base_url. They may name no other, since whoever makes a collection writes its pipeline.",
    },
    Key {
        path: "llm.allowed_models",
        kind: Kind::Texts,
        default: || Value::Array(Vec::new()),
        help: "The only models that pipelines may name, beside llm.model; an empty list lets all.",
    },
    Key {
        path: "llm.max_answer_tokens",
        kind: Kind::Integer(16, 1_000_000),
        default: || Value::Integer(1024),
        help: "Longest answer, in tokens of the model. One that is cut says so.",
    },
    Key {
        path: "llm.context_chars",
        kind: Kind::Integer(500, 10_000_000),
        default: || Value::Integer(12_000),
        help: "Characters of passages that are put into the prompt, about four for each token.",
    },
    Key {
        path: "llm.connect_timeout_seconds",
        kind: Kind::Integer(1, 600),
        default: || Value::Integer(5),
        help: "Seconds to reach the server.",
    },
    Key {
        path: "llm.first_token_timeout_seconds",
        kind: Kind::Integer(1, 3600),
        default: || Value::Integer(40),
        help: "Seconds until the first token, retries included. Less than query.timeout_seconds, which ends the query.",
    },
    Key {
        path: "llm.idle_timeout_seconds",
        kind: Kind::Integer(1, 3600),
        default: || Value::Integer(20),
        help: "Seconds between two tokens.",
    },
    Key {
        path: "llm.answer_timeout_seconds",
        kind: Kind::Integer(1, 86_400),
        default: || Value::Integer(300),
        help: "Seconds that a whole answer may take, not counting the time for which its reader holds it.",
    },
    Key {
        path: "llm.retries",
        kind: Kind::Integer(0, 10),
        default: || Value::Integer(2),
        help: "Times that a request is sent again before the first token, with growing pauses: when the server refuses connections, fails (5xx) or is busy (429).",
    },
    Key {
        path: "llm.on_failure",
        kind: Kind::Choice(&["fail", "fallback"]),
        default: || text("fail"),
        help: "When no answer can be had before the first token: fail the query with LLM_CONNECTION_ERROR, or answer by the extractive generator and say so.",
    },
    Key {
        path: "limits.exempt_addresses",
        kind: Kind::Texts,
        default: || Value::Array(vec![text("127.0.0.0/8"), text("::1")]),
        help: "Addresses or networks that no limit by address holds for. A reverse proxy on this machine belongs into server.trusted_proxies, else all that it passes on is exempt.",
    },
    Key {
        path: "limits.subject_requests_per_minute",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(12_000),
        help: "Requests of one subject in a minute, beside queries and uploads; what is not used adds up to a minute's worth. 0: no limit.",
    },
    Key {
        path: "limits.address_requests_per_minute",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(24_000),
        help: "The same of one address (of IPv6 the /64 network), whoever asks from there. 0: no limit.",
    },
    Key {
        path: "limits.subject_queries_per_minute",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(1200),
        help: "Queries and searches of one subject in a minute. 0: no limit.",
    },
    Key {
        path: "limits.address_queries_per_minute",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(2400),
        help: "The same of one address. 0: no limit.",
    },
    Key {
        path: "limits.subject_uploads_per_minute",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(3000),
        help: "Upload requests of one subject in a minute. 0: no limit.",
    },
    Key {
        path: "limits.address_uploads_per_minute",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(6000),
        help: "The same of one address. 0: no limit.",
    },
    Key {
        path: "limits.address_failed_authentications_per_minute",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(60),
        help: "Wrong credentials from one address in a minute, after which none are looked at for a moment. 0: no limit.",
    },
    Key {
        path: "limits.queries_at_once",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(60),
        help: "Queries in flight of one subject, or of one address where nobody is asked who they are. Less than query.max_concurrent, so that one cannot take every place. 0: no limit.",
    },
    Key {
        path: "limits.address_connections",
        kind: Kind::Integer(0, 1_000_000),
        default: || Value::Integer(256),
        help: "Connections from one address at a time; one more is answered 503. 0: no limit.",
    },
    Key {
        path: "limits.tracked_clients",
        kind: Kind::Integer(1000, 10_000_000),
        default: || Value::Integer(100_000),
        help: "Subjects and addresses of which each rate is kept by itself; beyond that, clients share.",
    },
    Key {
        path: "monitor.cpu_alert_percent",
        kind: Kind::Integer(1, 100),
        default: || Value::Integer(95),
        help: "/ws/monitor tells an alert when the machine's cores have been as busy as this for a minute.",
    },
    Key {
        path: "monitor.memory_alert_percent",
        kind: Kind::Integer(1, 100),
        default: || Value::Integer(90),
        help: "/ws/monitor tells an alert when as much of the machine's memory is in use.",
    },
    Key {
        path: "monitor.response_alert_seconds",
        kind: Kind::Integer(1, 3600),
        default: || Value::Integer(10),
        help: "/ws/monitor tells an alert when queries take as long on average.",
    },
    Key {
        path: "log.level",
        kind: Kind::Text,
        default: || text("info"),
        help: "error, warn, info, debug, trace or off; or by module: \"info,ibid_plugin_host=debug\".",
    },
    Key {
        path: "log.format",
        kind: Kind::Choice(&["text", "json"]),
        default: || text("text"),
        help: "text for people, json for machines; both on standard error.",
    },
    Key {
        path: "log.access_per_second",
        kind: Kind::Integer(1, 1_000_000),
        default: || Value::Integer(100),
        help: "Answered requests that are logged in a second (at level info); of a flood the rest is only counted.",
    },
    Key {
        path: "telemetry.otlp_endpoint",
        kind: Kind::Optional(&Kind::Text),
        default: || text(""),
        help: "Address of an OpenTelemetry collector that takes traces over HTTP (OTLP, protobuf), such as \"http://127.0.0.1:4318\"; empty: none are exported.",
    },
    Key {
        path: "telemetry.otlp_headers",
        kind: Kind::Secret,
        default: || text(""),
        help: "Header fields for it, \"name=value\" separated by commas; never shown. Better in IBID_TELEMETRY_OTLP_HEADERS than here.",
    },
    Key {
        path: "telemetry.sampling_percent",
        kind: Kind::Integer(0, 100),
        default: || Value::Integer(100),
        help: "Percent of traces that are exported. A request whose traceparent says that it is sampled always is.",
    },
    Key {
        path: "telemetry.service_name",
        kind: Kind::Text,
        default: || text("ibid"),
        help: "What traces call this server.",
    },
];

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn path(value: PathBuf) -> Value {
    Value::String(value.to_string_lossy().into_owned())
}

/// `$XDG_DATA_HOME/ibid`, else `~/.local/share/ibid`, so that the same data is found from any directory.
fn data_home() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| PathBuf::from("ibid-data"), |base| base.join("ibid"))
}

/// `../share/ibid` beside the program: `target/share/ibid` for a build, `/usr/local/share/ibid` once installed.
fn share_home() -> PathBuf {
    std::env::current_exe()
        .and_then(|program| program.canonicalize())
        .ok()
        .and_then(|program| Some(program.parent()?.parent()?.join("share/ibid")))
        .unwrap_or_else(|| PathBuf::from("/usr/local/share/ibid"))
}
