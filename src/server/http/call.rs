//! One request as its handler sees it.

use super::params::Params;
use super::respond::About;
use crate::auth::Subject;
use crate::protocol::ApiError;
use crate::server::context::{Place, Shared};
use hyper::Request;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::sync::Arc;

/// One request, and what it needs to be answered.
pub(in crate::server) struct Call {
    /// What all connections share.
    pub shared: Arc<Shared>,
    /// The connection's place, for a session that outlives the request.
    pub place: Place,
    /// Where the request comes from; that of the client if a trusted proxy passed it on.
    pub address: IpAddr,
    /// Whether one did.
    pub proxied: bool,
    /// Who asks.
    pub subject: Arc<Subject>,
    /// As errors name it.
    pub about: About,
    /// The request. Its body is read by `body`.
    pub request: Request<Incoming>,
    /// Whether a byte of the body was asked for: only then may the rest be read away after an error, since a client that
    /// waits for `100 Continue` would otherwise be told to send it.
    pub body_was_read: bool,
}

impl Call {
    /// The parameters in the URL's query.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        Params::of(self.request.uri().query().unwrap_or_default())?.parse()
    }
}
