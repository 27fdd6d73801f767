//! How large the host may become.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Bounds of a [`super::Host`] that hold for all its plugins together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// Extractors and chunkers that run at once. The rest wait.
    pub max_documents: usize,
    /// Analyzers that run at once.
    pub max_questions: usize,
    /// Formatters that are alive at once, each for the length of an answer.
    pub max_answers: usize,
    /// How long an analyzer or a formatter waits for an instance before its call fails. Extractors
    /// and chunkers wait until they are cancelled: ingesting has a queue of its own.
    pub max_wait: Duration,
    /// The most linear memory that any budget may allow an instance, in bytes, up to 4 GiB.
    pub max_memory_bytes: usize,
    /// Where compiled code is kept between runs; `None` compiles on every start. Whoever can write
    /// there can run code in the server, so it is made readable and writable by its owner only.
    pub cache_dir: Option<PathBuf>,
    /// Whether fuel is counted, without which no budget may name an amount.
    pub meter_fuel: bool,
    /// How often a running guest's deadline and cancellation are looked at.
    pub tick: Duration,
}

impl Default for HostSettings {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            // They only compute: more than one for each core would make none faster, and each may
            // hold a document. At least two, so that one long PDF does not hold up all others.
            max_documents: cores.max(2),
            // A call takes well under a millisecond; this is room for a burst on a slow machine.
            max_questions: (2 * cores).clamp(8, 64),
            // Answers stream for seconds to minutes. An idle formatter holds about 1 MiB of memory
            // and one 4 GiB range of addresses, of which there are 128 TiB.
            max_answers: 512,
            // A person waits for it. What takes longer to start has lost its reader.
            max_wait: Duration::from_secs(10),
            // The largest PDFs of 1,143 that were tried need a few hundred MiB; 512 is an extractor's
            // default, and an operator may double that. Slots cost addresses, not memory.
            max_memory_bytes: 1 << 30,
            cache_dir: None,
            // About 4 % of speed. The deadline and the memory cap already stop whatever runs away.
            meter_fuel: false,
            // Cancelling is felt within 2 ms; the ticker sleeps while no guest runs.
            tick: Duration::from_millis(2),
        }
    }
}
