//! Who may touch an original: one at a time, in this process or among several servers.

use super::Result;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OwnedMutexGuard;

/// Exclusive rights by name. Servers that share a file store need one that all of them ask (in their catalog, say); a server
/// by itself takes [`LocalExclusion`].
#[async_trait]
pub trait Exclusion: Send + Sync {
    /// Waits until nobody else has the right of this name, and takes it until the guard is dropped. Rights are few and held
    /// for as long as a file takes to be stored; whoever holds one asks for no other, for two names may be one right.
    ///
    /// # Errors
    /// [`super::FileError::Away`] or [`super::FileError::Interrupted`] where whoever gives the rights cannot be asked.
    async fn exclusive(&self, name: &str) -> Result<Box<dyn Send + Sync>>;
}

/// A lock for each name that anybody asks for. Asynchronous: they are there to be kept over awaits.
#[derive(Default)]
pub(super) struct NamedLocks(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl NamedLocks {
    /// Waits until nobody else has this name's lock.
    pub(super) async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            // The map is whole after every statement.
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match locks.get(name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    // Few at a time, so that a look at all of them costs nothing.
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

/// The rights of one process.
#[derive(Default)]
pub struct LocalExclusion(NamedLocks);

#[async_trait]
impl Exclusion for LocalExclusion {
    async fn exclusive(&self, name: &str) -> Result<Box<dyn Send + Sync>> {
        Ok(Box::new(self.0.lock(name).await))
    }
}
