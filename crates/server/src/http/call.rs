//! One request as its handler sees it.

use super::params::Params;
use super::respond::{About, Failure};
use super::{credentials, me};
use crate::context::{Place, Shared};
use hyper::Request;
use hyper::body::Incoming;
use ibid_auth::{Denial, Grant, Scope, Subject};
use ibid_engine::{Granted, ScopeType, Session};
use ibid_protocol::{ApiError, ErrorCode};
use ibid_telemetry::trace::TraceParent;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::sync::Arc;

/// One request, and what it needs to be answered.
pub(crate) struct Call {
    /// What all connections share.
    pub shared: Arc<Shared>,
    /// The connection's place, for a session that outlives the request.
    pub place: Place,
    /// Where the request comes from; that of the client if a trusted proxy passed it on.
    pub address: IpAddr,
    /// Whether one did.
    pub proxied: bool,
    /// The trace that the request belongs to.
    pub trace: TraceParent,
    /// The subject of the request. Until the credentials are checked it is nobody, who may do nothing.
    pub subject: Arc<Subject>,
    /// The subject's credentials, or why there is none.
    pub grant: Result<Grant, Denial>,
    /// As errors name it.
    pub about: About,
    /// The request. Its body is read by `body`.
    pub request: Request<Incoming>,
    /// The decoded value of the parameter in the endpoint's path; empty if the path has none.
    pub path_parameter: String,
    /// Whether a byte of the body was asked for: only then may the rest be read away after an error, since a client that
    /// waits for `100 Continue` would otherwise be asked to send it.
    pub body_was_read: bool,
}

impl Call {
    /// Sets the subject from the credentials.
    ///
    /// # Errors
    /// `RATE_LIMIT_EXCEEDED`, where too many wrong credentials came from the address.
    pub async fn identify(&mut self) -> Result<(), ApiError> {
        let credentials = credentials::of(&self.request);
        if self.shared.auth.is_on() && !matches!(credentials, Ok(None)) {
            self.shared.limits.may_authenticate(self.address)?;
        }
        self.grant = self.shared.auth.identify(credentials).await;
        match &self.grant {
            Ok(grant) => self.subject = grant.subject.clone(),
            // Who was right once, or may be right in a moment, is not guessing.
            Err(Denial::InvalidToken(_)) => self.shared.limits.authentication_failed(self.address),
            Err(_) => {}
        }
        Ok(())
    }

    /// Returns the credentials of the subject.
    ///
    /// # Errors
    /// 401 where there are none that hold.
    pub fn known(&self) -> Result<&Grant, Failure> {
        self.grant.as_ref().map_err(|denial| me::refused(*denial))
    }

    /// Refuses a subject that is limited to some collections. For requests that change or show something of all of them.
    ///
    /// # Errors
    /// `AUTHORIZATION_FAILED`.
    pub fn require_all_collections(&self) -> Result<(), ApiError> {
        if self.subject.sees_all() {
            return Ok(());
        }
        let message = "This is of all collections, and these credentials are for some of them only.";
        Err(ApiError::new(ErrorCode::AuthorizationFailed, message))
    }

    /// The credentials of who opens a socket that needs `scope`.
    ///
    /// # Errors
    /// What the socket has to say before it is closed.
    pub fn admit(&self, scope: Scope) -> Result<Grant, Denial> {
        let grant = self.grant.clone()?;
        match grant.subject.scopes.allow(scope) {
            true => Ok(grant),
            false => Err(Denial::InsufficientScope(scope)),
        }
    }

    /// Returns the value of the parameter in the path, such as the name of a collection.
    pub fn path_parameter(&self) -> &str {
        &self.path_parameter
    }

    /// Returns the engine as the subject may use it.
    pub fn session(&self) -> Session {
        self.shared.engine.session(self.subject.clone())
    }

    /// Returns what the scope `S` allows the subject.
    ///
    /// # Errors
    /// `INSUFFICIENT_SCOPE`.
    pub fn with<S: ScopeType>(&self) -> Result<Granted<S>, ApiError> {
        self.session().with()
    }

    /// Parses the parameters in the URL's query.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        Params::of(self.request.uri().query().unwrap_or_default())?.parse()
    }
}
