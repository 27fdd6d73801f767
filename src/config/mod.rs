//! Settings: built-in values, a TOML file, `IBID_*` variables and flags, in rising order.
//!
//! Each layer declares its settings in a struct of its own ([`ibid_settings::settings!`]). [`Settings`] collects the structs and [`KEYS`] their
//! keys; reading, checking, printing and the reference page follow the keys.

mod error;
mod keys;
mod layers;
mod nearest;
mod render;
mod settings;

pub use error::ConfigError;
pub use ibid_settings::{Key, Kind};
pub use keys::KEYS;
pub use layers::{Effective, Flag, Origin, Sources};
pub use nearest::nearest;
pub use render::reference;
pub use settings::Settings;
