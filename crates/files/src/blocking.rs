//! Small file operations. All of them block, except `run`.

use super::{FileError, Result};
use bytes::Bytes;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// Runs a blocking closure on a thread for blocking work. It runs to its end even if the caller's future is dropped.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(FileError::Interrupted))
}

/// Checks that an identifier can be part of a path: 1 to 128 of `A-Z a-z 0-9 _ -`.
pub(super) fn check_id(id: &str) -> Result<()> {
    let good = (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if good { Ok(()) } else { Err(FileError::InvalidId(id.to_owned())) }
}

/// Returns whether it is 64 lower-case hexadecimal digits.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Creates a directory that only the server's user can enter; one that exists is unchanged.
pub(super) fn create_directory(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    builder.mode(0o700);
    builder.create(path).map_err(FileError::io(path))
}

/// Options for files that only the server's user can read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Syncs a directory, so that the names in it are durable.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(FileError::io(path))
}

/// Removes a file, or a directory with its content; `false` if it did not exist.
pub(super) fn remove(path: &Path) -> Result<bool> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::io(path)(error)),
    }
}

/// Returns the names in a directory that are UTF-8, as all names of the store are; none if it does not exist.
pub(super) fn names(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::io(path)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::io(path))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

/// Reads at an offset until `buffer` is full or the file ends; returns how much was read.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Reads `length` bytes from an offset on, or as many as there are.
pub(super) fn read_part(file: &File, offset: u64, length: u32) -> io::Result<Bytes> {
    let rest = file.metadata()?.len().saturating_sub(offset);
    // The buffer never exceeds the file, so that a caller's `length` cannot exhaust the memory.
    let mut bytes = vec![0; usize::try_from(rest.min(length.into())).unwrap_or(0)];
    let read = read_at(file, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok(Bytes::from(bytes))
}

/// Locks a directory for as long as the returned file is open. `InUse` while another process or store has locked it.
pub(super) fn lock(directory: &Path) -> Result<File> {
    let path = directory.join(".lock");
    let lock = private()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(FileError::io(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(FileError::InUse),
        Err(TryLockError::Error(error)) => Err(FileError::io(&path)(error)),
    }
}

/// Returns bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
