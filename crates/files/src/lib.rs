//! The file store: uploads in progress, original files by their SHA-256, and extracted texts by document.
//!
//! All other code uses the trait [`FileStore`]. [`DirectoryStore`] keeps the files in a directory, [`S3Store`] in an object store that
//! several servers share. The store does not know which files are needed: the catalog does.

mod blocking;
mod directory;
mod error;
mod exclusion;
mod s3;
mod settings;
mod spool;
mod staging;
mod texts;

#[cfg(test)]
mod contract;
#[cfg(test)]
#[path = "../../../tests/support/moto.rs"]
mod moto;
#[cfg(test)]
mod tests;

pub use directory::DirectoryStore;
pub use error::{Cause, FileError};
pub use exclusion::{Exclusion, LocalExclusion};
pub use s3::S3Store;
pub use settings::{S3Options, StoreKind};

use async_trait::async_trait;
use bytes::Bytes;
use ibid_types::document::{Document, Span};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A result of the file store.
pub type Result<T> = std::result::Result<T, FileError>;

/// Which file store a server uses.
#[derive(Debug, Clone, Default)]
pub enum StoreOptions {
    /// The directory `files` of the data directory.
    #[default]
    Directory,
    /// Objects in a bucket.
    S3(Box<S3Options>),
}

impl StoreOptions {
    /// Opens the store, for the server with this data directory. Servers that share an object store must pass the same exclusion; a
    /// directory belongs to one server, and has its own.
    ///
    /// # Errors
    /// `InUse` while another process uses the data directory; `Unusable` where a setting is wrong; `Away` where the object store does not
    /// answer.
    pub async fn open(&self, data: &Path, exclusion: Arc<dyn Exclusion>) -> Result<Arc<dyn FileStore>> {
        Ok(match self {
            Self::Directory => Arc::new(DirectoryStore::open(&data.join("files")).await?),
            Self::S3(options) => Arc::new(S3Store::open(&data.join("files-cache"), options, exclusion).await?),
        })
    }
}

/// Writes where the files are, for people.
impl std::fmt::Display for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory => f.write_str("the data directory"),
            Self::S3(options) => write!(f, "{}", options.location()),
        }
    }
}

/// How an upload is staged.
#[derive(Debug, Clone, Copy)]
pub struct StageOptions {
    /// The most bytes that it may have in all.
    pub limit: u64,
    /// `None` starts from the beginning and drops what is staged under the identifier. `Some(n)` keeps the first `n` bytes (or all, if
    /// there are fewer) and drops the rest: pass the number of bytes that the catalog records as durable, or `u64::MAX` to keep everything.
    pub resume: Option<u64>,
    /// Whether the bytes stay when the writer is dropped before `commit`, to be resumed later. At least all that were made durable stay.
    pub keep: bool,
}

/// A staged upload, with or without a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// The upload's identifier.
    pub upload_id: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The only writer of an upload. Dropping it ends or suspends the upload, depending on `keep`.
#[async_trait]
pub trait Staging: Send + Sync {
    /// Returns the number of bytes taken.
    fn written(&self) -> u64;
    /// Appends bytes, and returns how many there are now. `TooLarge` if they would exceed the limit; then none is taken. After another
    /// error, or when its future is dropped, call `written` before going on.
    async fn append(&self, bytes: Bytes) -> Result<u64>;
    /// Makes the bytes durable, so that they may be acknowledged, and returns how many there are.
    async fn sync(&self) -> Result<u64>;
    /// Stores the bytes as an original, durably, under their SHA-256. If the original exists, the staged bytes are dropped. On an error
    /// they stay staged if `keep` is set.
    async fn commit(self: Box<Self>) -> Result<Committed>;
    /// Drops the bytes, whatever `keep` is.
    async fn discard(self: Box<Self>) -> Result<()>;
}

/// An original that was stored.
#[derive(Debug)]
pub struct Committed {
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Prevents the file's removal until the catalog refers to it: drop it after that.
    pub hold: FileHold,
}

/// While a hold lives, nobody else stores or removes the original that it names. So an original without references stays without until it
/// is removed, and one that exists stays until something refers to it. Hold one at a time, and briefly: others may wait, on other servers
/// too.
pub struct FileHold {
    sha256: String,
    _guard: Box<dyn Send + Sync>,
}

impl FileHold {
    /// Makes a hold that lasts as long as `guard`, for implementations of [`FileStore`].
    pub fn new(sha256: String, guard: impl Send + Sync + 'static) -> Self {
        Self {
            sha256,
            _guard: Box::new(guard),
        }
    }

    /// Returns the original that is held.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl std::fmt::Debug for FileHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FileHold").field(&self.sha256).finish()
    }
}

/// The file store. After `Ok` a change survives a crash and a power failure. Identifiers of uploads and documents have 1 to 128 characters
/// of `A-Z a-z 0-9 _ -`, otherwise `InvalidId`.
#[async_trait]
pub trait FileStore: Send + Sync {
    // Uploads

    /// Opens an upload for writing. `Busy` while it has another writer in this process. Of writers on two servers, the later one's bytes
    /// count. `TooLarge` if it exceeds the limit already.
    async fn stage(&self, upload_id: &str, options: StageOptions) -> Result<Box<dyn Staging>>;
    /// Returns the staged uploads, with the size that is durable.
    async fn staged(&self) -> Result<Vec<StagedFile>>;
    /// Drops a staged upload; `false` if there is none. `Busy` while it has a writer.
    async fn discard_staged(&self, upload_id: &str) -> Result<bool>;
    /// Drops every staged upload except those to `keep`, and what interrupted writes left behind. Call it at the start. Returns the number
    /// of dropped entries.
    async fn sweep(&self, keep: &[String]) -> Result<usize>;

    // Originals

    /// Waits until the original is not held elsewhere, and holds it. It need not exist.
    async fn hold(&self, sha256: &str) -> Result<FileHold>;
    /// Returns the size of an original; `None` if it does not exist.
    async fn size(&self, sha256: &str) -> Result<Option<u64>>;
    /// Opens the original as a file (for extractors and for streaming).
    async fn open(&self, sha256: &str) -> Result<std::fs::File>;
    /// Returns the bytes of the original from `offset` on: `length` of them, or as many as there are.
    async fn read(&self, sha256: &str, offset: u64, length: u32) -> Result<Bytes>;
    /// Removes an original that nothing refers to; `false` if it did not exist.
    async fn remove(&self, hold: &FileHold) -> Result<bool>;
    /// Returns the originals whose SHA-256 begins with the byte `shard`: 256 calls return all.
    async fn originals(&self, shard: u8) -> Result<Vec<String>>;

    // Texts

    /// Stores the extracted document atomically, and replaces an earlier one.
    async fn write_document(&self, document_id: &str, document: Arc<Document>) -> Result<()>;
    /// Returns the text and structure of a document.
    async fn read_document(&self, document_id: &str) -> Result<Document>;
    /// Opens the text as a file of UTF-8 (to stream all of it).
    async fn open_text(&self, document_id: &str) -> Result<std::fs::File>;
    /// Opens the files that hold a document's text and structure, with their names, to be copied elsewhere.
    async fn text_files(&self, document_id: &str) -> Result<Vec<(&'static str, std::fs::File)>>;
    /// Returns several parts of a text, in the order of `spans`, without reading the rest. `InvalidSpan` if one lies outside or cuts a
    /// character.
    async fn read_spans(&self, document_id: &str, spans: &[Span]) -> Result<Vec<String>>;
    /// Returns one part of a text.
    async fn read_text(&self, document_id: &str, span: Span) -> Result<String> {
        let texts = self.read_spans(document_id, &[span]).await?;
        texts.into_iter().next().ok_or_else(|| FileError::Damaged(document_id.to_owned()))
    }
    /// Returns the span of a range of code points, clamped to the text's end; a reversed range is empty. Reads the text up to there.
    async fn span_of_chars(&self, document_id: &str, chars: Range<u64>) -> Result<Span>;
    /// Removes the extracted document; `false` if there was none.
    async fn remove_document(&self, document_id: &str) -> Result<bool>;
    /// Returns the documents that have a text in the store.
    async fn documents(&self) -> Result<Vec<String>>;

    /// Checks with one cheap request that the store answers.
    async fn check(&self) -> Result<()>;
}
