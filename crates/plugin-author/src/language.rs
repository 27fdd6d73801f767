//! The languages of plugins, and the tools that make components from interpreted ones.
//!
//! The tools come from npm and PyPI in pinned versions, and are stored in the cache directory for all projects of a user. Their components
//! contain the interpreter, started and with the plugin loaded, so that a call need not wait for that.

use super::{AuthorError, BuildOptions};
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
/// Calls componentize-js: no feature of the system is left in, so that the component imports the contract alone.
const COMPONENTIZE_SCRIPT: &str = include_str!("componentize.mjs");

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Compiled by cargo; the project has a `Cargo.toml`.
    Rust,
    /// Bundled with an interpreter by componentize-js; the project has a `package.json`, and `src/plugin.js`.
    JavaScript,
    /// Bundled with an interpreter by componentize-py; the project has a `pyproject.toml`, and in `src/` a module that is named
    /// like the interface of its kind (`chunking.py`).
    Python,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 3] = [Language::Rust, Language::JavaScript, Language::Python];

    /// Returns the language of the project in `dir`.
    ///
    /// # Errors
    /// If none of the files is there that tell.
    pub fn of(dir: &Path) -> Result<Language, AuthorError> {
        let language = Self::ALL.into_iter().find(|language| dir.join(language.project_file()).is_file());
        language.ok_or_else(|| AuthorError::Source {
            path: dir.to_owned(),
            message: "it has no Cargo.toml (Rust), package.json (JavaScript) or pyproject.toml (Python)".into(),
        })
    }

    fn project_file(self) -> &'static str {
        match self {
            Language::Rust => "Cargo.toml",
            Language::JavaScript => "package.json",
            Language::Python => "pyproject.toml",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Language::Rust => "Rust",
            Language::JavaScript => "JavaScript",
            Language::Python => "Python",
        })
    }
}

/// What is to be made a component.
pub struct Script<'a> {
    /// The project.
    pub dir: &'a Path,
    /// The plugin's name.
    pub name: &'a str,
    /// The world of `wit/` that it implements.
    pub world: &'a str,
    /// The interface that it exports.
    pub export: &'a str,
}

/// Makes a component of a project in JavaScript.
pub fn componentize_js(script: &Script<'_>, options: &BuildOptions<'_>) -> Result<Vec<u8>, AuthorError> {
    let tool = tool(
        "componentize-js",
        COMPONENTIZE_JS,
        "Node.js with npm: on Debian and Ubuntu `apt-get install nodejs npm`",
        options,
        |to| {
            let mut command = Command::new("npm");
            command
                .args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"])
                .arg(to)
                .arg(COMPONENTIZE_JS);
            command
        },
    )?;
    let runner = tool.join("componentize.mjs");
    if fs::read(&runner).ok().as_deref() != Some(COMPONENTIZE_SCRIPT.as_bytes()) {
        fs::write(&runner, COMPONENTIZE_SCRIPT).map_err(AuthorError::io(&runner))?;
    }
    let dir = script.dir.canonicalize().map_err(AuthorError::io(script.dir))?;
    make(script, |out| {
        let mut command = Command::new("node");
        command
            .arg(&runner)
            .args([dir.join("src/plugin.js"), dir.join("wit")])
            .arg(script.world)
            .arg(out);
        command
    })
}

/// Makes a component of a project in Python.
pub fn componentize_py(script: &Script<'_>, options: &BuildOptions<'_>) -> Result<Vec<u8>, AuthorError> {
    let tool = tool(
        "componentize-py",
        COMPONENTIZE_PY,
        "Python 3.10 or later with pip: on Debian and Ubuntu `apt-get install python3 python3-pip`",
        options,
        |to| {
            let mut command = Command::new("python3");
            command
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-warn-script-location",
                    "--target",
                ])
                .arg(to)
                .arg(COMPONENTIZE_PY);
            command
        },
    )?;
    let dir = script.dir.canonicalize().map_err(AuthorError::io(script.dir))?;
    make(script, |out| {
        let mut command = Command::new(tool.join("bin/componentize-py"));
        command
            .env("PYTHONPATH", &tool)
            .current_dir(&dir)
            .args(["--quiet", "--wit-path", "wit", "--world", script.world, "componentize"])
            // Without a system: a call that needs one traps.
            .args(["--stub-wasi", "--python-path", "src", script.export, "--output"])
            .arg(out);
        command
    })
}

/// Runs a tool that writes a component to the given path.
fn make(script: &Script<'_>, command: impl FnOnce(&Path) -> Command) -> Result<Vec<u8>, AuthorError> {
    let scratch = tempfile::tempdir().map_err(AuthorError::io(&env::temp_dir()))?;
    let out = scratch.path().join("plugin.wasm");
    run(command(&out)).map_err(|error| match error {
        Failed::Spawn(error) => error,
        Failed::Ended(output) => AuthorError::Compile {
            name: script.name.to_owned(),
            output,
        },
    })?;
    fs::read(&out).map_err(AuthorError::io(&out))
}

/// Returns the directory of a tool, which is fetched if it is missing. If another build fetches it at the same time, the first one wins.
fn tool(
    name: &str,
    package: &str,
    needs: &str,
    options: &BuildOptions<'_>,
    fetch: impl FnOnce(&Path) -> Command,
) -> Result<PathBuf, AuthorError> {
    let home =
        tools_home().ok_or_else(|| AuthorError::Toolchain("tools are stored below XDG_CACHE_HOME or HOME, and neither is set".into()))?;
    let version = package.rsplit(['@', '=']).next().unwrap_or_default();
    let dir = home.join(format!("{name}-{version}"));
    if dir.is_dir() {
        return Ok(dir);
    }
    if !options.install {
        return Err(AuthorError::Toolchain(format!(
            "{name} {version} is not installed; build without --no-install to fetch it (it needs {needs})"
        )));
    }
    (options.report)(&format!("fetching {name} {version}"));
    fs::create_dir_all(&home).map_err(AuthorError::io(&home))?;
    let fetched = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(&home)
        .map_err(AuthorError::io(&home))?;
    run(fetch(fetched.path())).map_err(|error| {
        let why = match error {
            Failed::Spawn(error) => error.to_string(),
            Failed::Ended(output) => output,
        };
        AuthorError::Toolchain(format!("{name} {version} cannot be fetched; it needs {needs}.\n{why}"))
    })?;
    match fs::rename(fetched.path(), &dir) {
        Err(error) if !dir.is_dir() => Err(AuthorError::io(&dir)(error)),
        _ => Ok(dir),
    }
}

/// Returns the directory of the tools, as the XDG Base Directory Specification defines it.
fn tools_home() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("ibid/tools"))
}

enum Failed {
    Spawn(AuthorError),
    Ended(String),
}

fn run(mut command: Command) -> Result<(), Failed> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Failed::Spawn(AuthorError::Spawn { program, source }))?;
    if output.status.success() {
        return Ok(());
    }
    let (errors, said) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    let lines: Vec<&str> = said.lines().chain(errors.lines()).collect();
    let last = lines.len().saturating_sub(super::build::SHOWN_LINES);
    Err(Failed::Ended(lines.get(last..).unwrap_or_default().join("\n")))
}
