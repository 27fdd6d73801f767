//! What the server needs of the settings to show and change them. Where they come from is not its affair.

use super::ServerTuning;
use ibid_protocol::ApiError;
use serde_json::{Map, Value};

/// The settings, as operators see them.
pub trait Configuration: Send + Sync {
    /// Every setting by its key, secrets hidden: `{key: {value, origin, variable, help, live}}`.
    fn show(&self) -> Value;

    /// Changes settings, by key: all of them or none. `tune` hands the server what it runs by from now on. Returns the keys whose
    /// values are others now.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with the key as its `field`: one that does not exist, cannot change while the server runs, or whose
    /// value cannot be.
    fn change(&self, changes: Map<String, Value>, tune: &dyn Fn(&ServerTuning)) -> Result<Vec<String>, ApiError>;
}
