//! Errors of plugins, in words for the client.
//!
//! Guests' backtraces go to the log, never into an error.

use super::manifest::Kind;
use ibid_types::ErrorCode;
use ibid_types::document::Span;
use semver::Version;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Identifies the plugin of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRef {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its kind, which is also the stage of the pipeline that it serves.
    pub kind: Kind,
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ({})", self.name, self.version, self.kind)
    }
}

/// Why a plugin failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// It cannot be used on this server; the text says why.
    Refused(String),
    /// No installed plugin matches the request.
    NotFound(String),
    /// The configuration is not a JSON object. (The plugin's schema restricts its values.)
    Config(String),
    /// All instances were in use for this long.
    Busy(Duration),
    /// Most of its last calls failed by its own fault, so it is not called for a while.
    Quarantined {
        /// The time that is left.
        remaining: Duration,
        /// Its last fault.
        because: String,
    },
    /// The plugin trapped.
    Trap(String),
    /// It ran longer than this.
    Deadline(Duration),
    /// It used up this much fuel.
    Fuel(u64),
    /// It requested more memory than this many bytes.
    Memory(u64),
    /// Its output exceeds a limit; the text says which.
    Limit(String),
    /// Its result violates the contract; the text says where.
    InvalidResult(String),
    /// It reported a failure itself.
    Failure {
        /// Upper case, such as `ENCRYPTED` or `MALFORMED`.
        code: String,
        /// One sentence.
        message: String,
        /// The place in the document.
        at: Option<Span>,
    },
    /// An earlier call of the same formatter failed.
    Ended,
    /// The server failed, not the plugin.
    Host(String),
}

impl Reason {
    /// Returns a stable name of the reason, in lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Reason::Refused(_) => "refused",
            Reason::NotFound(_) => "not_found",
            Reason::Config(_) => "config",
            Reason::Busy(_) => "busy",
            Reason::Quarantined { .. } => "quarantined",
            Reason::Trap(_) => "trap",
            Reason::Deadline(_) => "deadline",
            Reason::Fuel(_) => "fuel",
            Reason::Memory(_) => "memory",
            Reason::Limit(_) => "limit",
            Reason::InvalidResult(_) => "invalid_result",
            Reason::Failure { .. } => "failure",
            Reason::Ended => "ended",
            Reason::Host(_) => "host",
        }
    }

    /// Returns whether the plugin is at fault, rather than its input, its configuration or the server.
    pub fn is_plugins_fault(&self) -> bool {
        use Reason::*;
        matches!(self, Trap(_) | Deadline(_) | Fuel(_) | Memory(_) | Limit(_) | InvalidResult(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Refused(why) => write!(f, "cannot be used: {why}"),
            Reason::NotFound(what) => f.write_str(what),
            Reason::Config(why) => write!(f, "cannot take its configuration: {why}"),
            Reason::Busy(waited) => write!(f, "could not start: all instances were in use for {}", Seconds(*waited)),
            Reason::Quarantined { remaining, because } => {
                write!(
                    f,
                    "is not called for {} since most of its calls failed; the last one {because}",
                    Seconds(*remaining)
                )
            }
            Reason::Trap(what) => write!(f, "crashed: {what}"),
            Reason::Deadline(allowed) => write!(f, "ran longer than its {}", Seconds(*allowed)),
            Reason::Fuel(fuel) => write!(f, "used up its {fuel} units of fuel"),
            Reason::Memory(bytes) => write!(f, "needed more memory than its {}", Mebibytes(*bytes)),
            Reason::Limit(what) => write!(f, "exceeded a limit: {what}"),
            Reason::InvalidResult(why) => write!(f, "returned an invalid result: {why}"),
            Reason::Failure { code, message, .. } => write!(f, "failed: {message} ({code})"),
            Reason::Ended => f.write_str("had failed before in this answer"),
            Reason::Host(why) => write!(f, "failed because of the server: {why}"),
        }
    }
}

/// The error of a call to a plugin, or of its loading.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginError {
    /// The plugin; absent if there is none, or if its manifest cannot be read.
    pub plugin: Option<Arc<PluginRef>>,
    /// The reason.
    pub reason: Reason,
}

impl PluginError {
    /// Returns the API's error code: always `PLUGIN_ERROR`. [`Reason::name`] has the details, and [`PluginError::failure_code`] the code of
    /// a plugin's own failure.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::PluginError
    }

    /// Returns the code of a failure that the plugin reported, such as `ENCRYPTED`.
    pub fn failure_code(&self) -> Option<&str> {
        match &self.reason {
            Reason::Failure { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Returns the stage that the plugin serves, such as `chunker`.
    pub fn stage(&self) -> Option<Kind> {
        self.plugin.as_ref().map(|plugin| plugin.kind)
    }

    /// Makes the error of a file that is not a plugin.
    pub fn of_file(reason: Reason) -> Self {
        Self { plugin: None, reason }
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.plugin, &self.reason) {
            (Some(plugin), reason) => write!(f, "plugin {plugin} {reason}"),
            (None, reason @ Reason::NotFound(_)) => write!(f, "{reason}"),
            (None, reason @ Reason::Host(_)) => write!(f, "the plugin host {reason}"),
            (None, reason) => write!(f, "the plugin {reason}"),
        }
    }
}

impl std::error::Error for PluginError {}

/// A duration as text: `30 s`, `1.5 s`, `250 ms`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_millis())
        } else {
            write!(f, "{} s", (self.0.as_secs_f64() * 10.0).round() / 10.0)
        }
    }
}

/// A size as text: `64 MiB`, `1.5 MiB`.
struct Mebibytes(u64);

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", (self.0 as f64 / (1024.0 * 1024.0) * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_sentences() {
        let plugin = Arc::new(PluginRef {
            name: "recursive".into(),
            version: Version::new(0, 1, 0),
            kind: Kind::Chunker,
        });
        let check = |reason: Reason, expected: &str| {
            let error = PluginError {
                plugin: Some(plugin.clone()),
                reason,
            };
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.code(), ErrorCode::PluginError);
        };
        check(
            Reason::Deadline(Duration::from_secs(30)),
            "plugin recursive@0.1.0 (chunker) ran longer than its 30 s",
        );
        check(
            Reason::Deadline(Duration::from_millis(250)),
            "plugin recursive@0.1.0 (chunker) ran longer than its 250 ms",
        );
        check(
            Reason::Memory(64 << 20),
            "plugin recursive@0.1.0 (chunker) needed more memory than its 64 MiB",
        );
        check(
            Reason::Failure {
                code: "ENCRYPTED".into(),
                message: "The file needs a password.".into(),
                at: None,
            },
            "plugin recursive@0.1.0 (chunker) failed: The file needs a password. (ENCRYPTED)",
        );
    }
}
