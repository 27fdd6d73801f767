//! Events of `/ws/monitor`, field for field as the guide shows them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the server tells of itself: `{type, timestamp, data}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonitorMessage {
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// What is told.
    #[serde(flatten)]
    pub event: MonitorEvent,
}

/// One of the three.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum MonitorEvent {
    /// How busy the machine and the server are.
    SystemMetrics(SystemMetrics),
    /// How a part of the server is.
    ServiceStatus(ServiceStatus),
    /// Something that somebody should look at.
    ErrorAlert(ErrorAlert),
}

/// The types of [`MonitorEvent`], as `?types=` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MonitorType {
    /// `system_metrics`
    SystemMetrics,
    /// `service_status`
    ServiceStatus,
    /// `error_alert`
    ErrorAlert,
}

impl MonitorEvent {
    /// Which one it is.
    pub fn kind(&self) -> MonitorType {
        match self {
            Self::SystemMetrics(_) => MonitorType::SystemMetrics,
            Self::ServiceStatus(_) => MonitorType::ServiceStatus,
            Self::ErrorAlert(_) => MonitorType::ErrorAlert,
        }
    }
}

/// `data` of `system_metrics`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemMetrics {
    /// Percent of the machine's cores that were busy since the sample before.
    pub cpu_usage: f64,
    /// Percent of the machine's memory that is in use.
    pub memory_usage: f64,
    /// Connections to this server, this one among them.
    pub active_connections: u64,
    /// Queries that were begun within the last minute.
    pub queries_per_minute: u64,
    /// Mean of the seconds that queries took that were completed within the last minute; 0 if none was.
    pub average_response_time: f64,
}

/// `data` of `service_status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// `vector_database`, `embedding_service`, `llm_service` or `plugin_runtime`.
    pub service: String,
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// Milliseconds that its answer to the last check took.
    pub response_time: f64,
    /// When that was. RFC 3339, UTC.
    pub last_check: String,
    /// More, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `data` of `error_alert`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorAlert {
    /// `warning` or `critical`.
    pub severity: String,
    /// One of the services, or `system` for the machine and the server as a whole.
    pub service: String,
    /// For people.
    pub message: String,
    /// For programs: an object.
    pub details: Value,
}
