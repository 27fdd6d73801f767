//! A store in a temporary directory: a real catalog and real files, and an index in memory.

use super::clock::FakeClock;
use super::faults::Faults;
use super::files::FaultyFiles;
use super::index::FakeIndex;
use crate::lifecycle::Lifecycle;
use crate::store::Store;
use crate::store::disk::Disk;
use crate::store::events::Events;
use ibid_catalog::{Catalog, Collection, NewEvent, SqliteOptions};
use ibid_files::{LocalExclusion, StoreOptions};
use ibid_index::{CollectionKey, RoutedIndex, Schema, VectorIndex};
use ibid_system::disk::DiskGuard;
use ibid_types::IndexBackend;
use serde_json::json;
use std::sync::Arc;

/// Numbers of a vector of the fakes.
pub(crate) const DIMENSION: u32 = 4;

/// A store whose index is a fake, and what a test wants to reach of it.
pub(crate) struct TestStore {
    /// The store.
    pub store: Arc<Store>,
    /// The embedded index.
    pub index: FakeIndex,
    /// The Qdrant server's index.
    pub remote: FakeIndex,
    /// The calls of the file store, and the failures planned for them.
    pub files: Arc<Faults>,
    /// The clock of [`lifecycle`](Self::lifecycle), whose sleeps end at once.
    pub clock: Arc<FakeClock>,
    /// The background tasks.
    pub lifecycle: Lifecycle,
    /// Removed with the store.
    pub directory: tempfile::TempDir,
}

impl TestStore {
    /// Opens an empty store.
    pub async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let catalog = Catalog::sqlite(&directory.path().join("catalog"), SqliteOptions::default()).await;
        let exclusion = Arc::new(LocalExclusion::default());
        let files = StoreOptions::Directory.open(directory.path(), exclusion).await;
        let faults = Arc::new(Faults::default());
        let files = FaultyFiles {
            inner: files.expect("files"),
            faults: faults.clone(),
        };
        let (index, remote) = (FakeIndex::default(), FakeIndex::default());
        let routed = RoutedIndex::new(index.clone(), Some(remote.clone()));
        routed.set_away(false);
        let clock = Arc::new(FakeClock::skipping());
        Self {
            store: Arc::new(Store::new(
                Arc::new(catalog.expect("a catalog")),
                Arc::new(files),
                Arc::new(routed),
                Disk::new(DiskGuard::new(directory.path(), 0)),
                Arc::new(Events::default()),
            )),
            index,
            remote,
            files: faults,
            lifecycle: Lifecycle::with_clock(clock.clone()),
            clock,
            directory,
        }
    }

    /// Creates a collection with its index, as `POST /collections` does, with `lock` as its lock.
    pub async fn collection(&self, name: &str, lock: serde_json::Value) -> Collection {
        let event = NewEvent::new("collection_created", json!({}));
        let created = self
            .store
            .catalog
            .create_collection(name, &json!({}), &lock, IndexBackend::Embedded, event)
            .await;
        let (collection, _) = created.expect("a collection");
        let key = CollectionKey::of_generation(&collection.id, collection.generation).expect("a key");
        let schema = Schema { dimension: DIMENSION };
        self.store.index.put(&key, IndexBackend::Embedded);
        self.store.index.create_collection(&key, &schema).await.expect("an index");
        collection
    }
}
