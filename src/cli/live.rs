//! Settings that change while the server runs: what `/config` shows and does.

use crate::config::{ConfigError, Effective};
use ibid_engine::{Engine, Tuning};
use ibid_protocol::ApiError;
use ibid_server::{Configuration, ServerTuning};
use ibid_telemetry::LogLevel;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// The settings that hold, and the engine that runs by them.
pub struct LiveSettings {
    effective: Mutex<Effective>,
    engine: Arc<Engine>,
    log: LogLevel,
}

impl LiveSettings {
    /// The settings with which `engine` and `log` were started.
    pub fn new(effective: Effective, engine: Arc<Engine>, log: LogLevel) -> Self {
        Self {
            effective: Mutex::new(effective),
            engine,
            log,
        }
    }
}

impl Configuration for LiveSettings {
    fn show(&self) -> Value {
        self.effective.lock().unwrap_or_else(PoisonError::into_inner).to_json()
    }

    fn change(&self, changes: Map<String, Value>, tune: &dyn Fn(&ServerTuning)) -> Result<Vec<String>, ApiError> {
        let changes = changes
            .into_iter()
            .map(|(key, value)| match toml_value(&value) {
                Some(value) => Ok((key, value)),
                None => Err(ApiError::validation(
                    &key,
                    "must be a text, a number, `true` or `false`, or a list of texts",
                )),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<String> = changes.iter().map(|(key, _)| key.clone()).collect();
        // Held until all is done: of two changes at once, the later one holds everywhere.
        let mut effective = self.effective.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = effective.changed(changes).map_err(to_api_error)?;
        let others = keys
            .into_iter()
            .filter(|key| effective.get(key).map(|(value, _)| value) != changed.get(key).map(|(value, _)| value))
            .collect();
        // What may be refused comes first, so that all is changed or nothing.
        let server = ServerTuning::from(&changed.settings.server);
        let level = &changed.settings.log.level;
        if *level != effective.settings.log.level {
            self.log
                .set(level)
                .map_err(|error| ApiError::validation("log.level", error.to_string()))?;
        }
        self.engine.tune(Tuning::from(&changed.settings.engine));
        tune(&server);
        *effective = changed;
        tracing::info!(changed = ?others, "settings changed");
        Ok(others)
    }
}

fn to_api_error(error: ConfigError) -> ApiError {
    match error {
        ConfigError::Invalid { key, issue, .. } => ApiError::validation(&key, issue),
        ConfigError::UnknownKey { key, meant, .. } => {
            let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
            ApiError::validation(&key, format!("is no setting{meant}; GET /config lists them"))
        }
        other => ApiError::validation("body", other.to_string()),
    }
}

/// The same value as settings files have it; `None` where they have none like it.
fn toml_value(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Bool(value) => (*value).into(),
        Value::Number(value) => value.as_i64()?.into(),
        Value::String(value) => value.as_str().into(),
        Value::Array(values) => toml::Value::Array(values.iter().map(toml_value).collect::<Option<_>>()?),
        Value::Null | Value::Object(_) => return None,
    })
}
