//! Answers of `GET /status` and of the health checks for orchestrators.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Answer of `GET /health/live` and `GET /health/ready`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Readiness {
    /// `alive`; `ready` or `not_ready`.
    pub status: &'static str,
}

/// The status of the server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServerStatus {
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// RFC 3339, UTC.
    pub timestamp: String,
    /// The version of the server.
    pub version: String,
    /// Seconds since it was started.
    pub uptime_seconds: f64,
    /// The machine.
    pub machine: MachineStatus,
    /// The server's own process.
    pub process: ProcessStatus,
    /// State of each service, as in `GET /health`.
    #[schema(schema_with = super::services_schema)]
    pub services: Value,
    /// The numbers of collections, documents and chunks that the subject may access.
    pub totals: Totals,
}

/// The machine.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MachineStatus {
    /// Cores that the server may use.
    pub cpus: usize,
    /// The number of runnable processes.
    pub load_average: LoadAverage,
    /// Bytes.
    pub memory_total_bytes: u64,
    /// Bytes.
    pub memory_used_bytes: u64,
    /// Percent of memory that is used.
    pub memory_usage: f64,
}

/// The number of runnable processes, on average.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LoadAverage {
    /// Over the last minute.
    pub one: f64,
    /// Over the last five minutes.
    pub five: f64,
    /// Over the last fifteen minutes.
    pub fifteen: f64,
}

/// The server's process.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProcessStatus {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Open connections.
    pub connections: usize,
    /// The most connections.
    pub max_connections: usize,
}

/// What the server stores.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Totals {
    /// Collections.
    pub collections: u64,
    /// Documents that can be found.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Documents being processed.
    pub processing_documents: u64,
    /// Megabytes (10^6 bytes) of files and texts.
    pub storage_size_mb: f64,
}
