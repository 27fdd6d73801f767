//! The file store in an S3-compatible object store, for several servers that share one catalog.
//!
//! Objects, below the prefix: `files/ab/SHA256` (originals, which never change), `texts/ID` (text and structure of a document in one tar,
//! so that both are replaced at once) and `incoming/UPLOAD/START.WRITER` (parts of uploads in progress, see `parts`). Objects that were
//! read are kept as local copies (`cache`). The copy of an original stays valid, and is checked against its SHA-256 when it is fetched. The
//! copy of a text is compared with the object's tag each time, so that a text that another server rewrote is never quoted from an old copy.

mod bucket;
mod cache;
mod parts;
mod staging;

use super::spool::Writers;
use super::{Exclusion, FileError, FileHold, FileStore, Result, S3Options, StageOptions, StagedFile, Staging, blocking, texts};
use async_trait::async_trait;
use bucket::{Bucket, Read};
use bytes::Bytes;
use cache::{Cache, LocalCopy};
use ibid_types::document::{Document, Span};
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

impl S3Options {
    /// Returns the server, for people.
    fn server(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("AWS S3 in {}", self.region),
        }
    }

    /// Returns the bucket and the server, for people.
    pub fn location(&self) -> String {
        let prefix = self.prefix.trim_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("s3://{}{slash}{prefix} at {}", self.bucket, self.server())
    }
}

/// What the handles of the store share.
struct Shared {
    bucket: Bucket,
    cache: Cache,
    writers: Arc<Writers>,
    exclusion: Arc<dyn Exclusion>,
    sweep_after: Duration,
    /// Locked as long as the store is open: two processes over one directory would empty each other's cache.
    _lock: File,
}

/// Returns the cache's name of an original.
fn original_name(sha256: &str) -> String {
    format!("files/{sha256}")
}

/// Returns the cache's name of a text.
fn text_name(id: &str) -> String {
    format!("texts/{id}")
}

impl Shared {
    fn incoming(&self, parts: &[&str]) -> ObjectPath {
        self.bucket.path(&[&["incoming"], parts].concat())
    }

    /// Returns the object of an original.
    fn original(&self, sha256: &str) -> Result<ObjectPath> {
        match sha256.get(..2) {
            Some(shard) if blocking::is_sha256(sha256) => Ok(self.bucket.path(&["files", shard, sha256])),
            _ => Err(FileError::InvalidId(sha256.to_owned())),
        }
    }

    /// Returns the object of a text.
    fn text(&self, id: &str) -> Result<ObjectPath> {
        blocking::check_id(id)?;
        Ok(self.bucket.path(&["texts", id]))
    }

    async fn hold(&self, sha256: &str) -> Result<FileHold> {
        self.original(sha256)?;
        Ok(FileHold::new(
            sha256.to_owned(),
            self.exclusion.exclusive(&original_name(sha256)).await?,
        ))
    }

    /// Stores a file as an object, unless the object exists.
    async fn ensure_original(&self, sha256: &str, file: Arc<File>, size: u64) -> Result<()> {
        let path = self.original(sha256)?;
        match self.bucket.head(&path).await? {
            Some(found) if found.size == size => Ok(()),
            // Absent, or truncated by another program.
            _ => self.bucket.put_file(&path, file, size).await,
        }
    }

    /// Returns a local copy of an original. If several readers need one that is absent, one of them fetches it and the others wait.
    async fn original_copy(&self, sha256: &str) -> Result<Arc<LocalCopy>> {
        let (path, name) = (self.original(sha256)?, original_name(sha256));
        if let Some(copy) = self.cache.get(&name) {
            return Ok(copy);
        }
        let _alone = self.cache.alone(&name).await;
        if let Some(copy) = self.cache.get(&name) {
            return Ok(copy);
        }
        let at = self.cache.fresh();
        let (file, copy) = blocking::run(move || {
            let file = blocking::private().write(true).create_new(true).open(&at);
            Ok((file.map_err(FileError::io(&at))?, at))
        })
        .await?;
        // Removed again if this function returns early.
        let unfinished = LocalCopy::new(copy.clone(), 0, None);
        let Some((size, found)) = self.bucket.get_file(&path, file).await? else {
            return Err(FileError::NotFound {
                kind: "file",
                id: sha256.to_owned(),
            });
        };
        if found != sha256 {
            return Err(FileError::Damaged(sha256.to_owned()));
        }
        let copy = self.finish(unfinished, size, None).await?;
        self.cache.insert(&name, &copy);
        Ok(copy)
    }

    /// Moves a complete copy to a path of its own, and removes the unfinished one.
    async fn finish(&self, unfinished: Arc<LocalCopy>, bytes: u64, tag: Option<String>) -> Result<Arc<LocalCopy>> {
        let to = self.cache.fresh();
        blocking::run(move || {
            fs::rename(unfinished.path(), &to).map_err(FileError::io(&to))?;
            Ok(LocalCopy::new(to, bytes, tag))
        })
        .await
    }

    /// Returns a local copy of the current text: a directory of texts with only this one.
    async fn text_copy(&self, id: &str) -> Result<Arc<LocalCopy>> {
        let (path, name) = (self.text(id)?, text_name(id));
        let absent = || {
            self.cache.remove(&name);
            FileError::NotFound {
                kind: "text",
                id: id.to_owned(),
            }
        };
        if let Some(copy) = self.cache.get(&name)
            && let Some(tag) = copy.tag()
        {
            let found = self.bucket.head(&path).await?.ok_or_else(absent)?;
            if found.e_tag.as_deref() == Some(tag) {
                return Ok(copy);
            }
        }
        let _alone = self.cache.alone(&name).await;
        let known = self.cache.get(&name);
        match self.bucket.read(&path, known.as_ref().and_then(|copy| copy.tag())).await? {
            Read::Absent => Err(absent()),
            Read::New { tag, bytes } => self.keep_text(id, tag, bytes).await,
            // Only a request with a tag has this response.
            Read::Unchanged => known.ok_or(FileError::Interrupted),
        }
    }

    /// Unpacks a text into the cache.
    async fn keep_text(&self, id: &str, tag: Option<String>, bytes: Bytes) -> Result<Arc<LocalCopy>> {
        let size = bytes.len() as u64;
        let copy = LocalCopy::new(self.cache.fresh(), size, tag);
        let (id, name, into) = (id.to_owned(), text_name(id), copy.clone());
        blocking::run(move || unpack(&bytes, into.path(), &id)).await?;
        self.cache.insert(&name, &copy);
        Ok(copy)
    }

    /// Runs blocking work on the local copy of a text.
    async fn with_text<T: Send + 'static>(&self, id: &str, work: impl FnOnce(&Path) -> Result<T> + Send + 'static) -> Result<T> {
        let copy = self.text_copy(id).await?;
        blocking::run(move || work(copy.path())).await
    }
}

/// Returns the object of a text: a tar of its two files.
fn pack(id: &str, document: &Document) -> Result<Vec<u8>> {
    let json = texts::structure(id, document)?;
    let mut archive = tar::Builder::new(Vec::with_capacity(document.text.len() + json.len() + 4096));
    for (name, bytes) in [(texts::TEXT, document.text.as_bytes()), (texts::STRUCTURE, json.as_slice())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        archive
            .append_data(&mut header, name, bytes)
            .map_err(|_| FileError::Damaged(id.to_owned()))?;
    }
    archive.into_inner().map_err(|_| FileError::Damaged(id.to_owned()))
}

/// Creates a directory of texts with the one text that an object holds.
fn unpack(bytes: &[u8], texts: &Path, id: &str) -> Result<()> {
    let damaged = |_: std::io::Error| FileError::Damaged(id.to_owned());
    let directory = texts.join(id);
    blocking::create_directory(&directory)?;
    let mut missing = HashSet::from([texts::TEXT, texts::STRUCTURE]);
    for entry in tar::Archive::new(bytes).entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        // No other name is ever written.
        let Some(name) = [texts::TEXT, texts::STRUCTURE].into_iter().find(|name| Path::new(name) == path) else {
            return Err(FileError::Damaged(id.to_owned()));
        };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(damaged)?;
        let path = directory.join(name);
        fs::write(&path, content).map_err(FileError::io(&path))?;
        missing.remove(name);
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(FileError::Damaged(id.to_owned()))
    }
}

/// The file store in a bucket.
pub struct S3Store {
    shared: Arc<Shared>,
}

impl S3Store {
    /// Opens the store, and tests that it is writable. `cache` is a directory for local copies, which are dropped at each start. Every
    /// server over the same bucket and prefix must use the same `exclusion`.
    ///
    /// # Errors
    /// `InUse` while another store has the directory; `Unusable`, with the setting and a remedy, where the object store cannot be used.
    pub async fn open(cache: &Path, options: &S3Options, exclusion: Arc<dyn Exclusion>) -> Result<Self> {
        let settings = options.clone();
        let store = blocking::run(move || bucket::connect(&settings)).await?;
        let store = Self::over(store, cache, options, exclusion).await?;
        let tried = store.shared.bucket.try_all().await;
        tried.map_err(|error| bucket::remedy(options, error))?;
        Ok(store)
    }

    /// Tests whether the object store can be used, without opening anything on this machine.
    ///
    /// # Errors
    /// `Unusable`, with the setting and a remedy.
    pub async fn probe(options: &S3Options) -> Result<()> {
        let settings = options.clone();
        let store = blocking::run(move || bucket::connect(&settings)).await?;
        let tried = Bucket::new(store, options).try_all().await;
        tried.map_err(|error| bucket::remedy(options, error))
    }

    /// Opens the store over any object store, without the test.
    pub(super) async fn over(
        store: Arc<dyn ObjectStore>,
        cache: &Path,
        options: &S3Options,
        exclusion: Arc<dyn Exclusion>,
    ) -> Result<Self> {
        let (directory, limit) = (cache.to_owned(), options.cache_bytes);
        let (lock, cache) = blocking::run(move || {
            blocking::create_directory(&directory)?;
            let lock = blocking::lock(&directory)?;
            Ok((lock, Cache::open(&directory.join("copies"), limit)?))
        })
        .await?;
        let shared = Shared {
            bucket: Bucket::new(store, options),
            cache,
            writers: Arc::default(),
            exclusion,
            sweep_after: options.sweep_after,
            _lock: lock,
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl FileStore for S3Store {
    async fn stage(&self, upload_id: &str, options: StageOptions) -> Result<Box<dyn Staging>> {
        Ok(Box::new(staging::open(&self.shared, upload_id, options).await?))
    }

    async fn staged(&self) -> Result<Vec<StagedFile>> {
        let listed = self.shared.bucket.list(&self.shared.incoming(&[])).await?;
        let uploads = parts::by_upload(listed).into_iter();
        Ok(uploads
            .map(|(upload_id, objects)| StagedFile {
                upload_id,
                size: parts::chain(objects).last().map_or(0, |segment| segment.to),
            })
            .collect())
    }

    async fn discard_staged(&self, upload_id: &str) -> Result<bool> {
        blocking::check_id(upload_id)?;
        let _claim = self.shared.writers.claim(upload_id)?;
        let listed = self.shared.bucket.list(&self.shared.incoming(&[upload_id])).await?;
        let was_there = !listed.is_empty();
        self.shared.bucket.remove_all(listed.into_iter().map(|meta| meta.location)).await?;
        Ok(was_there)
    }

    async fn sweep(&self, keep: &[String]) -> Result<usize> {
        let listed = self.shared.bucket.list(&self.shared.incoming(&[])).await?;
        let mut gone = 0;
        for (id, objects) in parts::by_upload(listed) {
            let young = objects.iter().any(|meta| {
                let age = SystemTime::now().duration_since(meta.last_modified.into());
                age.unwrap_or_default() < self.shared.sweep_after
            });
            if young || keep.contains(&id) {
                continue;
            }
            // An upload with a writer stays.
            let Ok(_claim) = self.shared.writers.claim(&id) else { continue };
            self.shared.bucket.remove_all(objects.into_iter().map(|meta| meta.location)).await?;
            gone += 1;
        }
        Ok(gone)
    }

    async fn hold(&self, sha256: &str) -> Result<FileHold> {
        self.shared.hold(sha256).await
    }

    async fn size(&self, sha256: &str) -> Result<Option<u64>> {
        let found = self.shared.bucket.head(&self.shared.original(sha256)?).await?;
        Ok(found.map(|found| found.size))
    }

    async fn open(&self, sha256: &str) -> Result<File> {
        let copy = self.shared.original_copy(sha256).await?;
        blocking::run(move || File::open(copy.path()).map_err(FileError::io(copy.path()))).await
    }

    async fn read(&self, sha256: &str, offset: u64, length: u32) -> Result<Bytes> {
        let path = self.shared.original(sha256)?;
        if let Some(copy) = self.shared.cache.get(&original_name(sha256)) {
            return blocking::run(move || {
                let file = File::open(copy.path()).map_err(FileError::io(copy.path()))?;
                blocking::read_part(&file, offset, length).map_err(FileError::io(copy.path()))
            })
            .await;
        }
        let absent = || FileError::NotFound {
            kind: "file",
            id: sha256.to_owned(),
        };
        let size = self.shared.bucket.head(&path).await?.ok_or_else(absent)?.size;
        let end = offset.saturating_add(length.into()).min(size);
        self.shared.bucket.range(&path, offset, end).await?.ok_or_else(absent)
    }

    async fn remove(&self, hold: &FileHold) -> Result<bool> {
        let path = self.shared.original(hold.sha256())?;
        let was_there = self.shared.bucket.head(&path).await?.is_some();
        self.shared.bucket.remove(&path).await?;
        self.shared.cache.remove(&original_name(hold.sha256()));
        Ok(was_there)
    }

    async fn originals(&self, shard: u8) -> Result<Vec<String>> {
        let folder = self.shared.bucket.path(&["files", &format!("{shard:02x}")]);
        let listed = self.shared.bucket.list(&folder).await?;
        let names = listed.iter().filter_map(|meta| meta.location.filename());
        let mut names: Vec<String> = names.filter(|name| blocking::is_sha256(name)).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    async fn write_document(&self, document_id: &str, document: Arc<Document>) -> Result<()> {
        let path = self.shared.text(document_id)?;
        let id = document_id.to_owned();
        let bytes = Bytes::from(blocking::run(move || pack(&id, &document)).await?);
        let tag = self.shared.bucket.put(&path, bytes.clone()).await?;
        // It will be read soon; if it cannot be cached, it is read from the object store.
        if let Err(error) = self.shared.keep_text(document_id, tag, bytes).await {
            tracing::warn!(error = ?error, "a text that was stored could not be kept in the cache");
        }
        Ok(())
    }

    async fn read_document(&self, document_id: &str) -> Result<Document> {
        let id = document_id.to_owned();
        self.shared.with_text(document_id, move |texts| texts::read(texts, &id)).await
    }

    async fn open_text(&self, document_id: &str) -> Result<File> {
        let id = document_id.to_owned();
        self.shared.with_text(document_id, move |texts| texts::open(texts, &id)).await
    }

    async fn text_files(&self, document_id: &str) -> Result<Vec<(&'static str, File)>> {
        let id = document_id.to_owned();
        self.shared.with_text(document_id, move |texts| texts::files(texts, &id)).await
    }

    async fn read_spans(&self, document_id: &str, spans: &[Span]) -> Result<Vec<String>> {
        let (id, spans) = (document_id.to_owned(), spans.to_vec());
        self.shared
            .with_text(document_id, move |texts| texts::read_spans(texts, &id, &spans))
            .await
    }

    async fn span_of_chars(&self, document_id: &str, chars: Range<u64>) -> Result<Span> {
        let id = document_id.to_owned();
        self.shared
            .with_text(document_id, move |texts| texts::span_of_chars(texts, &id, chars))
            .await
    }

    async fn remove_document(&self, document_id: &str) -> Result<bool> {
        let path = self.shared.text(document_id)?;
        let was_there = self.shared.bucket.head(&path).await?.is_some();
        self.shared.bucket.remove(&path).await?;
        self.shared.cache.remove(&text_name(document_id));
        Ok(was_there)
    }

    async fn documents(&self) -> Result<Vec<String>> {
        let listed = self.shared.bucket.list(&self.shared.bucket.path(&["texts"])).await?;
        let names = listed.iter().filter_map(|meta| meta.location.filename());
        let mut names: Vec<String> = names.filter(|name| blocking::check_id(name).is_ok()).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    async fn check(&self) -> Result<()> {
        self.shared.bucket.check().await
    }
}

#[cfg(test)]
mod tests;
