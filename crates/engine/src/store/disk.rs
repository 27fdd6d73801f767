//! The disk of the data directory: looked at all the time, so that nothing is begun that could not be written, and what waits goes on
//! when it can.

use crate::error::PipelineError;
use ibid_system::disk::{DiskError, DiskGuard};
use tokio::sync::watch;

/// A disk that was full is well again when this part of the reserve is free beyond it, so that its state does not swing.
const BEYOND: u64 = 8;

/// What is known of the disk.
pub(crate) struct Disk {
    space: DiskGuard,
    disk_error: watch::Sender<Option<DiskError>>,
}

impl Disk {
    /// A disk that is taken to be well until somebody looks.
    pub fn new(space: DiskGuard) -> Self {
        Self {
            space,
            disk_error: watch::Sender::new(None),
        }
    }

    /// What is known to be the matter with it.
    pub fn disk_error(&self) -> Option<DiskError> {
        *self.disk_error.borrow()
    }

    /// Notes what is the matter with it, until a look finds it well.
    pub fn note(&self, found: DiskError) {
        let changed = self.disk_error.send_if_modified(|known| known.replace(found) != Some(found));
        if changed {
            tracing::error!(reason = found.reason(), "{found}");
        }
    }

    /// Waits until it is not known to be in trouble.
    pub async fn wait_until_writable(&self) {
        // An error only says that the engine is gone.
        let _ = self.disk_error.subscribe().wait_for(Option::is_none).await;
    }

    /// Bytes that are free, if that can be told.
    pub async fn free(&self) -> Option<u64> {
        let space = self.space.clone();
        tokio::task::spawn_blocking(move || space.free()).await.ok().flatten()
    }

    /// Looks whether `more` bytes can be written, and notes what is found.
    pub async fn check(&self, more: u64) -> Result<(), DiskError> {
        self.look(move |space| space.check(more)).await
    }

    /// The same, and tries to write.
    pub async fn try_write(&self, more: u64) -> Result<(), DiskError> {
        self.look(move |space| space.try_write(more)).await
    }

    /// What a try to write finds, or what is known already.
    pub async fn health(&self) -> Result<(), DiskError> {
        self.try_write(0).await?;
        self.disk_error().map_or(Ok(()), Err)
    }

    /// Tries to write beyond the reserve: whether a disk that was full has room again.
    pub async fn try_recover(&self) -> Result<(), DiskError> {
        self.try_write(self.space.reserve() / BEYOND).await
    }

    /// Notes that the disk can be written again, and wakes whoever waits for it.
    pub fn recovered(&self) {
        self.disk_error.send_replace(None);
    }

    async fn look(&self, look: impl FnOnce(&DiskGuard) -> Result<(), DiskError> + Send + 'static) -> Result<(), DiskError> {
        let space = self.space.clone();
        // A look that broke off has found nothing.
        let found = tokio::task::spawn_blocking(move || look(&space)).await.unwrap_or(Ok(()));
        if let Err(trouble) = found {
            self.note(trouble);
        }
        found
    }

    /// Refuses what would need more room than there is; `more` in bytes.
    ///
    /// # Errors
    /// What is the matter.
    pub async fn admit(&self, more: u64) -> Result<(), DiskError> {
        match self.disk_error() {
            Some(trouble) => Err(trouble),
            None => self.check(more).await,
        }
    }

    /// What an error says of the disk. Of errors that say nothing by themselves the disk is asked: it may have failed.
    pub async fn explains(&self, error: &PipelineError) -> Option<DiskError> {
        match error.disk_error() {
            Some(trouble) => {
                self.note(trouble);
                Some(trouble)
            }
            None if error.is_of_storage() => self.try_write(0).await.err(),
            None => None,
        }
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
