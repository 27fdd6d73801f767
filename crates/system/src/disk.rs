//! Room on a disk: whether a reserve is free, whether anything can be written, and what to do where not.
//!
//! The vector engine writes through memory maps of files with holes, and where a disk is full that ends the process. So whoever lets files
//! grow asks first whether a reserve would stay free. What is left of the reserve is for deletions, which make room.
//! Looking at a disk blocks, for microseconds on a local one.

use ibid_types::ErrorCode;
use rustix::fs::StatVfsMountFlags;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Below this part of the reserve nothing is written any more, deletions neither: others fill the disk.
const LEAST: u64 = 8;

/// Why a disk cannot be written, with the remedy; fit for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// It is full, or a quota is used up, or less than the reserve is free.
    #[error("the disk of the server's data is full: make room there; what was accepted waits, and goes on by itself")]
    Full,
    /// It is mounted read-only, perhaps by the system itself after a failure.
    #[error(
        "the disk of the server's data is read-only: the system's log says why; when it can be written, what was accepted goes on by itself"
    )]
    ReadOnly,
}

impl DiskError {
    /// For programs: `disk_full` or `disk_read_only`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Full => "disk_full",
            Self::ReadOnly => "disk_read_only",
        }
    }

    /// The protocol's code for it.
    pub fn code(self) -> ErrorCode {
        ErrorCode::ServiceUnavailable
    }

    /// What an error of the file system says of the disk, if it says anything.
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Full),
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::ReadOnly),
            _ => None,
        }
    }
}

/// The disk that a directory is on, of which a reserve is to stay free.
#[derive(Debug, Clone)]
pub struct DiskGuard {
    directory: PathBuf,
    reserve: u64,
}

impl DiskGuard {
    /// Of a directory that is there; `reserve` in bytes, 0 for none.
    pub fn new(directory: &Path, reserve: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            reserve,
        }
    }

    /// Bytes that are to stay free.
    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Bytes that are free for who is not privileged, and whether the file system says that it is read-only.
    fn look(&self) -> io::Result<(u64, bool)> {
        let found = rustix::fs::statvfs(&self.directory)?;
        Ok((
            found.f_bavail.saturating_mul(found.f_frsize),
            found.f_flag.contains(StatVfsMountFlags::RDONLY),
        ))
    }

    /// Bytes that are free for who is not privileged; `None` where the directory cannot be looked at. Blocks.
    pub fn free(&self) -> Option<u64> {
        self.look().ok().map(|(free, _)| free)
    }

    fn keep(&self, free: u64) -> Result<(), DiskError> {
        match self.look() {
            Ok((_, true)) => Err(DiskError::ReadOnly),
            Ok((there, false)) if there < free => Err(DiskError::Full),
            // What cannot be looked at says so where it is used.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Whether `more` bytes can be written and the reserve stays free. Blocks.
    ///
    /// # Errors
    /// What is the matter.
    pub fn check(&self, more: u64) -> Result<(), DiskError> {
        self.keep(self.reserve.saturating_add(more))
    }

    /// Whether there is room for what makes room: deletions. Blocks.
    ///
    /// # Errors
    /// What is the matter.
    pub fn check_least(&self) -> Result<(), DiskError> {
        self.keep(self.reserve / LEAST)
    }

    /// As [`check`](Self::check), and tries to write: a file system that failed does not always say so by itself. Blocks.
    ///
    /// # Errors
    /// What is the matter.
    pub fn try_write(&self, more: u64) -> Result<(), DiskError> {
        self.check(more)?;
        self.write()
    }

    /// As [`check_least`](Self::check_least), and tries to write. Blocks.
    ///
    /// # Errors
    /// What is the matter.
    pub fn try_least(&self) -> Result<(), DiskError> {
        self.check_least()?;
        self.write()
    }

    fn write(&self) -> Result<(), DiskError> {
        let tried = || {
            // Without a name, so that a crash leaves nothing behind. Not synced: it is tried often.
            tempfile::tempfile_in(&self.directory)?.write_all(&[0; 4096])
        };
        match tried() {
            Ok(()) => Ok(()),
            Err(error) => DiskError::of(&error).map_or(Ok(()), Err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_that_is_not_there_is_a_full_disk_and_leaves_room_for_deletions() {
        let directory = tempfile::tempdir().unwrap();
        let free = DiskGuard::new(directory.path(), 0).look().unwrap().0;
        assert_eq!(DiskGuard::new(directory.path(), 0).try_write(0), Ok(()));
        assert_eq!(
            DiskGuard::new(directory.path(), 0).check(free.saturating_mul(2)),
            Err(DiskError::Full)
        );
        let short = DiskGuard::new(directory.path(), free.saturating_mul(2));
        assert_eq!(short.check(0), Err(DiskError::Full));
        assert_eq!(short.try_write(0), Err(DiskError::Full));
        assert_eq!(short.check_least(), Ok(()));
        assert_eq!(DiskGuard::new(directory.path(), u64::MAX).check_least(), Err(DiskError::Full));
        assert_eq!(
            std::fs::read_dir(directory.path()).unwrap().count(),
            0,
            "a try leaves nothing behind"
        );
    }

    #[test]
    fn errors_of_the_file_system_say_what_the_matter_is() {
        for (kind, trouble) in [
            (io::ErrorKind::StorageFull, Some(DiskError::Full)),
            (io::ErrorKind::QuotaExceeded, Some(DiskError::Full)),
            (io::ErrorKind::ReadOnlyFilesystem, Some(DiskError::ReadOnly)),
            (io::ErrorKind::NotFound, None),
        ] {
            assert_eq!(DiskError::of(&kind.into()), trouble, "{kind:?}");
        }
    }
}
