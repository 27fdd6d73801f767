//! One TCP connection: TLS where there is a certificate, HTTP/1.1 over it, and its orderly end.
//!
//! HTTP/2 is deliberately absent: a WebSocket begins as an HTTP/1.1 upgrade.

use super::context::{Place, Shared};
use super::http;
use super::stall::StallGuard;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ibid_protocol::ApiError;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Bytes of a request's head, and of what is read ahead of a body.
const READ_BUFFER: usize = 64 << 10;

/// Header fields of a request.
const MAX_HEADERS: usize = 100;

/// Why a connection has no place.
#[derive(Clone)]
pub(super) struct Refusal(pub ApiError);

/// Serves `stream` until either side ends it. Without a place every request is refused with 503, the first being the last.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, place: Result<Place, Refusal>) {
    let Some(tls) = &shared.tls else {
        return speak(shared, stream, peer, place).await;
    };
    let handshake = tokio::time::timeout(shared.settings.handshake_timeout, tls.accept(stream));
    let encrypted = tokio::select! {
        encrypted = handshake => encrypted,
        // Nothing is in flight on it yet.
        () = shared.stopping.cancelled() => return,
    };
    match encrypted {
        Ok(Ok(stream)) => speak(shared.clone(), stream, peer, place).await,
        // Scanners, plain HTTP, clients that do not trust the certificate: their doing, and common.
        Ok(Err(error)) => tracing::debug!(%peer, %error, "the TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
}

/// Speaks HTTP over `stream`.
async fn speak<S>(shared: Arc<Shared>, stream: S, peer: SocketAddr, place: Result<Place, Refusal>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let refused = place.is_err();
    let service = {
        let shared = shared.clone();
        service_fn(move |request| {
            let (shared, place) = (shared.clone(), place.clone());
            async move { Ok::<_, Infallible>(http::respond(shared, place, peer, request).await) }
        })
    };
    let guarded = StallGuard::new(stream, shared.settings.write_timeout);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.settings.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(READ_BUFFER)
        .keep_alive(!refused)
        .serve_connection(TokioIo::new(guarded), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        biased;
        result = connection.as_mut() => result,
        () = shared.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                result = connection.as_mut() => result,
                () = shared.deadline.cancelled() => {
                    tracing::debug!(%peer, "cut off at the shutdown deadline");
                    return;
                }
            }
        }
    };
    if let Err(error) = result {
        // Slow, malformed or vanished peers: their doing, and common.
        tracing::debug!(%peer, %error, "the connection ended badly");
    }
}
