//! Bodies of `/config`.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A setting with its value and origin.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Setting {
    /// The current value; secrets are hidden.
    #[schema(value_type = Value)]
    pub value: Value,
    /// Where it was set: `default`, a file, a variable, a flag, or `PUT /config`.
    pub origin: String,
    /// The environment variable that sets it.
    pub variable: String,
    /// One sentence, with the unit.
    pub help: String,
    /// Whether it can change while the server runs.
    pub live: bool,
}

/// Answer of `GET /config`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConfigShown {
    /// By key (`server.listen`): `value` (secrets hidden), `origin`, `variable`, `help`, and `live`, whether it can change while
    /// the server runs.
    #[schema(value_type = std::collections::BTreeMap<String, Setting>)]
    pub settings: Value,
}

/// Answer of `PUT /config`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConfigChanged {
    /// Keys whose values changed.
    pub changed: Vec<String>,
    /// Whether the change survives the server's restart: always `false`. To keep it, write it into the settings file.
    pub persistent: bool,
    /// As in `GET /config`, after the change.
    #[schema(value_type = std::collections::BTreeMap<String, Setting>)]
    pub settings: Value,
}
