//! `ibid plugin dev`: builds a plugin whenever its sources change, installs it into the running server, and shows its log.

use super::client::Client;
use super::{CliError, console};
use futures_util::StreamExt;
use ibid_plugin_author as author;
use notify::{EventKind, RecursiveMode, Watcher};
use serde_json::Value;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Editors write a file in several steps: this long nothing may change before a build begins.
const QUIET: Duration = Duration::from_millis(150);
/// How long to wait before a log that broke off is followed again.
const AGAIN: Duration = Duration::from_secs(1);
/// Directories whose contents are made, not written.
const MADE: [&str; 5] = ["target", "dist", ".git", "node_modules", "__pycache__"];

/// Runs until it is interrupted.
///
/// # Errors
/// If the directory is no project or cannot be watched. A build that fails, and a server that is away, are reported and waited for.
pub async fn run(client: Client, dir: PathBuf, target_dir: Option<PathBuf>) -> Result<(), CliError> {
    let mut name = author::read_manifest(&dir)?.name;
    let (_watcher, mut changes) = watch(&dir)?;
    let mut log: Option<(String, JoinHandle<()>)> = None;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let made = tokio::select! {
            made = rebuild(&client, &dir, target_dir.clone()) => made,
            _ = &mut interrupted => return Err(CliError::Interrupted),
        };
        match made {
            Ok(installed) => name = installed,
            Err(error) => console::note(&error.to_string()),
        }
        if log.as_ref().is_none_or(|(followed, _)| *followed != name) {
            let task = tokio::spawn(follow(client.clone(), name.clone()));
            if let Some((_, old)) = log.replace((name.clone(), task)) {
                old.abort();
            }
        }
        console::note(&format!("Watching {}; Ctrl-C ends.", dir.display()));
        tokio::select! {
            change = changes.recv() => {
                if change.is_none() {
                    return Err(CliError::Failed(format!("{} is not watched any more", dir.display())));
                }
            }
            _ = &mut interrupted => return Err(CliError::Interrupted),
        }
        // Until it is quiet.
        while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {}
    }
}

/// Builds and installs. Returns the plugin's name, which its author may have changed.
async fn rebuild(client: &Client, dir: &Path, target_dir: Option<PathBuf>) -> Result<String, CliError> {
    let source = dir.to_owned();
    let building = tokio::task::spawn_blocking(move || super::plugin::build_project(&source, target_dir));
    let built = building.await.map_err(|error| CliError::Failed(error.to_string()))??;
    let bytes = tokio::fs::read(&built.path).await.map_err(|source| CliError::File {
        path: built.path.clone(),
        source,
    })?;
    let answer = client.install(bytes, true).await?;
    let moved = super::plugin::names(&answer, "moved")
        .map(|moved| format!("; taken up by {moved}"))
        .unwrap_or_default();
    let manifest = &built.manifest;
    console::note(&format!(
        "Installed {} {} ({}){moved}",
        manifest.name, manifest.version, manifest.kind
    ));
    Ok(built.manifest.name)
}

/// Shows what the plugin writes to the server's log, for as long as the task runs.
async fn follow(client: Client, name: String) {
    loop {
        if let Ok(mut events) = client.events(&["plugins", &name, "log"]).await {
            while let Some(Ok(event)) = events.next().await {
                let Ok(data) = serde_json::from_str::<Value>(&event.data) else {
                    continue;
                };
                let text = |key: &str| console::clean(data.get(key).and_then(Value::as_str).unwrap_or_default());
                let shown = match event.event.as_str() {
                    "line" => format!("{}  {:5}  {}", text("timestamp"), text("level").to_uppercase(), text("message")),
                    "dropped" => format!(
                        "... {} lines were left out",
                        data.get("lines").and_then(Value::as_u64).unwrap_or_default()
                    ),
                    _ => continue,
                };
                if console::line(&shown).is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Tells of changes below `dir`, several at once as one.
fn watch(dir: &Path) -> Result<(notify::RecommendedWatcher, mpsc::Receiver<()>), CliError> {
    let failed = |error: notify::Error| CliError::Failed(format!("{} cannot be watched: {error}", dir.display()));
    let root = dir.canonicalize().map_err(|source| CliError::File {
        path: dir.to_owned(),
        source,
    })?;
    let (changed, changes) = mpsc::channel(1);
    let within = root.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let changes = matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_));
        if changes && event.paths.iter().any(|path| is_source(path, &within)) {
            // A change that waits already stands for this one, too.
            let _ = changed.try_send(());
        }
    })
    .map_err(failed)?;
    watcher.watch(&root, RecursiveMode::Recursive).map_err(failed)?;
    Ok((watcher, changes))
}

/// Whether an author writes it, rather than a tool.
fn is_source(path: &Path, root: &Path) -> bool {
    let Ok(relative) = path.strip_prefix(root) else { return false };
    let made = |step: Component<'_>| matches!(step, Component::Normal(name) if MADE.iter().any(|made| name == *made));
    // Cargo writes the lock file that it reads.
    !relative.components().any(made) && !relative.ends_with("Cargo.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_make_is_no_source() {
        let root = Path::new("/p");
        for source in ["/p/src/lib.rs", "/p/plugin.toml", "/p/fixtures/a/input.txt"] {
            assert!(is_source(Path::new(source), root), "{source}");
        }
        for made in [
            "/p/target/x",
            "/p/dist/p.wasm",
            "/p/src/__pycache__/a.pyc",
            "/p/Cargo.lock",
            "/q/src/lib.rs",
        ] {
            assert!(!is_source(Path::new(made), root), "{made}");
        }
    }
}
