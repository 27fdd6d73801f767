//! Collections: their life, their pipelines, their counts.

use super::database::{Row, query};
use super::rows::{self, count, now};
use super::{Catalog, events, generations};
use crate::{CatalogError, Collection, CollectionState, CollectionStats, Event, NewEvent, Result, validate};
use ibid_types::IndexBackend;
use serde_json::Value;

/// Columns of `CollectionStats`, over documents `d`.
macro_rules! counts {
    () => {
        "COUNT(*) FILTER (WHERE d.state = 'live') AS documents,
         CAST(COALESCE(SUM(d.chunks_total) FILTER (WHERE d.state = 'live'), 0) AS BIGINT) AS chunks,
         CAST(COALESCE(SUM(d.file_size) FILTER (WHERE d.state = 'live'), 0) AS BIGINT) AS file_bytes,
         CAST(COALESCE(SUM(d.text_bytes) FILTER (WHERE d.state = 'live'), 0) AS BIGINT) AS text_bytes,
         COUNT(*) FILTER (WHERE d.state IN ('received', 'extracted', 'chunked', 'embedded', 'indexed')) AS processing,
         COUNT(*) FILTER (WHERE d.state = 'failed') AS failed"
    };
}

impl Catalog {
    /// Creates a collection and records `event` for it. `name` has 1 to 64 characters of `A-Z a-z 0-9 _ . -` and starts with a letter or
    /// digit, else `VALIDATION_ERROR`; taken by a live collection: `CONFLICT`.
    pub async fn create_collection(
        &self,
        name: &str,
        pipeline: &Value,
        lock: &Value,
        place: IndexBackend,
        event: NewEvent,
    ) -> Result<(Collection, Event)> {
        validate::collection_name(name)?;
        let mut tx = self.write().await?;
        let row = query(
            "INSERT INTO collections (id, name, state, pipeline, pipeline_lock, place, created_at)
             VALUES (?, ?, 'live', ?, ?, ?, ?) ON CONFLICT (name) WHERE state = 'live' DO NOTHING RETURNING *",
        )
        .bind(uuid::Uuid::now_v7().to_string())
        .bind(name)
        .bind(rows::json(pipeline)?)
        .bind(rows::json(lock)?)
        .bind(place.as_str())
        .bind(now()?)
        .fetch_optional(&mut tx)
        .await?
        .ok_or_else(|| CatalogError::Conflict(format!("there is a collection {name:?} already")))?;
        let collection = rows::collection(&row)?;
        let event = events::append(self, &mut tx, &collection.id, None, event).await?;
        tx.commit().await?;
        Ok((collection, event))
    }

    /// Returns the live collection of a name, else `COLLECTION_NOT_FOUND`.
    pub async fn collection(&self, name: &str) -> Result<Collection> {
        let row = query("SELECT * FROM collections WHERE name = ? AND state = 'live'")
            .bind(name)
            .fetch_optional(&self.reader)
            .await?;
        rows::collection(&row.ok_or_else(|| CatalogError::CollectionNotFound(name.to_owned()))?)
    }

    /// Returns the collection of an identifier, live or being deleted, else `COLLECTION_NOT_FOUND`.
    pub async fn collection_by_id(&self, id: &str) -> Result<Collection> {
        let row = query("SELECT * FROM collections WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.reader)
            .await?;
        rows::collection(&row.ok_or_else(|| CatalogError::CollectionNotFound(id.to_owned()))?)
    }

    /// Returns every live collection, by name.
    pub async fn collections(&self) -> Result<Vec<Collection>> {
        self.collections_in_state(CollectionState::Live).await
    }

    /// Returns the collections that are being deleted: to go on with at start, after their documents.
    pub async fn deleting_collections(&self) -> Result<Vec<Collection>> {
        self.collections_in_state(CollectionState::Deleting).await
    }

    /// Returns the collections in a state, by name.
    async fn collections_in_state(&self, state: CollectionState) -> Result<Vec<Collection>> {
        let found = query("SELECT * FROM collections WHERE state = ? ORDER BY name, id")
            .bind(state.as_str())
            .fetch_all(&self.reader)
            .await?;
        found.iter().map(rows::collection).collect()
    }

    /// Replaces pipeline and lock, and records `event`; `None` if the collection is not live.
    pub async fn set_pipeline(&self, id: &str, pipeline: &Value, lock: &Value, event: NewEvent) -> Result<Option<Event>> {
        let mut tx = self.write().await?;
        let moved =
            query("UPDATE collections SET pipeline = ?, pipeline_lock = ?, revision = revision + 1 WHERE id = ? AND state = 'live'")
                .bind(rows::json(pipeline)?)
                .bind(rows::json(lock)?)
                .bind(id)
                .execute(&mut tx)
                .await?;
        if moved == 0 {
            return Ok(None);
        }
        let event = events::append(self, &mut tx, id, None, event).await?;
        tx.commit().await?;
        Ok(Some(event))
    }

    /// Records that a live collection is to move to another index; `false` if it is there, or moves already.
    pub async fn begin_move(&self, id: &str, to: IndexBackend) -> Result<bool> {
        let begun = query("UPDATE collections SET moving_to = ? WHERE id = ? AND state = 'live' AND place <> ? AND moving_to IS NULL")
            .bind(to.as_str())
            .bind(id)
            .bind(to.as_str())
            .execute(&self.writer)
            .await?;
        Ok(begun > 0)
    }

    /// Records that a live collection does not move any more; `false` if it did not.
    pub async fn stop_move(&self, id: &str) -> Result<bool> {
        let stopped = query("UPDATE collections SET moving_to = NULL WHERE id = ? AND state = 'live' AND moving_to IS NOT NULL")
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(stopped > 0)
    }

    /// Records that a live collection that moves is in its new index from now on, and `event`; `None` if it does not move.
    pub async fn finish_move(&self, id: &str, event: NewEvent) -> Result<Option<Event>> {
        let mut tx = self.write().await?;
        let moved =
            query("UPDATE collections SET place = moving_to, moving_to = NULL WHERE id = ? AND state = 'live' AND moving_to IS NOT NULL")
                .bind(id)
                .execute(&mut tx)
                .await?;
        if moved == 0 {
            return Ok(None);
        }
        let event = events::append(self, &mut tx, id, None, event).await?;
        tx.commit().await?;
        Ok(Some(event))
    }

    /// Begins to delete a live collection: its name is free from now on, its documents are `deleting` (also those in the middle of
    /// processing) and its open uploads `cancelled`. Else `COLLECTION_NOT_FOUND`.
    pub async fn begin_delete_collection(&self, name: &str) -> Result<Collection> {
        let mut tx = self.write().await?;
        let row = query("UPDATE collections SET state = 'deleting' WHERE name = ? AND state = 'live' RETURNING *")
            .bind(name)
            .fetch_optional(&mut tx)
            .await?
            .ok_or_else(|| CatalogError::CollectionNotFound(name.to_owned()))?;
        let collection = rows::collection(&row)?;
        let now = now()?;
        query("UPDATE documents SET state = 'deleting', updated_at = ? WHERE collection_id = ?")
            .bind(&now)
            .bind(&collection.id)
            .execute(&mut tx)
            .await?;
        query(
            "UPDATE uploads SET status = 'cancelled', updated_at = ?
             WHERE collection_id = ? AND status IN ('receiving', 'processing')",
        )
        .bind(&now)
        .bind(&collection.id)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(collection)
    }

    /// Removes a collection that is being deleted, its uploads and its events, and records `event` (`None` if it was not there). Its
    /// documents must have been finished one by one before, else `CONFLICT`: that is what makes sure that their files went.
    pub async fn finish_delete_collection(&self, id: &str, event: NewEvent) -> Result<Option<Event>> {
        let mut tx = self.write().await?;
        let row = query(
            "SELECT (SELECT COUNT(*) FROM documents WHERE collection_id = c.id) AS documents
             FROM collections c WHERE id = ? AND state = 'deleting'",
        )
        .bind(id)
        .fetch_optional(&mut tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let documents: u64 = count(&row, "documents")?;
        if documents > 0 {
            return Err(CatalogError::Conflict(format!(
                "{documents} documents of the collection are not deleted yet"
            )));
        }
        query("DELETE FROM uploads WHERE collection_id = ?")
            .bind(id)
            .execute(&mut tx)
            .await?;
        generations::forget(&mut tx, id).await?;
        events::forget_collection(&mut tx, id).await?;
        let event = events::append(self, &mut tx, id, None, event).await?;
        query("DELETE FROM collections WHERE id = ?").bind(id).execute(&mut tx).await?;
        events::forget_unused_names(&mut tx).await?;
        tx.commit().await?;
        Ok(Some(event))
    }

    /// Returns exact counts of one collection (zeros for an unknown one).
    pub async fn stats(&self, id: &str) -> Result<CollectionStats> {
        let row = query(concat!("SELECT ", counts!(), " FROM documents d WHERE d.collection_id = ?"))
            .bind(id)
            .fetch_one(&self.reader)
            .await?;
        stats_of(&row)
    }

    /// Returns exact counts of every live collection at one moment, by identifier.
    pub async fn all_stats(&self) -> Result<Vec<(String, CollectionStats)>> {
        let found = query(concat!(
            "SELECT c.id, ",
            counts!(),
            " FROM collections c LEFT JOIN documents d ON d.collection_id = c.id WHERE c.state = 'live' GROUP BY c.id"
        ))
        .fetch_all(&self.reader)
        .await?;
        found.iter().map(|row| Ok((row.try_get("id")?, stats_of(row)?))).collect()
    }
}

fn stats_of(row: &Row) -> Result<CollectionStats> {
    Ok(CollectionStats {
        documents: count(row, "documents")?,
        chunks: count(row, "chunks")?,
        file_bytes: count(row, "file_bytes")?,
        text_bytes: count(row, "text_bytes")?,
        processing: count(row, "processing")?,
        failed: count(row, "failed")?,
    })
}
