//! ONNX Runtime, loaded once for the whole process.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ort::{environment::Environment, logging::LogLevel};

use super::EmbedError;

/// A process can hold one environment of one library, and never another after it.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// ONNX Runtime's shared library, ready for sessions. A cheap handle.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(super) environment: Environment,
    library: PathBuf,
    version: String,
}

impl Runtime {
    /// Loads the library, such as `lib/libonnxruntime.so` of the share directory. Blocks. Loading the same file
    /// again gives another handle to it.
    ///
    /// # Errors
    /// [`EmbedError::FileMissing`]; [`EmbedError::RuntimeUnusable`] when it is not a library for this machine or
    /// too old; [`EmbedError::RuntimeLoaded`] when the process uses another file already.
    pub fn load(library: &Path) -> Result<Self, EmbedError> {
        let wanted = library.canonicalize().map_err(|source| EmbedError::file(library, source))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return if runtime.library == wanted {
                Ok(runtime.clone())
            } else {
                Err(EmbedError::RuntimeLoaded {
                    loaded: runtime.library.clone(),
                    wanted,
                })
            };
        }
        let unusable = |reason: String| EmbedError::RuntimeUnusable {
            path: library.to_owned(),
            reason,
        };
        let environment = ort::init_from(&wanted)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("ibid")
            .with_telemetry(false)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        let version = version(&wanted, ort::info());
        let runtime = Self {
            environment,
            library: wanted,
            version,
        };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library's version, such as `1.32.0`; for a build whose file name does not say, its commit.
    #[must_use]
    pub fn version(&self) -> String {
        self.version.clone()
    }

    /// The file that was loaded, links followed.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }
}

/// Published libraries carry the version in their file name. A build that does not is told by its commit.
fn version(library: &Path, build_info: &str) -> String {
    let name = library.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Some((_, version)) = name.split_once(".so.") {
        return version.to_owned();
    }
    build_info
        .split_once("git-commit-id=")
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>())
        .filter(|commit| !commit.is_empty())
        .map_or_else(|| "unknown".to_owned(), |commit| format!("commit {commit}"))
}
