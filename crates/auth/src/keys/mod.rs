//! API keys, and how they are stored.
//!
//! `ibid key` changes the file of keys, and a running server reads it again when it has changed. Where servers share a catalog, the keys in
//! the catalog are authoritative, and each server's file is a copy of them. A key is a random secret of 256 bits, so a plain SHA-256 of it
//! is safe to store.

mod file;

pub use file::KeyFile;

use crate::subject::{Scope, Scopes, Subject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The prefix of every key. It distinguishes keys from tokens, and scanners for leaked secrets look for it.
const PREFIX: &str = "ibid_";
/// The size of an identifier, in random bytes.
const ID_BYTES: usize = 8;
/// The size of a secret, in random bytes.
const SECRET_BYTES: usize = 32;
/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// Why the file of API keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system returned an error.
    #[error("API keys in {}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not one that Ibid wrote.
    #[error("API keys in {}: it is not a valid key file ({issue}). Restore it from a backup, or remove it and make new keys", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        issue: String,
    },
    /// Another key has the name.
    #[error("there is an API key called `{0}` already: choose another name, or revoke that one")]
    Taken(String),
    /// No key has that name or identifier.
    #[error("there is no API key `{0}`: `ibid key list` shows those there are")]
    Unknown(String),
    /// The keys are in the catalog that servers share.
    #[error(
        "API keys in {}: the file is a copy of the keys that servers share. Give this command the servers' settings (catalog.url, by --config \
         FILE or the variable IBID_CATALOG_URL); if this server shares no catalog any more, remove `\"shared\": true` from the file", path.display()
    )]
    Shared {
        /// The file.
        path: PathBuf,
    },
    /// The name is not valid.
    #[error("a key's name has 1 to {MAX_NAME} characters, none of them a control character")]
    Name,
    /// The key would have no scopes.
    #[error("a key needs at least one scope or role")]
    NoScopes,
    /// The system returned no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// The attributes of a key that is to be created.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// A unique name, for people.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Names or globs of the collections that it may access; `None` for all.
    pub collections: Option<Vec<String>>,
    /// When it expires; `None` for never.
    pub expires: Option<OffsetDateTime>,
}

/// The attributes of a key, without the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The part of the key that is not secret.
    pub id: String,
    /// The name, for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Names or globs of the collections that it may access; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it expires; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

impl ApiKey {
    /// Returns when it expires, for people: RFC 3339 in UTC, or `never`.
    pub fn expiry_text(&self) -> String {
        self.expires_at
            .map_or_else(|| "never".to_owned(), |at| at.format(&Rfc3339).unwrap_or_default())
    }

    /// Returns the subject of requests that are made with the key.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            id: self.name.clone(),
            scopes: self.scopes.iter().copied().collect(),
            collections: self.collections.clone(),
            expires: self.expires_at.map(OffsetDateTime::unix_timestamp),
        }
    }
}

/// A key as it is stored: its attributes, and the hash of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// The key's attributes.
    #[serde(flatten)]
    pub key: ApiKey,
    /// SHA-256 of the whole key, in hexadecimal.
    sha256: String,
}

impl StoredKey {
    /// Creates a key. Returns the secret, and what is to be stored.
    ///
    /// # Errors
    /// If the name is not valid, or if there are no scopes.
    pub fn make(new: NewKey) -> Result<(String, Self), KeyError> {
        let named = (1..=MAX_NAME).contains(&new.name.chars().count()) && !new.name.chars().any(char::is_control);
        if !named || new.name.trim() != new.name {
            return Err(KeyError::Name);
        }
        let scopes: Vec<Scope> = new.scopes.iter().collect();
        if scopes.is_empty() {
            return Err(KeyError::NoScopes);
        }
        let key = ApiKey {
            id: random(ID_BYTES)?,
            name: new.name,
            scopes,
            collections: new.collections,
            created_at: OffsetDateTime::now_utc()
                .replace_nanosecond(0)
                .unwrap_or_else(|_| OffsetDateTime::now_utc()),
            expires_at: new.expires,
        };
        let secret = format!("{PREFIX}{}_{}", key.id, random(SECRET_BYTES)?);
        let sha256 = sha256(&secret);
        Ok((secret, Self { key, sha256 }))
    }

    /// Returns it as JSON, to be stored in the catalog.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    /// Why the text is not a stored key.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// All keys at one moment, by identifier.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyTable(BTreeMap<String, StoredKey>);

impl KeyTable {
    fn new(keys: Vec<StoredKey>) -> Self {
        Self(keys.into_iter().map(|stored| (stored.key.id.clone(), stored)).collect())
    }

    /// Returns the key that has the secret `presented`, expired or not. Takes as long for a wrong secret as for a right one.
    pub fn find(&self, presented: &str) -> Option<&ApiKey> {
        let (id, _) = presented.strip_prefix(PREFIX)?.split_once('_')?;
        let digest = sha256(presented);
        let stored = self.0.get(id)?;
        bool::from(digest.as_bytes().ct_eq(stored.sha256.as_bytes())).then_some(&stored.key)
    }

    /// Returns whether `key` still exists unchanged.
    pub fn has(&self, key: &ApiKey) -> bool {
        self.0.get(&key.id).is_some_and(|stored| stored.key == *key)
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns whether `credential` is an API key rather than a token.
pub(crate) fn is_key(credential: &str) -> bool {
    credential.starts_with(PREFIX)
}

fn random(bytes: usize) -> Result<String, KeyError> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).map_err(KeyError::Random)?;
    Ok(hexadecimal(&buffer))
}

fn sha256(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
