//! Finds or installs a Rust toolchain that compiles for `wasm32-unknown-unknown`.

use super::AuthorError;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The target of plugins. It has no system interface, so that plugins can use nothing but the contract.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's packages of a Rust that can build its own standard library, without a linker.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "cargo-web"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// Variables that an outer cargo, or flags for the server's own build, leave behind. They would change which compiler runs, and how.
const FOREIGN_VARIABLES: [&str; 10] = [
    "CARGO",
    "RUSTC",
    "RUSTDOC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_MAKEFLAGS",
];

/// A way to compile plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The current toolchain has the target installed, as rustup does it.
    Installed,
    /// Debian's toolchain, which builds the standard library from its sources.
    Debian {
        /// The WebAssembly linker, such as `wasm-ld-22`.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Finds an installed toolchain. Changes nothing.
    pub fn find() -> Option<Toolchain> {
        if has_target("rustc") {
            return Some(Toolchain::Installed);
        }
        let sources = Path::new(DEBIAN_RUSTC).exists().then(|| sysroot(DEBIAN_RUSTC)).flatten()?;
        let complete = sources.join("lib/rustlib/src/rust/library/std/Cargo.toml").exists() && Path::new(DEBIAN_CARGO).exists();
        complete.then(newest_linker).flatten().map(|linker| Toolchain::Debian { linker })
    }

    /// Finds a toolchain, and installs one if there is none: rustup's target, or, as root on Debian or Ubuntu, packages. Calls `report`
    /// with each step.
    ///
    /// # Errors
    /// If none can be installed. The error names the commands that would help, and the error of each attempt.
    pub fn find_or_install(report: &dyn Fn(&str)) -> Result<Toolchain, AuthorError> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        let mut attempts = Vec::new();
        report(&format!("adding the target {TARGET} with rustup"));
        match run(Command::new("rustup").args(["target", "add", TARGET])) {
            Ok(()) if has_target("rustc") => return Ok(Toolchain::Installed),
            Ok(()) => attempts.push("rustup added the target, but not to the `rustc` that is first in PATH".to_owned()),
            Err(reason) => attempts.push(format!("`rustup target add {TARGET}`: {reason}")),
        }
        match install_debian(report) {
            Ok(()) => match Self::find() {
                Some(found) => return Ok(found),
                None => attempts.push("Debian's packages were installed but are not complete".to_owned()),
            },
            Err(reason) => attempts.push(reason),
        }
        Err(AuthorError::Toolchain(format!(
            "plugins are compiled for {TARGET}, and this machine has no Rust that can. Run `rustup target add {TARGET}`, \
             or, on Debian and Ubuntu as root, `apt-get install {} lld`.\nTried:\n  {}",
            DEBIAN_PACKAGES.join(" "),
            attempts.join("\n  ")
        )))
    }

    /// Returns a cargo command that builds for the target, with its sub-command and target, and with a clean environment.
    pub fn cargo_build(&self) -> Command {
        let mut command = match self {
            Toolchain::Installed => Command::new("cargo"),
            Toolchain::Debian { .. } => Command::new(DEBIAN_CARGO),
        };
        for variable in FOREIGN_VARIABLES {
            command.env_remove(variable);
        }
        command.args(["build", "--release", "--target", TARGET]);
        if let Toolchain::Debian { linker } = self {
            command
                .env("RUSTC", DEBIAN_RUSTC)
                // Debian's compiler is a stable one, but building the standard library is unstable.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                .arg("-Zbuild-std=std,panic_abort");
        }
        command
    }
}

/// Returns whether `rustc` has the target's standard library.
fn has_target(rustc: &str) -> bool {
    sysroot(rustc).is_some_and(|root| {
        let library = root.join("lib/rustlib").join(TARGET).join("lib");
        library
            .read_dir()
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| is_std(&entry.file_name()))))
    })
}

fn is_std(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with("libstd-") && name.ends_with(".rlib"))
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    let output = output(Command::new(rustc).args(["--print", "sysroot"])).ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// Returns the WebAssembly linker of the newest LLVM: `wasm-ld`, or `wasm-ld-22` before `wasm-ld-19`.
fn newest_linker() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<(u32, PathBuf)> = env::split_paths(&path)
        .filter_map(|dir| dir.read_dir().ok())
        .flat_map(|entries| entries.flatten())
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = match name.to_str()?.strip_prefix("wasm-ld")? {
                "" => 0,
                suffix => suffix.strip_prefix('-')?.parse().ok()?,
            };
            Some((version, entry.path()))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

/// Installs Debian's packages. Needs root and `apt-get`.
fn install_debian(report: &dyn Fn(&str)) -> Result<(), String> {
    let uid = output(Command::new("id").arg("-u")).map(|output| output.stdout).unwrap_or_default();
    if uid.trim_ascii() != b"0" {
        return Err("Debian's packages: only root may install them".into());
    }
    report("installing Debian's Rust for WebAssembly with apt-get");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        run(&mut command).map_err(|reason| format!("`apt-get {}`: {reason}", arguments.join(" ")))
    };
    apt(&["update", "-q"])?;
    let linker = newest_lld_package().unwrap_or_else(|| "lld".into());
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(DEBIAN_PACKAGES);
    arguments.push(&linker);
    apt(&arguments)
}

/// Returns the package of the newest linker, `lld-22` rather than `lld`: it must read what the compiler's LLVM writes, and Debian's default
/// is often years older.
fn newest_lld_package() -> Option<String> {
    let output = output(Command::new("apt-cache").args(["search", "--names-only", "^lld-[0-9]+$"])).ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let versions = text
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.strip_prefix("lld-")?.parse::<u32>().ok());
    versions.max().map(|version| format!("lld-{version}"))
}

fn output(command: &mut Command) -> Result<Output, String> {
    for variable in FOREIGN_VARIABLES {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).output().map_err(|error| error.to_string())
}

/// Runs a command. The error is the last line that it wrote.
fn run(command: &mut Command) -> Result<(), String> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(format!("{} ({})", last.trim(), output.status))
}
