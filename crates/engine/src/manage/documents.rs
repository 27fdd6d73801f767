//! Lists, reads and deletes documents.

use super::document_query::{DocumentQuery, DocumentStatus, SortBy, SortOrder};
use crate::error::PipelineError;
use crate::lifecycle::Lifecycle;
use crate::peers::{Peers, Stop};
use crate::query::passages::chunk_id;
use crate::spec::shown_to;
use crate::store::Store;
use crate::store::jobs::Jobs;
use crate::store::leases::text_id;
use crate::timestamp;
use ibid_auth::Subject;
use ibid_catalog::{self as catalog, CatalogError, DocumentRecord, DocumentSort, DocumentState, NewEvent};
use ibid_files::FileError;
use ibid_index::{CollectionKey, IndexError, VectorIndex};
use ibid_protocol::{
    ApiError, ChunkInfo, ChunkList, ChunkMetadata, DeletedDocument, DocumentDeleted, DocumentDetail, DocumentList, DocumentSummary,
    ErrorCode, FileInfo, Pagination, ProcessingInfo,
};
use ibid_types::document::Span;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

/// The bytes of a document, as uploaded.
pub struct DocumentFile {
    /// Opened for reading.
    pub file: std::fs::File,
    /// Bytes.
    pub size: u64,
    /// Media type.
    pub content_type: String,
    /// As uploaded.
    pub filename: String,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// How often it is checked whether another server has finished to delete a document.
const CHECK_DELETED: Duration = Duration::from_secs(1);

/// Lists, reads and deletes documents.
pub(crate) struct Documents {
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub jobs: Arc<Jobs>,
    pub lifecycle: Lifecycle,
}

impl Documents {
    /// A page of the documents that the subject sees.
    pub async fn documents(&self, list: DocumentQuery, subject: &Subject) -> Result<DocumentList, ApiError> {
        let limit = list.limit.unwrap_or(50);
        if !(1..=1_000).contains(&limit) {
            return Err(ApiError::validation("limit", format!("must be 1 to 1000, not {limit}")));
        }
        let states = match list.status {
            None => Vec::new(),
            Some(DocumentStatus::Processing) => DocumentState::ALL.iter().copied().filter(|state| state.is_processing()).collect(),
            Some(DocumentStatus::Ready) => vec![DocumentState::Live],
            Some(DocumentStatus::Failed) => vec![DocumentState::Failed],
            Some(DocumentStatus::Deleting) => vec![DocumentState::Deleting],
        };
        let sort_by = match list.sort_by {
            SortBy::UploadDate => DocumentSort::UploadDate,
            SortBy::Filename => DocumentSort::Filename,
            SortBy::Size => DocumentSort::Size,
        };
        let descending = list.sort_order == SortOrder::Desc;
        let page = async {
            let collection_ids = match &list.collection_name {
                Some(name) if !subject.sees(name) => return Err(catalog::CatalogError::CollectionNotFound(name.clone())),
                Some(name) => Some(vec![self.store.catalog.collection(name).await?.id]),
                None if subject.sees_all() => None,
                None => {
                    let all = self.store.catalog.collections().await?.into_iter();
                    let seen = all.filter(|collection| subject.sees(&collection.name));
                    Some(seen.map(|collection| collection.id).collect())
                }
            };
            let query = catalog::DocumentQuery {
                collection_ids,
                states,
                sort_by,
                descending,
                limit,
                offset: u64::from(list.offset),
            };
            self.store.catalog.list_documents(&query).await
        };
        let page = page.await.map_err(|error| PipelineError::from(error).to_api_error(""))?;
        Ok(DocumentList {
            documents: page.items.iter().map(summary).collect(),
            pagination: pagination(page.total, u64::from(limit), u64::from(list.offset)),
        })
    }

    /// All that is known of a document.
    pub async fn document(&self, id: &str, subject: &Subject) -> Result<DocumentDetail, ApiError> {
        let record = self.visible(id, subject).await?;
        let DocumentSummary { status, .. } = summary(&record);
        Ok(DocumentDetail {
            metadata: {
                let mut metadata = all_metadata(&record);
                if record.pages > 0 {
                    metadata.entry("pages".to_owned()).or_insert_with(|| record.pages.to_string());
                }
                metadata
            },
            statistics: BTreeMap::from([
                ("pages".to_owned(), u64::from(record.pages)),
                ("chunks".to_owned(), u64::from(record.chunks_total)),
                ("characters".to_owned(), record.text_chars),
                ("bytes_of_text".to_owned(), record.text_bytes),
            ]),
            processing_info: ProcessingInfo {
                state: record.state.as_str().to_owned(),
                upload_date: timestamp::text(record.created_at),
                updated_at: timestamp::text(record.updated_at),
                processing_time: record.processing_seconds,
                error: record
                    .error
                    .as_ref()
                    .map(|error| json!({ "code": error.code, "message": error.message })),
                pipeline: Some(record.lock).filter(|lock| !lock.is_null()).map(|lock| shown_to(subject, lock)),
            },
            file_info: FileInfo {
                size: record.file_size,
                content_type: record.content_type,
                sha256: record.sha256,
            },
            status,
            document_id: record.id,
            filename: record.filename,
            collection_name: record.collection,
        })
    }

    /// A page of a document's chunks: `limit` 1 to 1,000.
    pub async fn document_chunks(
        &self,
        id: &str,
        limit: u32,
        offset: u32,
        include_embeddings: bool,
        subject: &Subject,
    ) -> Result<ChunkList, ApiError> {
        if !(1..=1_000).contains(&limit) {
            return Err(ApiError::validation("limit", format!("must be 1 to 1000, not {limit}")));
        }
        let (record, chunks) = loop {
            let record = self.visible(id, subject).await?;
            let found = self.read_chunk_page(&record, limit, offset, include_embeddings).await;
            if !self.was_reindexed(&record).await {
                break (record, found.map_err(|error| error.to_api_error(""))?);
            }
        };
        let pagination = pagination(u64::from(record.chunks_total), u64::from(limit), u64::from(offset));
        Ok(ChunkList {
            document_id: record.id,
            chunks,
            pagination,
        })
    }

    /// Reads a page of a document's chunks, of the generation of `record`.
    async fn read_chunk_page(
        &self,
        record: &DocumentRecord,
        limit: u32,
        offset: u32,
        embeddings: bool,
    ) -> Result<Vec<ChunkInfo>, PipelineError> {
        let id = record.id.as_str();
        let chunks = self.store.catalog.chunks(id, record.generation, offset, limit).await?;
        let spans: Vec<Span> = chunks.iter().map(|chunk| chunk.at).collect();
        // A document that is not extracted yet, or failed, has neither chunks nor text.
        let texts = if spans.is_empty() {
            Vec::new()
        } else {
            self.store.files.read_spans(&text_id(id, record.text_generation), &spans).await?
        };
        let mut texts = texts.into_iter();
        let mut vectors = if embeddings && !chunks.is_empty() {
            let key = CollectionKey::of_generation(&record.collection_id, record.generation)?;
            self.store
                .index
                .vectors(&key, id, offset..offset.saturating_add(chunks.len() as u32))
                .await?
        } else {
            Vec::new()
        }
        .into_iter();
        let mut found = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            found.push(ChunkInfo {
                chunk_id: chunk_id(id, chunk.index),
                chunk_index: chunk.index,
                content: texts.next().unwrap_or_default(),
                start_char: chunk.char_start,
                end_char: chunk.char_end,
                metadata: ChunkMetadata {
                    page: chunk.page,
                    section: chunk.section,
                },
                embedding: vectors.next().flatten(),
            });
        }
        Ok(found)
    }

    /// The extracted text, or the part of it from code point `start` up to, not including, `end`.
    pub async fn document_text(&self, id: &str, start: Option<u64>, end: Option<u64>, subject: &Subject) -> Result<String, ApiError> {
        loop {
            let record = self.visible(id, subject).await?;
            let text = self.read_text(&record, start, end).await;
            if !self.was_reindexed(&record).await {
                return text;
            }
        }
    }

    async fn read_text(&self, record: &DocumentRecord, start: Option<u64>, end: Option<u64>) -> Result<String, ApiError> {
        if matches!(record.state, DocumentState::Received | DocumentState::Failed) {
            let error = record.error.as_ref();
            let why = error.map_or_else(|| "it is still being extracted".to_owned(), |error| error.message.clone());
            return Err(ApiError::new(ErrorCode::Conflict, format!("the document has no text: {why}")));
        }
        let (from, to) = (start.unwrap_or(0), end.unwrap_or(record.text_chars).min(record.text_chars));
        if from > to {
            return Err(ApiError::validation(
                "start",
                format!("must be at most `end` and the text's {} characters", record.text_chars),
            ));
        }
        let id = text_id(&record.id, record.text_generation);
        let text = async {
            let span = if from == 0 && to == record.text_chars {
                Span::new(0, u32::try_from(record.text_bytes).unwrap_or(u32::MAX))
            } else {
                self.store.files.span_of_chars(&id, from..to).await?
            };
            self.store.files.read_text(&id, span).await
        };
        text.await.map_err(|error| PipelineError::from(error).to_api_error(""))
    }

    /// Returns whether a document was re-indexed since `record` was read: what was read of it may be of either generation.
    async fn was_reindexed(&self, record: &DocumentRecord) -> bool {
        let now = self.store.catalog.document(&record.id).await;
        now.is_ok_and(|now| now.generation != record.generation)
    }

    /// Opens the original file.
    pub async fn document_file(&self, id: &str, subject: &Subject) -> Result<DocumentFile, ApiError> {
        let record = self.visible(id, subject).await?;
        let file = self.store.files.open(&record.sha256).await.map_err(|error| {
            if matches!(error, FileError::NotFound { .. }) && record.state == DocumentState::Failed {
                ApiError::new(
                    ErrorCode::ResourceNotFound,
                    "the document could not be processed, so its file was not kept",
                )
            } else {
                PipelineError::from(error).to_api_error("")
            }
        })?;
        Ok(DocumentFile {
            file,
            size: record.file_size,
            content_type: record.content_type,
            filename: record.filename,
            sha256: record.sha256,
        })
    }

    /// Deletes a document with its chunks, vectors and files, and returns how many there were.
    pub async fn delete_document(self: &Arc<Self>, id: &str, subject: &Subject) -> Result<DeletedDocument, ApiError> {
        let record = self.visible(id, subject).await?;
        // The response must not reveal that a collection which the subject does not see has the same bytes.
        let own_file = match subject.sees_all() {
            true => None,
            false => Some(u64::from(self.store.files.open(&record.sha256).await.is_ok())),
        };
        // Goes on if the caller goes away: half a deletion would only be finished at the next start.
        let (documents, id) = (self.clone(), id.to_owned());
        let deletion = self.lifecycle.tasks.spawn(async move {
            let record = documents.store.catalog.begin_delete(&id).await?;
            documents.jobs.ingesting.stop(&id).await;
            documents.finish_deleting(record).await
        });
        deletion
            .await
            .map_err(PipelineError::from)
            .and_then(|receipt| receipt)
            .map(|receipt| DeletedDocument {
                files_deleted: own_file.unwrap_or(receipt.files_deleted),
                ..receipt
            })
            .map_err(|error| error.to_api_error(""))
    }

    /// Removes a document that is being deleted: vectors, text and file first, the catalog's rows
    /// last, so that a crash in between leaves it known as `deleting`.
    pub(crate) async fn finish_deleting(&self, record: DocumentRecord) -> Result<DeletedDocument, PipelineError> {
        self.store.visibility.hide(&record.collection_id, &record.id);
        self.jobs.reprocessing.stop(&record.id).await;
        self.peers.stop(Stop::Document(record.id.clone())).await?;
        let vectors_deleted = self.store.remove_vectors(&record).await?;
        let files_deleted = self.store.remove_files(&record).await?;
        let deleted = DocumentDeleted {
            document_id: record.id.clone(),
            filename: record.filename.clone(),
            chunks_removed: u64::from(record.chunks_total),
            timestamp: timestamp::now(),
        };
        let event = NewEvent::new("document_deleted", serde_json::to_value(&deleted).unwrap_or(Value::Null));
        let receipt = self.store.catalog.finish_delete(&record.id, Some(event)).await?;
        self.store.visibility.show(&record.collection_id, &record.id);
        self.store.statistics_changed(&record.collection_id);
        let chunks_deleted = match receipt {
            Some((receipt, event)) => {
                if let Some(event) = event {
                    self.store.publish(event);
                }
                receipt.chunks
            }
            None => 0,
        };
        Ok(DeletedDocument {
            document_id: record.id,
            filename: record.filename,
            status: "deleted".to_owned(),
            chunks_deleted,
            vectors_deleted,
            files_deleted,
        })
    }

    /// Returns whether another server works on a document, or has it live.
    pub(crate) async fn goes_on_elsewhere(&self, document_id: &str) -> bool {
        let state = match self.peers.is_shared() {
            true => self.store.catalog.document(document_id).await.map(|document| document.state),
            false => return false,
        };
        state.is_ok_and(|state| state.is_processing() || state == DocumentState::Live)
    }

    /// Returns whether another server deletes a document, or has deleted it, and if so removes in the background what was written of it in a
    /// generation. The other server waits for the work here to stop, but not for a server that it takes for dead, which may only have been
    /// suspended or cut off.
    pub(crate) async fn end_if_deleted(self: &Arc<Self>, document: &DocumentRecord, generation: u32, text_generation: u32) -> bool {
        if !self.peers.is_shared() {
            return false;
        }
        match self.store.catalog.document(&document.id).await {
            Ok(now) if now.state == DocumentState::Deleting => {}
            Err(CatalogError::NotFound { .. }) => {}
            _ => return false,
        }
        let writes = self.jobs.ingesting.writes(&document.id);
        let (documents, document) = (self.clone(), document.clone());
        self.lifecycle.tasks.spawn(
            async move {
                // Writes that were begun end by themselves, also if the work was stopped.
                writes.close();
                writes.wait().await;
                let removed = tokio::select! {
                    // The next start compares the index and the files with the catalog.
                    () = documents.lifecycle.stopping.cancelled() => return,
                    removed = documents.remove_late_writes(&document, generation, text_generation) => removed,
                };
                if let Err(error) = removed {
                    tracing::error!(document = document.id, %error, "what was written of a document that is deleted was not removed");
                }
            }
            .in_current_span(),
        );
        true
    }

    async fn remove_late_writes(&self, document: &DocumentRecord, generation: u32, text_generation: u32) -> Result<(), PipelineError> {
        // The other server counts the vectors that it removes: they stay until it has.
        loop {
            match self.store.catalog.document(&document.id).await {
                Ok(now) if now.state == DocumentState::Deleting => self.lifecycle.clock.sleep(CHECK_DELETED).await,
                Err(CatalogError::NotFound { .. }) => break,
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        let key = CollectionKey::of_generation(&document.collection_id, generation)?;
        let vectors = match self.store.index.delete_document(&key, &document.id).await {
            Err(IndexError::CollectionNotFound { .. }) => 0,
            removed => removed?,
        };
        self.store.files.remove_document(&text_id(&document.id, text_generation)).await?;
        tracing::info!(
            document = document.id,
            vectors,
            "nothing is left here of a document that another server has deleted"
        );
        Ok(())
    }

    /// Returns a document that the subject sees and that is not being deleted.
    pub(crate) async fn visible(&self, id: &str, subject: &Subject) -> Result<DocumentRecord, ApiError> {
        match self.store.catalog.document(id).await {
            Ok(record) if record.state == DocumentState::Deleting || !subject.sees(&record.collection) => Err(no_document(id)),
            Ok(record) => Ok(record),
            Err(catalog::CatalogError::NotFound { .. }) => Err(no_document(id)),
            Err(error) => Err(PipelineError::from(error).to_api_error("")),
        }
    }
}

/// The error of a document that does not exist, or that the subject does not see.
fn no_document(id: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ResourceNotFound,
        format!("there is no document `{id}`: GET /documents lists them"),
    )
}

/// Returns the metadata of the file and of the client. Where both have a key, the client's counts.
pub fn all_metadata(record: &DocumentRecord) -> BTreeMap<String, String> {
    let mut metadata = record.metadata.clone();
    for (key, value) in &record.user_metadata {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        metadata.insert(key.clone(), value);
    }
    metadata
}

fn summary(record: &DocumentRecord) -> DocumentSummary {
    let status = match record.state {
        DocumentState::Live => "ready",
        DocumentState::Failed => "failed",
        DocumentState::Deleting => "deleting",
        _ => "processing",
    };
    DocumentSummary {
        document_id: record.id.clone(),
        filename: record.filename.clone(),
        collection_name: record.collection.clone(),
        status: status.to_owned(),
        content_type: record.content_type.clone(),
        file_size: record.file_size,
        upload_date: timestamp::text(record.created_at),
        pages: (record.pages > 0).then_some(record.pages),
        chunks: u64::from(record.chunks_total),
    }
}

fn pagination(total: u64, limit: u64, offset: u64) -> Pagination {
    Pagination {
        total,
        limit,
        offset,
        has_next: offset.saturating_add(limit) < total,
        has_previous: offset > 0 && total > 0,
    }
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
