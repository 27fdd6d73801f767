//! What an operator can set about the network face. Plain data.

use super::limits::LimitSettings;
use super::monitor::AlertLevels;
use super::tls::TlsFiles;
use ibid_auth::AuthSettings;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Settings of the server. Every queue, wait and size below is a bound: none can be switched off.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where to listen. Port 0 takes a free one, which `Server::local_addr` tells.
    pub listen: SocketAddr,
    /// The certificate; `None`: the server speaks without TLS.
    pub tls: Option<TlsFiles>,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How clients say who they are; `None`: nobody is asked.
    pub auth: Option<AuthSettings>,
    /// Listen on an address other machines can reach, although nobody is asked who they are.
    pub allow_remote_without_auth: bool,
    /// Origins (`https://app.example.org`) whose pages may use the API beside pages of the same origin.
    pub allowed_origins: Vec<String>,
    /// Host names (without port) under which the server may be addressed beside loopback names and IP addresses: names
    /// that a reverse proxy passes on.
    pub allowed_hosts: Vec<String>,
    /// TCP connections at a time; the next is answered 503 with `Retry-After`.
    pub max_connections: usize,
    /// Bytes of a WebSocket message and of a JSON body.
    pub max_message_bytes: usize,
    /// Bytes of one uploaded file.
    pub max_upload_bytes: u64,
    /// Bytes of one upload request, all its files together.
    pub max_upload_request_bytes: u64,
    /// Files in one upload request.
    pub max_files_per_upload: usize,
    /// Queries in flight on one WebSocket connection.
    pub max_queries_per_connection: usize,
    /// Messages that wait to be written to one WebSocket peer; when they are that many, the generator waits.
    pub outgoing_messages: usize,
    /// How long a query may stay paused before it is cancelled.
    pub pause_limit: Duration,
    /// How often a WebSocket peer is pinged; after two periods without a sign of life it is closed.
    pub ping_interval: Duration,
    /// How long a request's head may take, and how long a kept-alive connection may be idle.
    pub header_timeout: Duration,
    /// How long a request's body may pause, and how long a JSON body may take in all.
    pub body_timeout: Duration,
    /// How long a peer may leave what was written to it unread.
    pub write_timeout: Duration,
    /// What each client may ask.
    pub limits: LimitSettings,
    /// Answered requests that are logged in a second; the others are counted.
    pub access_lines_per_second: u32,
    /// From when on `/ws/monitor` tells an alert.
    pub alerts: AlertLevels,
    /// How long work in flight may go on after a shutdown was asked for.
    pub shutdown_deadline: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            tls: None,
            handshake_timeout: Duration::from_secs(10),
            auth: None,
            allow_remote_without_auth: false,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            // About 100 KiB each at rest: 200 MB when all are taken.
            max_connections: 2_048,
            max_message_bytes: 1 << 20,
            max_upload_bytes: 256 << 20,
            max_upload_request_bytes: 1 << 30,
            max_files_per_upload: 100,
            // The engine bounds how many run at once; this bounds what one peer can make the server remember.
            max_queries_per_connection: 256,
            outgoing_messages: 32,
            pause_limit: Duration::from_secs(300),
            ping_interval: Duration::from_secs(20),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            limits: LimitSettings::default(),
            access_lines_per_second: 100,
            alerts: AlertLevels::default(),
            shutdown_deadline: Duration::from_secs(10),
        }
    }
}
