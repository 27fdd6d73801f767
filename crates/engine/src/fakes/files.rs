//! A file store that fails where a test plans it.

use super::faults::{Fault, Faults};
use bytes::Bytes;
use ibid_files::{Cause, Committed, FileError, FileHold, FileStore, Result, StageOptions, StagedFile, Staging};
use ibid_types::document::{Document, Span};
use std::ops::Range;
use std::sync::Arc;

/// A real file store whose calls are logged, held up and failed as [`Faults`] say: those of staging, holding and removing.
pub(crate) struct FaultyFiles {
    /// The store that does the work.
    pub inner: Arc<dyn FileStore>,
    /// The calls, and the failures planned for them.
    pub faults: Arc<Faults>,
}

struct FaultyStaging {
    inner: Box<dyn Staging>,
    upload_id: String,
    faults: Arc<Faults>,
}

async fn call(faults: &Faults, method: &'static str, argument: &str) -> Result<()> {
    let cause = || std::io::Error::other("planned");
    match faults.call(method, argument).await {
        None => Ok(()),
        Some(Fault::Outage) => Err(FileError::away("planned", cause())),
        Some(Fault::DiskFull) => Err(FileError::StorageFull(Cause {
            path: "planned".into(),
            error: cause(),
        })),
        Some(Fault::Damaged) => Err(FileError::Damaged(argument.to_owned())),
    }
}

#[async_trait::async_trait]
impl Staging for FaultyStaging {
    fn written(&self) -> u64 {
        self.inner.written()
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        call(&self.faults, "append", &self.upload_id).await?;
        self.inner.append(bytes).await
    }

    async fn sync(&self) -> Result<u64> {
        call(&self.faults, "sync", &self.upload_id).await?;
        self.inner.sync().await
    }

    async fn commit(self: Box<Self>) -> Result<Committed> {
        call(&self.faults, "commit", &self.upload_id).await?;
        self.inner.commit().await
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        call(&self.faults, "discard", &self.upload_id).await?;
        self.inner.discard().await
    }
}

#[async_trait::async_trait]
impl FileStore for FaultyFiles {
    async fn stage(&self, upload_id: &str, options: StageOptions) -> Result<Box<dyn Staging>> {
        call(&self.faults, "stage", upload_id).await?;
        Ok(Box::new(FaultyStaging {
            inner: self.inner.stage(upload_id, options).await?,
            upload_id: upload_id.to_owned(),
            faults: self.faults.clone(),
        }))
    }

    async fn staged(&self) -> Result<Vec<StagedFile>> {
        self.inner.staged().await
    }

    async fn discard_staged(&self, upload_id: &str) -> Result<bool> {
        call(&self.faults, "discard_staged", upload_id).await?;
        self.inner.discard_staged(upload_id).await
    }

    async fn sweep(&self, keep: &[String]) -> Result<usize> {
        self.inner.sweep(keep).await
    }

    async fn hold(&self, sha256: &str) -> Result<FileHold> {
        call(&self.faults, "hold", sha256).await?;
        self.inner.hold(sha256).await
    }

    async fn size(&self, sha256: &str) -> Result<Option<u64>> {
        self.inner.size(sha256).await
    }

    async fn open(&self, sha256: &str) -> Result<std::fs::File> {
        self.inner.open(sha256).await
    }

    async fn read(&self, sha256: &str, offset: u64, length: u32) -> Result<Bytes> {
        self.inner.read(sha256, offset, length).await
    }

    async fn remove(&self, hold: &FileHold) -> Result<bool> {
        call(&self.faults, "remove", hold.sha256()).await?;
        self.inner.remove(hold).await
    }

    async fn originals(&self, shard: u8) -> Result<Vec<String>> {
        self.inner.originals(shard).await
    }

    async fn write_document(&self, document_id: &str, document: Arc<Document>) -> Result<()> {
        self.inner.write_document(document_id, document).await
    }

    async fn read_document(&self, document_id: &str) -> Result<Document> {
        self.inner.read_document(document_id).await
    }

    async fn open_text(&self, document_id: &str) -> Result<std::fs::File> {
        self.inner.open_text(document_id).await
    }

    async fn text_files(&self, document_id: &str) -> Result<Vec<(&'static str, std::fs::File)>> {
        self.inner.text_files(document_id).await
    }

    async fn read_spans(&self, document_id: &str, spans: &[Span]) -> Result<Vec<String>> {
        self.inner.read_spans(document_id, spans).await
    }

    async fn span_of_chars(&self, document_id: &str, chars: Range<u64>) -> Result<Span> {
        self.inner.span_of_chars(document_id, chars).await
    }

    async fn remove_document(&self, document_id: &str) -> Result<bool> {
        call(&self.faults, "remove_document", document_id).await?;
        self.inner.remove_document(document_id).await
    }

    async fn documents(&self) -> Result<Vec<String>> {
        self.inner.documents().await
    }

    async fn check(&self) -> Result<()> {
        self.inner.check().await
    }
}
