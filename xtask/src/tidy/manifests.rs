//! Rule `manifest`: every crate inherits the workspace's lints, and its root file has a module head.

use std::path::Path;

use super::offence::{Offence, Rule};
use super::workspace::{Member, Workspace};

/// Checks the manifest and the root file of every member.
pub fn check(workspace: &Workspace) -> Vec<Offence> {
    let mut offences = Vec::new();
    let defines_lints = |member: &Member| member.text.lines().any(|line| line.trim_start().starts_with("[workspace.lints"));
    if !workspace.members.iter().any(defines_lints) {
        let what = "the workspace defines no lints";
        offences.push(Offence::new(
            Rule::Manifest,
            "Cargo.toml",
            1,
            what,
            "add [workspace.lints.rust] and [workspace.lints.clippy]",
        ));
    }
    for member in &workspace.members {
        if !inherits_lints(&member.text) {
            let what = format!("`{}` does not inherit the workspace's lints", member.name);
            offences.push(Offence::new(
                Rule::Manifest,
                &member.manifest,
                1,
                what,
                "add `[lints]` with `workspace = true`",
            ));
        }
        let root = ["src/lib.rs", "src/main.rs"].map(|file| format!("{}{file}", member.folder()));
        let Some((path, text)) = root
            .iter()
            .find_map(|path| Some((path, std::fs::read_to_string(workspace.root.join(Path::new(path))).ok()?)))
        else {
            let what = format!("`{}` has neither src/lib.rs nor src/main.rs", member.name);
            offences.push(Offence::new(
                Rule::Manifest,
                &member.manifest,
                1,
                what,
                "put the crate's root where others look for it",
            ));
            continue;
        };
        if !has_head(&text) {
            offences.push(Offence::new(
                Rule::Manifest,
                path,
                1,
                "the crate has no module head",
                "begin the file with `//!`: what the crate does",
            ));
        }
    }
    offences
}

/// Whether a manifest has `workspace = true` below `[lints]`, or `lints.workspace = true`.
fn inherits_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).trim();
        }
        let Some((key, value)) = line.split_once('=') else {
            return false;
        };
        let key = if section.is_empty() {
            key.trim().to_owned()
        } else {
            format!("{section}.{}", key.trim())
        };
        key == "lints.workspace" && value.trim() == "true"
    })
}

/// Whether the first thing in a file, but for attributes and other comments, is a `//!` comment that says something.
fn has_head(text: &str) -> bool {
    let is_passed_over = |line: &str| {
        line.is_empty() || line.starts_with("#!") || (line.starts_with("//") && !line.starts_with("///") && !line.starts_with("//!"))
    };
    let first = text.lines().map(str::trim).find(|line| !is_passed_over(line));
    first
        .and_then(|line| line.strip_prefix("//!"))
        .is_some_and(|head| !head.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_inherited_in_either_spelling() {
        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(inherits_lints("lints.workspace = true # all\n[package]\n"));
        assert!(!inherits_lints(
            "[package]\nlicense.workspace = true\n[lints]\n[dependencies]\nworkspace = true\n"
        ));
        assert!(!inherits_lints("[lints]\nworkspace = false\n"));
    }

    #[test]
    fn a_head_comes_first() {
        assert!(has_head("//! What it does.\n\nuse std::fs;\n"));
        assert!(has_head("// long: a table\n#![allow(x)]\n\n//! What it does.\n"));
        assert!(!has_head("//!\nuse std::fs;\n"));
        assert!(!has_head("use std::fs;\n//! Late.\n"));
        assert!(!has_head("/// Of an item.\nmod a;\n"));
        assert!(!has_head(""));
    }

    #[test]
    fn each_member_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "Cargo.toml",
                "[package]\nname = \"a\"\n[workspace]\n[workspace.lints.rust]\n[lints]\nworkspace = true\n",
            ),
            ("src/main.rs", "//! A program.\n"),
            ("crates/b/Cargo.toml", "[package]\nname = \"b\"\n"),
            ("crates/b/src/lib.rs", "pub mod c;\n"),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let metadata = serde_json::json!({
            "workspace_root": folder.path(),
            "packages": [
                {"name": "a", "manifest_path": folder.path().join("Cargo.toml"), "dependencies": []},
                {"name": "b", "manifest_path": folder.path().join("crates/b/Cargo.toml"), "dependencies": []},
            ],
        });
        let offences = check(&Workspace::from_metadata(&metadata.to_string()).unwrap());
        let found: Vec<_> = offences
            .iter()
            .map(|offence| (offence.path.as_str(), offence.what.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("crates/b/Cargo.toml", "`b` does not inherit the workspace's lints"),
                ("crates/b/src/lib.rs", "the crate has no module head"),
            ]
        );
    }
}
