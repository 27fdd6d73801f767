//! The state of the data directory's disk. It is checked all the time, so that nothing is begun that could not be written, and work that waits
//! for the disk continues when it is writable again.

use crate::error::PipelineError;
use ibid_system::disk::{DiskError, DiskGuard};
use tokio::sync::watch;

/// A disk that was full counts as writable when this part of the reserve is free beyond the reserve, so that its state does not swing.
const RECOVERY_MARGIN: u64 = 8;

/// The last known state of the disk.
pub(crate) struct Disk {
    guard: DiskGuard,
    disk_error: watch::Sender<Option<DiskError>>,
}

impl Disk {
    /// A disk that counts as writable until a check fails.
    pub fn new(guard: DiskGuard) -> Self {
        Self {
            guard,
            disk_error: watch::Sender::new(None),
        }
    }

    /// Returns what is wrong with the disk, as far as is known.
    pub fn disk_error(&self) -> Option<DiskError> {
        *self.disk_error.borrow()
    }

    /// Notes what is wrong with the disk, until [`recovered`](Self::recovered).
    pub fn note(&self, found: DiskError) {
        let changed = self.disk_error.send_if_modified(|known| known.replace(found) != Some(found));
        if changed {
            tracing::error!(reason = found.reason(), "{found}");
        }
    }

    /// Waits until nothing is known to be wrong with the disk.
    pub async fn wait_until_writable(&self) {
        // An error only says that the engine is gone.
        let _ = self.disk_error.subscribe().wait_for(Option::is_none).await;
    }

    /// Returns the free bytes, where the system says so.
    pub async fn free(&self) -> Option<u64> {
        let guard = self.guard.clone();
        tokio::task::spawn_blocking(move || guard.free()).await.ok().flatten()
    }

    /// Checks whether `more` bytes can be written, and notes the error.
    pub async fn check(&self, more: u64) -> Result<(), DiskError> {
        self.run(move |guard| guard.check(more)).await
    }

    /// As [`check`](Self::check), and tries to write.
    pub async fn try_write(&self, more: u64) -> Result<(), DiskError> {
        self.run(move |guard| guard.try_write(more)).await
    }

    /// Tries to write, and returns the error, or one that is already known.
    pub async fn health(&self) -> Result<(), DiskError> {
        self.try_write(0).await?;
        self.disk_error().map_or(Ok(()), Err)
    }

    /// Tries to write beyond the reserve: whether a disk that was full has room again.
    pub async fn try_recover(&self) -> Result<(), DiskError> {
        self.try_write(self.guard.reserve() / RECOVERY_MARGIN).await
    }

    /// Notes that the disk can be written again, and wakes whoever waits for it.
    pub fn recovered(&self) {
        self.disk_error.send_replace(None);
    }

    async fn run(&self, check: impl FnOnce(&DiskGuard) -> Result<(), DiskError> + Send + 'static) -> Result<(), DiskError> {
        let guard = self.guard.clone();
        // A check that panicked has found nothing.
        let found = tokio::task::spawn_blocking(move || check(&guard)).await.unwrap_or(Ok(()));
        if let Err(error) = found {
            self.note(error);
        }
        found
    }

    /// Refuses work that needs `more` bytes than there are.
    ///
    /// # Errors
    /// What is wrong with the disk.
    pub async fn admit(&self, more: u64) -> Result<(), DiskError> {
        match self.disk_error() {
            Some(error) => Err(error),
            None => self.check(more).await,
        }
    }

    /// Returns what is wrong with the disk, if that is why the work failed. For a failure of storage that does not say, tries to write.
    pub async fn explains(&self, error: &PipelineError) -> Option<DiskError> {
        match error.disk_error() {
            Some(found) => {
                self.note(found);
                Some(found)
            }
            None if error.is_of_storage() => self.try_write(0).await.err(),
            None => None,
        }
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
