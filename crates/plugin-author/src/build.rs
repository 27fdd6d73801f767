//! Compiles plugins with the tools of their language, and writes their components.

use super::language::{Language, Script, componentize_js, componentize_py};
use super::source::read_project;
use super::toolchain::TARGET;
use super::{AuthorError, SOURCE_FILE, Toolchain, package};
use ibid_plugin_host::Manifest;
use serde::Deserialize;
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

/// The lines of cargo's messages that an error shows. A compiler error with its context has about 20.
pub const SHOWN_LINES: usize = 60;

/// How to build plugins.
pub struct BuildOptions<'a> {
    /// The directory for the components, `NAME.wasm`, which is created if it is missing.
    pub out: PathBuf,
    /// The target directory of cargo. All plugins share it, so that their dependencies are compiled once; `None` leaves it to cargo.
    pub target_dir: Option<PathBuf>,
    /// Whether a missing toolchain may be fetched.
    pub install: bool,
    /// Called with each line of progress, including cargo's messages.
    pub report: &'a (dyn Fn(&str) + Sync),
}

/// A plugin that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its manifest.
    pub manifest: Manifest,
    /// The component.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether the file is new or changed; `false` where it was up to date.
    pub changed: bool,
}

/// Builds the plugin in each of `dirs`, and writes each `OUT/NAME.wasm` atomically. Cargo compiles only what has changed.
///
/// # Errors
/// The first error; plugins before it are built.
pub fn build(dirs: &[PathBuf], options: &BuildOptions<'_>) -> Result<Vec<Built>, AuthorError> {
    // Read all manifests first: that is fast, and a mistake in the last one should not cost a build.
    let projects = dirs
        .iter()
        .map(|dir| {
            let project = read_project(dir)?;
            Ok((dir, Language::of(dir)?, project))
        })
        .collect::<Result<Vec<_>, AuthorError>>()?;
    let mut toolchain = None;
    fs::create_dir_all(&options.out).map_err(AuthorError::io(&options.out))?;
    let mut built = Vec::with_capacity(dirs.len());
    for (dir, language, project) in projects {
        let manifest = project.manifest;
        (options.report)(&format!("building {} {} ({})", manifest.name, manifest.version, manifest.kind));
        let script = Script {
            dir,
            name: &manifest.name,
            world: project.world.as_deref().unwrap_or(manifest.kind.world()),
            export: manifest.kind.export(),
        };
        let wasm = match language {
            Language::JavaScript => componentize_js(&script, options)?,
            Language::Python => componentize_py(&script, options)?,
            Language::Rust if project.world.is_some() => {
                return Err(AuthorError::Source {
                    path: dir.join(SOURCE_FILE),
                    message: "`world` is for JavaScript and Python; in Rust, wit_bindgen::generate! names it".into(),
                });
            }
            Language::Rust => {
                let toolchain = match &mut toolchain {
                    Some(toolchain) => toolchain,
                    none => none.insert(rust_toolchain(options)?),
                };
                let module = compile(toolchain, dir, &manifest.name, options)?;
                fs::read(&module).map_err(AuthorError::io(&module))?
            }
        };
        let component = package(&wasm, &manifest)?;
        let path = options.out.join(format!("{}.wasm", manifest.name));
        let changed = write(&path, &component)?;
        built.push(Built {
            manifest,
            path,
            bytes: component.len() as u64,
            changed,
        });
    }
    Ok(built)
}

fn rust_toolchain(options: &BuildOptions<'_>) -> Result<Toolchain, AuthorError> {
    if options.install {
        return Toolchain::find_or_install(&|line| (options.report)(line));
    }
    Toolchain::find().ok_or_else(|| {
        AuthorError::Toolchain(format!(
            "no Rust toolchain with the target {TARGET}; run `rustup target add {TARGET}`"
        ))
    })
}

/// The fields of cargo's JSON messages that are used here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Runs cargo in `dir`, so that a `.cargo/config.toml` there applies, and returns the module's path.
fn compile(toolchain: &Toolchain, dir: &Path, name: &str, options: &BuildOptions<'_>) -> Result<PathBuf, AuthorError> {
    let dir = dir.canonicalize().map_err(AuthorError::io(dir))?;
    let mut command = toolchain.cargo_build();
    let program = command.get_program().to_string_lossy().into_owned();
    let failed_to_run = |source| AuthorError::Spawn {
        program: program.clone(),
        source,
    };
    command
        .current_dir(&dir)
        .args(["--lib", "--message-format", "json-render-diagnostics"]);
    if let Some(target_dir) = &options.target_dir {
        let target_dir = std::path::absolute(target_dir).map_err(AuthorError::io(target_dir))?;
        command.arg("--target-dir").arg(target_dir);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed_to_run)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (module, shown) = thread::scope(|scope| {
        // Both pipes are drained at once, otherwise cargo would block when one is full.
        let messages = scope.spawn(move || stdout.and_then(|stdout| module_of(stdout, &dir)));
        let shown = stderr.map(|stderr| relay(stderr, options.report)).unwrap_or_default();
        (messages.join().ok().flatten(), shown)
    });
    if !child.wait().map_err(failed_to_run)?.success() {
        let output = shown.into_iter().collect::<Vec<_>>().join("\n");
        return Err(AuthorError::Compile {
            name: name.to_owned(),
            output,
        });
    }
    module.ok_or_else(|| AuthorError::NoModule { name: name.to_owned() })
}

/// Returns the `.wasm` file that cargo made of the package in `dir`, not of one of its dependencies.
fn module_of(stdout: impl Read, dir: &Path) -> Option<PathBuf> {
    let mut module = None;
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { break };
        let Ok(message) = serde_json::from_str::<Message>(&line) else {
            continue;
        };
        if message.reason == "compiler-artifact" && message.manifest_path.parent() == Some(dir) {
            let wasm = message
                .filenames
                .into_iter()
                .find(|path| path.extension().is_some_and(|ext| ext == "wasm"));
            module = wasm.or(module);
        }
    }
    module
}

/// Forwards lines, and keeps the last ones.
fn relay(stderr: impl Read, report: &dyn Fn(&str)) -> VecDeque<String> {
    let mut kept = VecDeque::with_capacity(SHOWN_LINES);
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { break };
        report(&line);
        if kept.len() == SHOWN_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    kept
}

/// Writes a file atomically. Returns whether that changed it.
fn write(path: &Path, bytes: &[u8]) -> Result<bool, AuthorError> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".plugin-")
        .tempfile_in(dir)
        .map_err(AuthorError::io(dir))?;
    file.write_all(bytes).map_err(AuthorError::io(path))?;
    // Temporary files are private, but others than the author may run the server.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(mode).map_err(AuthorError::io(path))?;
    }
    file.persist(path).map_err(|error| AuthorError::Io {
        path: path.to_owned(),
        source: error.error,
    })?;
    Ok(true)
}
