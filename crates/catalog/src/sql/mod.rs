//! The catalog in SQL: in a SQLite file, or in a PostgreSQL database that several servers share. One file per topic; this one
//! opens the database.
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

use super::{CatalogError, Result};
use database::{Dialect, Pool, Tx, query};
pub use shared::{Listener, Shared};
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

/// Settings of the catalog in PostgreSQL.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, with `?sslmode=` and the other parameters of libpq.
    pub url: String,
    /// Most connections of this server; at least 2.
    pub connections: u32,
    /// How many numbers back the log of events reaches; at least 1.
    pub max_events: u64,
    /// How long a call waits for a connection before it fails.
    pub wait: Duration,
}

impl PostgresOptions {
    /// Defaults for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            // Several servers share what PostgreSQL allows by default, 100.
            connections: 16,
            max_events: 10_000,
            wait: Duration::from_secs(10),
        }
    }
}

/// Without the password.
impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// The catalog, in a database.
///
/// Every method is one transaction: after `Ok` its effect survives a crash and a power cut, after `Err`, or when its future is dropped
/// before it is done, it took place wholly or not at all. Any method may fail with `INTERNAL_ERROR` when the database does, and with
/// `SERVICE_UNAVAILABLE` when its disk cannot be written.
pub struct Catalog {
    writer: Pool,
    reader: Pool,
    max_events: u64,
    shared: Option<Arc<Shared>>,
}

impl Catalog {
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
        let connect = PgConnectOptions::from_str(&options.url)
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
        let shared = Shared::new(pool.clone(), connect, server);
        Ok(Self {
            shared: Some(Arc::new(shared)),
            writer: Pool::Postgres(pool.clone()),
            reader: Pool::Postgres(pool),
            max_events: options.max_events.max(1),
        })
    }

    /// Copies the catalog as it is at one moment into a file that is not there yet. Writers go on meanwhile.
    pub async fn copy_to(&self, path: &Path) -> Result<()> {
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

    /// Checks that the database answers.
    pub async fn check(&self) -> Result<()> {
        query("SELECT 1").execute(&self.reader).await?;
        Ok(())
    }

    /// Returns what servers share over this catalog; `None` where it is one server's own.
    pub fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.clone()
    }

    /// Waits for what is under way and closes the database; later calls fail.
    pub async fn close(&self) {
        if let Some(shared) = &self.shared {
            shared.close().await;
        }
        self.reader.close().await;
        self.writer.close().await;
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
