//! The WIT contract: what is offered keeps what was published, and every item says what it is.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use wit_parser::{FunctionKind, Resolve, TypeDefKind};

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")
}

/// The files of a folder as one package, under another version, so that two of them can be compared.
fn package(folder: &Path, version: &str, renamed: &str) -> Vec<(PathBuf, String)> {
    let mut files: Vec<(PathBuf, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replace(&format!("ibid:plugin@{version}"), &format!("ibid:plugin@{renamed}"));
            (path, text)
        })
        .collect();
    files.sort();
    files
}

fn push(resolve: &mut Resolve, files: &[(PathBuf, String)]) -> wit_parser::PackageId {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    resolve.push_dir(folder.path()).unwrap().0
}

#[test]
fn what_is_offered_keeps_what_was_published() {
    let offered = ibid_plugin_host::CONTRACT_VERSION;
    let mut published: Vec<semver::Version> = fs::read_dir(wit().join("published"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().parse().unwrap())
        .collect();
    published.sort();
    let last = published.last().expect("a published version");
    assert!(*last <= offered, "{last} was published, {offered} is offered");
    // A new major version may break everything.
    if last.major != offered.major {
        return;
    }
    let mut resolve = Resolve::default();
    let folder = wit().join(offered.major.to_string());
    let old = push(
        &mut resolve,
        &package(&wit().join("published").join(last.to_string()), &last.to_string(), "0.0.1"),
    );
    let new = push(&mut resolve, &package(&folder, &offered.to_string(), "0.0.2"));
    for (name, world) in resolve.packages[old].worlds.clone() {
        let now = resolve.packages[new].worlds.get(&name);
        let now = *now.unwrap_or_else(|| panic!("the world `{name}` of {last} is gone"));
        wit_component::semver_check(resolve.clone(), world, now)
            .unwrap_or_else(|error| panic!("a plugin built for `{name}` of {last} would not run on {offered}: {error:#}"));
    }
}

#[test]
fn a_break_would_be_noticed() {
    let mut resolve = Resolve::default();
    let folder = wit().join("published/1.0.0");
    let old = push(&mut resolve, &package(&folder, "1.0.0", "0.0.1"));
    let mut changed = package(&folder, "1.0.0", "0.0.2");
    for (_, text) in &mut changed {
        *text = text.replace("count: func(text: string) -> u32;", "count: func(text: string) -> u64;");
    }
    let new = push(&mut resolve, &changed);
    let world = |package: wit_parser::PackageId, name: &str| resolve.packages[package].worlds[name];
    let check = |name: &str| wit_component::semver_check(resolve.clone(), world(old, name), world(new, name));
    assert!(check("chunker-plugin").is_err());
    assert!(check("analyzer-plugin").is_ok());
}

#[test]
fn every_item_says_what_it_is() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit().join("1")).unwrap();
    let mut silent = Vec::new();
    let mut check = |name: String, docs: &wit_parser::Docs| {
        if docs.contents.as_deref().is_none_or(|docs| docs.trim().is_empty()) {
            silent.push(name);
        }
    };
    for (name, id) in &resolve.packages[package].worlds {
        check(name.clone(), &resolve.worlds[*id].docs);
    }
    for (interface, id) in &resolve.packages[package].interfaces {
        let content = &resolve.interfaces[*id];
        check(interface.clone(), &content.docs);
        for (name, function) in &content.functions {
            // A constructor is told by its resource.
            if !matches!(function.kind, FunctionKind::Constructor(_)) {
                check(format!("{interface}.{name}"), &function.docs);
            }
        }
        for (name, id) in &content.types {
            let definition = &resolve.types[*id];
            // What is taken over from another interface is told there.
            if matches!(definition.kind, TypeDefKind::Type(_)) {
                continue;
            }
            check(format!("{interface}.{name}"), &definition.docs);
            if let TypeDefKind::Record(record) = &definition.kind {
                for field in &record.fields {
                    check(format!("{interface}.{name}.{}", field.name), &field.docs);
                }
            }
        }
    }
    assert!(silent.is_empty(), "without a doc comment: {silent:?}");
}
