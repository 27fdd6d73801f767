//! What one call may use.

use super::state::MAX_TABLE_ELEMENTS;
use crate::Kind;
use std::time::Duration;

/// Limits of one call. A call that goes past one ends with an error that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Linear memory of the instance, in bytes; no more than the host's `max_memory_bytes` counts.
    pub memory_bytes: u64,
    /// Wall time of the call, host functions included, waiting for an instance not. Of a formatter
    /// it holds for each of its calls.
    pub deadline: Duration,
    /// Bytes of text and values that the plugin may give in all; of a formatter in each call. What
    /// is copied in one host call is bounded by this too.
    pub output_bytes: usize,
    /// Units, pages and attributes of a document together; pieces of a chunker; searches.
    pub output_items: usize,
    /// Lines that the plugin may log in a call. Further ones are counted and dropped.
    pub log_lines: u32,
    /// Functions of the host that the plugin may call.
    pub host_calls: u64,
    /// Elements of its tables of functions; no more than 50,000 count.
    pub table_elements: usize,
    /// Fuel, roughly instructions; only for a host that meters it.
    pub fuel: Option<u64>,
}

const MIB: usize = 1024 * 1024;

impl Budget {
    /// The budget of a kind where nobody has said otherwise.
    pub fn of(kind: Kind) -> Self {
        let (memory_mib, seconds, output_bytes, output_items, log_lines) = match kind {
            // A 1,000-page report takes seconds and 5 MB of text; a scan with a bad text layer may
            // take ten times as long. The text of a 64 MiB log file must fit.
            Kind::Extractor => (512, 120, 128 * MIB, 2_000_000, 1_000),
            // 1 MiB of text makes about 1,200 chunks, so this is some 400 MiB of text.
            Kind::Chunker => (256, 30, 64 * MIB, 500_000, 200),
            // A person waits for these two, and what they make is a few hundred bytes.
            Kind::Analyzer => (64, 2, 256 * 1024, 32, 20),
            Kind::Formatter => (64, 2, 256 * 1024, 1, 20),
        };
        Self {
            memory_bytes: (memory_mib * MIB) as u64,
            deadline: Duration::from_secs(seconds),
            output_bytes,
            output_items,
            log_lines,
            // A page of a PDF takes a few dozen; a minute of nothing but calls makes a hundred million.
            host_calls: 10_000_000,
            table_elements: MAX_TABLE_ELEMENTS,
            fuel: None,
        }
    }
}
