//! Sets up the log.
//!
//! Lines go to standard error, so that a command's output stays clean. Credentials and the text of documents and questions are never
//! logged.

use super::trace::{self, Exporter};
use super::{LogFormat, LogSettings};
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, registry, reload};

/// Libraries whose `info` lines are noise to an operator: they report each session and segment. The vector engine's warnings about flags
/// concern its server, and mean nothing here.
const QUIET: &str = "ort=warn,qdrant_edge=warn,qdrant_edge::common::flags=error,wasmtime=warn,cranelift=warn,hyper=warn,h2=warn,sqlx=warn";

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` is neither a level nor directives.
    #[error("`log.level` must be error, warn, info, debug, trace or off, or directives such as \"info,ibid_plugin_host=debug\": {0}")]
    Level(String),
    /// Another subscriber is installed.
    #[error("the log has been set up already")]
    AlreadySet,
}

/// Starts logging for the whole process, and sends traces to `exporter`. Call it once.
///
/// # Errors
/// If the level is invalid, or a log has been set up before.
pub fn init(settings: &LogSettings, exporter: Option<&Exporter>) -> Result<LogLevel, TelemetryError> {
    let (filter, handle) = reload::Layer::new(filter(&settings.level)?);
    let base = fmt::layer().with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = match settings.format {
        LogFormat::Text => base.with_ansi(colours).with_target(false).boxed(),
        LogFormat::Json => base.json().flatten_event(true).boxed(),
    };
    // Each layer has its own filter: traces do not depend on the log's level.
    registry()
        .with(lines.with_filter(filter))
        .with(exporter.map(Exporter::layer))
        .try_init()
        .map_err(|_| TelemetryError::AlreadySet)?;
    Ok(LogLevel(handle))
}

/// The log's filter, which can be changed while the program runs.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Replaces the level or the directives.
    ///
    /// # Errors
    /// [`TelemetryError::Level`]; then nothing changes.
    pub fn set(&self, level: &str) -> Result<(), TelemetryError> {
        let filter = filter(level)?;
        self.0.reload(filter).map_err(|error| TelemetryError::Level(error.to_string()))
    }
}

/// Parses the filter. A plain level also quiets libraries; directives are used as they are.
fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let level = level.trim();
    let directives = match level.to_ascii_lowercase().as_str() {
        plain @ ("info" | "debug" | "warn") => format!("{plain},{QUIET}"),
        plain @ ("error" | "trace" | "off") => plain.to_owned(),
        // The filter would take a single word for a module's name, so that a misspelt level would silence everything.
        word if !word.contains(['=', ',']) => {
            return Err(TelemetryError::Level(format!("`{level}` is not one of these")));
        }
        _ => renamed(level),
    };
    EnvFilter::builder()
        .parse(format!("{directives},{}=off", trace::TARGET))
        .map_err(|error| TelemetryError::Level(error.to_string()))
}

/// Log targets of modules that became crates, which settings may still name. A longer name comes before its prefix.
const FORMER_TARGETS: &[(&str, &str)] = &[
    ("ibid::auth", "ibid_auth"),
    ("ibid::catalog", "ibid_catalog"),
    ("ibid::embed", "ibid_embed"),
    ("ibid::events", "ibid_engine::events"),
    ("ibid::files", "ibid_files"),
    ("ibid::generate", "ibid_generate"),
    ("ibid::index", "ibid_index"),
    ("ibid::pipeline", "ibid_engine"),
    ("ibid::plugin::author", "ibid_plugin_author"),
    ("ibid::plugin", "ibid_plugin_host"),
    ("ibid::protocol", "ibid_protocol"),
    ("ibid::server", "ibid_server"),
    ("ibid::space", "ibid_system::disk"),
    ("ibid::telemetry", "ibid_telemetry"),
    ("ibid::ui", "ibid_server::ui"),
    ("ibid::watch", "ibid_system::watch"),
];

/// Replaces the former names of log targets in directives.
fn renamed(directives: &str) -> String {
    let rename = |directives: String, (former, present): &(&str, &str)| directives.replace(former, present);
    FORMER_TARGETS.iter().fold(directives.to_owned(), rename)
}

#[cfg(test)]
mod tests {
    use super::{filter, renamed};

    #[test]
    fn levels_and_directives_are_understood_and_slips_are_not() {
        for level in ["info", "WARN", "off", "trace", "info,ibid_plugin_host=debug"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        assert_eq!(
            renamed("info,ibid::pipeline=debug,ibid::plugin::author=warn,ibid::plugin::host=trace,ibid::cli=off,ibid=debug"),
            "info,ibid_engine=debug,ibid_plugin_author=warn,ibid_plugin_host::host=trace,ibid::cli=off,ibid=debug"
        );
        for level in ["inof", "verbose", "info,ibid=loud"] {
            assert!(filter(level).is_err(), "{level}");
        }
    }
}
