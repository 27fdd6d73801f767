//! What servers over one catalog share beside the catalog's rows: who is alive, whose work is whose, what they tell each other,
//! and what only one of them may do at a time.
//!
//! A server is alive while it says so (see [`Shared::beat`]). Work belongs to the server that began it, and to whoever claims it
//! once that one is dead. Everything here is about servers that crash or vanish, none about servers that lie: they trust each
//! other as they trust the database.

use super::{Collection, DocumentRecord, Reindex, Result, Upload};
use async_trait::async_trait;
use std::time::Duration;

/// How long a server that says nothing counts as alive.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often a server says that it is alive: it may miss three times.
pub const BEAT: Duration = Duration::from_secs(4);

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

/// What a server hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// An event of this number was recorded, by any server.
    Event(u64),
    /// Another server said something.
    Said(String),
    /// API keys were made or revoked.
    ApiKeys,
    /// The connection was lost for a while: anything may have been said.
    Missed,
}

/// A connection that hears what servers say.
#[async_trait]
pub trait Ear: Send {
    /// The next that is heard; waits for the database where it is away.
    async fn hear(&mut self) -> Result<Heard>;
}

/// A catalog that several servers share.
#[async_trait]
pub trait Shared: Send + Sync {
    /// This server's identifier: another one at each start.
    fn server(&self) -> &str;
    /// Says that this server is alive, as it is from the first time on. `false`: it had been silent for so long that others may have
    /// taken its work, or it is the first time.
    async fn beat(&self) -> Result<bool>;
    /// Servers that are alive beside this one, by identifier.
    async fn others(&self) -> Result<Vec<String>>;
    /// Declares a server dead: what it did can be claimed at once.
    async fn bury(&self, server: &str) -> Result<()>;
    /// Takes work that nobody does: of servers that ended or were buried, and, if `silent` says so, of those that have said nothing
    /// for [`LEASE`].
    async fn claim(&self, silent: bool) -> Result<Claimed>;
    /// Takes an upload whose bytes are to come here from now on; `None` if they are not coming any more.
    async fn take_upload(&self, id: &str) -> Result<Option<Upload>>;
    /// Tells all other servers; at most some 7,000 bytes.
    async fn say(&self, message: &str) -> Result<()>;
    /// Listens from now on.
    async fn listen(&self) -> Result<Box<dyn Ear>>;
    /// Waits until no other server holds what `name` stands for, and holds it until the guard is dropped, or this server is dead.
    async fn exclusive(&self, name: &str) -> Result<Box<dyn Send + Sync>>;
    /// API keys, in the order in which they were made, as they were [added](Self::add_api_key).
    async fn api_keys(&self) -> Result<Vec<String>>;
    /// Keeps an API key for all servers, who hear of it: a text that `auth` understands. `false` if there is another one of
    /// that name.
    async fn add_api_key(&self, id: &str, name: &str, key: &str) -> Result<bool>;
    /// Forgets an API key, of which all servers hear; `false` if it was not there.
    async fn remove_api_key(&self, id: &str) -> Result<bool>;
    /// Keeps a plugin's component for all servers; nothing happens if it is there.
    async fn add_component(&self, digest: &str, component: &[u8]) -> Result<()>;
    /// Forgets a component; `false` if it was not there.
    async fn remove_component(&self, digest: &str) -> Result<bool>;
    /// Digests of the components that servers share.
    async fn components(&self) -> Result<Vec<String>>;
    /// A component.
    async fn component(&self, digest: &str) -> Result<Option<Vec<u8>>>;
    /// Ends this server's life: its work is for others from now on.
    async fn leave(&self) -> Result<()>;
}
