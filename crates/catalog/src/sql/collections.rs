//! Collections: their life, their pipelines, their counts.

use super::database::{Row, query};
use super::rows::{self, count, now};
use super::{SqlCatalog, events, generations};
use crate::{CatalogError, Collection, CollectionStats, Event, NewEvent, Result, validate};
use ibid_types::IndexBackend;
use serde_json::Value;

pub(super) async fn create(
    catalog: &SqlCatalog,
    name: &str,
    pipeline: &Value,
    lock: &Value,
    place: IndexBackend,
    event: NewEvent,
) -> Result<(Collection, Event)> {
    validate::collection_name(name)?;
    let mut tx = catalog.write().await?;
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
    let event = events::append(catalog, &mut tx, &collection.id, None, event).await?;
    tx.commit().await?;
    Ok((collection, event))
}

pub(super) async fn by_name(catalog: &SqlCatalog, name: &str) -> Result<Collection> {
    let row = query("SELECT * FROM collections WHERE name = ? AND state = 'live'")
        .bind(name)
        .fetch_optional(&catalog.reader)
        .await?;
    rows::collection(&row.ok_or_else(|| CatalogError::CollectionNotFound(name.to_owned()))?)
}

pub(super) async fn by_id(catalog: &SqlCatalog, id: &str) -> Result<Collection> {
    let row = query("SELECT * FROM collections WHERE id = ?")
        .bind(id)
        .fetch_optional(&catalog.reader)
        .await?;
    rows::collection(&row.ok_or_else(|| CatalogError::CollectionNotFound(id.to_owned()))?)
}

/// Collections in a state, by name.
pub(super) async fn in_state(catalog: &SqlCatalog, state: &str) -> Result<Vec<Collection>> {
    let found = query("SELECT * FROM collections WHERE state = ? ORDER BY name, id")
        .bind(state)
        .fetch_all(&catalog.reader)
        .await?;
    found.iter().map(rows::collection).collect()
}

pub(super) async fn set_pipeline(catalog: &SqlCatalog, id: &str, pipeline: &Value, lock: &Value, event: NewEvent) -> Result<Option<Event>> {
    let mut tx = catalog.write().await?;
    let moved = query("UPDATE collections SET pipeline = ?, pipeline_lock = ?, revision = revision + 1 WHERE id = ? AND state = 'live'")
        .bind(rows::json(pipeline)?)
        .bind(rows::json(lock)?)
        .bind(id)
        .execute(&mut tx)
        .await?;
    if moved == 0 {
        return Ok(None);
    }
    let event = events::append(catalog, &mut tx, id, None, event).await?;
    tx.commit().await?;
    Ok(Some(event))
}

pub(super) async fn begin_move(catalog: &SqlCatalog, id: &str, to: IndexBackend) -> Result<bool> {
    let begun = query("UPDATE collections SET moving_to = ? WHERE id = ? AND state = 'live' AND place <> ? AND moving_to IS NULL")
        .bind(to.as_str())
        .bind(id)
        .bind(to.as_str())
        .execute(&catalog.writer)
        .await?;
    Ok(begun > 0)
}

pub(super) async fn stop_move(catalog: &SqlCatalog, id: &str) -> Result<bool> {
    let stopped = query("UPDATE collections SET moving_to = NULL WHERE id = ? AND state = 'live' AND moving_to IS NOT NULL")
        .bind(id)
        .execute(&catalog.writer)
        .await?;
    Ok(stopped > 0)
}

pub(super) async fn finish_move(catalog: &SqlCatalog, id: &str, event: NewEvent) -> Result<Option<Event>> {
    let mut tx = catalog.write().await?;
    let moved =
        query("UPDATE collections SET place = moving_to, moving_to = NULL WHERE id = ? AND state = 'live' AND moving_to IS NOT NULL")
            .bind(id)
            .execute(&mut tx)
            .await?;
    if moved == 0 {
        return Ok(None);
    }
    let event = events::append(catalog, &mut tx, id, None, event).await?;
    tx.commit().await?;
    Ok(Some(event))
}

pub(super) async fn begin_delete(catalog: &SqlCatalog, name: &str) -> Result<Collection> {
    let mut tx = catalog.write().await?;
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

pub(super) async fn finish_delete(catalog: &SqlCatalog, id: &str, event: NewEvent) -> Result<Option<Event>> {
    let mut tx = catalog.write().await?;
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
    let event = events::append(catalog, &mut tx, id, None, event).await?;
    query("DELETE FROM collections WHERE id = ?").bind(id).execute(&mut tx).await?;
    events::forget_unused_names(&mut tx).await?;
    tx.commit().await?;
    Ok(Some(event))
}

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

pub(super) async fn stats(catalog: &SqlCatalog, id: &str) -> Result<CollectionStats> {
    let row = query(concat!("SELECT ", counts!(), " FROM documents d WHERE d.collection_id = ?"))
        .bind(id)
        .fetch_one(&catalog.reader)
        .await?;
    stats_of(&row)
}

pub(super) async fn all_stats(catalog: &SqlCatalog) -> Result<Vec<(String, CollectionStats)>> {
    let found = query(concat!(
        "SELECT c.id, ",
        counts!(),
        " FROM collections c LEFT JOIN documents d ON d.collection_id = c.id WHERE c.state = 'live' GROUP BY c.id"
    ))
    .fetch_all(&catalog.reader)
    .await?;
    found.iter().map(|row| Ok((row.try_get("id")?, stats_of(row)?))).collect()
}
