//! Rows to types and back: times, counts, JSON, words.

use super::super::{
    CatalogError, Chunk, Collection, CollectionState, DocumentError, DocumentRecord, DocumentState, Event, Reindex, ReindexCounts,
    ReindexStatus, ReindexedDocument, ReindexedState, Result, Upload, UploadStatus,
};
use super::database::Row;
use ibid_types::IndexBackend;
use ibid_types::document::Span;
use serde::de::DeserializeOwned;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// A time as it is stored: always six digits of a second, so that text order is time order (RFC
/// 3339 as `time` writes it drops trailing zeros, and would not sort).
pub(super) fn time_text(at: OffsetDateTime) -> Result<String> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.to_offset(UtcOffset::UTC)
        .format(format)
        .map_err(|_| CatalogError::Damaged("a time".to_owned()))
}

/// The time now, as it is stored.
pub(super) fn now() -> Result<String> {
    time_text(OffsetDateTime::now_utc())
}

/// A count or offset for the database, whose integers are signed.
pub(super) fn to_db(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| CatalogError::Validation {
        field: "number",
        issue: "is beyond 9223372036854775807".to_owned(),
    })
}

/// JSON for the database.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| CatalogError::Damaged(format!("JSON: {e}")))
}

fn damaged(column: &str) -> CatalogError {
    CatalogError::Damaged(column.to_owned())
}

/// A count from the database.
pub(super) fn count<T: TryFrom<i64>>(row: &Row, column: &str) -> Result<T> {
    T::try_from(row.try_get::<i64>(column)?).map_err(|_| damaged(column))
}

fn count_option<T: TryFrom<i64>>(row: &Row, column: &str) -> Result<Option<T>> {
    row.try_get::<Option<i64>>(column)?
        .map(|value| T::try_from(value).map_err(|_| damaged(column)))
        .transpose()
}

fn at(row: &Row, column: &str) -> Result<OffsetDateTime> {
    OffsetDateTime::parse(row.try_get::<&str>(column)?, &Rfc3339).map_err(|_| damaged(column))
}

fn at_option(row: &Row, column: &str) -> Result<Option<OffsetDateTime>> {
    let text = row.try_get::<Option<&str>>(column)?;
    text.map(|text| OffsetDateTime::parse(text, &Rfc3339).map_err(|_| damaged(column)))
        .transpose()
}

fn parsed<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T> {
    serde_json::from_str(row.try_get::<&str>(column)?).map_err(|_| damaged(column))
}

fn word<T>(row: &Row, column: &str, parse: fn(&str) -> Option<T>) -> Result<T> {
    parse(row.try_get::<&str>(column)?).ok_or_else(|| damaged(column))
}

pub(super) fn collection(row: &Row) -> Result<Collection> {
    Ok(Collection {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        state: word(row, "state", CollectionState::parse)?,
        pipeline: parsed(row, "pipeline")?,
        lock: parsed(row, "pipeline_lock")?,
        place: word(row, "place", IndexBackend::parse)?,
        moving_to: match row.try_get::<Option<&str>>("moving_to")? {
            Some(place) => Some(IndexBackend::parse(place).ok_or_else(|| damaged("moving_to"))?),
            None => None,
        },
        generation: count(row, "generation")?,
        revision: count(row, "revision")?,
        created_at: at(row, "created_at")?,
    })
}

pub(super) fn reindex(row: &Row) -> Result<Reindex> {
    let code = row.try_get::<Option<String>>("error_code")?;
    let message = row.try_get::<Option<String>>("error_message")?;
    Ok(Reindex {
        collection_id: row.try_get("collection_id")?,
        generation: count(row, "generation")?,
        status: word(row, "status", ReindexStatus::parse)?,
        scope: row.try_get("redo")?,
        at_least: row.try_get("at_least")?,
        pipeline: parsed(row, "pipeline")?,
        lock: parsed(row, "pipeline_lock")?,
        error: code.zip(message),
        counts: reindex_counts(row)?,
        started_at: at(row, "started_at")?,
        updated_at: at(row, "updated_at")?,
    })
}

pub(super) fn reindex_counts(row: &Row) -> Result<ReindexCounts> {
    Ok(ReindexCounts {
        documents_total: count(row, "documents_total")?,
        documents_done: count(row, "documents_done")?,
        chunks_done: count(row, "chunks_done")?,
        chunks_reused: count(row, "chunks_reused")?,
    })
}

pub(super) fn reindexed_document(row: &Row) -> Result<ReindexedDocument> {
    Ok(ReindexedDocument {
        document_id: row.try_get("document_id")?,
        generation: count(row, "generation")?,
        state: word(row, "state", ReindexedState::parse)?,
        text_generation: count(row, "text_generation")?,
        metadata: parsed(row, "metadata")?,
        pages: count(row, "pages")?,
        text_bytes: count(row, "text_bytes")?,
        text_chars: count(row, "text_chars")?,
        chunks_total: count(row, "chunks_total")?,
        chunks_indexed: count(row, "chunks_indexed")?,
        chunks_reused: count(row, "chunks_reused")?,
        attempts: count(row, "attempts")?,
        lock: parsed(row, "pipeline_lock")?,
    })
}

pub(super) fn reindexed_count(row: &Row) -> Result<(String, ReindexedState, u32)> {
    let state = word(row, "state", ReindexedState::parse)?;
    Ok((row.try_get("document_id")?, state, count(row, "chunks_indexed")?))
}

/// A row of `select_document!`.
pub(super) fn document(row: &Row) -> Result<DocumentRecord> {
    let error = match row.try_get::<Option<String>>("error_code")? {
        Some(code) => Some(DocumentError {
            stage: word(row, "error_stage", DocumentState::parse)?,
            code,
            message: row.try_get("error_message")?,
        }),
        None => None,
    };
    Ok(DocumentRecord {
        id: row.try_get("id")?,
        collection_id: row.try_get("collection_id")?,
        collection: row.try_get("collection")?,
        filename: row.try_get("filename")?,
        content_type: row.try_get("content_type")?,
        file_size: count(row, "file_size")?,
        sha256: row.try_get("sha256")?,
        state: word(row, "state", DocumentState::parse)?,
        error,
        metadata: parsed(row, "metadata")?,
        user_metadata: parsed(row, "user_metadata")?,
        pages: count(row, "pages")?,
        text_bytes: count(row, "text_bytes")?,
        text_chars: count(row, "text_chars")?,
        chunks_total: count(row, "chunks_total")?,
        chunks_indexed: count(row, "chunks_indexed")?,
        attempts: count(row, "attempts")?,
        lock: parsed(row, "pipeline_lock")?,
        generation: count(row, "generation")?,
        text_generation: count(row, "text_generation")?,
        created_at: at(row, "created_at")?,
        updated_at: at(row, "updated_at")?,
        processed_at: at_option(row, "processed_at")?,
        processing_seconds: row.try_get("processing_seconds")?,
    })
}

pub(super) fn chunk(row: &Row) -> Result<Chunk> {
    Ok(Chunk {
        index: count(row, "chunk_index")?,
        at: Span::new(count(row, "byte_start")?, count(row, "byte_end")?),
        char_start: count(row, "char_start")?,
        char_end: count(row, "char_end")?,
        page: count_option(row, "page")?,
        section: parsed(row, "section")?,
        context: parsed(row, "context")?,
        attrs: parsed(row, "attrs")?,
    })
}

/// A row of `select_upload!`.
pub(super) fn upload(row: &Row) -> Result<Upload> {
    let result = row.try_get::<Option<&str>>("result")?;
    Ok(Upload {
        id: row.try_get("id")?,
        collection_id: row.try_get("collection_id")?,
        collection: row.try_get("collection")?,
        document_id: row.try_get("document_id")?,
        filename: row.try_get("filename")?,
        content_type: row.try_get("content_type")?,
        file_size: count_option(row, "file_size")?,
        bytes_received: count(row, "bytes_received")?,
        status: word(row, "status", UploadStatus::parse)?,
        options: parsed(row, "options")?,
        result: result
            .map(|text| serde_json::from_str(text).map_err(|_| damaged("result")))
            .transpose()?,
        created_at: at(row, "created_at")?,
        updated_at: at(row, "updated_at")?,
    })
}

pub(super) fn event(row: &Row) -> Result<Event> {
    Ok(Event {
        seq: count(row, "seq")?,
        collection_id: row.try_get("collection_id")?,
        collection: row.try_get("collection")?,
        kind: row.try_get("kind")?,
        data: parsed(row, "data")?,
        at: at(row, "created_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::time_text;
    use time::{Duration, OffsetDateTime};

    #[test]
    fn times_sort_as_their_texts_do() {
        // Whole seconds and trailing zeros are where a shorter notation goes wrong.
        let steps = [0, 1, 10, 100_000, 500_000, 999_999, 1_000_000, 60_000_000];
        let texts: Vec<_> = steps
            .iter()
            .map(|micros| time_text(OffsetDateTime::UNIX_EPOCH + Duration::microseconds(*micros)).unwrap())
            .collect();
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(texts[3], "1970-01-01T00:00:00.100000Z");
    }
}
