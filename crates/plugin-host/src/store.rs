//! Installed plugins on disk: one file for each, named by its content's digest.
//!
//! Files are written atomically: to a temporary file, synced and renamed. What is read is checked against its name. All functions block.

use super::host::MAX_COMPONENT_BYTES;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory of components.
#[derive(Debug, Clone)]
pub struct PluginStore {
    directory: PathBuf,
}

/// A file of the store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system returned an error.
    #[error("{path}: {cause}")]
    Io {
        /// The path.
        path: String,
        /// The error.
        #[source]
        cause: io::Error,
    },
    /// The file's content does not match its name.
    #[error("{path} is damaged: install the plugin again")]
    Damaged {
        /// The path.
        path: String,
    },
}

/// Returns `sha256:` and the digest of a component in lower-case hexadecimal digits.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

impl PluginStore {
    /// Opens the store in `directory`, which is created if it does not exist. Removes what an interrupted installation left.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(directory).map_err(io_at(directory))?;
        let store = Self {
            directory: directory.to_owned(),
        };
        for path in store.files()? {
            if path.extension().is_some_and(|extension| extension == "part") {
                fs::remove_file(&path).map_err(io_at(&path))?;
            }
        }
        Ok(store)
    }

    /// Stores a component durably. Does nothing if it is stored already.
    ///
    /// # Errors
    /// [`StoreError::Io`], for example if the disk is full; then nothing is left behind.
    pub fn put(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(&digest_of(bytes));
        let part = path.with_extension("part");
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            self.sync()
        };
        write().map_err(|cause| {
            let _ = fs::remove_file(&part);
            io_at(&path)(cause)
        })
    }

    /// Removes a component durably. It need not exist.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove(&self, digest: &str) -> Result<(), StoreError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_at(&path)(error)),
            Ok(()) => self.sync().map_err(io_at(&path)),
        }
    }

    /// Reads every component, in the order of their digests.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory cannot be read; an error in one file does not prevent the others.
    pub fn read_all(&self) -> Result<Vec<Result<Vec<u8>, StoreError>>, StoreError> {
        let components = self
            .files()?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "wasm"));
        Ok(components.map(|path| read(&path)).collect())
    }

    fn path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.directory.join(format!("{hex}.wasm"))
    }

    fn files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let entries = fs::read_dir(&self.directory).map_err(io_at(&self.directory))?;
        let mut paths = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(io_at(&self.directory))?;
        paths.sort();
        Ok(paths)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io_at(path))?;
    file.take(MAX_COMPONENT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io_at(path))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    if digest_of(&bytes) != format!("sha256:{name}") {
        return Err(StoreError::Damaged {
            path: path.display().to_string(),
        });
    }
    Ok(bytes)
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.display().to_string();
    move |cause| StoreError::Io { path, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_there_after_a_restart_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = PluginStore::open(dir.path()).unwrap();
        store.put(b"one").unwrap();
        store.put(b"one").unwrap();
        store.put(b"two").unwrap();
        fs::write(dir.path().join("x.part"), b"half").unwrap();
        let store = PluginStore::open(dir.path()).unwrap();
        let mut all: Vec<Vec<u8>> = store.read_all().unwrap().into_iter().map(Result::unwrap).collect();
        all.sort();
        assert_eq!(all, [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(store.files().unwrap().len(), 2, "the half of an installation is gone");

        fs::write(store.path(&digest_of(b"one")), b"onf").unwrap();
        let damaged = store.read_all().unwrap().into_iter().filter(Result::is_err).count();
        assert_eq!(damaged, 1);
        store.remove(&digest_of(b"one")).unwrap();
        store.remove(&digest_of(b"one")).unwrap();
        assert_eq!(store.read_all().unwrap().len(), 1);
    }
}
