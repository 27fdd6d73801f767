//! Metrics of the process.

use super::catalogue::{PROCESS_CPU, PROCESS_FILES, PROCESS_MEMORY, PROCESS_START, UPTIME};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

static SYSTEM: Mutex<Option<System>> = Mutex::new(None);

/// Measures the process and sets its metrics. Reads system files, so call it where that may block.
pub fn observe_process() {
    let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    let system = system.get_or_insert_with(System::new);
    let pid = Pid::from_u32(std::process::id());
    let kind = ProcessRefreshKind::nothing().with_memory().with_cpu();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    let Some(process) = system.process(pid) else { return };
    PROCESS_MEMORY.only().set(process.memory() as f64);
    PROCESS_CPU.only().set(process.accumulated_cpu_time() as f64 / 1e3);
    PROCESS_START.only().set(process.start_time() as f64);
    if let Some(files) = process.open_files() {
        PROCESS_FILES.only().set(files as f64);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UPTIME.only().set((now.as_secs_f64() - process.start_time() as f64).max(0.0));
}
