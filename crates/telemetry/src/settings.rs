//! The settings of the log and of the traces.

use ibid_types::secret::Secret;
use serde::{Deserialize, Serialize};

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// A level, or directives by module.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
    /// Answered requests that are logged in a second.
    pub access_per_second: u32,
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

/// Section `telemetry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Where traces are exported to; empty for nowhere.
    pub otlp_endpoint: String,
    /// `name=value`, separated by commas.
    pub otlp_headers: Secret,
    /// Of traces.
    pub sampling_percent: u32,
    /// In traces.
    pub service_name: String,
}
