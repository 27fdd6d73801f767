//! Chunks: written with the step that makes them, read by range and by reference.

use super::rows::{self, to_db};
use super::{SqliteCatalog, Write};
use crate::catalog::{Chunk, LocatedChunk, Result, validate};
use sqlx::{QueryBuilder, Row};

/// Rows per statement: twelve values each, well below SQLite's 32,766, and few enough statements.
const ROWS: usize = 200;

/// Stores chunks of a generation, whose offsets are for the text of another or the same one.
pub(super) async fn insert(tx: &mut Write, document_id: &str, (generation, text_generation): (u32, u32), made: &[Chunk]) -> Result<()> {
    for part in made.chunks(ROWS) {
        let mut query = QueryBuilder::new(
            "INSERT INTO chunks (document_id, generation, chunk_index, text_generation, byte_start, byte_end, char_start, char_end,
                                 page, section, context, attrs) ",
        );
        let mut texts = Vec::with_capacity(part.len());
        for chunk in part {
            let (section, context, attrs) = (rows::json(&chunk.section)?, rows::json(&chunk.context)?, rows::json(&chunk.attrs)?);
            texts.push((chunk, to_db(chunk.char_start)?, to_db(chunk.char_end)?, section, context, attrs));
        }
        query.push_values(texts, |mut row, (chunk, char_start, char_end, section, context, attrs)| {
            row.push_bind(document_id.to_owned())
                .push_bind(i64::from(generation))
                .push_bind(i64::from(chunk.index))
                .push_bind(i64::from(text_generation))
                .push_bind(i64::from(chunk.at.start))
                .push_bind(i64::from(chunk.at.end))
                .push_bind(char_start)
                .push_bind(char_end)
                .push_bind(chunk.page.map(i64::from))
                .push_bind(section)
                .push_bind(context)
                .push_bind(attrs);
        });
        // A full part repeats for every long document; others would only crowd the statement cache.
        query.build().persistent(part.len() == ROWS).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Removes a document's chunks; returns how many there were.
pub(super) async fn delete(tx: &mut Write, document_id: &str) -> Result<u64> {
    let gone = sqlx::query("DELETE FROM chunks WHERE document_id = ?")
        .bind(document_id)
        .execute(&mut **tx)
        .await?;
    Ok(gone.rows_affected())
}

/// Removes a document's chunks of one generation.
pub(super) async fn delete_generation(tx: &mut Write, document_id: &str, generation: u32) -> Result<()> {
    sqlx::query("DELETE FROM chunks WHERE document_id = ? AND generation = ?")
        .bind(document_id)
        .bind(i64::from(generation))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes a document's chunks of all generations but one.
pub(super) async fn delete_others(tx: &mut Write, document_id: &str, generation: u32) -> Result<()> {
    sqlx::query("DELETE FROM chunks WHERE document_id = ? AND generation <> ?")
        .bind(document_id)
        .bind(i64::from(generation))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn range(catalog: &SqliteCatalog, document_id: &str, generation: u32, from: u32, limit: u32) -> Result<Vec<Chunk>> {
    validate::limit(limit, 10_000)?;
    let found =
        sqlx::query("SELECT * FROM chunks WHERE document_id = ? AND generation = ? AND chunk_index >= ? ORDER BY chunk_index LIMIT ?")
            .bind(document_id)
            .bind(i64::from(generation))
            .bind(i64::from(from))
            .bind(i64::from(limit))
            .fetch_all(&catalog.reader)
            .await?;
    found.iter().map(rows::chunk).collect()
}

pub(super) async fn by_refs(catalog: &SqliteCatalog, generation: u32, refs: &[(String, u32)]) -> Result<Vec<LocatedChunk>> {
    // CROSS JOIN keeps SQLite to this order: the list first, then one look-up by key for each.
    let found = sqlx::query(
        "SELECT c.* FROM json_each(?) AS r
         CROSS JOIN chunks c ON c.document_id = (r.value ->> 0) AND c.generation = ? AND c.chunk_index = (r.value ->> 1)
         CROSS JOIN documents d ON d.id = c.document_id AND d.state = 'live'
         ORDER BY r.key",
    )
    .bind(rows::json(refs)?)
    .bind(i64::from(generation))
    .fetch_all(&catalog.reader)
    .await?;
    found
        .iter()
        .map(|row| {
            Ok(LocatedChunk {
                document_id: row.try_get("document_id")?,
                text_generation: rows::count(row, "text_generation")?,
                chunk: rows::chunk(row)?,
            })
        })
        .collect()
}
