//! `ibid config` and `ibid plugin build`: no server is needed.

use super::args::{ConfigArgs, PluginAction, SettingsArgs};
use super::{CliError, console};
use crate::config::{Effective, Flag, Sources};
use ibid_plugin_author as author;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads the settings that the flags, the environment and the file make together.
///
/// # Errors
/// [`CliError::Config`], or [`CliError::Usage`] for a `--set` without a value.
pub fn settings(args: &SettingsArgs) -> Result<Effective, CliError> {
    let mut flags = Vec::new();
    // The general flag first: one that names its setting is more particular, and wins.
    for pair in &args.set {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| CliError::Usage(format!("--set {pair}: must be KEY=VALUE, such as log.level=debug")))?;
        flags.push(Flag {
            name: format!("--set {}", key.trim()),
            key: key.trim().to_owned(),
            value: value.to_owned(),
        });
    }
    let path = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    let named = [
        ("--data-dir", "data_dir", args.data_dir.as_ref().map(path)),
        ("--share-dir", "share_dir", args.share_dir.as_ref().map(path)),
        ("--listen", "server.listen", args.listen.clone()),
    ];
    flags.extend(named.into_iter().filter_map(|(name, key, value)| {
        Some(Flag {
            name: name.to_owned(),
            key: key.to_owned(),
            value: value?,
        })
    }));
    Ok(Effective::load(&Sources::of_process(args.config.clone(), flags))?)
}

/// `ibid config`.
pub fn config(args: &ConfigArgs) -> Result<(), CliError> {
    if args.reference {
        return console::print(&crate::config::reference());
    }
    let effective = settings(&args.settings)?;
    if args.json {
        console::json(&effective.to_json())
    } else {
        console::print(&effective.to_toml())
    }
}

/// SHA-256 of a file in lower-case hexadecimal digits.
pub fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => break,
            length => digest.update(block.get(..length).unwrap_or_default()),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `ibid plugin build`.
pub fn build(action: PluginAction) -> Result<(), CliError> {
    let PluginAction::Build {
        dirs,
        out,
        target_dir,
        no_install,
        quiet,
        json,
    } = action
    else {
        return Ok(());
    };
    let report = |line: &str| {
        if !quiet {
            console::note(line);
        }
    };
    let options = author::BuildOptions {
        out,
        target_dir,
        install: !no_install,
        report: &report,
    };
    let built = author::build(&dirs, &options).map_err(|error| CliError::Failed(error.to_string()))?;
    if json {
        let plugins = built.iter().map(|plugin| {
            serde_json::json!({
                "name": plugin.manifest.name, "version": plugin.manifest.version.to_string(), "kind": plugin.manifest.kind,
                "file": plugin.path, "size": plugin.bytes, "changed": plugin.changed,
            })
        });
        return console::json(&serde_json::json!({ "plugins": plugins.collect::<Vec<_>>() }));
    }
    for plugin in built {
        let state = if plugin.changed { "built" } else { "up to date" };
        let manifest = &plugin.manifest;
        console::line(&format!(
            "{} {} ({}): {state}, {}",
            manifest.name,
            manifest.version,
            manifest.kind,
            console::size(plugin.bytes)
        ))?;
    }
    Ok(())
}
