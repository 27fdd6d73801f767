//! Settings: built-in values, a TOML file, `IBID_*` variables and flags, in rising order.
//!
//! One table ([`KEYS`]) says which settings there are, what they may be and what they are by default; reading, checking, printing and the
//! documentation follow it. `cli` turns [`Settings`] into what the server and the pipeline want.

mod error;
mod keys;
mod layers;
mod nearest;
mod render;
mod settings;

pub use error::ConfigError;
pub use keys::{KEYS, Key, Kind};
pub use layers::{Effective, Flag, Origin, Sources};
pub use nearest::nearest;
pub use render::reference;
pub use settings::{FileStoreKind, LlmOnFailure, Settings};
