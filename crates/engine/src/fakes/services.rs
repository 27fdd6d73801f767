//! The services that receive, manage and repair, over a [`TestStore`] and fakes of everything that needs a model or a plugin.

use super::background::FakeWork;
use super::peers::FakePeers;
use super::pipelines::{FakePipelines, lock};
use super::store::{DIMENSION, TestStore};
use crate::ingest::reporter::Pace;
use crate::ingest::reports::UploadReports;
use crate::ingest::uploads::{UploadLimits, UploadSessions, Uploads};
use crate::manage::collections::Collections;
use crate::manage::documents::Documents;
use crate::manage::placement::{Moves, Placement};
use crate::query::profile_cache::{KnownProfiles, ProfileCache};
use crate::store::jobs::Jobs;
use crate::upkeep::Upkeep;
use bytes::Bytes;
use ibid_catalog::{Chunk, Collection, Creation, DocumentRecord, Extracted, NewDocument, NewEvent, UploadStatus};
use ibid_files::StageOptions;
use ibid_index::{CollectionKey, Payload, Point, Schema, SparseVector, VectorIndex};
use ibid_types::IndexBackend;
use ibid_types::document::{Document, Span};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The largest file that [`TestServices`] take.
pub(crate) const MAX_BYTES: u64 = 100;
/// Uploads that may be open at once.
pub(crate) const MAX_OPEN: usize = 3;

/// Services over fakes.
pub(crate) struct TestServices {
    pub test: TestStore,
    pub peers: Arc<FakePeers>,
    pub pipelines: Arc<FakePipelines>,
    pub work: Arc<FakeWork>,
    pub jobs: Arc<Jobs>,
    pub placement: Arc<Placement>,
    pub collections: Arc<Collections>,
    pub documents: Arc<Documents>,
    pub reports: Arc<UploadReports>,
    pub uploads: Arc<Uploads>,
    pub upkeep: Arc<Upkeep>,
}

impl TestServices {
    /// The services of a server that is alone.
    pub async fn open() -> Self {
        Self::with(FakePeers::default(), Duration::from_secs(3_600)).await
    }

    /// The services of one of several servers.
    pub async fn open_shared() -> Self {
        Self::with(FakePeers::sharing(), Duration::from_secs(3_600)).await
    }

    /// The services beside these peers, which drop suspended uploads after `expiry`.
    pub async fn with(peers: FakePeers, expiry: Duration) -> Self {
        let test = TestStore::open().await;
        let (store, lifecycle) = (test.store.clone(), test.lifecycle.clone());
        let (peers, pipelines, work) = (Arc::new(peers), Arc::new(FakePipelines::default()), Arc::new(FakeWork::default()));
        let jobs = Arc::new(Jobs::default());
        let placement = Arc::new(Placement {
            store: store.clone(),
            peers: peers.clone(),
            lifecycle: lifecycle.clone(),
            moves: Moves::default(),
        });
        let collections = Arc::new(Collections {
            store: store.clone(),
            peers: peers.clone(),
            pipelines: pipelines.clone(),
            profiles: Arc::new(ProfileCache {
                store: store.clone(),
                known: KnownProfiles::default(),
            }),
            jobs: jobs.clone(),
            placement: placement.clone(),
            lifecycle: lifecycle.clone(),
            default_backend: IndexBackend::Embedded,
        });
        let documents = Arc::new(Documents {
            store: store.clone(),
            peers: peers.clone(),
            jobs: jobs.clone(),
            lifecycle: lifecycle.clone(),
        });
        let reports = Arc::new(UploadReports {
            store: store.clone(),
            pace: Pace::default(),
        });
        let uploads = Arc::new(Uploads {
            store: store.clone(),
            peers: peers.clone(),
            locks: pipelines.clone(),
            collections: collections.clone(),
            ingest: work.clone(),
            jobs: jobs.clone(),
            reports: reports.clone(),
            lifecycle: lifecycle.clone(),
            limits: UploadLimits {
                max_bytes: MAX_BYTES,
                max_resumable: 2,
                resumable_expiry: expiry,
            },
            default_collection: "documents".to_owned(),
            permits: Arc::new(Semaphore::new(MAX_OPEN)),
            sessions: UploadSessions::default(),
        });
        let upkeep = Arc::new(Upkeep {
            store: store.clone(),
            peers: peers.clone(),
            pipelines: pipelines.clone(),
            collections: collections.clone(),
            documents: documents.clone(),
            placement: placement.clone(),
            unfinished: work.clone(),
            uploads: uploads.clone(),
            reports: reports.clone(),
            lifecycle: lifecycle.clone(),
        });
        Self {
            test,
            peers,
            pipelines,
            work,
            jobs,
            placement,
            collections,
            documents,
            reports,
            uploads,
            upkeep,
        }
    }

    /// Creates a collection with its index.
    pub async fn collection(&self, name: &str) -> Collection {
        self.test.collection(name, lock()).await
    }

    /// Creates a collection in the Qdrant server's index.
    pub async fn qdrant(&self, name: &str) -> Collection {
        let store = &self.test.store;
        let event = NewEvent::new("collection_created", json!({}));
        let created = store
            .catalog
            .create_collection(name, &json!({}), &lock(), IndexBackend::Qdrant, event)
            .await;
        let (collection, _) = created.expect("a collection");
        store.index.put(&key(&collection), IndexBackend::Qdrant);
        let schema = Schema { dimension: DIMENSION };
        store.index.create_collection(&key(&collection), &schema).await.expect("an index");
        collection
    }

    /// Creates a document of these bytes that was just received.
    pub async fn received(&self, collection: &Collection, bytes: &'static str) -> DocumentRecord {
        let store = &self.test.store;
        let collection = store.catalog.collection_by_id(&collection.id).await.expect("a collection");
        let options = StageOptions {
            limit: 1_000,
            resume: None,
            keep: false,
        };
        let staging = store.files.stage("test", options).await.expect("staging");
        staging.append(Bytes::from_static(bytes.as_bytes())).await.expect("appended");
        let stored = staging.commit().await.expect("committed");
        let new = NewDocument {
            collection_id: collection.id.clone(),
            upload_id: None,
            filename: format!("{}.txt", bytes.len()),
            content_type: "text/plain".to_owned(),
            file_size: stored.size,
            sha256: stored.sha256,
            user_metadata: serde_json::Map::new(),
            lock: lock(),
            revision: collection.revision,
        };
        match store.catalog.create_document(new).await.expect("a document") {
            Creation::Created(document) => *document,
            Creation::Duplicate(_) => panic!("the collection has these bytes"),
        }
    }

    /// Creates a live document of these bytes, in as many chunks, with its text and its vectors.
    pub async fn live(&self, collection: &Collection, bytes: &'static str, chunks: u32) -> DocumentRecord {
        let document = self.received(collection, bytes).await;
        let (store, id) = (&self.test.store, document.id.as_str());
        let text = Document {
            text: bytes.to_owned(),
            units: Vec::new(),
            pages: Vec::new(),
            attrs: Vec::new(),
        };
        store.files.write_document(id, Arc::new(text)).await.expect("a text");
        let extracted = Extracted {
            text_bytes: bytes.len() as u64,
            text_chars: bytes.len() as u64,
            lock: lock(),
            ..Extracted::default()
        };
        assert!(store.catalog.set_extracted(id, &extracted).await.expect("extracted"));
        let cut: Vec<Chunk> = (0..chunks)
            .map(|index| Chunk {
                index,
                at: Span::new(0, 1),
                char_start: 0,
                char_end: 1,
                page: None,
                section: Vec::new(),
                context: Vec::new(),
                attrs: Vec::new(),
            })
            .collect();
        assert!(store.catalog.set_chunked(id, &cut).await.expect("chunked"));
        self.index(collection, id, chunks).await;
        assert!(store.catalog.set_progress(id, chunks).await.expect("progress"));
        assert!(store.catalog.set_embedded(id).await.expect("embedded"));
        assert!(store.catalog.set_indexed(id).await.expect("indexed"));
        let event = NewEvent::new("document_added", json!({}));
        assert!(store.catalog.set_live(id, 1.0, event).await.expect("live").is_some());
        store.catalog.document(id).await.expect("a document")
    }

    /// Writes vectors of a document.
    pub async fn index(&self, collection: &Collection, document_id: &str, chunks: u32) {
        let points = points(document_id, chunks);
        self.test.store.index.upsert(&key(collection), points).await.expect("indexed");
    }

    /// Writes one vector of a document to a collection of the Qdrant server's index, which is created if it is not there.
    pub async fn index_at_remote(&self, collection: &Collection, document_id: &str) {
        let (key, remote) = (key(collection), &self.test.remote);
        let schema = Schema { dimension: DIMENSION };
        remote.create_collection(&key, &schema).await.expect("a collection");
        remote.upsert(&key, points(document_id, 1)).await.expect("indexed");
    }

    /// Returns the kinds of the events in the catalog's log, in order.
    pub async fn logged(&self) -> Vec<String> {
        let replay = self.test.store.catalog.events_since(0, None, 1_000).await.expect("a log");
        replay.events.into_iter().map(|event| event.kind).collect()
    }

    /// Returns the recorded status of an upload.
    pub async fn upload_status(&self, id: &str) -> UploadStatus {
        self.test.store.catalog.upload(id).await.expect("an upload").status
    }

    /// Waits until all background tasks have ended.
    pub async fn idle(&self) {
        self.test.lifecycle.tasks.close();
        self.test.lifecycle.tasks.wait().await;
        self.test.lifecycle.tasks.reopen();
    }
}

/// Returns what the index calls the generation of a collection that queries see.
pub(crate) fn key(collection: &Collection) -> CollectionKey {
    CollectionKey::of_generation(&collection.id, collection.generation).expect("a key")
}

fn points(document_id: &str, chunks: u32) -> Vec<Point> {
    (0..chunks)
        .map(|chunk_index| Point {
            document_id: document_id.to_owned(),
            chunk_index,
            dense: vec![0.5; DIMENSION as usize],
            sparse: SparseVector::default(),
            payload: Payload::default(),
        })
        .collect()
}
