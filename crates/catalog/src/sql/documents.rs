//! Documents: creation, reading, listing, and the moves from `received` to `live` or `failed`.

use super::database::{Query, query};
use super::rows::{self, count, now, to_db};
use super::{SqlCatalog, chunks, events, generations, uploads};
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

pub(super) async fn create(catalog: &SqlCatalog, new: NewDocument) -> Result<Creation> {
    validate::filename(&new.filename)?;
    validate::sha256(&new.sha256)?;
    let id = format!("doc_{}", uuid::Uuid::now_v7().simple());
    let now = now()?;
    let mut tx = catalog.write().await?;
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

pub(super) async fn get(catalog: &SqlCatalog, id: &str) -> Result<DocumentRecord> {
    let row = query(select_document!("WHERE d.id = ?"))
        .bind(id)
        .fetch_optional(&catalog.reader)
        .await?;
    rows::document(&row.ok_or_else(|| CatalogError::no_document(id))?)
}

pub(super) async fn live(catalog: &SqlCatalog, ids: &[String]) -> Result<Vec<DocumentRecord>> {
    let found = query(select_document!(
        "WHERE d.id IN (SELECT value FROM json_each(?)) AND d.state = 'live'"
    ))
    .bind(rows::json(ids)?)
    .fetch_all(&catalog.reader)
    .await?;
    found.iter().map(rows::document).collect()
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

pub(super) async fn list(catalog: &SqlCatalog, wanted: &DocumentQuery) -> Result<Listing<DocumentRecord>> {
    validate::limit(wanted.limit, 1000)?;
    // One read transaction, so that page and total are of the same moment.
    let mut tx = catalog.read().await?;
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

pub(super) async fn begin_attempt(catalog: &SqlCatalog, id: &str) -> Result<Option<u32>> {
    let row = query(
        "UPDATE documents SET attempts = attempts + 1
         WHERE id = ? AND state NOT IN ('live', 'failed', 'deleting') RETURNING attempts",
    )
    .bind(id)
    .fetch_optional(&catalog.writer)
    .await?;
    row.map(|row| count(&row, "attempts")).transpose()
}

pub(super) async fn set_extracted(catalog: &SqlCatalog, id: &str, found: &Extracted) -> Result<bool> {
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
    .execute(&catalog.writer)
    .await?;
    Ok(moved > 0)
}

pub(super) async fn annotate(catalog: &SqlCatalog, id: &str, key: &str, value: &str) -> Result<bool> {
    let mut tx = catalog.write().await?;
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

pub(super) async fn set_chunked(catalog: &SqlCatalog, id: &str, made: &[Chunk]) -> Result<bool> {
    validate::chunks(made)?;
    let total = u32::try_from(made.len()).map_err(|_| CatalogError::Validation {
        field: "chunks",
        issue: "are too many".to_owned(),
    })?;
    let mut tx = catalog.write().await?;
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

pub(super) async fn set_progress(catalog: &SqlCatalog, id: &str, chunks_indexed: u32) -> Result<bool> {
    let mut tx = catalog.write().await?;
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

pub(super) async fn set_embedded(catalog: &SqlCatalog, id: &str) -> Result<bool> {
    let moved = query("UPDATE documents SET state = 'embedded', updated_at = ? WHERE id = ? AND state = 'chunked'")
        .bind(now()?)
        .bind(id)
        .execute(&catalog.writer)
        .await?;
    Ok(moved > 0)
}

pub(super) async fn set_indexed(catalog: &SqlCatalog, id: &str) -> Result<bool> {
    let mut tx = catalog.write().await?;
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

pub(super) async fn set_live(catalog: &SqlCatalog, id: &str, processing_seconds: f64, event: NewEvent) -> Result<Option<Event>> {
    let now = now()?;
    let mut tx = catalog.write().await?;
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
    let event = events::append(catalog, &mut tx, row.try_get("collection_id")?, Some(id), event).await?;
    tx.commit().await?;
    Ok(Some(event))
}

pub(super) async fn reopen(catalog: &SqlCatalog, id: &str) -> Result<bool> {
    let mut tx = catalog.write().await?;
    let moved =
        query("UPDATE documents SET state = 'chunked', chunks_indexed = 0, attempts = 0, updated_at = ? WHERE id = ? AND state = 'live'")
            .bind(now()?)
            .bind(id)
            .execute(&mut tx)
            .await?;
    tx.commit().await?;
    Ok(moved > 0)
}

pub(super) async fn extract_again(catalog: &SqlCatalog, id: &str) -> Result<bool> {
    let mut tx = catalog.write().await?;
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

pub(super) async fn fail(catalog: &SqlCatalog, id: &str, code: &str, message: &str) -> Result<bool> {
    let mut tx = catalog.write().await?;
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

/// Documents in some states, oldest first.
pub(super) async fn in_states(
    catalog: &SqlCatalog,
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
    .fetch_all(&catalog.reader)
    .await?;
    found.iter().map(rows::document).collect()
}

pub(super) async fn hidden(catalog: &SqlCatalog, collection_id: &str) -> Result<Vec<String>> {
    let found = query("SELECT id FROM documents WHERE collection_id = ? AND state <> 'live'")
        .bind(collection_id)
        .fetch_all(&catalog.reader)
        .await?;
    found.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

pub(super) async fn live_chunk_counts(catalog: &SqlCatalog, collection_id: &str) -> Result<Vec<(String, u32)>> {
    let found = query("SELECT id, chunks_total FROM documents WHERE collection_id = ? AND state = 'live'")
        .bind(collection_id)
        .fetch_all(&catalog.reader)
        .await?;
    found
        .iter()
        .map(|row| Ok((row.try_get("id")?, count(row, "chunks_total")?)))
        .collect()
}

pub(super) async fn file_references(catalog: &SqlCatalog, sha256: &str) -> Result<u64> {
    let row = query("SELECT COUNT(*) AS n FROM documents WHERE sha256 = ? AND state NOT IN ('failed', 'deleting')")
        .bind(sha256)
        .fetch_one(&catalog.reader)
        .await?;
    count(&row, "n")
}
