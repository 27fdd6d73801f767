//! What clients have at a time.

use super::Key;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Table = Mutex<HashMap<Key, usize>>;

/// How many each client has. It holds only those that have some.
pub(super) struct Counts {
    most: AtomicUsize,
    table: Arc<Table>,
}

/// One of them, until it is dropped.
pub(crate) struct Counted {
    key: Key,
    table: Arc<Table>,
}

fn lock(table: &Table) -> MutexGuard<'_, HashMap<Key, usize>> {
    // Numbers are whole after every statement.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counts {
    /// Counts up to `most` for each client; 0 is no limit.
    pub fn new(most: usize) -> Self {
        Self {
            most: AtomicUsize::new(most),
            table: Arc::default(),
        }
    }

    /// Another number from now on; what there is stays.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// One more for a client, or how many it may have.
    pub fn one_more(&self, key: Key) -> Result<Option<Counted>, usize> {
        let most = self.most.load(Ordering::Relaxed);
        if most == 0 {
            return Ok(None);
        }
        let mut table = lock(&self.table);
        let count = table.entry(key.clone()).or_default();
        if *count >= most {
            return Err(most);
        }
        *count += 1;
        drop(table);
        Ok(Some(Counted {
            key,
            table: self.table.clone(),
        }))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        if let Some(count) = table.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                table.remove(&self.key);
            }
        }
    }
}
