//! A backup put back into an empty data directory, with no server running.
//!
//! Everything is checked against the manifest while it is copied into `.restore` of the directory, and moved into place when all of it is
//! there, the catalog last. Of how a backup is made it knows the layout alone.

use crate::upkeep::backup::{BACKUP_VERSION, Entry, MANIFEST, Manifest, Points, copy_hashed};
use ibid_files::{DirectoryStore, FileError, FileStore, LocalExclusion, StageOptions, StoreOptions};
use ibid_index::{CollectionKey, EmbeddedIndex, EmbeddedOptions, IndexError, Schema, VectorIndex};
use prost::Message;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Bytes of a file that are carried into another store at a time.
const CARRIED: u32 = 4 << 20;
/// Where everything is put together.
const STAGE: &str = ".restore";

/// Why a backup was not put back. The data directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something already.
    #[error("{} is not empty: a backup is only put back where nothing is; choose another --data-dir, or move what is there away", .0.display())]
    NotEmpty(PathBuf),
    /// It has no manifest.
    #[error("{} is no whole backup: it has no {MANIFEST}, which is written last", .0.display())]
    NoManifest(PathBuf),
    /// The manifest is not one.
    #[error("the manifest of {} cannot be read: {reason}", directory.display())]
    Manifest {
        /// The backup.
        directory: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Something is not what was backed up.
    #[error("{path} of the backup is damaged: {reason}. Take another backup; nothing was put back")]
    Damaged {
        /// The entry.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file system.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The object store has what the backup has not.
    #[error("{0} is in use: it has files or texts that are not of this backup. Choose another `files.s3.prefix`, or empty this one")]
    NotEmptyStore(String),
    /// The file store.
    #[error("the files cannot be put back: {0}")]
    Files(#[from] FileError),
    /// The index took the vectors not.
    #[error("the vectors cannot be put back: {}", .0.detail())]
    Index(#[from] IndexError),
    /// A worker thread failed.
    #[error("a worker thread failed")]
    Worker(#[from] tokio::task::JoinError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |cause| RestoreError::Io { path, cause }
}

/// A path of an archive or a manifest, if it stays inside. Nothing else is ever written or read.
pub fn inside(path: &str) -> Option<&Path> {
    let path = Path::new(path);
    let plain = path.components().all(|component| matches!(component, Component::Normal(_)));
    (plain && path.components().next().is_some()).then_some(path)
}

/// Reads the manifest of a backup in a directory. Blocks.
///
/// # Errors
/// That it has none, or none that this version reads.
pub fn manifest(directory: &Path) -> Result<Manifest, RestoreError> {
    let path = directory.join(MANIFEST);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(RestoreError::NoManifest(directory.to_owned())),
        Err(error) => return Err(at(&path)(error)),
    };
    let unreadable = |reason: String| RestoreError::Manifest {
        directory: directory.to_owned(),
        reason,
    };
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    if manifest.version != BACKUP_VERSION {
        return Err(unreadable(format!(
            "its layout is version {}, and this program reads {BACKUP_VERSION}",
            manifest.version
        )));
    }
    let mut seen = HashSet::new();
    for entry in &manifest.entries {
        if inside(&entry.path).is_none() || !seen.insert(&entry.path) {
            return Err(unreadable(format!("it has the path {:?}, which no backup has", entry.path)));
        }
    }
    Ok(manifest)
}

/// Puts a backup back into a data directory, and its files and texts where `files` says; returns its manifest.
///
/// # Errors
/// See [`RestoreError`]: then nothing was put back, but for objects that the next try finds there.
pub async fn restore(backup: &Path, data: &Path, files: &StoreOptions) -> Result<Manifest, RestoreError> {
    let (from, to) = (backup.to_owned(), data.to_owned());
    let (manifest, stage) = tokio::task::spawn_blocking(move || {
        let manifest = manifest(&from)?;
        let stage = begin(&to)?;
        Ok::<_, RestoreError>((manifest, stage))
    })
    .await??;
    let put = async {
        fill(backup, &manifest, &stage).await?;
        match files {
            StoreOptions::Directory => Ok(()),
            StoreOptions::S3(_) => carry(&stage, files).await,
        }
    };
    let put = put.await;
    let (to, kept) = (data.to_owned(), stage.clone());
    let moved = match put {
        Ok(()) => tokio::task::spawn_blocking(move || publish(&kept, &to)).await?,
        Err(error) => Err(error),
    };
    // What is left of it is of no use to anybody.
    let _ = tokio::fs::remove_dir_all(&stage).await;
    moved.map(|()| manifest)
}

/// Makes the directory where all is put together, in a data directory that must be empty.
fn begin(data: &Path) -> Result<PathBuf, RestoreError> {
    make_directory(data)?;
    for entry in fs::read_dir(data).map_err(at(data))? {
        let name = entry.map_err(at(data))?.file_name();
        // A file system's own, and what a restore that was killed left.
        if name != "lost+found" && name != STAGE {
            return Err(RestoreError::NotEmpty(data.to_owned()));
        }
    }
    let stage = data.join(STAGE);
    if stage.exists() {
        fs::remove_dir_all(&stage).map_err(at(&stage))?;
    }
    make_directory(&stage)?;
    Ok(stage)
}

async fn fill(backup: &Path, manifest: &Manifest, stage: &Path) -> Result<(), RestoreError> {
    let (from, to, entries) = (backup.to_owned(), stage.to_owned(), manifest.entries.clone());
    tokio::task::spawn_blocking(move || {
        for entry in entries.iter().filter(|entry| !entry.path.starts_with("vectors/")) {
            copy(&from, entry, &to)?;
        }
        Ok::<_, RestoreError>(())
    })
    .await??;
    let directory = stage.join("index");
    let index = tokio::task::spawn_blocking(move || EmbeddedIndex::open(&directory, EmbeddedOptions::default())).await??;
    let vectors: Vec<Entry> = manifest
        .entries
        .iter()
        .filter(|entry| entry.path.starts_with("vectors/"))
        .cloned()
        .collect();
    let filled = put_vectors(&index, backup, &vectors).await;
    let closed = index.close().await;
    filled?;
    Ok(closed?)
}

/// Puts files and texts, which lie in the stage, into another store.
async fn carry(stage: &Path, files: &StoreOptions) -> Result<(), RestoreError> {
    let directory = stage.join("files");
    let here = DirectoryStore::open(&directory).await?;
    let cache = stage.join("carry");
    make_directory(&cache)?;
    let there = files.open(&cache, Arc::new(LocalExclusion::default())).await?;
    let texts = here.documents().await?;
    let foreign = |theirs: Vec<String>, ours: &[String]| match theirs.iter().all(|name| ours.contains(name)) {
        true => Ok(()),
        false => Err(RestoreError::NotEmptyStore(files.to_string())),
    };
    foreign(there.documents().await?, &texts)?;
    let mut originals = Vec::new();
    for shard in 0..=u8::MAX {
        let ours = here.originals(shard).await?;
        foreign(there.originals(shard).await?, &ours)?;
        originals.extend(ours);
    }
    for sha256 in originals {
        carry_original(&here, &*there, &sha256).await?;
    }
    for text in texts {
        there.write_document(&text, Arc::new(here.read_document(&text).await?)).await?;
    }
    drop((here, there));
    for left in [directory, cache] {
        tokio::fs::remove_dir_all(&left).await.map_err(at(&left))?;
    }
    Ok(())
}

async fn carry_original(here: &DirectoryStore, there: &dyn FileStore, sha256: &str) -> Result<(), RestoreError> {
    let options = StageOptions {
        limit: u64::MAX,
        resume: None,
        keep: false,
    };
    let staging = there.stage(&format!("restore-{sha256}"), options).await?;
    loop {
        let bytes = here.read(sha256, staging.written(), CARRIED).await?;
        if bytes.is_empty() {
            break;
        }
        staging.append(bytes).await?;
    }
    if staging.commit().await?.sha256 != sha256 {
        return Err(RestoreError::Damaged {
            path: format!("files/files/{}/{sha256}", sha256.get(..2).unwrap_or_default()),
            reason: "its content is not what its name says",
        });
    }
    Ok(())
}

async fn put_vectors(index: &EmbeddedIndex, backup: &Path, entries: &[Entry]) -> Result<(), RestoreError> {
    let mut made: HashSet<CollectionKey> = HashSet::new();
    for entry in entries {
        let damaged = |reason| RestoreError::Damaged {
            path: entry.path.clone(),
            reason,
        };
        let (path, of) = (backup.join(&entry.path), entry.clone());
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            read(&path, &of, &mut bytes)?;
            Ok::<_, RestoreError>(bytes)
        })
        .await??;
        let points = Points::decode(bytes.as_slice()).map_err(|_| damaged("it holds no vectors"))?.points;
        let collection = entry.path.split('/').nth(1).unwrap_or_default();
        let key = CollectionKey::new(collection)?;
        let Some(first) = points.first() else { continue };
        if !made.contains(&key) {
            let dimension = u32::try_from(first.dense.len()).map_err(|_| damaged("a vector is too long"))?;
            index.create_collection(&key, &Schema { dimension }).await?;
            made.insert(key.clone());
        }
        index.upsert(&key, points).await?;
    }
    for key in made {
        index.flush(&key).await?;
    }
    Ok(())
}

/// Copies an entry, checked and synced.
fn copy(backup: &Path, entry: &Entry, stage: &Path) -> Result<(), RestoreError> {
    let target = stage.join(&entry.path);
    if let Some(parent) = target.parent() {
        make_directory(parent)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&target)
        .map_err(at(&target))?;
    read(&backup.join(&entry.path), entry, &mut file)?;
    file.sync_all().map_err(at(&target))
}

/// Reads an entry into `into`; an error if it is not what was backed up.
fn read(path: &Path, entry: &Entry, into: &mut impl Write) -> Result<(), RestoreError> {
    let damaged = |reason| RestoreError::Damaged {
        path: entry.path.clone(),
        reason,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("it is not there")),
        Err(error) => return Err(at(path)(error)),
    };
    let mut file = file.take(entry.size.saturating_add(1));
    let (size, sha256) = copy_hashed(&mut file, into).map_err(at(path))?;
    if size != entry.size {
        return Err(damaged("it has not the size that it was backed up with"));
    }
    if sha256 != entry.sha256 {
        return Err(damaged("its SHA-256 is not the one that it was backed up with"));
    }
    Ok(())
}

/// Moves everything into place, the catalog last: without it a data directory counts as new.
fn publish(stage: &Path, data: &Path) -> Result<(), RestoreError> {
    for part in ["files", "plugins", "auth", "index", "catalog"] {
        let from = stage.join(part);
        if from.exists() {
            fs::rename(&from, data.join(part)).map_err(at(&from))?;
        }
    }
    File::open(data).and_then(|directory| directory.sync_all()).map_err(at(data))
}

fn make_directory(path: &Path) -> Result<(), RestoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).map_err(at(path))
}
