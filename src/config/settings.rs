//! The settings as the program uses them.

use crate::secret::Secret;
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
    /// The embedding model and its threads.
    pub embedder: EmbedderSettings,
    /// Uploads.
    pub ingest: IngestSettings,
    /// Plugins.
    pub plugins: PluginSettings,
    /// Questions.
    pub query: QuerySettings,
    /// Language models that write answers.
    pub llm: LlmSettings,
    /// The log.
    pub log: LogSettings,
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
}

/// Section `embedder`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderSettings {
    /// A directory under `models/`.
    pub model: String,
    /// Threads; 0 for one per core.
    pub threads: usize,
    /// Texts that may wait.
    pub queue: usize,
}

/// Section `ingest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Documents at a time.
    pub documents_in_flight: usize,
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

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// A level, or directives by module.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
