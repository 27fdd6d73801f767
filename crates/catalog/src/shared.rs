//! What servers over one catalog share beside the catalog's rows: who is alive, whose work is whose, the messages between
//! them, and what only one of them may do at a time. Plain data: [`Shared`](crate::Shared) has the statements.
//!
//! A server is alive while it sends [heartbeats](crate::Shared::heartbeat). Work belongs to the server that began it, and to whoever claims it
//! once that one is dead. Everything here is about servers that crash or vanish, none about servers that lie: they trust each
//! other as they trust the database.

use super::{Collection, DocumentRecord, Reindex, Upload};
use std::time::Duration;

/// How long a server without a heartbeat counts as alive.
pub const LEASE: Duration = Duration::from_secs(15);
/// The time between two heartbeats of a server: it may miss three.
pub const HEARTBEAT: Duration = Duration::from_secs(4);

/// Work whose server is dead, or that nobody does, and that is this server's from now on.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Documents to process, oldest first.
    pub documents: Vec<DocumentRecord>,
    /// Documents to go on deleting.
    pub deleting_documents: Vec<DocumentRecord>,
    /// Collections to go on deleting.
    pub deleting_collections: Vec<Collection>,
    /// Re-indexes to go on with.
    pub reindexes: Vec<Reindex>,
    /// Uploads whose bytes came to that server.
    pub uploads: Vec<Upload>,
}

/// What the database notifies a server of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// An event of this number was recorded, by any server.
    Event(u64),
    /// Another server sent a message.
    Message(String),
    /// API keys were made or revoked.
    ApiKeys,
    /// The connection was lost for a while: any notification may be missing.
    Missed,
}
