//! Loads ONNX Runtime, once for the whole process.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ort::{environment::Environment, logging::LogLevel};

use super::settings::RuntimeChoice;
use super::{Device, EmbedError};

/// The library's name, without its version.
const LIBRARY: &str = "libonnxruntime.so";

/// A process can hold one environment of one library, and never another after it.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// ONNX Runtime's shared library, ready for sessions. A cheap handle.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(super) environment: Environment,
    library: PathBuf,
    version: String,
    /// The number of GPUs that the library can use, or why there are none: see [`Self::gpu`].
    gpu: Result<usize, Option<String>>,
}

/// The library of ONNX Runtime's GPU build that uses CUDA, beside the main library.
const CUDA_PROVIDER: &str = "libonnxruntime_providers_cuda.so";
/// How deep the search for CUDA's libraries goes below a directory: Python's packages have `nvidia/NAME/lib`.
const LIBRARY_DEPTH: usize = 4;
/// The most GPUs that are counted.
const MAX_GPUS: usize = 64;

impl Runtime {
    /// Loads the library, such as `lib/libonnxruntime.so` of the share directory. Blocks. Loading the same file again returns another
    /// handle to it.
    ///
    /// # Errors
    /// [`EmbedError::FileMissing`]; [`EmbedError::RuntimeUnusable`] when it is not a library for this machine or too old;
    /// [`EmbedError::RuntimeLoaded`] when the process uses another file already.
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
            gpu: gpus(&wanted),
            library: wanted,
            version,
        };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// Finds and loads the library that fits the settings: the one that they name; or `lib/cuda/libonnxruntime.so` of the share directory
    /// if it exists and a GPU is wanted; or `lib/libonnxruntime.so`. Blocks.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn find(share: &Path, choice: &RuntimeChoice) -> Result<Self, EmbedError> {
        let (plain, gpu) = (share.join("lib").join(LIBRARY), share.join("lib").join("cuda").join(LIBRARY));
        let library = match &choice.library {
            Some(directory) if directory.is_dir() => directory.join(LIBRARY),
            Some(library) => library.clone(),
            None if choice.device != Device::Cpu && gpu.exists() => gpu,
            None => plain,
        };
        let has_gpu_part = library
            .canonicalize()
            .is_ok_and(|library| library.with_file_name(CUDA_PROVIDER).exists());
        if choice.device != Device::Cpu && has_gpu_part {
            preload(&choice.cuda_libraries);
        }
        Self::load(&library)
    }

    /// Returns how many GPUs there may be, or why there are none. There is no reason if the library is a build for CPUs.
    pub(super) fn gpu(&self) -> Result<usize, Option<String>> {
        self.gpu.clone()
    }

    /// Returns the library's version, such as `1.32.0`; or its commit, if the file name has no version.
    #[must_use]
    pub fn version(&self) -> String {
        self.version.clone()
    }

    /// Returns the path of the loaded file, with links resolved.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }
}

/// Loads CUDA's libraries, before ONNX Runtime looks for them by name. Those that are not found are left to the system.
fn preload(directories: &[PathBuf]) {
    for name in ort::ep::cuda::CUDA_DYLIBS.iter().chain(ort::ep::cuda::CUDNN_DYLIBS) {
        let Some(library) = directories.iter().find_map(|directory| find_below(directory, name, LIBRARY_DEPTH)) else {
            continue;
        };
        if let Err(error) = ort::util::preload_dylib(&library) {
            tracing::debug!(library = %library.display(), %error, "a library of CUDA does not load");
        }
    }
}

fn find_below(directory: &Path, name: &str, depth: usize) -> Option<PathBuf> {
    let here = directory.join(name);
    if here.is_file() {
        return Some(here);
    }
    let deeper = depth.checked_sub(1)?;
    let mut children: Vec<_> = std::fs::read_dir(directory)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    children.sort();
    children.iter().find_map(|child| find_below(child, name, deeper))
}

fn gpus(library: &Path) -> Result<usize, Option<String>> {
    if !library.with_file_name(CUDA_PROVIDER).exists() {
        return Err(None);
    }
    // The driver's device files; where a system has none (as in WSL), one GPU is tried.
    let files = (0..MAX_GPUS)
        .filter(|number| Path::new(&format!("/dev/nvidia{number}")).exists())
        .count();
    let driver = ["/dev/nvidiactl", "/dev/dxg"].iter().any(|file| Path::new(file).exists());
    if files == 0 && !driver {
        return Err(Some("this machine has no NVIDIA GPU, or its driver is not loaded".to_owned()));
    }
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").map(|list| list.split(',').filter(|gpu| !gpu.trim().is_empty()).count());
    match visible {
        Ok(0) => Err(Some("CUDA_VISIBLE_DEVICES hides all GPUs".to_owned())),
        Ok(visible) => Ok(files.clamp(1, visible)),
        Err(_) => Ok(files.max(1)),
    }
}

/// Returns the version from the library's file name, or the commit from its build info.
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
