//! `ibid backup` and `ibid restore`.
//!
//! A backup is what the server streams, unpacked into a directory and checked; restoring needs no server. See `docs/operations.md`.

use super::args::{BackupArgs, RestoreArgs};
use super::client::Client;
use super::{CliError, console, serve, tools};
use bytes::Bytes;
use futures_util::StreamExt;
use ibid_engine::{BACKUP_MANIFEST, BackupEntry, copy_hashed, inside_backup, read_backup_manifest, restore};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use tokio::sync::mpsc;

/// Pieces that wait to be written.
const PIECES: usize = 16;

/// `ibid backup`.
pub async fn make(client: &Client, args: BackupArgs) -> Result<(), CliError> {
    let dir = args.dir;
    let made = dir.clone();
    tokio::task::spawn_blocking(move || empty_directory(&made))
        .await
        .map_err(broke_off)??;
    let response = client.download(&["backup"]).await?;
    let (sender, receiver) = mpsc::channel(PIECES);
    let into = dir.clone();
    let unpacking = tokio::task::spawn_blocking(move || {
        unpack(
            Pieces {
                receiver,
                piece: Bytes::new(),
            },
            &into,
        )
    });
    let mut body = response.bytes_stream();
    let mut received = Ok(());
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => {
                // It ends early where it cannot write: its own error says so.
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                received = Err(CliError::Failed(format!(
                    "the backup broke off ({error}), so {} is not whole: remove it, and try again; the server's log may say why",
                    dir.display()
                )));
                break;
            }
        }
    }
    drop(sender);
    let unpacked = unpacking.await.map_err(broke_off)?;
    received?;
    unpacked?;
    let at = dir.clone();
    let manifest = tokio::task::spawn_blocking(move || read_backup_manifest(&at))
        .await
        .map_err(broke_off)?
        .map_err(failed)?;
    let bytes: u64 = manifest.entries.iter().map(|entry| entry.size).sum();
    if args.json {
        return console::json(&json!({
            "directory": dir, "created_at": manifest.created_at, "collections": manifest.collections,
            "documents": manifest.documents, "damaged": manifest.damaged,
            "without_vectors": manifest.without_vectors, "bytes": bytes,
        }));
    }
    console::print(&format!(
        "{}: {} in {}, {} MB, every file checked\n",
        dir.display(),
        console::count(manifest.documents, "document"),
        console::count(manifest.collections, "collection"),
        bytes.div_ceil(1_000_000)
    ))?;
    if !manifest.without_vectors.is_empty() {
        console::note(&format!(
            "their Qdrant server did not answer, so the vectors of {} are not in the backup: they are computed again after a restore",
            manifest.without_vectors.join(", ")
        ));
    }
    if !manifest.damaged.is_empty() {
        let damaged = manifest.damaged.join(", ");
        console::note(&format!(
            "damaged on the server, and so in the backup: {damaged}. Stop the server and run `{} doctor`",
            console::program()
        ));
    }
    Ok(())
}

/// `ibid restore`.
pub async fn put_back(args: RestoreArgs) -> Result<(), CliError> {
    let settings = tools::settings(&args.settings)?.settings;
    let files = serve::with_secrets(&settings.engine.files)?;
    let data = settings.data_dir;
    let manifest = restore(&args.dir, &data, &files).await.map_err(failed)?;
    if args.json {
        return console::json(&json!({
            "data_dir": data, "created_at": manifest.created_at, "collections": manifest.collections, "documents": manifest.documents,
        }));
    }
    console::print(&format!(
        "{}: {} in {}, as of {}\n",
        data.display(),
        console::count(manifest.documents, "document"),
        console::count(manifest.collections, "collection"),
        manifest.created_at
    ))
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(error.to_string())
}

fn broke_off(error: tokio::task::JoinError) -> CliError {
    CliError::Failed(format!("a worker thread broke off: {error}"))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let path = path.to_owned();
    move |source| CliError::File { path, source }
}

fn empty_directory(dir: &Path) -> Result<(), CliError> {
    private_directory(dir)?;
    if fs::read_dir(dir).map_err(at(dir))?.next().is_some() {
        return Err(CliError::Usage(format!(
            "{} is not empty: each backup has a directory of its own",
            dir.display()
        )));
    }
    Ok(())
}

/// A backup holds documents and hashes of keys: it is its owner's alone.
fn private_directory(path: &Path) -> Result<(), CliError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).map_err(at(path))
}

/// The pieces of a stream as one reader.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let taken = self.piece.split_to(buffer.len().min(self.piece.len()));
        for (to, from) in buffer.iter_mut().zip(&taken) {
            *to = *from;
        }
        Ok(taken.len())
    }
}

/// Unpacks an archive into an empty directory, and checks it against its manifest.
fn unpack(archive: impl Read, dir: &Path) -> Result<(), CliError> {
    let cut = || {
        CliError::Failed(format!(
            "the backup ended early or is damaged, so {} is not whole: remove it, and try again",
            dir.display()
        ))
    };
    let unreadable = |_: io::Error| cut();
    let mut archive = tar::Archive::new(archive);
    let mut found: BTreeMap<String, BackupEntry> = BTreeMap::new();
    let mut whole = false;
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.to_string_lossy().into_owned();
        let plain = entry.header().entry_type() == tar::EntryType::Regular;
        let Some(inside) = inside_backup(&path).filter(|_| plain && !whole) else {
            return Err(cut());
        };
        // Its name says that all is there: it gets that when it is.
        whole = path == BACKUP_MANIFEST;
        let target = match whole {
            true => dir.join(".manifest"),
            false => dir.join(inside),
        };
        if let Some(parent) = target.parent() {
            private_directory(parent)?;
        }
        let (size, sha256) = write(&mut entry, &target)?;
        if size != entry.header().size().map_err(unreadable)? {
            return Err(cut());
        }
        if !whole {
            found.insert(path.clone(), BackupEntry { path, size, sha256 });
        }
    }
    let staged = dir.join(".manifest");
    if !whole {
        return Err(cut());
    }
    let manifest = dir.join(BACKUP_MANIFEST);
    fs::rename(&staged, &manifest).map_err(at(&manifest))?;
    let listed = read_backup_manifest(dir).map_err(failed)?.entries;
    let same = listed.len() == found.len() && listed.iter().all(|entry| found.get(&entry.path) == Some(entry));
    if !same {
        fs::remove_file(&manifest).map_err(at(&manifest))?;
        return Err(cut());
    }
    File::open(dir).and_then(|directory| directory.sync_all()).map_err(at(dir))
}

/// Writes a file durably; its size and SHA-256.
fn write(from: &mut impl Read, path: &Path) -> Result<(u64, String), CliError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(at(path))?;
    let copied = copy_hashed(from, &mut file).map_err(at(path))?;
    file.sync_all().map_err(at(path))?;
    Ok(copied)
}
