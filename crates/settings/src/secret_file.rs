//! Secrets that are kept in a file of their own.

use ibid_types::secret::Secret;
use std::path::PathBuf;

/// Why a secret cannot be had. Each message names the setting.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The secret and its file are both set.
    #[error("set `{0}` or `{0}_file`, not both")]
    Both(&'static str),
    /// The file is empty.
    #[error("`{key}_file`: {} holds no key", path.display())]
    Empty {
        /// The setting of the secret.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("`{key}_file`: {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The setting of the secret.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's message.
        source: std::io::Error,
    },
}

/// A field that holds a secret.
pub trait SecretSlot {
    /// Whether it holds none.
    fn is_unset(&self) -> bool;
    /// Puts a secret into it.
    fn set(&mut self, secret: Secret);
}

impl SecretSlot for Secret {
    fn is_unset(&self) -> bool {
        self.is_empty()
    }

    fn set(&mut self, secret: Secret) {
        *self = secret;
    }
}

impl SecretSlot for Option<Secret> {
    fn is_unset(&self) -> bool {
        self.as_ref().is_none_or(Secret::is_empty)
    }

    fn set(&mut self, secret: Secret) {
        *self = Some(secret);
    }
}

/// Reads `file`, if there is one, into the secret of setting `key`. Afterwards `file` is `None`.
///
/// # Errors
/// If the file cannot be read or is empty, or the secret is set as well.
pub fn read_secret_file(key: &'static str, secret: &mut impl SecretSlot, file: &mut Option<PathBuf>) -> Result<(), SecretFileError> {
    let Some(path) = file.clone() else { return Ok(()) };
    if !secret.is_unset() {
        return Err(SecretFileError::Both(key));
    }
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => Err(SecretFileError::Empty { key, path }),
        Ok(text) => {
            secret.set(Secret::new(text.trim()));
            *file = None;
            Ok(())
        }
        Err(source) => Err(SecretFileError::Unreadable { key, path, source }),
    }
}
