//! Exclusive locks on originals, in one process or among several servers.

use super::Result;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OwnedMutexGuard;

/// Exclusive locks by name. Servers that share a file store need an implementation that they all use (in their catalog, for example); a
/// single server uses [`LocalExclusion`].
#[async_trait]
pub trait Exclusion: Send + Sync {
    /// Waits for the lock of this name, and holds it until the guard is dropped. Locks are few, and held while a file is stored. A holder
    /// must not take a second one, since two names may share a lock.
    ///
    /// # Errors
    /// [`super::FileError::Away`] or [`super::FileError::Interrupted`] where the locks' service cannot be reached.
    async fn exclusive(&self, name: &str) -> Result<Box<dyn Send + Sync>>;
}

/// A lock for each name in use. They are asynchronous because they are held across awaits.
#[derive(Default)]
pub(super) struct NamedLocks(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl NamedLocks {
    /// Waits for the lock of this name.
    pub(super) async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            // The map is consistent after every statement.
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match locks.get(name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    // There are few at a time, so the scan costs nothing.
                    locks.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::default();
                    locks.insert(name.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

/// The locks of one process.
#[derive(Default)]
pub struct LocalExclusion(NamedLocks);

#[async_trait]
impl Exclusion for LocalExclusion {
    async fn exclusive(&self, name: &str) -> Result<Box<dyn Send + Sync>> {
        Ok(Box::new(self.0.lock(name).await))
    }
}
