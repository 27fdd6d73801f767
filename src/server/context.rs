//! What every connection shares, and what belongs to one of them.

use super::ServerSettings;
use crate::pipeline::Engine;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What every connection shares.
pub(super) struct Shared {
    /// As the operator set them.
    pub settings: ServerSettings,
    /// Everything that is not the network.
    pub engine: Arc<Engine>,
    /// Where the server listens.
    pub local: SocketAddr,
    /// A shutdown was asked for: finish what is in flight, begin nothing.
    pub stopping: CancellationToken,
    /// The time to finish is over.
    pub deadline: CancellationToken,
    /// Permits for connections, as many as the settings allow.
    pub places: Arc<Semaphore>,
    /// Connections and sessions, so that a shutdown can wait for them.
    pub tasks: TaskTracker,
}

/// One connection's place among the permitted ones. A socket session that outlives its HTTP
/// connection keeps it by holding a clone.
#[derive(Debug, Clone)]
pub(super) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Place {
    /// Holds `permit` until the last clone is gone.
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Arc::new(permit) }
    }
}
