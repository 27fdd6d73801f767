//! The settings of the log and of the traces.

use ibid_settings::{OrEmpty, choice, settings};
use ibid_types::secret::Secret;

settings! {
    /// The log: section `log`. How many requests it has is for the server to say.
    pub struct LogSettings {
        keys {
            /// error, warn, info, debug, trace or off; or by module: "info,ibid_plugin_host=debug".
            "log.level" [live()] => level: String = "info".to_owned(),
            /// text for people, json for machines; both on standard error.
            "log.format" => format: LogFormat = LogFormat::Text,
        }
    }
}

/// The format of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

choice!(LogFormat { "text" => Text, "json" => Json });

settings! {
    /// Traces: section `telemetry`.
    pub struct TelemetrySettings {
        keys {
            /// Address of an OpenTelemetry collector that takes traces over HTTP (OTLP, protobuf), such as "http://127.0.0.1:4318";
            /// empty: none are exported.
            "telemetry.otlp_endpoint" as OrEmpty => otlp_endpoint: String = String::new(),
            /// Header fields for it, "name=value" separated by commas; never shown. Better in IBID_TELEMETRY_OTLP_HEADERS than here.
            "telemetry.otlp_headers" => otlp_headers: Secret = Secret::default(),
            /// Percent of traces that are exported. A request whose traceparent says that it is sampled always is.
            "telemetry.sampling_percent" [range(0, 100)] => sampling_percent: u32 = 100,
            /// What traces call this server.
            "telemetry.service_name" => service_name: String = "ibid".to_owned(),
        }
    }
}
