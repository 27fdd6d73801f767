//! What goes wrong between source and component.

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
        /// What the system said.
        source: io::Error,
    },
    /// A new project would mix with what is there.
    #[error("{} holds something already: name another directory by --dir, or empty it", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// `plugin.toml` or the schema that it names is not as it must be.
    #[error("{}: {message}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        message: String,
    },
    /// No toolchain for `wasm32-unknown-unknown`; the text says what to install.
    #[error("{0}")]
    Toolchain(String),
    /// A program that should be there could not be started.
    #[error("cannot run `{program}`: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Cargo failed.
    #[error("`{name}` does not compile:\n{output}")]
    Compile {
        /// The plugin.
        name: String,
        /// The end of what cargo wrote.
        output: String,
    },
    /// Cargo made no WebAssembly module.
    #[error("building `{name}` made no WebAssembly module; its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`")]
    NoModule {
        /// The plugin.
        name: String,
    },
    /// The module is no plugin of the kind that its manifest names.
    #[error("`{name}` is not a plugin that this server can run: {message}")]
    NotAPlugin {
        /// The plugin.
        name: String,
        /// What does not fit.
        message: String,
    },
    /// A registry, or what it holds, cannot be used.
    #[error("{reference}: {message}")]
    Oci {
        /// What was asked for.
        reference: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The manifest cannot be embedded.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl AuthorError {
    /// What makes an error of a failure to read or write `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> AuthorError + use<> {
        let path = path.to_owned();
        move |source| AuthorError::Io { path, source }
    }

    /// A stable name for the error.
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
