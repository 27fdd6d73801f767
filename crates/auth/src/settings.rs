//! What an operator decides about authentication. Plain data.

use super::KeyError;
use ibid_types::secret::Secret;
use jsonwebtoken::Algorithm;
use std::path::PathBuf;
use std::time::Duration;

/// How clients say who they are.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The file with the hashes of API keys; it need not be there.
    pub key_file: PathBuf,
    /// How tokens are checked; `None`: only API keys are taken.
    pub tokens: Option<TokenSettings>,
}

/// How tokens are checked.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The one algorithm; what a token says of it only has to agree.
    pub algorithm: Algorithm,
    /// Where the keys are.
    pub keys: TokenKeys,
    /// Values of `iss` that are taken; empty for all.
    pub issuers: Vec<String>,
    /// Values of `aud` that are taken; empty for all.
    pub audiences: Vec<String>,
    /// How much clocks may differ.
    pub leeway: Duration,
}

impl TokenSettings {
    /// Whether the issuer may sign tokens for other services as well, and nothing tells them from those for this one.
    pub fn may_be_others(&self) -> bool {
        let shared = matches!(self.keys, TokenKeys::Secret(_) | TokenKeys::SecretFile(_));
        !shared && self.audiences.is_empty()
    }
}

/// Where the keys that check tokens are.
#[derive(Debug, Clone)]
pub enum TokenKeys {
    /// A shared secret, of HS*.
    Secret(Secret),
    /// A file that holds one.
    SecretFile(PathBuf),
    /// A PEM file with a public key.
    PublicKeyFile(PathBuf),
    /// A JSON Web Key Set (RFC 7517) in a file.
    JwksFile(PathBuf),
    /// One behind an address.
    JwksUrl {
        /// `https://...`, or `http://...`.
        url: String,
        /// A PEM file of the authorities that may have signed its certificate, in place of the system's.
        ca_file: Option<PathBuf>,
        /// Time after which it is fetched again.
        refresh: Duration,
    },
}

/// Why authentication cannot be set up. Messages name the setting.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Settings that do not go together.
    #[error("{0}")]
    Settings(String),
    /// A file that cannot be used. `setting` names it.
    #[error("{setting}: {}: {issue}", path.display())]
    File {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        issue: String,
    },
    /// The secret or key is not one for the algorithm.
    #[error("{setting}: {issue}")]
    Key {
        /// The setting that gives it.
        setting: &'static str,
        /// What is wrong with it, without showing it.
        issue: String,
    },
    /// The file of API keys cannot be used.
    #[error(transparent)]
    ApiKeys(#[from] KeyError),
}

impl SetupError {
    /// A file that cannot be read.
    pub(super) fn unreadable(setting: &'static str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::File {
            setting,
            path: path.to_owned(),
            issue: error.to_string(),
        }
    }
}
