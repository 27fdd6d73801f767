//! Puts the services together, each with what it needs and nothing more. The order is that of their dependencies.

use crate::ingest::Ingest;
use crate::ingest::pipeline_processor::PipelineProcessors;
use crate::ingest::reindex::Reindexer;
use crate::ingest::reporter::Pace;
use crate::ingest::reports::UploadReports;
use crate::ingest::steps::Steps;
use crate::ingest::uploads::{UploadLimits, UploadSessions, Uploads};
use crate::lifecycle::Lifecycle;
use crate::manage::collections::Collections;
use crate::manage::documents::Documents;
use crate::manage::pipeline_update::PipelineUpdates;
use crate::manage::placement::{Moves, Placement};
use crate::manage::plugins::Plugins;
use crate::opening::Opened;
use crate::peers::cluster::Cluster;
use crate::peers::sync::PeerSync;
use crate::peers::{Alone, Peers};
use crate::query::Queries;
use crate::query::embedding::Embeddings;
use crate::query::permits::QueryPermits;
use crate::query::profile_cache::{KnownProfiles, ProfileCache};
use crate::query::stage_timeout::StageTimeout;
use crate::query::try_plugin::PluginTrials;
use crate::spec::pipelines::Pipelines;
use crate::store::Store;
use crate::store::disk::Disk;
use crate::store::events::{Events, UploadNotice};
use crate::store::jobs::Jobs;
use crate::tuning::Tuned;
use crate::upkeep::Upkeep;
use crate::upkeep::backup::Backups;
use crate::upkeep::health::Monitor;
use crate::upkeep::load::QueryMeter;
use crate::upkeep::unfinished::BackgroundWork;
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, mpsc};

/// The services of an engine.
pub(crate) struct Services {
    pub lifecycle: Lifecycle,
    pub store: Arc<Store>,
    pub peers: Arc<dyn Peers>,
    pub pipelines: Arc<Pipelines>,
    pub queries: Arc<Queries>,
    pub embeddings: Arc<Embeddings>,
    pub trials: Arc<PluginTrials>,
    pub uploads: Arc<Uploads>,
    pub documents: Arc<Documents>,
    pub collections: Arc<Collections>,
    pub placement: Arc<Placement>,
    pub updates: Arc<PipelineUpdates>,
    pub plugins: Arc<Plugins>,
    pub backups: Arc<Backups>,
    pub monitor: Arc<Monitor>,
    pub upkeep: Arc<Upkeep>,
    /// What this server does for others over the same catalog, and its upload events for them. `None` where there are none.
    pub peer_sync: Option<(Arc<PeerSync>, mpsc::Receiver<Arc<UploadNotice>>)>,
}

impl Services {
    /// Puts the services together over what was opened. Starts nothing.
    pub fn new(opened: Opened) -> Self {
        let Opened {
            settings,
            models,
            llm,
            plugins: loaded,
            catalog,
            shared,
            files,
            index,
            disk,
        } = opened;
        let lifecycle = Lifecycle::default();
        let (cluster, events, outbox) = match shared {
            None => (None, Events::default(), None),
            Some(shared) => {
                let (sender, outbox) = Cluster::outbox();
                (Some(Arc::new(Cluster::new(shared))), Events::with_others(sender), Some(outbox))
            }
        };
        let peers: Arc<dyn Peers> = match &cluster {
            Some(cluster) => cluster.clone(),
            None => Arc::new(Alone),
        };
        let store = Arc::new(Store::new(catalog, files, index, Disk::new(disk), Arc::new(events)));
        let tuned = Arc::new(Tuned::new(&settings));
        let jobs = Arc::new(Jobs::default());
        let pipelines = Arc::new(Pipelines {
            store: store.clone(),
            models,
            host: loaded.host,
            registry: loaded.registry,
            llm,
            llm_on_failure: settings.llm_on_failure,
            changes: Arc::new(Semaphore::new(1)),
            cache: Mutex::default(),
        });
        let profiles = Arc::new(ProfileCache {
            store: store.clone(),
            known: KnownProfiles::default(),
        });
        let steps = Arc::new(Steps { store: store.clone() });
        let processors = Arc::new(PipelineProcessors {
            store: store.clone(),
            pipelines: pipelines.clone(),
        });
        let documents = Arc::new(Documents {
            store: store.clone(),
            peers: peers.clone(),
            jobs: jobs.clone(),
            lifecycle: lifecycle.clone(),
        });
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
            profiles: profiles.clone(),
            jobs: jobs.clone(),
            placement: placement.clone(),
            lifecycle: lifecycle.clone(),
            default_backend: settings.default_place,
        });
        let reports = Arc::new(UploadReports {
            store: store.clone(),
            pace: Pace::default(),
        });
        let ingest = Arc::new(Ingest {
            store: store.clone(),
            processors: processors.clone(),
            steps: steps.clone(),
            jobs: jobs.clone(),
            documents: documents.clone(),
            reports: reports.clone(),
            lifecycle: lifecycle.clone(),
            permits: Arc::new(Semaphore::new(settings.max_documents_in_flight.max(1))),
        });
        let reindexer = Arc::new(Reindexer {
            store: store.clone(),
            peers: peers.clone(),
            processors,
            profiles: profiles.clone(),
            steps,
            jobs: jobs.clone(),
            documents: documents.clone(),
            tuned: tuned.clone(),
            lifecycle: lifecycle.clone(),
            percent: settings.reindex_percent,
            permit: Semaphore::new(1),
        });
        let max_open_uploads = settings.max_open_uploads.max(1);
        let uploads = Arc::new(Uploads {
            store: store.clone(),
            peers: peers.clone(),
            locks: pipelines.clone(),
            collections: collections.clone(),
            ingest: ingest.clone(),
            jobs: jobs.clone(),
            reports: reports.clone(),
            lifecycle: lifecycle.clone(),
            limits: UploadLimits {
                max_bytes: settings.max_upload_bytes,
                max_resumable: settings.max_resumable_uploads,
                resumable_expiry: settings.resumable_expiry,
            },
            default_collection: settings.default_collection.clone(),
            permits: Arc::new(Semaphore::new(max_open_uploads)),
            sessions: UploadSessions::default(),
        });
        let permits = Arc::new(QueryPermits::new(
            settings.max_concurrent_queries,
            settings.max_waiting_queries,
            tuned.clone(),
            lifecycle.clone(),
        ));
        let timeout = StageTimeout {
            tuned: tuned.clone(),
            clock: lifecycle.clock.clone(),
        };
        let queries = Arc::new(Queries {
            store: store.clone(),
            pipelines: pipelines.clone(),
            profiles,
            documents: documents.clone(),
            permits: permits.clone(),
            timeout: timeout.clone(),
            lifecycle: lifecycle.clone(),
            default_collection: settings.default_collection.clone(),
            meter: QueryMeter::default(),
        });
        let embeddings = Arc::new(Embeddings {
            pipelines: pipelines.clone(),
            permits: permits.clone(),
            timeout: timeout.clone(),
        });
        let trials = Arc::new(PluginTrials {
            pipelines: pipelines.clone(),
            permits,
            timeout,
        });
        let updates = Arc::new(PipelineUpdates {
            store: store.clone(),
            peers: peers.clone(),
            pipelines: pipelines.clone(),
            jobs: jobs.clone(),
            reindexer: reindexer.clone(),
        });
        let plugins = Arc::new(Plugins {
            store: store.clone(),
            peers: peers.clone(),
            pipelines: pipelines.clone(),
            tuned,
            components: loaded.components,
            installed: Mutex::new(loaded.installed),
            allowed: settings.allowed_plugins.clone(),
        });
        let upkeep = Arc::new(Upkeep {
            store: store.clone(),
            peers: peers.clone(),
            pipelines: pipelines.clone(),
            collections: collections.clone(),
            documents: documents.clone(),
            placement: placement.clone(),
            unfinished: Arc::new(BackgroundWork {
                ingest: ingest.clone(),
                reindexer: reindexer.clone(),
            }),
            uploads: uploads.clone(),
            reports: reports.clone(),
            lifecycle: lifecycle.clone(),
        });
        let peer_sync = cluster.zip(outbox).map(|(cluster, outbox)| {
            let sync = Arc::new(PeerSync {
                cluster,
                store: store.clone(),
                lifecycle: lifecycle.clone(),
                jobs,
                pipelines: pipelines.clone(),
                plugins: plugins.clone(),
                collections: collections.clone(),
                documents: documents.clone(),
                reports,
                uploads: uploads.clone(),
                ingest,
                reindexer,
                data_dir: settings.data_dir.clone(),
                key_copies: Semaphore::new(1),
            });
            (sync, outbox)
        });
        Self {
            backups: Arc::new(Backups {
                store: store.clone(),
                lifecycle: lifecycle.clone(),
                data_dir: settings.data_dir.clone(),
            }),
            monitor: Arc::new(Monitor {
                store: store.clone(),
                pipelines: pipelines.clone(),
                queries: queries.clone(),
                uploads: uploads.clone(),
                max_open_uploads,
            }),
            lifecycle,
            store,
            peers,
            pipelines,
            queries,
            embeddings,
            trials,
            uploads,
            documents,
            collections,
            placement,
            updates,
            plugins,
            upkeep,
            peer_sync,
        }
    }
}
