//! The services that ingest and re-index, over fakes, and what a test does with them.

use super::clock::FakeClock;
use super::processor::{FakeProcessors, lock};
use super::store::TestStore;
use crate::ingest::processor::{Chunker, Processors};
use crate::ingest::reindex::Reindexer;
use crate::ingest::reporter::{Outcome, Pace};
use crate::ingest::reports::UploadReports;
use crate::ingest::steps::Steps;
use crate::ingest::{Ingest, Job};
use crate::lifecycle::Lifecycle;
use crate::manage::documents::Documents;
use crate::peers::{Alone, Peers};
use crate::query::profile_cache::{KnownProfiles, ProfileCache};
use crate::settings::EngineSettings;
use crate::spec::Pipeline;
use crate::spec::reindex_scope::ReindexScope;
use crate::store::events::UploadNotice;
use crate::store::jobs::Jobs;
use crate::store::leases::text_id;
use crate::tuning::Tuned;
use ibid_catalog::{
    Collection, Creation, DocumentRecord, DocumentState, Event, Extracted, NewDocument, NewEvent, NewReindex, NewUpload, Reindex,
    ReindexStatus,
};
use ibid_files::StageOptions;
use ibid_index::{CollectionKey, VectorIndex};
use ibid_protocol::UploadEvent;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, broadcast, oneshot};

/// Documents that the ingest of a test processes at a time.
pub(crate) const PERMITS: usize = 2;

/// The services over a [`TestStore`] with one collection.
pub(crate) struct TestIngest {
    /// The store.
    pub test: TestStore,
    /// What processes documents.
    pub processors: Arc<FakeProcessors>,
    /// What runs.
    pub jobs: Arc<Jobs>,
    /// Deletes documents.
    pub documents: Arc<Documents>,
    /// Ingests documents.
    pub ingest: Arc<Ingest>,
    /// Re-indexes the collection.
    pub reindexer: Arc<Reindexer>,
    /// The collection, as it was created.
    pub collection: Collection,
    notices: Mutex<broadcast::Receiver<Arc<UploadNotice>>>,
}

impl TestIngest {
    /// Opens the services of a server that is alone, with a clock whose sleeps end at once.
    pub async fn open() -> Self {
        Self::with(FakeClock::skipping(), Arc::new(Alone)).await
    }

    /// Opens the services with a clock and peers.
    pub async fn with(clock: FakeClock, peers: Arc<dyn Peers>) -> Self {
        let mut test = TestStore::open().await;
        test.clock = Arc::new(clock);
        test.lifecycle = Lifecycle::with_clock(test.clock.clone());
        let collection = test.collection("documents", json!(lock("one"))).await;
        let (store, lifecycle, jobs) = (test.store.clone(), test.lifecycle.clone(), Arc::new(Jobs::default()));
        let processors = Arc::new(FakeProcessors::new(store.clone()));
        let steps = Arc::new(Steps { store: store.clone() });
        let documents = Arc::new(Documents {
            store: store.clone(),
            peers: peers.clone(),
            jobs: jobs.clone(),
            lifecycle: lifecycle.clone(),
        });
        let ingest = Arc::new(Ingest {
            store: store.clone(),
            processors: processors.clone(),
            steps: steps.clone(),
            jobs: jobs.clone(),
            documents: documents.clone(),
            reports: Arc::new(UploadReports {
                store: store.clone(),
                pace: Pace::default(),
            }),
            lifecycle: lifecycle.clone(),
            permits: Arc::new(Semaphore::new(PERMITS)),
        });
        let reindexer = Arc::new(Reindexer {
            store: store.clone(),
            peers,
            processors: processors.clone(),
            profiles: Arc::new(ProfileCache {
                store: store.clone(),
                known: KnownProfiles::default(),
            }),
            steps,
            jobs: jobs.clone(),
            documents: documents.clone(),
            tuned: Arc::new(Tuned::new(&EngineSettings::new(test.directory.path(), ""))),
            lifecycle,
            percent: 100,
            permit: Semaphore::new(1),
        });
        Self {
            notices: Mutex::new(store.events.uploads_from_now().live),
            processors,
            jobs,
            documents,
            ingest,
            reindexer,
            collection,
            test,
        }
    }

    /// Creates a document in state `received`, as an upload does.
    pub async fn received(&self, filename: &str, text: &str) -> DocumentRecord {
        let store = &self.test.store;
        let upload = NewUpload {
            collection_id: self.collection.id.clone(),
            filename: filename.to_owned(),
            content_type: "text/plain".to_owned(),
            file_size: Some(text.len() as u64),
            options: json!({}),
        };
        let upload = store.catalog.create_upload(upload).await.expect("an upload");
        let options = StageOptions {
            limit: 1 << 20,
            resume: None,
            keep: false,
        };
        let staging = store.files.stage(&upload.id, options).await.expect("a staged file");
        staging.append(text.as_bytes().to_vec().into()).await.expect("appended");
        let stored = staging.commit().await.expect("an original");
        let now = store.catalog.collection_by_id(&self.collection.id).await.expect("a collection");
        let new = NewDocument {
            collection_id: now.id,
            upload_id: Some(upload.id),
            filename: filename.to_owned(),
            content_type: "text/plain".to_owned(),
            file_size: stored.size,
            sha256: stored.sha256.clone(),
            user_metadata: serde_json::Map::new(),
            lock: now.lock,
            revision: now.revision,
        };
        match store.catalog.create_document(new).await.expect("a creation") {
            Creation::Created(document) => *document,
            Creation::Duplicate(document) => panic!("a duplicate of {}", document.filename),
        }
    }

    /// Creates a document and moves it to a state of processing, step by step, without the service.
    pub async fn document_in(&self, state: DocumentState, filename: &str, text: &str) -> DocumentRecord {
        let mut record = self.received(filename, text).await;
        let (catalog, index) = (&self.test.store.catalog, &self.test.store.index);
        let processor = self.processors.of_collection(&self.collection).expect("a processor");
        let text = text_id(&record.id, record.text_generation);
        while record.state != state {
            let moved = match record.state {
                DocumentState::Received => {
                    let original = processor.extract(&record, Arc::new(|_| {})).await.expect("an original");
                    let found = Extracted {
                        lock: record.lock.clone(),
                        text_bytes: original.document.text.len() as u64,
                        text_chars: original.text_chars,
                        ..Extracted::default()
                    };
                    let written = self.test.store.files.write_document(&text, Arc::new(original.document)).await;
                    written.expect("a text");
                    catalog.set_extracted(&record.id, &found).await
                }
                DocumentState::Extracted => {
                    let (chunks, _) = processor.chunk(&record, &text, Chunker::OfDocument).await.expect("chunks");
                    catalog.set_chunked(&record.id, &chunks).await
                }
                DocumentState::Chunked => {
                    let points = (0..record.chunks_total).map(|chunk_index| ibid_index::Point {
                        document_id: record.id.clone(),
                        chunk_index,
                        dense: vec![0.0; super::store::DIMENSION as usize],
                        sparse: ibid_index::SparseVector::default(),
                        payload: ibid_index::Payload::default(),
                    });
                    index.upsert(processor.key(), points.collect()).await.expect("indexed");
                    catalog.set_progress(&record.id, record.chunks_total).await.expect("progress");
                    catalog.set_embedded(&record.id).await
                }
                DocumentState::Embedded => catalog.set_indexed(&record.id).await,
                other => panic!("no way from {other:?} to {state:?}"),
            };
            assert!(moved.expect("a state"), "from {:?}", record.state);
            record = self.record(&record.id).await;
        }
        record
    }

    /// Begins to process a document; returns where the outcome comes.
    pub async fn start(&self, document: &DocumentRecord) -> oneshot::Receiver<Outcome> {
        let reporter = self
            .ingest
            .reports
            .reporter("documents", &self.upload_of(document).await, &document.filename);
        let (reply, outcome) = oneshot::channel();
        reporter.reply_to(reply);
        self.ingest.start(Job {
            document: document.clone(),
            reporter,
            place: None,
        });
        outcome
    }

    /// Processes a document to its end.
    pub async fn process(&self, document: &DocumentRecord) -> Outcome {
        self.start(document).await.await.expect("an outcome")
    }

    /// Ingests a document that becomes live.
    pub async fn live(&self, filename: &str, text: &str) -> DocumentRecord {
        let document = self.received(filename, text).await;
        self.process(&document).await.expect("a live document");
        self.record(&document.id).await
    }

    /// Returns the upload that a document came by.
    pub async fn upload_of(&self, document: &DocumentRecord) -> String {
        let open = self.test.store.uploads_of_documents().await.expect("uploads");
        open.get(&document.id).cloned().unwrap_or_else(|| document.id.clone())
    }

    /// Returns a document as the catalog has it.
    pub async fn record(&self, id: &str) -> DocumentRecord {
        self.test.store.catalog.document(id).await.expect("a document")
    }

    /// Returns a document's state.
    pub async fn state(&self, id: &str) -> DocumentState {
        self.record(id).await.state
    }

    /// Returns how a generation of the collection is called in the index.
    pub fn key(&self, generation: u32) -> CollectionKey {
        CollectionKey::of_generation(&self.collection.id, generation).expect("a key")
    }

    /// Returns the points that a generation has of a document.
    pub async fn points(&self, generation: u32, id: &str) -> Vec<ibid_index::Point> {
        let points = self.test.index.points(&self.key(generation), id, 0..1_000).await;
        points.unwrap_or_default()
    }

    /// Returns the documents that queries must not see.
    pub fn hidden(&self) -> Vec<String> {
        self.test.store.visibility.hidden(&self.collection.id)
    }

    /// Returns the events of uploads since the last call.
    pub fn notices(&self) -> Vec<UploadEvent> {
        let mut notices = self.notices.lock().expect("a lock");
        std::iter::from_fn(|| notices.try_recv().ok())
            .map(|notice| notice.event.clone())
            .collect()
    }

    /// Returns the events of collections that are in the log.
    pub async fn log(&self) -> Vec<Event> {
        self.test.store.catalog.events_since(0, None, 1_000).await.expect("events").events
    }

    /// Returns how many events of a kind are in the log.
    pub async fn logged(&self, kind: &str) -> usize {
        self.log().await.iter().filter(|event| event.kind == kind).count()
    }

    /// Waits until nothing runs in the background.
    pub async fn idle(&self) {
        self.test.lifecycle.tasks.close();
        self.test.lifecycle.tasks.wait().await;
    }

    /// Registers a re-index, without beginning it.
    pub fn new_reindex(&self, scope: ReindexScope) -> NewReindex {
        let mut lock = self.processors.settings().lock.clone();
        lock.pipeline = Pipeline::default();
        NewReindex {
            scope: scope.name().to_owned(),
            at_least: scope.name().to_owned(),
            pipeline: json!(lock.pipeline),
            lock: json!(lock),
        }
    }

    /// Records a re-index that runs, without working on it: as a server that died leaves it.
    pub async fn recorded_reindex(&self, scope: ReindexScope) -> Reindex {
        let (event, new) = (NewEvent::new("reindex_started", json!({})), self.new_reindex(scope));
        let begun = self.test.store.catalog.begin_reindex(&self.collection.id, &new, event).await;
        begun.expect("a re-index").0
    }

    /// Begins to re-index the collection.
    pub async fn begin_reindex(&self, scope: ReindexScope) -> Reindex {
        let collection = self
            .test
            .store
            .catalog
            .collection_by_id(&self.collection.id)
            .await
            .expect("a collection");
        let begun = self.reindexer.begin(&collection, self.new_reindex(scope)).await;
        begun.expect("a re-index")
    }

    /// Re-indexes the collection to the end, also of the removal; returns how it ended.
    pub async fn reindex(&self, scope: ReindexScope) -> Reindex {
        self.begin_reindex(scope).await;
        self.idle().await;
        self.last_reindex().await
    }

    /// Returns the last re-index.
    pub async fn last_reindex(&self) -> Reindex {
        let last = self.test.store.catalog.reindex(&self.collection.id).await.expect("read");
        last.expect("a re-index")
    }

    /// Returns the status of the last re-index.
    pub async fn reindex_status(&self) -> ReindexStatus {
        self.last_reindex().await.status
    }

    /// Returns the generation that queries see.
    pub async fn generation(&self) -> u32 {
        let collection = self.test.store.catalog.collection_by_id(&self.collection.id).await;
        collection.expect("a collection").generation
    }
}
