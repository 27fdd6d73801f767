//! Bodies of `/plugins`.

use super::{ApiError, PlannedSearch, QueryAnalysis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The longest text for `POST /plugins/{name}/try`, in characters.
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
    /// Its own description.
    pub description: String,
    /// Its own licence.
    pub license: String,
    /// The media types that an extractor reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media_types: Vec<String>,
    /// JSON Schema of its configuration.
    #[schema(value_type = Object)]
    pub config_schema: Value,
    /// The interfaces of the server that it imports.
    pub imports: Vec<String>,
    /// Those of its imports that a pipeline must grant.
    pub grants: Vec<String>,
    /// `shipped` with Ibid, or `installed` by an operator.
    pub source: String,
    /// `ready` or `quarantined`.
    pub state: String,
    /// The reason and the duration, if it is quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineInfo>,
    /// Statistics since the server's start; absent for subjects that may not access all collections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<PluginStats>,
    /// Collections whose pipelines use it now.
    pub used_by: Vec<String>,
}

/// The quarantine of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct QuarantineInfo {
    /// Seconds until a trial call, which shows whether it has recovered.
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
    /// The median duration in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile of durations in milliseconds.
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
    /// The digest of the plugin of the same name and version that it replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// Collections whose pipelines use it from now on. Their present documents stay as they are; each one's record has the plugin that
    /// processed it.
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
    /// Collections whose pipelines use another version from now on.
    pub moved: Vec<String>,
    /// Collections whose pipelines cannot run until it is installed again; only with `force`.
    pub broken: Vec<String>,
}

/// Data of the event `line` of `GET /plugins/{name}/log`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginLogLine {
    /// The plugin's version.
    pub version: String,
    /// `error`, `warn`, `info` or `debug`.
    pub level: &'static str,
    /// The message.
    pub message: String,
    /// When it was logged, RFC 3339 in UTC.
    pub timestamp: String,
}

/// Data of the event `dropped` of `GET /plugins/{name}/log`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PluginLogDropped {
    /// The number of lines, of all plugins, that came faster than they were read.
    pub lines: u64,
}

/// A text to try a plugin on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryPlugin {
    /// The version, if several are installed; default: the newest.
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
    /// Checks the text. The plugin itself checks the configuration.
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

/// The result of running a plugin on a text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct TryResult {
    /// `name@version`.
    pub plugin: String,
    /// `extractor`, `chunker`, `analyzer` or `formatter`.
    pub kind: String,
    /// The text that spans refer to: for an extractor its output, otherwise the text of the request.
    pub text: String,
    /// The chunks of a chunker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Vec<TriedChunk>>,
    /// The units of an extractor: headings, paragraphs and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Vec<TriedUnit>>,
    /// An analyzer's analysis of the text as a question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_analysis: Option<QueryAnalysis>,
    /// The searches that an analyzer plans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searches: Option<Vec<PlannedSearch>>,
    /// The text as an answer with a formatter's citations: each line cites itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// The duration.
    pub milliseconds: f64,
}

/// A half-open span of a text, in characters (code points).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct CharSpan {
    /// The first character, from 0.
    pub start: u64,
    /// The character after the last one.
    pub end: u64,
}

/// A chunk of a chunker.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TriedChunk {
    /// Its span.
    #[serde(flatten)]
    pub at: CharSpan,
    /// Its number of tokens for the embedding model.
    pub tokens: u32,
    /// Other text for the embedding model, such as headings.
    pub context: Vec<CharSpan>,
    /// The chunker's attributes.
    pub attrs: BTreeMap<String, String>,
}

/// A unit of an extractor.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TriedUnit {
    /// Its span.
    #[serde(flatten)]
    pub at: CharSpan,
    /// `heading`, `paragraph`, `list`, `list-item`, `table`, `table-row`, `table-cell`, `code`, `quote`, `caption`.
    pub kind: String,
    /// The level of a heading or list item; otherwise 0.
    pub level: u8,
}
