//! What is in the data directory: whether catalog, files, index and installed plugins agree, and mending them.

use super::super::console;
use super::Check;
use ibid_engine::{Audit, Finding, PipelineError};
use ibid_files::{FileError, StoreOptions};
use ibid_index::IndexError;
use ibid_plugin_host::{PluginStore, StoreError};
use std::path::Path;

/// Findings that are listed one by one; the rest is counted.
const LISTED: usize = 20;

/// Looks at a data directory, and mends it if `repair` says so. No checks where there is nothing yet.
pub async fn look(data: &Path, files: &StoreOptions, repair: bool) -> Vec<Check> {
    if !data.join("catalog").exists() {
        return Vec::new();
    }
    vec![documents(data, files, repair).await, plugins(data, repair)]
}

fn stop_first() -> String {
    "stop it to have its data looked at".to_owned()
}

async fn documents(data: &Path, files: &StoreOptions, repair: bool) -> Check {
    const NAME: &str = "storage";
    let looked = async {
        let audit = Audit::open(data, files).await?;
        let found = audit.look().await?;
        let mut left = Vec::new();
        let mut mended = 0;
        for finding in found {
            if repair && audit.repair(&finding).await? {
                mended += 1;
            } else {
                left.push(finding);
            }
        }
        audit.close().await?;
        Ok::<_, PipelineError>((left, mended))
    };
    match looked.await {
        Ok((left, mended)) => storage_check(&left, mended),
        Err(PipelineError::Files(FileError::InUse) | PipelineError::Index(IndexError::Locked)) if repair => {
            Check::broken(NAME, "a server uses it, so nothing was mended", "stop it, then say it again")
        }
        Err(PipelineError::Files(FileError::InUse) | PipelineError::Index(IndexError::Locked)) => {
            Check::note(NAME, "a server uses it, so its contents were not compared", stop_first())
        }
        // Nothing here is broken: the check of the object store says what to do.
        Err(PipelineError::Files(error @ (FileError::Away(_) | FileError::Refused(_) | FileError::Unusable(_)))) => Check::note(
            NAME,
            format!("not compared, since {files} cannot be used: {error}"),
            "see `files` here",
        ),
        Err(error) => Check::broken(
            NAME,
            crate::cli::error::with_causes(&error),
            format!(
                "check the disk, or move {} away and put a backup in its place: {} restore",
                data.display(),
                console::program()
            ),
        ),
    }
}

fn storage_check(left: &[Finding], mended: usize) -> Check {
    const NAME: &str = "storage";
    let mended_text = match mended {
        0 => String::new(),
        1 => "1 thing was mended; ".to_owned(),
        n => format!("{n} things were mended; "),
    };
    if left.is_empty() {
        return Check::ok(NAME, format!("{mended_text}catalog, files and index agree"));
    }
    let mut lines: Vec<String> = left.iter().take(LISTED).map(ToString::to_string).collect();
    if let Some(more) = left.len().checked_sub(LISTED).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    let detail = mended_text + &lines.join("\n");
    if left.iter().all(Finding::mends_itself) {
        let remedy = format!("the next start mends that; or now: {} doctor --repair", console::program());
        return Check::note(NAME, detail, remedy);
    }
    let remedy = match left.iter().any(Finding::can_be_repaired) {
        true => format!("{} doctor --repair", console::program()),
        false => format!("as it says there, or restore a backup: {} restore", console::program()),
    };
    Check::broken(NAME, detail, remedy)
}

fn plugins(data: &Path, repair: bool) -> Check {
    const NAME: &str = "installed";
    let directory = data.join("plugins");
    let remedy = format!(
        "{} doctor --repair, then install the plugins again: {} plugin install FILE",
        console::program(),
        console::program()
    );
    let broken = |detail: String| Check::broken(NAME, detail, remedy.clone());
    if !directory.is_dir() {
        return Check::ok(NAME, "no plugins are installed beside those that ship");
    }
    let read = PluginStore::open(&directory).and_then(|store| store.read_all());
    let components = match read {
        Ok(components) => components,
        Err(error) => return broken(error.to_string()),
    };
    let whole = components.iter().filter(|component| component.is_ok()).count();
    let (mut left, mut mended) = (Vec::new(), Vec::new());
    for error in components.into_iter().filter_map(Result::err) {
        match &error {
            StoreError::Damaged { path } if repair && std::fs::remove_file(path).is_ok() => mended.push(path.clone()),
            _ => left.push(error.to_string()),
        }
    }
    if !left.is_empty() {
        return broken(left.join("\n"));
    }
    if !mended.is_empty() {
        let detail = format!("damaged, so removed:\n{}", mended.join("\n"));
        return Check::note(NAME, detail, format!("{} plugin install FILE", console::program()));
    }
    Check::ok(NAME, format!("{}, undamaged", console::count(whole as u64, "plugin")))
}
