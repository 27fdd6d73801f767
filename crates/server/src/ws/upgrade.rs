//! From an HTTP request to a WebSocket session.

use super::collections::CollectionEvents;
use super::monitor::MonitorEvents;
use super::query::{Client, Queries};
use super::session::{self, Traffic};
use super::upload::UploadEvents;
use crate::http::{Call, Endpoint, Failure, Op, Reply, Tag, Verb, empty};
use crate::limits::Budget;
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request};
use hyper::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{HeaderMap, StatusCode, Version};
use ibid_auth::{Denial, Grant, Scope};
use ibid_protocol::{ApiError, ErrorCode};
use std::time::Duration;
use tracing::Instrument;

/// The endpoints of this module.
pub(crate) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Verb::GetWithoutHead,
        path: "/ws/query",
        scope: None,
        budget: Some(Budget::Request),
        handler: |call| Box::pin(upgrade(call, Socket::Query)),
        operation: |op| socket(op, "Ask, with many questions in flight at a time"),
    },
    Endpoint {
        method: Verb::GetWithoutHead,
        path: "/ws/upload",
        scope: None,
        budget: Some(Budget::Request),
        handler: |call| Box::pin(upgrade(call, Socket::Upload)),
        operation: |op| socket(op, "Watch uploads, and upload"),
    },
    Endpoint {
        method: Verb::GetWithoutHead,
        path: "/ws/collections",
        scope: None,
        budget: Some(Budget::Request),
        handler: |call| Box::pin(upgrade(call, Socket::Collections)),
        operation: |op| socket(op, "Watch collections"),
    },
    Endpoint {
        method: Verb::GetWithoutHead,
        path: "/ws/monitor",
        scope: None,
        budget: Some(Budget::Request),
        handler: |call| Box::pin(upgrade(call, Socket::Monitor)),
        operation: |op| socket(op, "Watch the server"),
    },
];

/// How long the connection may take to be handed over once the answer is written.
const HAND_OVER: Duration = Duration::from_secs(10);

/// The sockets that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Socket {
    /// `/ws/query`
    Query,
    /// `/ws/upload`
    Upload,
    /// `/ws/collections`
    Collections,
    /// `/ws/monitor`
    Monitor,
}

impl Socket {
    /// Returns its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Query => "/ws/query",
            Self::Upload => "/ws/upload",
            Self::Collections => "/ws/collections",
            Self::Monitor => "/ws/monitor",
        }
    }

    /// Returns the scope that the session requires. The session itself refuses a client without it, in a message.
    fn scope(self) -> Scope {
        match self {
            Self::Query | Self::Upload | Self::Collections => Scope::Read,
            Self::Monitor => Scope::Monitor,
        }
    }
}

/// Describes a socket's handshake.
fn socket<'a>(op: Op<'a>, summary: &str) -> Op<'a> {
    op.about(Tag::Sockets, summary)
        .empty(101, "The WebSocket is open.")
        .errors(&[400, 426])
}

/// What a socket has ready when the session begins. Subscriptions are made before the client is answered, so that it
/// misses nothing that happens after.
enum Opening {
    Nothing,
    Query(Client),
    Upload(UploadEvents),
    Collections(CollectionEvents),
    Monitor(MonitorEvents),
}

/// Answers the handshake, and starts the session.
async fn upgrade(call: &mut Call, socket: Socket) -> Result<Reply, Failure> {
    check_handshake(call)?;
    if call.shared.stopping.is_cancelled() {
        return Err(ApiError::new(ErrorCode::ServiceUnavailable, "The server is stopping.").into());
    }
    // The connections of a proxy are its clients'.
    let of_address = match call.proxied {
        true => call.shared.limits.connection(call.address)?,
        false => None,
    };
    let admitted = call.admit(socket.scope());
    let client = Client {
        address: call.address,
        subject: call.subject.clone(),
        trace: call.trace.clone(),
    };
    let opening = match socket {
        _ if admitted.is_err() => Opening::Nothing,
        Socket::Query => Opening::Query(client),
        Socket::Upload => Opening::Upload(UploadEvents::subscribe(call.params()?, client, &call.with()?)),
        Socket::Monitor => Opening::Monitor(MonitorEvents::subscribe(call.params()?, &call.shared.monitor)?),
        Socket::Collections => {
            Opening::Collections(CollectionEvents::subscribe(call.params()?, call.subject.clone(), &call.with()?).await?)
        }
    };
    let (answer, upgraded) = fastwebsockets::upgrade::upgrade(&mut call.request)
        .map_err(|_| bad_handshake("the handshake's header fields are not as they must be"))?;
    let (shared, place) = (call.shared.clone(), call.place.clone());
    let session = async move {
        begin(&shared, upgraded, opening, admitted, Traffic::of(socket.path())).await;
        drop((place, of_address));
    };
    call.shared
        .tasks
        .spawn(session.instrument(tracing::error_span!("session", socket = socket.path(), session = %uuid::Uuid::now_v7())));

    let mut reply = empty(StatusCode::SWITCHING_PROTOCOLS);
    *reply.headers_mut() = answer.headers().clone();
    if offers_bearer(call.request.headers()) {
        // A browser that sends its token so gives up unless one of its protocols is chosen.
        reply
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("bearer"));
    }
    Ok(reply)
}

async fn begin(
    shared: &std::sync::Arc<crate::context::Shared>,
    upgraded: UpgradeFut,
    opening: Opening,
    admitted: Result<Grant, Denial>,
    traffic: Traffic,
) {
    let stream = match tokio::time::timeout(HAND_OVER, upgraded).await {
        Ok(Ok(socket)) => socket.into_inner(),
        Ok(Err(error)) => return tracing::debug!(%error, "the peer left during the handshake"),
        Err(_) => return tracing::debug!("the handshake took too long"),
    };
    let grant = match &admitted {
        Ok(grant) => grant,
        Err(denial) => {
            tracing::debug!(code = denial.code().name(), "not let in");
            return session::refuse(stream, shared, *denial, traffic).await;
        }
    };
    tracing::debug!("opened");
    match opening {
        Opening::Nothing => {}
        Opening::Query(client) => {
            session::run(stream, shared, grant, traffic, |outbox| {
                Queries::new(shared.clone(), client, outbox)
            })
            .await
        }
        Opening::Upload(events) => session::run(stream, shared, grant, traffic, |outbox| events.tell(shared.clone(), outbox)).await,
        Opening::Collections(events) => session::run(stream, shared, grant, traffic, |outbox| events.tell(outbox)).await,
        Opening::Monitor(events) => session::run(stream, shared, grant, traffic, |outbox| events.tell(outbox)).await,
    }
    tracing::debug!("closed");
}

fn check_handshake(call: &Call) -> Result<(), Failure> {
    let request = &call.request;
    if !is_upgrade_request(request) || request.version() != Version::HTTP_11 {
        return Err(upgrade_required(
            "This path is a WebSocket: connect with `Connection: Upgrade` and `Upgrade: websocket` over HTTP/1.1.",
        ));
    }
    let headers = request.headers();
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(upgrade_required("Only version 13 of the WebSocket protocol is spoken here.")
            .header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
    // 16 bytes in base64.
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
    let encoded = key.strip_suffix("==").unwrap_or_default();
    if encoded.len() != 22 || !encoded.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')) {
        return Err(bad_handshake("`Sec-WebSocket-Key` must be 16 bytes in base64"));
    }
    Ok(())
}

fn upgrade_required(message: &str) -> Failure {
    let error = ApiError::new(ErrorCode::InvalidMessage, message);
    Failure::with_status(error, StatusCode::UPGRADE_REQUIRED)
        .header(UPGRADE, HeaderValue::from_static("websocket"))
        .header(HeaderName::from_static("connection"), HeaderValue::from_static("Upgrade"))
}

fn bad_handshake(issue: &str) -> Failure {
    ApiError::new(ErrorCode::InvalidMessage, format!("The WebSocket handshake is malformed: {issue}.")).into()
}

fn offers_bearer(headers: &HeaderMap) -> bool {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim() == "bearer")
}
