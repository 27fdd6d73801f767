//! A backup, made while the server serves: one tar archive, as a stream.
//!
//! The catalog is copied at one moment (`VACUUM INTO`); then, document by document, the original, the text and the vectors that it
//! names are sent, and at last the catalog itself and a manifest with the SHA-256 of everything. What is deleted meanwhile is
//! marked as being deleted in the copy, so that the first start of a restored server finishes that: a document is in a backup wholly or
//! not at all. Nothing is locked for it, and no client waits. Vectors are sent as points, not as the engine's files, which change
//! under its hands; so a backup restores into any index: those of a Qdrant server as well, which move there again after a restore.

use crate::error::PipelineError;
use crate::ingest::reindex;
use crate::lifecycle::Lifecycle;
use crate::store::Store;
use crate::store::leases::text_id;
use bytes::Bytes;
use ibid_auth::{Scope, Subject};
use ibid_catalog::{
    Catalog, CatalogError, Collection, DocumentQuery, DocumentRecord, DocumentSort, DocumentState, NewEvent, ReindexStatus, SqliteOptions,
};
use ibid_files::FileError;
use ibid_index::{CollectionKey, Point, VectorIndex};
use ibid_protocol::{ApiError, ErrorCode};
use ibid_types::IndexBackend;
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// The layout of archives that this version writes and reads.
pub const BACKUP_VERSION: u32 = 1;
/// The manifest's name in an archive; its last entry.
pub const MANIFEST: &str = "manifest.json";
/// Chunks whose vectors are one entry: some megabytes.
const POINTS: u32 = 1_000;
/// Documents that are read of the catalog at a time.
const PAGE: u32 = 500;
/// Bytes that are sent at a time.
const PIECE: usize = 64 << 10;
/// Pieces that wait for a client that reads slowly.
const PIECES: usize = 8;
/// Begins the names of directories that copies of the catalog are made in.
const PREFIX: &str = ".backup-";

/// What an archive holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// [`BACKUP_VERSION`].
    pub version: u32,
    /// The server's version.
    pub ibid: String,
    /// When the catalog was copied; RFC 3339.
    pub created_at: String,
    /// Collections in it.
    pub collections: u64,
    /// Documents in it, in any state.
    pub documents: u64,
    /// Documents of which something was not there when it was made: they are as damaged in the backup as they were on the server.
    pub damaged: Vec<String>,
    /// Collections in a Qdrant server that did not answer: their vectors are not in it, and are computed again after a restore.
    #[serde(default)]
    pub without_vectors: Vec<String>,
    /// Every other entry, in the archive's order.
    pub entries: Vec<Entry>,
}

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Vectors of a document, in an entry `vectors/COLLECTION/DOCUMENT.FIRST`.
#[derive(Clone, PartialEq, Message)]
pub struct Points {
    /// As the index stores them.
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<Point>,
}

/// Removes what a backup that was cut off with its server left in a data directory. Blocks.
pub(crate) fn sweep(data: &Path) {
    for entry in std::fs::read_dir(data).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, "what an unfinished backup left could not be removed");
        }
    }
}

/// Makes backups.
pub(crate) struct Backups {
    pub store: Arc<Store>,
    pub lifecycle: Lifecycle,
    pub data_dir: PathBuf,
}

impl Backups {
    /// Begins a backup; its pieces come out of the receiver. An error as a piece ends it: it is not whole then.
    ///
    /// # Errors
    /// `AUTHORIZATION_FAILED` for who does not see everything; `CONFLICT` while another one is made; what keeps the catalog from being
    /// copied.
    pub async fn backup(self: &Arc<Self>, subject: &Subject) -> Result<mpsc::Receiver<io::Result<Bytes>>, ApiError> {
        subject.require(Scope::Admin)?;
        if !subject.sees_all() {
            let message = "A backup has all collections, and these credentials are for some of them only.";
            return Err(ApiError::new(ErrorCode::AuthorizationFailed, message));
        }
        let Ok(permit) = self.store.backing_up.clone().try_acquire_owned() else {
            return Err(ApiError::new(ErrorCode::Conflict, "another backup is being made: wait for its end"));
        };
        let copied = async {
            // It makes a second catalog, beside the reserve.
            let catalog = self.data_dir.join("catalog");
            let size = tokio::fs::metadata(&catalog).await.map_or(0, |catalog| catalog.len());
            self.store.disk.admit(size).await?;
            let directory = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempdir_in(&self.data_dir)
                .map_err(|error| FileError::of(&self.data_dir, error))?;
            let path = directory.path().join("catalog");
            self.store.catalog.copy_to(&path).await?;
            let copy = Catalog::sqlite(&path, SqliteOptions::default()).await?;
            Ok::<_, PipelineError>((directory, path, copy))
        };
        let (directory, path, copy) = copied.await.map_err(|error| error.to_api_error("backup"))?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let (backups, runtime) = (self.clone(), Handle::current());
        self.lifecycle.tasks.spawn_blocking(move || {
            let _permit = permit;
            let writer = Pieces {
                sender: sender.clone(),
                piece: Vec::with_capacity(PIECE),
            };
            let making = Making {
                backups: &backups,
                runtime,
                copy,
                archive: tar::Builder::new(writer),
                manifest: Manifest {
                    version: BACKUP_VERSION,
                    ibid: env!("CARGO_PKG_VERSION").to_owned(),
                    created_at: crate::timestamp::now(),
                    collections: 0,
                    documents: 0,
                    damaged: Vec::new(),
                    without_vectors: Vec::new(),
                    entries: Vec::new(),
                },
                sent: HashSet::new(),
                unreached: HashSet::new(),
            };
            match making.run(&path) {
                Ok(documents) => tracing::info!(documents, "a backup was made"),
                // Nobody reads it any more, or it is told that it is not whole.
                Err(error) => {
                    tracing::warn!(%error, "a backup broke off");
                    let _ = sender.blocking_send(Err(io::Error::other("the backup broke off")));
                }
            }
            drop(directory);
        });
        Ok(receiver)
    }
}

/// Collects bytes into pieces and sends them; waits for a client that reads slowly.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads the backup"))
    }
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Copies all that there is; its size, and its SHA-256 in lower-case hexadecimal.
///
/// # Errors
/// Of reading or of writing.
pub fn copy_hashed(from: &mut impl Read, into: &mut impl Write) -> io::Result<(u64, String)> {
    let mut from = Hashing {
        inner: from,
        hasher: Sha256::new(),
    };
    let size = io::copy(&mut from, into)?;
    Ok((size, format!("{:x}", from.hasher.finalize())))
}

#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error("{0}")]
    Pipeline(#[from] PipelineError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server stops")]
    Stopping,
}

impl From<CatalogError> for MakeError {
    fn from(error: CatalogError) -> Self {
        Self::Pipeline(error.into())
    }
}

impl From<FileError> for MakeError {
    fn from(error: FileError) -> Self {
        Self::Pipeline(error.into())
    }
}

impl From<ibid_index::IndexError> for MakeError {
    fn from(error: ibid_index::IndexError) -> Self {
        Self::Pipeline(error.into())
    }
}

/// A backup in the making, on a thread of its own.
struct Making<'a> {
    backups: &'a Backups,
    runtime: Handle,
    /// The copy of the catalog.
    copy: Catalog,
    archive: tar::Builder<Pieces>,
    manifest: Manifest,
    /// Originals that are in the archive already.
    sent: HashSet<String>,
    /// Collections whose Qdrant server did not answer.
    unreached: HashSet<String>,
}

impl Making<'_> {
    /// Sends everything; returns how many documents that were.
    fn run(mut self, catalog: &Path) -> Result<u64, MakeError> {
        let runtime = self.runtime.clone();
        let collections = runtime.block_on(self.copy.collections())?;
        self.manifest.collections = collections.len() as u64;
        // What a re-index has made so far is not in the backup: there it was stopped.
        for running in runtime.block_on(self.copy.running_reindexes())? {
            let event = reindex::ended(&running, ReindexStatus::Cancelled);
            runtime.block_on(self.copy.end_reindex(&running, ReindexStatus::Cancelled, None, event))?;
        }
        for collection in &collections {
            self.bring_home(collection)?;
        }
        let mut offset = 0;
        loop {
            // Oldest first: what is marked below leaves the list, so it is collected and marked after the last page.
            let query = DocumentQuery {
                sort_by: DocumentSort::UploadDate,
                descending: false,
                limit: PAGE,
                offset,
                ..DocumentQuery::default()
            };
            let page = runtime.block_on(self.copy.list_documents(&query))?.items;
            if page.is_empty() {
                break;
            }
            let mut left = 0;
            for document in page {
                if self.backups.lifecycle.stopping.is_cancelled() {
                    return Err(MakeError::Stopping);
                }
                // One that is marked as being deleted is no longer in the list.
                left += u64::from(self.document(&document)?);
            }
            offset += left;
        }
        self.plugins()?;
        let keys = self.backups.data_dir.join("auth").join("keys.json");
        match File::open(&keys) {
            Ok(file) => self.file("auth/keys.json".to_owned(), file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        // Its last connection takes the write-ahead log into the file.
        runtime.block_on(self.copy.close());
        self.file("catalog".to_owned(), File::open(catalog)?)?;
        let manifest = serde_json::to_vec_pretty(&self.manifest).map_err(io::Error::other)?;
        let documents = self.manifest.documents;
        self.add(MANIFEST.to_owned(), manifest.len() as u64, manifest.as_slice())?;
        self.archive.into_inner()?.flush()?;
        Ok(documents)
    }

    /// Sends what belongs to a document. `false` if it was deleted meanwhile.
    fn document(&mut self, document: &DocumentRecord) -> Result<bool, MakeError> {
        if document.state == DocumentState::Failed {
            self.manifest.documents += 1;
            return Ok(true);
        }
        let whole = self.parts(document)?;
        let runtime = self.runtime.clone();
        match runtime.block_on(self.backups.store.catalog.document(&document.id)) {
            Err(CatalogError::NotFound { .. }) => return self.deleted(document),
            Ok(now) if now.state == DocumentState::Deleting => return self.deleted(document),
            // It failed after the copy was made, and what was made of it went.
            Ok(now) if now.state == DocumentState::Failed => {
                if let Some(error) = now.error {
                    runtime.block_on(self.copy.fail(&document.id, &error.code, &error.message))?;
                }
            }
            Ok(_) if !whole => {
                tracing::warn!(
                    document = document.id,
                    "something of a document is missing, and so it is in the backup"
                );
                self.manifest.damaged.push(document.id.clone());
            }
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        self.manifest.documents += 1;
        Ok(true)
    }

    /// What a Qdrant server holds comes back in the data directory, and moves from there to the server that the settings name then, as
    /// any collection moves: nothing is embedded again for that, and until it has moved it answers from where it is.
    fn bring_home(&self, collection: &Collection) -> Result<(), MakeError> {
        if collection.place != IndexBackend::Qdrant {
            return Ok(());
        }
        let home = async {
            let was_to_stay = collection.moving_to.is_none();
            if was_to_stay {
                self.copy.begin_move(&collection.id, IndexBackend::Embedded).await?;
            }
            let event = json!({ "timestamp": crate::timestamp::now(), "index": IndexBackend::Embedded.as_str() });
            self.copy
                .finish_move(&collection.id, NewEvent::new("collection_moved", event))
                .await?;
            if was_to_stay {
                self.copy.begin_move(&collection.id, IndexBackend::Qdrant).await?;
            }
            Ok::<_, CatalogError>(())
        };
        Ok(self.runtime.block_on(home)?)
    }

    fn deleted(&mut self, document: &DocumentRecord) -> Result<bool, MakeError> {
        self.runtime.block_on(self.copy.begin_delete(&document.id))?;
        Ok(false)
    }

    /// Sends a document's original, text and vectors; whether all were there.
    fn parts(&mut self, document: &DocumentRecord) -> Result<bool, MakeError> {
        let runtime = self.runtime.clone();
        let mut whole = true;
        if !self.sent.contains(&document.sha256) {
            match runtime.block_on(self.backups.store.files.open(&document.sha256)) {
                Ok(file) => {
                    let shard = document.sha256.get(..2).unwrap_or_default();
                    self.file(format!("files/files/{shard}/{}", document.sha256), file)?;
                    self.sent.insert(document.sha256.clone());
                }
                Err(FileError::NotFound { .. }) => whole = false,
                Err(error) => return Err(error.into()),
            }
        }
        if document.state != DocumentState::Received {
            let text = text_id(&document.id, document.text_generation);
            match runtime.block_on(self.backups.store.files.text_files(&text)) {
                Ok(files) => {
                    for (name, file) in files {
                        self.file(format!("files/texts/{text}/{name}"), file)?;
                    }
                }
                Err(FileError::NotFound { .. }) => whole = false,
                Err(error) => return Err(error.into()),
            }
        }
        if self.unreached.contains(&document.collection_id) {
            return Ok(whole);
        }
        let key = CollectionKey::of_generation(&document.collection_id, document.generation)?;
        let mut first = 0;
        while first < document.chunks_indexed {
            let end = first.saturating_add(POINTS).min(document.chunks_indexed);
            let points = match runtime.block_on(self.backups.store.index.points(&key, &document.id, first..end)) {
                Ok(points) => points,
                Err(ibid_index::IndexError::CollectionNotFound { .. }) => Vec::new(),
                Err(error) if error.is_outage() => {
                    tracing::warn!(
                        collection = document.collection,
                        error = error.detail(),
                        "the backup is without a collection's vectors"
                    );
                    self.unreached.insert(document.collection_id.clone());
                    self.manifest.without_vectors.push(document.collection.clone());
                    return Ok(whole);
                }
                Err(error) => return Err(error.into()),
            };
            whole &= points.len() as u64 == u64::from(end - first);
            if !points.is_empty() {
                let bytes = Points { points }.encode_to_vec();
                let path = format!("vectors/{key}/{}.{first}", document.id);
                self.add(path, bytes.len() as u64, bytes.as_slice())?;
            }
            first = end;
        }
        Ok(whole)
    }

    fn plugins(&mut self) -> Result<(), MakeError> {
        let directory = self.backups.data_dir.join("plugins");
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&directory)?.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(".wasm") {
                continue;
            }
            match File::open(&path) {
                Ok(file) => self.file(format!("plugins/{name}"), file)?,
                // Removed just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: String, file: File) -> Result<(), MakeError> {
        let size = file.metadata()?.len();
        self.add(path, size, file)
    }

    fn add(&mut self, path: String, size: u64, bytes: impl Read) -> Result<(), MakeError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        let mut bytes = Hashing {
            inner: bytes.take(size),
            hasher: Sha256::new(),
        };
        self.archive.append_data(&mut header, &path, &mut bytes)?;
        if bytes.inner.limit() > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file became shorter while it was read").into());
        }
        let sha256 = format!("{:x}", bytes.hasher.finalize());
        if path != MANIFEST {
            self.manifest.entries.push(Entry { path, size, sha256 });
        }
        Ok(())
    }
}
