//! The settings of authentication.

use super::KeyError;
use ibid_types::secret::Secret;
use jsonwebtoken::Algorithm;
use std::path::PathBuf;
use std::time::Duration;

/// How clients authenticate.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The file with the hashes of API keys; it need not exist.
    pub key_file: PathBuf,
    /// How tokens are verified; `None` accepts API keys only.
    pub tokens: Option<TokenSettings>,
}

/// How tokens are verified.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The only algorithm that is accepted. A token that names another one is refused.
    pub algorithm: Algorithm,
    /// The source of the keys.
    pub keys: TokenKeys,
    /// Accepted values of `iss`; empty for all.
    pub issuers: Vec<String>,
    /// Accepted values of `aud`; empty for all.
    pub audiences: Vec<String>,
    /// The clock difference that is tolerated.
    pub leeway: Duration,
}

impl TokenSettings {
    /// Returns whether a token that the issuer signed for another service would be accepted here, since no audience is required.
    pub fn accepts_tokens_for_others(&self) -> bool {
        let shared = matches!(self.keys, TokenKeys::Secret(_) | TokenKeys::SecretFile(_));
        !shared && self.audiences.is_empty()
    }
}

/// The source of the keys that verify tokens.
#[derive(Debug, Clone)]
pub enum TokenKeys {
    /// A shared secret, for HS* algorithms.
    Secret(Secret),
    /// A file with a shared secret.
    SecretFile(PathBuf),
    /// A PEM file with a public key.
    PublicKeyFile(PathBuf),
    /// A JSON Web Key Set (RFC 7517) in a file.
    JwksFile(PathBuf),
    /// A JSON Web Key Set (RFC 7517) at a URL.
    JwksUrl {
        /// `https://...`, or `http://...`.
        url: String,
        /// A PEM file with the certificate authorities to trust in place of the system's.
        ca_file: Option<PathBuf>,
        /// The time after which it is fetched again.
        refresh: Duration,
    },
}

/// Why authentication cannot be set up. Messages name the setting.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Settings that contradict each other.
    #[error("{0}")]
    Settings(String),
    /// A file that cannot be used.
    #[error("{setting}: {}: {issue}", path.display())]
    File {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        issue: String,
    },
    /// A secret or key that is not one for the algorithm.
    #[error("{setting}: {issue}")]
    Key {
        /// The setting that gives it.
        setting: &'static str,
        /// What is wrong with it. It does not show the key.
        issue: String,
    },
    /// The file of API keys cannot be used.
    #[error(transparent)]
    ApiKeys(#[from] KeyError),
}

impl SetupError {
    /// Makes the error for a file that cannot be read.
    pub(super) fn unreadable(setting: &'static str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::File {
            setting,
            path: path.to_owned(),
            issue: error.to_string(),
        }
    }
}
