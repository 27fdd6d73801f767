//! What every connection shares, and what belongs to one of them.

use super::limits::{Counted, Limits};
use super::monitor::Monitor;
use super::tls::Tls;
use super::{Configuration, ServerSettings};
use ibid_auth::Authenticator;
use ibid_engine::Engine;
use ibid_telemetry::{Held, Throttle, catalogue};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes that an upload request may have in any case, so that several files fit into one.
const UPLOAD_REQUEST_BYTES: u64 = 1 << 30;
/// Bytes of an upload request beside its largest file.
const REQUEST_OVERHEAD: u64 = 1 << 20;

/// What every connection shares.
pub(super) struct Shared {
    /// As the operator set them.
    pub settings: ServerSettings,
    /// Encrypts connections; `None`: they are as they come.
    pub tls: Option<Tls>,
    /// Says who asks.
    pub auth: Authenticator,
    /// Everything that is not the network.
    pub engine: Arc<Engine>,
    /// What each client may ask, and what of it is used.
    pub limits: Limits,
    /// The settings as operators see them, where there are any.
    pub configuration: Option<Arc<dyn Configuration>>,
    /// Where the server listens.
    pub local: SocketAddr,
    /// A shutdown was asked for: finish what is in flight, begin nothing.
    pub stopping: CancellationToken,
    /// The time to finish is over.
    pub deadline: CancellationToken,
    /// Permits for connections, as many as the settings allow.
    pub places: Arc<Semaphore>,
    /// How many answered requests are logged.
    pub access_log: Throttle,
    /// How many refused connections are.
    pub refusal_log: Throttle,
    /// Queries in flight on one WebSocket connection.
    pub queries_per_connection: AtomicUsize,
    /// For `/ws/monitor`.
    pub monitor: Arc<Monitor>,
    /// Connections and sessions, so that a shutdown can wait for them.
    pub tasks: TaskTracker,
}

impl Shared {
    /// Returns the size of the largest upload request, all its files together, in bytes.
    pub fn max_upload_request_bytes(&self) -> u64 {
        let one_file = self.engine.max_upload_bytes().saturating_add(REQUEST_OVERHEAD);
        one_file.max(UPLOAD_REQUEST_BYTES)
    }
}

/// One connection's place among the permitted ones. A socket session that outlives its HTTP
/// connection keeps it by holding a clone.
#[derive(Clone)]
pub(super) struct Place {
    _permit: Arc<(OwnedSemaphorePermit, Option<Counted>, Held)>,
}

impl Place {
    /// Holds `permit`, and the address's own place, until the last clone is gone.
    pub fn new(permit: OwnedSemaphorePermit, of_address: Option<Counted>) -> Self {
        let counted = catalogue::CONNECTIONS.hold::<&'static str>([]);
        Self {
            _permit: Arc::new((permit, of_address, counted)),
        }
    }
}
