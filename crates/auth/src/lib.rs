//! Authentication and authorization: who the client is, and what it may do.
//!
//! A [`Subject`] is made once for each request or socket, from its credentials. Every entry point checks the subject before it acts, and
//! filters its answer by the subject. [`Authenticator`] makes the subject from a JSON Web Token or from an API key. A [`Grant`] is a
//! subject together with the time at which its credentials expire. This crate uses HTTP only to fetch key sets.

mod authenticator;
mod claims;
mod denial;
mod grant;
mod keys;
mod keyset;
mod mint;
mod settings;
mod source;
mod subject;
mod tokens;

pub use authenticator::Authenticator;
pub use denial::{Denial, DenialCode};
pub use grant::{Grant, Method};
pub use keys::{ApiKey, KeyError, KeyFile, NewKey, StoredKey};
pub use mint::{MintError, Minted, mint};
pub use settings::{AuthSettings, SetupError, TokenKeys, TokenSettings};
pub use subject::{Role, Scope, Scopes, Subject};

#[cfg(test)]
mod tests;
