//! The engine: the services that ingest, answer and keep house, started and stopped as one.

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
use crate::opening::{Opened, open};
use crate::peers::cluster::Cluster;
use crate::peers::sync::PeerSync;
use crate::peers::{Alone, Peers};
use crate::query::Queries;
use crate::query::embedding::Embeddings;
use crate::query::permits::QueryPermits;
use crate::query::profile_cache::{KnownProfiles, ProfileCache};
use crate::query::stage_timeout::StageTimeout;
use crate::query::try_plugin::PluginTrials;
use crate::settings::EngineSettings;
use crate::spec::Pipeline;
use crate::spec::pipelines::Pipelines;
use crate::start_error::StartError;
use crate::store::Store;
use crate::store::disk::Disk;
use crate::store::events::Events;
use crate::store::jobs::Jobs;
use crate::tuning::Tuned;
use crate::upkeep::Upkeep;
use crate::upkeep::backup::Backups;
use crate::upkeep::health::Monitor;
use crate::upkeep::load::QueryMeter;
use crate::upkeep::models::unload_unused;
use crate::upkeep::unfinished::BackgroundWork;
use ibid_index::VectorIndex;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The engine. Held as `Arc<Engine>`.
pub struct Engine {
    /// Name of the collection of requests that name none.
    pub(crate) default_collection: String,
    started: Instant,
    lifecycle: Lifecycle,
    pub(crate) store: Arc<Store>,
    peers: Arc<dyn Peers>,
    pub(crate) pipelines: Arc<Pipelines>,
    pub(crate) queries: Arc<Queries>,
    pub(crate) embeddings: Arc<Embeddings>,
    pub(crate) trials: Arc<PluginTrials>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) documents: Arc<Documents>,
    pub(crate) collections: Arc<Collections>,
    pub(crate) placement: Arc<Placement>,
    pub(crate) updates: Arc<PipelineUpdates>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) backups: Arc<Backups>,
    pub(crate) monitor: Arc<Monitor>,
}

impl Engine {
    /// Opens the durable state, starts the services, and resumes what was unfinished at the last stop.
    ///
    /// # Errors
    /// The first part that cannot be opened or used.
    pub async fn start(settings: EngineSettings) -> Result<Arc<Self>, StartError> {
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
        } = open(settings).await?;
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
        // A server that could not answer the simplest question should say so now.
        pipelines
            .resolve("check", "check", Pipeline::default())
            .map_err(|error| StartError::Pipeline(error.to_api_error("")))?;
        let peer_sync = cluster.map(|cluster| {
            Arc::new(PeerSync {
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
            })
        });
        let resume = |error: crate::PipelineError| StartError::Resume(error.to_api_error(""));
        // Before anything is read: events that other servers record from now on are received.
        let last = upkeep.newest_event().await.map_err(resume)?;
        if let (Some(sync), Some(outbox)) = (&peer_sync, outbox) {
            sync.join(outbox).await.map_err(|error| StartError::Join(error.to_api_error("")))?;
        }
        upkeep.resume().await.map_err(resume)?;
        if let Some(sync) = &peer_sync {
            sync.claim().await.map_err(resume)?;
        }
        upkeep.start(last);
        lifecycle.tasks.spawn(unload_unused(pipelines.clone(), lifecycle.clone()));
        Ok(Arc::new(Self {
            default_collection: settings.default_collection.clone(),
            started: Instant::now(),
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
        }))
    }

    /// Stops queries, parks documents at their last step, and makes everything durable. Does nothing the second time.
    pub async fn shutdown(&self) {
        self.lifecycle.stop().await;
        self.peers.leave().await;
        self.pipelines.models.close().await;
        if let Err(error) = self.store.index.close().await {
            tracing::error!(error = error.detail(), "the index was not closed cleanly");
        }
        self.store.catalog.close().await;
    }

    /// Returns how long the engine has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the size of the largest file that may be uploaded, in bytes.
    pub fn max_upload_bytes(&self) -> u64 {
        self.uploads.limits.max_bytes
    }
}
