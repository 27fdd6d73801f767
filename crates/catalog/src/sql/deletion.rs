//! Deleting documents, in two steps: hidden first, and gone when everything else of them is.

use super::database::query;
use super::documents::select_document;
use super::rows::{self, now};
use super::{Catalog, chunks, events, generations};
use crate::{CatalogError, DeletionReceipt, DocumentRecord, DocumentState, Event, NewEvent, Result};

impl Catalog {
    /// Begins to delete a document in any state: nothing shows it from now on, and no step of its processing is recorded any more.
    /// `RESOURCE_NOT_FOUND` if it is gone or already being deleted.
    pub async fn begin_delete(&self, id: &str) -> Result<DocumentRecord> {
        let mut tx = self.write().await?;
        let row = query(select_document!("WHERE d.id = ?")).bind(id).fetch_optional(&mut tx).await?;
        let mut document = rows::document(&row.ok_or_else(|| CatalogError::no_document(id))?)?;
        if document.state == DocumentState::Deleting {
            return Err(CatalogError::no_document(id));
        }
        query("UPDATE documents SET state = 'deleting', updated_at = ? WHERE id = ?")
            .bind(now()?)
            .bind(id)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        document.state = DocumentState::Deleting;
        Ok(document)
    }

    /// Returns the documents that are being deleted, of one collection or of all, oldest first.
    pub async fn deleting_documents(&self, collection_id: Option<&str>) -> Result<Vec<DocumentRecord>> {
        self.documents_in_states(std::iter::once(DocumentState::Deleting), collection_id)
            .await
    }

    /// Removes what the catalog has of a document that is being deleted (chunks, uploads, events, itself) and records `event`; `None` if
    /// it was not being deleted. Remove vectors, text and file before.
    pub async fn finish_delete(&self, id: &str, event: Option<NewEvent>) -> Result<Option<(DeletionReceipt, Option<Event>)>> {
        let mut tx = self.write().await?;
        let row = query(select_document!("WHERE d.id = ? AND d.state = 'deleting'"))
            .bind(id)
            .fetch_optional(&mut tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let document = rows::document(&row)?;
        chunks::delete_others(&mut tx, id, document.generation).await?;
        generations::forget_document(&mut tx, id).await?;
        let chunks = chunks::delete(&mut tx, id).await?;
        let uploads = query("DELETE FROM uploads WHERE document_id = ?").bind(id).execute(&mut tx).await?;
        events::forget_document(&mut tx, id).await?;
        query("DELETE FROM documents WHERE id = ?").bind(id).execute(&mut tx).await?;
        let event = match event {
            // Not tied to the document: it outlives the document.
            Some(event) => Some(events::append(self, &mut tx, &document.collection_id, None, event).await?),
            None => None,
        };
        tx.commit().await?;
        let receipt = DeletionReceipt {
            document_id: document.id,
            collection_id: document.collection_id,
            chunks,
            uploads,
            sha256: document.sha256,
        };
        Ok(Some((receipt, event)))
    }
}
