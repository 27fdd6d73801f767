//! API keys: made, listed, revoked, and checked by their hashes.
//!
//! The file is what servers read: `ibid key` changes it, and a running server reads it again when it has changed. Where servers share a
//! catalog, the keys in that are the truth, and each server's file is a copy of them. A key is a random secret of 256 bits, so that a
//! plain SHA-256 of it keeps it.

use super::subject::{Scope, Scopes, Subject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How every key begins: what tells it from a token, and what scanners for leaked secrets look for.
const PREFIX: &str = "ibid_";
/// Random bytes of an identifier.
const ID_BYTES: usize = 8;
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Bytes of the file.
const MAX_FILE: u64 = 16 << 20;
/// Characters of a name.
const MAX_NAME: usize = 64;

/// Why the file of API keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system.
    #[error("API keys in {}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not one that Ibid wrote.
    #[error("API keys in {}: the file cannot be understood ({issue}). Restore it from a backup, or remove it and make new keys", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        issue: String,
    },
    /// Two keys would have one name.
    #[error("there is an API key called `{0}` already: choose another name, or revoke that one")]
    Taken(String),
    /// No key has that name or identifier.
    #[error("there is no API key `{0}`: `ibid key list` shows those there are")]
    Unknown(String),
    /// The keys are elsewhere.
    #[error(
        "API keys in {}: the file is a copy of the keys that servers share. Give this command the servers' settings (catalog.url, by --config \
         FILE or the variable IBID_CATALOG_URL); if this server shares no catalog any more, remove `\"shared\": true` from the file", path.display()
    )]
    Shared {
        /// The file.
        path: PathBuf,
    },
    /// The name cannot be one.
    #[error("a key's name has 1 to {MAX_NAME} characters, none of them a control character")]
    Name,
    /// A key without scopes could do nothing.
    #[error("a key needs at least one scope or role")]
    NoScopes,
    /// The system has no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For people, unique.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Names or globs of the collections that it may touch; `None` for all.
    pub collections: Option<Vec<String>>,
    /// When it ends; `None` for never.
    pub expires: Option<OffsetDateTime>,
}

/// What is known of a key: everything but the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The part of the key that is no secret.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Names or globs of the collections that it may touch; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it ends; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
}

impl ApiKey {
    /// When it ends, for people: RFC 3339 in UTC, or `never`.
    pub fn ends(&self) -> String {
        self.expires_at
            .map_or_else(|| "never".to_owned(), |at| at.format(&Rfc3339).unwrap_or_default())
    }

    /// The subject that the key makes.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            id: self.name.clone(),
            scopes: self.scopes.iter().copied().collect(),
            collections: self.collections.clone(),
            expires: self.expires_at.map(OffsetDateTime::unix_timestamp),
        }
    }
}

/// A key as it is stored: what is known of it, and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// What is known of it.
    #[serde(flatten)]
    pub key: ApiKey,
    /// SHA-256 of the whole key, in hexadecimal.
    sha256: String,
}

impl StoredKey {
    /// Makes a key, and returns it with what is stored of it.
    ///
    /// # Errors
    /// If the name cannot be one, or if it has no scopes.
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

    /// As a text to be kept elsewhere.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What [`to_text`](Self::to_text) made; the error says why it is not.
    ///
    /// # Errors
    /// If the text is another one.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Contents {
    /// Whether the keys are a copy of those that servers share.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    keys: Vec<StoredKey>,
}

/// All keys at one time, by identifier.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeyTable(BTreeMap<String, StoredKey>);

impl KeyTable {
    /// The key that `presented` is, expired or not. Takes as long for a wrong secret as for a right one.
    pub fn find(&self, presented: &str) -> Option<&ApiKey> {
        let (id, _) = presented.strip_prefix(PREFIX)?.split_once('_')?;
        let digest = sha256(presented);
        let stored = self.0.get(id)?;
        bool::from(digest.as_bytes().ct_eq(stored.sha256.as_bytes())).then_some(&stored.key)
    }

    /// Whether `key` is still there, unchanged.
    pub fn has(&self, key: &ApiKey) -> bool {
        self.0.get(&key.id).is_some_and(|stored| stored.key == *key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Whether `credential` is an API key and no token.
pub(super) fn is_key(credential: &str) -> bool {
    credential.starts_with(PREFIX)
}

/// The file of API keys of a data directory.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The file at `path`, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file in a data directory.
    pub fn in_data_dir(data_dir: &Path) -> Self {
        Self::new(data_dir.join("auth").join("keys.json"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every key, in the order in which they were made.
    ///
    /// # Errors
    /// [`KeyError::File`] or [`KeyError::Malformed`].
    pub fn list(&self) -> Result<Vec<ApiKey>, KeyError> {
        Ok(self.read()?.keys.into_iter().map(|stored| stored.key).collect())
    }

    /// Makes a key, and returns it with what is known of it. It is shown this once: only its hash is kept.
    ///
    /// # Errors
    /// If the name is taken or cannot be one, if it has no scopes, or if the file cannot be written.
    pub fn add(&self, new: NewKey) -> Result<(String, ApiKey), KeyError> {
        let (secret, stored) = StoredKey::make(new)?;
        let key = stored.key.clone();
        self.change(|contents| {
            if contents.keys.iter().any(|stored| stored.key.name == key.name) {
                return Err(KeyError::Taken(key.name.clone()));
            }
            contents.keys.push(stored);
            Ok(())
        })?;
        Ok((secret, key))
    }

    /// Ends a key, named by its name or its identifier, and returns what was known of it.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], or if the file cannot be written.
    pub fn revoke(&self, named: &str) -> Result<ApiKey, KeyError> {
        self.change(|contents| {
            let at = contents
                .keys
                .iter()
                .position(|stored| stored.key.name == named || stored.key.id == named);
            match at {
                Some(at) => Ok(contents.keys.remove(at).key),
                None => Err(KeyError::Unknown(named.to_owned())),
            }
        })
    }

    /// Keys that are this file's own, and no copies of those that servers share.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn own(&self) -> Result<Vec<StoredKey>, KeyError> {
        let Contents { shared, keys } = self.read()?;
        Ok(if shared { Vec::new() } else { keys })
    }

    /// Makes the file a copy of the keys that servers share.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn copy(&self, keys: Vec<StoredKey>) -> Result<(), KeyError> {
        let copy = Contents { shared: true, keys };
        if self.read()? == copy {
            return Ok(());
        }
        self.replace(|contents| {
            *contents = copy;
            Ok(())
        })
    }

    /// Everything, for checking.
    pub(super) fn table(&self) -> Result<KeyTable, KeyError> {
        let keys = self.read()?.keys;
        Ok(KeyTable(keys.into_iter().map(|stored| (stored.key.id.clone(), stored)).collect()))
    }

    fn read(&self) -> Result<Contents, KeyError> {
        let text = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > MAX_FILE => return Err(self.malformed("it is too large")),
            Ok(_) => fs::read_to_string(&self.path).map_err(|source| self.failed(source))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
            Err(source) => return Err(self.failed(source)),
        };
        serde_json::from_str(&text).map_err(|error| self.malformed(&error.to_string()))
    }

    /// Changes keys that are the file's own.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T, KeyError>) -> Result<T, KeyError> {
        self.replace(|contents| match contents.shared {
            true => Err(KeyError::Shared { path: self.path.clone() }),
            false => change(contents),
        })
    }

    /// Changes the file: one process at a time, and wholly or not at all.
    fn replace<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T, KeyError>) -> Result<T, KeyError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| self.failed(source))?;
        let opened = File::open(directory).map_err(|source| self.failed(source))?;
        let lock = File::create(self.path.with_extension("lock")).map_err(|source| self.failed(source))?;
        self.hand_over([&opened, &lock])?;
        lock.lock().map_err(|source| self.failed(source))?;
        let mut contents = self.read()?;
        let result = change(&mut contents)?;
        let text = serde_json::to_string_pretty(&contents).map_err(|error| self.malformed(&error.to_string()))?;
        // Its owner alone may read what tempfile makes.
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(|source| self.failed(source))?;
        file.write_all(text.as_bytes()).map_err(|source| self.failed(source))?;
        self.hand_over([file.as_file()])?;
        file.as_file().sync_all().map_err(|source| self.failed(source))?;
        file.persist(&self.path).map_err(|error| self.failed(error.error))?;
        opened.sync_all().map_err(|source| self.failed(source))?;
        Ok(result)
    }

    /// Gives files that were made to whom the data directory belongs: root makes keys for a server that runs as another user.
    fn hand_over<'a>(&self, made: impl IntoIterator<Item = &'a File>) -> Result<(), KeyError> {
        let data_dir = self.path.parent().and_then(Path::parent);
        let data_dir = data_dir.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let owner = fs::metadata(data_dir).map_err(|source| self.failed(source))?;
        for file in made {
            let roots = file.metadata().map_err(|source| self.failed(source))?.uid() == 0;
            if roots && owner.uid() != 0 {
                fchown(file, Some(owner.uid()), Some(owner.gid())).map_err(|source| self.failed(source))?;
            }
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> KeyError {
        KeyError::File {
            path: self.path.clone(),
            source,
        }
    }

    fn malformed(&self, issue: &str) -> KeyError {
        KeyError::Malformed {
            path: self.path.clone(),
            issue: issue.to_owned(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn new(name: &str) -> NewKey {
        NewKey {
            name: name.to_owned(),
            scopes: [Scope::Read].into_iter().collect(),
            collections: Some(vec!["team-*".to_owned()]),
            expires: None,
        }
    }

    #[test]
    fn a_key_is_found_by_itself_alone_until_it_is_revoked() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = KeyFile::in_data_dir(directory.path());
        assert_eq!(file.table().expect("no file is no key").len(), 0);
        let (secret, made) = file.add(new("ci")).expect("made");
        let (other, _) = file.add(new("bot")).expect("made");
        let table = file.table().expect("read");
        assert_eq!(table.find(&secret), Some(&made));
        assert!(secret != other && table.has(&made));
        let mut wrong = secret.clone();
        wrong.pop();
        for nobody in [
            "",
            "ibid_",
            "ibid__",
            &wrong,
            &format!("{wrong}x"),
            &format!("{secret}0"),
            &secret.replace(&made.id, "0"),
        ] {
            assert_eq!(table.find(nobody), None, "{nobody}");
        }
        // Nothing in the file is the key.
        let text = fs::read_to_string(file.path()).expect("the file");
        assert!(!text.contains(secret.rsplit('_').next().expect("a secret")));
        assert_eq!(fs::metadata(file.path()).expect("the file").permissions().mode() & 0o777, 0o600);
        assert_eq!(file.revoke("ci").expect("revoked"), made);
        let table = file.table().expect("read");
        assert!(table.find(&secret).is_none() && !table.has(&made) && table.find(&other).is_some());
        assert!(matches!(file.revoke("ci"), Err(KeyError::Unknown(_))));
    }

    #[test]
    fn keys_belong_to_whom_the_data_directory_belongs() {
        let directory = tempfile::tempdir().expect("a directory");
        let owner = || fs::metadata(directory.path()).expect("the directory");
        if owner().uid() == 0 {
            // As root, for a server that runs as another user; nobody else can make this difference.
            std::os::unix::fs::chown(directory.path(), Some(12_345), Some(12_345)).expect("given away");
        }
        let file = KeyFile::in_data_dir(directory.path());
        file.add(new("ci")).expect("made");
        file.revoke("ci").expect("revoked");
        for path in ["auth", "auth/keys.json", "auth/keys.lock"] {
            let made = fs::metadata(directory.path().join(path)).expect(path);
            assert_eq!(made.uid(), owner().uid(), "{path}");
        }
    }

    #[test]
    fn names_are_unique_and_keys_can_do_something() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = KeyFile::in_data_dir(directory.path());
        let (_, made) = file.add(new("ci")).expect("made");
        assert!(matches!(file.add(new("ci")), Err(KeyError::Taken(_))));
        assert!(matches!(file.add(new("")), Err(KeyError::Name)));
        assert!(matches!(file.add(new("a\nb")), Err(KeyError::Name)));
        let nothing = NewKey {
            scopes: Scopes::default(),
            ..new("nothing")
        };
        assert!(matches!(file.add(nothing), Err(KeyError::NoScopes)));
        assert_eq!(file.list().expect("read"), std::slice::from_ref(&made));
        assert_eq!(made.subject().collections, Some(vec!["team-*".to_owned()]));
        fs::write(file.path(), "{\"keys\": [{}]}").expect("written");
        assert!(matches!(file.table(), Err(KeyError::Malformed { .. })));
    }

    #[test]
    fn a_copy_of_shared_keys_is_read_and_not_changed() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = KeyFile::in_data_dir(directory.path());
        file.add(new("own")).expect("made");
        let own = file.own().expect("read");
        let (secret, shared) = StoredKey::make(new("shared")).expect("made");
        let all = vec![own[0].clone(), StoredKey::parse(&shared.to_text()).expect("itself")];
        file.copy(all.clone()).expect("written");
        assert_eq!((file.list().expect("read").len(), file.own().expect("read")), (2, Vec::new()));
        assert_eq!(file.table().expect("read").find(&secret), Some(&shared.key));
        assert!(matches!(file.add(new("another")), Err(KeyError::Shared { .. })));
        assert!(matches!(file.revoke("own"), Err(KeyError::Shared { .. })));
        let written = fs::metadata(file.path()).expect("the file").ino();
        file.copy(all).expect("there already");
        assert_eq!(fs::metadata(file.path()).expect("the file").ino(), written);
        file.copy(Vec::new()).expect("written");
        assert!(file.list().expect("read").is_empty());
        assert!(StoredKey::parse("{}").is_err());
    }

    #[test]
    fn keys_made_at_once_are_all_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = KeyFile::in_data_dir(directory.path());
        std::thread::scope(|scope| {
            for n in 0..8 {
                let file = &file;
                scope.spawn(move || file.add(new(&format!("key {n}"))).expect("made"));
            }
        });
        assert_eq!(file.list().expect("read").len(), 8);
    }
}
