//! What servers over one PostgreSQL share: their lives, the ownership of work, NOTIFY, advisory locks, API keys, components of plugins.

use super::database::{Pool, query};
use super::rows;
use super::uploads::select_upload;
use crate::{Claimed, Collection, DocumentRecord, DocumentState, LEASE, Notification, Reindex, Result, Upload};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::time::Duration;

/// The messages between servers.
const MESSAGES: &str = "ibid_said";
/// The numbers of events.
const EVENTS: &str = "ibid_events";
/// That API keys were made or revoked.
const API_KEYS: &str = "ibid_api_keys";
/// Documents that are claimed at a time: what a dead server leaves is for all that live.
const CLAIM: u32 = 64;
/// Locks that a server may hold or wait for at a time; each is a connection.
const LOCKS: u32 = 8;
/// How long a lock is waited for: another server's upload to an object store may be long.
const LOCK_WAIT: Duration = Duration::from_secs(120);

/// This server's part in what the servers over one catalog share.
pub struct Shared {
    pool: PgPool,
    catalog: Pool,
    locks: PgPool,
    server: String,
}

impl Shared {
    /// Makes the part of a server whose connections are `pool`. It is not alive before its first heartbeat.
    pub(super) fn new(pool: PgPool, connect: PgConnectOptions, server: String) -> Self {
        let locks = PgPoolOptions::new()
            .max_connections(LOCKS)
            .acquire_timeout(LOCK_WAIT)
            .connect_lazy_with(connect);
        Self {
            catalog: Pool::Postgres(pool.clone()),
            pool,
            locks,
            server,
        }
    }

    pub(super) async fn close(&self) {
        self.locks.close().await;
    }
}

/// A condition on a column `owner`: nobody, or a server that is dead. Takes the lease in seconds.
macro_rules! unowned {
    () => {
        "(owner IS NULL OR owner NOT IN (SELECT id FROM servers WHERE seen_at > now() - make_interval(secs => ?)))"
    };
}

impl Shared {
    /// Returns this server's identifier: another one at each start.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Records that this server is alive, as it is from the first time on. `false`: its heartbeats were missing for so long that others may
    /// have taken its work, or it is the first time.
    pub async fn heartbeat(&self) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let alive: Option<bool> =
            sqlx::query_scalar("SELECT seen_at > now() - make_interval(secs => $1) FROM servers WHERE id = $2 FOR UPDATE")
                .bind(LEASE.as_secs_f64())
                .bind(&self.server)
                .fetch_optional(&mut *tx)
                .await?;
        sqlx::query("INSERT INTO servers (id, version) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()")
            .bind(&self.server)
            .bind(env!("CARGO_PKG_VERSION"))
            .execute(&mut *tx)
            .await?;
        // Whoever is not in the table is dead; what is here no more is not needed to know it.
        sqlx::query("DELETE FROM servers WHERE seen_at < now() - interval '1 day'")
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(alive == Some(true))
    }

    /// Returns the servers that are alive beside this one, by identifier.
    pub async fn others(&self) -> Result<Vec<String>> {
        let alive = sqlx::query_scalar("SELECT id FROM servers WHERE id <> $1 AND seen_at > now() - make_interval(secs => $2) ORDER BY id")
            .bind(&self.server)
            .bind(LEASE.as_secs_f64())
            .fetch_all(&self.pool)
            .await?;
        Ok(alive)
    }

    /// Declares a server dead: what it did can be claimed at once.
    pub async fn deregister(&self, server: &str) -> Result<()> {
        sqlx::query("DELETE FROM servers WHERE id = $1")
            .bind(server)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes work that nobody does: of servers that ended or were deregistered, and, if `expired` is set, of those without a heartbeat for
    /// [`LEASE`].
    pub async fn claim(&self, expired: bool) -> Result<Claimed> {
        // Whoever is in the table at all had a heartbeat within a day.
        let lease = if expired { LEASE.as_secs_f64() } else { 2.0 * 86_400.0 };
        let mut claimed = Claimed::default();
        let mut tx = self.catalog.write().await?;
        // Rows that another server looks at are its to claim.
        let found = query(concat!(
            "UPDATE collections SET owner = ? WHERE id IN
                 (SELECT id FROM collections WHERE state = 'deleting' AND ",
            unowned!(),
            " FOR UPDATE SKIP LOCKED) RETURNING *"
        ))
        .bind(&self.server)
        .bind(lease)
        .fetch_all(&mut tx)
        .await?;
        claimed.deleting_collections = found.iter().map(rows::collection).collect::<Result<Vec<Collection>>>()?;
        let found = query(concat!(
            "WITH d AS (UPDATE documents SET owner = ? WHERE id IN
                 (SELECT id FROM documents WHERE state NOT IN ('live', 'failed') AND ",
            unowned!(),
            " ORDER BY created_at, id LIMIT ? FOR UPDATE SKIP LOCKED) RETURNING *)
             SELECT d.*, c.name AS collection FROM d JOIN collections c ON c.id = d.collection_id AND c.state = 'live'
             ORDER BY d.created_at, d.id"
        ))
        .bind(&self.server)
        .bind(lease)
        .bind(CLAIM)
        .fetch_all(&mut tx)
        .await?;
        let documents = found.iter().map(rows::document).collect::<Result<Vec<DocumentRecord>>>()?;
        (claimed.deleting_documents, claimed.documents) = documents
            .into_iter()
            .partition(|document| document.state == DocumentState::Deleting);
        let found = query(concat!(
            "UPDATE reindexes SET owner = ? WHERE collection_id IN
                 (SELECT collection_id FROM reindexes WHERE status = 'running' AND ",
            unowned!(),
            " FOR UPDATE SKIP LOCKED) RETURNING *"
        ))
        .bind(&self.server)
        .bind(lease)
        .fetch_all(&mut tx)
        .await?;
        claimed.reindexes = found.iter().map(rows::reindex).collect::<Result<Vec<Reindex>>>()?;
        let found = query(concat!(
            "WITH u AS (UPDATE uploads SET owner = ? WHERE id IN
                 (SELECT id FROM uploads WHERE status = 'receiving' AND ",
            unowned!(),
            " FOR UPDATE SKIP LOCKED) RETURNING *)
             SELECT u.*, c.name AS collection FROM u JOIN collections c ON c.id = u.collection_id"
        ))
        .bind(&self.server)
        .bind(lease)
        .fetch_all(&mut tx)
        .await?;
        claimed.uploads = found.iter().map(rows::upload).collect::<Result<Vec<Upload>>>()?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Takes an upload whose bytes are to come here from now on; `None` if they are not coming any more.
    pub async fn take_upload(&self, id: &str) -> Result<Option<Upload>> {
        let taken = query("UPDATE uploads SET owner = ? WHERE id = ? AND status = 'receiving'")
            .bind(&self.server)
            .bind(id)
            .execute(&self.catalog)
            .await?;
        if taken == 0 {
            return Ok(None);
        }
        let row = query(select_upload!("WHERE u.id = ?"))
            .bind(id)
            .fetch_optional(&self.catalog)
            .await?;
        row.as_ref().map(rows::upload).transpose()
    }

    /// Sends a message to all other servers; at most some 7,000 bytes.
    pub async fn send(&self, message: &str) -> Result<()> {
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(MESSAGES)
            .bind(message)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Listens from now on.
    pub async fn listen(&self) -> Result<Listener> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all([MESSAGES, EVENTS, API_KEYS]).await?;
        Ok(Listener(listener))
    }

    /// Waits until no other server holds what `name` stands for, and holds it until the guard is dropped, or this server is dead.
    pub async fn exclusive(&self, name: &str) -> Result<Box<dyn Send + Sync>> {
        let mut key = [0; 8];
        let digest = Sha256::digest(name.as_bytes());
        key.iter_mut().zip(digest).for_each(|(byte, of)| *byte = of);
        let mut tx = self.locks.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(i64::from_be_bytes(key))
            .execute(&mut *tx)
            .await?;
        // Dropped, it is rolled back, which releases the lock; so does the end of the connection.
        Ok(Box::new(tx))
    }

    /// Returns the API keys, in the order in which they were made, as they were [added](Self::add_api_key).
    pub async fn api_keys(&self) -> Result<Vec<String>> {
        let all = sqlx::query_scalar("SELECT key FROM api_keys ORDER BY made_at, id")
            .fetch_all(&self.pool)
            .await?;
        Ok(all)
    }

    /// Keeps an API key for all servers, and notifies them: a text that `auth` understands. `false` if there is another one of that name.
    pub async fn add_api_key(&self, id: &str, name: &str, key: &str) -> Result<bool> {
        let added = sqlx::query("INSERT INTO api_keys (id, name, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(id)
            .bind(name)
            .bind(key)
            .execute(&self.pool)
            .await?;
        if added.rows_affected() > 0 {
            return Ok(true);
        }
        let there = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM api_keys WHERE id = $1)");
        Ok(there.bind(id).fetch_one(&self.pool).await?)
    }

    /// Forgets an API key, and notifies all servers; `false` if it was not there.
    pub async fn remove_api_key(&self, id: &str) -> Result<bool> {
        let gone = sqlx::query("DELETE FROM api_keys WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected() > 0)
    }

    /// Keeps a plugin's component for all servers; nothing happens if it is there.
    pub async fn add_component(&self, digest: &str, component: &[u8]) -> Result<()> {
        sqlx::query("INSERT INTO components (digest, component) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING")
            .bind(digest)
            .bind(component)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets a component; `false` if it was not there.
    pub async fn remove_component(&self, digest: &str) -> Result<bool> {
        let gone = sqlx::query("DELETE FROM components WHERE digest = $1")
            .bind(digest)
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected() > 0)
    }

    /// Returns the digests of the components that servers share.
    pub async fn components(&self) -> Result<Vec<String>> {
        let all = sqlx::query_scalar("SELECT digest FROM components ORDER BY digest")
            .fetch_all(&self.pool)
            .await?;
        Ok(all)
    }

    /// Returns a component.
    pub async fn component(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let component = sqlx::query_scalar("SELECT component FROM components WHERE digest = $1")
            .bind(digest)
            .fetch_optional(&self.pool)
            .await?;
        Ok(component)
    }

    /// Ends this server's life: its work is for others from now on.
    pub async fn leave(&self) -> Result<()> {
        self.deregister(&self.server).await
    }
}

/// A connection that receives what PostgreSQL notifies of.
pub struct Listener(PgListener);

impl Listener {
    /// Returns the next notification; waits for the database where it is away.
    pub async fn recv(&mut self) -> Result<Notification> {
        loop {
            // `None`: the connection was lost, and is there again.
            let Some(received) = self.0.try_recv().await? else {
                return Ok(Notification::Missed);
            };
            match received.channel() {
                MESSAGES => return Ok(Notification::Message(received.payload().to_owned())),
                API_KEYS => return Ok(Notification::ApiKeys),
                _ => {
                    if let Ok(seq) = received.payload().parse() {
                        return Ok(Notification::Event(seq));
                    }
                }
            }
        }
    }
}
