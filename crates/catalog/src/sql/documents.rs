//! Documents: creation, reading, listing, and the moves from `received` to `live` or `failed`.

use super::database::{Query, query};
use super::rows::{self, count, now, to_db};
use super::{Catalog, chunks, events, generations, uploads};
use crate::{
    CatalogError, Chunk, Creation, DocumentQuery, DocumentRecord, DocumentSort, DocumentState, Event, Extracted, Listing, NewDocument,
    NewEvent, Result, validate,
};

/// A query for whole documents, with its end.
macro_rules! select_document {
    ($tail:literal) => {
        concat!(
            "SELECT d.*, c.name AS collection FROM documents d JOIN collections c ON c.id = d.collection_id ",
            $tail
        )
    };
}
pub(super) use select_document;

impl Catalog {
    /// Creates a document in state `received`, of the collection's generation, unless the collection already has the same bytes in a
    /// document that is neither failed nor being deleted. Of two at the same moment one is created. A collection that is not live:
    /// `COLLECTION_NOT_FOUND`; an upload that is no longer receiving (it was cancelled): `CONFLICT`.
    ///
    /// Hold the file (`ibid_files::FileHold`) across its commit and this call.
    pub async fn create_document(&self, new: NewDocument) -> Result<Creation> {
        validate::filename(&new.filename)?;
        validate::sha256(&new.sha256)?;
        let id = format!("doc_{}", uuid::Uuid::now_v7().simple());
        let now = now()?;
        let mut tx = self.write().await?;
        let live = query("SELECT revision FROM collections WHERE id = ? AND state = 'live'")
            .bind(&new.collection_id)
            .fetch_optional(&mut tx)
            .await?;
        let Some(live) = live else {
            return Err(CatalogError::CollectionNotFound(new.collection_id));
        };
        if count::<u64>(&live, "revision")? != new.revision {
            return Err(CatalogError::Outdated);
        }
        // The unique index over (collection, bytes) decides, so that this is right however many write.
        let inserted = query(
            "INSERT INTO documents (id, collection_id, filename, content_type, file_size, sha256, state,
                                    user_metadata, pipeline_lock, created_at, updated_at, generation)
             VALUES (?, ?, ?, ?, ?, ?, 'received', ?, ?, ?, ?, (SELECT generation FROM collections WHERE id = ?))
             ON CONFLICT (collection_id, sha256) WHERE state NOT IN ('failed', 'deleting') DO NOTHING",
        )
        .bind(&id)
        .bind(&new.collection_id)
        .bind(&new.filename)
        .bind(&new.content_type)
        .bind(to_db(new.file_size)?)
        .bind(&new.sha256)
        .bind(rows::json(&new.user_metadata)?)
        .bind(rows::json(&new.lock)?)
        .bind(&now)
        .bind(&now)
        .bind(&new.collection_id)
        .execute(&mut tx)
        .await?;
        if inserted == 0 {
            let row = query(select_document!(
                "WHERE d.collection_id = ? AND d.sha256 = ? AND d.state NOT IN ('failed', 'deleting')"
            ))
            .bind(&new.collection_id)
            .bind(&new.sha256)
            .fetch_one(&mut tx)
            .await?;
            return Ok(Creation::Duplicate(Box::new(rows::document(&row)?)));
        }
        if let Some(upload_id) = &new.upload_id {
            uploads::attach(&mut tx, upload_id, &id, &now).await?;
        }
        let row = query(select_document!("WHERE d.id = ?")).bind(&id).fetch_one(&mut tx).await?;
        let document = rows::document(&row)?;
        tx.commit().await?;
        Ok(Creation::Created(Box::new(document)))
    }

    /// Returns a document in any state, else `RESOURCE_NOT_FOUND`.
    pub async fn document(&self, id: &str) -> Result<DocumentRecord> {
        let row = query(select_document!("WHERE d.id = ?"))
            .bind(id)
            .fetch_optional(&self.reader)
            .await?;
        rows::document(&row.ok_or_else(|| CatalogError::no_document(id))?)
    }

    /// Returns the documents of the given identifiers that are live, in no order; others are left out.
    pub async fn live_documents(&self, ids: &[String]) -> Result<Vec<DocumentRecord>> {
        let found = query(select_document!(
            "WHERE d.id IN (SELECT value FROM json_each(?)) AND d.state = 'live'"
        ))
        .bind(rows::json(ids)?)
        .fetch_all(&self.reader)
        .await?;
        found.iter().map(rows::document).collect()
    }

    /// Returns a page of documents and their number. `limit` out of 1..=1000: `VALIDATION_ERROR`.
    pub async fn list_documents(&self, wanted: &DocumentQuery) -> Result<Listing<DocumentRecord>> {
        validate::limit(wanted.limit, 1000)?;
        // One read transaction, so that page and total are of the same moment.
        let mut tx = self.read().await?;
        let mut builder = query("SELECT COUNT(*) AS total FROM documents d");
        listed(&mut builder, wanted)?;
        let total = count(&builder.fetch_one(&mut tx).await?, "total")?;

        let mut builder = query(select_document!(""));
        listed(&mut builder, wanted)?;
        let order = if wanted.descending { "DESC" } else { "ASC" };
        let keys: &[&str] = match wanted.sort_by {
            DocumentSort::UploadDate => &["d.created_at"],
            DocumentSort::Filename => &["lower(d.filename)", "d.filename"],
            DocumentSort::Size => &["d.file_size"],
        };
        builder.push(" ORDER BY ");
        for key in keys {
            builder.push(key).push(" ").push(order).push(", ");
        }
        builder.push("d.id ").push(order).push(" LIMIT ").push_bind(wanted.limit);
        builder.push(" OFFSET ").push_bind(i64::try_from(wanted.offset).unwrap_or(i64::MAX));
        let found = builder.fetch_all(&mut tx).await?;
        tx.commit().await?;
        Ok(Listing {
            items: found.iter().map(rows::document).collect::<Result<_>>()?,
            total,
        })
    }

    /// Counts an attempt to process a document and returns how many that makes; `None` if there is nothing to process (live, failed,
    /// deleting or gone). With it a document that kills the server can be given up after some.
    pub async fn begin_attempt(&self, id: &str) -> Result<Option<u32>> {
        let row = query(
            "UPDATE documents SET attempts = attempts + 1
             WHERE id = ? AND state NOT IN ('live', 'failed', 'deleting') RETURNING attempts",
        )
        .bind(id)
        .fetch_optional(&self.writer)
        .await?;
        row.map(|row| count(&row, "attempts")).transpose()
    }

    /// Moves a document that is still of that generation from `received` to `extracted`.
    pub async fn set_extracted(&self, id: &str, found: &Extracted) -> Result<bool> {
        let moved = query(
            "UPDATE documents SET state = 'extracted', metadata = ?, pages = ?, text_bytes = ?, text_chars = ?,
                                  pipeline_lock = ?, updated_at = ? WHERE id = ? AND state = 'received' AND generation = ?",
        )
        .bind(rows::json(&found.metadata)?)
        .bind(i64::from(found.pages))
        .bind(to_db(found.text_bytes)?)
        .bind(to_db(found.text_chars)?)
        .bind(rows::json(&found.lock)?)
        .bind(now()?)
        .bind(id)
        .bind(i64::from(found.generation))
        .execute(&self.writer)
        .await?;
        Ok(moved > 0)
    }

    /// Adds an entry to a document's metadata, or replaces the one of that key. `false` if there is no such document.
    pub async fn annotate(&self, id: &str, key: &str, value: &str) -> Result<bool> {
        let mut tx = self.write().await?;
        let row = query(select_document!("WHERE d.id = ?")).bind(id).fetch_optional(&mut tx).await?;
        let Some(row) = row else { return Ok(false) };
        let mut metadata = rows::document(&row)?.metadata;
        metadata.insert(key.to_owned(), value.to_owned());
        query("UPDATE documents SET metadata = ?, updated_at = ? WHERE id = ?")
            .bind(rows::json(&metadata)?)
            .bind(now()?)
            .bind(id)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Moves a document from `extracted` to `chunked`, with the chunks: numbered 0, 1, ... in order, else `VALIDATION_ERROR`.
    pub async fn set_chunked(&self, id: &str, made: &[Chunk]) -> Result<bool> {
        validate::chunks(made)?;
        let total = u32::try_from(made.len()).map_err(|_| CatalogError::Validation {
            field: "chunks",
            issue: "are too many".to_owned(),
        })?;
        let mut tx = self.write().await?;
        let moved = query(
            "UPDATE documents SET state = 'chunked', chunks_total = ?, chunks_indexed = 0, updated_at = ?
             WHERE id = ? AND state = 'extracted' RETURNING generation, text_generation",
        )
        .bind(i64::from(total))
        .bind(now()?)
        .bind(id)
        .fetch_optional(&mut tx)
        .await?;
        let Some(row) = moved else { return Ok(false) };
        let generations = (count(&row, "generation")?, count(&row, "text_generation")?);
        chunks::insert(&mut tx, id, generations, made).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Records that the index durably holds the first `chunks_indexed` chunks of a document that is `chunked` or `embedded`. Never goes
    /// back; more than there are: `CONFLICT`.
    pub async fn set_progress(&self, id: &str, chunks_indexed: u32) -> Result<bool> {
        let mut tx = self.write().await?;
        let row = query("SELECT chunks_total, chunks_indexed FROM documents WHERE id = ? AND state IN ('chunked', 'embedded')")
            .bind(id)
            .fetch_optional(&mut tx)
            .await?;
        let Some(row) = row else { return Ok(false) };
        let total: u32 = count(&row, "chunks_total")?;
        if chunks_indexed > total {
            return Err(CatalogError::Conflict(format!(
                "{chunks_indexed} of {total} chunks cannot be indexed"
            )));
        }
        if chunks_indexed > count::<u32>(&row, "chunks_indexed")? {
            query("UPDATE documents SET chunks_indexed = ?, updated_at = ? WHERE id = ?")
                .bind(i64::from(chunks_indexed))
                .bind(now()?)
                .bind(id)
                .execute(&mut tx)
                .await?;
            tx.commit().await?;
        }
        Ok(true)
    }

    /// Moves a document from `chunked` to `embedded`: every chunk has its vectors.
    pub async fn set_embedded(&self, id: &str) -> Result<bool> {
        let moved = query("UPDATE documents SET state = 'embedded', updated_at = ? WHERE id = ? AND state = 'chunked'")
            .bind(now()?)
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(moved > 0)
    }

    /// Moves a document from `embedded` to `indexed`. `CONFLICT` while the progress is short of all chunks.
    pub async fn set_indexed(&self, id: &str) -> Result<bool> {
        let mut tx = self.write().await?;
        let row = query(
            "UPDATE documents SET state = 'indexed', updated_at = ? WHERE id = ? AND state = 'embedded'
             RETURNING chunks_total, chunks_indexed",
        )
        .bind(now()?)
        .bind(id)
        .fetch_optional(&mut tx)
        .await?;
        let Some(row) = row else { return Ok(false) };
        let (total, indexed) = (count::<u32>(&row, "chunks_total")?, count::<u32>(&row, "chunks_indexed")?);
        if indexed < total {
            return Err(CatalogError::Conflict(format!("only {indexed} of {total} chunks are indexed")));
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Moves a document from `indexed` to `live`, and records `event`; `None` if it did not happen.
    pub async fn set_live(&self, id: &str, processing_seconds: f64, event: NewEvent) -> Result<Option<Event>> {
        let now = now()?;
        let mut tx = self.write().await?;
        let row = query(
            "UPDATE documents SET state = 'live', updated_at = ?, processed_at = ?, processing_seconds = ?
             WHERE id = ? AND state = 'indexed' RETURNING collection_id",
        )
        .bind(&now)
        .bind(&now)
        .bind(processing_seconds)
        .bind(id)
        .fetch_optional(&mut tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let event = events::append(self, &mut tx, row.try_get("collection_id")?, Some(id), event).await?;
        tx.commit().await?;
        Ok(Some(event))
    }

    /// Moves a document from `live` back to `chunked`, with nothing indexed: its vectors were lost and have to be made again.
    pub async fn reopen(&self, id: &str) -> Result<bool> {
        let mut tx = self.write().await?;
        let moved = query(
            "UPDATE documents SET state = 'chunked', chunks_indexed = 0, attempts = 0, updated_at = ? WHERE id = ? AND state = 'live'",
        )
        .bind(now()?)
        .bind(id)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(moved > 0)
    }

    /// Moves a document from `live` back to `received`, without chunks: its text was lost and has to be made again of its original.
    pub async fn extract_again(&self, id: &str) -> Result<bool> {
        let mut tx = self.write().await?;
        let moved = query(
            "UPDATE documents SET state = 'received', chunks_total = 0, chunks_indexed = 0, attempts = 0, updated_at = ?
             WHERE id = ? AND state = 'live'",
        )
        .bind(now()?)
        .bind(id)
        .execute(&mut tx)
        .await?;
        if moved == 0 {
            return Ok(false);
        }
        chunks::delete(&mut tx, id).await?;
        generations::forget_document(&mut tx, id).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Gives up a document that is being processed; its chunks go. `code` and `message` are for the client.
    pub async fn fail(&self, id: &str, code: &str, message: &str) -> Result<bool> {
        let mut tx = self.write().await?;
        let moved = query(
            "UPDATE documents SET error_stage = state, state = 'failed', error_code = ?, error_message = ?, updated_at = ?
             WHERE id = ? AND state NOT IN ('live', 'failed', 'deleting')",
        )
        .bind(code)
        .bind(message)
        .bind(now()?)
        .bind(id)
        .execute(&mut tx)
        .await?;
        if moved == 0 {
            return Ok(false);
        }
        chunks::delete(&mut tx, id).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Returns the documents to take up again at start, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<DocumentRecord>> {
        let states = DocumentState::ALL.iter().copied().filter(|state| state.is_processing());
        self.documents_in_states(states, None).await
    }

    /// Returns the documents in some states, of one collection or of all, oldest first.
    pub(super) async fn documents_in_states(
        &self,
        states: impl Iterator<Item = DocumentState>,
        collection_id: Option<&str>,
    ) -> Result<Vec<DocumentRecord>> {
        let states: Vec<&str> = states.map(DocumentState::as_str).collect();
        let found = query(select_document!(
            "WHERE d.state NOT IN ('live', 'failed') AND d.state IN (SELECT value FROM json_each(?))
               AND d.collection_id = COALESCE(?, d.collection_id) ORDER BY d.created_at, d.id"
        ))
        .bind(rows::json(&states)?)
        .bind(collection_id)
        .fetch_all(&self.reader)
        .await?;
        found.iter().map(rows::document).collect()
    }

    /// Returns the identifiers of all documents of a collection that are not live: what a search has to hide.
    pub async fn hidden_documents(&self, collection_id: &str) -> Result<Vec<String>> {
        let found = query("SELECT id FROM documents WHERE collection_id = ? AND state <> 'live'")
            .bind(collection_id)
            .fetch_all(&self.reader)
            .await?;
        found.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }

    /// Returns the live documents of a collection with their number of chunks: what the index has to hold.
    pub async fn live_chunk_counts(&self, collection_id: &str) -> Result<Vec<(String, u32)>> {
        let found = query("SELECT id, chunks_total FROM documents WHERE collection_id = ? AND state = 'live'")
            .bind(collection_id)
            .fetch_all(&self.reader)
            .await?;
        found
            .iter()
            .map(|row| Ok((row.try_get("id")?, count(row, "chunks_total")?)))
            .collect()
    }

    /// Returns how many documents need the bytes of a file, over all collections: those that are neither failed nor being deleted. Hold
    /// the file while acting on the answer.
    pub async fn file_references(&self, sha256: &str) -> Result<u64> {
        let row = query("SELECT COUNT(*) AS n FROM documents WHERE sha256 = ? AND state NOT IN ('failed', 'deleting')")
            .bind(sha256)
            .fetch_one(&self.reader)
            .await?;
        count(&row, "n")
    }
}

/// The condition of a listing, for documents `d`.
fn listed(builder: &mut Query, wanted: &DocumentQuery) -> Result<()> {
    if wanted.states.is_empty() {
        builder.push(" WHERE d.state <> 'deleting'");
    } else {
        let states: Vec<&str> = wanted.states.iter().map(|state| state.as_str()).collect();
        builder
            .push(" WHERE d.state IN (SELECT value FROM json_each(")
            .push_bind(rows::json(&states)?)
            .push("))");
    }
    if let Some(ids) = &wanted.collection_ids {
        builder
            .push(" AND d.collection_id IN (SELECT value FROM json_each(")
            .push_bind(rows::json(ids)?)
            .push("))");
    }
    Ok(())
}
