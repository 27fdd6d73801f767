//! The listening socket, the accept loop and the orderly end.

use super::configuration::Configuration;
use super::connection;
use super::connection::Refusal;
use super::context::{Place, Shared};
use super::limits::{FORGET_EVERY, Limits};
use super::monitor::Monitor;
use super::settings::ServerSettings;
use super::tls::{self, Tls, TlsError};
use ibid_auth::Authenticator;
use ibid_engine::Engine;
use ibid_protocol::{ApiError, ErrorCode};
use ibid_telemetry::Throttle;
use ibid_telemetry::catalogue::{self, limit};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: u32 = 1_024;

/// Bytes that the kernel may hold for a peer that does not read (it doubles the number). Left alone it
/// grows to several megabytes each, and a query would run far ahead of its reader.
const SEND_BUFFER: u32 = 128 << 10;

/// Connections over the limit that are still answered, with 503; those over this are dropped.
const REFUSALS_AT_A_TIME: usize = 64;

/// How long to wait after `accept` failed for want of something (file descriptors, memory).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long sessions may take for their closing handshake once the deadline is over.
const CLOSING: Duration = Duration::from_secs(3);

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Other machines could use it unasked. Code `REMOTE_WITHOUT_AUTH`.
    #[error(
        "{0} can be reached from other machines, and authentication is off: anyone who reaches it could read, add and delete documents. \
         Switch it on (auth.enabled), listen on 127.0.0.1 or [::1], or set server.allow_remote_without_auth if that is meant."
    )]
    RemoteWithoutAuth(SocketAddr),
    /// The address cannot be had. Code `CANNOT_LISTEN`.
    #[error("cannot listen on {address}: {source}. Is another server running there? Choose another port, or stop that one.")]
    CannotListen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate cannot be used. Code `TLS`.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// One file of the two that TLS needs is set. Code `INVALID_SETTING`.
    #[error("server.tls_cert_file and server.tls_key_file must both be set, or neither")]
    HalfTls,
    /// A setting is out of its range. Code `INVALID_SETTING`.
    #[error("setting {name}: {issue}")]
    InvalidSetting {
        /// The setting.
        name: &'static str,
        /// What is wrong with it.
        issue: &'static str,
    },
}

impl ServeError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RemoteWithoutAuth(_) => "REMOTE_WITHOUT_AUTH",
            Self::CannotListen { .. } => "CANNOT_LISTEN",
            Self::Tls(_) => "TLS",
            Self::HalfTls | Self::InvalidSetting { .. } => "INVALID_SETTING",
        }
    }
}

/// A server that listens. It serves once [`Server::run`] is awaited; until then connections wait.
pub struct Server {
    listener: TcpListener,
    local: SocketAddr,
    settings: ServerSettings,
    tls: Option<Tls>,
    auth: Authenticator,
    engine: Arc<Engine>,
    configuration: Option<Arc<dyn Configuration>>,
}

impl Server {
    /// Takes the address that [`ServerSettings::listen`] names.
    ///
    /// # Errors
    /// If other machines could reach it and that was not allowed, if it cannot be had, or if a setting is zero that must not be.
    pub async fn bind(settings: ServerSettings, address: SocketAddr, auth: Authenticator, engine: Arc<Engine>) -> Result<Self, ServeError> {
        check(&settings, address, auth.is_on())?;
        let listener = listen(address).map_err(|source| ServeError::CannotListen { address, source })?;
        let local = listener
            .local_addr()
            .map_err(|source| ServeError::CannotListen { address, source })?;
        let tls = match settings.tls()? {
            Some(files) => Some(Tls::open(files).await?),
            None => None,
        };
        if !local.ip().is_loopback() && auth.is_on() && tls.is_none() {
            tracing::warn!(%local, "without TLS, credentials and documents can be read on their way to and from other machines");
        }
        if !local.ip().is_loopback() && !auth.is_on() {
            tracing::warn!(%local, "other machines can reach this server, and it asks nobody who they are");
        }
        Ok(Self {
            listener,
            local,
            settings,
            tls,
            auth,
            engine,
            configuration: None,
        })
    }

    /// The same, with settings that operators can see and change at `/config`.
    pub fn with_configuration(mut self, configuration: Arc<dyn Configuration>) -> Self {
        self.configuration = Some(configuration);
        self
    }

    /// The address that was taken: with the port that the system chose if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown` is cancelled; then accepts nothing more, lets what is in flight finish until the
    /// deadline, closes every WebSocket with 1001, and returns. It does not stop the engine.
    ///
    /// # Errors
    /// None at present: a connection's trouble stays its own.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self {
            listener,
            local,
            settings,
            tls,
            auth,
            engine,
            configuration,
        } = self;
        let places = Arc::new(Semaphore::new(settings.max_connections));
        let shared = Arc::new(Shared {
            limits: Limits::new(&settings.limits),
            access_log: Throttle::per_second(settings.access_lines_per_second),
            refusal_log: Throttle::per_second(1),
            monitor: Monitor::new(engine.clone(), places.clone(), settings.max_connections, settings.alerts),
            queries_per_connection: AtomicUsize::new(settings.max_queries_per_connection),
            places,
            settings,
            tls,
            auth,
            engine,
            configuration,
            local,
            stopping: shutdown.clone(),
            deadline: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        tracing::info!(address = %local, "listening");
        shared.tasks.spawn(forget_idle_clients(shared.clone()));
        let refusals = Arc::new(Semaphore::new(REFUSALS_AT_A_TIME));
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => admit(&shared, &refusals, stream, peer),
                Err(error) if is_the_peers_doing(&error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
        drop(listener);
        finish(&shared).await;
        Ok(())
    }
}

/// Gives a new connection its place, or the refusal.
fn admit(shared: &Arc<Shared>, refusals: &Arc<Semaphore>, stream: TcpStream, peer: SocketAddr) {
    // Tokens are small and each is wanted now.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let place = match shared.places.clone().try_acquire_owned() {
        Ok(permit) => match shared.limits.connection(peer.ip()) {
            Ok(of_address) => Ok(Place::new(permit, of_address)),
            Err(error) => Err(Refusal(error)),
        },
        Err(_) => {
            catalogue::refused(limit::CONNECTIONS);
            let error = ApiError::new(ErrorCode::ServiceUnavailable, "All connections of this server are taken.");
            Err(Refusal(error.with("retry_after", 2)))
        }
    };
    match place {
        Ok(place) => {
            shared.tasks.spawn(connection::serve(shared.clone(), stream, peer, Ok(place)));
        }
        Err(refusal) => {
            let unlogged = shared.refusal_log.pass();
            let Ok(permit) = refusals.clone().try_acquire_owned() else {
                if let Some(unlogged) = unlogged {
                    tracing::warn!(%peer, unlogged, "{} So are the refusals: dropped.", refusal.0);
                }
                return;
            };
            if let Some(unlogged) = unlogged {
                tracing::warn!(%peer, unlogged, "{}", refusal.0);
            }
            let refusal = connection::serve(shared.clone(), stream, peer, Err(refusal));
            shared.tasks.spawn(async move {
                refusal.await;
                drop(permit);
            });
        }
    }
}

/// Forgets clients that are idle, until the server stops.
async fn forget_idle_clients(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            _ = ticks.tick() => shared.limits.forget_idle(),
        }
    }
}

/// Waits for what is in flight, and ends it when the time is over.
async fn finish(shared: &Shared) {
    shared.tasks.close();
    tracing::info!(tasks = shared.tasks.len(), "stopping: no new connections");
    if tokio::time::timeout(shared.settings.shutdown_deadline, shared.tasks.wait())
        .await
        .is_ok()
    {
        return;
    }
    shared.deadline.cancel();
    if tokio::time::timeout(CLOSING, shared.tasks.wait()).await.is_err() {
        tracing::warn!(tasks = shared.tasks.len(), "some connections did not end in time");
    }
}

/// Checks whether a server can run with these settings at this address, as far as that shows without an engine.
pub fn check(settings: &ServerSettings, address: SocketAddr, has_auth: bool) -> Result<(), ServeError> {
    if !address.ip().is_loopback() && !has_auth && !settings.allow_remote_without_auth {
        return Err(ServeError::RemoteWithoutAuth(address));
    }
    let sizes = [
        ("max_connections", settings.max_connections),
        ("max_message_bytes", settings.max_message_bytes),
        ("max_files_per_upload", settings.max_files_per_upload),
        ("max_queries_per_connection", settings.max_queries_per_connection),
        ("outgoing_messages", settings.outgoing_messages),
    ];
    if let Some((name, _)) = sizes.into_iter().find(|(_, size)| !(1..=Semaphore::MAX_PERMITS).contains(size)) {
        return Err(ServeError::InvalidSetting {
            name,
            issue: "must be at least 1",
        });
    }
    let times = [
        ("ping_interval", settings.ping_interval),
        ("header_timeout", settings.header_timeout),
        ("body_timeout", settings.body_timeout),
        ("write_timeout", settings.write_timeout),
        ("handshake_timeout", settings.handshake_timeout),
    ];
    if let Some((name, _)) = times.into_iter().find(|(_, time)| time.is_zero()) {
        return Err(ServeError::InvalidSetting {
            name,
            issue: "must be longer than zero",
        });
    }
    if let Some(files) = settings.tls()? {
        tls::check(&files)?;
    }
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restart must not wait for the connections of the server before it.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_the_peers_doing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted
    )
}
