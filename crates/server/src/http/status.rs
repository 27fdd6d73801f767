//! `GET /status`: how the server and its machine are, and what it holds.

use super::call::Call;
use super::endpoint::{Endpoint, Verb};
use super::openapi::Tag;
use super::respond::{Failure, Reply, json, now};
use crate::limits::Budget;
use hyper::StatusCode;
use ibid_auth::Scope;
use ibid_engine::{Health, Read};
use ibid_protocol::{ApiError, ErrorCode, LoadAverage, MachineStatus, ProcessStatus, ServerStatus, Totals};
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

/// The endpoints of this module.
pub(super) static ENDPOINTS: &[Endpoint] = &[Endpoint {
    method: Verb::Get,
    path: "/status",
    scope: Some(Scope::Read),
    budget: Some(Budget::Request),
    handler: |call| Box::pin(get(call)),
    operation: |op| {
        op.about(
            Tag::Operations,
            "The state of the server and its machine, and totals of what is stored",
        )
        .gives::<ServerStatus>(200, "The current state.")
    },
}];

/// `GET /status`. Totals are of the collections that the subject sees.
async fn get(call: &Call) -> Result<Reply, Failure> {
    let (engine, collections) = (&call.shared.engine, call.with::<Read>()?);
    let (health, collections) = tokio::join!(engine.health(), collections.collections());
    let Health {
        status, version, services, ..
    } = health;
    let mut totals = Totals::default();
    for collection in &collections?.collections {
        totals.collections += 1;
        totals.documents += collection.stats.total_documents;
        totals.chunks += collection.stats.total_chunks;
        totals.processing_documents += collection.processing_documents;
        totals.storage_size_mb += collection.stats.storage_size_mb;
    }
    let (machine, memory_bytes) = tokio::task::spawn_blocking(look).await.map_err(|error| {
        tracing::error!(%error, "the machine could not be looked at");
        ApiError::new(ErrorCode::InternalError, "The machine could not be looked at.")
    })?;
    let settings = &call.shared.settings;
    Ok(json(
        StatusCode::OK,
        &ServerStatus {
            status,
            timestamp: now(),
            version,
            uptime_seconds: engine.uptime().as_secs_f64(),
            machine,
            process: ProcessStatus {
                memory_bytes,
                connections: settings.max_connections.saturating_sub(call.shared.places.available_permits()),
                max_connections: settings.max_connections,
            },
            services: serde_json::to_value(services).unwrap_or_default(),
            totals,
        },
    ))
}

/// The machine, and the memory that this process has. Reads files of the system.
fn look() -> (MachineStatus, u64) {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
    let mut system = System::new_with_specifics(memory);
    let own = Pid::from_u32(std::process::id());
    let wanted = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, wanted);
    let (total, used) = (system.total_memory(), system.used_memory());
    let load = System::load_average();
    let machine = MachineStatus {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        load_average: LoadAverage {
            one: load.one,
            five: load.five,
            fifteen: load.fifteen,
        },
        memory_total_bytes: total,
        memory_used_bytes: used,
        memory_usage: if total == 0 { 0.0 } else { used as f64 / total as f64 * 100.0 },
    };
    (machine, system.process(own).map_or(0, sysinfo::Process::memory))
}
