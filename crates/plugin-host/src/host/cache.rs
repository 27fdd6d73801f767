//! A cache of compiled code on disk, so that a start need not compile every plugin again.

use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use wasmtime::Engine;
use wasmtime::component::Component;

/// An entry that was unused for this long is removed: its plugin or its engine has gone.
const KEPT_UNUSED: Duration = Duration::from_secs(30 * 86_400);
const EXTENSION: &str = "cwasm";
const CHECKSUM_BYTES: usize = 32;

/// A directory of compiled components, named by their digest and by the engine that compiled them.
///
/// A file is the SHA-256 of the code, then the code, so that a damaged one is compiled again. That does not protect against someone who can
/// write to the directory; its mode does.
pub struct Cache {
    dir: PathBuf,
    /// A hash of what the code depends on besides the component: version, target and settings of the engine.
    engine: u64,
}

impl Cache {
    /// Opens the directory, creating it if necessary, and removes entries that were unused for long.
    pub fn open(dir: &Path, engine: &Engine) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let cache = Self {
            dir: dir.to_owned(),
            engine: hasher.finish(),
        };
        cache.remove_unused();
        Ok(cache)
    }

    fn path(&self, digest: &str) -> PathBuf {
        let digest = digest.trim_start_matches("sha256:");
        self.dir.join(format!("{digest}-{:016x}.{EXTENSION}", self.engine))
    }

    /// Returns the compiled component of this digest, if it exists and is intact.
    pub fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let bytes = fs::read(&path).ok()?;
        let (checksum, code) = bytes.split_at_checked(CHECKSUM_BYTES)?;
        if Sha256::digest(code).as_slice() != checksum {
            tracing::warn!(path = %path.display(), "a damaged entry of the plugin cache is compiled again");
            return None;
        }
        // SAFETY: the code was made by `Component::serialize`: its name has the engine's compatibility hash, its checksum shows that it is
        // intact, and only the server's own user can write to the directory, who could replace the server itself.
        #[allow(unsafe_code)]
        let component = unsafe { Component::deserialize(engine, code) };
        match component {
            Ok(component) => {
                // Mark it as used. If that fails, it is compiled again in a month.
                let _ = File::options()
                    .append(true)
                    .open(&path)
                    .and_then(|file| file.set_modified(SystemTime::now()));
                Some(component)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an entry of the plugin cache does not fit this engine");
                None
            }
        }
    }

    /// Stores a compiled component. Failing to store it does not fail the loading.
    pub fn put(&self, digest: &str, component: &Component) {
        let path = self.path(digest);
        if let Err(error) = self.write(&path, component) {
            tracing::warn!(path = %path.display(), %error, "compiled plugin code cannot be cached");
        }
    }

    fn write(&self, path: &Path, component: &Component) -> io::Result<()> {
        let code = component.serialize().map_err(io::Error::other)?;
        let mut file = tempfile::Builder::new().prefix(".").tempfile_in(&self.dir)?;
        file.write_all(&Sha256::digest(&code))?;
        file.write_all(&code)?;
        file.persist(path)?;
        Ok(())
    }

    fn remove_unused(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let ours = path.extension().is_some_and(|extension| extension == EXTENSION);
            let age = entry
                .metadata()
                .and_then(|meta| meta.modified())
                .ok()
                .and_then(|modified| modified.elapsed().ok());
            if ours && age.is_some_and(|age| age > KEPT_UNUSED) {
                // Another server with the same directory may have been faster.
                let _ = fs::remove_file(path);
            }
        }
    }
}
