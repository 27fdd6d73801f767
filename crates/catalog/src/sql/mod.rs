//! The catalog in SQL: in a SQLite file, or in a PostgreSQL database that several servers share. One file per topic; this one
//! opens the database and joins them to the trait.
//!
//! SQLite has one writer, several readers, and a write-ahead log that is synchronised at every commit.

mod chunks;
mod collections;
mod database;
mod deletion;
mod documents;
mod events;
mod generations;
mod migrations;
mod rows;
mod shared;
mod uploads;

use super::settings::PostgresOptions;
use super::shared::Shared;
use super::{
    Catalog, CatalogError, Chunk, Collection, CollectionStats, Creation, DeletionReceipt, DocumentQuery, DocumentRecord, DocumentState,
    Event, Extracted, Listing, LocatedChunk, NewDocument, NewEvent, NewReindex, NewUpload, Reindex, ReindexStatus, Remade, RemadeState,
    Replay, Result, Swap, Upload, UploadResult,
};
use async_trait::async_trait;
use database::{Dialect, Pool, Tx, query};
use ibid_types::IndexBackend;
use serde_json::Value;
use shared::PostgresShared;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Settings of the catalog in SQLite.
#[derive(Debug, Clone, Copy)]
pub struct SqliteOptions {
    /// Connections that read beside the one that writes; at least 1.
    pub readers: u32,
    /// How many numbers back the log of events reaches; at least 1.
    pub max_events: u64,
    /// How long a call waits for a connection, or for another process that writes, before it fails.
    pub wait: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        // A read takes some 50 us, so four of them outrun any query pipeline; 10,000 events are a
        // few MB and hours of work; a write takes milliseconds, so that ten seconds mean trouble.
        Self {
            readers: 4,
            max_events: 10_000,
            wait: Duration::from_secs(10),
        }
    }
}

/// The catalog in a database.
pub struct SqlCatalog {
    writer: Pool,
    reader: Pool,
    max_events: u64,
    shared: Option<Arc<PostgresShared>>,
}

impl SqlCatalog {
    /// Opens the catalog in the SQLite file `path`, makes it (and its directory) if it is not there, and brings its
    /// schema up to date.
    pub async fn sqlite(path: &Path, options: SqliteOptions) -> Result<Self> {
        if let Some(directory) = path.parent() {
            tokio::fs::create_dir_all(directory).await.map_err(CatalogError::Directory)?;
        }
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(options.wait)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode FULL synchronises the log at each commit: what was acknowledged survives a power cut.
            .synchronous(SqliteSynchronous::Full);
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(options.wait)
                .idle_timeout(None)
                .max_lifetime(None)
                // On a full disk SQLite ends a transaction by itself; the driver then fails to roll it back, and would refuse to begin
                // another on this connection for ever. False has it closed, and another one opened.
                .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
        };
        // One connection that writes: writers then queue here, in order, rather than on SQLite's lock.
        let writer = pool().max_connections(1).connect_with(connect.clone()).await?;
        migrations::sqlite().run(&writer).await?;
        let reader = pool()
            .max_connections(options.readers.max(1))
            .connect_with(connect.create_if_missing(false).pragma("query_only", "ON"))
            .await?;
        Ok(Self {
            writer: Pool::Sqlite(writer),
            reader: Pool::Sqlite(reader),
            max_events: options.max_events.max(1),
            shared: None,
        })
    }

    /// Opens the catalog in a PostgreSQL database, and brings its schema up to date. Several servers may do so at once.
    pub async fn postgres(options: &PostgresOptions) -> Result<Self> {
        let server = uuid::Uuid::now_v7().simple().to_string();
        let connect = PgConnectOptions::from_str(options.url.expose())
            .map_err(|error| CatalogError::Address(error.to_string()))?
            .application_name("ibid")
            .options([("ibid.server", &server)]);
        // A pool tries until its time is over, and does not tell why in vain.
        let first = PgConnection::connect_with(&connect).await.map_err(CatalogError::Unreachable)?;
        first.close().await.map_err(CatalogError::Unreachable)?;
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(2))
            .acquire_timeout(options.wait)
            .connect_with(connect.clone())
            .await
            .map_err(CatalogError::Unreachable)?;
        migrations::postgres().run(&pool).await?;
        let shared = PostgresShared::new(pool.clone(), connect, server);
        Ok(Self {
            shared: Some(Arc::new(shared)),
            writer: Pool::Postgres(pool.clone()),
            reader: Pool::Postgres(pool),
            max_events: options.max_events.max(1),
        })
    }

    fn dialect(&self) -> Dialect {
        self.reader.dialect()
    }

    /// Begins a transaction that may write.
    async fn write(&self) -> Result<Tx> {
        Ok(self.writer.write().await?)
    }

    /// Begins a transaction that sees one moment.
    async fn read(&self) -> Result<Tx> {
        Ok(self.reader.read().await?)
    }
}

#[async_trait]
impl Catalog for SqlCatalog {
    async fn create_collection(
        &self,
        name: &str,
        pipeline: &Value,
        lock: &Value,
        place: IndexBackend,
        event: NewEvent,
    ) -> Result<(Collection, Event)> {
        collections::create(self, name, pipeline, lock, place, event).await
    }
    async fn begin_move(&self, id: &str, to: IndexBackend) -> Result<bool> {
        collections::begin_move(self, id, to).await
    }
    async fn stop_move(&self, id: &str) -> Result<bool> {
        collections::stop_move(self, id).await
    }
    async fn finish_move(&self, id: &str, event: NewEvent) -> Result<Option<Event>> {
        collections::finish_move(self, id, event).await
    }
    async fn collection(&self, name: &str) -> Result<Collection> {
        collections::by_name(self, name).await
    }
    async fn collection_by_id(&self, id: &str) -> Result<Collection> {
        collections::by_id(self, id).await
    }
    async fn collections(&self) -> Result<Vec<Collection>> {
        collections::in_state(self, "live").await
    }
    async fn set_pipeline(&self, id: &str, pipeline: &Value, lock: &Value, event: NewEvent) -> Result<Option<Event>> {
        collections::set_pipeline(self, id, pipeline, lock, event).await
    }
    async fn begin_delete_collection(&self, name: &str) -> Result<Collection> {
        collections::begin_delete(self, name).await
    }
    async fn finish_delete_collection(&self, id: &str, event: NewEvent) -> Result<Option<Event>> {
        collections::finish_delete(self, id, event).await
    }
    async fn deleting_collections(&self) -> Result<Vec<Collection>> {
        collections::in_state(self, "deleting").await
    }
    async fn stats(&self, collection_id: &str) -> Result<CollectionStats> {
        collections::stats(self, collection_id).await
    }
    async fn all_stats(&self) -> Result<Vec<(String, CollectionStats)>> {
        collections::all_stats(self).await
    }

    async fn create_document(&self, new: NewDocument) -> Result<Creation> {
        documents::create(self, new).await
    }
    async fn document(&self, id: &str) -> Result<DocumentRecord> {
        documents::get(self, id).await
    }
    async fn live_documents(&self, ids: &[String]) -> Result<Vec<DocumentRecord>> {
        documents::live(self, ids).await
    }
    async fn list_documents(&self, query: &DocumentQuery) -> Result<Listing<DocumentRecord>> {
        documents::list(self, query).await
    }
    async fn begin_attempt(&self, id: &str) -> Result<Option<u32>> {
        documents::begin_attempt(self, id).await
    }
    async fn set_extracted(&self, id: &str, found: &Extracted) -> Result<bool> {
        documents::set_extracted(self, id, found).await
    }
    async fn annotate(&self, id: &str, key: &str, value: &str) -> Result<bool> {
        documents::annotate(self, id, key, value).await
    }
    async fn set_chunked(&self, id: &str, chunks: &[Chunk]) -> Result<bool> {
        documents::set_chunked(self, id, chunks).await
    }
    async fn set_progress(&self, id: &str, chunks_indexed: u32) -> Result<bool> {
        documents::set_progress(self, id, chunks_indexed).await
    }
    async fn set_embedded(&self, id: &str) -> Result<bool> {
        documents::set_embedded(self, id).await
    }
    async fn set_indexed(&self, id: &str) -> Result<bool> {
        documents::set_indexed(self, id).await
    }
    async fn set_live(&self, id: &str, processing_seconds: f64, event: NewEvent) -> Result<Option<Event>> {
        documents::set_live(self, id, processing_seconds, event).await
    }
    async fn reopen(&self, id: &str) -> Result<bool> {
        documents::reopen(self, id).await
    }
    async fn extract_again(&self, id: &str) -> Result<bool> {
        documents::extract_again(self, id).await
    }
    async fn fail(&self, id: &str, code: &str, message: &str) -> Result<bool> {
        documents::fail(self, id, code, message).await
    }
    async fn unfinished(&self) -> Result<Vec<DocumentRecord>> {
        let states = DocumentState::ALL.iter().copied().filter(|state| state.is_processing());
        documents::in_states(self, states, None).await
    }
    async fn hidden_documents(&self, collection_id: &str) -> Result<Vec<String>> {
        documents::hidden(self, collection_id).await
    }
    async fn live_chunk_counts(&self, collection_id: &str) -> Result<Vec<(String, u32)>> {
        documents::live_chunk_counts(self, collection_id).await
    }
    async fn file_references(&self, sha256: &str) -> Result<u64> {
        documents::file_references(self, sha256).await
    }

    async fn begin_delete(&self, id: &str) -> Result<DocumentRecord> {
        deletion::begin(self, id).await
    }
    async fn deleting_documents(&self, collection_id: Option<&str>) -> Result<Vec<DocumentRecord>> {
        documents::in_states(self, std::iter::once(DocumentState::Deleting), collection_id).await
    }
    async fn finish_delete(&self, id: &str, event: Option<NewEvent>) -> Result<Option<(DeletionReceipt, Option<Event>)>> {
        deletion::finish(self, id, event).await
    }

    async fn begin_reindex(&self, collection_id: &str, new: &NewReindex, event: NewEvent) -> Result<(Reindex, Event)> {
        generations::begin(self, collection_id, new, event).await
    }
    async fn reindex(&self, collection_id: &str) -> Result<Option<Reindex>> {
        generations::get(self, collection_id).await
    }
    async fn running_reindexes(&self) -> Result<Vec<Reindex>> {
        generations::running(self).await
    }
    async fn set_reindex_lock(&self, collection_id: &str, generation: u32, lock: &Value) -> Result<bool> {
        generations::set_lock(self, collection_id, generation, lock).await
    }
    async fn next_to_remake(&self, collection_id: &str, generation: u32, after: Option<&str>) -> Result<Option<DocumentRecord>> {
        generations::next(self, collection_id, generation, after).await
    }
    async fn begin_remake(&self, new: &Remade) -> Result<Option<Remade>> {
        generations::begin_remake(self, new).await
    }
    async fn save_remade(&self, remade: &Remade, chunks: Option<&[Chunk]>) -> Result<bool> {
        generations::save_remade(self, remade, chunks).await
    }
    async fn remade_counts(&self, collection_id: &str) -> Result<Vec<(String, RemadeState, u32)>> {
        generations::remade_counts(self, collection_id).await
    }
    async fn remade_text(&self, document_id: &str) -> Result<Option<u32>> {
        generations::remade_text(self, document_id).await
    }
    async fn forget_remade(&self, document_id: &str, generation: u32) -> Result<()> {
        generations::forget_remade(self, document_id, generation).await
    }
    async fn swap_generation(&self, collection_id: &str, generation: u32, events: Vec<NewEvent>) -> Result<Swap> {
        generations::swap(self, collection_id, generation, events).await
    }
    async fn end_reindex(
        &self,
        reindex: &Reindex,
        status: ReindexStatus,
        error: Option<(&str, &str)>,
        event: NewEvent,
    ) -> Result<Option<Event>> {
        generations::end(self, reindex, status, error, event).await
    }
    async fn sweep_generations(&self, collection_id: &str) -> Result<u64> {
        generations::sweep(self, collection_id).await
    }

    async fn chunks(&self, document_id: &str, generation: u32, from: u32, limit: u32) -> Result<Vec<Chunk>> {
        chunks::range(self, document_id, generation, from, limit).await
    }
    async fn chunks_by_refs(&self, generation: u32, refs: &[(String, u32)]) -> Result<Vec<LocatedChunk>> {
        chunks::by_refs(self, generation, refs).await
    }

    async fn create_upload(&self, new: NewUpload) -> Result<Upload> {
        uploads::create(self, new).await
    }
    async fn upload(&self, id: &str) -> Result<Upload> {
        uploads::get(self, id).await
    }
    async fn set_upload_received(&self, id: &str, bytes: u64) -> Result<bool> {
        uploads::set_received(self, id, bytes).await
    }
    async fn finish_upload(&self, id: &str, result: &UploadResult) -> Result<bool> {
        uploads::finish(self, id, result).await
    }
    async fn open_uploads(&self) -> Result<Vec<Upload>> {
        uploads::open(self).await
    }
    async fn expire_uploads(&self, before: time::OffsetDateTime) -> Result<Vec<String>> {
        uploads::expire(self, before).await
    }

    async fn append_event(&self, collection_id: &str, event: NewEvent) -> Result<Event> {
        events::append_event(self, collection_id, event).await
    }
    async fn events_since(&self, after: u64, collections: Option<&[String]>, limit: u32) -> Result<Replay> {
        events::since(self, after, collections, limit).await
    }

    async fn copy_to(&self, path: &Path) -> Result<()> {
        let Pool::Sqlite(writer) = &self.writer else {
            return Err(CatalogError::Conflict(
                "the catalog is in PostgreSQL: back it up with pg_dump, and the object store and Qdrant with it (docs/servers.md)"
                    .to_owned(),
            ));
        };
        // Of its own: the readers may only query, and the writer would keep others waiting.
        let mut connection = SqliteConnection::connect_with(&writer.connect_options()).await?;
        let path = path.to_str().ok_or_else(|| CatalogError::Validation {
            field: "path",
            issue: "is not UTF-8".to_owned(),
        })?;
        sqlx::query("VACUUM INTO ?").bind(path).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }
    async fn check(&self) -> Result<()> {
        query("SELECT 1").execute(&self.reader).await?;
        Ok(())
    }
    fn shared(&self) -> Option<Arc<dyn Shared>> {
        self.shared.clone().map(|shared| shared as Arc<dyn Shared>)
    }
    async fn close(&self) {
        if let Some(shared) = &self.shared {
            shared.close().await;
        }
        self.reader.close().await;
        self.writer.close().await;
    }
}
