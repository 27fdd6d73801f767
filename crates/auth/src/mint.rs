//! Signs tokens, for development and tests. In production an identity provider signs them.

use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header};
use serde::Serialize;

/// Why no token can be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The secret or private key is not one for the algorithm.
    #[error("{setting} does not hold a key that signs with {algorithm:?}{hint}")]
    Key {
        /// The setting that gives the key.
        setting: &'static str,
        /// The algorithm.
        algorithm: Algorithm,
        /// What to do.
        hint: &'static str,
    },
    /// Signing failed.
    #[error("the token cannot be signed")]
    Signing,
}

/// The claims of a token to be signed.
#[derive(Debug, Clone, Serialize)]
pub struct Minted {
    /// The subject.
    pub sub: String,
    /// Its scopes, separated by spaces.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Roles, each a name for a set of scopes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Names or globs of collections; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The audience.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// When it was issued, in seconds since 1970 (UTC).
    pub iat: i64,
    /// When it expires, in seconds since 1970 (UTC).
    pub exp: i64,
}

/// Signs a token. `key` is a secret for HS* algorithms, or a private key in PEM. `setting` is the name of the setting that gave it, for
/// errors.
///
/// # Errors
/// If the key is not one for the algorithm.
pub fn mint(algorithm: Algorithm, key: &[u8], setting: &'static str, kid: Option<String>, claims: &Minted) -> Result<String, MintError> {
    let unfit = |hint| MintError::Key { setting, algorithm, hint };
    let key = match algorithm.family() {
        AlgorithmFamily::Hmac => {
            super::keyset::KeySet::of_secret(key, algorithm).map_err(|_| unfit(": it is too short"))?;
            EncodingKey::from_secret(key)
        }
        AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(key),
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(key),
        AlgorithmFamily::Ed => EncodingKey::from_ed_pem(key),
    }
    .map_err(|_| unfit(": it must be a private key in PEM, PKCS#8 (`openssl genpkey` makes these)"))?;
    let mut header = Header::new(algorithm);
    header.kid = kid;
    jsonwebtoken::encode(&header, claims, &key).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::Signing(_) | jsonwebtoken::errors::ErrorKind::RsaFailedSigning => MintError::Signing,
        _ => unfit(""),
    })
}
