//! Bodies of `/plugins`.

use super::{ApiError, PlannedSearch, QueryAnalysis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Longest text that a plugin is tried on, in characters.
const MAX_TRIED: usize = 100_000;

/// An installed plugin.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its version (Semantic Versioning).
    pub version: String,
    /// `extractor`, `chunker`, `analyzer` or `formatter`.
    pub kind: String,
    /// `sha256:` and the digest of the component.
    pub digest: String,
    /// Bytes of the component.
    pub size: u64,
    /// What it says of itself.
    pub description: String,
    /// Its licence, as it says.
    pub license: String,
    /// Of an extractor: the media types that it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media_types: Vec<String>,
    /// JSON Schema of its configuration.
    #[schema(value_type = Object)]
    pub config_schema: Value,
    /// Interfaces that it needs of the server.
    pub imports: Vec<String>,
    /// Of these, what a pipeline has to grant it.
    pub grants: Vec<String>,
    /// `shipped` with Ibid, or `installed` by an operator.
    pub source: String,
    /// `ready` or `quarantined`.
    pub state: String,
    /// Of a plugin that is quarantined: why and for how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineInfo>,
    /// What it has done since the server started; absent for subjects that do not see all collections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<PluginStats>,
    /// Collections whose pipelines run it now.
    pub used_by: Vec<String>,
}

/// Why a plugin is not called.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct QuarantineInfo {
    /// Seconds until one call is let through, to see whether it has recovered.
    pub remaining: f64,
    /// Quarantines in a row.
    pub times: u32,
    /// Its last fault.
    pub reason: String,
}

/// Counters of a plugin's calls.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginStats {
    /// Calls that ended.
    pub calls: u64,
    /// Of these, calls that failed for any reason.
    pub errors: u64,
    /// Of these, calls that failed by the plugin's own fault.
    pub faults: u64,
    /// Half of the calls took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 calls took no longer, in milliseconds.
    pub p99_ms: f64,
    /// The longest call, in milliseconds.
    pub max_ms: f64,
    /// The most memory that an instance had, in bytes.
    pub peak_memory_bytes: u64,
}

/// Answer of `GET /plugins`, and of `GET /plugins/{name}`, newest version first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginList {
    /// By name, then the newest version first.
    pub plugins: Vec<PluginInfo>,
}

/// Answer of `POST /plugins`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginInstalled {
    /// The plugin.
    pub plugin: PluginInfo,
    /// Digest of the one of the same name and version whose place it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// Collections whose pipelines took it up at once. Documents that they hold stay as they were made; their records
    /// say by what.
    pub moved: Vec<String>,
}

/// Answer of `DELETE /plugins/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginRemoved {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: String,
    /// Collections whose pipelines go on with another version.
    pub moved: Vec<String>,
    /// Collections whose pipelines cannot run until it is back; only with `force`.
    pub broken: Vec<String>,
}

/// Data of the event `line` of `GET /plugins/{name}/log`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginLogLine {
    /// The plugin's version.
    pub version: String,
    /// `error`, `warn`, `info` or `debug`.
    pub level: &'static str,
    /// What it wrote.
    pub message: String,
    /// When, RFC 3339 in UTC.
    pub timestamp: String,
}

/// Data of the event `dropped` of `GET /plugins/{name}/log`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginLogDropped {
    /// Lines of all plugins that came faster than they were read.
    pub lines: u64,
}

/// A text to try a plugin on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryPlugin {
    /// Of several installed versions, the one that is meant; default: the newest.
    #[serde(default)]
    pub version: Option<String>,
    /// Its configuration.
    #[serde(default = "no_config")]
    #[schema(value_type = Object)]
    pub config: Value,
    /// 1 to 100,000 characters.
    #[schema(min_length = 1, max_length = 100000, pattern = r"\S")]
    pub text: String,
}

fn no_config() -> Value {
    json!({})
}

impl TryPlugin {
    /// Checks the text; the configuration is the plugin's to check.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`.
    pub fn validate(&self) -> Result<(), ApiError> {
        if self.text.trim().is_empty() {
            return Err(ApiError::validation("text", "must not be empty"));
        }
        if self.text.chars().count() > MAX_TRIED {
            return Err(ApiError::validation("text", format!("must have at most {MAX_TRIED} characters")));
        }
        Ok(())
    }
}

/// What a plugin made of a text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct TryResult {
    /// `name@version`.
    pub plugin: String,
    /// `extractor`, `chunker`, `analyzer` or `formatter`.
    pub kind: String,
    /// The text that spans point into. Of an extractor what it made of what was sent, else what was sent.
    pub text: String,
    /// Of a chunker: the chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Vec<TriedChunk>>,
    /// Of an extractor: headings, paragraphs and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Vec<TriedUnit>>,
    /// Of an analyzer: what it understood of the text as a question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_analysis: Option<QueryAnalysis>,
    /// Of an analyzer: the searches that it would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searches: Option<Vec<PlannedSearch>>,
    /// Of a formatter: the text as an answer, each line with a citation of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// What it took.
    pub milliseconds: f64,
}

/// A half-open span of a text, in characters (code points).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct CharSpan {
    /// Of the first one, from 0.
    pub start: u64,
    /// After the last one.
    pub end: u64,
}

/// A chunk that a chunker cut.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TriedChunk {
    /// Where it stands.
    #[serde(flatten)]
    pub at: CharSpan,
    /// Tokens of the embedding model.
    pub tokens: u32,
    /// What the embedding model is given beside it, such as headings.
    pub context: Vec<CharSpan>,
    /// What the chunker says of it.
    pub attrs: BTreeMap<String, String>,
}

/// A part that an extractor told apart.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TriedUnit {
    /// Where it stands.
    #[serde(flatten)]
    pub at: CharSpan,
    /// `heading`, `paragraph`, `list`, `list-item`, `table`, `table-row`, `table-cell`, `code`, `quote`, `caption`.
    pub kind: String,
    /// Depth of a heading or list item; else 0.
    pub level: u8,
}
