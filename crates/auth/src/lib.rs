//! Who asks, and what they may do.
//!
//! A [`Subject`] is made once for each request or socket, from its credentials; every door asks it before it acts and filters by it what
//! it shows. [`Authenticator`] makes it: of a JSON Web Token, or of an API key. A [`Grant`] says as well when it ends. Knows nothing of
//! HTTP but how to fetch a key set.

mod authenticator;
mod claims;
mod denial;
mod grant;
mod keys;
mod keyset;
mod mint;
mod options;
mod settings;
mod source;
mod subject;
mod tokens;

pub use authenticator::Authenticator;
pub use denial::Denial;
pub use grant::{Grant, Method};
pub use keys::{ApiKey, KeyError, KeyFile, NewKey, StoredKey};
pub use mint::{MintError, Minted, mint};
pub use options::AuthOptions;
pub use settings::{AuthSettings, SetupError, TokenKeys, TokenSettings};
pub use subject::{Role, Scope, Scopes, Subject};

#[cfg(test)]
mod tests;
