//! The other servers over the same catalog, as services see them.
//!
//! [`Alone`] is a server whose catalog is its own: every request to its peers is done at once. [`cluster::Cluster`] is one of several. What a
//! peer sends arrives as a [`cluster::PeerMessage`] on a channel.

pub(crate) mod cluster;
pub(crate) mod message;
pub(crate) mod sync;

use crate::error::PipelineError;
use async_trait::async_trait;
use ibid_catalog::Upload;
pub(crate) use message::Stop;
use std::time::Duration;

/// What a service asks of the other servers.
#[async_trait]
pub(crate) trait Peers: Send + Sync {
    /// Whether other servers may work on the same collections.
    fn is_shared(&self) -> bool;

    /// Has every other server stop what it does with something, and waits until they have, or count as dead.
    async fn stop(&self, stop: Stop) -> Result<(), PipelineError>;

    /// Waits at most `longest` for queries of other servers that may still read a generation that was replaced.
    async fn wait_for_queries(&self, longest: Duration);

    /// Makes an upload this server's, after every other server has released its bytes. `None` where it is this server's already,
    /// or nobody's any more.
    async fn take_upload(&self, id: &str) -> Result<Option<Upload>, PipelineError>;

    /// Shares a plugin that was installed here, by its digest and its component, and one that was removed.
    async fn share_plugin(&self, added: Option<(&str, &[u8])>, removed: Option<&str>) -> Result<(), PipelineError>;

    /// Leaves the other servers: they take this one's work from now on.
    async fn leave(&self);
}

/// A server that shares its catalog with nobody.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Alone;

#[async_trait]
impl Peers for Alone {
    fn is_shared(&self) -> bool {
        false
    }

    async fn stop(&self, _stop: Stop) -> Result<(), PipelineError> {
        Ok(())
    }

    async fn wait_for_queries(&self, _longest: Duration) {}

    async fn take_upload(&self, _id: &str) -> Result<Option<Upload>, PipelineError> {
        Ok(None)
    }

    async fn share_plugin(&self, _added: Option<(&str, &[u8])>, _removed: Option<&str>) -> Result<(), PipelineError> {
        Ok(())
    }

    async fn leave(&self) {}
}
