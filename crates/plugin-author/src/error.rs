//! Errors of building plugins.

use ibid_plugin_host::ManifestError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a plugin could not be built.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The directory of a new project is not empty.
    #[error("{} is not empty: name another directory with --dir, or empty it", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// `plugin.toml`, or the schema that it names, is invalid.
    #[error("{}: {message}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// No toolchain for `wasm32-unknown-unknown`; the text says what to install.
    #[error("{0}")]
    Toolchain(String),
    /// A required program could not be started.
    #[error("cannot run `{program}`: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// Cargo failed.
    #[error("`{name}` does not compile:\n{output}")]
    Compile {
        /// The plugin.
        name: String,
        /// The end of cargo's output.
        output: String,
    },
    /// Cargo built no WebAssembly module.
    #[error("building `{name}` built no WebAssembly module; its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`")]
    NoModule {
        /// The plugin.
        name: String,
    },
    /// The module is not a plugin of the manifest's kind.
    #[error("`{name}` is not a plugin that this server can run: {message}")]
    NotAPlugin {
        /// The plugin.
        name: String,
        /// What does not fit.
        message: String,
    },
    /// A registry or an artifact cannot be used.
    #[error("{reference}: {message}")]
    Oci {
        /// The artifact.
        reference: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The manifest cannot be embedded.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl AuthorError {
    /// Returns a function that makes the error of a failure to read or write `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> AuthorError + use<> {
        let path = path.to_owned();
        move |source| AuthorError::Io { path, source }
    }

    /// Returns a stable name for the error.
    pub fn code(&self) -> &'static str {
        match self {
            AuthorError::Io { .. } => "IO",
            AuthorError::NotEmpty { .. } => "NOT_EMPTY",
            AuthorError::Source { .. } => "SOURCE_INVALID",
            AuthorError::Toolchain(_) => "TOOLCHAIN_MISSING",
            AuthorError::Spawn { .. } => "SPAWN_FAILED",
            AuthorError::Compile { .. } => "COMPILE_FAILED",
            AuthorError::NoModule { .. } => "NO_MODULE",
            AuthorError::NotAPlugin { .. } => "NOT_A_PLUGIN",
            AuthorError::Oci { .. } => "REGISTRY_FAILED",
            AuthorError::Manifest(error) => error.code(),
        }
    }
}
