//! The file store in a directory of this machine: `files/ab/abcd...`, `texts/DOCUMENT/`, `incoming/UPLOAD`.

use super::spool::Writers;
use super::{
    Exclusion, FileError, FileHold, FileStore, LocalExclusion, Result, StageOptions, StagedFile, Staging, blocking, staging, texts,
};
use async_trait::async_trait;
use bytes::Bytes;
use ibid_types::document::{Document, Span};
use std::collections::HashSet;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory, and what its handles share.
pub(super) struct Root {
    directory: PathBuf,
    writers: Arc<Writers>,
    exclusion: LocalExclusion,
    /// Locked as long as the store is open: two servers over one directory would remove each other's uploads.
    _lock: File,
}

impl Root {
    pub(super) fn files(&self) -> PathBuf {
        self.directory.join("files")
    }

    pub(super) fn texts(&self) -> PathBuf {
        self.directory.join("texts")
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.directory.join("incoming")
    }

    /// Returns the path of an original.
    pub(super) fn original(&self, sha256: &str) -> Result<PathBuf> {
        match sha256.get(..2) {
            Some(shard) if blocking::is_sha256(sha256) => Ok(self.files().join(shard).join(sha256)),
            _ => Err(FileError::InvalidId(sha256.to_owned())),
        }
    }

    /// Returns the set of uploads that have a writer.
    pub(super) fn writers(&self) -> &Arc<Writers> {
        &self.writers
    }

    pub(super) async fn hold(&self, sha256: &str) -> Result<FileHold> {
        self.original(sha256)?;
        Ok(FileHold::new(sha256.to_owned(), self.exclusion.exclusive(sha256).await?))
    }
}

/// The file store in a directory.
pub struct DirectoryStore {
    root: Arc<Root>,
}

impl DirectoryStore {
    /// Opens the store in `directory`, which is created if it does not exist. `InUse` while another store has it open, in this process or
    /// another.
    pub async fn open(directory: &Path) -> Result<Self> {
        let directory = directory.to_owned();
        let root = blocking::run(move || {
            blocking::create_directory(&directory)?;
            let lock = blocking::lock(&directory)?;
            let root = Root {
                directory,
                writers: Arc::default(),
                exclusion: LocalExclusion::default(),
                _lock: lock,
            };
            for part in [root.files(), root.texts(), root.incoming()] {
                blocking::create_directory(&part)?;
            }
            blocking::sync_directory(&root.directory)?;
            Ok(root)
        })
        .await?;
        Ok(Self { root: Arc::new(root) })
    }

    /// Runs blocking work on the directory.
    async fn with<T: Send + 'static>(&self, work: impl FnOnce(&Arc<Root>) -> Result<T> + Send + 'static) -> Result<T> {
        let root = self.root.clone();
        blocking::run(move || work(&root)).await
    }
}

fn open_original(root: &Root, sha256: &str) -> Result<File> {
    let path = root.original(sha256)?;
    File::open(&path).map_err(FileError::absent(&path, "file", sha256))
}

#[async_trait]
impl FileStore for DirectoryStore {
    async fn stage(&self, upload_id: &str, options: StageOptions) -> Result<Box<dyn Staging>> {
        let id = upload_id.to_owned();
        let staging = self.with(move |root| staging::open(root, &id, options)).await?;
        Ok(Box::new(staging))
    }

    async fn staged(&self) -> Result<Vec<StagedFile>> {
        self.with(|root| staging::list(root)).await
    }

    async fn discard_staged(&self, upload_id: &str) -> Result<bool> {
        let id = upload_id.to_owned();
        self.with(move |root| staging::discard(root, &id)).await
    }

    async fn sweep(&self, keep: &[String]) -> Result<usize> {
        let keep: HashSet<String> = keep.iter().cloned().collect();
        self.with(move |root| {
            let mut gone = texts::sweep(&root.texts())?;
            for staged in staging::list(root)? {
                if keep.contains(&staged.upload_id) {
                    continue;
                }
                match staging::discard(root, &staged.upload_id) {
                    Ok(was_there) => gone += usize::from(was_there),
                    // It has a writer, or is not the store's.
                    Err(FileError::Busy(_) | FileError::InvalidId(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(gone)
        })
        .await
    }

    async fn hold(&self, sha256: &str) -> Result<FileHold> {
        self.root.hold(sha256).await
    }

    async fn size(&self, sha256: &str) -> Result<Option<u64>> {
        let path = self.root.original(sha256)?;
        self.with(move |_| match fs::metadata(&path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::io(&path)(error)),
        })
        .await
    }

    async fn open(&self, sha256: &str) -> Result<File> {
        let sha256 = sha256.to_owned();
        self.with(move |root| open_original(root, &sha256)).await
    }

    async fn read(&self, sha256: &str, offset: u64, length: u32) -> Result<Bytes> {
        let sha256 = sha256.to_owned();
        self.with(move |root| {
            let file = open_original(root, &sha256)?;
            blocking::read_part(&file, offset, length).map_err(FileError::io(Path::new(&sha256)))
        })
        .await
    }

    async fn remove(&self, hold: &FileHold) -> Result<bool> {
        let path = self.root.original(hold.sha256())?;
        self.with(move |_| {
            let was_there = blocking::remove(&path)?;
            if let Some(shard) = path.parent().filter(|_| was_there) {
                blocking::sync_directory(shard)?;
            }
            Ok(was_there)
        })
        .await
    }

    async fn originals(&self, shard: u8) -> Result<Vec<String>> {
        self.with(move |root| {
            let mut names = blocking::names(&root.files().join(format!("{shard:02x}")))?;
            names.retain(|name| blocking::is_sha256(name));
            names.sort();
            Ok(names)
        })
        .await
    }

    async fn write_document(&self, document_id: &str, document: Arc<Document>) -> Result<()> {
        let id = document_id.to_owned();
        self.with(move |root| texts::write(&root.texts(), &id, &document)).await
    }

    async fn read_document(&self, document_id: &str) -> Result<Document> {
        let id = document_id.to_owned();
        self.with(move |root| texts::read(&root.texts(), &id)).await
    }

    async fn open_text(&self, document_id: &str) -> Result<File> {
        let id = document_id.to_owned();
        self.with(move |root| texts::open(&root.texts(), &id)).await
    }

    async fn text_files(&self, document_id: &str) -> Result<Vec<(&'static str, File)>> {
        let id = document_id.to_owned();
        self.with(move |root| texts::files(&root.texts(), &id)).await
    }

    async fn read_spans(&self, document_id: &str, spans: &[Span]) -> Result<Vec<String>> {
        let (id, spans) = (document_id.to_owned(), spans.to_vec());
        self.with(move |root| texts::read_spans(&root.texts(), &id, &spans)).await
    }

    async fn span_of_chars(&self, document_id: &str, chars: Range<u64>) -> Result<Span> {
        let id = document_id.to_owned();
        self.with(move |root| texts::span_of_chars(&root.texts(), &id, chars)).await
    }

    async fn remove_document(&self, document_id: &str) -> Result<bool> {
        let id = document_id.to_owned();
        self.with(move |root| texts::remove(&root.texts(), &id)).await
    }

    async fn documents(&self) -> Result<Vec<String>> {
        self.with(|root| texts::list(&root.texts())).await
    }

    async fn check(&self) -> Result<()> {
        self.with(|root| blocking::names(&root.incoming()).map(drop)).await
    }
}
