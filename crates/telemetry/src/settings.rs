//! The settings of the log and of the traces.

use ibid_types::secret::Secret;
use serde::{Deserialize, Serialize};

/// The section `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// A level, or directives by module.
    pub level: String,
    /// The format of lines.
    pub format: LogFormat,
    /// The most answered requests that are logged per second.
    pub access_per_second: u32,
}

/// The format of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The section `telemetry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// The collector's address; empty exports no traces.
    pub otlp_endpoint: String,
    /// Header fields of exports: `name=value`, separated by commas.
    pub otlp_headers: Secret,
    /// The share of traces that are exported.
    pub sampling_percent: u32,
    /// The service's name in traces.
    pub service_name: String,
}
