//! The limits of one call.

use super::state::MAX_TABLE_ELEMENTS;
use crate::Kind;
use std::time::Duration;

/// The limits of one call. A call that exceeds one fails with an error that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The linear memory of the instance, in bytes; the host's `max_memory_bytes` is an upper bound.
    pub memory_bytes: u64,
    /// The wall time of the call, including host functions but not the wait for an instance. For a formatter it applies to each of its
    /// calls.
    pub deadline: Duration,
    /// The most bytes of text and values in the plugin's output; for a formatter in each call. It also bounds what one host call copies.
    pub output_bytes: usize,
    /// The most items in the output: units, pages and attributes of a document together; pieces of a chunker; searches.
    pub output_items: usize,
    /// The most lines that the plugin may log in a call. Further ones are counted and dropped.
    pub log_lines: u32,
    /// The most host functions that the plugin may call.
    pub host_calls: u64,
    /// The most elements of its tables of functions, up to 50,000.
    pub table_elements: usize,
    /// The fuel, roughly the number of instructions; only for a host that meters it.
    pub fuel: Option<u64>,
}

const MIB: usize = 1024 * 1024;

impl Budget {
    /// Returns the default budget of a kind.
    pub fn of(kind: Kind) -> Self {
        let (memory_mib, seconds, output_bytes, output_items, log_lines) = match kind {
            // A 1,000-page report takes seconds and 5 MB of text; a scan with a bad text layer may take ten times as long. The text of a 64
            // MiB log file must fit.
            Kind::Extractor => (512, 120, 128 * MIB, 2_000_000, 1_000),
            // 1 MiB of text makes about 1,200 chunks, so this is some 400 MiB of text.
            Kind::Chunker => (256, 30, 64 * MIB, 500_000, 200),
            // A user waits for these two, and their output is a few hundred bytes.
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
