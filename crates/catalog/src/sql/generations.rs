//! Generations: the re-index of a collection, what it has made, and the swap.

use super::database::{Tx, query};
use super::documents::select_document;
use super::rows::{self, count, now, to_db};
use super::{Catalog, chunks, events};
use crate::{
    CatalogError, Chunk, DocumentRecord, Event, NewEvent, NewReindex, Reindex, ReindexCounts, ReindexStatus, ReindexedDocument,
    ReindexedState, Result, Swap, validate,
};

/// Rows of chunks that are removed in one transaction: others must be able to write between them.
const SWEEP: i64 = 2_000;

impl Catalog {
    /// Begins to re-index a live collection (else `COLLECTION_NOT_FOUND`) into a generation that was never used, and records `event`;
    /// `CONFLICT` while it is re-indexed already.
    pub async fn begin_reindex(&self, collection_id: &str, new: &NewReindex, event: NewEvent) -> Result<(Reindex, Event)> {
        let mut tx = self.write().await?;
        let now = now()?;
        // A number is never used again: what is left of an earlier attempt cannot be taken for this one's.
        let row = query(
            "INSERT INTO reindexes (collection_id, generation, status, redo, at_least, pipeline, pipeline_lock, started_at, updated_at)
             SELECT c.id, 1 + COALESCE((SELECT MAX(x.generation) FROM reindexes x WHERE x.collection_id = c.id AND x.generation > c.generation), c.generation),
                    'running', ?, ?, ?, ?, ?, ?
             FROM collections c WHERE c.id = ? AND c.state = 'live'
             ON CONFLICT (collection_id) DO UPDATE
             SET generation = excluded.generation, status = excluded.status, redo = excluded.redo, at_least = excluded.at_least,
                 pipeline = excluded.pipeline, pipeline_lock = excluded.pipeline_lock, error_code = NULL, error_message = NULL,
                 documents_total = 0, documents_done = 0, chunks_done = 0, chunks_reused = 0,
                 started_at = excluded.started_at, updated_at = excluded.updated_at
             WHERE reindexes.status <> 'running'
             RETURNING *",
        )
        .bind(&new.scope)
        .bind(&new.at_least)
        .bind(rows::json(&new.pipeline)?)
        .bind(rows::json(&new.lock)?)
        .bind(&now)
        .bind(&now)
        .bind(collection_id)
        .fetch_optional(&mut tx)
        .await?;
        let Some(row) = row else {
            let live = query("SELECT 1 FROM collections WHERE id = ? AND state = 'live'")
                .bind(collection_id)
                .fetch_optional(&mut tx)
                .await?;
            return Err(match live {
                Some(_) => CatalogError::Conflict("the collection is being re-indexed".to_owned()),
                None => CatalogError::CollectionNotFound(collection_id.to_owned()),
            });
        };
        let reindex = rows::reindex(&row)?;
        let event = events::append(self, &mut tx, collection_id, None, event).await?;
        tx.commit().await?;
        Ok((reindex, event))
    }

    /// Returns the running or last re-index of a collection.
    pub async fn reindex(&self, collection_id: &str) -> Result<Option<Reindex>> {
        // One read transaction, so that a re-index and its counts are of the same moment.
        let mut tx = self.read().await?;
        let row = query("SELECT * FROM reindexes WHERE collection_id = ?")
            .bind(collection_id)
            .fetch_optional(&mut tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut reindex = rows::reindex(&row)?;
        if reindex.status == ReindexStatus::Running {
            reindex.counts = counted(&mut tx, collection_id).await?;
        }
        tx.commit().await?;
        Ok(Some(reindex))
    }

    /// Returns the re-indexes that run, oldest first: to go on with at start. Without their counts.
    pub async fn running_reindexes(&self) -> Result<Vec<Reindex>> {
        let found = query("SELECT * FROM reindexes WHERE status = 'running' ORDER BY started_at, collection_id")
            .fetch_all(&self.reader)
            .await?;
        found.iter().map(rows::reindex).collect()
    }

    /// Replaces the lock of a running re-index by another one of the same pipeline; `false` if it does not run.
    pub async fn set_reindex_lock(&self, collection_id: &str, generation: u32, lock: &serde_json::Value) -> Result<bool> {
        let moved = query("UPDATE reindexes SET pipeline_lock = ? WHERE collection_id = ? AND generation = ? AND status = 'running'")
            .bind(rows::json(lock)?)
            .bind(collection_id)
            .bind(i64::from(generation))
            .execute(&self.writer)
            .await?;
        Ok(moved > 0)
    }

    /// Returns the first live document after the identifier `after` that is not ready in a generation.
    pub async fn next_to_reprocess(&self, collection_id: &str, generation: u32, after: Option<&str>) -> Result<Option<DocumentRecord>> {
        let row = query(select_document!(
            "WHERE d.id > ? AND d.collection_id = ? AND d.state = 'live' AND NOT EXISTS
                 (SELECT 1 FROM remade_documents r WHERE r.document_id = d.id AND r.generation = ? AND r.state = 'ready')
             ORDER BY d.id LIMIT 1"
        ))
        .bind(after.unwrap_or_default())
        .bind(collection_id)
        .bind(i64::from(generation))
        .fetch_optional(&self.reader)
        .await?;
        row.as_ref().map(rows::document).transpose()
    }

    /// Registers a live document with a running re-index, or finds its registration and state; counts the attempt. `None` if the document
    /// is not live, or the re-index does not run.
    pub async fn begin_reprocess(&self, new: &ReindexedDocument) -> Result<Option<ReindexedDocument>> {
        let mut tx = self.write().await?;
        let row = query(
            "INSERT INTO remade_documents (document_id, collection_id, generation, state, text_generation, metadata, pages, text_bytes,
                                           text_chars, chunks_total, chunks_indexed, chunks_reused, attempts, pipeline_lock)
             SELECT d.id, d.collection_id, x.generation, ?, ?, ?, ?, ?, ?, 0, 0, 0, 1, ?
             FROM documents d JOIN reindexes x ON x.collection_id = d.collection_id AND x.status = 'running' AND x.generation = ?
             WHERE d.id = ? AND d.state = 'live'
             ON CONFLICT (document_id) DO UPDATE SET attempts = remade_documents.attempts + 1
             RETURNING *",
        )
        .bind(new.state.as_str())
        .bind(i64::from(new.text_generation))
        .bind(rows::json(&new.metadata)?)
        .bind(i64::from(new.pages))
        .bind(to_db(new.text_bytes)?)
        .bind(to_db(new.text_chars)?)
        .bind(rows::json(&new.lock)?)
        .bind(i64::from(new.generation))
        .bind(&new.document_id)
        .fetch_optional(&mut tx)
        .await?;
        let document = row.as_ref().map(rows::reindexed_document).transpose()?;
        tx.commit().await?;
        Ok(document)
    }

    /// Records how far a re-index is with a document, with all of its chunks where those are given; `false` if the document is not live,
    /// or not registered.
    pub async fn save_reindexed(&self, document: &ReindexedDocument, made: Option<&[Chunk]>) -> Result<bool> {
        if let Some(made) = made {
            validate::chunks(made)?;
        }
        let mut tx = self.write().await?;
        let moved = query(
            "UPDATE remade_documents SET state = ?, text_generation = ?, metadata = ?, pages = ?, text_bytes = ?, text_chars = ?,
                                         chunks_total = ?, chunks_indexed = ?, chunks_reused = ?, pipeline_lock = ?
             WHERE document_id = ? AND generation = ? AND EXISTS
                   (SELECT 1 FROM documents d WHERE d.id = remade_documents.document_id AND d.state = 'live')",
        )
        .bind(document.state.as_str())
        .bind(i64::from(document.text_generation))
        .bind(rows::json(&document.metadata)?)
        .bind(i64::from(document.pages))
        .bind(to_db(document.text_bytes)?)
        .bind(to_db(document.text_chars)?)
        .bind(i64::from(document.chunks_total))
        .bind(i64::from(document.chunks_indexed))
        .bind(i64::from(document.chunks_reused))
        .bind(rows::json(&document.lock)?)
        .bind(&document.document_id)
        .bind(i64::from(document.generation))
        .execute(&mut tx)
        .await?;
        if moved == 0 {
            return Ok(false);
        }
        if let Some(made) = made {
            chunks::delete_generation(&mut tx, &document.document_id, document.generation).await?;
            chunks::insert(
                &mut tx,
                &document.document_id,
                (document.generation, document.text_generation),
                made,
            )
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Returns the documents that a collection's running re-index has begun, with their state and how many of their chunks the index has.
    pub async fn reindexed_counts(&self, collection_id: &str) -> Result<Vec<(String, ReindexedState, u32)>> {
        let found = query("SELECT document_id, state, chunks_indexed FROM remade_documents WHERE collection_id = ?")
            .bind(collection_id)
            .fetch_all(&self.reader)
            .await?;
        found.iter().map(rows::reindexed_count).collect()
    }

    /// Returns the generation of the text that a running re-index needs of a document.
    pub async fn reindexed_text(&self, document_id: &str) -> Result<Option<u32>> {
        let row = query("SELECT text_generation FROM remade_documents WHERE document_id = ?")
            .bind(document_id)
            .fetch_optional(&self.reader)
            .await?;
        row.map(|row| count(&row, "text_generation")).transpose()
    }

    /// Forgets what a re-index made of a document for a generation: it has to be made again.
    pub async fn forget_reindexed(&self, document_id: &str, generation: u32) -> Result<()> {
        let mut tx = self.write().await?;
        chunks::delete_generation(&mut tx, document_id, generation).await?;
        query("DELETE FROM remade_documents WHERE document_id = ? AND generation = ?")
            .bind(document_id)
            .bind(i64::from(generation))
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Lets queries see a generation: collection and live documents are of it from now on, by its pipeline and locks, and documents on
    /// their way begin anew for it. Records `new_events`. All of it, or nothing.
    pub async fn swap_generation(&self, collection_id: &str, generation: u32, new_events: Vec<NewEvent>) -> Result<Swap> {
        let mut tx = self.write().await?;
        let new = i64::from(generation);
        let row = query(
            "SELECT x.* FROM reindexes x JOIN collections c ON c.id = x.collection_id AND c.state = 'live'
             WHERE x.collection_id = ? AND x.generation = ? AND x.status = 'running'",
        )
        .bind(collection_id)
        .bind(new)
        .fetch_optional(&mut tx)
        .await?;
        let Some(row) = row else { return Ok(Swap::Ended) };
        let reindex = rows::reindex(&row)?;
        let missing = query(
            "SELECT 1 FROM documents d WHERE d.collection_id = ? AND d.state = 'live' AND NOT EXISTS
                 (SELECT 1 FROM remade_documents r WHERE r.document_id = d.id AND r.generation = ? AND r.state = 'ready') LIMIT 1",
        )
        .bind(collection_id)
        .bind(new)
        .fetch_optional(&mut tx)
        .await?;
        if missing.is_some() {
            return Ok(Swap::NotReady);
        }
        let counts = counted(&mut tx, collection_id).await?;
        let (now, lock) = (now()?, rows::json(&reindex.lock)?);
        // Documents that queries see.
        query(
            "UPDATE documents SET generation = r.generation, text_generation = r.text_generation, metadata = r.metadata, pages = r.pages,
                    text_bytes = r.text_bytes, text_chars = r.text_chars, chunks_total = r.chunks_total, chunks_indexed = r.chunks_indexed,
                    pipeline_lock = r.pipeline_lock, updated_at = ?
             FROM remade_documents r
             WHERE r.document_id = documents.id AND documents.collection_id = ? AND documents.state = 'live' AND r.generation = ?",
        )
        .bind(&now)
        .bind(collection_id)
        .bind(new)
        .execute(&mut tx)
        .await?;
        // Documents on their way begin anew: what was made of them is of the old generation.
        query(
            "DELETE FROM chunks WHERE generation = ? AND document_id IN
                 (SELECT id FROM documents WHERE collection_id = ? AND state NOT IN ('live', 'failed', 'deleting'))",
        )
        .bind(new)
        .bind(collection_id)
        .execute(&mut tx)
        .await?;
        query(
            "UPDATE documents SET state = 'received', generation = ?, pipeline_lock = ?, chunks_total = 0, chunks_indexed = 0, attempts = 0,
                    updated_at = ?
             WHERE collection_id = ? AND state NOT IN ('live', 'failed', 'deleting')",
        )
        .bind(new)
        .bind(&lock)
        .bind(&now)
        .bind(collection_id)
        .execute(&mut tx)
        .await?;
        query("DELETE FROM remade_documents WHERE collection_id = ?")
            .bind(collection_id)
            .execute(&mut tx)
            .await?;
        query("UPDATE collections SET generation = ?, revision = revision + 1, pipeline = ?, pipeline_lock = ? WHERE id = ?")
            .bind(new)
            .bind(rows::json(&reindex.pipeline)?)
            .bind(&lock)
            .bind(collection_id)
            .execute(&mut tx)
            .await?;
        ended(&mut tx, &reindex, ReindexStatus::Success, None, counts, &now).await?;
        let mut recorded = Vec::with_capacity(new_events.len());
        for event in new_events {
            recorded.push(events::append(self, &mut tx, collection_id, None, event).await?);
        }
        tx.commit().await?;
        Ok(Swap::Done(recorded))
    }

    /// Ends a running re-index without a swap, with a code and a sentence where it failed, and records `event`; `None` if it had ended.
    pub async fn end_reindex(
        &self,
        reindex: &Reindex,
        status: ReindexStatus,
        error: Option<(&str, &str)>,
        event: NewEvent,
    ) -> Result<Option<Event>> {
        let mut tx = self.write().await?;
        let id = &reindex.collection_id;
        let running = query(
            "SELECT 1 FROM reindexes x JOIN collections c ON c.id = x.collection_id AND c.state = 'live'
             WHERE x.collection_id = ? AND x.generation = ? AND x.status = 'running'",
        )
        .bind(id)
        .bind(i64::from(reindex.generation))
        .fetch_optional(&mut tx)
        .await?;
        if running.is_none() {
            return Ok(None);
        }
        let counts = counted(&mut tx, id).await?;
        ended(&mut tx, reindex, status, error, counts, &now()?).await?;
        query("DELETE FROM remade_documents WHERE collection_id = ?")
            .bind(id)
            .execute(&mut tx)
            .await?;
        let event = events::append(self, &mut tx, id, None, event).await?;
        tx.commit().await?;
        Ok(Some(event))
    }

    /// Removes some chunks that are neither of their document's generation nor of a running re-index; returns how many. Call it until
    /// there are none.
    pub async fn sweep_generations(&self, collection_id: &str) -> Result<u64> {
        let gone = query(
            "DELETE FROM chunks WHERE (document_id, generation, chunk_index) IN
                 (SELECT c.document_id, c.generation, c.chunk_index
                  FROM documents d JOIN chunks c ON c.document_id = d.id
                  WHERE d.collection_id = ? AND c.generation <> d.generation AND c.generation <> COALESCE(
                      (SELECT generation FROM reindexes WHERE collection_id = d.collection_id AND status = 'running'), -1)
                  LIMIT ?)",
        )
        .bind(collection_id)
        .bind(SWEEP)
        .execute(&self.writer)
        .await?;
        Ok(gone)
    }
}

async fn counted(tx: &mut Tx, collection_id: &str) -> Result<ReindexCounts> {
    let row = query(
        "SELECT (SELECT COUNT(*) FROM documents WHERE collection_id = ? AND state = 'live') AS documents_total,
                COUNT(*) FILTER (WHERE state = 'ready') AS documents_done,
                CAST(COALESCE(SUM(chunks_indexed), 0) AS BIGINT) AS chunks_done,
                CAST(COALESCE(SUM(chunks_reused), 0) AS BIGINT) AS chunks_reused
         FROM remade_documents WHERE collection_id = ?",
    )
    .bind(collection_id)
    .bind(collection_id)
    .fetch_one(&mut *tx)
    .await?;
    rows::reindex_counts(&row)
}

async fn ended(
    tx: &mut Tx,
    reindex: &Reindex,
    status: ReindexStatus,
    error: Option<(&str, &str)>,
    counts: ReindexCounts,
    now: &str,
) -> Result<()> {
    query(
        "UPDATE reindexes SET status = ?, error_code = ?, error_message = ?, documents_total = ?, documents_done = ?, chunks_done = ?,
                chunks_reused = ?, updated_at = ? WHERE collection_id = ?",
    )
    .bind(status.as_str())
    .bind(error.map(|(code, _)| code))
    .bind(error.map(|(_, message)| message))
    .bind(to_db(counts.documents_total)?)
    .bind(to_db(counts.documents_done)?)
    .bind(to_db(counts.chunks_done)?)
    .bind(to_db(counts.chunks_reused)?)
    .bind(now)
    .bind(&reindex.collection_id)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Forgets the re-index of a collection that goes.
pub(super) async fn forget(tx: &mut Tx, collection_id: &str) -> Result<()> {
    query("DELETE FROM reindexes WHERE collection_id = ?")
        .bind(collection_id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Forgets what a re-index has made of a document that goes.
pub(super) async fn forget_document(tx: &mut Tx, document_id: &str) -> Result<()> {
    query("DELETE FROM remade_documents WHERE document_id = ?")
        .bind(document_id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}
