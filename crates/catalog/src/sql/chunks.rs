//! Chunks: written with the step that makes them, read by range and by reference.

use super::Catalog;
use super::database::{Tx, Value, query};
use super::rows::{self, to_db};
use crate::{Chunk, LocatedChunk, Result, validate};

/// Rows per statement: twelve values each, well below SQLite's 32,766, and few enough statements.
const ROWS: usize = 200;

/// Stores chunks of a generation, whose offsets are for the text of another or the same one.
pub(super) async fn insert(tx: &mut Tx, document_id: &str, (generation, text_generation): (u32, u32), made: &[Chunk]) -> Result<()> {
    for part in made.chunks(ROWS) {
        let row = |chunk: &Chunk| -> Result<[Value; 12]> {
            Ok([
                document_id.into(),
                generation.into(),
                chunk.index.into(),
                text_generation.into(),
                chunk.at.start.into(),
                chunk.at.end.into(),
                to_db(chunk.char_start)?.into(),
                to_db(chunk.char_end)?.into(),
                chunk.page.map(i64::from).into(),
                rows::json(&chunk.section)?.into(),
                rows::json(&chunk.context)?.into(),
                rows::json(&chunk.attrs)?.into(),
            ])
        };
        let mut insert = query(
            "INSERT INTO chunks (document_id, generation, chunk_index, text_generation, byte_start, byte_end, char_start, char_end,
                                 page, section, context, attrs) ",
        );
        insert.push_rows(part.iter().map(row).collect::<Result<Vec<_>>>()?);
        // A full part repeats for every long document; others would only crowd the statement cache.
        insert.persistent(part.len() == ROWS).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Removes a document's chunks; returns how many there were.
pub(super) async fn delete(tx: &mut Tx, document_id: &str) -> Result<u64> {
    let gone = query("DELETE FROM chunks WHERE document_id = ?")
        .bind(document_id)
        .execute(&mut *tx)
        .await?;
    Ok(gone)
}

/// Removes a document's chunks of one generation.
pub(super) async fn delete_generation(tx: &mut Tx, document_id: &str, generation: u32) -> Result<()> {
    query("DELETE FROM chunks WHERE document_id = ? AND generation = ?")
        .bind(document_id)
        .bind(i64::from(generation))
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Removes a document's chunks of all generations but one.
pub(super) async fn delete_others(tx: &mut Tx, document_id: &str, generation: u32) -> Result<()> {
    query("DELETE FROM chunks WHERE document_id = ? AND generation <> ?")
        .bind(document_id)
        .bind(i64::from(generation))
        .execute(&mut *tx)
        .await?;
    Ok(())
}

impl Catalog {
    /// Returns the chunks `from..from + limit` of a document in any state, of a generation, in order. `limit` out of 1..=10000:
    /// `VALIDATION_ERROR`.
    pub async fn chunks(&self, document_id: &str, generation: u32, from: u32, limit: u32) -> Result<Vec<Chunk>> {
        validate::limit(limit, 10_000)?;
        let found =
            query("SELECT * FROM chunks WHERE document_id = ? AND generation = ? AND chunk_index >= ? ORDER BY chunk_index LIMIT ?")
                .bind(document_id)
                .bind(i64::from(generation))
                .bind(i64::from(from))
                .bind(i64::from(limit))
                .fetch_all(&self.reader)
                .await?;
        found.iter().map(rows::chunk).collect()
    }

    /// Returns chunks of a generation by document and index, in the order of `refs`. Those of documents that are not live are left out:
    /// with this a query sees a document wholly or not at all, whatever the index holds.
    pub async fn chunks_by_refs(&self, generation: u32, refs: &[(String, u32)]) -> Result<Vec<LocatedChunk>> {
        let found = query(self.dialect().pick(
            // CROSS JOIN keeps SQLite to this order: the list first, then one look-up by key for each.
            "SELECT c.* FROM json_each(?) AS r
             CROSS JOIN chunks c ON c.document_id = (r.value ->> 0) AND c.generation = ? AND c.chunk_index = (r.value ->> 1)
             CROSS JOIN documents d ON d.id = c.document_id AND d.state = 'live'
             ORDER BY r.key",
            "SELECT c.* FROM json_each(?) AS r
             JOIN chunks c ON c.document_id = (r.value::jsonb ->> 0) AND c.generation = ? AND c.chunk_index = (r.value::jsonb ->> 1)::bigint
             JOIN documents d ON d.id = c.document_id AND d.state = 'live'
             ORDER BY r.key",
        ))
        .bind(rows::json(refs)?)
        .bind(i64::from(generation))
        .fetch_all(&self.reader)
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
}
