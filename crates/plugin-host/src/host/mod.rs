//! Compiles components and runs their calls in a sandbox.
//!
//! `plugin` loads a component, `call` runs one call on a blocking thread, and one file per kind has that kind's input and the checks of its
//! output. Guests reach `imports` and `intake`, nothing else.

mod analyze;
mod bindings;
mod budget;
mod bulk;
mod cache;
mod call;
mod check;
mod chunk;
mod cite;
mod engine;
mod extract;
mod imports;
mod intake;
mod log;
mod plugin;
mod quarantine;
mod settings;
mod state;
mod stats;
mod ticker;

pub use analyze::{Plan, Search};
pub use budget::Budget;
pub use chunk::Piece;
pub use cite::{Formatter, Source};
pub use engine::Host;
pub use imports::{Provided, TextEmbedder, TokenCounter};
pub use intake::{Blob, FileBlob};
pub use log::GuestLine;
pub use plugin::{MAX_COMPONENT_BYTES, Plugin, StateChange};
pub use quarantine::{Quarantine, QuarantineChange};
pub use settings::HostSettings;
pub use stats::Stats;
