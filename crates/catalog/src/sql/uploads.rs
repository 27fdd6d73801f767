//! Uploads: what has come, and how it ended.

use super::Catalog;
use super::database::{Tx, query};
use super::rows::{self, count, now, time_text, to_db};
use crate::{CatalogError, NewUpload, Result, Upload, UploadResult, validate};

/// A query for whole uploads, with its end.
macro_rules! select_upload {
    ($tail:literal) => {
        concat!(
            "SELECT u.*, c.name AS collection FROM uploads u JOIN collections c ON c.id = u.collection_id ",
            $tail
        )
    };
}

pub(super) use select_upload;

impl Catalog {
    /// Registers an upload in state `receiving`.
    pub async fn create_upload(&self, new: NewUpload) -> Result<Upload> {
        validate::filename(&new.filename)?;
        // Random, not timed: whoever may write and knows the identifier can go on with the upload.
        let id = format!("upload_{}", uuid::Uuid::new_v4().simple());
        let now = now()?;
        let mut tx = self.write().await?;
        let inserted = query(
            "INSERT INTO uploads (id, collection_id, filename, content_type, file_size, status, options,
                                  created_at, updated_at)
             SELECT ?, id, ?, ?, ?, 'receiving', ?, ?, ? FROM collections WHERE id = ? AND state = 'live'",
        )
        .bind(&id)
        .bind(&new.filename)
        .bind(&new.content_type)
        .bind(new.file_size.map(to_db).transpose()?)
        .bind(rows::json(&new.options)?)
        .bind(&now)
        .bind(&now)
        .bind(&new.collection_id)
        .execute(&mut tx)
        .await?;
        if inserted == 0 {
            return Err(CatalogError::CollectionNotFound(new.collection_id));
        }
        let row = query(select_upload!("WHERE u.id = ?")).bind(&id).fetch_one(&mut tx).await?;
        let upload = rows::upload(&row)?;
        tx.commit().await?;
        Ok(upload)
    }

    /// Returns an upload, else `RESOURCE_NOT_FOUND`.
    pub async fn upload(&self, id: &str) -> Result<Upload> {
        let row = query(select_upload!("WHERE u.id = ?"))
            .bind(id)
            .fetch_optional(&self.reader)
            .await?;
        rows::upload(&row.ok_or_else(|| CatalogError::no_upload(id))?)
    }

    /// Records how many bytes are durably there; `false` if it is no longer receiving. More than `file_size`: `CONFLICT`.
    pub async fn set_upload_received(&self, id: &str, bytes: u64) -> Result<bool> {
        let mut tx = self.write().await?;
        let row = query("SELECT file_size FROM uploads WHERE id = ? AND status = 'receiving'")
            .bind(id)
            .fetch_optional(&mut tx)
            .await?;
        let Some(row) = row else { return Ok(false) };
        let bytes = to_db(bytes)?;
        if row.try_get::<Option<i64>>("file_size")?.is_some_and(|size| bytes > size) {
            return Err(CatalogError::Conflict("more bytes came than were announced".to_owned()));
        }
        query("UPDATE uploads SET bytes_received = ?, updated_at = ? WHERE id = ?")
            .bind(bytes)
            .bind(now()?)
            .bind(id)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends an upload; `false` if it had ended. A status that is not final: `VALIDATION_ERROR`.
    pub async fn finish_upload(&self, id: &str, result: &UploadResult) -> Result<bool> {
        if !result.status.is_final() {
            return Err(CatalogError::Validation {
                field: "status",
                issue: "must be a final one".to_owned(),
            });
        }
        let moved = query(
            // The document may have been deleted since; then there is nothing to point to.
            "UPDATE uploads SET status = ?, result = ?, updated_at = ?,
                 document_id = COALESCE((SELECT id FROM documents WHERE id = ?), document_id)
             WHERE id = ? AND status IN ('receiving', 'processing')",
        )
        .bind(result.status.as_str())
        .bind(rows::json(&result.data)?)
        .bind(now()?)
        .bind(&result.document_id)
        .bind(id)
        .execute(&self.writer)
        .await?;
        Ok(moved > 0)
    }

    /// Returns the uploads that are receiving or processing, oldest first.
    pub async fn open_uploads(&self) -> Result<Vec<Upload>> {
        let found = query(select_upload!(
            "WHERE u.status IN ('receiving', 'processing') ORDER BY u.created_at, u.id"
        ))
        .fetch_all(&self.reader)
        .await?;
        found.iter().map(rows::upload).collect()
    }

    /// Forgets uploads that ended, or last received anything, before `before`; returns the identifiers of those that were still receiving,
    /// whose staged bytes are to be dropped.
    pub async fn expire_uploads(&self, before: time::OffsetDateTime) -> Result<Vec<String>> {
        // One that is being processed ends with its document.
        let gone = query(
            "DELETE FROM uploads WHERE updated_at < ? AND status <> 'processing'
             RETURNING id, CAST(CASE WHEN status = 'receiving' THEN 1 ELSE 0 END AS BIGINT) AS receiving",
        )
        .bind(time_text(before)?)
        .fetch_all(&self.writer)
        .await?;
        let mut receiving = Vec::new();
        for row in &gone {
            if count::<i64>(row, "receiving")? != 0 {
                receiving.push(row.try_get("id")?);
            }
        }
        Ok(receiving)
    }
}

/// Ties an upload to the document that it became, inside the transaction that makes it.
pub(super) async fn attach(tx: &mut Tx, id: &str, document_id: &str, now: &str) -> Result<()> {
    let moved = query(
        "UPDATE uploads SET status = 'processing', document_id = ?, updated_at = ?,
             bytes_received = (SELECT file_size FROM documents WHERE documents.id = ?)
         WHERE id = ? AND status = 'receiving'",
    )
    .bind(document_id)
    .bind(now)
    .bind(document_id)
    .bind(id)
    .execute(&mut *tx)
    .await?;
    if moved == 0 {
        return Err(CatalogError::Conflict(format!("upload {id:?} is no longer open")));
    }
    Ok(())
}
