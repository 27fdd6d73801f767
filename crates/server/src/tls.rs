//! TLS in front of HTTP: the certificate, and its replacement while the server runs.
//!
//! Knows byte streams and files. A certificate that cannot be used never takes the place of one that can.

use ibid_system::watch::Watch;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

/// The two files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and its authority, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{setting}: {}: {issue}", path.display())]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        issue: String,
    },
    /// The two do not go together.
    #[error("server.tls_cert_file and server.tls_key_file do not go together: {0}")]
    Pair(rustls::Error),
}

/// Encrypts connections.
#[derive(Debug)]
pub(super) struct Tls {
    config: watch::Receiver<Arc<ServerConfig>>,
    _reloading: AbortOnDropHandle<()>,
}

impl Tls {
    /// Reads the certificate, and reads it again whenever the files change.
    pub async fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let mut changes = Watch::new([files.cert.clone(), files.key.clone()]).await;
        let (update, config) = watch::channel(Arc::new(load_apart(files.clone()).await?));
        let reloading = async move {
            loop {
                changes.changed().await;
                match load_apart(files.clone()).await {
                    Ok(config) => {
                        tracing::info!("the certificate was read again");
                        update.send_replace(Arc::new(config));
                    }
                    // Perhaps the other file is still on its way: its change is told as well.
                    Err(error) => tracing::error!(%error, "the certificate changed, and cannot be used: the old one stays"),
                }
            }
        };
        Ok(Self {
            config,
            _reloading: AbortOnDropHandle::new(tokio::spawn(reloading)),
        })
    }

    /// The handshake, with the certificate as it is now.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let config = self.config.borrow().clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}

async fn load_apart(files: TlsFiles) -> Result<ServerConfig, TlsError> {
    let cert = files.cert.clone();
    tokio::task::spawn_blocking(move || load(&files))
        .await
        .unwrap_or_else(|error| Err(unusable("server.tls_cert_file", &cert, error.to_string())))
}

/// Whether a certificate can be used. Blocks on files.
///
/// # Errors
/// If a file cannot be read, or they do not go together.
pub fn check(files: &TlsFiles) -> Result<(), TlsError> {
    load(files).map(|_| ())
}

/// Reads a certificate and its key.
///
/// # Errors
/// If a file cannot be read, or they do not go together.
fn load(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let wrong_cert = |issue: String| unusable("server.tls_cert_file", &files.cert, issue);
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong_cert(error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong_cert("it holds no certificate in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable("server.tls_key_file", &files.key, error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(TlsError::Pair)?;
    // A WebSocket begins as an HTTP/1.1 upgrade.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn unusable(setting: &'static str, path: &Path, issue: String) -> TlsError {
    TlsError::File {
        setting,
        path: path.to_owned(),
        issue,
    }
}
