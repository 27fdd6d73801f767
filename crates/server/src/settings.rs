//! The server's settings.

use super::limits::LimitSettings;
use super::listen::ServeError;
use super::monitor::AlertLevels;
use super::tls::TlsFiles;
use ibid_settings::settings;
use std::path::PathBuf;
use std::time::Duration;

settings! {
    /// Settings of the server. Every queue, wait and size is a bound: none can be switched off.
    pub struct ServerSettings {
        keys {
            /// Address and port of the HTTP and WebSocket server. Port 0 takes any free one.
            "server.listen" [address()] => listen: String = "127.0.0.1:8000".to_owned(),
            /// Connections at a time; one more is answered 503.
            // About 100 KiB each at rest: 200 MB when all are taken.
            "server.max_connections" [range(1, 1_000_000)] => max_connections: usize = 2_048,
            /// Longest WebSocket text message and JSON body, in bytes.
            "server.max_message_bytes" [range(1024, 1 << 30)] => max_message_bytes: usize = 1 << 20,
            /// Seconds between keep-alive pings; a client silent for two of them is disconnected.
            "server.ping_interval_seconds" [range(1, 3600)] => ping_interval: Duration = Duration::from_secs(20),
            /// Seconds that queries in flight get to finish when the server is stopped.
            "server.shutdown_deadline_seconds" [range(0, 3600)] => shutdown_deadline: Duration = Duration::from_secs(10),
            /// Whether to listen on addresses that other machines can reach although anyone there may read, write and delete everything.
            "server.allow_remote_without_auth" => allow_remote_without_auth: bool = false,
            /// Host names, beside IP addresses and localhost, under which browsers may address the server: those of a reverse proxy.
            "server.allowed_hosts" => allowed_hosts: Vec<String> = Vec::new(),
            /// Origins, such as "https://app.example.org", whose pages may use the server beside its own.
            "server.allowed_origins" => allowed_origins: Vec<String> = Vec::new(),
            /// Messages that may wait for one WebSocket peer; when they are that many, the generator waits for it.
            "server.outgoing_messages" [range(1, 100_000)] => outgoing_messages: usize = 32,
            /// A PEM file with the server's certificate and those between it and its authority. With server.tls_key_file the server
            /// speaks https and wss; empty: http and ws.
            "server.tls_cert_file" => tls_cert_file: Option<PathBuf> = None,
            /// A PEM file with the certificate's private key. Both files are read again when they change.
            "server.tls_key_file" => tls_key_file: Option<PathBuf> = None,
            /// Queries in flight on one WebSocket connection.
            // The engine bounds how many run at once; this bounds what one peer can make the server remember.
            "query.max_per_connection" [range(1, 100_000), live()] => max_queries_per_connection: usize = 256,
            /// Answered requests that are logged in a second (at level info); of a flood the rest is only counted.
            "log.access_per_second" [range(1, 1_000_000), live()] => access_lines_per_second: u32 = 100,
        }
        parts {
            /// What each client may ask.
            limits: LimitSettings,
            /// What is worth an alert.
            alerts: AlertLevels,
        }
        fixed {
            /// How long a TLS handshake may take.
            handshake_timeout: Duration = Duration::from_secs(10),
            /// Files in one upload request.
            max_files_per_upload: usize = 100,
            /// How long a query may stay paused before it is cancelled.
            pause_limit: Duration = Duration::from_secs(300),
            /// How long a request's head may take, and how long a kept-alive connection may be idle.
            header_timeout: Duration = Duration::from_secs(30),
            /// How long a request's body may pause, and how long a JSON body may take in all.
            body_timeout: Duration = Duration::from_secs(60),
            /// How long a peer may leave what was written to it unread.
            write_timeout: Duration = Duration::from_secs(60),
        }
    }
}

impl ServerSettings {
    /// Returns the files of the certificate; `None`: the server speaks without TLS.
    ///
    /// # Errors
    /// If one is set without the other.
    pub fn tls(&self) -> Result<Option<TlsFiles>, ServeError> {
        match (&self.tls_cert_file, &self.tls_key_file) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
            })),
            _ => Err(ServeError::HalfTls),
        }
    }
}
