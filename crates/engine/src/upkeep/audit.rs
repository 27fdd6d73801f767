//! Whether catalog, files and index of a data directory agree, and what makes them agree again. For a directory that no server
//! uses: `ibid doctor` looks with it, and mends.
//!
//! The catalog decides, as at a server's start (`reconcile`). Beyond what a start mends, it finds what only an operator can break:
//! originals and texts that documents need and that are gone.

use crate::error::PipelineError;
use crate::store::leases::{of_text, text_id};
use ibid_catalog::{Catalog, CatalogError, DocumentState, SqliteOptions, UploadStatus};
use ibid_files::{FileError, FileStore, LocalExclusion, StoreOptions};
use ibid_index::{CollectionKey, EmbeddedIndex, EmbeddedOptions, IndexError, VectorIndex};
use ibid_types::IndexBackend;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Work that a stopped server left: the next start goes on with it.
    Unfinished {
        /// What: a document's or a collection's name, or an upload's identifier.
        what: String,
    },
    /// An original that no document needs.
    StrayFile {
        /// Its SHA-256.
        sha256: String,
    },
    /// An original that a document needs and that is gone or cut short.
    MissingFile {
        /// The document.
        document: String,
        /// Its file name.
        filename: String,
    },
    /// A text that no document needs.
    StrayText {
        /// The document that it was of, and the generation where there was more than one.
        text: String,
    },
    /// A text that a document needs and that is gone or damaged.
    MissingText {
        /// The document.
        document: String,
        /// Its file name.
        filename: String,
        /// Whether the original is there, so that the text can be extracted again.
        original: bool,
    },
    /// Bytes of an upload that nobody will go on with.
    StrayUpload {
        /// Its identifier.
        upload: String,
    },
    /// The index of a collection that is gone.
    StrayIndex {
        /// Its key.
        collection: CollectionKey,
    },
    /// The index of a collection cannot be read.
    DamagedIndex {
        /// Its key.
        collection: CollectionKey,
        /// The collection's name.
        name: String,
    },
    /// Vectors of a document that is gone.
    StrayVectors {
        /// The collection's key.
        collection: CollectionKey,
        /// The document.
        document: String,
    },
    /// Of a document that can be found the index has not all vectors, or too many.
    MissingVectors {
        /// The collection's key.
        collection: CollectionKey,
        /// The document.
        document: String,
        /// Vectors that are there.
        found: u64,
        /// Vectors that there must be.
        wanted: u64,
    },
}

impl Finding {
    /// Whether a server's start would mend it, with nothing lost.
    pub fn mends_itself(&self) -> bool {
        !matches!(self, Self::MissingFile { .. } | Self::MissingText { .. })
    }

    /// Whether [`Audit::repair`] can mend it.
    pub fn can_be_repaired(&self) -> bool {
        !matches!(
            self,
            Self::MissingFile { .. } | Self::MissingText { original: false, .. } | Self::Unfinished { .. }
        )
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unfinished { what } => write!(f, "{what}: unfinished, the next start goes on with it"),
            Self::StrayFile { sha256 } => write!(f, "file {sha256}: no document needs it"),
            Self::MissingFile { document, filename } => {
                write!(
                    f,
                    "{filename} ({document}): its original is gone or cut short; upload the same file again to put it back"
                )
            }
            Self::StrayText { text } => write!(f, "text of {text}: no document needs it"),
            Self::MissingText {
                document,
                filename,
                original: true,
            } => {
                write!(f, "{filename} ({document}): its text is gone or damaged; it can be extracted again")
            }
            Self::MissingText { document, filename, .. } => write!(
                f,
                "{filename} ({document}): its text and its original are gone; delete the document and upload the file again"
            ),
            Self::StrayUpload { upload } => write!(f, "{upload}: bytes of an upload that has ended"),
            Self::StrayIndex { collection } => write!(f, "index {collection}: there is no such collection"),
            Self::DamagedIndex { collection, name } => write!(f, "index {collection} of collection {name}: it cannot be read"),
            Self::StrayVectors { document, .. } => write!(f, "vectors of {document}: there is no such document"),
            Self::MissingVectors {
                document, found, wanted, ..
            } => write!(f, "{document}: {found} vectors are in the index, and it has {wanted} chunks"),
        }
    }
}

/// An audited data directory, open as a server has it open.
pub struct Audit {
    catalog: Catalog,
    files: Arc<dyn FileStore>,
    index: EmbeddedIndex,
}

impl Audit {
    /// Opens a data directory that has a catalog, and the store of its files.
    ///
    /// # Errors
    /// [`FileError::InUse`] while a server uses it; whatever else keeps a part from being opened.
    pub async fn open(data: &Path, files: &StoreOptions) -> Result<Self, PipelineError> {
        // First, for it says whether a server is there.
        let files = files.open(data, Arc::new(LocalExclusion::default())).await?;
        let catalog = Catalog::sqlite(&data.join("catalog"), SqliteOptions::default()).await?;
        let directory = data.join("index");
        let index = tokio::task::spawn_blocking(move || EmbeddedIndex::open(&directory, EmbeddedOptions::default())).await??;
        Ok(Self { catalog, files, index })
    }

    /// Lets go of the directory.
    pub async fn close(self) -> Result<(), PipelineError> {
        self.index.close().await?;
        self.catalog.close().await;
        Ok(())
    }

    /// Looks at everything. Texts are read, originals only measured.
    pub async fn look(&self) -> Result<Vec<Finding>, PipelineError> {
        let mut found = Vec::new();
        for collection in self.catalog.deleting_collections().await? {
            found.push(Finding::Unfinished { what: collection.name });
        }
        for document in self.catalog.deleting_documents(None).await? {
            found.push(Finding::Unfinished { what: document.filename });
        }
        for document in self.catalog.unfinished().await? {
            found.push(Finding::Unfinished { what: document.filename });
        }
        self.look_at_files(&mut found).await?;
        self.look_at_index(&mut found).await?;
        Ok(found)
    }

    async fn look_at_files(&self, found: &mut Vec<Finding>) -> Result<(), PipelineError> {
        for shard in 0..=u8::MAX {
            for sha256 in self.files.originals(shard).await? {
                if self.catalog.file_references(&sha256).await? == 0 {
                    found.push(Finding::StrayFile { sha256 });
                }
            }
        }
        for text in self.files.documents().await? {
            let (document, generation) = of_text(&text);
            let needed = match self.catalog.document(document).await {
                Ok(record) if record.state == DocumentState::Live || record.state.is_processing() => {
                    record.text_generation == generation || self.catalog.reindexed_text(document).await? == Some(generation)
                }
                Ok(record) => record.state == DocumentState::Deleting,
                Err(CatalogError::NotFound { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            if !needed {
                found.push(Finding::StrayText { text });
            }
        }
        let open = self.catalog.open_uploads().await?;
        let open: BTreeSet<String> = open
            .into_iter()
            .filter(|upload| upload.status == UploadStatus::Receiving)
            .map(|upload| upload.id)
            .collect();
        for staged in self.files.staged().await? {
            if !open.contains(&staged.upload_id) {
                found.push(Finding::StrayUpload { upload: staged.upload_id });
            }
        }
        for collection in self.catalog.collections().await? {
            for (id, _) in self.catalog.live_chunk_counts(&collection.id).await? {
                let record = self.catalog.document(&id).await?;
                let original = self.files.size(&record.sha256).await? == Some(record.file_size);
                let text = match self.files.read_document(&text_id(&id, record.text_generation)).await {
                    Ok(text) => text.text.len() as u64 == record.text_bytes,
                    Err(FileError::NotFound { .. } | FileError::Damaged(_)) => false,
                    Err(error) => return Err(error.into()),
                };
                if !text {
                    found.push(Finding::MissingText {
                        document: id,
                        filename: record.filename,
                        original,
                    });
                } else if !original {
                    found.push(Finding::MissingFile {
                        document: id,
                        filename: record.filename,
                    });
                }
            }
        }
        Ok(())
    }

    async fn look_at_index(&self, found: &mut Vec<Finding>) -> Result<(), PipelineError> {
        let collections = self.catalog.collections().await?;
        let mut known = BTreeSet::new();
        for collection in &collections {
            known.insert(CollectionKey::of_generation(&collection.id, collection.generation)?);
        }
        for reindex in self.catalog.running_reindexes().await? {
            known.insert(CollectionKey::of_generation(&reindex.collection_id, reindex.generation)?);
        }
        for stray in self.index.collections().await? {
            if !known.contains(&stray) {
                found.push(Finding::StrayIndex { collection: stray });
            }
        }
        for collection in collections {
            // What is kept in a Qdrant server is compared when the server starts and reaches it.
            if collection.place != IndexBackend::Embedded {
                continue;
            }
            let key = CollectionKey::of_generation(&collection.id, collection.generation)?;
            let indexed = match self.index.documents(&key).await {
                Ok(indexed) => indexed,
                Err(IndexError::CollectionNotFound { .. }) => BTreeMap::new(),
                Err(IndexError::Corrupt { .. }) => {
                    found.push(Finding::DamagedIndex {
                        collection: key,
                        name: collection.name,
                    });
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let live: BTreeMap<String, u32> = self.catalog.live_chunk_counts(&collection.id).await?.into_iter().collect();
            let hidden = self.catalog.hidden_documents(&collection.id).await?;
            for document in indexed.keys().filter(|id| !live.contains_key(*id) && !hidden.contains(id)) {
                found.push(Finding::StrayVectors {
                    collection: key.clone(),
                    document: document.clone(),
                });
            }
            for (document, chunks) in live {
                let (here, wanted) = (indexed.get(&document).copied().unwrap_or(0), u64::from(chunks));
                if here != wanted {
                    found.push(Finding::MissingVectors {
                        collection: key.clone(),
                        document,
                        found: here,
                        wanted,
                    });
                }
            }
        }
        Ok(())
    }

    /// Mends a finding; `false` if it cannot be mended here. What has to be extracted or embedded again is, at the next start.
    pub async fn repair(&self, finding: &Finding) -> Result<bool, PipelineError> {
        match finding {
            Finding::StrayFile { sha256 } => {
                let hold = self.files.hold(sha256).await?;
                if self.catalog.file_references(sha256).await? == 0 {
                    self.files.remove(&hold).await?;
                }
            }
            Finding::StrayText { text } => {
                self.files.remove_document(text).await?;
            }
            Finding::StrayUpload { upload } => {
                self.files.discard_staged(upload).await?;
            }
            Finding::StrayIndex { collection } | Finding::DamagedIndex { collection, .. } => {
                self.index.drop_collection(collection).await?;
            }
            Finding::StrayVectors { collection, document } => {
                self.index.delete_document(collection, document).await?;
            }
            Finding::MissingVectors { collection, document, .. } => {
                self.forget_vectors(collection, document).await?;
                self.catalog.reopen(document).await?;
            }
            Finding::MissingText {
                document, original: true, ..
            } => {
                let record = self.catalog.document(document).await?;
                // Fewer chunks may be made this time: none of the old ones may stay.
                self.forget_vectors(&CollectionKey::of_generation(&record.collection_id, record.generation)?, document)
                    .await?;
                self.files.remove_document(&text_id(document, record.text_generation)).await?;
                self.catalog.extract_again(document).await?;
            }
            Finding::Unfinished { .. } | Finding::MissingFile { .. } | Finding::MissingText { .. } => return Ok(false),
        }
        Ok(true)
    }

    async fn forget_vectors(&self, collection: &CollectionKey, document: &str) -> Result<(), PipelineError> {
        match self.index.delete_document(collection, document).await {
            Ok(_) | Err(IndexError::CollectionNotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
