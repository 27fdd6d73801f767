//! The settings of the plugin host.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// The limits of a [`super::Host`] for all its plugins together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// The most extractors and chunkers that run at once. The rest wait.
    pub max_documents: usize,
    /// The most analyzers that run at once.
    pub max_questions: usize,
    /// The most formatters that exist at once, each for the length of an answer.
    pub max_answers: usize,
    /// How long an analyzer or a formatter waits for an instance before its call fails. Extractors and chunkers wait until they are
    /// cancelled: ingest has a queue of its own.
    pub max_wait: Duration,
    /// The most linear memory that any budget may allow an instance, in bytes, up to 4 GiB.
    pub max_memory_bytes: usize,
    /// The directory of compiled code; `None` compiles at every start. Anyone who can write there can run code in the server, so only its
    /// owner may read and write it.
    pub cache_dir: Option<PathBuf>,
    /// Whether fuel is metered, without which no budget may limit it.
    pub meter_fuel: bool,
    /// How often a running guest's deadline and cancellation are checked.
    pub tick: Duration,
}

impl Default for HostSettings {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            // They only compute: more than one for each core would not be faster, and each may hold a document. At least two, so that one
            // long PDF does not delay all others.
            max_documents: cores.max(2),
            // A call takes well under a millisecond; this is enough for a burst on a slow machine.
            max_questions: (2 * cores).clamp(8, 64),
            // Answers stream for seconds to minutes. An idle formatter takes about 1 MiB of memory and one 4 GiB range of addresses, of
            // which there are 128 TiB.
            max_answers: 512,
            // A user waits for it, and will not wait longer.
            max_wait: Duration::from_secs(10),
            // The largest of 1,143 PDFs needs a few hundred MiB; 512 is an extractor's default, and an operator may double that. Slots take
            // addresses, not memory.
            max_memory_bytes: 1 << 30,
            cache_dir: None,
            // It costs about 4 % of speed. The deadline and the memory limit already stop runaway guests.
            meter_fuel: false,
            // Cancelling takes effect within 2 ms; the ticker sleeps while no guest runs.
            tick: Duration::from_millis(2),
        }
    }
}
