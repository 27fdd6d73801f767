//! What goes wrong with plugins, in words for the person who asked.
//!
//! Guests' backtraces go to the log, never into an error.

use super::manifest::Kind;
use ibid_types::ErrorCode;
use ibid_types::document::Span;
use semver::Version;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which plugin it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRef {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its kind, which is also the stage that it serves.
    pub kind: Kind,
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} ({})", self.name, self.version, self.kind)
    }
}

/// Why a plugin could not do what was asked of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// It cannot be used on this server; the text says what does not fit.
    Refused(String),
    /// No installed plugin is what was asked for.
    NotFound(String),
    /// The configuration is no JSON object. (What its values may be, the plugin's schema says.)
    Config(String),
    /// All instances were in use for this long.
    Busy(Duration),
    /// Most of its last calls ended by its own fault: it is not called for a while.
    Quarantined {
        /// How long.
        remaining: Duration,
        /// Its last fault.
        because: String,
    },
    /// The plugin's code was stopped by a fault of its own.
    Trap(String),
    /// It ran longer than this.
    Deadline(Duration),
    /// It used all of this much fuel.
    Fuel(u64),
    /// It asked for more memory than this many bytes.
    Memory(u64),
    /// It gave more than it may; the text says what.
    Limit(String),
    /// What it gave breaks the contract; the text says where.
    InvalidResult(String),
    /// It failed in its own words.
    Failure {
        /// Upper case, such as `ENCRYPTED` or `MALFORMED`.
        code: String,
        /// One sentence.
        message: String,
        /// Where in the document.
        at: Option<Span>,
    },
    /// An earlier call of the same formatter has ended it.
    Ended,
    /// The server itself could not do its part.
    Host(String),
}

impl Reason {
    /// A stable name of the reason, lower case.
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

    /// Whether the plugin is at fault, rather than its input, its configuration or the server.
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
            Reason::Limit(what) => write!(f, "gave more than it may: {what}"),
            Reason::InvalidResult(why) => write!(f, "gave a result that is not valid: {why}"),
            Reason::Failure { code, message, .. } => write!(f, "failed: {message} ({code})"),
            Reason::Ended => f.write_str("had failed before in this answer"),
            Reason::Host(why) => write!(f, "was let down by the server: {why}"),
        }
    }
}

/// A call to a plugin, or its loading, that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginError {
    /// The plugin; absent where there is none, or its manifest cannot be read.
    pub plugin: Option<Arc<PluginRef>>,
    /// Why.
    pub reason: Reason,
}

impl PluginError {
    /// The code that the API uses: always `PLUGIN_ERROR`. [`Reason::name`] tells more, and a
    /// plugin's own failure its [`PluginError::failure_code`].
    pub fn code(&self) -> ErrorCode {
        ErrorCode::PluginError
    }

    /// The code of a failure in the plugin's own words, such as `ENCRYPTED`.
    pub fn failure_code(&self) -> Option<&str> {
        match &self.reason {
            Reason::Failure { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The stage that the plugin serves, such as `chunker`.
    pub fn stage(&self) -> Option<Kind> {
        self.plugin.as_ref().map(|plugin| plugin.kind)
    }

    /// Returns a failure of a file that is no plugin yet.
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

/// `30 s`, `1.5 s`, `250 ms`.
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

/// `64 MiB`, `1.5 MiB`.
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
