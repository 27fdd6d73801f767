//! Where bytes are kept: uploads in the making, original files by their SHA-256, extracted texts by
//! document.
//!
//! Everyone above speaks to [`FileStore`]; [`DirectoryStore`] keeps it all in a directory, [`S3Store`] in an object store that several
//! servers share. It does not know which files are needed: the catalog does.

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
    /// Opens it, for the server with this data directory. Servers that share an object store give it one exclusion; a directory
    /// has one server, and its own.
    ///
    /// # Errors
    /// `InUse` while another process uses the data directory; `Unusable` where a setting is wrong; `Away` where the object store
    /// does not answer.
    pub async fn open(&self, data: &Path, exclusion: Arc<dyn Exclusion>) -> Result<Arc<dyn FileStore>> {
        Ok(match self {
            Self::Directory => Arc::new(DirectoryStore::open(&data.join("files")).await?),
            Self::S3(options) => Arc::new(S3Store::open(&data.join("files-cache"), options, exclusion).await?),
        })
    }
}

/// For people: where the files are.
impl std::fmt::Display for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory => f.write_str("the data directory"),
            Self::S3(options) => write!(f, "{}", options.place()),
        }
    }
}

/// How an upload is staged.
#[derive(Debug, Clone, Copy)]
pub struct StageOptions {
    /// Most bytes that it may have in all.
    pub limit: u64,
    /// `None` begins anew and drops what is staged under the identifier. `Some(n)` goes on after the
    /// first `n` bytes that are there (or after all, if fewer are) and drops the rest: give what the
    /// catalog says is durable, or `u64::MAX` to keep everything.
    pub resume: Option<u64>,
    /// Whether the bytes stay when the writer is dropped before `commit`, to be resumed later: all that
    /// were made durable, at least.
    pub keep: bool,
}

/// An upload that is staged but has no writer now, or has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// The upload's identifier.
    pub upload_id: String,
    /// Bytes that are there.
    pub size: u64,
}

/// The one writer of an upload. Dropping it ends the upload, or suspends it, as `keep` says.
#[async_trait]
pub trait Staging: Send + Sync {
    /// Bytes that have been taken.
    fn written(&self) -> u64;
    /// Appends bytes and returns how many there are now. `TooLarge` if they would be too many, and then
    /// none is taken. After another error, or when its future is dropped, ask `written` before going on.
    async fn append(&self, bytes: Bytes) -> Result<u64>;
    /// Makes what was taken durable, so that it may be acknowledged; returns how many bytes that is.
    async fn sync(&self) -> Result<u64>;
    /// Stores the bytes as an original, durably, under their SHA-256. If they are there already, the
    /// staged ones are dropped. On an error they stay staged if `keep` says so.
    async fn commit(self: Box<Self>) -> Result<Committed>;
    /// Drops the bytes, whatever `keep` says.
    async fn discard(self: Box<Self>) -> Result<()>;
}

/// An original that was stored.
#[derive(Debug)]
pub struct Committed {
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Keeps the file from being removed until the catalog refers to it: drop it after that.
    pub hold: FileHold,
}

/// While it lives, no one else stores or removes the original that it names, so that "nobody
/// refers to it" stays true until it is removed, and "it is there" until somebody refers to it.
/// Hold one at a time, and briefly: others may wait, on other servers too.
pub struct FileHold {
    sha256: String,
    _guard: Box<dyn Send + Sync>,
}

impl FileHold {
    /// A hold that lasts as long as `guard`. For implementations of [`FileStore`].
    pub fn new(sha256: String, guard: impl Send + Sync + 'static) -> Self {
        Self {
            sha256,
            _guard: Box::new(guard),
        }
    }

    /// The original that is held.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl std::fmt::Debug for FileHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FileHold").field(&self.sha256).finish()
    }
}

/// The file store. After `Ok` a change survives a crash and a power cut. Identifiers of uploads and
/// documents have 1 to 128 characters of `A-Z a-z 0-9 _ -`, else `InvalidId`.
#[async_trait]
pub trait FileStore: Send + Sync {
    // Uploads

    /// Opens an upload for writing. `Busy` while it has another writer in this process; of writers on two
    /// servers, the later one's bytes count. `TooLarge` if more than the limit is there already.
    async fn stage(&self, upload_id: &str, options: StageOptions) -> Result<Box<dyn Staging>>;
    /// What is staged, as far as it is durable.
    async fn staged(&self) -> Result<Vec<StagedFile>>;
    /// Drops what is staged of an upload; `false` if nothing is. `Busy` while it has a writer.
    async fn discard_staged(&self, upload_id: &str) -> Result<bool>;
    /// To be called at start: drops every staged upload but those to `keep`, and what writes that were
    /// cut off left behind. Returns how many entries went.
    async fn sweep(&self, keep: &[String]) -> Result<usize>;

    // Originals

    /// Waits until no one else holds the original, and holds it. It need not be there.
    async fn hold(&self, sha256: &str) -> Result<FileHold>;
    /// Bytes of an original; `None` if it is not there.
    async fn size(&self, sha256: &str) -> Result<Option<u64>>;
    /// The original, as a file to be read from (for extractors and for streaming).
    async fn open(&self, sha256: &str) -> Result<std::fs::File>;
    /// Bytes of the original from `offset` on: `length` of them, or as many as there are.
    async fn read(&self, sha256: &str, offset: u64, length: u32) -> Result<Bytes>;
    /// Removes an original that nothing refers to; `false` if it was not there.
    async fn remove(&self, hold: &FileHold) -> Result<bool>;
    /// Originals whose SHA-256 begins with the byte `shard`: all, in 256 calls.
    async fn originals(&self, shard: u8) -> Result<Vec<String>>;

    // Texts

    /// Stores what was extracted of a document, all of it or nothing, in place of what was there.
    async fn write_document(&self, document_id: &str, document: Arc<Document>) -> Result<()>;
    /// Text and structure of a document.
    async fn read_document(&self, document_id: &str) -> Result<Document>;
    /// The text, as a file of UTF-8 to be read from (for streaming all of it).
    async fn open_text(&self, document_id: &str) -> Result<std::fs::File>;
    /// The files in which a document's text and structure are kept, by their names, to be copied elsewhere.
    async fn text_files(&self, document_id: &str) -> Result<Vec<(&'static str, std::fs::File)>>;
    /// Several parts of a text, in the order asked for, without reading the rest. `InvalidSpan` if one
    /// lies outside or cuts a character.
    async fn read_spans(&self, document_id: &str, spans: &[Span]) -> Result<Vec<String>>;
    /// One part of a text.
    async fn read_text(&self, document_id: &str, span: Span) -> Result<String> {
        let texts = self.read_spans(document_id, &[span]).await?;
        texts.into_iter().next().ok_or_else(|| FileError::Damaged(document_id.to_owned()))
    }
    /// The span of a range of code points, cut to the text's end; a reversed range is empty. Reads
    /// the text up to there.
    async fn span_of_chars(&self, document_id: &str, chars: Range<u64>) -> Result<Span>;
    /// Removes what was extracted of a document; `false` if nothing was there.
    async fn remove_document(&self, document_id: &str) -> Result<bool>;
    /// Documents that have a text here.
    async fn documents(&self) -> Result<Vec<String>>;

    /// Whether the store answers: one cheap look.
    async fn check(&self) -> Result<()>;
}
