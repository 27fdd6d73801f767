//! The file of API keys in a data directory.

use super::{ApiKey, KeyError, KeyTable, NewKey, StoredKey};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};

/// The largest file of keys, in bytes.
const MAX_FILE: u64 = 16 << 20;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Contents {
    /// Whether the keys are a copy of those that servers share.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    keys: Vec<StoredKey>,
}

/// The file of API keys in a data directory.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Refers to the file at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Refers to the file in a data directory.
    pub fn in_data_dir(data_dir: &Path) -> Self {
        Self::new(data_dir.join("auth").join("keys.json"))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns all keys, in the order in which they were created.
    ///
    /// # Errors
    /// [`KeyError::File`] or [`KeyError::Malformed`].
    pub fn list(&self) -> Result<Vec<ApiKey>, KeyError> {
        Ok(self.read()?.keys.into_iter().map(|stored| stored.key).collect())
    }

    /// Creates a key. Returns the secret, which is shown this once since only its hash is stored, and the key's attributes.
    ///
    /// # Errors
    /// If the name is taken or not valid, if there are no scopes, or if the file cannot be written.
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

    /// Removes the key with this name or identifier, and returns its attributes.
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

    /// Returns the keys that are this file's own, or none if the file is a copy of those that servers share.
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

    /// Returns all keys, to verify credentials.
    pub(crate) fn table(&self) -> Result<KeyTable, KeyError> {
        let keys = self.read()?.keys;
        Ok(KeyTable::new(keys))
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

    /// Changes the keys, unless they are a copy.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T, KeyError>) -> Result<T, KeyError> {
        self.replace(|contents| match contents.shared {
            true => Err(KeyError::Shared { path: self.path.clone() }),
            false => change(contents),
        })
    }

    /// Changes the file atomically, and one process at a time.
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
        // Only the owner may read a file that tempfile creates.
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(|source| self.failed(source))?;
        file.write_all(text.as_bytes()).map_err(|source| self.failed(source))?;
        self.hand_over([file.as_file()])?;
        file.as_file().sync_all().map_err(|source| self.failed(source))?;
        file.persist(&self.path).map_err(|error| self.failed(error.error))?;
        opened.sync_all().map_err(|source| self.failed(source))?;
        Ok(result)
    }

    /// Gives new files to the owner of the data directory: root creates keys for a server that runs as another user.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scope, Scopes};
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
        // The file does not hold the secret.
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
