//! Events of `/ws/monitor`, field for field as in the guide.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event of the server: `{type, timestamp, data}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonitorMessage {
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// The event.
    #[serde(flatten)]
    pub event: MonitorEvent,
}

/// The content of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum MonitorEvent {
    /// The load of the machine and the server.
    SystemMetrics(SystemMetrics),
    /// The health of a service.
    ServiceStatus(ServiceStatus),
    /// A problem that an operator should look at.
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
    /// Returns the type of the event.
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
    /// Queries that started within the last minute.
    pub queries_per_minute: u64,
    /// The mean duration, in seconds, of queries that completed within the last minute; 0 if there were none.
    pub average_response_time: f64,
}

/// `data` of `service_status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// `vector_database`, `embedding_service`, `llm_service` or `plugin_runtime`.
    pub service: String,
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// How long its answer to the last check took, in milliseconds.
    pub response_time: f64,
    /// When it was checked. RFC 3339, UTC.
    pub last_check: String,
    /// Details, for people.
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
