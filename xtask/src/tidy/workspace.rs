//! The members of the workspace, as `cargo metadata` lists them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The workspace and its members.
pub struct Workspace {
    pub root: PathBuf,
    pub members: Vec<Member>,
}

/// A crate of the workspace.
pub struct Member {
    pub name: String,
    /// The path of its manifest, relative to the root.
    pub manifest: String,
    pub dependencies: Vec<Dependency>,
    /// The manifest's text; empty if it cannot be read.
    pub text: String,
}

/// A dependency of a member.
pub struct Dependency {
    pub name: String,
    pub is_dev: bool,
    /// Whether it is a crate of this repository.
    pub is_local: bool,
}

impl Workspace {
    /// Asks Cargo for the workspace that the current directory is in.
    pub fn load() -> Result<Self, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
        let output = Command::new(cargo)
            .args(arguments)
            .output()
            .map_err(|error| format!("cargo metadata cannot be run: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        Self::from_metadata(&String::from_utf8_lossy(&output.stdout))
    }

    /// Reads what `cargo metadata` printed.
    pub fn from_metadata(metadata: &str) -> Result<Self, String> {
        let metadata: Value = serde_json::from_str(metadata).map_err(|error| format!("cargo metadata printed no JSON: {error}"))?;
        let root = PathBuf::from(text(&metadata, "workspace_root")?);
        let members = list(&metadata, "packages")?
            .iter()
            .map(|package| Member::read(&root, package))
            .collect::<Result<_, String>>()?;
        Ok(Self { root, members })
    }
}

impl Member {
    fn read(root: &Path, package: &Value) -> Result<Self, String> {
        let manifest = Path::new(text(package, "manifest_path")?);
        let dependencies = list(package, "dependencies")?
            .iter()
            .map(|dependency| {
                Ok(Dependency {
                    name: text(dependency, "name")?.to_owned(),
                    is_dev: dependency["kind"] == "dev",
                    is_local: dependency["path"].is_string(),
                })
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            name: text(package, "name")?.to_owned(),
            manifest: manifest.strip_prefix(root).unwrap_or(manifest).display().to_string(),
            dependencies,
            text: std::fs::read_to_string(manifest).unwrap_or_default(),
        })
    }

    /// The folder of the crate, relative to the root: empty, or with `/` at its end.
    pub fn folder(&self) -> &str {
        self.manifest.strip_suffix("Cargo.toml").unwrap_or_default()
    }

    /// The line of the manifest that names a dependency, or the first one.
    pub fn line_of(&self, dependency: &str) -> usize {
        let names = |line: &str| {
            line.trim_start()
                .strip_prefix(dependency)
                .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
        };
        self.text.lines().position(names).map_or(1, |index| index + 1)
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key].as_str().ok_or_else(|| format!("cargo metadata has no `{key}`"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    value[key].as_array().ok_or_else(|| format!("cargo metadata has no list `{key}`"))
}
