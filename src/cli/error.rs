//! How a command fails: what it says, and with which exit code.

use super::console::program;
use crate::config::ConfigError;
use ibid_plugin_author::AuthorError;
use ibid_plugin_host::PluginError;
use ibid_telemetry::TelemetryError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// A plugin's project, component or registry cannot be used.
    #[error(transparent)]
    Author(AuthorError),
    /// A plugin failed, or the host that was to run it.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// Nothing answers at the server's address.
    #[error(
        "no server answers at {server} ({reason}).\nStart one with `{} serve` (`make run` in Ibid's sources does all that is needed first), or name another with --server URL",
        program()
    )]
    Unreachable {
        /// The address that was tried.
        server: String,
        /// What the system said.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{} [{code}]{}", in_commands(message), next_step(code))]
    Server {
        /// Stable code, as in the protocol.
        code: String,
        /// For people.
        message: String,
        /// Seconds to wait before trying again, where the server said so or it is worth it.
        retry_after: Option<u64>,
    },
    /// The connection broke in the middle.
    #[error("the connection to {server} broke off: {reason}. `{} doctor` looks at the server", program())]
    Broken {
        /// The server.
        server: String,
        /// What the system said.
        reason: String,
    },
    /// What answers is not an Ibid server, or a much other version.
    #[error(
        "{server} does not answer as an Ibid server does: {reason}. Is another program on that port? `{} doctor` says more",
        program()
    )]
    Foreign {
        /// The server.
        server: String,
        /// What was unexpected.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {}", path.display(), why_unusable(path, source))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Part of the work failed, and has been reported.
    #[error("{0}")]
    Incomplete(String),
    /// A tool or the server failed; the text has the remedy.
    #[error("{0}")]
    Failed(String),
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// Standard output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// Threads or timers are not to be had.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

impl From<AuthorError> for CliError {
    fn from(error: AuthorError) -> Self {
        match error {
            AuthorError::Io { path, source } => Self::File { path, source },
            error => Self::Author(error),
        }
    }
}

/// The command that makes a request, given by its path.
fn command(path: &str) -> Option<String> {
    match *path.split('/').collect::<Vec<_>>().as_slice() {
        ["collections"] => Some("collections".to_owned()),
        ["collections", name, "info" | "index"] => Some(format!("collections info {name}")),
        ["documents"] => Some("documents".to_owned()),
        ["plugins"] => Some("plugin list".to_owned()),
        ["health"] => Some("health".to_owned()),
        _ => None,
    }
}

/// A message of the server with commands in the place of the requests that it sends people to.
fn in_commands(message: &str) -> String {
    let mut told = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once("GET /") {
        let end = after
            .find(|c: char| !(c.is_alphanumeric() || "/_.-".contains(c)))
            .unwrap_or(after.len());
        let path = after.get(..end).unwrap_or_default().trim_end_matches('.');
        let after = after.get(path.len()..).unwrap_or_default();
        match command(path) {
            Some(command) => {
                let quoted = before.ends_with('`') && after.starts_with('`');
                told.push_str(before.strip_suffix('`').filter(|_| quoted).unwrap_or(before));
                told.push_str(&format!("`{} {command}`", program()));
                rest = after.strip_prefix('`').filter(|_| quoted).unwrap_or(after);
            }
            None => {
                told.push_str(&format!("{before}GET /{path}"));
                rest = after;
            }
        }
    }
    told + rest
}

/// An error with what caused it, where it does not say that itself.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// Why a file cannot be used, with what to look at.
fn why_unusable(path: &Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => match std::env::current_dir() {
            Ok(here) if path.is_relative() => format!("there is no such file or directory in {}", here.display()),
            _ => "there is no such file or directory".to_owned(),
        },
        io::ErrorKind::PermissionDenied => format!("{source}. `ls -l {}` shows who may", path.display()),
        _ => source.to_string(),
    }
}

/// What to do about a server's error, where its message may not say.
fn next_step(code: &str) -> String {
    match code {
        "COLLECTION_NOT_FOUND" => format!("\n`{} ingest FILE --collection NAME` makes one", program()),
        "AUTHENTICATION_REQUIRED" | "MISSING_TOKEN" | "INVALID_TOKEN" | "TOKEN_EXPIRED" => {
            "\nGive a valid token or API key: in the variable IBID_TOKEN, or in a file that --token-file names".to_owned()
        }
        "AUTHORIZATION_FAILED" | "INSUFFICIENT_SCOPE" => {
            "\nThe token or API key does not allow this: ask whoever runs the server for one that does".to_owned()
        }
        _ => String::new(),
    }
}

impl CliError {
    /// Returns the message for the user; `None` where nobody is left to read it.
    pub fn report(&self) -> Option<String> {
        match self {
            // `ibid search ... | head`: the reader has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            error => Some(error.to_string()),
        }
    }

    /// The exit code, as `ibid --help` lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Config(_) | Self::Telemetry(_) | Self::Usage(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_commands_and_not_requests() {
        let shown = CliError::Server {
            code: "RESOURCE_NOT_FOUND".to_owned(),
            message: "there is no document `x`: GET /documents lists them".to_owned(),
            retry_after: None,
        };
        let wanted = format!(
            "there is no document `x`: `{} documents` lists them [RESOURCE_NOT_FOUND]",
            program()
        );
        assert_eq!(shown.to_string(), wanted);
        for (message, wanted) in [
            (
                "it runs: GET /collections/a-b.c/info tells",
                "it runs: `{} collections info a-b.c` tells",
            ),
            ("`GET /health` tells, as GET /plugins.", "`{} health` tells, as `{} plugin list`."),
            (
                "GET /documents/x/file is another, and GET / as well",
                "GET /documents/x/file is another, and GET / as well",
            ),
        ] {
            assert_eq!(in_commands(message), wanted.replace("{}", &program()));
        }
    }

    #[test]
    fn the_error_of_a_missing_file_names_where_one_is() {
        let missing = |path: &str| CliError::File {
            path: path.into(),
            source: io::ErrorKind::NotFound.into(),
        };
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(
            missing("a.pdf").to_string(),
            format!("a.pdf: there is no such file or directory in {}", here.display())
        );
        assert_eq!(missing("/a.pdf").to_string(), "/a.pdf: there is no such file or directory");
    }
}
