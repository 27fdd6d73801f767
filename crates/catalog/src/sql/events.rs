//! The bounded log of events.

use super::Catalog;
use super::database::{Query, Tx, query};
use super::rows::{self, count, now, to_db};
use crate::{CatalogError, Event, NewEvent, Replay, Result, validate};

/// Records an event inside another transaction. `document_id` ties it to a document, with which it goes.
pub(super) async fn append(
    catalog: &Catalog,
    tx: &mut Tx,
    collection_id: &str,
    document_id: Option<&str>,
    event: NewEvent,
) -> Result<Event> {
    let row = query(tx.dialect().pick(
        "INSERT INTO events (collection_id, collection, document_id, kind, data, created_at)
         SELECT id, name, ?, ?, ?, ? FROM collections WHERE id = ? RETURNING *",
        // A sequence gives out numbers that nobody sees yet, and loses some: here they come in the order of the commits.
        "WITH next AS (UPDATE event_numbers SET last = last + 1 RETURNING last)
         INSERT INTO events (seq, collection_id, collection, document_id, kind, data, created_at)
         SELECT next.last, id, name, ?, ?, ?, ? FROM collections, next WHERE id = ? RETURNING *",
    ))
    .bind(document_id)
    .bind(event.kind)
    .bind(rows::json(&event.data)?)
    .bind(now()?)
    .bind(collection_id)
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| CatalogError::CollectionNotFound(collection_id.to_owned()))?;
    let event = rows::event(&row)?;
    let through = event.seq.saturating_sub(catalog.max_events);
    if through > 0 {
        trim(tx, to_db(through)?).await?;
    }
    Ok(event)
}

/// Drops events up to `through`, and keeps the account of what each collection lost.
async fn trim(tx: &mut Tx, through: i64) -> Result<()> {
    query(
        "INSERT INTO event_horizons (collection, through_seq, dropped)
         SELECT collection, MAX(seq), COUNT(*) FROM events WHERE seq <= ? GROUP BY collection
         ON CONFLICT (collection) DO UPDATE
         SET through_seq = excluded.through_seq, dropped = event_horizons.dropped + excluded.dropped",
    )
    .bind(through)
    .execute(&mut *tx)
    .await?;
    query("DELETE FROM events WHERE seq <= ?").bind(through).execute(&mut *tx).await?;
    Ok(())
}

/// Forgets the events of a document that goes.
pub(super) async fn forget_document(tx: &mut Tx, document_id: &str) -> Result<()> {
    query("DELETE FROM events WHERE document_id = ?")
        .bind(document_id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Forgets the events of a collection that goes.
pub(super) async fn forget_collection(tx: &mut Tx, collection_id: &str) -> Result<()> {
    query("DELETE FROM events WHERE collection_id = ?")
        .bind(collection_id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Forgets what was lost under names that no collection has any more, which bounds that account.
pub(super) async fn forget_unused_names(tx: &mut Tx) -> Result<()> {
    query("DELETE FROM event_horizons WHERE collection NOT IN (SELECT name FROM collections)")
        .execute(&mut *tx)
        .await?;
    Ok(())
}

impl Catalog {
    /// Records an event of a collection; the oldest go when the log is full.
    pub async fn append_event(&self, collection_id: &str, event: NewEvent) -> Result<Event> {
        let mut tx = self.write().await?;
        let event = append(self, &mut tx, collection_id, None, event).await?;
        tx.commit().await?;
        Ok(event)
    }

    /// Returns up to `limit` (1..=1000) events after `after`, of the named collections or of all.
    pub async fn events_since(&self, after: u64, collections: Option<&[String]>, limit: u32) -> Result<Replay> {
        validate::limit(limit, 1000)?;
        // A number that no event can have is after all of them.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let names = collections.map(rows::json).transpose()?;
        let mut tx = self.read().await?;

        let only = |query: &mut Query| {
            if let Some(names) = &names {
                query
                    .push(" AND collection IN (SELECT value FROM json_each(")
                    .push_bind(names.clone())
                    .push("))");
            }
        };
        let mut page = query("SELECT * FROM events WHERE seq > ");
        page.push_bind(after);
        only(&mut page);
        page.push(" ORDER BY seq LIMIT ").push_bind(limit);
        let found = page.fetch_all(&mut tx).await?;

        // A collection lost at most what it ever dropped, and at most as many as there are numbers
        // between. Counting over the named collections only tells nothing of the others.
        let mut lost = query("SELECT CAST(COALESCE(SUM(CASE WHEN dropped < through_seq - ");
        lost.push_bind(after).push(" THEN dropped ELSE through_seq - ").push_bind(after);
        lost.push(" END), 0) AS BIGINT) AS missed FROM event_horizons WHERE through_seq > ")
            .push_bind(after);
        only(&mut lost);
        let missed = count(&lost.fetch_one(&mut tx).await?, "missed")?;

        let last = query(tx.dialect().pick(
            "SELECT seq FROM sqlite_sequence WHERE name = 'events'",
            "SELECT last AS seq FROM event_numbers",
        ))
        .fetch_optional(&mut tx)
        .await?;
        let last_seq = match last {
            Some(row) => u64::try_from(row.try_get::<i64>("seq")?).unwrap_or(0),
            None => 0,
        };
        tx.commit().await?;
        Ok(Replay {
            events: found.iter().map(rows::event).collect::<Result<_>>()?,
            missed,
            last_seq,
        })
    }
}
