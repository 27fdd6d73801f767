//! How a command fails: what it says, and with which exit code.

use super::console::program;
use crate::config::ConfigError;
use crate::plugin::PluginError;
use crate::plugin::author::AuthorError;
use crate::telemetry::TelemetryError;
use std::io;
use std::path::PathBuf;

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
    Author(#[from] AuthorError),
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
    #[error("{message} [{code}]{}", next_step(code))]
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
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Part of the work failed, and has been told of.
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

/// What to do about a server's error, where its message may not say.
fn next_step(code: &str) -> String {
    match code {
        "COLLECTION_NOT_FOUND" => format!(
            "\n`{0} collections` lists those there are; `{0} ingest FILE --collection NAME` makes one",
            program()
        ),
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
    /// What is told to the user; `None` where there is nobody left to tell.
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
